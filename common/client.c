/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Verification of client certificates by gnutls, and names. */
#include "common/client.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <string.h>

#define MAX_NAMES 256 /* that one certificate may have */

static gboolean
is_listed(char **allowed, const char *name)
{
    return g_strv_contains((const char *const *)allowed, name);
}

static char *
subject_of(gnutls_x509_crt_t certificate)
{
    gnutls_datum_t text = {0};

    if (gnutls_x509_crt_get_dn3(certificate, &text, 0) < 0)
        return NULL;
    char *subject = g_strndup((const char *)text.data, text.size);
    gnutls_free(text.data);
    return subject;
}

static gboolean
is_address_listed(char **allowed, const guint8 *bytes, size_t size)
{
    char text[INET6_ADDRSTRLEN];
    int family = size == 4 ? AF_INET : AF_INET6;

    return (size == 4 || size == 16) && inet_ntop(family, bytes, text, sizeof text) != NULL &&
           is_listed(allowed, text);
}

/* Alternative names may contain anything, a NUL as well: such a one matches nothing. */
static gboolean
has_listed_name(gnutls_x509_crt_t certificate, char **allowed)
{
    char bytes[1024];

    for (unsigned i = 0; i < MAX_NAMES; i++) {
        size_t size = sizeof bytes - 1;
        int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, bytes, &size, NULL);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (type < 0)
            continue;
        if (type == GNUTLS_SAN_IPADDRESS) {
            if (is_address_listed(allowed, (const guint8 *)bytes, size))
                return TRUE;
            continue;
        }
        bytes[size] = '\0';
        if (strlen(bytes) == size && is_listed(allowed, bytes))
            return TRUE;
    }
    return FALSE;
}

static VcClientVerdict
check_names(gnutls_session_t session, char **allowed, char **name)
{
    unsigned n = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
    gnutls_x509_crt_t certificate;
    VcClientVerdict verdict = VC_CLIENT_UNTRUSTED;

    if (chain == NULL || n == 0)
        return VC_CLIENT_NO_CERTIFICATE;
    gnutls_x509_crt_init(&certificate);
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) >= 0) {
        *name = subject_of(certificate);
        verdict = allowed[0] == NULL || (*name != NULL && is_listed(allowed, *name)) ||
                          has_listed_name(certificate, allowed)
                      ? VC_CLIENT_ALLOWED
                      : VC_CLIENT_NOT_ALLOWED;
    }
    gnutls_x509_crt_deinit(certificate);
    return verdict;
}

VcClientVerdict
vc_client_check(gnutls_session_t session, char **allowed, char **name)
{
    gnutls_typed_vdata_st purpose = {
        .type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT,
    };
    unsigned status = 0;

    *name = NULL;
    if (gnutls_certificate_type_get(session) != GNUTLS_CRT_X509)
        return VC_CLIENT_UNTRUSTED;
    int n = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
    if (n == GNUTLS_E_NO_CERTIFICATE_FOUND)
        return VC_CLIENT_NO_CERTIFICATE;
    if (n < 0 || status != 0)
        return VC_CLIENT_UNTRUSTED;
    return check_names(session, allowed, name);
}
