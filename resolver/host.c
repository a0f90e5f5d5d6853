/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The life of a connection, again and again: open, watch, list, read what changed, lose it.
 * Events are watched before guests are listed, so that nothing falls between the two. */
#include "resolver/host.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "common/error.h"
#include "resolver/connection.h"
#include "resolver/guest.h"
#include "resolver/inbox.h"
#include "resolver/secret.h"

#define OPEN_TIMEOUT_S 30  /* after that another attempt may begin */
#define MAX_OPENINGS   3   /* attempts that hang at the same time */
#define RELIST_S       300 /* a net beneath the events */
#define RETRY_S        1   /* for a guest that could not be read */
#define MIN_BACK_OFF_S 1
#define MAX_BACK_OFF_S 30

typedef struct {
    char *digest;
    guint from; /* number of the libvirtd that has it */
} Foreign;

struct VcrHost {
    char *uri;
    char *domain_address; /* nullable */
    guint number;
    VcrRegistry *registry; /* not owned */
    GPtrArray *peers;      /* not owned */
    GAsyncQueue *inbox;
    GThread *thread; /* nullable */

    /* The thread's own */
    virConnectPtr connection; /* nullable */
    VcrWatch *watch;          /* nullable */
    char *name;               /* nullable: libvirtd's host name */
    guint openings;           /* attempts that have not come back yet */
    guint back_off_s;
    gboolean is_stopping, is_refused, is_lost, is_listed, has_complained;
    GHashTable *guests;         /* UUID → VcrGuest, of guests with metadata that run */
    GHashTable *dirty;          /* set of UUIDs to read now */
    GHashTable *later;          /* set of UUIDs to read when nothing else is to do: the list */
    GHashTable *failed;         /* set of UUIDs to read again at retry_at */
    gint64 relist_at, retry_at; /* monotonic, µs */
    GHashTable *foreign;        /* UUID of a secret → Foreign */
    GHashTable *asked;          /* set of UUIDs of secrets that all peers were asked for */

    GMutex lock;
    virConnectPtr shared; /* nullable; for vcr_host_connection() */
    gboolean has_ended;
    GCond ended;
};

static void
foreign_free(gpointer data)
{
    Foreign *self = data;

    g_free(self->digest);
    g_free(self);
}

static gint64
in_seconds(guint seconds)
{
    return g_get_monotonic_time() + seconds * (gint64)G_USEC_PER_SEC;
}

/* Many daemons and many libvirtd must not fall into step. */
static gint64
with_jitter(guint seconds)
{
    return g_get_monotonic_time() +
           (gint64)(seconds * g_random_double_range(0.8, 1.2) * G_USEC_PER_SEC);
}

/* --- the other libvirtd --- */

static void
tell(VcrHost *self, guint number, VcrNews news, const char *uuid, const char *digest)
{
    VcrHost *peer = g_ptr_array_index(self->peers, number);

    vcr_inbox_push(peer->inbox, news, self->number, uuid, digest);
}

static void
tell_all(VcrHost *self, VcrNews news, const char *uuid)
{
    for (guint i = 0; i < self->peers->len; i++) {
        if (i != self->number)
            tell(self, i, news, uuid, NULL);
    }
}

/* Migration takes a guest's metadata along, but not its secrets. */
static void
ask_for_absent(VcrHost *self, const VcrGuest *guest)
{
    for (guint i = 0; i < guest->absent->len; i++) {
        const char *uuid = g_ptr_array_index(guest->absent, i);
        if (!g_hash_table_contains(self->foreign, uuid) &&
            g_hash_table_add(self->asked, g_strdup(uuid)))
            tell_all(self, VCR_SECRET_WANTED, uuid);
    }
}

static char *
find_foreign(const char *uuid, gpointer data)
{
    VcrHost *self = data;
    const Foreign *foreign = g_hash_table_lookup(self->foreign, uuid);

    return foreign != NULL ? g_strdup(foreign->digest) : NULL;
}

