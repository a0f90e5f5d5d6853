/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The filter of client messages where buffers are full, tiny or huge; which messages pass is in
 * tests/transcripts/vnc-filter.txt. */
#include "proxy/rfb-filter.h"

#include <string.h>

#include "common/error.h"

#define N_SEEDS 30

typedef struct {
    VcpRfbFilter filter;
    VcPool *pool;
    VcBuffer from;
    VcBuffer to;
} Fixture;

/* Starts behind ClientInit. */
static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->pool = vc_pool_new();
    vc_buffer_init(&self->from, self->pool);
    vc_buffer_init(&self->to, self->pool);
    vcp_rfb_filter_init(&self->filter, 0);
    g_assert_true(vc_buffer_append(&self->from, "\1", 1));
    g_assert_true(vcp_rfb_filter_run(&self->filter, &self->from, &self->to, NULL));
    g_assert_cmpuint(vc_buffer_length(&self->to), ==, 1);
    vc_buffer_clear(&self->to);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vc_buffer_clear(&self->from);
    vc_buffer_clear(&self->to);
    vc_pool_free(self->pool);
}

static void
feed(Fixture *self, const void *data, gsize length)
{
    g_assert_true(vc_buffer_append(&self->from, data, length));
}

static void
run(Fixture *self)
{
    g_autoptr(GError) error = NULL;
    gboolean done = vcp_rfb_filter_run(&self->filter, &self->from, &self->to, &error);

    g_assert_no_error(error);
    g_assert_true(done);
}

/* Leaves just so much room. */
static void
fill(Fixture *self, gsize room)
{
    g_autofree guint8 *filler = g_malloc0(VC_BUFFER_SIZE);

    vc_buffer_clear(&self->to);
    g_assert_true(vc_buffer_append(&self->to, filler, VC_BUFFER_SIZE - room));
}

static void
assert_sent(const Fixture *self, const void *expected, gsize length)
{
    g_assert_cmpmem(vc_buffer_data(&self->to), vc_buffer_length(&self->to), expected, length);
}

static const guint8 key[] = {4, 1, 0, 0, 0, 0, 0xff, 0x0d};
static const guint8 xvp[] = {250, 0, 1, 4};
static const guint8 encodings[] = {2,    0,    0,    4,    0,    0,    0, 7, 0xff, 0xff,
                                   0xfe, 0xc4, 0xff, 0xff, 0xfe, 0xcb, 0, 0, 0,    0};
static const guint8 stripped[] = {2, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0};
static const guint8 text[] = {6, 0, 0, 0, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'};

static void
test_no_room(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    fill(self, 0);
    feed(self, key, sizeof key);
    run(self);
    g_assert_cmpuint(vc_buffer_length(&self->from), ==, sizeof key);
    vc_buffer_clear(&self->to);
    run(self);
    assert_sent(self, key, sizeof key);
}

static void
test_no_room_for_encodings(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    fill(self, sizeof encodings - 1);
    feed(self, encodings, sizeof encodings);
    run(self);
    g_assert_cmpuint(vc_buffer_length(&self->from), ==, sizeof encodings);
    vc_buffer_clear(&self->to);
    run(self);
    assert_sent(self, stripped, sizeof stripped);
}

static void
test_drops_without_room(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    fill(self, 0);
    feed(self, xvp, sizeof xvp);
    run(self);
    g_assert_cmpuint(vc_buffer_length(&self->from), ==, 0);
    g_assert_cmpuint(vc_buffer_length(&self->to), ==, VC_BUFFER_SIZE);
}

static void
test_permission(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->filter.permissions = VCP_RFB_POWER;
    feed(self, xvp, sizeof xvp);
    run(self);
    assert_sent(self, xvp, sizeof xvp);
}

static void
test_moves_without_a_copy(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    feed(self, key, sizeof key);
    const guint8 *chunk = vc_buffer_data(&self->from);
    run(self);
    assert_sent(self, key, sizeof key);
    g_assert_true(vc_buffer_data(&self->to) == chunk);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 1);
}

/* The longest clipboard there may be: goes by in pieces, none of which has to wait for the
 * next. */
