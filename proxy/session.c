/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The session and its pump. States, in their order:
 *   RESOLVING  the resolver is asked what the token stands for
 *   CLAIMING   the store is asked whether it may have its token and its console
 *   HANDSHAKE  connecting to the hypervisor, and the console's handshake with both ends
 *   SPLICED    bytes flow
 *   REFUSING   failed in the handshake: the console's protocol tells the client
 *   CLOSING    what is left goes out, then the close frame; it ends with the websocket */
#include "proxy/session.h"

#include <string.h>

#include "common/address.h"
#include "common/token.h"
#include "proxy/admission.h"
#include "proxy/audit.h"
#include "proxy/compute.h"
#include "proxy/handshake.h"
#include "proxy/liveness.h"
#include "proxy/metrics.h"
#include "proxy/notary.h"
#include "proxy/tenant.h"
#include "proxy/tenure.h"
#include "proxy/timer.h"

/* How long a client may take to hear why it is refused, and to answer a close frame. */
#define REFUSE_TIMEOUT_MS 2000
#define CLOSE_TIMEOUT_MS  3000

/* spice-server 0.15 takes its guest down with it when a display's connection ends while another
 * of its threads still makes the channel. */
#define SPICE_SETTLE_MS 500

/* A tenant end is paused while less than this is free: what libwebsockets still has in hand
 * must fit. */
#define TENANT_RESERVE (VC_BUFFER_SIZE / 2)

/* metrics.c has names for them. */
typedef enum { RESOLVING, CLAIMING, HANDSHAKE, SPLICED, REFUSING, CLOSING } State;

struct VcpSession {
    VcpWorker *worker;
    State state;
    guint64 id; /* 0 until it has started: until its console is known */
    VcpEndpoint *ends[2];
    VcpHandshake *handshake; /* nullable */
    gboolean tls_started;
    gboolean was_connected; /* the handshake knows that the connection stands */
    gboolean heard_text;
    gboolean was_spliced;
    gboolean is_pumping, pump_again, is_gone;

    char *token; /* wiped with the session */
    char token_id[VC_TOKEN_ID_SIZE];
    char *client;
    VcpSlot *slot;
    VcService *service;      /* nullable */
    VcpQuery *query;         /* nullable */
    VcpAdmission *admission; /* nullable: it holds nothing */
    VcpNotary *notary;       /* nullable: the handshake has no notes */
    VcpNoteKind noted;       /* the last one */
    VcpRight *right;         /* nullable: it is ending */
    GError *reason;          /* nullable; why it ends */

    VcpTimer *clock;
    guint64 clock_due_ms; /* 0: stopped */
    guint64 started_ms;
    guint audit_ticket;
    gint64 began_us;     /* since 1970; when its console was known */
    gint64 asked_us;     /* when the resolver was */
    guint64 deadline_ms; /* of the handshake, the refusal or the close */
    guint64 patience_ms; /* until the handshake's time is up; 0: it has no time of its own */
    VcpLiveness life;
    VcpTenure tenure;
    guint idle_timeout_s, session_limit_s; /* as the proxy was set when it began */
    guint64 used_ms, used_bytes; /* when the client last sent something, and how much in all */
    guint64 peeked_traffic;
    VcpMetricsPlace place;
};

static guint64
now_ms(const VcpSession *self)
{
    return uv_now(vcp_worker_loop(self->worker));
}

static const VcpConfig *
config_of(const VcpSession *self)
{
    return vcp_worker_shared(self->worker)->config;
}

gboolean
vcp_session_describe(const VcpSession *self, VcpSessionInfo *info)
{
    if (self->id == 0)
        return FALSE;
    *info = (VcpSessionInfo){
        .id = self->id,
        .token_id = self->token_id,
        .client = self->client,
        .console = self->service->address,
        .state = vcp_metrics_state_name(self->state),
        .type = self->service->type,
        .began_us = self->began_us,
        .bytes_in = self->ends[VCP_TENANT]->bytes_in,
        .bytes_out = self->ends[VCP_TENANT]->bytes_out,
    };
    return TRUE;
}

/* --- the end of a session --- */

static void
log_start(VcpSession *self)
{
    VcpSessionInfo info;

    vcp_session_describe(self, &info);
    self->audit_ticket = vcp_audit_start(vcp_worker_shared(self->worker)->audit, &info);
    g_info("session %" G_GUINT64_FORMAT " started: token %s client %s console %s %s", self->id,
           self->token_id, self->client, vc_console_type_name(self->service->type),
           self->service->address);
}

