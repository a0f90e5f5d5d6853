/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A lock and something to wait for, as GMutex and GCond; but made of pthread's, which
 * ThreadSanitizer sees where GLib is built without it. */
#pragma once

#include <glib.h>
#include <pthread.h>

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
} VcMonitor;

void vc_monitor_init(VcMonitor *self);
void vc_monitor_clear(VcMonitor *self);

void vc_monitor_enter(VcMonitor *self);
void vc_monitor_leave(VcMonitor *self);

/* Both by whoever is inside. until: µs of the monotonic clock. FALSE: it is over. TRUE: look
 * whether it is what was waited for. */
void vc_monitor_signal(VcMonitor *self);
gboolean vc_monitor_wait_until(VcMonitor *self, gint64 until);
