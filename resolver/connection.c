/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Opening and watching. */
#include "resolver/connection.h"

#include <libvirt/virterror.h>

#include "common/error.h"
#include "resolver/inbox.h"

#define NO_CALLBACK (-1)

static void
on_libvirt_error(void *data G_GNUC_UNUSED, virErrorPtr error)
{
    g_debug("libvirt: %s", error->message);
}

void
vcr_connection_init(void)
{
    virSetErrorFunc(NULL, on_libvirt_error);
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        g_error("libvirt cannot be initialised: %s", virGetLastErrorMessage());
}

void
vcr_connection_set_error(GError **error, const char *what)
{
    g_set_error(error, VC_ERROR, VC_ERROR_UNREACHABLE, "%s: %s", what,
                virGetLastErrorMessage());
}

/* --- opening --- */

typedef struct {
    char *uri;
    VcrInbox *inbox;
} Opening;

static gpointer
open_connection(gpointer data)
{
    Opening *self = data;
    VcrMessage *message = g_new0(VcrMessage, 1);

    message->news = VCR_OPENED;
    message->connection = virConnectOpen(self->uri);
    if (message->connection == NULL)
        vcr_connection_set_error(&message->error, "cannot connect");
    vcr_inbox_push_message(self->inbox, message);
    vcr_inbox_unref(self->inbox);
    g_free(self->uri);
    g_free(self);
    return NULL;
}

void
vcr_connection_open(const char *uri, VcrInbox *inbox)
{
    Opening *opening = g_new0(Opening, 1);

    opening->uri = g_strdup(uri);
    opening->inbox = vcr_inbox_ref(inbox);
    g_thread_unref(g_thread_new("open", open_connection, opening));
}

/* --- watching --- */

/* What callbacks are given: it outlives the watch for as long as one of them may still run. */
typedef struct {
    int refs; /* atomic */
    guint number;
    VcrInbox *inbox;
} Target;

struct VcrWatch {
    virConnectPtr connection; /* not owned */
    Target *target;
    int domain_callbacks[5];
    int secret_callbacks[2];
    gboolean has_close_callback;
};

