/* SPDX-License-Identifier: LGPL-2.1-or-later
 * See frames.h. */
#include "tests/unit/frames.h"

#include <string.h>

#define MASKED    0x80
#define MASK_SIZE 4
#define FILLING   0xee

Outcome *
outcome_new(void)
{
    Outcome *self = g_new0(Outcome, 1);

    self->payload = g_byte_array_new();
    self->controls = g_byte_array_new();
    return self;
}

void
outcome_free(Outcome *self)
{
    g_byte_array_unref(self->payload);
    g_byte_array_unref(self->controls);
    g_free(self);
}

void
add_control(GByteArray *controls, guint8 opcode, const guint8 *payload, gsize length)
{
    guint8 byte = (guint8)length;

    g_byte_array_append(controls, &opcode, 1);
    g_byte_array_append(controls, &byte, 1);
    g_byte_array_append(controls, payload, byte);
}

/* The bytes lie at the end of memory of their own, and so may the payload, so that a sanitizer
 * sees each access beyond. */
void
outcome_feed(Outcome *self, const guint8 *bytes, gsize length, gboolean in_place)
{
    g_autofree guint8 *source = g_malloc(1 + length);
    g_autofree guint8 *sink = g_malloc(1 + length);
    guint8 *begin = in_place ? source + 1 : sink + 1;
    const guint8 *from = source + 1;
    const guint8 *end = from + length;
    guint8 *to = begin;

    for (gsize i = 0; i < length; i++)
        source[1 + i] = bytes[i];
    memset(sink, FILLING, 1 + length);
    do {
        self->event = vcp_ws_read(&self->reader, &from, end, &to);
        g_assert_true(from <= end);
        g_assert_cmpint(to - begin, <=, from - (source + 1));
        if (self->event == VCP_WS_CONTROL)
            add_control(self->controls, self->reader.opcode, self->reader.control,
                        self->reader.control_length);
    } while (self->event == VCP_WS_CONTROL);
    g_assert_true((self->event == VCP_WS_BAD) == (self->reader.wrong != NULL));
    if (self->event == VCP_WS_MORE) {
        g_assert_true(from == end);
        for (const guint8 *i = to; !in_place && i < sink + 1 + length; i++)
            g_assert_cmpuint(*i, ==, FILLING);
    }
    g_byte_array_append(self->payload, begin, (guint)(to - begin));
}

void
outcome_assert_same(const Outcome *self, const Outcome *other)
{
    g_assert_cmpint(self->event, ==, other->event);
    g_assert_cmpmem(self->payload->data, self->payload->len, other->payload->data,
                    other->payload->len);
    g_assert_cmpmem(self->controls->data, self->controls->len, other->controls->data,
                    other->controls->len);
    g_assert_cmpmem(&self->reader, sizeof self->reader, &other->reader, sizeof other->reader);
}

static void
add_header(GByteArray *stream, guint8 first, const char *mask, gsize length)
{
    guint8 header[10] = {first, MASKED};
    guint n = length > G_MAXUINT16 ? 8 : length > VCP_WS_MAX_CONTROL ? 2 : 0;

    header[1] |= n == 8 ? 127 : n == 2 ? 126 : (guint8)length;
    for (guint i = 0; i < n; i++)
        header[2 + i] = (guint8)(length >> 8 * (n - 1 - i));
    g_byte_array_append(stream, header, 2 + n);
    g_byte_array_append(stream, (const guint8 *)mask, MASK_SIZE);
}

/* first: FIN, or not, and the opcode. */
void
add_frame(GByteArray *stream, guint8 first, const char *mask, const guint8 *payload,
          gsize length)
{
    add_header(stream, first, mask, length);
    for (gsize i = 0; i < length; i++) {
        guint8 byte = payload[i] ^ (guint8)mask[i % MASK_SIZE];
        g_byte_array_append(stream, &byte, 1);
    }
}
