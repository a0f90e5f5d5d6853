/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Keys of tickets, and OpenSSL's question for one. */
#include "proxy/tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define ROTATION_MS (3600 * G_GINT64_CONSTANT(1000))

#define NAME_SIZE 16
#define KEY_SIZE  32
#define IV_SIZE   16 /* AES' block */

typedef struct {
    guint8 name[NAME_SIZE];
    guint8 cipher[KEY_SIZE], mac[KEY_SIZE];
    gint64 since_ms;
} Key;

struct VcpTickets {
    GMutex lock;
    Key keys[2]; /* the current one, and the one before */
    guint64 (*now_ms)(void);
};

/* Of the tickets in an SSL_CTX. */
static int data_index = -1;

static gboolean
make_key(VcpTickets *self, Key *key)
{
    key->since_ms = (gint64)self->now_ms();
    return RAND_bytes(key->name, sizeof key->name) == 1 &&
           RAND_priv_bytes(key->cipher, sizeof key->cipher) == 1 &&
           RAND_priv_bytes(key->mac, sizeof key->mac) == 1;
}

/* The current key, a new one where that is due; nullable: there is no randomness. */
static const Key *
current(VcpTickets *self)
{
    Key fresh;

    if ((gint64)self->now_ms() < self->keys[0].since_ms + ROTATION_MS)
        return &self->keys[0];
    if (!make_key(self, &fresh))
        return NULL;
    self->keys[1] = self->keys[0];
    self->keys[0] = fresh;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return &self->keys[0];
}

static const Key *
find(VcpTickets *self, const guint8 *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(self->keys); i++) {
        const Key *key = &self->keys[i];
        if ((gint64)self->now_ms() < key->since_ms + 2 * ROTATION_MS &&
            memcmp(name, key->name, NAME_SIZE) == 0)
            return key;
    }
    return NULL;
}

/* *key: a copy, to be wiped; of the current one where name is NULL. In OpenSSL's words: 0 goes
 * on without a ticket, 1 is well, and 2 asks for a new ticket in place of this one. */
static int
get_key(VcpTickets *self, const guint8 *name, Key *key)
{
    g_mutex_lock(&self->lock);
    const Key *now = current(self);
    const Key *found = name == NULL ? now : find(self, name);
    int result = found == NULL || now == NULL ? 0 : found == now ? 1 : 2;
    if (result != 0)
        *key = *found;
    g_mutex_unlock(&self->lock);
    return result;
}

static gboolean
set_up(const Key *key, guint8 *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypts)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, KEY_SIZE),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex2(cipher, EVP_aes_256_cbc(), key->cipher, iv, encrypts, NULL) == 1;
}

static int
on_ticket(SSL *tls, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
          EVP_MAC_CTX *mac, int encrypts)
{
    VcpTickets *self = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), data_index);
    Key key;
    int result = get_key(self, encrypts ? NULL : name, &key);

    if (result == 0)
        return 0;
    if (encrypts)
        memcpy(name, key.name, NAME_SIZE);
    if ((encrypts && RAND_bytes(iv, IV_SIZE) != 1) || !set_up(&key, iv, cipher, mac, encrypts))
        result = -1;
    OPENSSL_cleanse(&key, sizeof key);
    return result;
}

void
vcp_tickets_use(VcpTickets *self, SSL_CTX *tls)
{
    SSL_CTX_set_ex_data(tls, data_index, self);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(tls, on_ticket);
    /* One is enough: a client that opens several connections at once has several handshakes. */
    SSL_CTX_set_num_tickets(tls, 1);
    /* All there is to know is in the ticket. */
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
}

VcpTickets *
vcp_tickets_new(guint64 (*now_ms)(void))
{
    VcpTickets *self = g_new0(VcpTickets, 1);

    g_mutex_init(&self->lock);
    self->now_ms = now_ms;
    self->keys[0].since_ms = self->keys[1].since_ms = -2 * ROTATION_MS;
    if (data_index < 0)
        data_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return self;
}

void
vcp_tickets_free(VcpTickets *self)
{
    if (self == NULL)
        return;
    g_mutex_clear(&self->lock);
    OPENSSL_cleanse(self, sizeof *self);
    g_free(self);
}
