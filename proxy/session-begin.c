/* SPDX-License-Identifier: LGPL-2.1-or-later
 * From a token to a console: the resolver's answer, the store's, the connection, and the notes
 * that a handshake leaves for the store. */
#include "proxy/session-parts.h"

#include "common/address.h"
#include "proxy/compute.h"

/* spice-server 0.15 takes its guest down with it when a display's connection ends while another
 * of its threads still makes the channel. */
#define SPICE_SETTLE_MS 500

static gboolean
check_expiry(const VcService *service, GError **error)
{
    if (!vc_service_has_expired(service, g_get_real_time() / G_USEC_PER_SEC))
        return TRUE;
    g_set_error_literal(error, VC_ERROR, VC_ERROR_TOKEN, "the token has expired");
    return FALSE;
}

/* Before the first answer there is nothing to compare with. */
void
vcp_session_on_right_told(VcService *service, gpointer data)
{
    VcpSession *self = data;

    if (service == NULL) {
        vcp_session_fail_with(self, VC_ERROR_TOKEN, "the token is not good any more");
    } else if (self->service == NULL) {
        return;
    } else if (!vc_service_is_same_place(service, self->service)) {
        vcp_session_fail_with(self, VC_ERROR_MOVED,
                              "the token stands for another console or address now");
    } else {
        vcp_session_set_tenure(self, service);
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
    vcp_session_fail_with(self, VC_ERROR_CLIENT, "a text frame, where all are binary");
    return FALSE;
}

void
vcp_session_heard_text(VcpSession *self)
{
    self->heard_text = TRUE;
    if (!check_text(self))
        vcp_session_pump(self);
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
        vcp_session_fail(self, error);
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
        vcp_session_fail(self, error);
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

void
vcp_session_on_resolved(VcService *service, const GError *error, gpointer data)
{
    static guint64 last_id; /* of all workers */
    VcpSession *self = data;
    GError *refusal = NULL;

    self->query = NULL;
    vcp_metrics_resolved(g_get_monotonic_time() - self->asked_us,
                         service != NULL ? VC_ERROR_ENDED : vc_error_code(error));
    if (service == NULL) {
        count_guess(self, error);
        vcp_session_fail(self, g_error_copy(error));
    } else if (!check_service(self, service, &refusal)) {
        count_guess(self, refusal);
        vcp_session_fail(self, refusal);
    } else {
        count_guess(self, NULL);
        self->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
        self->service = vc_service_ref(service);
        self->began_us = g_get_real_time();
        vcp_session_set_tenure(self, service);
        vcp_session_log_start(self);
        vcp_metrics_started(service->type);
        claim(self);
    }
    vcp_session_pump(self);
}

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

    if (is_lost && self->state == SPLICED)
        vcp_session_look_for_reason(self);
    if (is_lost || answer != VCP_STORE_OK)
        error = vcp_notary_error(self->noted, answer, is_lost);
    else if (asks_for_channel && !count(self, &error))
        answer = VCP_STORE_TAKEN;
    if (!is_lost)
        self->handshake->ops->noted(self->handshake, answer);
    if (error != NULL)
        vcp_session_fail(self, error);
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

void
vcp_session_note_down(VcpSession *self)
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
        vcp_session_fail(self, error);
        return;
    }
    if (self->notary == NULL)
        self->notary = make_notary(self);
    if (!vcp_notary_ask(self->notary, note, &error))
        vcp_session_fail(self, error);
}
