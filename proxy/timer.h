/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A one-shot timer that can be freed at any moment, which uv_timer_t itself cannot. On the
 * loop's thread only. */
#pragma once

#include <glib.h>
#include <uv.h>

typedef struct VcpTimer VcpTimer;
typedef void (*VcpTimerFunc)(gpointer data);

VcpTimer *vcp_timer_new(uv_loop_t *loop, VcpTimerFunc func, gpointer data);

/* (Re)starts it: func is called once, timeout_ms from now. */
void vcp_timer_start(VcpTimer *self, guint64 timeout_ms);
void vcp_timer_stop(VcpTimer *self);
void vcp_timer_free(VcpTimer *self); /* nullable; from within func too */
