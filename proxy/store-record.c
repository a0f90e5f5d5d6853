/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Claims, sessions, their channels, and spent tokens. A record is held by one owner until he
 * releases it or his lease runs out; a confirmed one of a single-use token is spent from then
 * on, whatever becomes of its owner. */
#include "proxy/store-record.h"

#include <string.h>

typedef struct {
    VcpChannel channel;
    char owner[VCP_STORE_OWNER_SIZE]; /* "": closed */
    guint64 held_until_ms;
} Slot;

static gboolean
is_held(const VcpRecord *self, guint64 now_ms)
{
    return self->owner[0] != '\0' && now_ms < self->held_until_ms;
}

static gboolean
is_spent(const VcpRecord *self, guint64 now_ms)
{
    return now_ms < self->spent_until_ms;
}

static gboolean
is_owner(const VcpRecord *self, const VcpStoreRequest *request)
{
    return strcmp(self->owner, request->owner) == 0;
}

static gboolean
may_come_back(const VcpRecord *self, const VcpStoreRequest *request, guint64 now_ms)
{
    return now_ms < self->come_back_until_ms && request->client[0] != '\0' &&
           g_strcmp0(self->client, request->client) == 0;
}

static void
replace(char **field, const char *value)
{
    char *copy = g_strdup(value);

    g_free(*field);
    *field = copy;
}

static void
drop_session(VcpRecord *self)
{
    self->owner[0] = '\0';
    self->held_until_ms = 0;
    self->is_confirmed = FALSE;
    self->session_id = 0;
    g_clear_pointer(&self->console, g_free);
    g_clear_pointer(&self->channels, g_array_unref);
}

static void
hold(VcpRecord *self, const VcpStoreRequest *request, guint64 now_ms)
{
    if (!is_owner(self, request)) {
        drop_session(self);
        g_strlcpy(self->owner, request->owner, sizeof self->owner);
    }
    self->held_until_ms = now_ms + request->lease_ms;
}

/* While a session lives, its end is not known: then is one lease from now, if it is not heard
 * of again. */
static void
spend(VcpRecord *self, const VcpStoreRequest *request, guint64 end_ms)
{
    self->spent_until_ms = end_ms + request->spent_ms;
    self->come_back_until_ms = request->come_back_ms != 0 ? end_ms + request->come_back_ms : 0;
    replace(&self->client, request->client);
}

static VcpStoreAnswer
claim(VcpRecord *self, const VcpStoreRequest *request, guint64 now_ms)
{
    if (!is_owner(self, request) || !is_held(self, now_ms)) {
        if (is_spent(self, now_ms) && !may_come_back(self, request, now_ms))
            return VCP_STORE_SPENT;
        if (is_held(self, now_ms))
            return VCP_STORE_TAKEN;
    }
    hold(self, request, now_ms);
    return VCP_STORE_OK;
}

static Slot *
find_slot(const VcpRecord *self, VcpChannel channel)
{
    for (guint i = 0; self->channels != NULL && i < self->channels->len; i++) {
        Slot *slot = &g_array_index(self->channels, Slot, i);
        if (slot->channel.type == channel.type && slot->channel.id == channel.id)
            return slot;
    }
    return NULL;
}

static void
add_channels(VcpRecord *self, const VcpStoreRequest *request)
{
    if (self->channels == NULL && request->n_channels > 0)
        self->channels = g_array_new(FALSE, FALSE, sizeof(Slot));
    for (guint i = 0; i < request->n_channels; i++) {
        Slot slot = {.channel = request->channels[i]};
        if (find_slot(self, slot.channel) == NULL &&
            self->channels->len < VCP_STORE_MAX_CHANNELS)
            g_array_append_val(self->channels, slot);
    }
}

/* Also for an owner whose lease has run out in the meantime, or was forgotten by a store that
 * began anew: if nobody else came, nothing has happened. */
static VcpStoreAnswer
confirm(VcpRecord *self, const VcpStoreRequest *request, guint64 now_ms)
{
    if (!is_owner(self, request)) {
        if (is_spent(self, now_ms))
            return VCP_STORE_SPENT;
        if (is_held(self, now_ms))
            return VCP_STORE_TAKEN;
    }
    hold(self, request, now_ms);
    self->is_confirmed = TRUE;
    self->session_id = request->session_id;
    replace(&self->console, request->console);
    add_channels(self, request);
    if (request->is_single)
        spend(self, request, self->held_until_ms);
    return VCP_STORE_OK;
}

static VcpStoreAnswer
attach(VcpRecord *self, const VcpStoreRequest *request, guint64 now_ms)
{
    g_assert(request->n_channels == 1);
    if (!is_held(self, now_ms) || !self->is_confirmed || self->session_id == 0)
        return is_spent(self, now_ms) ? VCP_STORE_SPENT : VCP_STORE_UNKNOWN;
    if (self->session_id != request->session_id ||
        g_strcmp0(self->console, request->console) != 0)
        return VCP_STORE_UNKNOWN;

    Slot *slot = find_slot(self, request->channels[0]);
    if (slot == NULL)
        return VCP_STORE_NOT_LISTED;
    if (slot->owner[0] != '\0' && strcmp(slot->owner, request->owner) != 0 &&
        now_ms < slot->held_until_ms)
        return VCP_STORE_TAKEN;
    g_strlcpy(slot->owner, request->owner, sizeof slot->owner);
    slot->held_until_ms = now_ms + request->lease_ms;
    return VCP_STORE_OK;
}

static VcpStoreAnswer
detach(VcpRecord *self, const VcpStoreRequest *request, guint64 now_ms G_GNUC_UNUSED)
{
    g_assert(request->n_channels == 1);
    Slot *slot = find_slot(self, request->channels[0]);

    if (slot != NULL && strcmp(slot->owner, request->owner) == 0)
        slot->owner[0] = '\0';
    return VCP_STORE_OK;
}

static VcpStoreAnswer
release(VcpRecord *self, const VcpStoreRequest *request, guint64 now_ms)
{
    gboolean is_anothers = is_held(self, now_ms) && !is_owner(self, request);

    if (is_owner(self, request))
        drop_session(self);
    if (request->is_single && !is_anothers)
        spend(self, request, now_ms);
    return VCP_STORE_OK;
}

VcpStoreAnswer
vcp_record_apply(VcpRecord *self, const VcpStoreRequest *request, guint64 now_ms)
{
    static VcpStoreAnswer (*const verbs[])(VcpRecord *, const VcpStoreRequest *, guint64) = {
        [VCP_STORE_CLAIM] = claim,   [VCP_STORE_CONFIRM] = confirm, [VCP_STORE_ATTACH] = attach,
        [VCP_STORE_DETACH] = detach, [VCP_STORE_RELEASE] = release,
    };

    return verbs[request->verb](self, request, now_ms);
}

gboolean
vcp_record_is_void(const VcpRecord *self, guint64 now_ms)
{
    return !is_held(self, now_ms) && !is_spent(self, now_ms);
}

void
vcp_record_free(VcpRecord *self)
{
    if (self == NULL)
        return;
    drop_session(self);
    g_free(self->client);
    g_free(self);
}
