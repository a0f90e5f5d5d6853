/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The rules of liveness. */
#include "proxy/liveness.h"

/* Looks at a client that bytes wait for, in one write time-out. */
#define LOOKS 4

/* Between two peeks at a client that is paused. */
#define PEEK_MS 2000

/* Pings that may stay unanswered. */
#define MAX_UNANSWERED 2

void
vcp_liveness_init(VcpLiveness *self, guint keepalive_s, guint write_timeout_s, guint64 now_ms)
{
    *self = (VcpLiveness){
        .keepalive_ms = keepalive_s * G_GUINT64_CONSTANT(1000),
        .write_timeout_ms = write_timeout_s * G_GUINT64_CONSTANT(1000),
        .heard_ms = now_ms,
    };
}

void
vcp_liveness_heard(VcpLiveness *self, guint64 now_ms)
{
    self->heard_ms = now_ms;
    self->unanswered = 0;
}

void
vcp_liveness_set(VcpLiveness *self, guint64 now_ms, gboolean paused, gboolean waiting,
                 guint64 taken)
{
    if (paused && !self->is_paused)
        self->peeked_ms = now_ms;
    self->is_paused = paused;
    if (!waiting)
        self->stalled_ms = 0;
    else if (self->stalled_ms == 0 || taken != self->taken)
        self->stalled_ms = now_ms;
    self->taken = taken;
}

void
vcp_liveness_progress(VcpLiveness *self, guint64 now_ms)
{
    self->stalled_ms = now_ms;
}

gboolean
vcp_liveness_is_stuck(const VcpLiveness *self, guint64 now_ms)
{
    return self->stalled_ms != 0 && now_ms >= self->stalled_ms + self->write_timeout_ms;
}

static guint64
look_due(const VcpLiveness *self)
{
    return MAX(self->stalled_ms, self->looked_ms) + self->write_timeout_ms / LOOKS;
}

static guint64
ping_due(const VcpLiveness *self)
{
    return self->heard_ms + self->keepalive_ms * (self->unanswered + 1);
}

static guint64
peek_due(const VcpLiveness *self)
{
    return self->peeked_ms + PEEK_MS;
}

guint64
vcp_liveness_due(const VcpLiveness *self)
{
    guint64 due = ping_due(self);

    if (self->stalled_ms != 0)
        due = MIN(due, look_due(self));
    return self->is_paused ? MIN(due, peek_due(self)) : due;
}

VcpLife
vcp_liveness_check(VcpLiveness *self, guint64 now_ms)
{
    if (self->is_paused && now_ms >= peek_due(self)) {
        self->peeked_ms = now_ms;
        return VCP_LIFE_PEEK;
    }
    if (self->stalled_ms != 0 && now_ms >= look_due(self)) {
        self->looked_ms = now_ms;
        return VCP_LIFE_LOOK;
    }
    /* A client that we do not read, or whose connection is full of our bytes, cannot answer: it
     * is not mute. */
    if (self->is_paused || self->stalled_ms != 0) {
        vcp_liveness_heard(self, now_ms);
        return VCP_LIFE_FINE;
    }
    if (now_ms < ping_due(self))
        return VCP_LIFE_FINE;
    if (self->unanswered == MAX_UNANSWERED)
        return VCP_LIFE_MUTE;
    self->unanswered++;
    return VCP_LIFE_PING;
}
