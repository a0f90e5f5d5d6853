/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The watchdog's timer on the main loop. A worker is asked each time whether its loop turns; as
 * long as one has not answered nothing is said, and the service manager ends the daemon. */
#include "proxy/heartbeat.h"

#include "common/notify.h"
#include "proxy/timer.h"

/* How old the number of sessions may be that systemctl status shows. */
#define STATUS_MS 1000

/* Rounds within the time that the manager bears silence for. */
#define ROUNDS 4

struct VcpHeartbeat {
    VcpWorker **workers;
    guint n_workers;
    VcpLimits *limits;
    VcpTimer *timer;
    guint interval_ms;
    gboolean has_watchdog;
    gboolean is_late; /* a worker was when last looked at */
    guint told;       /* sessions */
};

static gboolean
have_all_answered(VcpHeartbeat *self)
{
    for (guint i = 0; i < self->n_workers; i++) {
        if (!vcp_worker_has_answered(self->workers[i]))
            return FALSE;
    }
    return TRUE;
}

static void
ask_all(VcpHeartbeat *self)
{
    for (guint i = 0; i < self->n_workers; i++)
        vcp_worker_ask_alive(self->workers[i]);
}

static void
check_workers(VcpHeartbeat *self)
{
    gboolean is_late = !have_all_answered(self);

    if (is_late && !self->is_late)
        g_warning("a worker does not turn: if it stays so, the watchdog ends the daemon");
    self->is_late = is_late;
    if (is_late)
        return;
    vc_notify_alive();
    ask_all(self);
}

static void
tell_sessions(VcpHeartbeat *self)
{
    guint count = vcp_limits_count(self->limits);
    g_autofree char *status = g_strdup_printf("%u session%s", count, count == 1 ? "" : "s");

    vc_notify_status(status);
    self->told = count;
}

static void
on_beat(gpointer data)
{
    VcpHeartbeat *self = data;

    if (self->has_watchdog)
        check_workers(self);
    if (vcp_limits_count(self->limits) != self->told)
        tell_sessions(self);
    vcp_timer_start(self->timer, self->interval_ms);
}

VcpHeartbeat *
vcp_heartbeat_new(uv_loop_t *loop, VcpWorker **workers, guint n, VcpLimits *limits)
{
    if (!vc_notify_has_listener())
        return NULL;

    VcpHeartbeat *self = g_new0(VcpHeartbeat, 1);
    guint watchdog_ms = vc_notify_watchdog_ms();
    self->workers = workers;
    self->n_workers = n;
    self->limits = limits;
    self->has_watchdog = watchdog_ms > 0;
    self->interval_ms =
        self->has_watchdog ? CLAMP(watchdog_ms / ROUNDS, 1, STATUS_MS) : STATUS_MS;
    self->timer = vcp_timer_new(loop, on_beat, self);
    tell_sessions(self);
    on_beat(self);
    return self;
}

void
vcp_heartbeat_free(VcpHeartbeat *self)
{
    if (self == NULL)
        return;
    vcp_timer_free(self->timer);
    g_free(self);
}
