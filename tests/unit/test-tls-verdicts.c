/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What of a certificate's verdict is remembered between connections, and what is not. */
#include "proxy/tls-client.h"

#include <gnutls/x509.h>
#include <unistd.h>

#include "certs.h"
#include "common/error.h"
#include "tls-connection.h"

#define NAME "hypervisor.example"

static char *directory;

static void
greet(int fd, gpointer data)
{
    const PeerTls tls = {directory, data, NULL, TRUE};
    PeerSession *session = peer_tls_accept(fd, &tls);

    if (session == NULL)
        return;
    gnutls_record_send(peer_tls_session(session), "hello", 5);
    peer_tls_free(session);
}

/* cert: the server's. subject: nullable, in place of the name. */
static gboolean
is_accepted(VcTlsCredentials *credentials, const char *cert, const char *name,
            const char *subject)
{
    g_autofree char *data = g_strdup(cert);
    g_autoptr(GError) error = NULL;
    TlsConnection connection;

    tls_connection_start(&connection, greet, data, credentials, name);
    if (subject != NULL)
        vcp_tls_client_expect_subject(connection.client, subject);
    VcpTlsStep step = tls_connection_shake_hands(&connection, &error);
    if (step == VCP_TLS_DONE) {
        g_assert_no_error(error);
        tls_connection_must_receive(&connection, "hello");
    } else {
        g_assert_cmpint(step, ==, VCP_TLS_FAILED);
        g_assert_error(error, VC_ERROR, VC_ERROR_CERTIFICATE);
        g_test_message("%s", error->message);
    }
    tls_connection_stop(&connection);
    return step == VCP_TLS_DONE;
}

static VcTlsCredentials *
load(void)
{
    return tls_connection_load(directory, "client", "ca.pem");
}

static void
forget_ca(VcTlsCredentials *credentials)
{
    gnutls_x509_trust_list_t nobody;

    gnutls_x509_trust_list_init(&nobody, 0);
    gnutls_certificate_set_trust_list(credentials->certificate, nobody, 0);
}

/* Nobody is asked again: the CA is gone by then. */
static void
test_remembered(void)
{
    g_autoptr(VcTlsCredentials) credentials = load();

    g_assert_true(is_accepted(credentials, "hypervisor", NAME, NULL));
    g_assert_true(is_accepted(credentials, "hypervisor", NAME, NULL));
    forget_ca(credentials);
    g_assert_true(is_accepted(credentials, "hypervisor", NAME, NULL));
    /* Other spellings of the name, and nothing else. */
    g_assert_true(is_accepted(credentials, "hypervisor", NAME ".", NULL));
    g_assert_false(is_accepted(credentials, "hypervisor", "127.0.0.1", NULL));
    g_assert_false(is_accepted(credentials, "any-purpose", NAME, NULL));
    g_assert_false(is_accepted(credentials, "stranger", NAME, NULL));
}

