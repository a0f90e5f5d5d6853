/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Loading of certificates: good ones, and a message that helps for each bad one. */
#include "common/tls.h"

#include <string.h>

#include "certs.h"
#include "common/error.h"

static char *directory;

static void
write_file(const char *file, const char *text)
{
    g_autofree char *path = certs_path(directory, file);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void
make_files(void)
{
    g_autofree char *cert = certs_cert(directory, "client");
    g_autofree char *key = certs_key(directory, "client");
    g_autofree char *ca = certs_path(directory, "ca.pem");
    g_autofree char *cert_text = NULL;
    g_autofree char *key_text = NULL;
    g_autofree char *ca_text = NULL;

    g_assert_true(g_file_get_contents(cert, &cert_text, NULL, NULL));
    g_assert_true(g_file_get_contents(key, &key_text, NULL, NULL));
    g_assert_true(g_file_get_contents(ca, &ca_text, NULL, NULL));
    g_autofree char *chain = g_strconcat(cert_text, ca_text, NULL);
    g_autofree char *both = g_strconcat(ca_text, ca_text, "words between\n", cert_text, NULL);
    write_file("chain.pem", chain);
    write_file("many.pem", both);
    write_file("empty.pem", "");
    write_file("words.pem", "no certificate\n");
    cert_text[strlen(cert_text) / 2] = '\0';
    write_file("half-cert.pem", cert_text);
    key_text[strlen(key_text) / 2] = '\0';
    write_file("half-key.pem", key_text);
    write_file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
}

/* NULL in says: it loads. */
static const struct {
    const char *name;
    const char *cert, *key, *ca;
    const char *file; /* named */
    const char *says; /* the flag */
} rows[] = {
    {"good", "client-cert.pem", "client-key.pem", "ca.pem", NULL, NULL},
    {"chain", "chain.pem", "client-key.pem", "ca.pem", NULL, NULL},
    {"many-cas", "client-cert.pem", "client-key.pem", "many.pem", NULL, NULL},

    {"cert-missing", "none.pem", "client-key.pem", "ca.pem", "none.pem", "--x-tls-cert"},
    {"cert-empty", "empty.pem", "client-key.pem", "ca.pem", "empty.pem", "--x-tls-cert"},
    {"cert-words", "words.pem", "client-key.pem", "ca.pem", "words.pem", "--x-tls-cert"},
    {"cert-half", "half-cert.pem", "client-key.pem", "ca.pem", "half-cert.pem", "--x-tls-cert"},
    {"cert-broken", "broken.pem", "client-key.pem", "ca.pem", "broken.pem", "--x-tls-cert"},
    {"cert-is-key", "client-key.pem", "client-key.pem", "ca.pem", "client-key.pem",
     "--x-tls-cert"},

    {"key-missing", "client-cert.pem", "none.pem", "ca.pem", "none.pem", "--x-tls-key"},
    {"key-empty", "client-cert.pem", "empty.pem", "ca.pem", "empty.pem", "--x-tls-key"},
    {"key-words", "client-cert.pem", "words.pem", "ca.pem", "words.pem", "--x-tls-key"},
    {"key-half", "client-cert.pem", "half-key.pem", "ca.pem", "half-key.pem", "--x-tls-key"},
    {"key-is-cert", "client-cert.pem", "client-cert.pem", "ca.pem", "client-cert.pem",
     "--x-tls-key"},
    {"key-of-another", "client-cert.pem", "other-key.pem", "ca.pem", "other-key.pem",
     "--x-tls-key"},

    {"ca-missing", "client-cert.pem", "client-key.pem", "none.pem", "none.pem", "--x-tls-ca"},
    {"ca-empty", "client-cert.pem", "client-key.pem", "empty.pem", "empty.pem", "--x-tls-ca"},
    {"ca-words", "client-cert.pem", "client-key.pem", "words.pem", "words.pem", "--x-tls-ca"},
    {"ca-broken", "client-cert.pem", "client-key.pem", "broken.pem", "broken.pem",
     "--x-tls-ca"},
    {"ca-is-key", "client-cert.pem", "client-key.pem", "client-key.pem", "client-key.pem",
     "--x-tls-ca"},
    {"ca-is-directory", "client-cert.pem", "client-key.pem", ".", "/.", "--x-tls-ca"},
};

static void
test_load(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autofree char *cert = certs_path(directory, rows[i].cert);
    g_autofree char *key = certs_path(directory, rows[i].key);
    g_autofree char *ca = certs_path(directory, rows[i].ca);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcTlsCredentials) credentials =
        vc_tls_credentials_load(cert, key, ca, "--x-tls", &error);

    if (rows[i].says == NULL) {
        g_assert_no_error(error);
        g_assert_nonnull(credentials);
        return;
    }
    g_assert_null(credentials);
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, rows[i].file));
    g_assert_nonnull(strstr(error->message, rows[i].says));
    g_assert_null(strchr(error->message, '\n'));
}

static void
test_references(void)
{
    g_autofree char *cert = certs_cert(directory, "client");
    g_autofree char *key = certs_key(directory, "client");
    g_autofree char *ca = certs_path(directory, "ca.pem");
    VcTlsCredentials *credentials = vc_tls_credentials_load(cert, key, ca, "--x-tls", NULL);

    g_assert_nonnull(credentials);
    g_assert_true(vc_tls_credentials_ref(credentials) == credentials);
    vc_tls_credentials_unref(credentials);
    g_assert_nonnull(credentials->certificate);
    vc_tls_credentials_unref(credentials);
    vc_tls_credentials_unref(NULL);
}

/* Lists that revoke something are in the integration tests, made by certtool. */
static void
test_broken_crl(void)
{
    static const char *const files[] = {"none.pem", "empty.pem", "words.pem", "broken.pem",
                                        "ca.pem"};
    g_autofree char *cert = certs_cert(directory, "client");
    g_autofree char *key = certs_key(directory, "client");
    g_autofree char *ca = certs_path(directory, "ca.pem");
    g_autoptr(VcTlsCredentials) credentials =
        vc_tls_credentials_load(cert, key, ca, "--x-tls", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = certs_path(directory, files[i]);
        g_autoptr(GError) error = NULL;
        g_assert_false(vc_tls_credentials_add_crl(credentials, path, "--x-crl", &error));
        g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
        g_assert_nonnull(strstr(error->message, path));
        g_assert_nonnull(strstr(error->message, "--x-crl"));
    }
}

static void
test_check_file(void)
{
    g_autofree char *there = certs_path(directory, "ca.pem");
    g_autofree char *missing = certs_path(directory, "none.pem");
    g_autoptr(GError) error = NULL;

    g_assert_true(vc_tls_check_file(there, "--flag", &error));
    g_assert_no_error(error);
    g_assert_false(vc_tls_check_file(missing, "--flag", &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, missing));
    g_assert_nonnull(strstr(error->message, "--flag"));
    g_assert_nonnull(strstr(error->message, "No such file"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = certs_make();
    make_files();
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/tls/load/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_load);
    }
    g_test_add_func("/tls/references", test_references);
    g_test_add_func("/tls/broken-crl", test_broken_crl);
    g_test_add_func("/tls/check-file", test_check_file);
    int failed = g_test_run();
    certs_remove(directory);
    return failed;
}