static void
log_end(const VcpSession *self)
{
    VcError code = vc_error_code(self->reason);

    if (self->id == 0) {
        g_log(G_LOG_DOMAIN, vc_error_log_level(code),
              "refused: token %s client %s code %u reason %s: %s", self->token_id, self->client,
              vc_error_close_code(code), vc_error_name(code), self->reason->message);
        return;
    }
    VcpSessionInfo info;
    double seconds = (double)(now_ms(self) - self->started_ms) / 1000;
    vcp_session_describe(self, &info);
    vcp_audit_end(vcp_worker_shared(self->worker)->audit, self->audit_ticket, &info, seconds,
                  code);
    g_log(G_LOG_DOMAIN, vc_error_log_level(code),
          "session %" G_GUINT64_FORMAT
          " ended: token %s client %s console %s %s seconds %.1f received %" G_GUINT64_FORMAT
          " sent %" G_GUINT64_FORMAT " code %u reason %s: %s",
          self->id, self->token_id, self->client, vc_console_type_name(self->service->type),
          self->service->address, seconds, self->ends[VCP_TENANT]->bytes_in,
          self->ends[VCP_TENANT]->bytes_out, vc_error_close_code(code), vc_error_name(code),
          self->reason->message);
}

static void
count_end(VcpSession *self)
{
    VcError code = vc_error_code(self->reason);

    vcp_metrics_session_gone(&self->place);
    if (self->id != 0)
        vcp_metrics_ended(code);
    if (!self->was_spliced)
        vcp_metrics_failed(code);
}

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
free_session(VcpSession *self)
{
    VcpEndpoint *tenant = self->ends[VCP_TENANT];

    /* What it held is free when the log says that it has ended. */
    let_go(self);
    count_end(self);
    log_end(self);
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

static void
start_closing(VcpSession *self)
{
    VcError code = vc_error_code(self->reason);

    self->state = CLOSING;
    self->deadline_ms = now_ms(self) + CLOSE_TIMEOUT_MS;
    vcp_tenant_close(self->ends[VCP_TENANT], vc_error_close_code(code), vc_error_reason(code));
}

/* Moves the session towards its end, unless it is on its way there. */
static void
fail(VcpSession *self, GError *reason /* full */)
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
        start_closing(self);
    }
    let_go(self);
}

static void
fail_with(VcpSession *self, VcError code, const char *message)
{
    fail(self, g_error_new_literal(VC_ERROR, (int)code, message));
}

void
vcp_session_end(VcpSession *self, GError *reason)
{
    fail(self, reason);
    vcp_session_pump(self);
}

void
vcp_session_tenant_gone(VcpSession *self)
{
    if (self->reason == NULL)
        self->reason = g_error_new_literal(VC_ERROR, VC_ERROR_ENDED, "the client has gone");
    self->is_gone = TRUE;
    vcp_session_pump(self);
}

/* --- resolver --- */

static gboolean
check_expiry(const VcService *service, GError **error)
{
    if (!vc_service_has_expired(service, g_get_real_time() / G_USEC_PER_SEC))
        return TRUE;
    g_set_error_literal(error, VC_ERROR, VC_ERROR_TOKEN, "the token has expired");
    return FALSE;
}

static void
set_tenure(VcpSession *self, const VcService *service)
{
    vcp_tenure_set(&self->tenure, service, self->idle_timeout_s, self->session_limit_s);
}

/* Before the first answer there is nothing to compare with. */
static void
on_right_told(VcService *service, gpointer data)
{
    VcpSession *self = data;

    if (service == NULL) {
        fail_with(self, VC_ERROR_TOKEN, "the token is not good any more");
    } else if (self->service == NULL) {
        return;
    } else if (!vc_service_is_same_place(service, self->service)) {
        fail_with(self, VC_ERROR_MOVED, "the token stands for another console or address now");
    } else {
        set_tenure(self, service);
    }
    vcp_session_pump(self);
}

/* A websocket that was let in as one more of a SPICE session asks for a session of its own: it
 * can have that if there is room, as when the other one has just ended. */
static gboolean
count_anew(VcpSession *self, GError **error)
{
    g_autofree char *client = vc_address_without_port(self->client);
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(self->token, digest);
    g_clear_pointer(&self->slot, vcp_slot_free);
    self->slot =
        vcp_limits_enter(vcp_worker_shared(self->worker)->limits, client, digest, NULL);
    if (self->slot == NULL)
        g_set_error_literal(error, VC_ERROR, VC_ERROR_IN_USE, "there are too many sessions");
    return self->slot != NULL;
}

