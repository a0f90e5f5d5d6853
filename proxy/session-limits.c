/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Counts of sessions by key. */
#include "proxy/session-limits.h"

#include <uv.h>

#include "common/error.h"

typedef enum { BY_ADDRESS, BY_TOKEN, BY_CONSOLE, N_KINDS } Kind;

struct VcpLimits {
    uv_mutex_t lock;
    VcpLimitValues values;
    guint total;
    GHashTable *counts[N_KINDS]; /* key (full) → count, never 0 */
};

struct VcpSlot {
    VcpLimits *limits;  /* NULL: an extra one, of the session of */
    VcpSpiceLive *live; /* with */
    char *token_digest;
    char *keys[N_KINDS]; /* nullable: not counted */
};

VcpLimits *
vcp_limits_new(VcpLimitValues values)
{
    VcpLimits *self = g_new0(VcpLimits, 1);

    uv_mutex_init(&self->lock);
    self->values = values;
    for (int kind = 0; kind < N_KINDS; kind++)
        self->counts[kind] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return self;
}

void
vcp_limits_set(VcpLimits *self, VcpLimitValues values)
{
    uv_mutex_lock(&self->lock);
    self->values = values;
    uv_mutex_unlock(&self->lock);
}

void
vcp_limits_free(VcpLimits *self)
{
    if (self == NULL)
        return;
    g_assert(self->total == 0);
    for (int kind = 0; kind < N_KINDS; kind++)
        g_hash_table_unref(self->counts[kind]);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}

static guint
limit_of(const VcpLimits *self, Kind kind)
{
    const guint limits[N_KINDS] = {self->values.per_address, self->values.per_token,
                                   self->values.per_console};
    return limits[kind];
}

/* With the lock held. What is not limited is counted too: it may be one day. */
static gboolean
enter(VcpSlot *slot, Kind kind, const char *key)
{
    GHashTable *counts = slot->limits->counts[kind];
    guint limit = limit_of(slot->limits, kind);

    if (key == NULL)
        return TRUE;
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(counts, key));
    if (limit != 0 && count >= limit)
        return FALSE;
    g_hash_table_replace(counts, g_strdup(key), GUINT_TO_POINTER(count + 1));
    slot->keys[kind] = g_strdup(key);
    return TRUE;
}

static void
leave(VcpSlot *slot, Kind kind)
{
    GHashTable *counts = slot->limits->counts[kind];
    const char *key = slot->keys[kind];

    if (key == NULL)
        return;
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(counts, key));
    if (count > 1)
        g_hash_table_replace(counts, g_strdup(key), GUINT_TO_POINTER(count - 1));
    else
        g_hash_table_remove(counts, key);
}

static void
leave_all(VcpSlot *slot)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        leave(slot, (Kind)kind);
    slot->limits->total--;
}

static gboolean
enter_all(VcpSlot *slot, const char *address, const char *token_digest, GError **error)
{
    VcpLimits *self = slot->limits;

    if (self->values.total != 0 && self->total >= self->values.total) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_FULL, "--max-sessions is reached");
        return FALSE;
    }
    self->total++;
    if (enter(slot, BY_ADDRESS, address) && enter(slot, BY_TOKEN, token_digest))
        return TRUE;
    g_set_error(error, VC_ERROR, VC_ERROR_TOO_MANY, "--max-sessions-per-%s is reached",
                slot->keys[BY_ADDRESS] == NULL && address != NULL ? "address" : "token");
    leave_all(slot);
    return FALSE;
}

static void
free_slot(VcpSlot *slot)
{
    g_free(slot->token_digest);
    for (int kind = 0; kind < N_KINDS; kind++)
        g_free(slot->keys[kind]);
    g_free(slot);
}

VcpSlot *
vcp_limits_enter(VcpLimits *self, const char *address, const char *token_digest, GError **error)
{
    VcpSlot *slot = g_new0(VcpSlot, 1);

    slot->limits = self;
    uv_mutex_lock(&self->lock);
    gboolean entered = enter_all(slot, address, token_digest, error);
    uv_mutex_unlock(&self->lock);
    if (!entered)
        g_clear_pointer(&slot, free_slot);
    return slot;
}

VcpSlot *
vcp_slot_new_extra(VcpSpiceLive *live, const char *token_digest)
{
    if (!vcp_spice_live_enter(live, token_digest))
        return NULL;
    VcpSlot *self = g_new0(VcpSlot, 1);
    self->live = live;
    self->token_digest = g_strdup(token_digest);
    return self;
}

gboolean
vcp_slot_is_extra(const VcpSlot *self)
{
    return self->live != NULL;
}

gboolean
vcp_slot_enter_console(VcpSlot *self, const char *console, GError **error)
{
    g_assert(self->keys[BY_CONSOLE] == NULL);
    uv_mutex_lock(&self->limits->lock);
    gboolean entered = enter(self, BY_CONSOLE, console);
    uv_mutex_unlock(&self->limits->lock);
    if (!entered)
        g_set_error_literal(error, VC_ERROR, VC_ERROR_IN_USE,
                            "--max-sessions-per-console is reached");
    return entered;
}

void
vcp_slot_free(VcpSlot *self)
{
    if (self == NULL)
        return;
    if (self->live != NULL) {
        vcp_spice_live_leave(self->live, self->token_digest);
    } else {
        uv_mutex_lock(&self->limits->lock);
        leave_all(self);
        uv_mutex_unlock(&self->limits->lock);
    }
    free_slot(self);
}

guint
vcp_limits_count(VcpLimits *self)
{
    uv_mutex_lock(&self->lock);
    guint total = self->total;
    uv_mutex_unlock(&self->lock);
    return total;
}
