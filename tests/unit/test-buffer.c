/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Buffers: what they hold, what they refuse, and that they hold memory only while they hold
 * bytes. */
#include "common/buffer.h"

#include <string.h>

#define N_SEEDS 30
#define N_STEPS 400

typedef struct {
    VcPool *pool;
    VcBuffer one;
    VcBuffer two;
    guint8 *filler; /* VC_BUFFER_SIZE bytes, no two neighbours equal */
} Fixture;

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->pool = vc_pool_new();
    vc_buffer_init(&self->one, self->pool);
    vc_buffer_init(&self->two, self->pool);
    self->filler = g_malloc(VC_BUFFER_SIZE);
    for (gsize i = 0; i < VC_BUFFER_SIZE; i++)
        self->filler[i] = (guint8)(i % 251);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vc_buffer_clear(&self->one);
    vc_buffer_clear(&self->two);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 0);
    vc_pool_free(self->pool);
    g_free(self->filler);
}

static void
assert_holds(const VcBuffer *buffer, const void *expected, gsize length)
{
    g_assert_cmpmem(vc_buffer_data(buffer), vc_buffer_length(buffer), expected, length);
    g_assert_cmpuint(vc_buffer_room(buffer), ==, VC_BUFFER_SIZE - length);
}

static void
assert_empty(const VcBuffer *buffer)
{
    assert_holds(buffer, NULL, 0);
    g_assert_null(vc_buffer_data(buffer));
    g_assert_null(buffer->chunk);
}

static void
test_empty(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    assert_empty(&self->one);
    g_assert_true(vc_buffer_append(&self->one, "", 0));
    g_assert_true(vc_buffer_take(&self->one, NULL, 0));
    vc_buffer_consume(&self->one, 0);
    vc_buffer_clear(&self->one);
    assert_empty(&self->one);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 0);
}

static void
test_append_and_take(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    char taken[3] = {0};

    g_assert_true(vc_buffer_append(&self->one, "abc", 3));
    g_assert_true(vc_buffer_append(&self->one, "de", 2));
    assert_holds(&self->one, "abcde", 5);
    g_assert_true(vc_buffer_take(&self->one, taken, 3));
    g_assert_cmpmem(taken, 3, "abc", 3);
    g_assert_false(vc_buffer_take(&self->one, taken, 3));
    g_assert_cmpmem(taken, 3, "abc", 3);
    assert_holds(&self->one, "de", 2);
    vc_buffer_consume(&self->one, 2);
    assert_empty(&self->one);
}

static void
test_full(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gsize room = 1;

    g_assert_false(vc_buffer_append(&self->one, self->filler, VC_BUFFER_SIZE + 1));
    assert_empty(&self->one);
    g_assert_true(vc_buffer_append(&self->one, self->filler, VC_BUFFER_SIZE));
    g_assert_false(vc_buffer_append(&self->one, "x", 1));
    assert_holds(&self->one, self->filler, VC_BUFFER_SIZE);
    vc_buffer_reserve(&self->one, &room);
    g_assert_cmpuint(room, ==, 0);
    vc_buffer_commit(&self->one, 0);
    assert_holds(&self->one, self->filler, VC_BUFFER_SIZE);
}

static void
test_reserve(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gsize room;
    guint8 *to = vc_buffer_reserve(&self->one, &room);

    g_assert_cmpuint(room, ==, VC_BUFFER_SIZE);
    memcpy(to, "abc", 3);
    vc_buffer_commit(&self->one, 3);
    assert_holds(&self->one, "abc", 3);
    to = vc_buffer_reserve(&self->one, &room);
    g_assert_cmpuint(room, ==, VC_BUFFER_SIZE - 3);
    memset(to, 'd', room);
    vc_buffer_commit(&self->one, room);
    g_assert_cmpuint(vc_buffer_length(&self->one), ==, VC_BUFFER_SIZE);
}

static void
test_nothing_committed(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gsize room;

    vc_buffer_reserve(&self->one, &room);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 1);
    vc_buffer_commit(&self->one, 0);
    assert_empty(&self->one);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 0);
}

/* What was taken off the front becomes room at the end, whether asked for or appended to. */
static void
test_reuses_front(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gsize room;

    vc_buffer_append(&self->one, self->filler, VC_BUFFER_SIZE);
    vc_buffer_consume(&self->one, 10);
    vc_buffer_reserve(&self->one, &room);
    g_assert_cmpuint(room, ==, 10);
    assert_holds(&self->one, self->filler + 10, VC_BUFFER_SIZE - 10);

    vc_buffer_consume(&self->one, 20);
    g_assert_true(vc_buffer_append(&self->one, self->filler, 30));
    g_assert_cmpuint(vc_buffer_room(&self->one), ==, 0);
    vc_buffer_consume(&self->one, VC_BUFFER_SIZE - 30);
    assert_holds(&self->one, self->filler, 30);
}

