/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Client certificates with keys of several kinds, at a server that looks at them. */
#include "proxy/signing-key.h"

#include <glib/gstdio.h>
#include <gnutls/x509.h>
#include <string.h>

#include "certs.h"
#include "common/error.h"
#include "tls-connection.h"

#define NAME  "hypervisor.example"
#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

/* The server signs with P-256; which of the others it would like to see says the row. */
#define ONLY(signature)                                                                        \
    ":-SIGN-ALL:+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-" signature

static char *directory;

typedef struct {
    const char *name;
    const char *client;
    gboolean is_replaced;
    const char *priority;
    gnutls_sign_algorithm_t algorithm; /* expected */
} Row;

static const Row rows[] = {
    {"rsa-tls-1.3", "rsa", TRUE, TLS13, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256},
    {"rsa-sha384-tls-1.3", "rsa", TRUE, TLS13 ONLY("RSA-PSS-RSAE-SHA384"),
     GNUTLS_SIGN_RSA_PSS_RSAE_SHA384},
    {"rsa-sha512-tls-1.3", "rsa", TRUE, TLS13 ONLY("RSA-PSS-RSAE-SHA512"),
     GNUTLS_SIGN_RSA_PSS_RSAE_SHA512},
    {"rsa-pss-tls-1.2", "rsa", TRUE, TLS12 ONLY("RSA-PSS-RSAE-SHA256"),
     GNUTLS_SIGN_RSA_PSS_RSAE_SHA256},
    {"rsa-pkcs1-sha256-tls-1.2", "rsa", TRUE, TLS12 ONLY("RSA-SHA256"), GNUTLS_SIGN_RSA_SHA256},
    {"rsa-pkcs1-sha384-tls-1.2", "rsa", TRUE, TLS12 ONLY("RSA-SHA384"), GNUTLS_SIGN_RSA_SHA384},
    {"rsa-pkcs1-sha512-tls-1.2", "rsa", TRUE, TLS12 ONLY("RSA-SHA512"), GNUTLS_SIGN_RSA_SHA512},
    {"p256-tls-1.3", "client", TRUE, TLS13, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256},
    {"p256-tls-1.2", "client", TRUE, TLS12, GNUTLS_SIGN_ECDSA_SHA256},
    {"p256-sha384-tls-1.2", "client", TRUE, TLS12 ":-SIGN-ALL:+SIGN-ECDSA-SHA384",
     GNUTLS_SIGN_ECDSA_SHA384},
    {"p256-sha512-tls-1.2", "client", TRUE, TLS12 ":-SIGN-ALL:+SIGN-ECDSA-SHA512",
     GNUTLS_SIGN_ECDSA_SHA512},
    {"p384-tls-1.3", "p384", FALSE, TLS13, GNUTLS_SIGN_ECDSA_SECP384R1_SHA384},
    {"p384-tls-1.2", "p384", FALSE, TLS12, GNUTLS_SIGN_UNKNOWN},
    {"ed25519-tls-1.3", "ed25519", FALSE, TLS13, GNUTLS_SIGN_EDDSA_ED25519},
    {"ed25519-tls-1.2", "ed25519", FALSE, TLS12, GNUTLS_SIGN_EDDSA_ED25519},
};

/* --- handshakes --- */

static void
look_at_signature(int fd, gpointer data)
{
    Row *row = data;
    const PeerTls tls = {directory, "hypervisor", row->priority, TRUE};
    PeerSession *session = peer_tls_accept(fd, &tls);

    g_assert_nonnull(session);
    g_assert_cmpint(gnutls_auth_client_get_type(peer_tls_session(session)), ==,
                    GNUTLS_CRD_CERTIFICATE);
    int algorithm = gnutls_sign_algorithm_get_client(peer_tls_session(session));
    g_test_message("%s", gnutls_sign_get_name((gnutls_sign_algorithm_t)algorithm));
    if (row->algorithm != GNUTLS_SIGN_UNKNOWN)
        g_assert_cmpint(algorithm, ==, row->algorithm);
    gnutls_record_send(peer_tls_session(session), "hello", 5);
    peer_tls_free(session);
}

static gboolean
use(VcTlsCredentials *credentials, const char *name, GError **error)
{
    g_autofree char *cert = certs_cert(directory, name);
    g_autofree char *key = certs_key(directory, name);

    return vcp_signing_key_use(credentials, cert, key, error);
}

