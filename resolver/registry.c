/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Two tables under one lock: by token for queries, by guest for updates. */
#include "resolver/registry.h"

#include <string.h>

/* Tokens remembered as dead while a libvirtd has not been heard of yet. */
#define MAX_DEAD 100000

typedef struct {
    GHashTable *guests; /* UUID → GPtrArray of VcrRecord */
    GHashTable *hidden; /* set of UUIDs, of guests */
    gboolean is_listed;
    gboolean was_listed; /* once since the start */
    gboolean is_connected;
    GHashTable *unsettled; /* set of digests that changed while it could not tell */
} Host;

struct VcrRegistry {
    GRWLock lock;
    Host *hosts;
    guint n_hosts;
    GHashTable *by_digest; /* digest → GPtrArray of VcrRecord, not owned, mostly one */
    guint n_records;

    /* An unknown token may belong to a libvirtd that has never been listed since the start, and
     * a 404 would end its sessions. One that was known and is gone is dead all the same. */
    GHashTable *dead; /* set of digests */

    VcrChanged changed; /* nullable */
    gpointer data;      /* of changed */
};

VcrRecord *
vcr_record_new(const char *digest, VcService *service)
{
    VcrRecord *self = g_new0(VcrRecord, 1);

    self->refs = 1;
    g_strlcpy(self->digest, digest, sizeof self->digest);
    self->service = service;
    return self;
}

VcrRecord *
vcr_record_ref(VcrRecord *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

void
vcr_record_unref(VcrRecord *self)
{
    if (self == NULL || !g_atomic_int_dec_and_test(&self->refs))
        return;
    vc_service_unref(self->service);
    g_free(self);
}

VcrRegistry *
vcr_registry_new(guint hosts)
{
    VcrRegistry *self = g_new0(VcrRegistry, 1);

    g_rw_lock_init(&self->lock);
    self->hosts = g_new0(Host, hosts);
    self->n_hosts = hosts;
    for (guint i = 0; i < hosts; i++) {
        self->hosts[i].guests = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                      (GDestroyNotify)g_ptr_array_unref);
        self->hosts[i].unsettled = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        self->hosts[i].hidden = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    }
    self->by_digest = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                            (GDestroyNotify)g_ptr_array_unref);
    self->dead = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return self;
}

void
vcr_registry_free(VcrRegistry *self)
{
    if (self == NULL)
        return;
    g_hash_table_unref(self->dead);
    g_hash_table_unref(self->by_digest);
    for (guint i = 0; i < self->n_hosts; i++) {
        g_hash_table_unref(self->hosts[i].guests);
        g_hash_table_unref(self->hosts[i].unsettled);
        g_hash_table_unref(self->hosts[i].hidden);
    }
    g_rw_lock_clear(&self->lock);
    g_free(self->hosts);
    g_free(self);
}

void
vcr_registry_watch(VcrRegistry *self, VcrChanged changed, gpointer data)
{
    self->changed = changed;
    self->data = data;
}

/* --- which of several --- */

static gboolean
is_same_console(const VcrRecord *one, const VcrRecord *other)
{
    return strcmp(one->service->domain_uuid, other->service->domain_uuid) == 0 &&
           one->service->console_index == other->service->console_index &&
           strcmp(one->service->console_type, other->service->console_type) == 0;
}

/* What it says is so now, as far as its libvirtd can tell. */
static gboolean
is_certain(const VcrRegistry *self, const VcrRecord *record)
{
    const Host *host = &self->hosts[record->host];

    return host->is_listed &&
           !g_hash_table_contains(host->hidden, record->service->domain_uuid);
}

/* While a guest migrates, and when a libvirtd is away from which it has gone. */
static gboolean
is_better(const VcrRegistry *self, const VcrRecord *one, const VcrRecord *other)
{
    gboolean one_certain = is_certain(self, one);

    if (one_certain != is_certain(self, other))
        return one_certain;
    return one->is_running && !other->is_running;
}

/* NULL: they are different consoles. */
static VcrRecord *
choose(const VcrRegistry *self, const GPtrArray *candidates)
{
    VcrRecord *chosen = g_ptr_array_index(candidates, 0);

    for (guint i = 1; i < candidates->len; i++) {
        VcrRecord *candidate = g_ptr_array_index(candidates, i);
        if (!is_same_console(chosen, candidate))
            return NULL;
        if (is_better(self, candidate, chosen))
            chosen = candidate;
    }
    return chosen;
}

