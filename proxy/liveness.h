/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Whether a client is alive: pings and their answers, and bytes that it does not take. Pure:
 * the caller brings the time. */
#pragma once

#include <glib.h>

typedef enum {
    VCP_LIFE_FINE,
    VCP_LIFE_PING, /* send one */
    VCP_LIFE_MUTE, /* two pings went unanswered */
    VCP_LIFE_PEEK, /* it is not read, so its end goes unnoticed: find out whether it has left */
    VCP_LIFE_LOOK, /* bytes wait for it: find out whether it takes any, then ask is_stuck */
} VcpLife;

typedef struct {
    guint64 keepalive_ms, write_timeout_ms;
    guint64 heard_ms;   /* when the client last showed life */
    guint64 stalled_ms; /* since when it takes nothing; 0: nothing waits for it */
    guint64 taken;      /* bytes it had taken when last looked at */
    guint64 looked_ms;  /* when the caller was last asked to look */
    guint64 peeked_ms;  /* when the caller was last asked to peek, or it was paused */
    guint unanswered;   /* pings */
    gboolean is_paused; /* we do not read it */
} VcpLiveness;

void vcp_liveness_init(VcpLiveness *self, guint keepalive_s, guint write_timeout_s,
                       guint64 now_ms);

/* Something came from the client. */
void vcp_liveness_heard(VcpLiveness *self, guint64 now_ms);

/* How the connection stands. paused: nothing is read from the client. waiting: bytes wait for
 * it. taken: bytes handed to its connection in total. */
void vcp_liveness_set(VcpLiveness *self, guint64 now_ms, gboolean paused, gboolean waiting,
                      guint64 taken);

/* A look has shown that the client takes bytes that wait for it. */
void vcp_liveness_progress(VcpLiveness *self, guint64 now_ms);

/* Whether it has taken nothing for the write time-out; looks come four times in that time. */
gboolean vcp_liveness_is_stuck(const VcpLiveness *self, guint64 now_ms);

/* When to check next. What happens in between only moves it on, but for the first byte that has
 * to wait. */
guint64 vcp_liveness_due(const VcpLiveness *self);

VcpLife vcp_liveness_check(VcpLiveness *self, guint64 now_ms);