static Target *
target_ref(Target *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

static void
target_unref(void *data)
{
    Target *self = data;

    if (!g_atomic_int_dec_and_test(&self->refs))
        return;
    vcr_inbox_unref(self->inbox);
    g_free(self);
}

static void
push_guest(virDomainPtr domain, Target *target)
{
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (virDomainGetUUIDString(domain, uuid) == 0)
        vcr_inbox_push(target->inbox, VCR_GUEST_CHANGED, target->number, uuid, NULL);
}

static void
on_lifecycle(virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain,
             int event G_GNUC_UNUSED, int detail G_GNUC_UNUSED, void *data)
{
    push_guest(domain, data);
}

static void
on_device(virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain,
          const char *alias G_GNUC_UNUSED, void *data)
{
    push_guest(domain, data);
}

static void
on_metadata(virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain, int type G_GNUC_UNUSED,
            const char *uri G_GNUC_UNUSED, void *data)
{
    push_guest(domain, data);
}

/* Nothing tells that a console's password was set or taken away; that somebody opens the
 * console is a reason to look. */
static void
on_graphics(virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain, int phase,
            const virDomainEventGraphicsAddress *local G_GNUC_UNUSED,
            const virDomainEventGraphicsAddress *remote G_GNUC_UNUSED,
            const char *scheme G_GNUC_UNUSED,
            const virDomainEventGraphicsSubject *subject G_GNUC_UNUSED, void *data)
{
    if (phase == VIR_DOMAIN_EVENT_GRAPHICS_CONNECT)
        push_guest(domain, data);
}

static void
push_secret(virSecretPtr secret, Target *target)
{
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (virSecretGetUUIDString(secret, uuid) == 0)
        vcr_inbox_push(target->inbox, VCR_SECRET_CHANGED, target->number, uuid, NULL);
}

static void
on_secret_lifecycle(virConnectPtr connection G_GNUC_UNUSED, virSecretPtr secret,
                    int event G_GNUC_UNUSED, int detail G_GNUC_UNUSED, void *data)
{
    push_secret(secret, data);
}

static void
on_secret_value(virConnectPtr connection G_GNUC_UNUSED, virSecretPtr secret, void *data)
{
    push_secret(secret, data);
}

static void
on_closed(virConnectPtr connection G_GNUC_UNUSED, int reason G_GNUC_UNUSED, void *data)
{
    Target *target = data;

    vcr_inbox_push(target->inbox, VCR_CLOSED, target->number, NULL, NULL);
}

static gboolean
watch_guests(VcrWatch *self)
{
    static const struct {
        int event;
        virConnectDomainEventGenericCallback callback;
    } rows[G_N_ELEMENTS(self->domain_callbacks)] = {
        {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
        {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
        {VIR_DOMAIN_EVENT_ID_GRAPHICS, VIR_DOMAIN_EVENT_CALLBACK(on_graphics)},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        self->domain_callbacks[i] = virConnectDomainEventRegisterAny(
            self->connection, NULL, rows[i].event, rows[i].callback, target_ref(self->target),
            target_unref);
        if (self->domain_callbacks[i] < 0) {
            target_unref(self->target);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
watch_secrets(VcrWatch *self)
{
    static const struct {
        int event;
        virConnectSecretEventGenericCallback callback;
    } rows[G_N_ELEMENTS(self->secret_callbacks)] = {
        {VIR_SECRET_EVENT_ID_LIFECYCLE, VIR_SECRET_EVENT_CALLBACK(on_secret_lifecycle)},
        {VIR_SECRET_EVENT_ID_VALUE_CHANGED, VIR_SECRET_EVENT_CALLBACK(on_secret_value)},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        self->secret_callbacks[i] = virConnectSecretEventRegisterAny(
            self->connection, NULL, rows[i].event, rows[i].callback, target_ref(self->target),
            target_unref);
        if (self->secret_callbacks[i] < 0) {
            target_unref(self->target);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
watch_end(VcrWatch *self)
{
    self->has_close_callback =
        virConnectRegisterCloseCallback(self->connection, on_closed, target_ref(self->target),
                                        target_unref) == 0;
    if (!self->has_close_callback)
        target_unref(self->target);
    return self->has_close_callback;
}

static VcrWatch *
watch_new(virConnectPtr connection, guint number, VcrInbox *inbox)
{
    VcrWatch *self = g_new0(VcrWatch, 1);

    self->connection = connection;
    self->target = g_new0(Target, 1);
    self->target->refs = 1;
    self->target->number = number;
    self->target->inbox = vcr_inbox_ref(inbox);
    for (gsize i = 0; i < G_N_ELEMENTS(self->domain_callbacks); i++)
        self->domain_callbacks[i] = NO_CALLBACK;
    for (gsize i = 0; i < G_N_ELEMENTS(self->secret_callbacks); i++)
        self->secret_callbacks[i] = NO_CALLBACK;
    return self;
}

VcrWatch *
vcr_connection_watch(virConnectPtr connection, guint number, VcrInbox *inbox, GError **error)
{
    VcrWatch *self = watch_new(connection, number, inbox);

    if (watch_end(self) && watch_guests(self) && watch_secrets(self))
        return self;
    vcr_connection_set_error(error, "cannot watch it");
    vcr_connection_unwatch(self);
    return NULL;
}

void
vcr_connection_unwatch(VcrWatch *self)
{
    if (self == NULL)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(self->domain_callbacks); i++) {
        if (self->domain_callbacks[i] >= 0)
            virConnectDomainEventDeregisterAny(self->connection, self->domain_callbacks[i]);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(self->secret_callbacks); i++) {
        if (self->secret_callbacks[i] >= 0)
            virConnectSecretEventDeregisterAny(self->connection, self->secret_callbacks[i]);
    }
    if (self->has_close_callback)
        virConnectUnregisterCloseCallback(self->connection, on_closed);
    target_unref(self->target);
    g_free(self);
}
