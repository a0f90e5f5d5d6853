/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Tickets, decrypted with the server's key as spice-server does it. */
#include "proxy/spice-ticket.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/error.h"

typedef struct {
    EVP_PKEY *pair;
    guint8 key[VCP_SPICE_KEY];
} Server;

static void
server_init(Server *self, unsigned bits)
{
    guint8 *der = NULL;

    self->pair = EVP_RSA_gen(bits);
    int length = i2d_PUBKEY(self->pair, &der);
    memset(self->key, 0, sizeof self->key);
    memcpy(self->key, der, MIN((gsize)length, sizeof self->key));
    if (bits == 1024)
        g_assert_cmpint(length, ==, VCP_SPICE_KEY);
    OPENSSL_free(der);
}

/* With the options of spice-server: RSA_private_decrypt(…, RSA_PKCS1_OAEP_PADDING). */
static gsize
decrypt(const Server *self, const guint8 *ticket, guint8 *plain)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(self->pair, NULL);
    size_t length = VCP_SPICE_TICKET;

    g_assert_cmpint(EVP_PKEY_decrypt_init(context), ==, 1);
    g_assert_cmpint(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING), ==, 1);
    g_assert_cmpint(EVP_PKEY_decrypt(context, plain, &length, ticket, VCP_SPICE_TICKET), ==, 1);
    EVP_PKEY_CTX_free(context);
    return length;
}

static void
test_passwords(void)
{
    static const char *const passwords[] = {
        "",
        "a",
        "spw",
        "p\xc3\xa4ss",
        "12345678901234567890123456789012345678901234567890123456789", /* 59 bytes */
    };
    Server server;

    server_init(&server, 1024);
    for (gsize i = 0; i < G_N_ELEMENTS(passwords); i++) {
        guint8 ticket[VCP_SPICE_TICKET], again[VCP_SPICE_TICKET], plain[VCP_SPICE_TICKET];
        g_autoptr(GError) error = NULL;

        g_assert_true(vcp_spice_ticket(passwords[i], server.key, ticket, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(decrypt(&server, ticket, plain), ==, strlen(passwords[i]) + 1);
        g_assert_cmpstr((const char *)plain, ==, passwords[i]);
        /* Nobody can tell from two tickets whether the password is the same. */
        g_assert_true(vcp_spice_ticket(passwords[i], server.key, again, &error));
        g_assert_cmpint(memcmp(ticket, again, sizeof ticket), !=, 0);
    }
    EVP_PKEY_free(server.pair);
}

static void
assert_refused(const char *password, const guint8 *key, VcError code)
{
    guint8 ticket[VCP_SPICE_TICKET];
    g_autoptr(GError) error = NULL;

    g_assert_false(vcp_spice_ticket(password, key, ticket, &error));
    g_assert_error(error, VC_ERROR, (int)code);
    g_assert_null(strstr(error->message, "secret"));
}

static void
test_too_long(void)
{
    Server server;

    server_init(&server, 1024);
    assert_refused("secret7890123456789012345678901234567890123456789012345678901", server.key,
                   VC_ERROR_AUTHENTICATION);
    EVP_PKEY_free(server.pair);
}

static void
test_other_keys(void)
{
    static const guint8 zeros[VCP_SPICE_KEY], sequence[VCP_SPICE_KEY] = {0x30, 0x81, 0x9f};
    static const unsigned bits[] = {512, 768, 1032, 2048};

    assert_refused("secret", zeros, VC_ERROR_PROTOCOL);
    assert_refused("secret", sequence, VC_ERROR_PROTOCOL);
    for (gsize i = 0; i < G_N_ELEMENTS(bits); i++) {
        Server server;
        server_init(&server, bits[i]);
        assert_refused("secret", server.key, VC_ERROR_PROTOCOL);
        EVP_PKEY_free(server.pair);
    }
}

static void
test_elliptic_key(void)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    guint8 key[VCP_SPICE_KEY] = {0};
    guint8 *at = key;

    g_assert_cmpint(i2d_PUBKEY(pair, NULL), <=, VCP_SPICE_KEY);
    i2d_PUBKEY(pair, &at);
    assert_refused("secret", key, VC_ERROR_PROTOCOL);
    EVP_PKEY_free(pair);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spice-ticket/passwords", test_passwords);
    g_test_add_func("/spice-ticket/too-long", test_too_long);
    g_test_add_func("/spice-ticket/other-keys", test_other_keys);
    g_test_add_func("/spice-ticket/elliptic-key", test_elliptic_key);
    return g_test_run();
}
