/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Over a socket pair: what comes, when the socket is asked, and when memory is held. */
#include "proxy/read-ahead.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FOUR_RECORDS 65536

typedef struct {
    VcpReadAhead ahead;
    int peer;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==,
                    0);
    self->ahead.fd = fds[0];
    self->peer = fds[1];
}

static void
close_peer(Fixture *self)
{
    close(self->peer);
    self->peer = -1;
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_read_ahead_clear(&self->ahead);
    g_assert_null(self->ahead.bytes);
    g_assert_false(vcp_read_ahead_has(&self->ahead));
    close(self->ahead.fd);
    if (self->peer >= 0)
        close(self->peer);
}

static void
say(Fixture *self, const char *text)
{
    g_assert_cmpint(write(self->peer, text, strlen(text)), ==, strlen(text));
}

static void
assert_takes(Fixture *self, gsize room, const char *expected)
{
    char bytes[64];

    g_assert_cmpuint(room, <=, sizeof bytes);
    gssize n = vcp_read_ahead_take(&self->ahead, bytes, room);
    g_assert_cmpint(n, ==, strlen(expected));
    g_assert_cmpmem(bytes, n, expected, strlen(expected));
}

static void
assert_fails(Fixture *self, int code)
{
    char byte;

    errno = 0;
    g_assert_cmpint(vcp_read_ahead_take(&self->ahead, &byte, 1), ==, -1);
    g_assert_cmpint(errno, ==, code);
}

static gsize
unread(const Fixture *self)
{
    int n;

    g_assert_cmpint(ioctl(self->ahead.fd, FIONREAD, &n), ==, 0);
    return (gsize)n;
}

/* --- bytes --- */

static void
test_pieces(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    say(self, "headbody, rest");
    assert_takes(self, 4, "head");
    g_assert_true(vcp_read_ahead_has(&self->ahead));
    g_assert_cmpuint(unread(self), ==, 0);
    assert_takes(self, 4, "body");
    /* No more than there is. */
    assert_takes(self, 64, ", rest");
    g_assert_false(vcp_read_ahead_has(&self->ahead));
    assert_fails(self, EAGAIN);
}

/* Fewer than were asked for: nothing is read ahead. */
static void
test_fewer(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    say(self, "abc");
    assert_takes(self, 64, "abc");
    g_assert_false(vcp_read_ahead_has(&self->ahead));
    assert_fails(self, EAGAIN);
}

static gsize
send_burst(Fixture *self, guint8 *bytes, gsize most)
{
    gsize length = 0;
    gssize n;

    for (gsize i = 0; i < most; i++)
        bytes[i] = (guint8)g_test_rand_int();
    while (length < most &&
           (n = write(self->peer, bytes + length, MIN(most - length, 9999))) > 0)
        length += (gsize)n;
    return length;
}

/* Takes as gnutls does it, a header and a body, against more than is read ahead at once. */
static void
test_burst(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gsize most = 3 * FOUR_RECORDS;
    g_autofree guint8 *sent = g_malloc(most);
    g_autofree guint8 *taken = g_malloc(most + 1000);
    gsize length = send_burst(self, sent, most);
    gsize n_taken = 0;

    g_assert_cmpuint(length, >, FOUR_RECORDS + 1000);
    while (n_taken < length) {
        gsize room = n_taken % 2 == 0 ? 5 : 997;
        gssize n = vcp_read_ahead_take(&self->ahead, taken + n_taken, room);
        g_assert_cmpint(n, >, 0);
        g_assert_cmpint(n, <=, room);
        if (n_taken == 0)
            g_assert_cmpuint(length - unread(self), >=, FOUR_RECORDS);
        n_taken += (gsize)n;
    }
    g_assert_cmpmem(taken, n_taken, sent, length);
    assert_fails(self, EAGAIN);
}

/* --- when the socket is asked --- */

/* It had no more; what comes then waits until somebody has waited for it. */
static void
test_drained(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    say(self, "abcd");
    assert_takes(self, 2, "ab");
    say(self, "later");
    assert_takes(self, 2, "cd");
    assert_fails(self, EAGAIN);
    assert_fails(self, EAGAIN);
    g_assert_cmpuint(unread(self), ==, 5);
    vcp_read_ahead_rest(&self->ahead);
    assert_takes(self, 5, "later");
}

/* To rest loses nothing that is here. */
static void
test_rest_with_bytes(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    say(self, "abcd");
    assert_takes(self, 2, "ab");
    vcp_read_ahead_rest(&self->ahead);
    g_assert_nonnull(self->ahead.bytes);
    say(self, "later");
    assert_takes(self, 64, "cd");
    assert_takes(self, 64, "later");
}

static void
test_nothing_yet(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    assert_fails(self, EAGAIN);
    say(self, "abc");
    assert_takes(self, 64, "abc");
}

/* --- ends --- */

static void
test_end(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    say(self, "last");
    assert_takes(self, 1, "l");
    close_peer(self);
    assert_takes(self, 64, "ast");
    assert_fails(self, EAGAIN);
    vcp_read_ahead_rest(&self->ahead);
    assert_takes(self, 64, "");
    vcp_read_ahead_rest(&self->ahead);
    assert_takes(self, 64, "");
}

static void
test_error(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    /* Whoever goes with bytes unread resets the connection. */
    g_assert_cmpint(write(self->ahead.fd, "x", 1), ==, 1);
    close_peer(self);
    assert_fails(self, ECONNRESET);
    g_assert_false(vcp_read_ahead_has(&self->ahead));
}

/* --- memory --- */

static void
test_memory(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_null(self->ahead.bytes);
    for (int i = 0; i < 3; i++) {
        say(self, "abcd");
        assert_takes(self, 2, "ab");
        g_assert_nonnull(self->ahead.bytes);
        assert_takes(self, 2, "cd");
        assert_fails(self, EAGAIN);
        vcp_read_ahead_rest(&self->ahead);
        g_assert_null(self->ahead.bytes);
    }
    assert_fails(self, EAGAIN);
    vcp_read_ahead_rest(&self->ahead);
    g_assert_null(self->ahead.bytes);
    /* tear_down() clears with bytes that nobody has taken. */
    say(self, "abcd");
    assert_takes(self, 2, "ab");
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/read-ahead/pieces", test_pieces},
    {"/read-ahead/fewer", test_fewer},
    {"/read-ahead/burst", test_burst},
    {"/read-ahead/drained", test_drained},
    {"/read-ahead/rest-with-bytes", test_rest_with_bytes},
    {"/read-ahead/nothing-yet", test_nothing_yet},
    {"/read-ahead/end", test_end},
    {"/read-ahead/error", test_error},
    {"/read-ahead/memory", test_memory},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
