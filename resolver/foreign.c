/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Questions and answers between the threads of several libvirtd. */
#include "resolver/foreign.h"

#include <string.h>

#include "common/error.h"
#include "resolver/secret.h"

typedef struct {
    char *digest;
    guint from; /* number of the libvirtd that has it */
} Known;

struct VcrForeign {
    guint number;
    GPtrArray *inboxes; /* not owned */
    GHashTable *known;  /* UUID → Known */
    GHashTable *asked;  /* set of UUIDs that all others were asked for */
};

static void
known_free(gpointer data)
{
    Known *self = data;

    g_free(self->digest);
    g_free(self);
}

VcrForeign *
vcr_foreign_new(guint number, GPtrArray *inboxes)
{
    VcrForeign *self = g_new0(VcrForeign, 1);

    self->number = number;
    self->inboxes = inboxes;
    self->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, known_free);
    self->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return self;
}

void
vcr_foreign_free(VcrForeign *self)
{
    if (self == NULL)
        return;
    g_hash_table_unref(self->known);
    g_hash_table_unref(self->asked);
    g_free(self);
}

static void
tell(VcrForeign *self, guint peer, VcrNews news, const char *uuid, const char *digest)
{
    vcr_inbox_push(g_ptr_array_index(self->inboxes, peer), news, self->number, uuid, digest);
}

void
vcr_foreign_tell(VcrForeign *self, VcrNews news, const char *uuid)
{
    for (guint i = 0; i < self->inboxes->len; i++) {
        if (i != self->number)
            tell(self, i, news, uuid, NULL);
    }
}

char *
vcr_foreign_find(const char *uuid, gpointer data)
{
    VcrForeign *self = data;
    const Known *known = g_hash_table_lookup(self->known, uuid);

    return known != NULL ? g_strdup(known->digest) : NULL;
}

void
vcr_foreign_ask(VcrForeign *self, const VcrGuest *guest)
{
    for (guint i = 0; i < guest->absent->len; i++) {
        const char *uuid = g_ptr_array_index(guest->absent, i);
        if (!g_hash_table_contains(self->known, uuid) &&
            g_hash_table_add(self->asked, g_strdup(uuid)))
            vcr_foreign_tell(self, VCR_SECRET_WANTED, uuid);
    }
}

void
vcr_foreign_ask_one(VcrForeign *self, guint peer, const char *uuid)
{
    tell(self, peer, VCR_SECRET_WANTED, uuid, NULL);
}

void
vcr_foreign_ask_again(VcrForeign *self, guint peer, const VcrGuest *guest)
{
    for (guint i = 0; i < guest->absent->len; i++)
        vcr_foreign_ask_one(self, peer, g_ptr_array_index(guest->absent, i));
}

void
vcr_foreign_forget(VcrForeign *self, const char *uuid)
{
    g_hash_table_remove(self->known, uuid);
    g_hash_table_remove(self->asked, uuid);
}

static gboolean
take_none(VcrForeign *self, const VcrMessage *message)
{
    const Known *known = g_hash_table_lookup(self->known, message->uuid);

    if (known == NULL || known->from != message->from)
        return FALSE;
    vcr_foreign_forget(self, message->uuid);
    return TRUE;
}

gboolean
vcr_foreign_take(VcrForeign *self, const VcrMessage *message)
{
    const Known *old = g_hash_table_lookup(self->known, message->uuid);

    if (message->digest == NULL)
        return take_none(self, message);
    if (old != NULL && strcmp(old->digest, message->digest) == 0)
        return FALSE;
    Known *known = g_new0(Known, 1);
    known->digest = g_strdup(message->digest);
    known->from = message->from;
    g_hash_table_insert(self->known, g_strdup(message->uuid), known);
    return TRUE;
}

void
vcr_foreign_answer(VcrForeign *self, virConnectPtr connection, const VcrMessage *message)
{
    g_autoptr(GError) why = NULL;
    char digest[VC_TOKEN_DIGEST_SIZE];
    char *token = vcr_secret_read(connection, message->uuid, &why);

    if (token != NULL) {
        vc_token_digest(token, digest);
        vc_secret_free(token);
        tell(self, message->from, VCR_SECRET_ANSWER, message->uuid, digest);
    } else if (why->code != VC_ERROR_UNREACHABLE) {
        tell(self, message->from, VCR_SECRET_ANSWER, message->uuid, NULL);
    }
}

void
vcr_foreign_reset(VcrForeign *self)
{
    g_hash_table_remove_all(self->asked);
}
