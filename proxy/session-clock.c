/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Deadlines: of the handshake, the refusal and the close; of a client that is mute, stuck or
 * idle; of the token and the session. */
#include "proxy/session-parts.h"

#include "proxy/compute.h"
#include "proxy/tenant.h"

void
vcp_session_set_tenure(VcpSession *self, const VcService *service)
{
    vcp_tenure_set(&self->tenure, service, self->idle_timeout_s, self->session_limit_s);
}

/* A SPICE session's client may be busy on any of its channels. */
static VcpTenureTimes
tenure_times(const VcpSession *self)
{
    gboolean is_spice = self->service->type == VC_CONSOLE_SPICE && self->right != NULL;

    return (VcpTenureTimes){
        .used_ms = is_spice ? vcp_right_used_ms(self->right) : self->used_ms,
        .now_ms = now_ms(self),
        .wall_ms = g_get_real_time() / 1000,
    };
}

static guint64
tenure_due_ms(const VcpSession *self)
{
    VcpTenureTimes times = tenure_times(self);

    return vcp_tenure_due(&self->tenure, &times);
}

static void
check_tenure(VcpSession *self)
{
    VcpTenureTimes times = tenure_times(self);

    switch (vcp_tenure_check(&self->tenure, &times)) {
    case VCP_TENURE_RUNS:
        break;
    case VCP_TENURE_EXPIRED:
        vcp_session_fail_with(self, VC_ERROR_TOKEN, "the token has expired");
        break;
    case VCP_TENURE_IDLE:
        vcp_session_fail_with(self, VC_ERROR_IDLE,
                              "the client sent nothing for longer than --idle-timeout "
                              "or the service's idleTimeout");
        break;
    case VCP_TENURE_OVER:
        vcp_session_fail_with(
            self, VC_ERROR_LIMIT,
            "it lasted as long as --session-limit or the service's sessionLimit");
        break;
    }
}

void
vcp_session_look_for_reason(VcpSession *self)
{
    check_tenure(self);
    vcp_right_hear(self->right);
}

void
vcp_session_note_use(VcpSession *self)
{
    self->used_ms = now_ms(self);
    vcp_right_use(self->right, self->used_ms);
}

/* Bytes alone count; that a client answers pings does not make its user busy. */
void
vcp_session_note_bytes(VcpSession *self)
{
    guint64 bytes = self->ends[VCP_TENANT]->bytes_in;

    if (bytes != self->used_bytes && self->right != NULL)
        vcp_session_note_use(self);
    self->used_bytes = bytes;
}

static gboolean
is_stuck(VcpSession *self)
{
    if (vcp_tenant_made_progress(self->ends[VCP_TENANT]))
        vcp_liveness_progress(&self->life, now_ms(self));
    return vcp_liveness_is_stuck(&self->life, now_ms(self));
}

/* The last of what the console said, and the close frame behind it, may take as long as
 * anything else. */
static gboolean
is_taking_the_rest(VcpSession *self)
{
    return self->life.stalled_ms != 0 && !is_stuck(self);
}

static void
on_deadline(VcpSession *self)
{
    switch (self->state) {
    case RESOLVING:
    case CLAIMING:
    case HANDSHAKE:
        vcp_session_fail_with(self, VC_ERROR_TIMEOUT,
                              "the handshake took longer than --handshake-timeout");
        break;
    case REFUSING:
        vcp_session_start_closing(self);
        break;
    case CLOSING:
        if (!is_taking_the_rest(self))
            vcp_tenant_kill(self->ends[VCP_TENANT]);
        self->deadline_ms = now_ms(self) + CLOSE_TIMEOUT_MS;
        break;
    case SPLICED:
        break;
    }
}

/* Before it went it may have said more, which the console takes as fast as it can. */
static void
peek(VcpSession *self)
{
    guint64 before = self->peeked_traffic;

    self->peeked_traffic = compute_traffic(self);
    if (self->peeked_traffic == before && vcp_tenant_has_left(self->ends[VCP_TENANT]))
        vcp_session_fail_with(self, VC_ERROR_ENDED,
                              "the client has gone, and the console takes nothing");
}

static void
check_life(VcpSession *self)
{
    switch (vcp_liveness_check(&self->life, now_ms(self))) {
    case VCP_LIFE_FINE:
        break;
    case VCP_LIFE_PING:
        vcp_tenant_ping(self->ends[VCP_TENANT]);
        break;
    case VCP_LIFE_MUTE:
        vcp_session_fail_with(self, VC_ERROR_IDLE, "the client answered neither of two pings");
        break;
    case VCP_LIFE_PEEK:
        peek(self);
        break;
    case VCP_LIFE_LOOK:
        if (is_stuck(self))
            vcp_session_fail_with(self, VC_ERROR_IDLE,
                                  "the client took no byte for longer than --write-timeout");
        break;
    }
}

static gboolean
is_patient(const VcpSession *self)
{
    return self->state == HANDSHAKE && self->patience_ms != 0;
}

static void
check_patience(VcpSession *self)
{
    if (!is_patient(self) || now_ms(self) < self->patience_ms)
        return;
    self->patience_ms = 0;
    self->handshake->ops->time_is_up(self->handshake);
}

static guint64
next_due_ms(const VcpSession *self)
{
    if (self->state == SPLICED) {
        guint64 due = MIN(vcp_liveness_due(&self->life), tenure_due_ms(self));
        return self->farewell_ms != 0 ? MIN(due, self->farewell_ms) : due;
    }
    return is_patient(self) ? MIN(self->deadline_ms, self->patience_ms) : self->deadline_ms;
}

/* Bytes move the deadlines on, but not the timer: it looks anew when it fires. */
void
vcp_session_set_clock(VcpSession *self)
{
    guint64 due = next_due_ms(self);

    if (self->clock_due_ms != 0 && self->clock_due_ms <= due)
        return;
    self->clock_due_ms = due;
    vcp_timer_start(self->clock, due > now_ms(self) ? due - now_ms(self) : 0);
}

void
vcp_session_on_clock(gpointer data)
{
    VcpSession *self = data;

    self->clock_due_ms = 0;
    check_patience(self);
    if (self->state == SPLICED) {
        check_life(self);
        check_tenure(self);
    } else if (now_ms(self) >= self->deadline_ms) {
        on_deadline(self);
    }
    vcp_session_pump(self);
}

void
vcp_session_heard(VcpSession *self)
{
    vcp_liveness_heard(&self->life, now_ms(self));
}
