/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A CA and what it signs, by gnutls. */
#include "certs.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#define DAY_S (24 * 60 * 60)

typedef struct {
    const char *name;
    const char *common_name;
    const char *dns;      /* nullable */
    const char *ip[2];    /* nullable */
    const char *purpose;  /* nullable */
    gboolean is_stranger; /* signed by a CA that nobody trusts */
    int from_days, to_days;
} Row;

#define SERVER GNUTLS_KP_TLS_WWW_SERVER
#define CLIENT GNUTLS_KP_TLS_WWW_CLIENT

static const Row rows[] = {
    {"hypervisor",
     "hypervisor",
     "hypervisor.example",
     {"127.0.0.1", "::1"},
     SERVER,
     FALSE,
     -1,
     1},
    {"any-purpose", "any", "hypervisor.example", {NULL}, NULL, FALSE, -1, 1},
    {"other", "other", "other.example", {"127.0.0.2"}, SERVER, FALSE, -1, 1},
    {"wildcard", "wildcard", "*.wild.example", {NULL}, SERVER, FALSE, -1, 1},
    {"cn-only", "hypervisor.example", NULL, {NULL}, SERVER, FALSE, -1, 1},
    {"cn-besides", "hypervisor.example", "other.example", {NULL}, SERVER, FALSE, -1, 1},
    {"ip-as-name", "127.0.0.1", "127.0.0.1", {NULL}, SERVER, FALSE, -1, 1},
    {"expired", "expired", "hypervisor.example", {NULL}, SERVER, FALSE, -2, -1},
    {"future", "future", "hypervisor.example", {NULL}, SERVER, FALSE, 1, 2},
    {"wrong-purpose", "purpose", "hypervisor.example", {NULL}, CLIENT, FALSE, -1, 1},
    {"stranger", "stranger", "hypervisor.example", {NULL}, SERVER, TRUE, -1, 1},
    {"client", "client", NULL, {NULL}, CLIENT, FALSE, -1, 1},
    {"strange-client", "client", NULL, {NULL}, CLIENT, TRUE, -1, 1},
    {"client-expired", "client", NULL, {NULL}, CLIENT, FALSE, -2, -1},
    {"client-future", "client", NULL, {NULL}, CLIENT, FALSE, 1, 2},
    {"client-any", "client", NULL, {NULL}, NULL, FALSE, -1, 1},
    {"client-names",
     "proxy, 1",
     "proxy.example",
     {"192.0.2.1", "2001:db8::1"},
     CLIENT,
     FALSE,
     -1,
     1},
    {"client-nul", "client", NULL, {NULL}, CLIENT, FALSE, -1, 1},
    {"client-nul-subject", "client", NULL, {NULL}, CLIENT, FALSE, -1, 1},
};

/* What few of them have beside that. */
typedef struct {
    const char *name;
    const char *oid; /* nullable: a part of the subject, or a whole extension in DER */
    gnutls_x509_subject_alt_name_t type; /* else: an alternative name */
    const char *bytes;
    unsigned length;
} Extra;

#define SAN_OID     "2.5.29.17"
#define BYTES(text) text, sizeof text - 1

static const Extra extras[] = {
    {"client-names", GNUTLS_OID_X520_ORGANIZATION_NAME, 0, BYTES("lab")},
    {"client-names", NULL, GNUTLS_SAN_URI, BYTES("spiffe://lab/proxy")},
    {"client-names", NULL, GNUTLS_SAN_RFC822NAME, BYTES("proxy@lab.example")},
    {"client-nul", SAN_OID, 0, BYTES("\x30\x15\x82\x13proxy.example\0.evil")},
    {"client-nul-subject", GNUTLS_OID_X520_ORGANIZATION_NAME, 0, BYTES("lab\0evil")},
};

#define P256 GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)

typedef struct {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
} Pair;

static Pair
start_pair(const char *common_name, gnutls_pk_algorithm_t kind, unsigned bits, int from_days,
           int to_days)
{
    static guint8 serial = 1;
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    Pair pair;

    gnutls_x509_privkey_init(&pair.key);
    gnutls_x509_crt_init(&pair.cert);
    int failure = gnutls_x509_privkey_generate(pair.key, kind, bits, 0);
    g_assert_cmpint(failure, ==, 0);
    gnutls_x509_crt_set_version(pair.cert, 3);
    gnutls_x509_crt_set_serial(pair.cert, &serial, 1);
    serial++;
    gnutls_x509_crt_set_activation_time(pair.cert, (time_t)(now_s + from_days * DAY_S));
    gnutls_x509_crt_set_expiration_time(pair.cert, (time_t)(now_s + to_days * DAY_S));
    gnutls_x509_crt_set_dn_by_oid(pair.cert, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                  (unsigned)strlen(common_name));
    gnutls_x509_crt_set_key(pair.cert, pair.key);
    return pair;
}