static gboolean
enter_console(VcpSession *self, const VcService *service, GError **error)
{
    g_autofree char *console = vc_service_console_key(service);

    if (vcp_slot_is_extra(self->slot) && !count_anew(self, error))
        return FALSE;
    return vcp_slot_enter_console(self->slot, console, error);
}

/* A SPICE client says only later whether it asks for a session, which is counted and must not
 * be late, or for a channel of one. */
static gboolean
check_service(VcpSession *self, const VcService *service, GError **error)
{
    if (service->type != VC_CONSOLE_SPICE && !check_expiry(service, error))
        return FALSE;
    if (service->insecure && !config_of(self)->connect_insecure) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_POLICY,
                            "the service is insecure, which needs --connect-insecure");
        return FALSE;
    }
    if (!vcp_targets_check_service(config_of(self)->targets, service, error))
        return FALSE;
    return service->type == VC_CONSOLE_SPICE || enter_console(self, service, error);
}

/* What a console takes is known once it is. */
static gboolean
check_text(VcpSession *self)
{
    if (!self->heard_text || self->handshake == NULL || self->handshake->ops->takes_text)
        return TRUE;
    fail_with(self, VC_ERROR_CLIENT, "a text frame, where all are binary");
    return FALSE;
}

gboolean
vcp_session_heard_text(VcpSession *self)
{
    self->heard_text = TRUE;
    gboolean is_fine = check_text(self);
    if (!is_fine)
        vcp_session_pump(self);
    return is_fine;
}

static void
connect_compute(VcpSession *self)
{
    const VcpShared *shared = vcp_worker_shared(self->worker);
    VcpComputeSetup setup = {
        .loop = vcp_worker_loop(self->worker),
        .pool = vcp_worker_pool(self->worker),
        .credentials = shared->credentials,
        .targets = shared->config->targets,
        .connect_timeout_s = shared->config->connect_timeout_s,
        .is_chardev = self->service->type == VC_CONSOLE_SERIAL,
        .settle_ms = self->service->type == VC_CONSOLE_SPICE ? SPICE_SETTLE_MS : 0,
    };

    self->ends[VCP_COMPUTE] = vcp_compute_connect(&setup, self, self->service,
                                                  vc_service_begins_with_tls(self->service));
}

static void
start_handshake(VcpSession *self)
{
    gboolean has_credentials = vcp_worker_shared(self->worker)->credentials != NULL;
    GError *error = NULL;

    self->handshake = vcp_handshake_new(self->service, has_credentials, &error);
    if (self->handshake == NULL) {
        fail(self, error);
        return;
    }
    if (!check_text(self))
        return;
    self->state = HANDSHAKE;
    if (self->handshake->ops->note == NULL)
        connect_compute(self);
}

static void
on_admitted(GError *error, gpointer data)
{
    VcpSession *self = data;

    if (error != NULL)
        fail(self, error);
    else
        start_handshake(self);
    vcp_session_pump(self);
}

static VcpAdmissionRequest
make_request(const VcpSession *self, const char *client)
{
    return (VcpAdmissionRequest){
        .leases = vcp_worker_leases(self->worker),
        .config = config_of(self),
        .service = self->service,
        .token = self->token,
        .client = client,
    };
}

static void
claim(VcpSession *self)
{
    g_autofree char *client = vc_address_without_port(self->client);
    VcpAdmissionRequest request = make_request(self, client);

    self->state = CLAIMING;
    self->admission = vcp_admit(&request, on_admitted, self);
    if (self->admission == NULL)
        start_handshake(self);
}

/* What the resolver says of the token; where it says nothing, nothing is counted. */
static void
count_guess(const VcpSession *self, const GError *refusal /* nullable */)
{
    VcpGuesses *guesses = vcp_worker_shared(self->worker)->guesses;

    if (refusal == NULL)
        vcp_guesses_succeeded(guesses, self->client);
    else if (vc_error_code(refusal) == VC_ERROR_TOKEN)
        vcp_guesses_failed(guesses, self->client);
}