static void
test_headroom(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    for (gsize consumed = 0; consumed < 3; consumed++) {
        vc_buffer_append(&self->one, "abcde", 5);
        vc_buffer_consume(&self->one, consumed);
        memset(vc_buffer_data(&self->one) - VC_BUFFER_HEADROOM, 0xff, VC_BUFFER_HEADROOM);
        assert_holds(&self->one, &"abcde"[consumed], 5 - consumed);
        vc_buffer_clear(&self->one);
    }
}

static void
test_moves_whole_chunk(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vc_buffer_append(&self->one, "abc", 3);
    const guint8 *chunk = vc_buffer_data(&self->one);
    g_assert_cmpuint(vc_buffer_move(&self->two, &self->one), ==, 3);
    g_assert_true(vc_buffer_data(&self->two) == chunk);
    assert_empty(&self->one);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 1);
    g_assert_cmpuint(vc_buffer_move(&self->two, &self->one), ==, 0);
    assert_holds(&self->two, "abc", 3);
}

static void
test_moves_what_fits(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vc_buffer_append(&self->one, "abcde", 5);
    vc_buffer_append(&self->two, self->filler, VC_BUFFER_SIZE - 2);
    g_assert_cmpuint(vc_buffer_move(&self->two, &self->one), ==, 2);
    assert_holds(&self->one, "cde", 3);
    g_assert_cmpuint(vc_buffer_move(&self->two, &self->one), ==, 0);
    vc_buffer_consume(&self->two, VC_BUFFER_SIZE - 2);
    assert_holds(&self->two, "ab", 2);
    g_assert_cmpuint(vc_buffer_move(&self->two, &self->one), ==, 3);
    assert_holds(&self->two, "abcde", 5);
    assert_empty(&self->one);
}

/* More buffers than the pool keeps spare chunks for, twice. */
static void
test_pool(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcBuffer many[40];

    for (int round = 0; round < 2; round++) {
        for (gsize i = 0; i < G_N_ELEMENTS(many); i++) {
            vc_buffer_init(&many[i], self->pool);
            g_assert_true(vc_buffer_append(&many[i], "x", 1));
            g_assert_cmpuint(vc_pool_in_use(self->pool), ==, i + 1);
        }
        for (gsize i = 0; i < G_N_ELEMENTS(many); i++)
            vc_buffer_clear(&many[i]);
        g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 0);
    }
    vc_pool_free(NULL);
}

static void
step(Fixture *self, GRand *random, GByteArray *model)
{
    gsize length = (gsize)g_rand_int_range(random, 0, VC_BUFFER_SIZE / 2);
    gsize held = vc_buffer_length(&self->one);

    if (g_rand_boolean(random)) {
        if (vc_buffer_append(&self->one, self->filler, length))
            g_byte_array_append(model, self->filler, (guint)length);
        else
            g_assert_cmpuint(held + length, >, VC_BUFFER_SIZE);
    } else if (held > 0) {
        vc_buffer_consume(&self->one, MIN(length, held));
        g_byte_array_remove_range(model, 0, (guint)MIN(length, held));
    }
}

static void
test_random(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    for (guint32 seed = 0; seed < N_SEEDS; seed++) {
        GRand *random = g_rand_new_with_seed(seed);
        g_autoptr(GByteArray) model = g_byte_array_new();
        for (int i = 0; i < N_STEPS; i++)
            step(self, random, model);
        assert_holds(&self->one, model->data, model->len);
        vc_buffer_clear(&self->one);
        g_rand_free(random);
    }
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/buffer/empty", test_empty},
    {"/buffer/append-and-take", test_append_and_take},
    {"/buffer/full", test_full},
    {"/buffer/reserve", test_reserve},
    {"/buffer/nothing-committed", test_nothing_committed},
    {"/buffer/reuses-front", test_reuses_front},
    {"/buffer/headroom", test_headroom},
    {"/buffer/moves-whole-chunk", test_moves_whole_chunk},
    {"/buffer/moves-what-fits", test_moves_what_fits},
    {"/buffer/pool", test_pool},
    {"/buffer/random", test_random},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