static void
clear_pair(Pair *pair)
{
    gnutls_x509_privkey_deinit(pair->key);
    gnutls_x509_crt_deinit(pair->cert);
}

static void
sign(const Pair *pair, const Pair *issuer)
{
    int failure =
        gnutls_x509_crt_sign2(pair->cert, issuer->cert, issuer->key, GNUTLS_DIG_SHA256, 0);

    g_assert_cmpint(failure, ==, 0);
}

static Pair
make_ca(const char *common_name)
{
    Pair ca = start_pair(common_name, P256, -3, 3);

    gnutls_x509_crt_set_basic_constraints(ca.cert, 1, -1);
    gnutls_x509_crt_set_key_usage(ca.cert, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    sign(&ca, &ca);
    return ca;
}

static void
add_ip(gnutls_x509_crt_t cert, const char *text)
{
    guint8 address[16];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;

    g_assert_cmpint(inet_pton(family, text, address), ==, 1);
    gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, address,
                                         family == AF_INET6 ? 16 : 4, GNUTLS_FSAN_APPEND);
}

static void
add_extra(gnutls_x509_crt_t cert, const Extra *extra)
{
    int failure;

    if (extra->oid == NULL)
        failure = gnutls_x509_crt_set_subject_alt_name(cert, extra->type, extra->bytes,
                                                       extra->length, GNUTLS_FSAN_APPEND);
    else if (strcmp(extra->oid, SAN_OID) == 0)
        failure = gnutls_x509_crt_set_extension_by_oid(cert, extra->oid, extra->bytes,
                                                       extra->length, 0);
    else
        failure =
            gnutls_x509_crt_set_dn_by_oid(cert, extra->oid, 0, extra->bytes, extra->length);
    g_assert_cmpint(failure, ==, 0);
}