static gboolean
awaits_hosts(const VcrRegistry *self)
{
    for (guint i = 0; i < self->n_hosts; i++) {
        if (!self->hosts[i].was_listed)
            return TRUE;
    }
    return FALSE;
}

/* *record: not owned; set where there is one, served or not, that the token stands for. */
static VcrAnswer
look_up(const VcrRegistry *self, const char *digest, VcrRecord **record)
{
    const GPtrArray *candidates = g_hash_table_lookup(self->by_digest, digest);

    *record = NULL;
    if (candidates == NULL)
        return awaits_hosts(self) && !g_hash_table_contains(self->dead, digest) ? VCR_AWAY
                                                                                : VCR_UNKNOWN;
    *record = choose(self, candidates);
    if (*record == NULL)
        return VCR_AMBIGUOUS;
    return is_certain(self, *record) ? VCR_FOUND : VCR_AWAY;
}

/* --- changes --- */

/* What a token stood for before an update. */
typedef struct {
    VcrAnswer answer;
    VcrRecord *record; /* full, nullable */
} Standing;

static void
free_standing(gpointer data)
{
    Standing *standing = data;

    vcr_record_unref(standing->record);
    g_free(standing);
}

static GHashTable *
standings_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_standing);
}

static void
note_standings(const VcrRegistry *self, GHashTable *before, const GPtrArray *records)
{
    for (guint i = 0; records != NULL && i < records->len; i++) {
        const VcrRecord *record = g_ptr_array_index(records, i);
        if (g_hash_table_contains(before, record->digest))
            continue;
        Standing *standing = g_new0(Standing, 1);
        standing->answer = look_up(self, record->digest, &standing->record);
        if (standing->record != NULL)
            vcr_record_ref(standing->record);
        g_hash_table_insert(before, g_strdup(record->digest), standing);
    }
}

static gboolean
is_dead(VcrAnswer answer)
{
    return answer == VCR_UNKNOWN || answer == VCR_AMBIGUOUS;
}

static void
tell(const VcrRegistry *self, VcrChange change, const char *digest)
{
    if (self->changed != NULL)
        self->changed(change, digest, self->data);
}

static gboolean
is_same_right(const VcService *one, const VcService *other)
{
    return vc_service_is_same_place(one, other) && vc_service_has_same_terms(one, other);
}

static void
tell_of(VcrRegistry *self, const char *digest, const Standing *before)
{
    VcrRecord *record;
    VcrAnswer answer = look_up(self, digest, &record);

    if (is_dead(before->answer))
        return;
    if (is_dead(answer))
        tell(self, VCR_TOKEN_DEAD, digest);
    else if (record == NULL || before->record == NULL ||
             is_same_right(record->service, before->record->service))
        return;
    else if (answer == VCR_FOUND)
        tell(self, VCR_TOKEN_CHANGED, digest);
    else
        g_hash_table_add(self->hosts[record->host].unsettled, g_strdup(digest));
}

static void
tell_changes(VcrRegistry *self, GHashTable *before)
{
    GHashTableIter iter;
    gpointer digest, standing;

    g_hash_table_iter_init(&iter, before);
    while (g_hash_table_iter_next(&iter, &digest, &standing))
        tell_of(self, digest, standing);
}

/* Tells of what changed while it was neither served nor dead; what still is waits on. */
static void
settle(VcrRegistry *self, Host *host)
{
    GHashTableIter iter;
    gpointer digest;
    VcrRecord *record;

    g_hash_table_iter_init(&iter, host->unsettled);
    while (g_hash_table_iter_next(&iter, &digest, NULL)) {
        VcrAnswer answer = look_up(self, digest, &record);
        if (answer == VCR_FOUND)
            tell(self, VCR_TOKEN_CHANGED, digest);
        if (answer != VCR_AWAY)
            g_hash_table_iter_remove(&iter);
    }
}

/* --- updates --- */

