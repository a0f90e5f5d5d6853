/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Messages to a libvirtd's thread. */
#include "resolver/inbox.h"

#include "common/monitor.h"
#include "resolver/password.h"

struct VcrInbox {
    int refs; /* atomic */
    VcMonitor monitor;
    GQueue messages; /* of VcrMessage */
};

void
vcr_message_free(VcrMessage *self)
{
    if (self == NULL)
        return;
    if (self->connection != NULL)
        virConnectClose(self->connection);
    g_clear_error(&self->error);
    vcr_password_query_unref(self->query);
    g_free(self->digest);
    g_free(self->uuid);
    g_free(self);
}

VcrInbox *
vcr_inbox_new(void)
{
    VcrInbox *self = g_new0(VcrInbox, 1);

    self->refs = 1;
    vc_monitor_init(&self->monitor);
    g_queue_init(&self->messages);
    return self;
}

VcrInbox *
vcr_inbox_ref(VcrInbox *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

void
vcr_inbox_unref(VcrInbox *self)
{
    if (!g_atomic_int_dec_and_test(&self->refs))
        return;
    g_queue_clear_full(&self->messages, (GDestroyNotify)vcr_message_free);
    vc_monitor_clear(&self->monitor);
    g_free(self);
}

VcrMessage *
vcr_inbox_pop(VcrInbox *self, gint64 until)
{
    vc_monitor_enter(&self->monitor);
    while (g_queue_is_empty(&self->messages) && vc_monitor_wait_until(&self->monitor, until))
        continue;
    VcrMessage *message = g_queue_pop_head(&self->messages);
    vc_monitor_leave(&self->monitor);
    return message;
}

void
vcr_inbox_push_message(VcrInbox *self, VcrMessage *message)
{
    message->pushed_at = g_get_monotonic_time();
    vc_monitor_enter(&self->monitor);
    g_queue_push_tail(&self->messages, message);
    vc_monitor_signal(&self->monitor);
    vc_monitor_leave(&self->monitor);
}

void
vcr_inbox_push(VcrInbox *self, VcrNews news, guint from, const char *uuid, const char *digest)
{
    VcrMessage *message = g_new0(VcrMessage, 1);

    message->news = news;
    message->from = from;
    message->uuid = g_strdup(uuid);
    message->digest = g_strdup(digest);
    vcr_inbox_push_message(self, message);
}

void
vcr_inbox_push_query(VcrInbox *self, VcrPasswordQuery *query)
{
    VcrMessage *message = g_new0(VcrMessage, 1);

    message->news = VCR_PASSWORD_WANTED;
    message->query = query;
    vcr_inbox_push_message(self, message);
}
