/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Client messages through the filter: all at once and in pieces gives the same, and what has
 * passed once passes again unchanged.
 *
 * Input: permissions (1 byte), length of a piece (1 byte), a client's bytes from ClientInit on.
 */
#include "fuzz.h"

#include "proxy/rfb-filter.h"

/* Filters all of input; FALSE where the filter refuses. */
static gboolean
filter(unsigned permissions, GByteArray *input, gsize piece, GByteArray *output)
{
    g_autoptr(VcPool) pool = vc_pool_new();
    VcpRfbFilter self;
    VcBuffer from;
    VcBuffer to;
    gboolean passes = TRUE;

    vcp_rfb_filter_init(&self, permissions);
    vc_buffer_init(&from, pool);
    vc_buffer_init(&to, pool);
    for (gsize at = 0; passes && at < input->len; at += piece) {
        g_autoptr(GError) error = NULL;
        gboolean fits = vc_buffer_append(&from, input->data + at, MIN(piece, input->len - at));
        g_assert_true(fits);
        passes = vcp_rfb_filter_run(&self, &from, &to, &error);
        g_assert_true(passes == (error == NULL));
    }
    if (vc_buffer_length(&to) > 0)
        g_byte_array_append(output, vc_buffer_data(&to), (guint)vc_buffer_length(&to));
    vc_buffer_clear(&from);
    vc_buffer_clear(&to);
    return passes;
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    if (size < 3 || size > VC_BUFFER_SIZE)
        return 0;

    g_autoptr(GByteArray) input = g_byte_array_new();
    g_autoptr(GByteArray) whole = g_byte_array_new();
    g_autoptr(GByteArray) pieces = g_byte_array_new();
    g_autoptr(GByteArray) again = g_byte_array_new();
    g_byte_array_append(input, data + 2, (guint)size - 2);

    gboolean passes = filter(data[0], input, input->len, whole);
    g_assert_true(filter(data[0], input, (gsize)data[1] + 1, pieces) == passes);
    g_assert_cmpmem(whole->data, whole->len, pieces->data, pieces->len);

    g_assert_true(filter(data[0], whole, MAX(whole->len, 1), again));
    g_assert_cmpmem(whole->data, whole->len, again->data, again->len);
    return 0;
}
