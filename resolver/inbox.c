/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Messages to a libvirtd's thread. */
#include "resolver/inbox.h"

#include "resolver/password.h"

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

GAsyncQueue *
vcr_inbox_new(void)
{
    return g_async_queue_new_full((GDestroyNotify)vcr_message_free);
}

void
vcr_inbox_push(GAsyncQueue *self, VcrNews news, guint from, const char *uuid,
               const char *digest)
{
    VcrMessage *message = g_new0(VcrMessage, 1);

    message->news = news;
    message->from = from;
    message->uuid = g_strdup(uuid);
    message->digest = g_strdup(digest);
    g_async_queue_push(self, message);
}

void
vcr_inbox_push_query(GAsyncQueue *self, VcrPasswordQuery *query)
{
    VcrMessage *message = g_new0(VcrMessage, 1);

    message->news = VCR_PASSWORD_WANTED;
    message->query = query;
    g_async_queue_push(self, message);
}