static void
answer_for_secret(VcrHost *self, const VcrMessage *message)
{
    g_autoptr(GError) why = NULL;
    char digest[VC_TOKEN_DIGEST_SIZE];
    char *token = vcr_secret_read(self->connection, message->uuid, &why);

    if (token == NULL) {
        if (why->code != VC_ERROR_UNREACHABLE)
            tell(self, message->from, VCR_SECRET_ANSWER, message->uuid, NULL);
        return;
    }
    vc_token_digest(token, digest);
    vc_secret_free(token);
    tell(self, message->from, VCR_SECRET_ANSWER, message->uuid, digest);
}

/* --- what is to be read --- */

static void
mark(VcrHost *self, const char *uuid)
{
    g_hash_table_add(self->dirty, g_strdup(uuid));
}

static void
mark_where(VcrHost *self, const char *secret,
           gboolean (*matches)(const VcrGuest *guest, const char *secret))
{
    GHashTableIter iter;
    gpointer uuid, guest;

    g_hash_table_iter_init(&iter, self->guests);
    while (g_hash_table_iter_next(&iter, &uuid, &guest)) {
        if (matches(guest, secret))
            mark(self, uuid);
    }
}

static gboolean
is_absent_anywhere(VcrHost *self, const char *secret)
{
    GHashTableIter iter;
    gpointer guest;

    g_hash_table_iter_init(&iter, self->guests);
    while (g_hash_table_iter_next(&iter, NULL, &guest)) {
        if (vcr_guest_lacks_secret(guest, secret))
            return TRUE;
    }
    return FALSE;
}

static void
take_answer(VcrHost *self, const VcrMessage *message)
{
    const Foreign *known = g_hash_table_lookup(self->foreign, message->uuid);
    const char *old = known != NULL ? known->digest : NULL;

    if (message->digest == NULL) {
        if (known == NULL || known->from != message->from)
            return;
        g_hash_table_remove(self->foreign, message->uuid);
        g_hash_table_remove(self->asked, message->uuid);
    } else if (g_strcmp0(old, message->digest) != 0) {
        Foreign *foreign = g_new0(Foreign, 1);
        foreign->digest = g_strdup(message->digest);
        foreign->from = message->from;
        g_hash_table_insert(self->foreign, g_strdup(message->uuid), foreign);
    } else {
        return;
    }
    mark_where(self, message->uuid, vcr_guest_lacks_secret);
}

static void
ask_again(VcrHost *self, guint peer)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, self->guests);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const VcrGuest *guest = value;
        for (guint i = 0; i < guest->absent->len; i++)
            tell(self, peer, VCR_SECRET_WANTED, g_ptr_array_index(guest->absent, i), NULL);
    }
}

/* --- messages --- */

static void
complain(VcrHost *self, const char *why)
{
    g_log(G_LOG_DOMAIN, self->has_complained ? G_LOG_LEVEL_DEBUG : G_LOG_LEVEL_WARNING,
          "%s: %s; trying again until it works", self->uri, why);
    self->has_complained = TRUE;
}

/* However late it comes, a connection is one. */
static void
take_connection(VcrHost *self, VcrMessage *message)
{
    self->openings--;
    if (message->connection == NULL) {
        self->is_refused = TRUE;
        complain(self, message->error->message);
    } else if (self->connection == NULL) {
        self->connection = g_steal_pointer(&message->connection);
    }
}

static void
handle_connected(VcrHost *self, const VcrMessage *message)
{
    switch (message->news) {
    case VCR_CLOSED:
        self->is_lost = virConnectIsAlive(self->connection) != 1;
        break;
    case VCR_GUEST_CHANGED:
        mark(self, message->uuid);
        break;
    case VCR_SECRET_CHANGED:
        if (message->from != self->number) {
            if (is_absent_anywhere(self, message->uuid))
                tell(self, message->from, VCR_SECRET_WANTED, message->uuid, NULL);
            break;
        }
        mark_where(self, message->uuid, vcr_guest_names_secret);
        tell_all(self, VCR_SECRET_CHANGED, message->uuid);
        break;
    case VCR_SECRET_WANTED:
        answer_for_secret(self, message);
        break;
    case VCR_SECRET_ANSWER:
        take_answer(self, message);
        break;
    case VCR_PEER_LISTED:
        ask_again(self, message->from);
        break;
    case VCR_STOP:
    case VCR_OPENED:
        break;
    }
}

