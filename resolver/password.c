/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Queries that end by an answer or by the clock, whichever comes first. */
#include "resolver/password.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "common/monitor.h"
#include "resolver/domain.h"
#include "resolver/inbox.h"

struct VcrPasswordQuery {
    int refs; /* atomic */
    VcrPasswords *owner;
    VcrRecord *record;
    GSource *clock;

    VcMonitor monitor;
    gboolean is_done;
    VcrPasswordAnswer answer;
    char *password; /* nullable */
    GFunc done;
    gpointer data;
};

struct VcrPasswords {
    GPtrArray *inboxes; /* not owned */
    guint deadline_ms;
    VcMonitor monitor;
    GHashTable *waiting; /* set of VcrPasswordQuery, each with a reference */
};

static VcrPasswordQuery *
query_ref(VcrPasswordQuery *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

void
vcr_password_query_unref(VcrPasswordQuery *self)
{
    if (self == NULL || !g_atomic_int_dec_and_test(&self->refs))
        return;
    vc_secret_free(self->password);
    vcr_record_unref(self->record);
    g_source_unref(self->clock);
    vc_monitor_clear(&self->monitor);
    g_free(self);
}

VcrPasswordAnswer
vcr_password_query_answer(VcrPasswordQuery *self, const char **password)
{
    vc_monitor_enter(&self->monitor);
    VcrPasswordAnswer answer = self->answer;
    *password = self->password;
    vc_monitor_leave(&self->monitor);
    return answer;
}

/* The first one counts; what comes later is dropped. */
static void
finish(VcrPasswordQuery *self, VcrPasswordAnswer answer, char *password /* full, nullable */)
{
    vc_monitor_enter(&self->monitor);
    gboolean is_first = !self->is_done;
    if (is_first) {
        self->is_done = TRUE;
        self->answer = answer;
        self->password = g_steal_pointer(&password);
    }
    vc_monitor_leave(&self->monitor);
    vc_secret_free(password);
    if (!is_first)
        return;
    g_source_destroy(self->clock);
    self->done(self, self->data);

    VcrPasswords *owner = self->owner;
    vc_monitor_enter(&owner->monitor);
    g_hash_table_remove(owner->waiting, self);
    vc_monitor_leave(&owner->monitor);
}

static gboolean
on_deadline(gpointer data)
{
    finish(data, VCR_PASSWORD_AWAY, NULL);
    return G_SOURCE_REMOVE;
}

/* --- at libvirt --- */

static VcrPasswordAnswer
find_password(const char *xml, const VcrRecord *record, char **password)
{
    g_autoptr(VcrDomain) domain = vcr_domain_parse(xml, NULL);
    const VcrDevice *device =
        domain != NULL ? vcr_domain_find(domain, record->kind, record->index) : NULL;

    if (device == NULL)
        return VCR_PASSWORD_GONE;
    *password = g_strdup(device->password);
    return *password != NULL ? VCR_PASSWORD_FOUND : VCR_PASSWORD_NONE;
}

static VcrPasswordAnswer
what_failed(void)
{
    const virError *why = virGetLastError();

    return why != NULL && why->code == VIR_ERR_NO_DOMAIN ? VCR_PASSWORD_GONE
                                                         : VCR_PASSWORD_AWAY;
}

static VcrPasswordAnswer
read_password(virConnectPtr connection, const VcrRecord *record, char **password)
{
    virDomainPtr domain = virDomainLookupByUUIDString(connection, record->service->domain_uuid);
    if (domain == NULL)
        return what_failed();

    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE);
    VcrPasswordAnswer answer =
        xml != NULL ? find_password(xml, record, password) : what_failed();
    if (xml != NULL)
        explicit_bzero(xml, strlen(xml));
    free(xml);
    virDomainFree(domain);
    return answer;
}

static gboolean
is_done(VcrPasswordQuery *self)
{
    vc_monitor_enter(&self->monitor);
    gboolean done = self->is_done;
    vc_monitor_leave(&self->monitor);
    return done;
}

void
vcr_password_query_run(VcrPasswordQuery *self, virConnectPtr connection)
{
    char *password = NULL;
    VcrPasswordAnswer answer = VCR_PASSWORD_AWAY;

    /* One whose time is over while it stood in line needs no call any more. */
    if (is_done(self))
        return;
    if (connection != NULL)
        answer = read_password(connection, self->record, &password);
    finish(self, answer, password);
}

/* --- for others --- */

VcrPasswords *
vcr_passwords_new(GPtrArray *inboxes, guint deadline_ms)
{
    VcrPasswords *self = g_new0(VcrPasswords, 1);

    self->inboxes = inboxes;
    self->deadline_ms = deadline_ms;
    vc_monitor_init(&self->monitor);
    self->waiting =
        g_hash_table_new_full(NULL, NULL, (GDestroyNotify)vcr_password_query_unref, NULL);
    return self;
}

static VcrPasswordQuery *
query_new(VcrPasswords *owner, VcrRecord *record, GFunc done, gpointer data)
{
    VcrPasswordQuery *self = g_new0(VcrPasswordQuery, 1);

    self->refs = 1;
    self->owner = owner;
    self->record = vcr_record_ref(record);
    self->done = done;
    self->data = data;
    vc_monitor_init(&self->monitor);
    self->clock = g_timeout_source_new(owner->deadline_ms);
    g_source_set_callback(self->clock, on_deadline, query_ref(self),
                          (GDestroyNotify)vcr_password_query_unref);
    return self;
}

VcrPasswordQuery *
vcr_passwords_ask(VcrPasswords *self, VcrRecord *record, GFunc done, gpointer data)
{
    VcrPasswordQuery *query = query_new(self, record, done, data);

    vc_monitor_enter(&self->monitor);
    g_hash_table_add(self->waiting, query_ref(query));
    vc_monitor_leave(&self->monitor);
    g_source_attach(query->clock, NULL);
    vcr_inbox_push_query(g_ptr_array_index(self->inboxes, record->host), query_ref(query));
    return query;
}

void
vcr_passwords_cancel(VcrPasswords *self)
{
    vc_monitor_enter(&self->monitor);
    g_autoptr(GPtrArray) queries =
        g_ptr_array_new_with_free_func((GDestroyNotify)vcr_password_query_unref);
    GHashTableIter iter;
    gpointer query;
    g_hash_table_iter_init(&iter, self->waiting);
    while (g_hash_table_iter_next(&iter, &query, NULL))
        g_ptr_array_add(queries, query_ref(query));
    vc_monitor_leave(&self->monitor);

    for (guint i = 0; i < queries->len; i++)
        finish(g_ptr_array_index(queries, i), VCR_PASSWORD_AWAY, NULL);
}

void
vcr_passwords_free(VcrPasswords *self)
{
    if (self == NULL)
        return;
    g_hash_table_unref(self->waiting);
    vc_monitor_clear(&self->monitor);
    g_free(self);
}