static void
test_streams_payload(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static const guint8 header[] = {6, 0, 0, 0, 0, 0x10, 0, 0};
    g_autofree guint8 *piece = g_malloc(VC_BUFFER_SIZE);
    gsize left = 1 << 20;

    memset(piece, 250, VC_BUFFER_SIZE);
    feed(self, header, sizeof header);
    run(self);
    assert_sent(self, header, sizeof header);
    while (left > 0) {
        gsize length = MIN(left, VC_BUFFER_SIZE);
        vc_buffer_clear(&self->to);
        feed(self, piece, length);
        run(self);
        assert_sent(self, piece, length);
        g_assert_cmpuint(vc_buffer_length(&self->from), ==, 0);
        left -= length;
    }
    vc_buffer_clear(&self->to);
    feed(self, xvp, sizeof xvp);
    feed(self, key, sizeof key);
    run(self);
    assert_sent(self, key, sizeof key);
}

static void
test_full_buffer(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gsize n = VC_BUFFER_SIZE / sizeof key;

    for (gsize i = 0; i < n; i++)
        feed(self, key, sizeof key);
    run(self);
    g_assert_cmpuint(vc_buffer_length(&self->from), ==, 0);
    g_assert_cmpuint(vc_buffer_length(&self->to), ==, n * sizeof key);
}

static void
append(GByteArray *input, GByteArray *output, GRand *random)
{
    switch (g_rand_int_range(random, 0, 4)) {
    case 0:
        g_byte_array_append(input, key, sizeof key);
        g_byte_array_append(output, key, sizeof key);
        return;
    case 1:
        g_byte_array_append(input, encodings, sizeof encodings);
        g_byte_array_append(output, stripped, sizeof stripped);
        return;
    case 2:
        g_byte_array_append(input, text, sizeof text);
        g_byte_array_append(output, text, sizeof text);
        return;
    default:
        g_byte_array_append(input, xvp, sizeof xvp);
        return;
    }
}

/* Pieces of any size come, room for any number of bytes is there: what arrives is the same. */
static void
replay_tight(Fixture *self, GRand *random)
{
    g_autoptr(GByteArray) input = g_byte_array_new();
    g_autoptr(GByteArray) output = g_byte_array_new();
    g_autoptr(GByteArray) sent = g_byte_array_new();
    gsize fed = 0;

    for (int i = 0; i < 60; i++)
        append(input, output, random);
    while (fed < input->len || vc_buffer_length(&self->from) > 0) {
        gsize most = MIN(30, input->len - fed);
        gsize piece = (gsize)g_rand_int_range(random, 0, (gint32)most + 1);
        gsize room = (gsize)g_rand_int_range(random, 0, 40);
        feed(self, input->data + fed, piece);
        fed += piece;
        fill(self, room);
        run(self);
        gsize length = vc_buffer_length(&self->to) - (VC_BUFFER_SIZE - room);
        const guint8 *tail = vc_buffer_data(&self->to) + (VC_BUFFER_SIZE - room);
        g_byte_array_append(sent, tail, (guint)length);
    }
    g_assert_cmpmem(sent->data, sent->len, output->data, output->len);
}

static void
test_tight_room(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    for (guint32 seed = 0; seed < N_SEEDS; seed++) {
        GRand *random = g_rand_new_with_seed(seed);
        replay_tight(self, random);
        g_rand_free(random);
    }
}

/* What came before a message that is refused goes on; nothing of the message itself does. */
static void
test_refuses(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;

    feed(self, key, sizeof key);
    feed(self, "\xf9\0\0\0", 4);
    g_assert_false(vcp_rfb_filter_run(&self->filter, &self->from, &self->to, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CLIENT);
    assert_sent(self, key, sizeof key);
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/rfb-filter/no-room", test_no_room},
    {"/rfb-filter/no-room-for-encodings", test_no_room_for_encodings},
    {"/rfb-filter/drops-without-room", test_drops_without_room},
    {"/rfb-filter/permission", test_permission},
    {"/rfb-filter/moves-without-a-copy", test_moves_without_a_copy},
    {"/rfb-filter/streams-payload", test_streams_payload},
    {"/rfb-filter/full-buffer", test_full_buffer},
    {"/rfb-filter/tight-room", test_tight_room},
    {"/rfb-filter/refuses", test_refuses},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
