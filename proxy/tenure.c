/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Three ends, of which the first one counts. */
#include "proxy/tenure.h"

static guint64
choose_ms(guint of_service_s, guint of_proxy_s)
{
    return (of_service_s != 0 ? of_service_s : of_proxy_s) * G_GUINT64_CONSTANT(1000);
}

void
vcp_tenure_set(VcpTenure *self, const VcService *service, guint idle_s, guint limit_s)
{
    self->idle_ms = choose_ms(service->idle_timeout_s, idle_s);
    self->limit_ms = choose_ms(service->session_limit_s, limit_s);
    self->expires_s = service->expires_s;
}

/* In the monotonic clock, as the two stand to each other now. */
static guint64
expiry_ms(const VcpTenure *self, const VcpTenureTimes *times)
{
    gint64 left_ms = self->expires_s * 1000 - times->wall_ms;

    if (self->expires_s == 0)
        return G_MAXUINT64;
    return times->now_ms + (guint64)MAX(left_ms, 0);
}

static guint64
idle_end_ms(const VcpTenure *self, const VcpTenureTimes *times)
{
    return self->idle_ms != 0 ? times->used_ms + self->idle_ms : G_MAXUINT64;
}

static guint64
limit_end_ms(const VcpTenure *self)
{
    return self->limit_ms != 0 ? self->started_ms + self->limit_ms : G_MAXUINT64;
}

guint64
vcp_tenure_due(const VcpTenure *self, const VcpTenureTimes *times)
{
    guint64 due = MIN(expiry_ms(self, times), idle_end_ms(self, times));

    return MIN(due, limit_end_ms(self));
}

VcpTenureEnd
vcp_tenure_check(const VcpTenure *self, const VcpTenureTimes *times)
{
    if (expiry_ms(self, times) <= times->now_ms)
        return VCP_TENURE_EXPIRED;
    if (limit_end_ms(self) <= times->now_ms)
        return VCP_TENURE_OVER;
    if (idle_end_ms(self, times) <= times->now_ms)
        return VCP_TENURE_IDLE;
    return VCP_TENURE_RUNS;
}