static void
test_other_name(void)
{
    static const char *const names[] = {"other.example", "x.hypervisor.example",
                                        "hypervisor.exampl", "127.0.0.2", "::2"};
    g_autoptr(VcTlsCredentials) credentials = load();

    g_assert_true(is_accepted(credentials, "hypervisor", NAME, NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_assert_false(is_accepted(credentials, "hypervisor", names[i], NULL));
        g_assert_false(is_accepted(credentials, "hypervisor", names[i], NULL));
    }
    g_assert_true(is_accepted(credentials, "hypervisor", "127.0.0.1", NULL));
    g_assert_true(is_accepted(credentials, "hypervisor", NAME, NULL));
}

/* Another certificate that bears the name, refused for another reason. */
static void
test_other_certificate(void)
{
    static const char *const certs[] = {"stranger", "expired", "future", "wrong-purpose",
                                        "other"};
    g_autoptr(VcTlsCredentials) credentials = load();

    g_assert_true(is_accepted(credentials, "hypervisor", NAME, NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(certs); i++) {
        g_assert_false(is_accepted(credentials, certs[i], NAME, NULL));
        g_assert_false(is_accepted(credentials, certs[i], NAME, NULL));
    }
}

/* hypervisor's certificate as "tampered", as long as that, with another last byte of its
 * signature. */
static void
tamper(void)
{
    g_autofree char *cert = certs_cert(directory, "hypervisor");
    g_autofree char *key = certs_key(directory, "hypervisor");
    g_autofree char *tampered_cert = certs_cert(directory, "tampered");
    g_autofree char *tampered_key = certs_key(directory, "tampered");
    gnutls_datum_t pem, der;

    g_assert_cmpint(gnutls_load_file(cert, &pem), ==, 0);
    g_assert_cmpint(gnutls_pem_base64_decode2("CERTIFICATE", &pem, &der), ==, 0);
    gnutls_free(pem.data);
    der.data[der.size - 1] ^= 1;
    g_assert_cmpint(gnutls_pem_base64_encode2("CERTIFICATE", &der, &pem), ==, 0);
    gnutls_free(der.data);
    g_assert_true(g_file_set_contents(tampered_cert, (char *)pem.data, (gssize)pem.size, NULL));
    gnutls_free(pem.data);
    g_assert_cmpint(symlink(key, tampered_key), ==, 0);
}

static void
test_tampered(void)
{
    g_autoptr(VcTlsCredentials) credentials = load();

    tamper();
    g_assert_true(is_accepted(credentials, "hypervisor", NAME, NULL));
    g_assert_false(is_accepted(credentials, "tampered", NAME, NULL));
    g_assert_true(is_accepted(credentials, "hypervisor", NAME, NULL));
}

/* Accepted by its subject says nothing about the name, and the subject is looked at each time.
 */
static void
test_subject(void)
{
    g_autoptr(VcTlsCredentials) credentials = load();

    g_assert_true(is_accepted(credentials, "other", NAME, "CN=other"));
    g_assert_false(is_accepted(credentials, "other", NAME, NULL));
    g_assert_false(is_accepted(credentials, "other", NAME, "CN=another"));
    g_assert_true(is_accepted(credentials, "other", NAME, "CN=other"));
    g_assert_true(is_accepted(credentials, "other", "other.example", NULL));
}

/* A reload makes new credentials: by another CA, nothing of the old is good. */
static void
test_other_ca(void)
{
    g_autoptr(VcTlsCredentials) before = load();
    g_autoptr(VcTlsCredentials) after =
        tls_connection_load(directory, "client", "other-ca.pem");

    g_assert_true(is_accepted(before, "hypervisor", NAME, NULL));
    g_assert_false(is_accepted(after, "hypervisor", NAME, NULL));
    g_assert_false(is_accepted(before, "stranger", NAME, NULL));
    /* Sessions that are still about have the old ones. */
    g_assert_true(is_accepted(before, "hypervisor", NAME, NULL));
}

static void
test_revoked(void)
{
    g_autofree char *path = certs_path(directory, "crl.pem");
    g_autoptr(VcTlsCredentials) before = load();
    g_autoptr(VcTlsCredentials) after = load();
    g_autoptr(GError) error = NULL;

    certs_revoke(directory, "hypervisor", "crl.pem");
    vc_tls_credentials_add_crl(after, path, "--x-crl", &error);
    g_assert_no_error(error);
    g_assert_true(is_accepted(before, "hypervisor", NAME, NULL));
    for (int i = 0; i < 2; i++) {
        g_assert_false(is_accepted(after, "hypervisor", NAME, NULL));
        g_assert_false(is_accepted(after, "hypervisor", NAME, "CN=hypervisor"));
        g_assert_true(is_accepted(after, "any-purpose", NAME, NULL));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = certs_make();
    g_test_add_func("/tls-verdicts/remembered", test_remembered);
    g_test_add_func("/tls-verdicts/other-name", test_other_name);
    g_test_add_func("/tls-verdicts/other-certificate", test_other_certificate);
    g_test_add_func("/tls-verdicts/tampered", test_tampered);
    g_test_add_func("/tls-verdicts/subject", test_subject);
    g_test_add_func("/tls-verdicts/other-ca", test_other_ca);
    g_test_add_func("/tls-verdicts/revoked", test_revoked);
    int failed = g_test_run();
    certs_remove(directory);
    return failed;
}
