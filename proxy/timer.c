/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Timers on libuv. */
#include "proxy/timer.h"

struct VcpTimer {
    uv_timer_t handle; /* first: the closed handle is freed as the timer */
    VcpTimerFunc func;
    gpointer data;
};

static void
on_timeout(uv_timer_t *handle)
{
    VcpTimer *self = handle->data;

    self->func(self->data);
}

VcpTimer *
vcp_timer_new(uv_loop_t *loop, VcpTimerFunc func, gpointer data)
{
    VcpTimer *self = g_new0(VcpTimer, 1);

    uv_timer_init(loop, &self->handle);
    self->handle.data = self;
    self->func = func;
    self->data = data;
    return self;
}

void
vcp_timer_start(VcpTimer *self, guint64 timeout_ms)
{
    /* The loop's clock stands still during a callback; a long one must not eat into the time
     * given. */
    uv_update_time(self->handle.loop);
    uv_timer_start(&self->handle, on_timeout, timeout_ms, 0);
}

void
vcp_timer_stop(VcpTimer *self)
{
    uv_timer_stop(&self->handle);
}

static void
on_closed(uv_handle_t *handle)
{
    g_free(handle->data);
}

void
vcp_timer_free(VcpTimer *self)
{
    if (self != NULL)
        uv_close((uv_handle_t *)&self->handle, on_closed);
}
