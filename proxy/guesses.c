/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A table of clients, and a list of them by their last failure. */
#include "proxy/guesses.h"

#include <string.h>
#include <uv.h>

#include "common/network.h"

/* 2^9 s is more than the longest wait. */
#define MAX_DOUBLINGS 9

typedef struct {
    VcIp key;
    guint failures;
    guint64 failed_ms; /* the last time */
    guint64 free_ms;   /* when the next token is looked at */
    GList link;        /* in the list */
} Client;

struct VcpGuesses {
    guint64 (*now_ms)(void);
    uv_mutex_t lock; /* for: */
    guint free;
    GHashTable *clients; /* the key within → Client, which it owns */
    GQueue by_failure;   /* of their links, oldest first */
};

static guint
hash_key(gconstpointer key)
{
    const VcIp *ip = key;
    guint sum = 5381;

    for (guint i = 0; i < sizeof ip->bytes; i++)
        sum = sum * 33 + ip->bytes[i];
    return sum;
}

static gboolean
is_equal(gconstpointer one, gconstpointer other)
{
    return vc_ip_is_equal(one, other);
}

VcpGuesses *
vcp_guesses_new(guint free, guint64 (*now_ms)(void))
{
    VcpGuesses *self = g_new0(VcpGuesses, 1);

    self->free = free;
    self->now_ms = now_ms;
    uv_mutex_init(&self->lock);
    self->clients = g_hash_table_new_full(hash_key, is_equal, NULL, g_free);
    return self;
}

void
vcp_guesses_free(VcpGuesses *self)
{
    if (self == NULL)
        return;
    g_hash_table_unref(self->clients);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}

void
vcp_guesses_set(VcpGuesses *self, guint free)
{
    uv_mutex_lock(&self->lock);
    self->free = free;
    uv_mutex_unlock(&self->lock);
}

/* Whoever has one address of IPv6 has the 2^64 of its network. */
static gboolean
find_key(const char *client, VcIp *key)
{
    if (!vc_ip_of_peer(client, key))
        return FALSE;
    if (!vc_ip_is_v4(key))
        memset(key->bytes + 8, 0, 8);
    return TRUE;
}

static void
forget(VcpGuesses *self, Client *client)
{
    VcIp key = client->key; /* the table's goes with the client */

    g_queue_unlink(&self->by_failure, &client->link);
    g_hash_table_remove(self->clients, &key);
}

static void
forget_old(VcpGuesses *self)
{
    guint64 now = self->now_ms();

    while (self->by_failure.length > 0) {
        Client *oldest = self->by_failure.head->data;
        if (oldest->failed_ms + VCP_GUESSES_MEMORY_S * G_GUINT64_CONSTANT(1000) > now &&
            self->by_failure.length <= VCP_GUESSES_MAX_CLIENTS)
            return;
        forget(self, oldest);
    }
}

static guint64
wait_ms(const VcpGuesses *self, const Client *client)
{
    guint doublings = MIN(client->failures - self->free, MAX_DOUBLINGS);

    return MIN(1u << doublings, VCP_GUESSES_MAX_WAIT_S) * G_GUINT64_CONSTANT(1000);
}

/* With the lock held. */
static guint
try_client(VcpGuesses *self, const VcIp *key)
{
    guint64 now = self->now_ms();

    forget_old(self);
    Client *client = g_hash_table_lookup(self->clients, key);
    if (client == NULL || self->free == 0 || client->failures < self->free)
        return 0;
    if (now < client->free_ms)
        return (guint)((client->free_ms - now + 999) / 1000);
    client->free_ms = now + wait_ms(self, client);
    return 0;
}

guint
vcp_guesses_try(VcpGuesses *self, const char *client)
{
    VcIp key;

    if (!find_key(client, &key))
        return 0;
    uv_mutex_lock(&self->lock);
    guint wait_s = try_client(self, &key);
    uv_mutex_unlock(&self->lock);
    return wait_s;
}

static Client *
new_client(VcpGuesses *self, const VcIp *key)
{
    Client *client = g_new0(Client, 1);

    client->key = *key;
    client->link.data = client;
    g_hash_table_add(self->clients, client);
    g_queue_push_tail_link(&self->by_failure, &client->link);
    return client;
}

/* With the lock held. */
static void
count_failure(VcpGuesses *self, const VcIp *key)
{
    Client *client = g_hash_table_lookup(self->clients, key);

    if (self->free == 0)
        return;
    if (client == NULL)
        client = new_client(self, key);
    client->failures = MIN(client->failures + 1, self->free + MAX_DOUBLINGS);
    client->failed_ms = self->now_ms();
    if (client->failures >= self->free)
        client->free_ms = client->failed_ms + wait_ms(self, client);
    g_queue_unlink(&self->by_failure, &client->link);
    g_queue_push_tail_link(&self->by_failure, &client->link);
    forget_old(self);
}

void
vcp_guesses_failed(VcpGuesses *self, const char *client)
{
    VcIp key;

    if (!find_key(client, &key))
        return;
    uv_mutex_lock(&self->lock);
    count_failure(self, &key);
    uv_mutex_unlock(&self->lock);
}

void
vcp_guesses_succeeded(VcpGuesses *self, const char *text)
{
    VcIp key;

    if (!find_key(text, &key))
        return;
    uv_mutex_lock(&self->lock);
    Client *client = g_hash_table_lookup(self->clients, &key);
    if (client != NULL)
        forget(self, client);
    uv_mutex_unlock(&self->lock);
}

guint
vcp_guesses_count(VcpGuesses *self)
{
    uv_mutex_lock(&self->lock);
    guint count = g_hash_table_size(self->clients);
    uv_mutex_unlock(&self->lock);
    return count;
}
