/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Verification of client certificates by gnutls, and names. */
#include "resolver/client.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <string.h>

#define MAX_NAMES 256 /* that one certificate may have */
#define MAX_CHAIN 16

/* As gnutls itself has it where it checks with the priority NORMAL. */
#define FLAGS GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_LOW)

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

static gboolean
import(gnutls_x509_crt_t chain[MAX_CHAIN], const gnutls_datum_t *raw, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        gnutls_x509_crt_init(&chain[i]);
        if (gnutls_x509_crt_import(chain[i], &raw[i], GNUTLS_X509_FMT_DER) >= 0)
            continue;
        for (unsigned made = 0; made <= i; made++)
            gnutls_x509_crt_deinit(chain[made]);
        return FALSE;
    }
    return TRUE;
}

static gboolean
is_trusted(gnutls_x509_trust_list_t trust, gnutls_x509_crt_t *chain, unsigned n)
{
    gnutls_typed_vdata_st purpose = {
        .type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT,
    };
    unsigned status = 0;

    return gnutls_x509_trust_list_verify_crt2(trust, chain, n, &purpose, 1, FLAGS, &status,
                                              NULL) >= 0 &&
           status == 0;
}

static VcrClientVerdict
check_names(gnutls_x509_crt_t certificate, char **allowed, char **name)
{
    *name = subject_of(certificate);
    return allowed[0] == NULL || (*name != NULL && is_listed(allowed, *name)) ||
                   has_listed_name(certificate, allowed)
               ? VCR_CLIENT_ALLOWED
               : VCR_CLIENT_NOT_ALLOWED;
}

VcrClientVerdict
vcr_client_check(gnutls_session_t session, gnutls_x509_trust_list_t trust, char **allowed,
                 char **name)
{
    unsigned n = 0;
    gnutls_x509_crt_t chain[MAX_CHAIN];
    VcrClientVerdict verdict = VCR_CLIENT_UNTRUSTED;

    *name = NULL;
    if (gnutls_certificate_type_get(session) != GNUTLS_CRT_X509)
        return VCR_CLIENT_UNTRUSTED;
    const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &n);
    if (raw == NULL || n == 0)
        return VCR_CLIENT_NO_CERTIFICATE;
    if (n > MAX_CHAIN || !import(chain, raw, n))
        return VCR_CLIENT_UNTRUSTED;
    if (is_trusted(trust, chain, n))
        verdict = check_names(chain[0], allowed, name);
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(chain[i]);
    return verdict;
}
