/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The session and its pump. States, in their order:
 *   RESOLVING  the resolver is asked what the token stands for
 *   CLAIMING   the store is asked whether it may have its token and its console
 *   HANDSHAKE  connecting to the hypervisor, and the console's handshake with both ends
 *   SPLICED    bytes flow
 *   REFUSING   failed in the handshake: the console's protocol tells the client
 *   CLOSING    what is left goes out, then the close frame; it ends with the websocket */
#include "proxy/session-parts.h"

#include <string.h>

#include "common/address.h"
#include "common/token.h"
#include "proxy/compute.h"
#include "proxy/tenant.h"

/* How long a client may take to hear why it is refused. */
#define REFUSE_TIMEOUT_MS 2000

/* What a session moves before others have their turn: at 1 to 2 s of CPU a GiB a quarter of a
 * millisecond. More than one buffer, so that one which comes alone needs no second turn to find
 * that there is no other. */
#define BYTES_A_TURN (2 * VC_BUFFER_SIZE)

static void
let_go(VcpSession *self)
{
    if (self->query != NULL) {
        VcpResolver *resolver = vcp_worker_resolver(self->worker);
        resolver->ops->cancel(resolver, self->query);
        self->query = NULL;
    }
    g_clear_pointer(&self->ends[VCP_COMPUTE], vcp_compute_close);
    g_clear_pointer(&self->admission, vcp_admission_free);
    g_clear_pointer(&self->notary, vcp_notary_free);
    g_clear_pointer(&self->right, vcp_right_free);
}

static void
wait_for_turn(VcpSession *self, gboolean has_more)
{
    VcpTurns *turns = vcp_worker_turns(self->worker);

    if (has_more && !self->has_more)
        vcp_turns_wait(turns, &self->turn);
    else if (!has_more && self->has_more)
        vcp_turns_leave(turns, &self->turn);
    self->has_more = has_more;
}

static void
free_session(VcpSession *self)
{
    VcpEndpoint *tenant = self->ends[VCP_TENANT];

    wait_for_turn(self, FALSE);
    /* What it held is free when the log says that it has ended. */
    let_go(self);
    vcp_session_count_end(self);
    vcp_session_log_end(self);
    tenant->session = NULL;
    vc_buffer_clear(&tenant->in);
    vc_buffer_clear(&tenant->out);
    vcp_handshake_free(self->handshake);
    vcp_timer_free(self->clock);
    vcp_slot_free(self->slot);
    vc_service_unref(self->service);
    vc_secret_free(self->token);
    g_clear_error(&self->reason);
    g_free(self->client);
    g_free(self);
}

void
vcp_session_start_closing(VcpSession *self)
{
    VcError code = vc_error_code(self->reason);

    self->state = CLOSING;
    self->deadline_ms = now_ms(self) + CLOSE_TIMEOUT_MS;
    vcp_tenant_close(self->ends[VCP_TENANT], vc_error_close_code(code), vc_error_reason(code));
}

/* Moves the session towards its end, unless it is on its way there. */
void
vcp_session_fail(VcpSession *self, GError *reason /* full */)
{
    if (self->reason != NULL) {
        g_error_free(reason);
        return;
    }
    self->reason = reason;
    self->pump_again = TRUE;
    if (self->state == HANDSHAKE && self->handshake != NULL) {
        self->state = REFUSING;
        self->deadline_ms = MIN(self->deadline_ms, now_ms(self) + REFUSE_TIMEOUT_MS);
    } else {
        vcp_session_start_closing(self);
    }
    let_go(self);
}

void
vcp_session_fail_with(VcpSession *self, VcError code, const char *message)
{
    vcp_session_fail(self, g_error_new_literal(VC_ERROR, (int)code, message));
}

void
vcp_session_end(VcpSession *self, GError *reason)
{
    vcp_session_fail(self, reason);
    vcp_session_pump(self);
}

static void
note_client_gone(VcpSession *self)
{
    if (self->reason == NULL)
        self->reason = g_error_new_literal(VC_ERROR, VC_ERROR_ENDED, "the client has gone");
}

/* Whether the console has what the client said before its close frame, as far as it takes it in
 * time; after a relay, which leaves nothing behind that could be moved. To a serial one it goes
 * even after the session. */
static gboolean
has_passed_all_on(VcpSession *self)
{
    const VcpEndpoint *compute = self->ends[VCP_COMPUTE];

    if (self->state != SPLICED || self->service->type == VC_CONSOLE_SERIAL || compute->eof ||
        vc_buffer_length(&compute->out) == 0)
        return TRUE;
    if (self->farewell_ms == 0)
        self->farewell_ms = now_ms(self) + CLOSE_TIMEOUT_MS;
    return now_ms(self) >= self->farewell_ms;
}

/* The client's close frame has come. */
static void
on_tenant_ended(VcpSession *self)
{
    note_client_gone(self);
    let_go(self);
    vcp_session_start_closing(self);
}

