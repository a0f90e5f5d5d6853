/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Notes and leases: MAIN is a claim of the token and then of the console, SESSION the token's
 * confirmation, CHANNELS go with it, CHANNEL is an attachment. */
#include "proxy/notary.h"

#include "common/token.h"

struct VcpNotary {
    VcpLeases *leases;
    VcpSpiceLive *live;
    char token_digest[VC_TOKEN_DIGEST_SIZE];
    VcService *service;
    VcpLeaseTerms terms;
    char *client; /* nullable; of terms */

    VcpLease *lease;   /* nullable */
    VcpLease *console; /* nullable: a main channel's, where nobody else may have it */
    VcpNoteKind kind;  /* of the last note */
    gboolean is_asked;
    gboolean is_live; /* the session is in the table of live ones */
    VcpNotaryAnswered answered;
    gpointer data;
};

VcpNotary *
vcp_notary_new(VcpLeases *leases, VcpSpiceLive *live, const char *token_digest,
               VcService *service, const VcpLeaseTerms *terms, VcpNotaryAnswered answered,
               gpointer data)
{
    VcpNotary *self = g_new0(VcpNotary, 1);

    self->leases = leases;
    self->live = live;
    g_strlcpy(self->token_digest, token_digest, sizeof self->token_digest);
    self->service = vc_service_ref(service);
    self->terms = *terms;
    self->client = g_strdup(terms->client);
    self->terms.client = self->client;
    self->answered = answered;
    self->data = data;
    return self;
}

static void
on_answer(VcpStoreAnswer answer, gpointer data)
{
    VcpNotary *self = data;
    gboolean is_lost = !self->is_asked;

    self->is_asked = FALSE;
    /* A running session goes on; the lease tells the store when it hears again. */
    if (answer == VCP_STORE_AWAY && self->kind == VCP_NOTE_CHANNELS)
        answer = VCP_STORE_OK;
    if (!is_lost && answer == VCP_STORE_OK && self->kind == VCP_NOTE_SESSION) {
        vcp_spice_live_begin(self->live, self->token_digest);
        self->is_live = TRUE;
    }
    self->answered(answer, is_lost, self->data);
}

/* A lost console ends the session, whatever else is being asked. */
static void
on_console(VcpStoreAnswer answer, gpointer data)
{
    VcpNotary *self = data;

    if (self->is_asked && self->kind == VCP_NOTE_MAIN)
        on_answer(answer, self);
    else if (answer != VCP_STORE_OK && answer != VCP_STORE_AWAY)
        self->answered(answer, TRUE, self->data);
}

/* A new main channel makes the hypervisor throw out who has the console, by whichever token
 * they have come. */
static void
on_token(VcpStoreAnswer answer, gpointer data)
{
    VcpNotary *self = data;

    if (answer != VCP_STORE_OK || !self->is_asked || self->kind != VCP_NOTE_MAIN ||
        self->service->shared) {
        on_answer(answer, self);
        return;
    }
    g_autofree char *key = vc_service_console_key(self->service);
    self->console = vcp_lease_claim_console(self->leases, key, on_console, self);
}

gboolean
vcp_notary_ask(VcpNotary *self, const VcpNote *note, GError **error)
{
    g_assert(!self->is_asked);
    self->is_asked = TRUE;
    self->kind = note->kind;
    switch (note->kind) {
    case VCP_NOTE_MAIN:
        self->lease = vcp_lease_claim_token(self->leases, self->token_digest, &self->terms,
                                            on_token, self);
        break;
    case VCP_NOTE_CHANNEL:
        self->lease =
            vcp_lease_attach(self->leases, self->token_digest, note->session_id,
                             self->service->address, note->channels[0], on_answer, self);
        break;
    case VCP_NOTE_SESSION:
        vcp_lease_confirm(self->lease, note->session_id, self->service->address);
        break;
    case VCP_NOTE_CHANNELS:
        if (!vcp_lease_add_channels(self->lease, note->channels, note->n_channels)) {
            g_set_error_literal(error, VC_ERROR, VC_ERROR_PROTOCOL,
                                "the hypervisor lists too many SPICE channels");
            self->is_asked = FALSE;
            return FALSE;
        }
        break;
    }
    return TRUE;
}

gboolean
vcp_notary_is_asked(const VcpNotary *self)
{
    return self->is_asked;
}

void
vcp_notary_free(VcpNotary *self)
{
    if (self == NULL)
        return;
    if (self->is_live)
        vcp_spice_live_end(self->live, self->token_digest);
    vcp_lease_free(self->console);
    vcp_lease_free(self->lease);
    vc_service_unref(self->service);
    g_free(self->client);
    g_free(self);
}

GError *
vcp_notary_error(VcpNoteKind kind, VcpStoreAnswer answer, gboolean is_lost)
{
    if (is_lost && kind == VCP_NOTE_CHANNEL)
        return g_error_new_literal(VC_ERROR, VC_ERROR_ENDED,
                                   "the session's main channel has ended");
    if (kind == VCP_NOTE_CHANNEL && answer == VCP_STORE_TAKEN)
        return g_error_new_literal(VC_ERROR, VC_ERROR_POLICY,
                                   "the SPICE channel is open already");
    return vcp_lease_error(answer);
}