/* NULL: there is none. */
static const VcrRecord *
find_other_console(const GPtrArray *candidates, const VcrRecord *record)
{
    for (guint i = 0; i < candidates->len; i++) {
        const VcrRecord *candidate = g_ptr_array_index(candidates, i);
        if (!is_same_console(candidate, record))
            return candidate;
    }
    return NULL;
}

static void
warn_if_ambiguous(const GPtrArray *candidates, const VcrRecord *one)
{
    const VcrRecord *other = find_other_console(candidates, one);

    if (other == NULL)
        return;
    g_warning("token %.8s stands for two consoles, and neither is served: %s %u of guest %s "
              "(%s) on %s and %s %u of guest %s (%s) on %s",
              one->digest, one->service->console_type, one->service->console_index,
              one->service->domain_name, one->service->domain_uuid, one->service->domain_host,
              other->service->console_type, other->service->console_index,
              other->service->domain_name, other->service->domain_uuid,
              other->service->domain_host);
}

static void
add_record(VcrRegistry *self, VcrRecord *record)
{
    GPtrArray *candidates = g_hash_table_lookup(self->by_digest, record->digest);

    g_hash_table_remove(self->dead, record->digest);
    self->n_records++;
    if (candidates == NULL) {
        candidates = g_ptr_array_sized_new(1);
        g_hash_table_insert(self->by_digest, g_strdup(record->digest), candidates);
    }
    g_ptr_array_add(candidates, record);
}

static void
remove_record(VcrRegistry *self, VcrRecord *record)
{
    GPtrArray *candidates = g_hash_table_lookup(self->by_digest, record->digest);

    self->n_records--;
    g_ptr_array_remove(candidates, record);
    if (candidates->len > 0)
        return;
    g_hash_table_remove(self->by_digest, record->digest);
    if (awaits_hosts(self) && g_hash_table_size(self->dead) < MAX_DEAD)
        g_hash_table_add(self->dead, g_strdup(record->digest));
}

static gboolean
has_record(const GPtrArray *records, const VcrRecord *record)
{
    for (guint i = 0; records != NULL && i < records->len; i++) {
        const VcrRecord *other = g_ptr_array_index(records, i);
        if (strcmp(other->digest, record->digest) == 0 && is_same_console(other, record))
            return TRUE;
    }
    return FALSE;
}

/* A guest is read again for many reasons; only what is new is worth a warning. */
static void
warn_of_new(const VcrRegistry *self, const GPtrArray *records, const GPtrArray *old)
{
    for (guint i = 0; i < records->len; i++) {
        const VcrRecord *record = g_ptr_array_index(records, i);
        if (!has_record(old, record))
            warn_if_ambiguous(g_hash_table_lookup(self->by_digest, record->digest), record);
    }
}

static void
replace_guest(VcrRegistry *self, guint host, const char *uuid, GPtrArray *records)
{
    GHashTable *guests = self->hosts[host].guests;
    g_autoptr(GPtrArray) old = g_hash_table_lookup(guests, uuid);
    g_autoptr(GHashTable) before = standings_new();

    if (old != NULL)
        g_ptr_array_ref(old);
    note_standings(self, before, old);
    note_standings(self, before, records);
    g_hash_table_remove(self->hosts[host].hidden, uuid);
    for (guint i = 0; old != NULL && i < old->len; i++)
        remove_record(self, g_ptr_array_index(old, i));
    for (guint i = 0; records != NULL && i < records->len; i++)
        add_record(self, g_ptr_array_index(records, i));
    tell_changes(self, before);
    if (self->hosts[host].is_listed)
        settle(self, &self->hosts[host]);
    if (records == NULL || records->len == 0) {
        g_hash_table_remove(guests, uuid);
        return;
    }
    warn_of_new(self, records, old);
    g_hash_table_insert(guests, g_strdup(uuid), g_ptr_array_ref(records));
}

void
vcr_registry_set_guest(VcrRegistry *self, guint host, const char *uuid, GPtrArray *records)
{
    g_rw_lock_writer_lock(&self->lock);
    replace_guest(self, host, uuid, records);
    g_rw_lock_writer_unlock(&self->lock);
}