void
vcp_session_tenant_gone(VcpSession *self)
{
    note_client_gone(self);
    self->is_gone = TRUE;
    vcp_session_pump(self);
}

static void
tell_connected(VcpSession *self)
{
    const VcpHandshakeOps *ops = self->handshake->ops;

    if (self->was_connected || self->ends[VCP_COMPUTE] == NULL ||
        !self->ends[VCP_COMPUTE]->ready || ops->connected == NULL)
        return;
    self->was_connected = TRUE;
    guint wait_ms = ops->connected(self->handshake, config_of(self)->serial_grace_ms);
    if (wait_ms > 0)
        self->patience_ms = now_ms(self) + wait_ms;
}

static void
advance(VcpSession *self)
{
    VcpEndpoint *tenant = self->ends[VCP_TENANT], *compute = self->ends[VCP_COMPUTE];
    VcpEndpoint nobody = {0}; /* in place of a hypervisor that is not connected to yet */
    VcBuffer *from[2] = {&tenant->in, compute != NULL ? &compute->in : &nobody.in};
    VcBuffer *to[2] = {&tenant->out, compute != NULL ? &compute->out : &nobody.out};
    GError *error = NULL;

    /* While TLS is being set up, nothing that the peers sent before may be read as if it had
     * come after. */
    if (self->tls_started && !compute->ready)
        return;
    tell_connected(self);
    switch (self->handshake->ops->advance(self->handshake, from, to, &error)) {
    case VCP_STEP_WAIT:
        break;
    case VCP_STEP_START_TLS:
        self->tls_started = TRUE;
        vcp_compute_start_tls(compute);
        self->pump_again = TRUE;
        break;
    case VCP_STEP_SPLICE:
        self->state = SPLICED;
        self->was_spliced = TRUE;
        vcp_admission_confirm(self->admission);
        vcp_liveness_heard(&self->life, now_ms(self));
        vcp_session_note_use(self);
        g_debug("session %" G_GUINT64_FORMAT " joined after %" G_GUINT64_FORMAT " ms", self->id,
                now_ms(self) - self->started_ms);
        break;
    case VCP_STEP_FAILED:
        vcp_session_fail(self, error);
        break;
    }
}

static void
relay(VcpSession *self, VcpSide side)
{
    const VcpHandshakeOps *ops = self->handshake->ops;
    VcBuffer *from = &self->ends[side]->in, *to = &self->ends[!side]->out;
    GError *error = NULL;

    if (ops->relay == NULL)
        vc_buffer_move(to, from);
    else if (vc_buffer_length(from) > 0 && !ops->relay(self->handshake, side, from, to, &error))
        vcp_session_fail(self, error);
}

static void
refuse(VcpSession *self)
{
    VcpEndpoint *tenant = self->ends[VCP_TENANT];
    const char *reason = vc_error_reason(vc_error_code(self->reason));

    if (self->handshake->ops->refuse(self->handshake, reason, &tenant->in, &tenant->out))
        vcp_session_start_closing(self);
}

/* The hypervisor's end has ended, and all it said has been taken. */
static void
on_compute_ended(VcpSession *self)
{
    if (self->state == SPLICED)
        vcp_session_look_for_reason(self);
    if (self->reason != NULL)
        return; /* the end is let go already */

    VcpEndpoint *compute = self->ends[VCP_COMPUTE];
    const VcpHandshakeOps *ops = self->handshake->ops;
    GError *why =
        self->state == SPLICED && ops->ended != NULL ? ops->ended(self->handshake) : NULL;

    if (compute->error != NULL)
        vcp_session_fail(self, g_steal_pointer(&compute->error));
    else if (why != NULL)
        vcp_session_fail(self, g_steal_pointer(&why));
    else if (self->state == SPLICED)
        vcp_session_fail_with(self, VC_ERROR_ENDED, "the console has closed the connection");
    else
        vcp_session_fail_with(self, VC_ERROR_PROTOCOL,
                              "the hypervisor closed the connection during the handshake");
    g_clear_error(&why);
}

/* What the hypervisor said before its end has been taken; the beginning of a message, of which
 * no more will come, counts as nothing. */
static gboolean
has_taken_all(const VcpSession *self)
{
    const VcpEndpoint *compute = self->ends[VCP_COMPUTE];
    const VcpHandshakeOps *ops = self->handshake->ops;

    if (self->state == HANDSHAKE || vc_buffer_length(&compute->in) == 0)
        return TRUE;
    return ops->note != NULL && ops->note(self->handshake) == NULL &&
           vc_buffer_length(&self->ends[VCP_TENANT]->out) == 0;
}

