/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Look-ups on threads that nobody waits for. */
#include "proxy/lookup.h"

/* Each one under way is a thread; what is beyond would wait for a name server that is down. */
#define MAX_UNDER_WAY 256

struct VcpLookup {
    uv_mutex_t lock;  /* for: */
    uv_async_t *wake; /* NULL: cancelled; what is left belongs to the thread */
    gboolean is_done; /* the thread is, and has said so */

    char *host;
    char service[8];
    struct addrinfo *addresses;
    int failure;
    VcpLookedUp looked_up;
    gpointer data;
};

static int under_way; /* atomic */

static void
free_lookup(VcpLookup *self)
{
    if (self->addresses != NULL)
        freeaddrinfo(self->addresses);
    uv_mutex_destroy(&self->lock);
    g_free(self->host);
    g_free(self);
}

static gpointer
run(gpointer data)
{
    static const struct addrinfo hints = {.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG,
                                          .ai_socktype = SOCK_STREAM};
    VcpLookup *self = data;

    self->failure = getaddrinfo(self->host, self->service, &hints, &self->addresses);
    g_atomic_int_add(&under_way, -1);

    uv_mutex_lock(&self->lock);
    gboolean is_wanted = self->wake != NULL;
    self->is_done = TRUE;
    if (is_wanted)
        uv_async_send(self->wake);
    uv_mutex_unlock(&self->lock);
    if (!is_wanted)
        free_lookup(self);
    return NULL;
}

static void
on_closed(uv_handle_t *handle)
{
    g_free(handle);
}

static void
on_wake(uv_async_t *wake)
{
    VcpLookup *self = wake->data;

    /* The thread may still hold the lock that it sent the message under. */
    uv_mutex_lock(&self->lock);
    uv_mutex_unlock(&self->lock);

    struct addrinfo *addresses = g_steal_pointer(&self->addresses);
    VcpLookedUp looked_up = self->looked_up;
    gpointer data = self->data;
    int failure = self->failure;

    uv_close((uv_handle_t *)wake, on_closed);
    free_lookup(self);
    looked_up(addresses, failure, data);
}

VcpLookup *
vcp_lookup(uv_loop_t *loop, const char *host, guint16 port, VcpLookedUp looked_up,
           gpointer data)
{
    if (g_atomic_int_add(&under_way, 1) >= MAX_UNDER_WAY) {
        g_atomic_int_add(&under_way, -1);
        return NULL;
    }

    VcpLookup *self = g_new0(VcpLookup, 1);
    uv_mutex_init(&self->lock);
    self->wake = g_new0(uv_async_t, 1);
    uv_async_init(loop, self->wake, on_wake);
    self->wake->data = self;
    self->host = g_strdup(host);
    g_snprintf(self->service, sizeof self->service, "%u", port);
    self->looked_up = looked_up;
    self->data = data;
    g_thread_unref(g_thread_new("lookup", run, self));
    return self;
}

guint
vcp_lookup_count(void)
{
    return (guint)g_atomic_int_get(&under_way);
}

void
vcp_lookup_cancel(VcpLookup *self)
{
    uv_mutex_lock(&self->lock);
    uv_close((uv_handle_t *)self->wake, on_closed);
    self->wake = NULL;
    gboolean is_done = self->is_done;
    uv_mutex_unlock(&self->lock);
    if (is_done)
        free_lookup(self);
}
