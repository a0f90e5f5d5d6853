/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Keepers and their replacement: a call to a libvirtd that hangs may never return. */
#include "resolver/host.h"

#include "common/monitor.h"
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

    VcMonitor monitor;
    VcrKeeper *keeper; /* nullable */
    guint n_given_up;
    gboolean has_ended; /* the keeper has */
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
    vc_monitor_init(&self->monitor);
    return self;
}

void
vcr_host_free(VcrHost *self)
{
    if (self == NULL)
        return;
    vcr_inbox_unref(self->view.inbox);
    vc_monitor_clear(&self->monitor);
    g_free(self->domain_address);
    g_free(self->uri);
    g_free(self);
}

VcrInbox *
vcr_host_inbox(VcrHost *self)
{
    return self->view.inbox;
}

/* --- for keepers --- */

gboolean
vcr_host_is_kept_by(VcrHost *self, const VcrKeeper *keeper)
{
    vc_monitor_enter(&self->monitor);
    gboolean is_kept = self->keeper == keeper;
    vc_monitor_leave(&self->monitor);
    return is_kept;
}

void
vcr_host_publish_list(VcrHost *self, const VcrKeeper *keeper, GHashTable *guests)
{
    vc_monitor_enter(&self->monitor);
    if (self->keeper == keeper) {
        if (guests != NULL)
            vcr_registry_keep_guests(self->registry, self->view.number, guests);
        vcr_registry_set_listed(self->registry, self->view.number, guests != NULL);
    }
    vc_monitor_leave(&self->monitor);
}

void
vcr_host_publish_guest(VcrHost *self, const VcrKeeper *keeper, const char *uuid,
                       GPtrArray *records)
{
    vc_monitor_enter(&self->monitor);
    if (self->keeper == keeper)
        vcr_registry_set_guest(self->registry, self->view.number, uuid, records);
    vc_monitor_leave(&self->monitor);
}

void
vcr_host_hide_guest(VcrHost *self, const VcrKeeper *keeper, const char *uuid)
{
    vc_monitor_enter(&self->monitor);
    if (self->keeper == keeper)
        vcr_registry_hide_guest(self->registry, self->view.number, uuid);
    vc_monitor_leave(&self->monitor);
}

void
vcr_host_keeper_ended(VcrHost *self, VcrKeeper *keeper)
{
    vc_monitor_enter(&self->monitor);
    gboolean was_given_up = self->keeper != keeper;
    if (was_given_up) {
        /* before the host may be freed */
        vcr_keeper_free(keeper);
        self->n_given_up--;
    } else {
        self->has_ended = TRUE;
        vc_monitor_signal(&self->monitor);
    }
    vc_monitor_leave(&self->monitor);
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

    vc_monitor_enter(&self->monitor);
    gint64 since = self->has_ended ? 0 : vcr_keeper_busy_since(self->keeper);
    if (since != 0 && since < limit && self->n_given_up < MAX_GIVEN_UP)
        replace_keeper(self);
    vc_monitor_leave(&self->monitor);
    return G_SOURCE_CONTINUE;
}

/* --- start and stop --- */

void
vcr_host_start(VcrHost *self, GPtrArray *inboxes)
{
    self->view.inboxes = inboxes;
    self->watchdog = g_timeout_add_seconds(CHECK_S, watch, self);
    vc_monitor_enter(&self->monitor);
    self->keeper = vcr_keeper_start(self, &self->view);
    vc_monitor_leave(&self->monitor);
}

static gboolean
wait_for_end(VcrHost *self, gint64 until)
{
    vc_monitor_enter(&self->monitor);
    while (!self->has_ended && vc_monitor_wait_until(&self->monitor, until))
        continue;
    gboolean is_clean = self->has_ended && self->n_given_up == 0;
    vc_monitor_leave(&self->monitor);
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
