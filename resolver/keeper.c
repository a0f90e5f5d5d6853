/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The life of a connection, again and again: open, watch, list, read what changed, lose it.
 * Events are watched before guests are listed, so that nothing falls between the two. */
#include "resolver/keeper.h"

#include <libvirt/virterror.h>

#include "common/error.h"
#include "resolver/connection.h"
#include "resolver/foreign.h"
#include "resolver/guest.h"
#include "resolver/inbox.h"
#include "resolver/password.h"

#define OPEN_TIMEOUT_S 30  /* after that another attempt may begin */
#define MAX_OPENINGS   3   /* attempts that hang at the same time */
#define RELIST_S       300 /* a net beneath the events */
#define RETRY_S        1   /* for a guest that could not be read */
#define PATIENCE_S     5   /* for which such guests keep the others waiting */
#define PING_S         5   /* a call when there is nothing else to call for */
#define MIN_BACK_OFF_S 1
#define MAX_BACK_OFF_S 30

struct VcrKeeper {
    VcrHost *host;     /* not owned */
    VcrHostView *view; /* not owned */
    GThread *thread;
    gint64 busy_since; /* atomic; see vcr_keeper_busy_since() */

    virConnectPtr connection; /* nullable */
    VcrWatch *watch;          /* nullable */
    char *name;               /* nullable: libvirtd's host name */
    guint back_off_s;
    gboolean is_stopping, is_refused, is_lost, has_list, is_listed, has_complained;
    GHashTable *guests;         /* UUID → VcrGuest, of guests with metadata that run */
    GHashTable *dirty;          /* set of UUIDs to read now */
    GHashTable *later;          /* set of UUIDs to read when nothing else is to do: the list */
    GHashTable *failed;         /* set of UUIDs to read again at retry_at */
    gint64 relist_at, retry_at; /* monotonic, µs */
    gint64 patient_until;       /* monotonic, µs; 0: nobody has waited for failed ones yet */
    VcrForeign *foreign;
};

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

/* --- what is to be read --- */

static void
mark(VcrKeeper *self, const char *uuid)
{
    g_hash_table_add(self->dirty, g_strdup(uuid));
}

