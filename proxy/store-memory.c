/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The store of one process: a locked table of records. */
#include <string.h>

#include "proxy/store-record.h"
#include "proxy/timer.h"

/* Below so many records there is nothing to clear away. */
#define SWEEP_FLOOR 1024

struct VcpMemory {
    guint64 (*now_ms)(void);
    uv_mutex_t lock;     /* for: */
    GHashTable *records; /* key (full) → VcpRecord */
    guint sweep_at;      /* so many records */
};

VcpMemory *
vcp_memory_new(guint64 (*now_ms)(void))
{
    VcpMemory *self = g_new0(VcpMemory, 1);

    self->now_ms = now_ms;
    uv_mutex_init(&self->lock);
    self->records =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)vcp_record_free);
    self->sweep_at = SWEEP_FLOOR;
    return self;
}

void
vcp_memory_free(VcpMemory *self)
{
    if (self == NULL)
        return;
    g_hash_table_unref(self->records);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}

guint
vcp_memory_count(VcpMemory *self)
{
    uv_mutex_lock(&self->lock);
    guint count = g_hash_table_size(self->records);
    uv_mutex_unlock(&self->lock);
    return count;
}

static gboolean
is_void(gpointer key G_GNUC_UNUSED, gpointer record, gpointer now_ms)
{
    return vcp_record_is_void(record, *(guint64 *)now_ms);
}

/* Records that nobody asks for again go when the table has doubled since the last time. */
static void
sweep(VcpMemory *self, guint64 now_ms)
{
    if (g_hash_table_size(self->records) < self->sweep_at)
        return;
    g_hash_table_foreach_remove(self->records, is_void, &now_ms);
    self->sweep_at = MAX(SWEEP_FLOOR, 2 * g_hash_table_size(self->records));
}

static VcpRecord *
find_or_add(VcpMemory *self, const char *key)
{
    VcpRecord *record = g_hash_table_lookup(self->records, key);

    if (record == NULL) {
        record = g_new0(VcpRecord, 1);
        g_hash_table_insert(self->records, g_strdup(key), record);
    }
    return record;
}

static VcpStoreAnswer
apply(VcpMemory *self, const VcpStoreRequest *request)
{
    uv_mutex_lock(&self->lock);
    guint64 now_ms = self->now_ms();
    sweep(self, now_ms);
    VcpRecord *record = find_or_add(self, request->key);
    VcpStoreAnswer answer = vcp_record_apply(record, request, now_ms);
    if (vcp_record_is_void(record, now_ms))
        g_hash_table_remove(self->records, request->key);
    uv_mutex_unlock(&self->lock);
    return answer;
}

/* --- a worker's way to it --- */

typedef struct {
    VcpStore store; /* first */
    VcpMemory *memory;
    uv_loop_t *loop;
} MemoryStore;

struct VcpStoreOp {
    VcpTimer *timer;
    VcpStoreAnswer answer;
    VcpStoreDone done;
    gpointer data;
};

static void
free_op(VcpStoreOp *op)
{
    vcp_timer_free(op->timer);
    g_free(op);
}

static void
deliver(gpointer data)
{
    VcpStoreOp *op = data;
    VcpStoreOp copy = *op;

    free_op(op);
    copy.done(copy.answer, copy.data);
}

static VcpStoreOp *
ask(VcpStore *store, const VcpStoreRequest *request, VcpStoreDone done, gpointer data)
{
    MemoryStore *self = (MemoryStore *)store;
    VcpStoreAnswer answer = apply(self->memory, request);

    if (done == NULL)
        return NULL;
    VcpStoreOp *op = g_new0(VcpStoreOp, 1);
    op->answer = answer;
    op->done = done;
    op->data = data;
    op->timer = vcp_timer_new(self->loop, deliver, op);
    vcp_timer_start(op->timer, 0);
    return op;
}

static void
cancel(VcpStore *store G_GNUC_UNUSED, VcpStoreOp *op)
{
    free_op(op);
}

static void
free_store(VcpStore *store)
{
    g_free(store);
}

VcpStore *
vcp_store_memory_new(VcpMemory *memory, uv_loop_t *loop)
{
    static const VcpStoreOps ops = {.ask = ask, .cancel = cancel, .free = free_store};
    MemoryStore *self = g_new0(MemoryStore, 1);

    self->store.ops = &ops;
    self->memory = memory;
    self->loop = loop;
    return &self->store;
}
