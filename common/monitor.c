/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Monitors of pthread's parts. */
#include "common/monitor.h"

#include <errno.h>
#include <time.h>

void
vc_monitor_init(VcMonitor *self)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&self->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&self->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void
vc_monitor_clear(VcMonitor *self)
{
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
}

void
vc_monitor_enter(VcMonitor *self)
{
    int failure = pthread_mutex_lock(&self->lock);

    g_assert(failure == 0);
}

void
vc_monitor_leave(VcMonitor *self)
{
    int failure = pthread_mutex_unlock(&self->lock);

    g_assert(failure == 0);
}

void
vc_monitor_signal(VcMonitor *self)
{
    pthread_cond_signal(&self->changed);
}

gboolean
vc_monitor_wait_until(VcMonitor *self, gint64 until)
{
    const struct timespec time = {
        .tv_sec = until / G_USEC_PER_SEC,
        .tv_nsec = until % G_USEC_PER_SEC * 1000,
    };

    return pthread_cond_timedwait(&self->changed, &self->lock, &time) != ETIMEDOUT;
}