static void
handle(VcrHost *self, VcrMessage *message)
{
    if (message->news == VCR_STOP)
        self->is_stopping = TRUE;
    else if (message->news == VCR_OPENED)
        take_connection(self, message);
    else if (self->connection != NULL)
        handle_connected(self, message);
}

/* Handles what comes until then; returns after one message at the latest. FALSE: none came. */
static gboolean
wait_until(VcrHost *self, gint64 until)
{
    gint64 now = g_get_monotonic_time();
    g_autoptr(VcrMessage) message =
        until > now ? g_async_queue_timeout_pop(self->inbox, (guint64)(until - now))
                    : g_async_queue_try_pop(self->inbox);

    if (message == NULL)
        return FALSE;
    handle(self, message);
    return TRUE;
}

/* --- reading --- */

static void
log_problems(const VcrHost *self, const char *uuid, const VcrGuest *guest, const VcrGuest *old)
{
    if (guest->problems[0] == '\0' ||
        (old != NULL && g_str_equal(old->problems, guest->problems)))
        return;
    g_auto(GStrv) lines = g_strsplit(guest->problems, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        g_warning("guest %s on %s: not served: %s", uuid, self->name, *line);
}

static void
take_guest(VcrHost *self, const char *uuid, VcrGuest *guest /* full */)
{
    const VcrGuest *old = g_hash_table_lookup(self->guests, uuid);

    log_problems(self, uuid, guest, old);
    if (old == NULL || old->records->len != guest->records->len)
        g_info("guest %s on %s: %u consoles are served", uuid, self->name, guest->records->len);
    vcr_registry_set_guest(self->registry, self->number, uuid, guest->records);
    ask_for_absent(self, guest);
    g_hash_table_insert(self->guests, g_strdup(uuid), guest);
}

static void
forget_guest(VcrHost *self, const char *uuid)
{
    if (!g_hash_table_remove(self->guests, uuid))
        return;
    vcr_registry_set_guest(self->registry, self->number, uuid, NULL);
    g_info("guest %s on %s: no longer served", uuid, self->name);
}

static void
on_unreadable(VcrHost *self, const char *uuid, const GError *error)
{
    self->is_lost = virConnectIsAlive(self->connection) != 1;
    if (self->is_lost)
        return;
    g_debug("guest %s on %s: %s", uuid, self->name, error->message);
    if (g_hash_table_size(self->failed) == 0)
        self->retry_at = in_seconds(RETRY_S);
    g_hash_table_add(self->failed, g_strdup(uuid));
}

static void
read_guest(VcrHost *self, const char *uuid)
{
    g_autoptr(GError) error = NULL;
    VcrGuestSource source = {
        .connection = self->connection,
        .host = self->number,
        .place = {self->domain_address, self->name},
        .foreign = find_foreign,
        .data = self,
    };
    VcrGuest *guest = vcr_guest_read(&source, uuid, &error);

    if (guest != NULL)
        take_guest(self, uuid, guest);
    else if (error->code == VC_ERROR_NOT_FOUND)
        forget_guest(self, uuid);
    else
        on_unreadable(self, uuid, error);
}

/* FALSE: there is none. */
static gboolean
read_one_of(VcrHost *self, GHashTable *set)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, set);
    if (!g_hash_table_iter_next(&iter, &key, NULL))
        return FALSE;
    g_hash_table_iter_steal(&iter);
    g_autofree char *uuid = key;
    read_guest(self, uuid);
    return TRUE;
}

static void
retry(VcrHost *self)
{
    g_autoptr(GList) uuids = g_hash_table_get_keys(self->failed);

    for (GList *at = uuids; at != NULL; at = at->next)
        mark(self, at->data);
    g_hash_table_remove_all(self->failed);
}

