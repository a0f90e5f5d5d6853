/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A bounded byte queue that holds memory only while it holds bytes: one chunk, borrowed from a
 * pool. */
#pragma once

#include <glib.h>

/* What one buffer holds at the most. With its 4-byte websocket header a full one is exactly
 * four TLS records. */
#define VC_BUFFER_SIZE 65532

/* Writable bytes in front of a buffer's first byte, for the frame header that libwebsockets
 * puts there. */
#define VC_BUFFER_HEADROOM 16

/* Chunks for the buffers of one thread; keeps a few spare ones. Not thread-safe, but for
 * vc_pool_in_use(). */
typedef struct VcPool VcPool;

VcPool *vc_pool_new(void);

/* Every buffer of the pool must be cleared before. pool: nullable. */
void vc_pool_free(VcPool *pool);

/* Chunks that buffers hold at this moment, for tests and metrics. Any thread. */
gsize vc_pool_in_use(const VcPool *pool);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcPool, vc_pool_free)

typedef struct {
    VcPool *pool;  /* not owned */
    guint8 *chunk; /* NULL exactly while the buffer is empty and nothing is reserved */
    gsize start;
    gsize end;
} VcBuffer;

void vc_buffer_init(VcBuffer *self, VcPool *pool /* not owned */);

/* Drops the content and gives the chunk back; the buffer may be used again. */
void vc_buffer_clear(VcBuffer *self);

static inline gsize
vc_buffer_length(const VcBuffer *self)
{
    return self->end - self->start;
}

/* Bytes that could still be added. */
static inline gsize
vc_buffer_room(const VcBuffer *self)
{
    return VC_BUFFER_SIZE - vc_buffer_length(self);
}

/* The first byte; vc_buffer_length() bytes follow, VC_BUFFER_HEADROOM writable ones stand
 * before. NULL where the buffer is empty. Valid until the next call that changes the buffer. */
static inline guint8 *
vc_buffer_data(const VcBuffer *self)
{
    return vc_buffer_length(self) > 0 ? self->chunk + self->start : NULL;
}

/* Room to write into, contiguous: *room (> 0 unless the buffer is full) bytes; then commit what
 * was written, 0 included. */
guint8 *vc_buffer_reserve(VcBuffer *self, gsize *room);
void vc_buffer_commit(VcBuffer *self, gsize length);

/* Takes length bytes (at most vc_buffer_length()) off the front. */
void vc_buffer_consume(VcBuffer *self, gsize length);

/* Copies and takes exactly length bytes, or leaves all as it is and returns FALSE where there
 * are fewer. */
gboolean vc_buffer_take(VcBuffer *self, void *to, gsize length);

/* Appends all of it, or nothing and FALSE where the room is too small. */
gboolean vc_buffer_append(VcBuffer *self, const void *data, gsize length);

/* Moves as much of from as fits; an empty target takes over the chunk without a copy. Returns
 * the bytes moved. Both belong to the same pool. */
gsize vc_buffer_move(VcBuffer *to, VcBuffer *from);
