/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Whether a session may have its token and its console, and what it holds of them in the store
 * until its end. On the worker's thread. */
#pragma once

#include "common/service.h"
#include "proxy/lease.h"

typedef struct VcpAdmission VcpAdmission;

typedef struct {
    VcpLeases *leases; /* not owned, as all of it */
    const VcpConfig *config;
    const VcService *service;
    const char *token;
    const char *client; /* nullable; who may come back within --reconnect-window */
} VcpAdmissionRequest;

/* error (full): NULL where the session is admitted. It comes once more, with an error, if what
 * was held is lost while the session runs. The admission may be freed in it. */
typedef void (*VcpAdmitted)(GError *error, gpointer data);

/* Never calls back before it has returned. NULL: admitted already, there is nothing to hold; so
 * it is for SPICE, where the link message says what is asked for (proxy/notary.h).
 * Errors: VC_ERROR_TOKEN for a spent token, _IN_USE, _RESOLVER where the store is away. */
VcpAdmission *vcp_admit(const VcpAdmissionRequest *request, VcpAdmitted admitted,
                        gpointer data);

/* What a lease of the request's token is asked for with; its client is the request's. */
VcpLeaseTerms vcp_admission_terms(const VcpAdmissionRequest *request);

/* The session stands: a token for single use is spent. nullable. */
void vcp_admission_confirm(VcpAdmission *self);

/* Gives back what is held; a token whose session never stood can be used again. nullable. */
void vcp_admission_free(VcpAdmission *self);