/* Guests that are known and not in the list are read as well, and found to be gone. */
static void
list(VcrHost *self)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    virDomainPtr *domains = NULL;
    int n =
        virConnectListAllDomains(self->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    self->relist_at = with_jitter(n >= 0 ? RELIST_S : RETRY_S);
    if (n < 0) {
        self->is_lost = virConnectIsAlive(self->connection) != 1;
        g_warning("%s: its guests cannot be listed: %s", self->uri, virGetLastErrorMessage());
        return;
    }
    for (int i = 0; i < n; i++) {
        if (virDomainGetUUIDString(domains[i], uuid) == 0)
            g_hash_table_add(self->later, g_strdup(uuid));
        virDomainFree(domains[i]);
    }
    free(domains);

    g_autoptr(GList) known = g_hash_table_get_keys(self->guests);
    for (GList *at = known; at != NULL; at = at->next)
        g_hash_table_add(self->later, g_strdup(at->data));
}

static void
finish_list(VcrHost *self)
{
    self->is_listed = TRUE;
    self->back_off_s = MIN_BACK_OFF_S;
    vcr_registry_set_listed(self->registry, self->number, TRUE);
    tell_all(self, VCR_PEER_LISTED, NULL);
    for (guint i = 0; i < self->peers->len; i++) {
        if (i != self->number)
            ask_again(self, i); /* what they said may have changed meanwhile */
    }
    g_message("%s: listed, %u guests with consoles", self->uri,
              g_hash_table_size(self->guests));
}

static gboolean
has_work(const VcrHost *self)
{
    return g_hash_table_size(self->dirty) > 0 || g_hash_table_size(self->later) > 0;
}

static gint64
next_due(const VcrHost *self)
{
    if (has_work(self))
        return 0;
    if (g_hash_table_size(self->failed) > 0)
        return MIN(self->retry_at, self->relist_at);
    return self->relist_at;
}

static void
work(VcrHost *self)
{
    gint64 now = g_get_monotonic_time();

    if (g_hash_table_size(self->failed) > 0 && now >= self->retry_at)
        retry(self);
    if (now >= self->relist_at)
        list(self);
    else if (!read_one_of(self, self->dirty))
        read_one_of(self, self->later);
    if (!self->is_listed && !self->is_lost && !has_work(self) &&
        g_hash_table_size(self->failed) == 0)
        finish_list(self);
}

/* --- the connection --- */

static void
open_connection(VcrHost *self)
{
    gint64 until = in_seconds(OPEN_TIMEOUT_S);

    self->is_refused = FALSE;
    if (self->openings < MAX_OPENINGS) {
        self->openings++;
        vcr_connection_open(self->uri, self->inbox);
    }
    while (!self->is_stopping && !self->is_refused && self->connection == NULL) {
        if (g_get_monotonic_time() >= until) {
            complain(self, "no answer");
            return;
        }
        wait_until(self, until);
    }
}

static gboolean
start_watching(VcrHost *self)
{
    g_autoptr(GError) error = NULL;
    char *name = virConnectGetHostname(self->connection);

    g_free(self->name);
    self->name = g_strdup(name != NULL ? name : "localhost");
    free(name);
    self->watch = vcr_connection_watch(self->connection, self->number, self->inbox, &error);
    if (self->watch == NULL) {
        g_warning("%s: %s", self->uri, error->message);
        return FALSE;
    }
    g_mutex_lock(&self->lock);
    self->shared = self->connection;
    g_mutex_unlock(&self->lock);
    self->has_complained = FALSE;
    g_message("%s: connected, host %s", self->uri, self->name);
    return TRUE;
}

static void
serve(VcrHost *self)
{
    self->is_lost = FALSE;
    self->relist_at = 0;
    while (!self->is_stopping && !self->is_lost) {
        gint64 due = next_due(self);
        if (!wait_until(self, due) && !self->is_lost)
            work(self);
    }
    if (self->is_lost)
        g_warning("%s: the connection is lost; its tokens are neither served nor dead until it "
                  "is back",
                  self->uri);
}

static void
close_connection(VcrHost *self)
{
    g_mutex_lock(&self->lock);
    self->shared = NULL;
    g_mutex_unlock(&self->lock);
    self->is_listed = FALSE;
    vcr_registry_set_listed(self->registry, self->number, FALSE);
    g_hash_table_remove_all(self->dirty);
    g_hash_table_remove_all(self->later);
    g_hash_table_remove_all(self->failed);
    g_hash_table_remove_all(self->asked);
    g_clear_pointer(&self->watch, vcr_connection_unwatch);
    virConnectClose(self->connection);
    self->connection = NULL;
}

