/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Who asks: the verdict on a client's certificate. */
#pragma once

#include <glib.h>
#include <gnutls/x509.h>

typedef enum {
    VCR_CLIENT_ALLOWED,
    VCR_CLIENT_NO_CERTIFICATE,
    VCR_CLIENT_UNTRUSTED,   /* another CA, expired, revoked, not for clients */
    VCR_CLIENT_NOT_ALLOWED, /* good, but of a name that is not on the list */
} VcrClientVerdict;

/* The server's library only asks for a certificate and lets everybody in; this looks at what
 * came. trust: CAs, and what they have revoked. allowed: names, each a whole subject (RFC 4514)
 * or a subject alternative name; empty: every certificate of the CA. name (full): the subject
 * for the log, or NULL. Any thread. */
VcrClientVerdict vcr_client_check(gnutls_session_t session, gnutls_x509_trust_list_t trust,
                                  char **allowed, char **name);
