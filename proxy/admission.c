/* SPDX-License-Identifier: LGPL-2.1-or-later
 * First the token, then the console: who comes with a spent token is to hear that, and not that
 * somebody else has the console. */
#include "proxy/admission.h"

#include "common/token.h"

struct VcpAdmission {
    VcpLeases *leases;  /* not owned */
    char *console;      /* nullable: nobody is kept out of it */
    VcpLease *by_token; /* nullable, as the next */
    VcpLease *by_console;
    gboolean is_admitted;
    VcpAdmitted admitted;
    gpointer data;
};

static gboolean
is_single_use(const VcpAdmissionRequest *request)
{
    switch (request->service->token_use) {
    case VC_TOKEN_USE_DEFAULT:
        return request->config->is_single_use;
    case VC_TOKEN_USE_MULTI:
        return FALSE;
    case VC_TOKEN_USE_SINGLE:
        return TRUE;
    }
    g_assert_not_reached();
}

/* QEMU lets a second client of a serial port wait, and the guest gets what that one has sent
 * when the first is gone. */
static gboolean
is_exclusive(const VcService *service)
{
    return service->type == VC_CONSOLE_SERIAL && !service->shared;
}

/* A lease goes on trying while the store is away; the session may too. */
static void
check_held(VcpAdmission *self, VcpStoreAnswer answer)
{
    if (answer != VCP_STORE_OK && answer != VCP_STORE_AWAY)
        self->admitted(vcp_lease_error(answer), self->data);
}

static void
on_console(VcpStoreAnswer answer, gpointer data)
{
    VcpAdmission *self = data;

    if (self->is_admitted) {
        check_held(self, answer);
        return;
    }
    self->is_admitted = answer == VCP_STORE_OK;
    self->admitted(self->is_admitted ? NULL : vcp_lease_error(answer), self->data);
}

/* FALSE: there is nothing to ask for. */
static gboolean
claim_console(VcpAdmission *self)
{
    if (self->console == NULL)
        return FALSE;
    self->by_console = vcp_lease_claim_console(self->leases, self->console, on_console, self);
    return TRUE;
}

static void
on_token(VcpStoreAnswer answer, gpointer data)
{
    VcpAdmission *self = data;

    if (self->is_admitted || self->by_console != NULL) {
        check_held(self, answer);
        return;
    }
    if (answer == VCP_STORE_OK && claim_console(self))
        return;
    self->is_admitted = answer == VCP_STORE_OK;
    self->admitted(self->is_admitted ? NULL : vcp_lease_error(answer), self->data);
}

VcpLeaseTerms
vcp_admission_terms(const VcpAdmissionRequest *request)
{
    return (VcpLeaseTerms){
        .is_single = is_single_use(request),
        .expires_s = request->service->expires_s,
        .spent_ttl_s = request->config->spent_ttl_s,
        .reconnect_window_s = request->config->reconnect_window_s,
        .client = request->client,
    };
}

static void
claim_token(VcpAdmission *self, const VcpAdmissionRequest *request)
{
    char digest[VC_TOKEN_DIGEST_SIZE];
    VcpLeaseTerms terms = vcp_admission_terms(request);

    vc_token_digest(request->token, digest);
    self->by_token = vcp_lease_claim_token(self->leases, digest, &terms, on_token, self);
}

VcpAdmission *
vcp_admit(const VcpAdmissionRequest *request, VcpAdmitted admitted, gpointer data)
{
    gboolean is_single = is_single_use(request);

    if (request->service->type == VC_CONSOLE_SPICE ||
        (!is_single && !is_exclusive(request->service)))
        return NULL;

    VcpAdmission *self = g_new0(VcpAdmission, 1);
    self->leases = request->leases;
    self->admitted = admitted;
    self->data = data;
    if (is_exclusive(request->service))
        self->console = vc_service_console_key(request->service);
    if (is_single)
        claim_token(self, request);
    else
        claim_console(self);
    return self;
}

void
vcp_admission_confirm(VcpAdmission *self)
{
    if (self != NULL && self->by_token != NULL)
        vcp_lease_confirm(self->by_token, 0, NULL);
}

void
vcp_admission_free(VcpAdmission *self)
{
    if (self == NULL)
        return;
    vcp_lease_free(self->by_console);
    vcp_lease_free(self->by_token);
    g_free(self->console);
    g_free(self);
}