static void
back_off(VcrHost *self)
{
    gint64 until = with_jitter(self->back_off_s);

    self->back_off_s = MIN(self->back_off_s * 2, MAX_BACK_OFF_S);
    while (!self->is_stopping && self->connection == NULL && g_get_monotonic_time() < until)
        wait_until(self, until);
}

static gpointer
run(gpointer data)
{
    VcrHost *self = data;

    while (!self->is_stopping) {
        if (self->connection == NULL)
            open_connection(self);
        if (self->connection != NULL) {
            if (start_watching(self))
                serve(self);
            close_connection(self);
        }
        back_off(self);
    }
    g_mutex_lock(&self->lock);
    self->has_ended = TRUE;
    g_cond_signal(&self->ended);
    g_mutex_unlock(&self->lock);
    return NULL;
}

/* --- for others --- */

static GHashTable *
new_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

VcrHost *
vcr_host_new(const char *uri, const char *domain_address, guint number, VcrRegistry *registry)
{
    VcrHost *self = g_new0(VcrHost, 1);

    self->uri = g_strdup(uri);
    self->domain_address = g_strdup(domain_address);
    self->number = number;
    self->registry = registry;
    self->inbox = vcr_inbox_new();
    self->back_off_s = MIN_BACK_OFF_S;
    self->guests =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)vcr_guest_free);
    self->foreign = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, foreign_free);
    self->dirty = new_set();
    self->later = new_set();
    self->failed = new_set();
    self->asked = new_set();
    g_mutex_init(&self->lock);
    g_cond_init(&self->ended);
    return self;
}

void
vcr_host_start(VcrHost *self, GPtrArray *hosts)
{
    self->peers = hosts;
    self->thread = g_thread_new("libvirtd", run, self);
}

const char *
vcr_host_uri(const VcrHost *self)
{
    return self->uri;
}

virConnectPtr
vcr_host_connection(VcrHost *self)
{
    g_mutex_lock(&self->lock);
    virConnectPtr connection = self->shared;
    if (connection != NULL)
        virConnectRef(connection);
    g_mutex_unlock(&self->lock);
    return connection;
}

static gboolean
wait_for_end(VcrHost *self, gint64 until)
{
    g_mutex_lock(&self->lock);
    while (!self->has_ended && g_cond_wait_until(&self->ended, &self->lock, until))
        continue;
    gboolean has_ended = self->has_ended;
    g_mutex_unlock(&self->lock);
    if (has_ended)
        g_thread_join(g_steal_pointer(&self->thread));
    return has_ended;
}

gboolean
vcr_hosts_stop(GPtrArray *hosts, guint timeout_ms)
{
    gint64 until = g_get_monotonic_time() + timeout_ms * (gint64)1000;
    gboolean have_all = TRUE;

    for (guint i = 0; i < hosts->len; i++) {
        VcrHost *host = g_ptr_array_index(hosts, i);
        if (host->thread != NULL)
            vcr_inbox_push(host->inbox, VCR_STOP, 0, NULL, NULL);
    }
    for (guint i = 0; i < hosts->len; i++) {
        VcrHost *host = g_ptr_array_index(hosts, i);
        if (host->thread != NULL)
            have_all &= wait_for_end(host, until);
    }
    return have_all;
}

void
vcr_host_free(VcrHost *self)
{
    if (self == NULL)
        return;
    g_async_queue_unref(self->inbox);
    g_hash_table_unref(self->guests);
    g_hash_table_unref(self->foreign);
    g_hash_table_unref(self->dirty);
    g_hash_table_unref(self->later);
    g_hash_table_unref(self->failed);
    g_hash_table_unref(self->asked);
    g_mutex_clear(&self->lock);
    g_cond_clear(&self->ended);
    g_free(self->name);
    g_free(self->domain_address);
    g_free(self->uri);
    g_free(self);
}