static void
mark_where(VcrKeeper *self, const char *secret,
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
is_absent_anywhere(VcrKeeper *self, const char *secret)
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
take_answer(VcrKeeper *self, const VcrMessage *message)
{
    if (is_absent_anywhere(self, message->uuid) && vcr_foreign_take(self->foreign, message))
        mark_where(self, message->uuid, vcr_guest_lacks_secret);
}

static void
ask_again(VcrKeeper *self, guint peer)
{
    GHashTableIter iter;
    gpointer guest;

    g_hash_table_iter_init(&iter, self->guests);
    while (g_hash_table_iter_next(&iter, NULL, &guest))
        vcr_foreign_ask_again(self->foreign, peer, guest);
}

static void
on_secret(VcrKeeper *self, const VcrMessage *message)
{
    if (message->from == self->view->number) {
        mark_where(self, message->uuid, vcr_guest_names_secret);
        vcr_foreign_tell(self->foreign, VCR_SECRET_CHANGED, message->uuid);
    } else if (is_absent_anywhere(self, message->uuid)) {
        vcr_foreign_ask_one(self->foreign, message->from, message->uuid);
    }
}

/* --- messages --- */

static void
complain(VcrKeeper *self, const char *why)
{
    g_log(G_LOG_DOMAIN, self->has_complained ? G_LOG_LEVEL_DEBUG : G_LOG_LEVEL_WARNING,
          "%s: %s; trying again until it works", self->view->uri, why);
    self->has_complained = TRUE;
}

/* However late it comes, a connection is one. */
static void
take_connection(VcrKeeper *self, VcrMessage *message)
{
    g_atomic_int_add(&self->view->openings, -1);
    if (message->connection == NULL) {
        self->is_refused = TRUE;
        complain(self, message->error->message);
    } else if (self->connection == NULL) {
        self->connection = g_steal_pointer(&message->connection);
    }
}

static void
handle_connected(VcrKeeper *self, const VcrMessage *message)
{
    switch (message->news) {
    case VCR_CLOSED:
        self->is_lost = virConnectIsAlive(self->connection) != 1;
        break;
    case VCR_GUEST_CHANGED:
        mark(self, message->uuid);
        break;
    case VCR_SECRET_CHANGED:
        on_secret(self, message);
        break;
    case VCR_SECRET_WANTED:
        vcr_foreign_answer(self->foreign, self->connection, message);
        break;
    case VCR_SECRET_ANSWER:
        take_answer(self, message);
        break;
    case VCR_PEER_LISTED:
        ask_again(self, message->from);
        break;
    case VCR_STOP:
    case VCR_OPENED:
    case VCR_PASSWORD_WANTED:
        break;
    }
}

static void
handle(VcrKeeper *self, VcrMessage *message)
{
    if (message->news == VCR_STOP)
        self->is_stopping = TRUE;
    else if (message->news == VCR_OPENED)
        take_connection(self, message);
    else if (message->news == VCR_PASSWORD_WANTED)
        vcr_password_query_run(message->query, self->connection);
    else if (self->connection != NULL)
        handle_connected(self, message);
    else if (message->news == VCR_SECRET_CHANGED)
        vcr_foreign_forget(self->foreign, message->uuid);
}

static void
set_busy_since(VcrKeeper *self, gint64 since)
{
    __atomic_store_n(&self->busy_since, since, __ATOMIC_RELAXED);
}

/* Handles what comes until then; returns after one message at the latest. FALSE: none came. The
 * one place where it waits for something other than libvirt, and where it learns that it was
 * given up meanwhile: the messages are another keeper's then. */
static gboolean
wait_until(VcrKeeper *self, gint64 until)
{
    if (!vcr_host_is_kept_by(self->host, self)) {
        self->is_stopping = TRUE;
        return FALSE;
    }
    set_busy_since(self, 0);
    g_autoptr(VcrMessage) message = vcr_inbox_pop(self->view->inbox, until);
    set_busy_since(self, g_get_monotonic_time());
    if (message == NULL)
        return FALSE;
    handle(self, message);
    return TRUE;
}

/* --- reading --- */

static void
log_problems(const VcrKeeper *self, const char *uuid, const VcrGuest *guest,
             const VcrGuest *old)
{
    if (guest->problems[0] == '\0' ||
        (old != NULL && g_str_equal(old->problems, guest->problems)))
        return;
    g_auto(GStrv) lines = g_strsplit(guest->problems, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        g_warning("guest %s on %s: not served: %s", uuid, self->name, *line);
}

/* What no guest lacks any more is not kept: nobody would ask for it when it changes, and a
 * token of old would open the guest that comes to lack it again. */
static void
forget_foreign(VcrKeeper *self, const GPtrArray *absent /* from a guest, until now */)
{
    for (guint i = 0; i < absent->len; i++) {
        const char *secret = g_ptr_array_index(absent, i);
        if (!is_absent_anywhere(self, secret))
            vcr_foreign_forget(self->foreign, secret);
    }
}

static void
take_guest(VcrKeeper *self, const char *uuid, VcrGuest *guest /* full */)
{
    const VcrGuest *old = g_hash_table_lookup(self->guests, uuid);
    g_autoptr(GPtrArray) absent = g_ptr_array_ref(old != NULL ? old->absent : guest->absent);

    log_problems(self, uuid, guest, old);
    if (old == NULL || old->records->len != guest->records->len)
        g_info("guest %s on %s: %u consoles are served", uuid, self->name, guest->records->len);
    vcr_host_publish_guest(self->host, self, uuid, guest->records);
    vcr_foreign_ask(self->foreign, guest);
    g_hash_table_insert(self->guests, g_strdup(uuid), guest);
    forget_foreign(self, absent);
}

static void
forget_guest(VcrKeeper *self, const char *uuid)
{
    const VcrGuest *guest = g_hash_table_lookup(self->guests, uuid);

    if (guest == NULL)
        return;
    g_autoptr(GPtrArray) absent = g_ptr_array_ref(guest->absent);
    g_hash_table_remove(self->guests, uuid);
    vcr_host_publish_guest(self->host, self, uuid, NULL);
    forget_foreign(self, absent);
    g_info("guest %s on %s: no longer served", uuid, self->name);
}

static void
on_unreadable(VcrKeeper *self, const char *uuid, const GError *error)
{
    self->is_lost = virConnectIsAlive(self->connection) != 1;
    if (self->is_lost)
        return;
    g_debug("guest %s on %s: %s", uuid, self->name, error->message);
    vcr_host_hide_guest(self->host, self, uuid);
    if (g_hash_table_size(self->failed) == 0)
        self->retry_at = in_seconds(RETRY_S);
    g_hash_table_add(self->failed, g_strdup(uuid));
}

static void
read_guest(VcrKeeper *self, const char *uuid)
{
    g_autoptr(GError) error = NULL;
    VcrGuestSource source = {
        .connection = self->connection,
        .host = self->view->number,
        .place = {self->view->domain_address, self->name},
        .foreign = vcr_foreign_find,
        .data = self->foreign,
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
read_one_of(VcrKeeper *self, GHashTable *set)
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
retry(VcrKeeper *self)
{
    g_autoptr(GList) uuids = g_hash_table_get_keys(self->failed);

    for (GList *at = uuids; at != NULL; at = at->next)
        mark(self, at->data);
    g_hash_table_remove_all(self->failed);
}

/* Guests that are known and not in the list are read as well, and found to be gone. */
static void
list(VcrKeeper *self)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    virDomainPtr *domains = NULL;
    int n =
        virConnectListAllDomains(self->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    self->relist_at = with_jitter(n >= 0 ? RELIST_S : RETRY_S);
    if (n < 0) {
        self->is_lost = virConnectIsAlive(self->connection) != 1;
        g_warning("%s: its guests cannot be listed: %s", self->view->uri,
                  virGetLastErrorMessage());
        return;
    }
    self->has_list = TRUE;
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
finish_list(VcrKeeper *self)
{
    guint n_failed = g_hash_table_size(self->failed);

    if (n_failed > 0)
        g_warning("%s: guests that cannot be read, and are not served until they can: %u",
                  self->view->uri, n_failed);
    self->is_listed = TRUE;
    self->back_off_s = MIN_BACK_OFF_S;
    vcr_host_publish_list(self->host, self, self->guests);
    vcr_foreign_tell(self->foreign, VCR_PEER_LISTED, NULL);
    for (guint i = 0; i < self->view->inboxes->len; i++) {
        if (i != self->view->number)
            ask_again(self, i); /* what they said may have changed meanwhile */
    }
    g_message("%s: listed, %u guests with consoles", self->view->uri,
              g_hash_table_size(self->guests));
}

/* The keep-alive. libvirt's own is not used: in 9.0 it wakes a thread that waits for an answer
 * in a way that leaves a dangling pointer behind (CVE-2024-4418), and when it finds the
 * connection dead it does not wake that thread. Here a call that does not return is the host's
 * watchdog's to see. For the same reasons no other thread makes calls on this connection. */
static void
ping(VcrKeeper *self)
{
    unsigned long version;

    if (virConnectGetLibVersion(self->connection, &version) < 0)
        self->is_lost = virConnectIsAlive(self->connection) != 1;
}

static gboolean
has_work(const VcrKeeper *self)
{
    return g_hash_table_size(self->dirty) > 0 || g_hash_table_size(self->later) > 0;
}

/* A guest that cannot be read, because we may not see it or its XML is too long, must not keep
 * all others from being served. */
static gboolean
is_list_complete(VcrKeeper *self)
{
    if (!self->has_list || has_work(self))
        return FALSE;
    if (g_hash_table_size(self->failed) == 0)
        return TRUE;
    if (self->patient_until == 0)
        self->patient_until = in_seconds(PATIENCE_S);
    return g_get_monotonic_time() >= self->patient_until;
}

static gint64
next_due(const VcrKeeper *self)
{
    if (has_work(self))
        return 0;
    if (g_hash_table_size(self->failed) > 0)
        return MIN(self->retry_at, self->relist_at);
    return self->relist_at;
}

static void
work(VcrKeeper *self)
{
    gint64 now = g_get_monotonic_time();

    if (g_hash_table_size(self->failed) > 0 && now >= self->retry_at)
        retry(self);
    if (now >= self->relist_at)
        list(self);
    else if (!read_one_of(self, self->dirty) && !read_one_of(self, self->later))
        ping(self);
    if (!self->is_listed && !self->is_lost && is_list_complete(self))
        finish_list(self);
}

/* --- the connection --- */

static void
open_connection(VcrKeeper *self)
{
    gint64 until = in_seconds(OPEN_TIMEOUT_S);

    self->is_refused = FALSE;
    if (g_atomic_int_get(&self->view->openings) < MAX_OPENINGS) {
        g_atomic_int_inc(&self->view->openings);
        vcr_connection_open(self->view->uri, self->view->inbox);
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
start_watching(VcrKeeper *self)
{
    g_autoptr(GError) error = NULL;
    char *name = virConnectGetHostname(self->connection);

    g_free(self->name);
    self->name = g_strdup(name != NULL ? name : "localhost");
    free(name);
    self->watch =
        vcr_connection_watch(self->connection, self->view->number, self->view->inbox, &error);
    if (self->watch == NULL) {
        g_warning("%s: %s", self->view->uri, error->message);
        return FALSE;
    }
    self->has_complained = FALSE;
    g_message("%s: connected, host %s", self->view->uri, self->name);
    return TRUE;
}

static void
serve(VcrKeeper *self)
{
    self->is_lost = FALSE;
    self->has_list = FALSE;
    self->relist_at = 0;
    self->patient_until = 0;
    while (!self->is_stopping && !self->is_lost) {
        if (!wait_until(self, MIN(next_due(self), in_seconds(PING_S))) && !self->is_stopping)
            work(self);
    }
    if (self->is_lost)
        g_warning("%s: the connection is lost; its tokens are neither served nor dead until it "
                  "is back",
                  self->view->uri);
}

static void
close_connection(VcrKeeper *self)
{
    self->is_listed = FALSE;
    vcr_host_publish_list(self->host, self, NULL);
    g_hash_table_remove_all(self->dirty);
    g_hash_table_remove_all(self->later);
    g_hash_table_remove_all(self->failed);
    vcr_foreign_reset(self->foreign);
    g_clear_pointer(&self->watch, vcr_connection_unwatch);
    virConnectClose(self->connection);
    self->connection = NULL;
}

static void
back_off(VcrKeeper *self)
{
    gint64 until = with_jitter(self->back_off_s);

    self->back_off_s = MIN(self->back_off_s * 2, MAX_BACK_OFF_S);
    while (!self->is_stopping && self->connection == NULL && g_get_monotonic_time() < until)
        wait_until(self, until);
}

static gpointer
run(gpointer data)
{
    VcrKeeper *self = data;

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
    vcr_host_keeper_ended(self->host, self);
    return NULL;
}

/* --- for the host --- */

static GHashTable *
new_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

VcrKeeper *
vcr_keeper_start(VcrHost *host, VcrHostView *view)
{
    VcrKeeper *self = g_new0(VcrKeeper, 1);

    self->host = host;
    self->view = view;
    self->back_off_s = MIN_BACK_OFF_S;
    self->guests =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)vcr_guest_free);
    self->dirty = new_set();
    self->later = new_set();
    self->failed = new_set();
    self->foreign = vcr_foreign_new(view->number, view->inboxes);
    self->thread = g_thread_new("libvirtd", run, self);
    return self;
}

gint64
vcr_keeper_busy_since(const VcrKeeper *self)
{
    return __atomic_load_n(&self->busy_since, __ATOMIC_RELAXED);
}

void
vcr_keeper_join(VcrKeeper *self)
{
    g_thread_join(g_steal_pointer(&self->thread));
    vcr_keeper_free(self);
}

void
vcr_keeper_free(VcrKeeper *self)
{
    g_clear_pointer(&self->thread, g_thread_unref);
    vcr_foreign_free(self->foreign);
    g_hash_table_unref(self->guests);
    g_hash_table_unref(self->dirty);
    g_hash_table_unref(self->later);
    g_hash_table_unref(self->failed);
    g_free(self->name);
    g_free(self);
}
