/* SPDX-License-Identifier: LGPL-2.1-or-later
 * When small pieces are taken as they come, and when they wait a moment for more: each costs a
 * websocket frame and a TLS record. Pure: the caller brings the time. */
#pragma once

#include <glib.h>

/* The longest that a piece waits. */
#define VCP_GATHER_MS 5

/* All zero to begin with. */
typedef struct {
    guint64 since_ms; /* beginning of the window */
    guint pieces;     /* small ones taken in it */
} VcpGather;

/* Something of this length was taken. */
void vcp_gather_took(VcpGather *self, guint64 now_ms, gsize length);

/* Something was sent the other way: what comes next may be its echo, which nobody waits for
 * longer than need be. */
void vcp_gather_asked(VcpGather *self);

/* When what has come may be taken: now or before, but for a flood. */
guint64 vcp_gather_due(const VcpGather *self, guint64 now_ms);
