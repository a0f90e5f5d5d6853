/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Subjects of certificates that the test makes itself, against texts. */
#include "proxy/tls-subject.h"

#include <string.h>

#define O     GNUTLS_OID_X520_ORGANIZATION_NAME
#define CN    GNUTLS_OID_X520_COMMON_NAME
#define C     GNUTLS_OID_X520_COUNTRY_NAME
#define EMAIL GNUTLS_OID_PKCS9_EMAIL

typedef struct {
    const char *oid, *value;
} Part;

static gnutls_x509_crt_t
make(const Part *parts)
{
    gnutls_x509_crt_t made, parsed;
    gnutls_x509_privkey_t key;
    gnutls_datum_t der;

    gnutls_x509_privkey_init(&key);
    g_assert_cmpint(
        gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
        ==, 0);
    gnutls_x509_crt_init(&made);
    for (; parts->oid != NULL; parts++)
        g_assert_cmpint(gnutls_x509_crt_set_dn_by_oid(made, parts->oid, 0, parts->value,
                                                      (unsigned)strlen(parts->value)),
                        ==, 0);
    gnutls_x509_crt_set_serial(made, "\1", 1);
    gnutls_x509_crt_set_version(made, 3);
    gnutls_x509_crt_set_activation_time(made, 0);
    gnutls_x509_crt_set_expiration_time(made, 2000000000);
    gnutls_x509_crt_set_key(made, key);
    g_assert_cmpint(gnutls_x509_crt_sign2(made, made, key, GNUTLS_DIG_SHA256, 0), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_export2(made, GNUTLS_X509_FMT_DER, &der), ==, 0);
    gnutls_x509_crt_init(&parsed);
    g_assert_cmpint(gnutls_x509_crt_import(parsed, &der, GNUTLS_X509_FMT_DER), ==, 0);
    gnutls_free(der.data);
    gnutls_x509_crt_deinit(made);
    gnutls_x509_privkey_deinit(key);
    return parsed;
}

static const struct {
    const char *expected;
    gboolean matches;
} rows[] = {
    {"C=DE,O=Example\\, Inc.,CN=host2,emailAddress=a@b", TRUE},
    {"c=DE,o=Example\\, Inc.,cn=host2,EMAIL=a@b", TRUE},
    {" C =DE, O =Example\\, Inc., CN =host2, emailAddress =a@b", TRUE},
    {"C=DE,O=Example\\, Inc.,CN=host2,emailAddress=a@b,", TRUE},
    /* a part too few, too many, in another order */
    {"C=DE,O=Example\\, Inc.,CN=host2", FALSE},
    {"CN=host2", FALSE},
    {"C=DE,O=Example\\, Inc.,CN=host2,emailAddress=a@b,OU=x", FALSE},
    {"CN=host2,O=Example\\, Inc.,C=DE,emailAddress=a@b", FALSE},
    /* other values */
    {"C=DE,O=Example\\, Inc.,CN=host3,emailAddress=a@b", FALSE},
    {"C=DE,O=Example\\, Inc.,CN=HOST2,emailAddress=a@b", FALSE},
    {"C=DE,O=Example\\, Inc.,CN=host2 ,emailAddress=a@b", FALSE},
    {"C=DE,O=Example\\, Inc.,CN=host,emailAddress=a@b", FALSE},
    {"C=DE,O=Example\\, Inc.,CN=host22,emailAddress=a@b", FALSE},
    {"C=DE,O=Example\\, Inc.,CN=,emailAddress=a@b", FALSE},
    /* no texts of subjects */
    {"", FALSE},
    {",", FALSE},
    {"=", FALSE},
    {"=DE", FALSE},
    {"host2", FALSE},
    {"C=DE,O=Example, Inc.,CN=host2,emailAddress=a@b", FALSE},
    {"C=DE,O=Example\\, Inc.,CN=host2,emailAddress=a@b\\", FALSE},
    {"*", FALSE},
};

static void
test_rows(void)
{
    static const Part parts[] = {
        {C, "DE"}, {O, "Example, Inc."}, {CN, "host2"}, {EMAIL, "a@b"}, {NULL, NULL}};
    gnutls_x509_crt_t certificate = make(parts);

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].expected);
        g_assert_cmpint(vcp_tls_subject_matches(rows[i].expected, certificate), ==,
                        rows[i].matches);
    }
    gnutls_x509_crt_deinit(certificate);
}

static void
test_no_subject(void)
{
    static const Part none[] = {{NULL, NULL}};
    gnutls_x509_crt_t certificate = make(none);

    g_assert_false(vcp_tls_subject_matches("", certificate));
    g_assert_false(vcp_tls_subject_matches("CN=host2", certificate));
    gnutls_x509_crt_deinit(certificate);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tls-subject/rows", test_rows);
    g_test_add_func("/tls-subject/no-subject", test_no_subject);
    return g_test_run();
}
