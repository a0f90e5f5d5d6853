/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Both subjects are walked part by part. */
#include "proxy/tls-subject.h"

#include <string.h>

/* The next part of a text such as "O=Example,CN=host2"; FALSE where it is none. */
static gboolean
next_part(const char **at, GString *name, GString *value)
{
    const char *equals = strchr(*at, '=');

    if (equals == NULL)
        return FALSE;
    g_string_truncate(name, 0);
    g_string_append_len(name, *at, equals - *at);
    g_strstrip(name->str);
    g_string_truncate(value, 0);
    for (*at = equals + 1; **at != '\0' && **at != ','; (*at)++) {
        if (**at == '\\' && *++*at == '\0')
            return FALSE;
        g_string_append_c(value, **at);
    }
    if (**at == ',')
        (*at)++;
    return name->str[0] != '\0';
}

/* The n-th part of the certificate's subject; FALSE where it has no such part, or one that text
 * cannot say. */
static gboolean
get_part(gnutls_x509_dn_t subject, int n, const char **name, gnutls_datum_t *value)
{
    gnutls_x509_ava_st part, second;

    if (gnutls_x509_dn_get_rdn_ava(subject, n, 0, &part) < 0 ||
        gnutls_x509_dn_get_rdn_ava(subject, n, 1, &second) >= 0)
        return FALSE;
    *name = gnutls_x509_dn_oid_name((const char *)part.oid.data, GNUTLS_X509_DN_OID_RETURN_OID);
    *value = part.value;
    return TRUE;
}

static gboolean
has_part(gnutls_x509_dn_t subject, int n)
{
    gnutls_x509_ava_st part;

    return gnutls_x509_dn_get_rdn_ava(subject, n, 0, &part) >= 0;
}

/* gnutls's word for it is EMAIL, everybody else's is not. */
static gboolean
is_name(const char *name, const char *expected)
{
    if (g_ascii_strcasecmp(expected, "emailAddress") == 0)
        expected = "EMAIL";
    return g_ascii_strcasecmp(name, expected) == 0;
}

static gboolean
matches(const char *expected, gnutls_x509_dn_t subject)
{
    g_autoptr(GString) name = g_string_new(NULL);
    g_autoptr(GString) value = g_string_new(NULL);
    int n = 0;

    for (const char *at = expected; *at != '\0'; n++) {
        const char *part_name;
        gnutls_datum_t part;
        if (!next_part(&at, name, value) || !get_part(subject, n, &part_name, &part) ||
            !is_name(part_name, name->str) || part.size != value->len ||
            memcmp(part.data, value->str, part.size) != 0)
            return FALSE;
    }
    return n > 0 && !has_part(subject, n);
}

gboolean
vcp_tls_subject_matches(const char *expected, gnutls_x509_crt_t certificate)
{
    gnutls_x509_dn_t subject;

    return gnutls_x509_crt_get_subject(certificate, &subject) >= 0 &&
           matches(expected, subject);
}
