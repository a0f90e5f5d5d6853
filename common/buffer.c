/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Buffers and the pool of chunks behind them. */
#include "common/buffer.h"

#include <string.h>

#define CHUNK_SIZE (VC_BUFFER_HEADROOM + VC_BUFFER_SIZE)

/* Enough for a burst to find warm memory; the rest goes back to the system. */
#define MAX_SPARE 16

struct VcPool {
    guint8 *spare[MAX_SPARE];
    gsize n_spare;
    gsize in_use; /* atomic: written by the pool's thread, read by any */
};

VcPool *
vc_pool_new(void)
{
    return g_new0(VcPool, 1);
}

void
vc_pool_free(VcPool *pool)
{
    if (pool == NULL)
        return;
    g_assert(pool->in_use == 0);
    while (pool->n_spare > 0)
        g_free(pool->spare[--pool->n_spare]);
    g_free(pool);
}

gsize
vc_pool_in_use(const VcPool *pool)
{
    return __atomic_load_n(&pool->in_use, __ATOMIC_RELAXED);
}

static guint8 *
pool_get(VcPool *pool)
{
    __atomic_store_n(&pool->in_use, pool->in_use + 1, __ATOMIC_RELAXED);
    return pool->n_spare > 0 ? pool->spare[--pool->n_spare] : g_malloc(CHUNK_SIZE);
}

static void
pool_put(VcPool *pool, guint8 *chunk)
{
    g_assert(pool->in_use > 0);
    __atomic_store_n(&pool->in_use, pool->in_use - 1, __ATOMIC_RELAXED);
    if (pool->n_spare < MAX_SPARE)
        pool->spare[pool->n_spare++] = chunk;
    else
        g_free(chunk);
}

void
vc_buffer_init(VcBuffer *self, VcPool *pool)
{
    *self = (VcBuffer){.pool = pool};
}

void
vc_buffer_clear(VcBuffer *self)
{
    if (self->chunk != NULL)
        pool_put(self->pool, self->chunk);
    vc_buffer_init(self, self->pool);
}

guint8 *
vc_buffer_reserve(VcBuffer *self, gsize *room)
{
    if (self->chunk == NULL) {
        self->chunk = pool_get(self->pool);
        self->start = self->end = VC_BUFFER_HEADROOM;
    } else if (self->start > VC_BUFFER_HEADROOM && self->end == CHUNK_SIZE) {
        gsize length = vc_buffer_length(self);
        memmove(self->chunk + VC_BUFFER_HEADROOM, self->chunk + self->start, length);
        self->start = VC_BUFFER_HEADROOM;
        self->end = self->start + length;
    }
    *room = CHUNK_SIZE - self->end;
    return self->chunk + self->end;
}

void
vc_buffer_commit(VcBuffer *self, gsize length)
{
    g_assert(self->chunk != NULL && length <= CHUNK_SIZE - self->end);
    self->end += length;
    if (vc_buffer_length(self) == 0)
        vc_buffer_clear(self);
}

void
vc_buffer_consume(VcBuffer *self, gsize length)
{
    g_assert(length <= vc_buffer_length(self));
    self->start += length;
    if (vc_buffer_length(self) == 0)
        vc_buffer_clear(self);
}

gboolean
vc_buffer_take(VcBuffer *self, void *to, gsize length)
{
    if (vc_buffer_length(self) < length)
        return FALSE;
    if (length > 0)
        memcpy(to, vc_buffer_data(self), length);
    vc_buffer_consume(self, length);
    return TRUE;
}

gboolean
vc_buffer_append(VcBuffer *self, const void *data, gsize length)
{
    const guint8 *from = data;

    if (vc_buffer_room(self) < length)
        return FALSE;
    while (length > 0) {
        gsize room;
        guint8 *to = vc_buffer_reserve(self, &room);
        gsize part = MIN(room, length);
        memcpy(to, from, part);
        vc_buffer_commit(self, part);
        from += part;
        length -= part;
    }
    return TRUE;
}

gsize
vc_buffer_move(VcBuffer *to, VcBuffer *from)
{
    gsize moved = MIN(vc_buffer_length(from), vc_buffer_room(to));

    g_assert(to->pool == from->pool);
    if (moved == 0)
        return 0;
    if (vc_buffer_length(to) == 0) {
        VcBuffer empty = *to;
        *to = *from;
        *from = empty;
        return moved;
    }
    vc_buffer_append(to, vc_buffer_data(from), moved);
    vc_buffer_consume(from, moved);
    return moved;
}
