/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The time between "no more new sessions" and the end: until none is left, or a deadline. On
 * the loop's thread only. */
#pragma once

#include <glib.h>
#include <uv.h>

typedef struct VcpDrain VcpDrain;

/* Sessions that are left. */
typedef guint (*VcpDrainCount)(gpointer data);

/* Called once. in_time: none is left. */
typedef void (*VcpDrained)(gboolean in_time, gpointer data);

/* Begins; count is called a few times a second, drained never before this has returned. */
VcpDrain *vcp_drain_new(uv_loop_t *loop, guint timeout_s, VcpDrainCount count,
                        VcpDrained drained, gpointer data);

/* nullable; from within drained too */
void vcp_drain_free(VcpDrain *self);
