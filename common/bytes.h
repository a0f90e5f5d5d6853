/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Numbers in network order at the front of a buffer, and appended to one: never past what is
 * there. The others in bytes that the caller knows to be there. */
#pragma once

#include "common/buffer.h"

/* Reads the number at offset from the buffer's front without taking it; FALSE where it is not
 * all there. */
static inline gboolean
vc_peek_u8(const VcBuffer *buffer, gsize offset, guint8 *value)
{
    if (vc_buffer_length(buffer) < offset + 1)
        return FALSE;
    *value = vc_buffer_data(buffer)[offset];
    return TRUE;
}

static inline gboolean
vc_peek_u16be(const VcBuffer *buffer, gsize offset, guint16 *value)
{
    if (vc_buffer_length(buffer) < offset + 2)
        return FALSE;
    const guint8 *at = vc_buffer_data(buffer) + offset;
    *value = (guint16)(at[0] << 8 | at[1]);
    return TRUE;
}

static inline gboolean
vc_peek_u32be(const VcBuffer *buffer, gsize offset, guint32 *value)
{
    if (vc_buffer_length(buffer) < offset + 4)
        return FALSE;
    const guint8 *at = vc_buffer_data(buffer) + offset;
    *value = (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
    return TRUE;
}

/* Append; FALSE and nothing done where the buffer is full. */
static inline gboolean
vc_put_u8(VcBuffer *buffer, guint8 value)
{
    return vc_buffer_append(buffer, &value, 1);
}

static inline gboolean
vc_put_u16be(VcBuffer *buffer, guint16 value)
{
    guint8 bytes[2] = {(guint8)(value >> 8), (guint8)value};
    return vc_buffer_append(buffer, bytes, sizeof bytes);
}

static inline gboolean
vc_put_u32be(VcBuffer *buffer, guint32 value)
{
    guint8 bytes[4] = {(guint8)(value >> 24), (guint8)(value >> 16), (guint8)(value >> 8),
                       (guint8)value};
    return vc_buffer_append(buffer, bytes, sizeof bytes);
}

static inline guint16
vc_get_u16be(const guint8 *at)
{
    return (guint16)(at[0] << 8 | at[1]);
}

static inline guint32
vc_get_u32be(const guint8 *at)
{
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}

static inline guint16
vc_get_u16le(const guint8 *at)
{
    return (guint16)(at[0] | at[1] << 8);
}

static inline guint32
vc_get_u32le(const guint8 *at)
{
    return at[0] | (guint32)at[1] << 8 | (guint32)at[2] << 16 | (guint32)at[3] << 24;
}

static inline void
vc_set_u32le(guint8 *at, guint32 value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (guint8)(value >> 8 * i);
}