static void
move_bytes(VcpSession *self)
{
    if (self->state == HANDSHAKE)
        advance(self);
    if (self->state == SPLICED)
        relay(self, VCP_COMPUTE);
    if (self->state == SPLICED)
        relay(self, VCP_TENANT);
    if (self->state == REFUSING)
        refuse(self);
    if (self->ends[VCP_TENANT]->eof && self->state != CLOSING && has_passed_all_on(self))
        on_tenant_ended(self);
    if (self->state == CLOSING)
        vc_buffer_clear(&self->ends[VCP_TENANT]->in);

    VcpEndpoint *compute = self->ends[VCP_COMPUTE];
    if (compute != NULL && compute->eof && has_taken_all(self))
        on_compute_ended(self);
}

/* The one place that decides what to wait for, from the buffers' state alone. */
static void
arm(VcpSession *self)
{
    VcpEndpoint *tenant = self->ends[VCP_TENANT], *compute = self->ends[VCP_COMPUTE];
    gboolean has_output = vc_buffer_length(&tenant->out) > 0;
    gboolean paused = vc_buffer_room(&tenant->in) == 0;
    gboolean waiting = has_output || tenant->unsent;

    tenant->ops->want(tenant, !paused, has_output);
    if (compute != NULL)
        compute->ops->want(compute, vc_buffer_room(&compute->in) > 0,
                           vc_buffer_length(&compute->out) > 0);
    /* Its time to answer the close frame begins when it can have it. */
    if (self->state == CLOSING && !waiting && self->life.stalled_ms != 0)
        self->deadline_ms = now_ms(self) + CLOSE_TIMEOUT_MS;
    vcp_liveness_set(&self->life, now_ms(self), paused, waiting, tenant->bytes_out);
}

static guint64
traffic(const VcpSession *self)
{
    const VcpEndpoint *tenant = self->ends[VCP_TENANT];

    return compute_traffic(self) + tenant->raw_in + tenant->bytes_out;
}

static void
pump_once(VcpSession *self)
{
    VcpEndpoint *tenant = self->ends[VCP_TENANT];
    guint64 before = traffic(self);

    tenant->ops->fill(tenant);
    vcp_session_note_bytes(self);
    if (self->ends[VCP_COMPUTE] != NULL)
        self->ends[VCP_COMPUTE]->ops->fill(self->ends[VCP_COMPUTE]);
    move_bytes(self);
    vcp_session_note_down(self);
    if (self->ends[VCP_COMPUTE] != NULL)
        self->ends[VCP_COMPUTE]->ops->flush(self->ends[VCP_COMPUTE]);
    tenant->ops->flush(tenant);

    /* What came may have made something else possible, and what went has made room for more. */
    if (traffic(self) != before)
        self->pump_again = TRUE;
}

void
vcp_session_on_turn(gpointer data)
{
    VcpSession *self = data;

    self->has_more = FALSE;
    vcp_session_pump(self);
}

void
vcp_session_pump(VcpSession *self)
{
    guint64 before = traffic(self);

    self->pump_again = TRUE;
    if (self->is_pumping)
        return;
    self->is_pumping = TRUE;
    while (self->pump_again && !self->is_gone && traffic(self) - before < 2 * BYTES_A_TURN) {
        self->pump_again = FALSE;
        pump_once(self);
    }
    self->is_pumping = FALSE;

    if (self->is_gone) {
        free_session(self);
        return;
    }
    arm(self);
    wait_for_turn(self, self->pump_again);
    vcp_session_set_clock(self);
    vcp_metrics_session_is(&self->place,
                           self->service != NULL ? self->service->type : VC_N_CONSOLE_TYPES,
                           self->state);
}

VcpSession *
vcp_session_new(VcpWorker *worker, VcpEndpoint *tenant, char *token, VcpSlot *slot,
                const char *client, guint64 accepted_ms)
{
    VcpSession *self = g_new0(VcpSession, 1);
    VcpResolver *resolver = vcp_worker_resolver(worker);

    self->worker = worker;
    self->turn.data = self;
    self->ends[VCP_TENANT] = tenant;
    self->token = token;
    vc_token_id(token, self->token_id);
    self->slot = slot;
    self->client = g_strdup(client);
    self->clock = vcp_timer_new(vcp_worker_loop(worker), vcp_session_on_clock, self);
    self->started_ms = now_ms(self);
    self->asked_us = g_get_monotonic_time();
    self->tenure.started_ms = self->started_ms;
    self->idle_timeout_s = config_of(self)->idle_timeout_s;
    self->session_limit_s = config_of(self)->session_limit_s;
    vcp_liveness_init(&self->life, config_of(self)->keepalive_s,
                      config_of(self)->write_timeout_s, self->started_ms);
    self->deadline_ms =
        accepted_ms + config_of(self)->handshake_timeout_s * G_GUINT64_CONSTANT(1000);
    tenant->session = self;
    self->right =
        vcp_right_new(vcp_worker_desk(worker), token, vcp_session_on_right_told, self);

    /* An answer that comes at once must find a session that nobody is about to use. */
    self->is_pumping = TRUE;
    self->query = resolver->ops->query(resolver, token, vcp_session_on_resolved, self);
    self->is_pumping = FALSE;
    vcp_session_pump(self);
    return self;
}