static void
on_resolved(VcService *service, const GError *error, gpointer data)
{
    static guint64 last_id; /* of all workers */
    VcpSession *self = data;
    GError *refusal = NULL;

    self->query = NULL;
    vcp_metrics_resolved(g_get_monotonic_time() - self->asked_us,
                         service != NULL ? VC_ERROR_ENDED : vc_error_code(error));
    if (service == NULL) {
        count_guess(self, error);
        fail(self, g_error_copy(error));
    } else if (!check_service(self, service, &refusal)) {
        count_guess(self, refusal);
        fail(self, refusal);
    } else {
        count_guess(self, NULL);
        self->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
        self->service = vc_service_ref(service);
        self->began_us = g_get_real_time();
        set_tenure(self, service);
        log_start(self);
        vcp_metrics_started(service->type);
        claim(self);
    }
    vcp_session_pump(self);
}

/* --- how long it may last --- */

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
        fail_with(self, VC_ERROR_TOKEN, "the token has expired");
        break;
    case VCP_TENURE_IDLE:
        fail_with(self, VC_ERROR_IDLE,
                  "the client sent nothing for longer than --idle-timeout "
                  "or the service's idleTimeout");
        break;
    case VCP_TENURE_OVER:
        fail_with(self, VC_ERROR_LIMIT,
                  "it lasted as long as --session-limit or the service's sessionLimit");
        break;
    }
}

static void
note_use(VcpSession *self)
{
    self->used_ms = now_ms(self);
    vcp_right_use(self->right, self->used_ms);
}

/* Bytes alone count; that a client answers pings does not make its user busy. */
static void
note_bytes(VcpSession *self)
{
    guint64 bytes = self->ends[VCP_TENANT]->bytes_in;

    if (bytes != self->used_bytes && self->right != NULL)
        note_use(self);
    self->used_bytes = bytes;
}

/* --- notes for the store --- */

/* A main channel is a session, another channel a part of one that is counted already, here or
 * elsewhere. */
static gboolean
count(VcpSession *self, GError **error)
{
    if (self->noted != VCP_NOTE_CHANNEL)
        return enter_console(self, self->service, error);
    if (!vcp_slot_is_extra(self->slot))
        g_clear_pointer(&self->slot, vcp_slot_free);
    return TRUE;
}

static void
on_noted(VcpStoreAnswer answer, gboolean is_lost, gpointer data)
{
    VcpSession *self = data;
    gboolean asks_for_channel = self->ends[VCP_COMPUTE] == NULL;
    GError *error = NULL;

    /* What has ended the main channel may be its own end just as well. */
    if (is_lost && self->state == SPLICED)
        check_tenure(self);
    if (is_lost || answer != VCP_STORE_OK)
        error = vcp_notary_error(self->noted, answer, is_lost);
    else if (asks_for_channel && !count(self, &error))
        answer = VCP_STORE_TAKEN;
    if (!is_lost)
        self->handshake->ops->noted(self->handshake, answer);
    if (error != NULL)
        fail(self, error);
    else if (asks_for_channel)
        connect_compute(self);
    vcp_session_pump(self);
}

static VcpNotary *
make_notary(VcpSession *self)
{
    g_autofree char *client = vc_address_without_port(self->client);
    VcpAdmissionRequest request = make_request(self, client);
    VcpLeaseTerms terms = vcp_admission_terms(&request);
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(self->token, digest);
    return vcp_notary_new(request.leases, vcp_worker_shared(self->worker)->live, digest,
                          self->service, &terms, on_noted, self);
}

static void
note_down(VcpSession *self)
{
    GError *error = NULL;
    const VcpNote *note;

    if ((self->state != HANDSHAKE && self->state != SPLICED) ||
        self->handshake->ops->note == NULL ||
        (self->notary != NULL && vcp_notary_is_asked(self->notary)))
        return;
    note = self->handshake->ops->note(self->handshake);
    if (note == NULL)
        return;
    self->noted = note->kind;
    if (note->kind == VCP_NOTE_MAIN && !check_expiry(self->service, &error)) {
        self->handshake->ops->noted(self->handshake, VCP_STORE_SPENT);
        fail(self, error);
        return;
    }
    if (self->notary == NULL)
        self->notary = make_notary(self);
    if (!vcp_notary_ask(self->notary, note, &error))
        fail(self, error);
}

/* --- the clock --- */

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
        fail_with(self, VC_ERROR_TIMEOUT, "the handshake took longer than --handshake-timeout");
        break;
    case REFUSING:
        start_closing(self);
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

static guint64
compute_traffic(const VcpSession *self)
{
    const VcpEndpoint *compute = self->ends[VCP_COMPUTE];

    return compute != NULL ? compute->bytes_in + compute->bytes_out : 0;
}