static Pair
make_leaf(const Row *row, gnutls_pk_algorithm_t kind, unsigned bits, const Pair *issuer)
{
    Pair leaf = start_pair(row->common_name, kind, bits, row->from_days, row->to_days);

    gnutls_x509_crt_set_basic_constraints(leaf.cert, 0, -1);
    gnutls_x509_crt_set_key_usage(leaf.cert, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (row->purpose != NULL)
        gnutls_x509_crt_set_key_purpose_oid(leaf.cert, row->purpose, 0);
    if (row->dns != NULL)
        gnutls_x509_crt_set_subject_alt_name(leaf.cert, GNUTLS_SAN_DNSNAME, row->dns,
                                             (unsigned)strlen(row->dns), GNUTLS_FSAN_APPEND);
    for (gsize i = 0; i < G_N_ELEMENTS(row->ip) && row->ip[i] != NULL; i++)
        add_ip(leaf.cert, row->ip[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(extras); i++) {
        if (strcmp(extras[i].name, row->name) == 0)
            add_extra(leaf.cert, &extras[i]);
    }
    sign(&leaf, issuer);
    return leaf;
}

static void
write_file(const char *directory, const char *file, gnutls_datum_t *pem)
{
    g_autofree char *path = certs_path(directory, file);

    g_assert_true(g_file_set_contents(path, (const char *)pem->data, pem->size, NULL));
    gnutls_free(pem->data);
}

static void
write_cert(const char *directory, const char *file, const Pair *pair)
{
    gnutls_datum_t pem;

    g_assert_cmpint(gnutls_x509_crt_export2(pair->cert, GNUTLS_X509_FMT_PEM, &pem), ==, 0);
    write_file(directory, file, &pem);
}

static void
write_key(const char *directory, const char *file, const Pair *pair)
{
    gnutls_datum_t pem;

    /* Ed25519 has no format of its own. */
    int failure = gnutls_x509_privkey_get_pk_algorithm(pair->key) == GNUTLS_PK_EDDSA_ED25519
                      ? gnutls_x509_privkey_export2_pkcs8(pair->key, GNUTLS_X509_FMT_PEM, NULL,
                                                          GNUTLS_PKCS_PLAIN, &pem)
                      : gnutls_x509_privkey_export2(pair->key, GNUTLS_X509_FMT_PEM, &pem);
    g_assert_cmpint(failure, ==, 0);
    write_file(directory, file, &pem);
}

static void
write_leaf(const char *directory, const Row *row, gnutls_pk_algorithm_t kind, unsigned bits,
           const Pair *issuer)
{
    g_autofree char *cert = g_strconcat(row->name, "-cert.pem", NULL);
    g_autofree char *key = g_strconcat(row->name, "-key.pem", NULL);
    Pair leaf = make_leaf(row, kind, bits, issuer);

    write_cert(directory, cert, &leaf);
    write_key(directory, key, &leaf);
    clear_pair(&leaf);
}

char *
certs_make(void)
{
    char *directory = g_dir_make_tmp("certs-XXXXXX", NULL);
    Pair ca = make_ca("CA");
    Pair other_ca = make_ca("other CA");

    g_assert_nonnull(directory);
    write_cert(directory, "ca.pem", &ca);
    write_key(directory, "ca-key.pem", &ca);
    write_cert(directory, "other-ca.pem", &other_ca);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        write_leaf(directory, &rows[i], P256, rows[i].is_stranger ? &other_ca : &ca);
    clear_pair(&ca);
    clear_pair(&other_ca);
    return directory;
}

/* --- afterwards --- */

static gnutls_datum_t
read_file(const char *directory, const char *file)
{
    g_autofree char *path = certs_path(directory, file);
    gnutls_datum_t pem;

    g_assert_cmpint(gnutls_load_file(path, &pem), ==, 0);
    return pem;
}

static gnutls_x509_crt_t
read_cert(const char *directory, const char *file)
{
    gnutls_datum_t pem = read_file(directory, file);
    gnutls_x509_crt_t cert;

    gnutls_x509_crt_init(&cert);
    g_assert_cmpint(gnutls_x509_crt_import(cert, &pem, GNUTLS_X509_FMT_PEM), ==, 0);
    gnutls_free(pem.data);
    return cert;
}

static Pair
read_ca(const char *directory)
{
    gnutls_datum_t pem = read_file(directory, "ca-key.pem");
    Pair ca = {.cert = read_cert(directory, "ca.pem")};

    gnutls_x509_privkey_init(&ca.key);
    g_assert_cmpint(gnutls_x509_privkey_import(ca.key, &pem, GNUTLS_X509_FMT_PEM), ==, 0);
    gnutls_free(pem.data);
    return ca;
}

void
certs_add_client(const char *directory, const char *name, gnutls_pk_algorithm_t kind,
                 unsigned bits)
{
    const Row row = {name, name, NULL, {NULL}, CLIENT, FALSE, -1, 1};
    Pair ca = read_ca(directory);

    write_leaf(directory, &row, kind, bits, &ca);
    clear_pair(&ca);
}

void
certs_revoke(const char *directory, const char *name, const char *file)
{
    g_autofree char *cert_file = g_strconcat(name, "-cert.pem", NULL);
    gnutls_x509_crt_t cert = read_cert(directory, cert_file);
    time_t now_s = (time_t)(g_get_real_time() / G_USEC_PER_SEC);
    Pair ca = read_ca(directory);
    gnutls_x509_crl_t list;
    gnutls_datum_t pem;

    gnutls_x509_crl_init(&list);
    gnutls_x509_crl_set_version(list, 2);
    gnutls_x509_crl_set_number(list, "\1", 1);
    gnutls_x509_crl_set_this_update(list, now_s - DAY_S);
    gnutls_x509_crl_set_next_update(list, now_s + DAY_S);
    gnutls_x509_crl_set_crt(list, cert, now_s - DAY_S);
    g_assert_cmpint(gnutls_x509_crl_sign2(list, ca.cert, ca.key, GNUTLS_DIG_SHA256, 0), ==, 0);
    g_assert_cmpint(gnutls_x509_crl_export2(list, GNUTLS_X509_FMT_PEM, &pem), ==, 0);
    write_file(directory, file, &pem);
    gnutls_x509_crl_deinit(list);
    gnutls_x509_crt_deinit(cert);
    clear_pair(&ca);
}

void
certs_remove(char *directory)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);

    for (const char *name = g_dir_read_name(dir); name != NULL; name = g_dir_read_name(dir)) {
        g_autofree char *path = certs_path(directory, name);
        g_assert_cmpint(g_remove(path), ==, 0);
    }
    g_assert_cmpint(g_rmdir(directory), ==, 0);
    g_free(directory);
}

char *
certs_path(const char *directory, const char *file)
{
    return g_build_filename(directory, file, NULL);
}

char *
certs_cert(const char *directory, const char *name)
{
    return g_strdup_printf("%s/%s-cert.pem", directory, name);
}

char *
certs_key(const char *directory, const char *name)
{
    return g_strdup_printf("%s/%s-key.pem", directory, name);
}
