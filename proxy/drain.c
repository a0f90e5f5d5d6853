/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Counting down. */
#include "proxy/drain.h"

#include "proxy/timer.h"

#define LOOK_MS 100

struct VcpDrain {
    uv_loop_t *loop;
    VcpTimer *timer;
    guint64 deadline_ms;
    VcpDrainCount count;
    VcpDrained drained;
    gpointer data;
};

static void
look(gpointer data)
{
    VcpDrain *self = data;
    guint64 now = uv_now(self->loop);

    if (self->count(self->data) == 0)
        self->drained(TRUE, self->data);
    else if (now >= self->deadline_ms)
        self->drained(FALSE, self->data);
    else
        vcp_timer_start(self->timer, MIN(LOOK_MS, self->deadline_ms - now));
}

VcpDrain *
vcp_drain_new(uv_loop_t *loop, guint timeout_s, VcpDrainCount count, VcpDrained drained,
              gpointer data)
{
    VcpDrain *self = g_new0(VcpDrain, 1);

    self->loop = loop;
    self->count = count;
    self->drained = drained;
    self->data = data;
    self->deadline_ms = uv_now(loop) + timeout_s * G_GUINT64_CONSTANT(1000);
    self->timer = vcp_timer_new(loop, look, self);
    vcp_timer_start(self->timer, LOOK_MS);
    return self;
}

void
vcp_drain_free(VcpDrain *self)
{
    if (self == NULL)
        return;
    vcp_timer_free(self->timer);
    g_free(self);
}
