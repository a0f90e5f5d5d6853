/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The telnet filter: however a greeting is cut, the same comes of it, and nothing behind it is
 * touched; what a client sends has each FF twice, and is as it was once those are taken out.
 *
 * Input: length of a piece (1 byte), the bytes. */
#include "fuzz.h"

#include <string.h>

#include "common/error.h"
#include "proxy/telnet.h"

typedef struct {
    VcPool *pool;
    VcBuffer from, to;
} Pair;

static void
pair_init(Pair *self)
{
    self->pool = vc_pool_new();
    vc_buffer_init(&self->from, self->pool);
    vc_buffer_init(&self->to, self->pool);
}

static void
pair_clear(Pair *self)
{
    vc_buffer_clear(&self->from);
    vc_buffer_clear(&self->to);
    vc_pool_free(self->pool);
}

/* The bytes that are left once the greeting is complete go to rest. */
static VcpTelnetStep
greet(const guint8 *data, gsize size, gsize piece, GByteArray *rest)
{
    VcpTelnet telnet = {0};
    VcpTelnetStep step = VCP_TELNET_WAIT;
    g_autoptr(GError) error = NULL;
    Pair pair;

    pair_init(&pair);
    for (gsize at = 0; at < size && step != VCP_TELNET_FAILED; at += piece) {
        gboolean fits = vc_buffer_append(&pair.from, data + at, MIN(piece, size - at));
        g_assert_true(fits);
        step = vcp_telnet_greet(&telnet, &pair.from, &error);
    }
    g_assert_true((step == VCP_TELNET_FAILED) == (error != NULL));
    g_assert_true(error == NULL || error->code == VC_ERROR_PROTOCOL);
    if (step == VCP_TELNET_WAIT)
        g_assert_cmpuint(vc_buffer_length(&pair.from), ==, 0);
    if (step == VCP_TELNET_DONE && vc_buffer_length(&pair.from) > 0)
        g_byte_array_append(rest, vc_buffer_data(&pair.from),
                            (guint)vc_buffer_length(&pair.from));
    pair_clear(&pair);
    return step;
}

static void
check_greeting(const guint8 *data, gsize size, gsize piece)
{
    g_autoptr(GByteArray) whole = g_byte_array_new();
    g_autoptr(GByteArray) pieces = g_byte_array_new();
    VcpTelnetStep step = greet(data, size, size, whole);

    g_assert_cmpint(greet(data, size, piece, pieces), ==, step);
    g_assert_cmpmem(whole->data, whole->len, pieces->data, pieces->len);
    if (step == VCP_TELNET_DONE)
        g_assert_cmpmem(whole->data, whole->len, data + VCP_TELNET_GREETING_SIZE,
                        size - VCP_TELNET_GREETING_SIZE);
}

/* FF FF is one FF; anything else behind an FF there must not be. */
static void
check_escaped(const GByteArray *escaped, const guint8 *data, gsize size)
{
    gsize at = 0;

    for (gsize i = 0; i < size; i++) {
        g_assert_cmpuint(at, <, escaped->len);
        g_assert_cmpuint(escaped->data[at++], ==, data[i]);
        if (data[i] == VCP_TELNET_IAC)
            g_assert_cmpuint(escaped->data[at++], ==, VCP_TELNET_IAC);
    }
    g_assert_cmpuint(at, ==, escaped->len);
}

static void
check_escape(const guint8 *data, gsize size, gsize piece)
{
    g_autoptr(GByteArray) escaped = g_byte_array_new();
    Pair pair;

    pair_init(&pair);
    for (gsize at = 0; at < size || vc_buffer_length(&pair.from) > 0; at += piece) {
        if (at < size) {
            gboolean fits = vc_buffer_append(&pair.from, data + at, MIN(piece, size - at));
            g_assert_true(fits);
        }
        vcp_telnet_escape(&pair.from, &pair.to);
        if (vc_buffer_length(&pair.to) > 0)
            g_byte_array_append(escaped, vc_buffer_data(&pair.to),
                                (guint)vc_buffer_length(&pair.to));
        vc_buffer_clear(&pair.to);
    }
    pair_clear(&pair);
    check_escaped(escaped, data, size);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    if (size < 2 || size > VC_BUFFER_SIZE)
        return 0;
    check_greeting(data + 1, size - 1, (gsize)data[0] + 1);
    check_escape(data + 1, size - 1, (gsize)data[0] + 1);
    return 0;
}
