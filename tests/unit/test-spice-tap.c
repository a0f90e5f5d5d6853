/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The tap where buffers are full, messages huge and random; single messages and those without
 * sense are in tests/transcripts/spice-tap.txt. */
#include "proxy/spice-tap.h"

#include <string.h>

#include "common/bytes.h"

#define N_MESSAGES 200

typedef struct {
    VcpSpiceTap tap;
    VcPool *pool;
    VcBuffer from, to;
    GByteArray *sent, *passed;
    guint n_sessions, n_lists;
} Fixture;

static void
set_up(Fixture *self, gconstpointer mini)
{
    self->pool = vc_pool_new();
    vc_buffer_init(&self->from, self->pool);
    vc_buffer_init(&self->to, self->pool);
    self->sent = g_byte_array_new();
    self->passed = g_byte_array_new();
    vcp_spice_tap_init(&self->tap, mini != NULL);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_spice_tap_clear(&self->tap);
    vc_buffer_clear(&self->from);
    vc_buffer_clear(&self->to);
    vc_pool_free(self->pool);
    g_byte_array_unref(self->sent);
    g_byte_array_unref(self->passed);
}

static void
add_header(Fixture *self, guint16 type, guint32 size)
{
    guint8 header[18] = {0};
    gsize at = self->tap.mini_header ? 0 : 8;

    header[at] = (guint8)type;
    header[at + 1] = (guint8)(type >> 8);
    vc_set_u32le(header + at + 2, size);
    g_byte_array_append(self->sent, header, self->tap.mini_header ? 6 : 18);
}

static void
add(Fixture *self, guint16 type, const guint8 *body, guint32 size)
{
    add_header(self, type, size);
    g_byte_array_append(self->sent, body, size);
}

static void
take_passed(Fixture *self)
{
    if (vc_buffer_length(&self->to) > 0)
        g_byte_array_append(self->passed, vc_buffer_data(&self->to),
                            (guint)vc_buffer_length(&self->to));
    vc_buffer_clear(&self->to);
}

static void
answer(Fixture *self)
{
    if (self->tap.note.kind == VCP_NOTE_SESSION)
        self->n_sessions++;
    else
        self->n_lists++;
    vcp_spice_tap_noted(&self->tap);
}

static void
run(Fixture *self)
{
    g_autoptr(GError) error = NULL;
    gboolean has_note;

    do {
        gboolean is_fine = vcp_spice_tap_run(&self->tap, &self->from, &self->to, &error);
        g_assert_no_error(error);
        g_assert_true(is_fine);
        has_note = self->tap.has_note;
        if (has_note)
            answer(self);
    } while (has_note);
}

static void
send_some(Fixture *self, gsize *at, gsize length)
{
    length = MIN(length, self->sent->len - *at);
    length = MIN(length, vc_buffer_room(&self->from));
    vc_buffer_append(&self->from, self->sent->data + *at, length);
    *at += length;
}

static void
add_random(Fixture *self, GRand *random, const guint8 *noise)
{
    static const guint16 types[] = {4, 7, 102, 105, 106, 109, 113, 114, 115, 9999, 65535};
    guint16 type = types[g_rand_int_range(random, 0, G_N_ELEMENTS(types))];

    add(self, type, noise,
        (guint32)(g_rand_int_range(random, 0, 4) == 0 ? g_rand_int_range(random, 0, 100000)
                                                      : g_rand_int_range(random, 0, 60)));
}

/* Messages of every size, cut anywhere, into a client that takes them when it likes: all of it
 * arrives, and as it was. */
static void
test_random(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static guint8 noise[100000];
    guint8 init[32] = {7}, list[] = {2, 0, 0, 0, 2, 0, 3, 0};
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    gsize at = 0;

    for (gsize i = 0; i < sizeof noise; i++)
        noise[i] = (guint8)g_rand_int(random);
    add_random(self, random, noise);
    add(self, 103, init, sizeof init);
    for (int i = 0; i < N_MESSAGES; i++) {
        add_random(self, random, noise);
        if (i % 20 == 0)
            add(self, 104, list, sizeof list);
    }
    while (at < self->sent->len || vc_buffer_length(&self->from) > 0) {
        send_some(self, &at, (gsize)g_rand_int_range(random, 1, 70000));
        run(self);
        if (g_rand_boolean(random))
            take_passed(self);
    }
    take_passed(self);
    g_assert_cmpmem(self->passed->data, self->passed->len, self->sent->data, self->sent->len);
    g_assert_cmpuint(self->n_sessions, ==, 1);
    g_assert_cmpuint(self->n_lists, ==, N_MESSAGES / 20);
    g_assert_cmpuint(self->tap.n_messages, ==, 2 + N_MESSAGES + N_MESSAGES / 20);
    g_test_message("%.1f bytes looked at for each message of %.0f",
                   (double)self->tap.n_parsed / (double)self->tap.n_messages,
                   (double)self->sent->len / (double)self->tap.n_messages);
}

/* A body of 4 GiB is skipped by its length, and holds up nothing. */
static void
test_huge(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    guint64 left = G_MAXUINT32;
    guint8 chunk[VC_BUFFER_SIZE] = {0};

    add_header(self, 9, G_MAXUINT32);
    vc_buffer_append(&self->from, self->sent->data, self->sent->len);
    run(self);
    vc_buffer_clear(&self->to);
    while (left > 0) {
        gsize part = MIN(left, sizeof chunk);
        vc_buffer_append(&self->from, chunk, part);
        run(self);
        g_assert_cmpuint(vc_buffer_length(&self->to), ==, part);
        vc_buffer_clear(&self->to);
        left -= part;
    }
    vc_buffer_append(&self->from, self->sent->data, self->sent->len);
    run(self);
    g_assert_cmpuint(self->tap.n_messages, ==, 2);
    g_assert_cmpuint(self->tap.left, ==, G_MAXUINT32);
}

/* What passes whole is handed over and not copied. */
static void
test_no_copy(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    guint8 chunk[VC_BUFFER_SIZE] = {0};

    add_header(self, 4, 256000);
    vc_buffer_append(&self->from, self->sent->data, self->sent->len);
    run(self);
    vc_buffer_clear(&self->to);
    vc_buffer_append(&self->from, chunk, sizeof chunk);
    const guint8 *before = vc_buffer_data(&self->from);
    run(self);
    g_assert_true(vc_buffer_data(&self->to) == before);
}

/* A client that takes nothing: INIT waits, and no byte too many is written. */
static void
test_full(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    guint8 init[32] = {7}, filler[VC_BUFFER_SIZE - 10] = {0};
    gsize at = 0;

    add(self, 103, init, sizeof init);
    vc_buffer_append(&self->to, filler, sizeof filler);
    send_some(self, &at, self->sent->len);
    run(self);
    g_assert_cmpuint(self->n_sessions, ==, 1);
    g_assert_cmpuint(vc_buffer_room(&self->to), ==, 0);
    vc_buffer_clear(&self->to);
    run(self);
    g_assert_cmpuint(vc_buffer_length(&self->to), ==, self->sent->len - 10);
    g_assert_cmpuint(self->n_sessions, ==, 1);
}

#define ADD(name, mini, func) g_test_add(name, Fixture, mini, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/spice-tap/random/mini", "mini", test_random);
    ADD("/spice-tap/random/full", NULL, test_random);
    ADD("/spice-tap/huge", "mini", test_huge);
    ADD("/spice-tap/no-copy", "mini", test_no_copy);
    ADD("/spice-tap/full-buffer", "mini", test_full);
    return g_test_run();
}
