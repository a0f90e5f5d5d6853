/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Accepted connections until it is known whether a PROXY header comes first, and it is read. On
 * the main thread's loop. */
#pragma once

#include <glib.h>
#include <uv.h>

typedef struct VcpPreambles VcpPreambles;

/* A connection whose own bytes come next. fd and client (its address as text): full. */
typedef void (*VcpArrived)(int fd, char *client, gpointer data);

typedef enum {
    VCP_PREAMBLE_OPTIONAL,
    VCP_PREAMBLE_REQUIRED, /* what has no header is closed */
    VCP_PREAMBLE_REFUSED,  /* what has one is */
} VcpPreambleRule;

/* What takes longer than timeout_ms is closed. */
VcpPreambles *vcp_preambles_new(uv_loop_t *loop, VcpPreambleRule rule, guint64 timeout_ms,
                                VcpArrived arrived, gpointer data);

/* fd (non-blocking), peer (its address as text): full. May call back at once. Beyond some
 * thousands that wait, the oldest are closed, so that they keep nobody out. */
void vcp_preambles_add(VcpPreambles *self, int fd, char *peer);

/* Closes all that still wait; nullable. The loop must run once more. */
void vcp_preambles_free(VcpPreambles *self);
