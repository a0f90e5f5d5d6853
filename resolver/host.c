/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Keepers and their replacement: a call to a libvirtd that hangs may never return. */
#include "resolver/host.h"

#include "resolver/inbox.h"
#include "resolver/keeper.h"

#define HANG_S       15
#define CHECK_S      2
#define MAX_GIVEN_UP 8 /* keepers that hang at the same time; another is not replaced */

struct VcrHost {
    char *uri;
    char *domain_address;  /* nullable */
    VcrRegistry *registry; /* not owned */
    VcrHostView view;
    guint watchdog; /* source of the main loop; 0: none */

    GMutex lock;
    VcrKeeper *keeper; /* nullable */
    guint n_given_up;
    gboolean has_ended; /* the keeper has */
    GCond ended;
};

VcrHost *
vcr_host_new(const char *uri, const char *domain_address, guint number, VcrRegistry *registry)
{
    VcrHost *self = g_new0(VcrHost, 1);

    self->uri = g_strdup(uri);
    self->domain_address = g_strdup(domain_address);
    self->registry = registry;
    self->view.uri = self->uri;
    self->view.domain_address = self->domain_address;
    self->view.number = number;
    self->view.inbox = vcr_inbox_new();
    g_mutex_init(&self->lock);
    g_cond_init(&self->ended);
    return self;
}

void
vcr_host_free(VcrHost *self)
{
    if (self == NULL)
        return;
    g_async_queue_unref(self->view.inbox);
    g_mutex_clear(&self->lock);
    g_cond_clear(&self->ended);
    g_free(self->domain_address);
    g_free(self->uri);
    g_free(self);
}

GAsyncQueue *
vcr_host_inbox(VcrHost *self)
{
    return self->view.inbox;
}

/* --- for keepers --- */

gboolean
vcr_host_is_kept_by(VcrHost *self, const VcrKeeper *keeper)
{
    g_mutex_lock(&self->lock);
    gboolean is_kept = self->keeper == keeper;
    g_mutex_unlock(&self->lock);
    return is_kept;
}

void
vcr_host_publish_list(VcrHost *self, const VcrKeeper *keeper, GHashTable *guests)
{
    g_mutex_lock(&self->lock);
    if (self->keeper == keeper) {
        if (guests != NULL)
            vcr_registry_keep_guests(self->registry, self->view.number, guests);
        vcr_registry_set_listed(self->registry, self->view.number, guests != NULL);
    }
    g_mutex_unlock(&self->lock);
}

void
vcr_host_publish_guest(VcrHost *self, const VcrKeeper *keeper, const char *uuid,
                       GPtrArray *records)
{
    g_mutex_lock(&self->lock);
    if (self->keeper == keeper)
        vcr_registry_set_guest(self->registry, self->view.number, uuid, records);
    g_mutex_unlock(&self->lock);
}

void
vcr_host_keeper_ended(VcrHost *self, VcrKeeper *keeper)
{
    g_mutex_lock(&self->lock);
    gboolean was_given_up = self->keeper != keeper;
    if (was_given_up) {
        /* before the host may be freed */
        vcr_keeper_free(keeper);
        self->n_given_up--;
    } else {
        self->has_ended = TRUE;
        g_cond_signal(&self->ended);
    }
    g_mutex_unlock(&self->lock);
}

/* --- the watchdog --- */

/* Guests that the keeper knew stay in the registry, neither served nor dead; the next one reads
 * all of them again, and takes out what is gone. */
static void
replace_keeper(VcrHost *self)
{
    g_warning("%s: no answer for %u s; the connection is given up", self->uri, HANG_S);
    self->n_given_up++;
    vcr_registry_set_listed(self->registry, self->view.number, FALSE);
    self->keeper = vcr_keeper_start(self, &self->view);
}

static gboolean
watch(gpointer data)
{
    VcrHost *self = data;
    gint64 limit = g_get_monotonic_time() - HANG_S * (gint64)G_USEC_PER_SEC;

    g_mutex_lock(&self->lock);
    gint64 since = self->has_ended ? 0 : vcr_keeper_busy_since(self->keeper);
    if (since != 0 && since < limit && self->n_given_up < MAX_GIVEN_UP)
        replace_keeper(self);
    g_mutex_unlock(&self->lock);
    return G_SOURCE_CONTINUE;
}

/* --- start and stop --- */

void
vcr_host_start(VcrHost *self, GPtrArray *inboxes)
{
    self->view.inboxes = inboxes;
    self->watchdog = g_timeout_add_seconds(CHECK_S, watch, self);
    g_mutex_lock(&self->lock);
    self->keeper = vcr_keeper_start(self, &self->view);
    g_mutex_unlock(&self->lock);
}

static gboolean
wait_for_end(VcrHost *self, gint64 until)
{
    g_mutex_lock(&self->lock);
    while (!self->has_ended && g_cond_wait_until(&self->ended, &self->lock, until))
        continue;
    gboolean is_clean = self->has_ended && self->n_given_up == 0;
    g_mutex_unlock(&self->lock);
    if (is_clean)
        vcr_keeper_join(self->keeper);
    return is_clean;
}

gboolean
vcr_hosts_stop(GPtrArray *hosts, guint timeout_ms)
{
    gint64 until = g_get_monotonic_time() + timeout_ms * (gint64)1000;
    gboolean is_clean = TRUE;

    for (guint i = 0; i < hosts->len; i++) {
        VcrHost *host = g_ptr_array_index(hosts, i);
        g_source_remove(host->watchdog);
        vcr_inbox_push(host->view.inbox, VCR_STOP, 0, NULL, NULL);
    }
    for (guint i = 0; i < hosts->len; i++)
        is_clean &= wait_for_end(g_ptr_array_index(hosts, i), until);
    return is_clean;
}
