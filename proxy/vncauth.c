/* SPDX-License-Identifier: LGPL-2.1-or-later
 * DES the way VNC has it: every byte of the key with its bits in reverse. */
#include "proxy/vncauth.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "common/error.h"

#define DES_LENGTH 8

static guint8
reverse_bits(guint8 byte)
{
    guint8 reversed = 0;

    for (guint bit = 0; bit < 8; bit++) {
        if (byte & 1u << bit)
            reversed |= (guint8)(0x80u >> bit);
    }
    return reversed;
}

static void
make_key(const char *password, guint8 key[DES_LENGTH])
{
    gsize length = strnlen(password, DES_LENGTH);

    memset(key, 0, DES_LENGTH);
    for (gsize i = 0; i < length; i++)
        key[i] = reverse_bits((guint8)password[i]);
}

/* GnuTLS has no ECB: chaining from a vector of zeros, begun anew for each block, is the same.
 */
static int
encrypt_block(guint8 key[DES_LENGTH], const guint8 *block, guint8 *encrypted)
{
    guint8 zeros[DES_LENGTH] = {0};
    gnutls_datum_t key_datum = {key, DES_LENGTH};
    gnutls_datum_t vector = {zeros, DES_LENGTH};
    gnutls_cipher_hd_t cipher;

    int status = gnutls_cipher_init(&cipher, GNUTLS_CIPHER_DES_CBC, &key_datum, &vector);
    if (status < 0)
        return status;
    status = gnutls_cipher_encrypt2(cipher, block, DES_LENGTH, encrypted, DES_LENGTH);
    gnutls_cipher_deinit(cipher);
    return status;
}

gboolean
vcp_vncauth_respond(const char *password, const guint8 challenge[VCP_VNCAUTH_LENGTH],
                    guint8 response[VCP_VNCAUTH_LENGTH], GError **error)
{
    guint8 key[DES_LENGTH];
    int status = 0;

    make_key(password, key);
    for (gsize i = 0; i < VCP_VNCAUTH_LENGTH && status >= 0; i += DES_LENGTH)
        status = encrypt_block(key, challenge + i, response + i);
    explicit_bzero(key, sizeof key);
    if (status < 0) {
        g_set_error(error, VC_ERROR, VC_ERROR_POLICY,
                    "a VNC password needs DES, which this system refuses: %s",
                    gnutls_strerror(status));
        return FALSE;
    }
    return TRUE;
}
