/* SPDX-License-Identifier: LGPL-2.1-or-later
 * RSA-OAEP with SHA-1 and an empty label, of the password and a NUL. From OpenSSL, because
 * gnutls 3.7 has no OAEP. */
#include "proxy/spice-ticket.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/error.h"

/* spice-server's buffer has 60 bytes, its NUL among them. */
#define MAX_PASSWORD 59

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY_CTX, EVP_PKEY_CTX_free)

static EVP_PKEY *
parse_key(const guint8 *der)
{
    g_autoptr(EVP_PKEY) key = d2i_PUBKEY(NULL, &der, VCP_SPICE_KEY);

    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
        EVP_PKEY_get_size(key) != VCP_SPICE_TICKET)
        return NULL;
    return g_steal_pointer(&key);
}

static gboolean
encrypt(EVP_PKEY *key, const char *password, guint8 ticket[VCP_SPICE_TICKET])
{
    g_autoptr(EVP_PKEY_CTX) context = EVP_PKEY_CTX_new(key, NULL);
    size_t length = VCP_SPICE_TICKET;

    return context != NULL && EVP_PKEY_encrypt_init(context) > 0 &&
           EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha1()) > 0 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha1()) > 0 &&
           EVP_PKEY_encrypt(context, ticket, &length, (const guint8 *)password,
                            strlen(password) + 1) > 0 &&
           length == VCP_SPICE_TICKET;
}

gboolean
vcp_spice_ticket(const char *password, const guint8 der[VCP_SPICE_KEY],
                 guint8 ticket[VCP_SPICE_TICKET], GError **error)
{
    if (strlen(password) > MAX_PASSWORD) {
        g_set_error(error, VC_ERROR, VC_ERROR_AUTHENTICATION,
                    "the service's password is longer than the %d bytes that SPICE allows",
                    MAX_PASSWORD);
        return FALSE;
    }
    g_autoptr(EVP_PKEY) key = parse_key(der);
    if (key == NULL || !encrypt(key, password, ticket)) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_PROTOCOL,
                            "the hypervisor's SPICE key is not an RSA key of 1024 bits");
        return FALSE;
    }
    return TRUE;
}
