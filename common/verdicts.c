/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A table of digests with the time of each. */
#include "common/verdicts.h"

#include <string.h>

#define MAX_AGE_US (60 * G_USEC_PER_SEC)

/* Then it starts anew: more hypervisors than this in a minute gain nothing from it. */
#define MAX_VERDICTS 4096

typedef struct {
    guint8 question[VC_VERDICT_SIZE]; /* first: it is the key */
    gint64 since_us;
} Verdict;

struct VcVerdicts {
    GMutex lock;
    GHashTable *table; /* of Verdict, as a set */
};

/* A digest is as good as random. */
static guint
hash(gconstpointer question)
{
    guint value;

    memcpy(&value, question, sizeof value);
    return value;
}

static gboolean
equal(gconstpointer one, gconstpointer other)
{
    return memcmp(one, other, VC_VERDICT_SIZE) == 0;
}

VcVerdicts *
vc_verdicts_new(void)
{
    VcVerdicts *self = g_new0(VcVerdicts, 1);

    g_mutex_init(&self->lock);
    self->table = g_hash_table_new_full(hash, equal, g_free, NULL);
    return self;
}

void
vc_verdicts_free(VcVerdicts *self)
{
    if (self == NULL)
        return;
    g_hash_table_unref(self->table);
    g_mutex_clear(&self->lock);
    g_free(self);
}

gboolean
vc_verdicts_know(VcVerdicts *self, const guint8 question[VC_VERDICT_SIZE], gint64 now_us)
{
    g_mutex_lock(&self->lock);
    const Verdict *verdict = g_hash_table_lookup(self->table, question);
    gboolean is_known = verdict != NULL && now_us < verdict->since_us + MAX_AGE_US;
    g_mutex_unlock(&self->lock);
    return is_known;
}

void
vc_verdicts_add(VcVerdicts *self, const guint8 question[VC_VERDICT_SIZE], gint64 now_us)
{
    Verdict *verdict = g_new(Verdict, 1);

    memcpy(verdict->question, question, sizeof verdict->question);
    verdict->since_us = now_us;
    g_mutex_lock(&self->lock);
    if (g_hash_table_size(self->table) >= MAX_VERDICTS)
        g_hash_table_remove_all(self->table);
    g_hash_table_replace(self->table, verdict, verdict);
    g_mutex_unlock(&self->lock);
}
