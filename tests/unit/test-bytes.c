/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Numbers in network order: written, read back, and never past the end. */
#include "common/bytes.h"

typedef struct {
    VcPool *pool;
    VcBuffer buffer;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->pool = vc_pool_new();
    vc_buffer_init(&self->buffer, self->pool);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vc_buffer_clear(&self->buffer);
    vc_pool_free(self->pool);
}

static void
test_order(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static const guint8 expected[] = {0x01, 0x80, 0x02, 0xfe, 0xdc, 0xba, 0x98};

    g_assert_true(vc_put_u8(&self->buffer, 0x01));
    g_assert_true(vc_put_u16be(&self->buffer, 0x8002));
    g_assert_true(vc_put_u32be(&self->buffer, 0xfedcba98));
    g_assert_cmpmem(vc_buffer_data(&self->buffer), vc_buffer_length(&self->buffer), expected,
                    sizeof expected);
}

static void
test_peek(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    guint8 u8 = 0;
    guint16 u16 = 0;
    guint32 u32 = 0;

    vc_buffer_append(&self->buffer, "?\x01\x80\x02\xfe\xdc\xba\x98", 8);
    vc_buffer_consume(&self->buffer, 1);
    g_assert_true(vc_peek_u8(&self->buffer, 0, &u8));
    g_assert_cmphex(u8, ==, 0x01);
    g_assert_true(vc_peek_u8(&self->buffer, 6, &u8));
    g_assert_cmphex(u8, ==, 0x98);
    g_assert_true(vc_peek_u16be(&self->buffer, 1, &u16));
    g_assert_cmphex(u16, ==, 0x8002);
    g_assert_true(vc_peek_u32be(&self->buffer, 3, &u32));
    g_assert_cmphex(u32, ==, 0xfedcba98);
    g_assert_cmpuint(vc_buffer_length(&self->buffer), ==, 7);
}

static void
test_extremes(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static const guint32 numbers[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff};
    guint32 number = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        g_assert_true(vc_put_u32be(&self->buffer, numbers[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_assert_true(vc_peek_u32be(&self->buffer, 4 * i, &number));
        g_assert_cmphex(number, ==, numbers[i]);
    }
}

/* A number that is not all there is not read, and what it would be stored in is left alone. */
static void
test_short(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    guint8 u8 = 7;
    guint16 u16 = 7;
    guint32 u32 = 7;

    g_assert_false(vc_peek_u8(&self->buffer, 0, &u8));
    vc_buffer_append(&self->buffer, "abc", 3);
    g_assert_false(vc_peek_u8(&self->buffer, 3, &u8));
    g_assert_false(vc_peek_u16be(&self->buffer, 2, &u16));
    g_assert_false(vc_peek_u32be(&self->buffer, 0, &u32));
    g_assert_cmpuint(u8 + u16 + u32, ==, 21);
}

static void
test_full(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree guint8 *filler = g_malloc0(VC_BUFFER_SIZE);

    vc_buffer_append(&self->buffer, filler, VC_BUFFER_SIZE - 1);
    g_assert_false(vc_put_u16be(&self->buffer, 1));
    g_assert_false(vc_put_u32be(&self->buffer, 1));
    g_assert_cmpuint(vc_buffer_length(&self->buffer), ==, VC_BUFFER_SIZE - 1);
    g_assert_true(vc_put_u8(&self->buffer, 1));
    g_assert_false(vc_put_u8(&self->buffer, 1));
}

static void
test_in_place(Fixture *self G_GNUC_UNUSED, gconstpointer data G_GNUC_UNUSED)
{
    guint8 bytes[] = {0xfe, 0xdc, 0xba, 0x98, 0x76};

    g_assert_cmphex(vc_get_u16be(bytes), ==, 0xfedc);
    g_assert_cmphex(vc_get_u32be(bytes), ==, 0xfedcba98);
    g_assert_cmphex(vc_get_u16le(bytes), ==, 0xdcfe);
    g_assert_cmphex(vc_get_u32le(bytes), ==, 0x98badcfe);
    vc_set_u32le(bytes + 1, 0x01020384);
    g_assert_cmpmem(bytes, sizeof bytes, "\xfe\x84\x03\x02\x01", 5);
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/bytes/order", test_order},       {"/bytes/peek", test_peek},
    {"/bytes/extremes", test_extremes}, {"/bytes/short", test_short},
    {"/bytes/full", test_full},         {"/bytes/in-place", test_in_place},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