static gboolean
has_own_key(const VcTlsCredentials *credentials)
{
    gnutls_x509_privkey_t key;

    if (gnutls_certificate_get_x509_key(credentials->certificate, 0, &key) < 0)
        return FALSE;
    gnutls_x509_privkey_deinit(key);
    return TRUE;
}

static VcTlsCredentials *
load(const char *name)
{
    g_autoptr(VcTlsCredentials) credentials = tls_connection_load(directory, name, "ca.pem");
    g_autoptr(GError) error = NULL;

    g_assert_true(has_own_key(credentials));
    g_assert_true(use(credentials, name, &error));
    g_assert_no_error(error);
    return g_steal_pointer(&credentials);
}

static void
test_handshake(gconstpointer data)
{
    Row row = *(const Row *)data;
    g_autoptr(VcTlsCredentials) credentials = load(row.client);

    g_assert_cmpint(has_own_key(credentials), ==, !row.is_replaced);
    /* A key signs more than once. */
    for (int i = 0; i < 2; i++) {
        TlsConnection connection;
        tls_connection_start(&connection, look_at_signature, &row, credentials, NAME);
        tls_connection_must_shake_hands(&connection);
        tls_connection_must_receive(&connection, "hello");
        tls_connection_stop(&connection);
    }
}

/* --- threads --- */

static gpointer
connect_often(gpointer data)
{
    Row row = {.priority = TLS13};

    for (int i = 0; i < 10; i++) {
        TlsConnection connection;
        tls_connection_start(&connection, look_at_signature, &row, data, NAME);
        tls_connection_must_shake_hands(&connection);
        tls_connection_must_receive(&connection, "hello");
        tls_connection_stop(&connection);
    }
    return NULL;
}

static void
test_threads(void)
{
    static const char *const names[] = {"client", "rsa"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(VcTlsCredentials) credentials = load(names[i]);
        GThread *threads[2];
        for (gsize k = 0; k < G_N_ELEMENTS(threads); k++)
            threads[k] = g_thread_new("worker", connect_often, credentials);
        for (gsize k = 0; k < G_N_ELEMENTS(threads); k++)
            g_thread_join(threads[k]);
    }
}

/* --- files that have changed since --- */

static void
copy(const char *from, const char *to)
{
    g_autofree char *text = NULL;
    gsize length;

    g_assert_true(g_file_get_contents(from, &text, &length, NULL));
    g_assert_true(g_file_set_contents(to, text, (gssize)length, NULL));
}

typedef struct {
    const char *name;
    const char *cert, *key; /* what is there now; nullable: nothing */
} Change;

static const Change changes[] = {
    {"key-gone", "client", NULL},
    {"cert-gone", NULL, "client"},
    {"both-gone", NULL, NULL},
    {"other-key", "client", "client-any"},
    {"other-cert", "client-any", "client"},
    {"other-kind-of-key", "client", "rsa"},
    {"other-kind-of-cert", "rsa", "client"},
};

static void
test_changed(gconstpointer data)
{
    const Change *change = data;
    g_autoptr(VcTlsCredentials) credentials =
        tls_connection_load(directory, "client", "ca.pem");
    g_autofree char *cert = certs_cert(directory, "changed");
    g_autofree char *key = certs_key(directory, "changed");
    g_autoptr(GError) error = NULL;

    if (change->cert != NULL) {
        g_autofree char *from = certs_cert(directory, change->cert);
        copy(from, cert);
    }
    if (change->key != NULL) {
        g_autofree char *from = certs_key(directory, change->key);
        copy(from, key);
    }
    g_assert_false(use(credentials, "changed", &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, key));
    g_test_message("%s", error->message);
    g_remove(cert);
    g_remove(key);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = certs_make();
    certs_add_client(directory, "rsa", GNUTLS_PK_RSA, 2048);
    certs_add_client(directory, "p384", GNUTLS_PK_ECDSA,
                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1));
    certs_add_client(directory, "ed25519", GNUTLS_PK_EDDSA_ED25519,
                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519));
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/signing-key/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_handshake);
    }
    g_test_add_func("/signing-key/threads", test_threads);
    for (gsize i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_autofree char *path = g_strdup_printf("/signing-key/changed/%s", changes[i].name);
        g_test_add_data_func(path, &changes[i], test_changed);
    }
    int failed = g_test_run();
    certs_remove(directory);
    return failed;
}
