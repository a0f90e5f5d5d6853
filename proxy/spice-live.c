/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A table by token. An entry stays while the session or any of its websockets does. */
#include "proxy/spice-live.h"

#include <uv.h>

#define MAX_WEBSOCKETS 64

typedef struct {
    guint n_sessions; /* more than one where the store has let in another: it had lost one */
    guint n_websockets;
} Live;

struct VcpSpiceLive {
    uv_mutex_t lock;      /* for: */
    GHashTable *sessions; /* token digest (full) → Live */
};

VcpSpiceLive *
vcp_spice_live_new(void)
{
    VcpSpiceLive *self = g_new0(VcpSpiceLive, 1);

    uv_mutex_init(&self->lock);
    self->sessions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return self;
}

void
vcp_spice_live_free(VcpSpiceLive *self)
{
    if (self == NULL)
        return;
    g_assert(g_hash_table_size(self->sessions) == 0);
    g_hash_table_unref(self->sessions);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}

static void
drop_if_unused(VcpSpiceLive *self, const char *token_digest, const Live *live)
{
    if (live->n_sessions == 0 && live->n_websockets == 0)
        g_hash_table_remove(self->sessions, token_digest);
}

void
vcp_spice_live_begin(VcpSpiceLive *self, const char *token_digest)
{
    uv_mutex_lock(&self->lock);
    Live *live = g_hash_table_lookup(self->sessions, token_digest);
    if (live == NULL) {
        live = g_new0(Live, 1);
        g_hash_table_insert(self->sessions, g_strdup(token_digest), live);
    }
    live->n_sessions++;
    uv_mutex_unlock(&self->lock);
}

void
vcp_spice_live_end(VcpSpiceLive *self, const char *token_digest)
{
    uv_mutex_lock(&self->lock);
    Live *live = g_hash_table_lookup(self->sessions, token_digest);
    live->n_sessions--;
    drop_if_unused(self, token_digest, live);
    uv_mutex_unlock(&self->lock);
}

gboolean
vcp_spice_live_enter(VcpSpiceLive *self, const char *token_digest)
{
    uv_mutex_lock(&self->lock);
    Live *live = g_hash_table_lookup(self->sessions, token_digest);
    gboolean entered =
        live != NULL && live->n_sessions > 0 && live->n_websockets < MAX_WEBSOCKETS;
    if (entered)
        live->n_websockets++;
    uv_mutex_unlock(&self->lock);
    return entered;
}

void
vcp_spice_live_leave(VcpSpiceLive *self, const char *token_digest)
{
    uv_mutex_lock(&self->lock);
    Live *live = g_hash_table_lookup(self->sessions, token_digest);
    live->n_websockets--;
    drop_if_unused(self, token_digest, live);
    uv_mutex_unlock(&self->lock);
}
