/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Certificates with which we are a TLS client of a hypervisor, or a server's to be checked. */
#pragma once

#include <glib.h>
#include <gnutls/gnutls.h>

#include "common/verdicts.h"

/* A certificate, its key, the CA that the peer must be signed by, and the protocol versions:
 * immutable, shared by sessions and threads, alive until the last of them is gone (gnutls
 * counts no references itself). */
typedef struct {
    int refs; /* atomic */
    gnutls_certificate_credentials_t certificate;
    gnutls_priority_t priority;
    VcVerdicts *verdicts; /* of peers, by these CAs and revocation lists */
} VcTlsCredentials;

/* Loads PEM files; ca: nullable, for a server that asks nobody for a certificate. Errors:
 * VC_ERROR_CONFIG; the message names the file and the reason, and flag_prefix
 * ("--connect-tls") followed by -cert, -key or -ca. */
VcTlsCredentials *vc_tls_credentials_load(const char *cert, const char *key, const char *ca,
                                          const char *flag_prefix, GError **error);

/* Certificates that the lists in this PEM file revoke are not accepted. Before anybody shares
 * them. Errors: as above; flag: the whole one. */
gboolean vc_tls_credentials_add_crl(VcTlsCredentials *self, const char *path, const char *flag,
                                    GError **error);

/* Logs a warning where a list in this file, which has been loaded before, is out of date. */
void vc_tls_warn_of_old_crl(const char *path);

VcTlsCredentials *vc_tls_credentials_ref(VcTlsCredentials *self);
void vc_tls_credentials_unref(VcTlsCredentials *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcTlsCredentials, vc_tls_credentials_unref)

/* Whether path can be read; else FALSE with VC_ERROR_CONFIG naming path, reason and flag. */
gboolean vc_tls_check_file(const char *path, const char *flag, GError **error);