void
vcr_registry_hide_guest(VcrRegistry *self, guint host, const char *uuid)
{
    g_autoptr(GHashTable) before = standings_new();

    g_rw_lock_writer_lock(&self->lock);
    GPtrArray *records = g_hash_table_lookup(self->hosts[host].guests, uuid);
    note_standings(self, before, records);
    if (records != NULL)
        g_hash_table_add(self->hosts[host].hidden, g_strdup(uuid));
    tell_changes(self, before);
    g_rw_lock_writer_unlock(&self->lock);
}

void
vcr_registry_keep_guests(VcrRegistry *self, guint host, GHashTable *uuids)
{
    g_rw_lock_writer_lock(&self->lock);
    g_autoptr(GList) known = g_hash_table_get_keys(self->hosts[host].guests);
    for (GList *at = known; at != NULL; at = at->next) {
        if (!g_hash_table_contains(uuids, at->data))
            replace_guest(self, host, at->data, NULL);
    }
    g_rw_lock_writer_unlock(&self->lock);
}

/* Of a console on two libvirtd, another may count now. */
static void
note_host(const VcrRegistry *self, guint host, GHashTable *before)
{
    GHashTableIter iter;
    gpointer records;

    g_hash_table_iter_init(&iter, self->hosts[host].guests);
    while (g_hash_table_iter_next(&iter, NULL, &records))
        note_standings(self, before, records);
}

static void
set_listed(VcrRegistry *self, Host *host, gboolean listed)
{
    gboolean awaited = awaits_hosts(self);

    host->is_listed = listed;
    host->was_listed |= listed;
    if (listed)
        settle(self, host);
    if (awaits_hosts(self))
        return;
    g_hash_table_remove_all(self->dead);
    if (awaited)
        tell(self, VCR_TOKENS_SETTLED, NULL);
}

void
vcr_registry_set_listed(VcrRegistry *self, guint host, gboolean listed)
{
    g_autoptr(GHashTable) before = standings_new();

    g_rw_lock_writer_lock(&self->lock);
    note_host(self, host, before);
    set_listed(self, &self->hosts[host], listed);
    tell_changes(self, before);
    g_rw_lock_writer_unlock(&self->lock);
}

/* --- queries --- */

gboolean
vcr_registry_is_listed(VcrRegistry *self, guint host)
{
    g_rw_lock_reader_lock(&self->lock);
    gboolean is_listed = self->hosts[host].is_listed;
    g_rw_lock_reader_unlock(&self->lock);
    return is_listed;
}

gboolean
vcr_registry_is_ready(VcrRegistry *self)
{
    gboolean is_ready = TRUE;

    for (guint i = 0; i < self->n_hosts; i++)
        is_ready = is_ready && vcr_registry_is_listed(self, i);
    return is_ready;
}

VcrAnswer
vcr_registry_look_up(VcrRegistry *self, const char *digest, VcrRecord **record)
{
    VcrRecord *found;

    g_rw_lock_reader_lock(&self->lock);
    VcrAnswer answer = look_up(self, digest, &found);
    if (answer == VCR_FOUND)
        *record = vcr_record_ref(found);
    g_rw_lock_reader_unlock(&self->lock);
    return answer;
}

guint
vcr_registry_count(VcrRegistry *self)
{
    g_rw_lock_reader_lock(&self->lock);
    guint count = self->n_records;
    g_rw_lock_reader_unlock(&self->lock);
    return count;
}

/* --- figures --- */

void
vcr_registry_set_connected(VcrRegistry *self, guint host, gboolean connected)
{
    g_rw_lock_writer_lock(&self->lock);
    self->hosts[host].is_connected = connected;
    g_rw_lock_writer_unlock(&self->lock);
}

void
vcr_registry_count_host(VcrRegistry *self, guint host, VcrHostFigures *figures)
{
    const Host *one = &self->hosts[host];
    GHashTableIter iter;
    gpointer records;

    g_rw_lock_reader_lock(&self->lock);
    *figures = (VcrHostFigures){
        .is_connected = one->is_connected,
        .is_listed = one->is_listed,
        .guests = g_hash_table_size(one->guests),
    };
    g_hash_table_iter_init(&iter, one->guests);
    while (g_hash_table_iter_next(&iter, NULL, &records))
        figures->consoles += ((GPtrArray *)records)->len;
    g_rw_lock_reader_unlock(&self->lock);
}