/* Before it went it may have said more, which the console takes as fast as it can. */
static void
peek(VcpSession *self)
{
    guint64 before = self->peeked_traffic;

    self->peeked_traffic = compute_traffic(self);
    if (self->peeked_traffic == before && vcp_tenant_has_left(self->ends[VCP_TENANT]))
        fail_with(self, VC_ERROR_ENDED, "the client has gone, and the console takes nothing");
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
        fail_with(self, VC_ERROR_IDLE, "the client answered neither of two pings");
        break;
    case VCP_LIFE_PEEK:
        peek(self);
        break;
    case VCP_LIFE_LOOK:
        if (is_stuck(self))
            fail_with(self, VC_ERROR_IDLE,
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
    if (self->state == SPLICED)
        return MIN(vcp_liveness_due(&self->life), tenure_due_ms(self));
    return is_patient(self) ? MIN(self->deadline_ms, self->patience_ms) : self->deadline_ms;
}

/* Bytes move the deadlines on, but not the timer: it looks anew when it fires. */
static void
set_clock(VcpSession *self)
{
    guint64 due = next_due_ms(self);

    if (self->clock_due_ms != 0 && self->clock_due_ms <= due)
        return;
    self->clock_due_ms = due;
    vcp_timer_start(self->clock, due > now_ms(self) ? due - now_ms(self) : 0);
}

static void
on_clock(gpointer data)
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

/* --- the pump --- */

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
        note_use(self);
        g_debug("session %" G_GUINT64_FORMAT " joined after %" G_GUINT64_FORMAT " ms", self->id,
                now_ms(self) - self->started_ms);
        break;
    case VCP_STEP_FAILED:
        fail(self, error);
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
        fail(self, error);
}

static void
refuse(VcpSession *self)
{
    VcpEndpoint *tenant = self->ends[VCP_TENANT];
    const char *reason = vc_error_reason(vc_error_code(self->reason));

    if (self->handshake->ops->refuse(self->handshake, reason, &tenant->in, &tenant->out))
        start_closing(self);
}

/* The hypervisor's end has ended, and all it said has been taken. */
static void
on_compute_ended(VcpSession *self)
{
    VcpEndpoint *compute = self->ends[VCP_COMPUTE];
    const VcpHandshakeOps *ops = self->handshake->ops;
    GError *why =
        self->state == SPLICED && ops->ended != NULL ? ops->ended(self->handshake) : NULL;

    if (compute->error != NULL)
        fail(self, g_steal_pointer(&compute->error));
    else if (why != NULL)
        fail(self, g_steal_pointer(&why));
    else if (self->state == SPLICED)
        fail_with(self, VC_ERROR_ENDED, "the console has closed the connection");
    else
        fail_with(self, VC_ERROR_PROTOCOL,
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
    gboolean paused = vc_buffer_room(&tenant->in) < TENANT_RESERVE;

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

static void
pump_once(VcpSession *self)
{
    guint64 before = compute_traffic(self);

    note_bytes(self);
    if (self->ends[VCP_COMPUTE] != NULL)
        self->ends[VCP_COMPUTE]->ops->fill(self->ends[VCP_COMPUTE]);
    move_bytes(self);
    note_down(self);
    if (self->ends[VCP_COMPUTE] != NULL)
        self->ends[VCP_COMPUTE]->ops->flush(self->ends[VCP_COMPUTE]);

    /* What came may have made something else possible, and what went has made room for more. */
    if (compute_traffic(self) != before)
        self->pump_again = TRUE;
}

void
vcp_session_pump(VcpSession *self)
{
    self->pump_again = TRUE;
    if (self->is_pumping)
        return;
    self->is_pumping = TRUE;
    while (self->pump_again && !self->is_gone) {
        self->pump_again = FALSE;
        pump_once(self);
    }
    self->is_pumping = FALSE;

    if (self->is_gone) {
        free_session(self);
        return;
    }
    arm(self);
    set_clock(self);
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
    self->ends[VCP_TENANT] = tenant;
    self->token = token;
    vc_token_id(token, self->token_id);
    self->slot = slot;
    self->client = g_strdup(client);
    self->clock = vcp_timer_new(vcp_worker_loop(worker), on_clock, self);
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
    self->right = vcp_right_new(vcp_worker_desk(worker), token, on_right_told, self);

    /* An answer that comes at once must find a session that nobody is about to use. */
    self->is_pumping = TRUE;
    self->query = resolver->ops->query(resolver, token, on_resolved, self);
    self->is_pumping = FALSE;
    vcp_session_pump(self);
    return self;
}
