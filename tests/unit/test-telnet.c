/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The greeting in every way in which it can come, and the doubling of FF. */
#include "proxy/telnet.h"

#include <string.h>

#include "common/error.h"

#define GREETING "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"
#define SIZE     VCP_TELNET_GREETING_SIZE

typedef struct {
    VcPool *pool;
    VcBuffer from;
    VcBuffer to;
    VcpTelnet telnet;
    GError *error;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->pool = vc_pool_new();
    vc_buffer_init(&self->from, self->pool);
    vc_buffer_init(&self->to, self->pool);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vc_buffer_clear(&self->from);
    vc_buffer_clear(&self->to);
    vc_pool_free(self->pool);
    g_clear_error(&self->error);
}

static VcpTelnetStep
feed(Fixture *self, const char *bytes, gsize length)
{
    g_assert_true(vc_buffer_append(&self->from, bytes, length));
    return vcp_telnet_greet(&self->telnet, &self->from, &self->error);
}

static void
assert_left(const VcBuffer *buffer, const char *bytes, gsize length)
{
    g_assert_cmpmem(vc_buffer_data(buffer), vc_buffer_length(buffer), bytes, length);
}

static void
test_whole(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpint(feed(self, GREETING "\xff\xfb\x01login: ", SIZE + 10), ==, VCP_TELNET_DONE);
    assert_left(&self->from, "\xff\xfb\x01login: ", 10);
    /* There is one greeting only. */
    g_assert_cmpint(feed(self, GREETING, SIZE), ==, VCP_TELNET_DONE);
    assert_left(&self->from, "\xff\xfb\x01login: " GREETING, 10 + SIZE);
}

static void
test_bytes(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpint(feed(self, "", 0), ==, VCP_TELNET_WAIT);
    for (gsize i = 0; i < SIZE; i++) {
        g_assert_cmpint(feed(self, &GREETING[i], 1), ==,
                        i + 1 < SIZE ? VCP_TELNET_WAIT : VCP_TELNET_DONE);
        g_assert_cmpuint(vc_buffer_length(&self->from), ==, 0);
    }
}

/* At each place each other byte. */
static void
test_wrong(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    for (gsize place = 0; place < SIZE; place++) {
        for (int byte = 0; byte < 256; byte++) {
            char bytes[SIZE + 1] = GREETING;
            if (byte == (guint8)bytes[place])
                continue;
            bytes[place] = (char)byte;
            vc_buffer_clear(&self->from);
            self->telnet = (VcpTelnet){0};
            g_assert_cmpint(feed(self, bytes, SIZE), ==, VCP_TELNET_FAILED);
            g_assert_error(self->error, VC_ERROR, VC_ERROR_PROTOCOL);
            g_assert_true((strstr(self->error->message, "tn3270") != NULL) ==
                          (place == 1 && byte == 0xfd));
            g_clear_error(&self->error);
        }
    }
}

static const struct {
    const char *in;
    gsize in_length;
    const char *out;
    gsize out_length;
} escapes[] = {
    {"", 0, "", 0},
    {"a", 1, "a", 1},
    {"\xff", 1, "\xff\xff", 2},
    {"\xff\xff\xff", 3, "\xff\xff\xff\xff\xff\xff", 6},
    {"a\xffy", 3, "a\xff\xffy", 4},
    {"\xffx\xff", 3, "\xff\xffx\xff\xff", 5},
    {"\0\xfe\xff\r\n", 5, "\0\xfe\xff\xff\r\n", 6},
};

static void
test_escape(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    for (gsize i = 0; i < G_N_ELEMENTS(escapes); i++) {
        g_assert_true(vc_buffer_append(&self->from, escapes[i].in, escapes[i].in_length));
        vcp_telnet_escape(&self->from, &self->to);
        assert_left(&self->to, escapes[i].out, escapes[i].out_length);
        vc_buffer_clear(&self->to);

        for (gsize at = 0; at < escapes[i].in_length; at++) {
            g_assert_true(vc_buffer_append(&self->from, escapes[i].in + at, 1));
            vcp_telnet_escape(&self->from, &self->to);
        }
        assert_left(&self->to, escapes[i].out, escapes[i].out_length);
        vc_buffer_clear(&self->to);
    }
}

/* A pair is not torn where there is room for half of it. */
static void
test_no_room(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *filler = g_malloc0(VC_BUFFER_SIZE);

    g_assert_true(vc_buffer_append(&self->to, filler, VC_BUFFER_SIZE - 2));
    g_assert_true(vc_buffer_append(&self->from, "a\xffy", 3));
    vcp_telnet_escape(&self->from, &self->to);
    g_assert_cmpuint(vc_buffer_room(&self->to), ==, 1);
    assert_left(&self->from, "\xffy", 2);
    vcp_telnet_escape(&self->from, &self->to);
    assert_left(&self->from, "\xffy", 2);

    vc_buffer_consume(&self->to, 1);
    vcp_telnet_escape(&self->from, &self->to);
    assert_left(&self->from, "y", 1);
    vc_buffer_consume(&self->to, VC_BUFFER_SIZE - 3);
    vcp_telnet_escape(&self->from, &self->to);
    assert_left(&self->to, "a\xff\xffy", 4);
}

#define ADD(name, func) g_test_add("/telnet/" name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("whole", test_whole);
    ADD("bytes", test_bytes);
    ADD("wrong", test_wrong);
    ADD("escape", test_escape);
    ADD("no-room", test_no_room);
    return g_test_run();
}
