/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What is written comes, in fewer segments where more follows; and a socket that takes no more.
 */
#include "proxy/corked.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    BIO *bio;
    int fd, peer;
} Fixture;

static int
listen_somewhere(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    g_assert_cmpint(bind(fd, (struct sockaddr *)address, length), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)address, &length), ==, 0);
    return fd;
}

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    const int on = 1;
    struct sockaddr_in address;
    int listener = listen_somewhere(&address);

    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(self->fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    self->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(self->peer, >=, 0);
    close(listener);
    /* Else the kernel would gather by itself. */
    setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    self->bio = vcp_corked_new(self->fd);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    BIO_free(self->bio);
    /* Not the BIO's. */
    g_assert_cmpint(close(self->fd), ==, 0);
    if (self->peer >= 0)
        close(self->peer);
}

static guint
count_segments(const Fixture *self)
{
    struct tcp_info info;
    socklen_t length = sizeof info;

    g_assert_cmpint(getsockopt(self->fd, IPPROTO_TCP, TCP_INFO, &info, &length), ==, 0);
    return info.tcpi_data_segs_out;
}

#define N_ROUNDS 20

/* A round is three writes. Returns how many segments they made. */
static guint
write_rounds(Fixture *self, gboolean more_follows)
{
    guint before = count_segments(self);
    char bytes[9];

    for (guint i = 0; i < N_ROUNDS; i++) {
        vcp_corked_set(self->bio, more_follows);
        g_assert_cmpint(BIO_write(self->bio, "one", 3), ==, 3);
        g_assert_cmpint(BIO_write(self->bio, "two", 3), ==, 3);
        vcp_corked_set(self->bio, FALSE);
        g_assert_cmpint(BIO_write(self->bio, "end", 3), ==, 3);
        g_assert_cmpint(BIO_flush(self->bio), ==, 1);
        g_assert_cmpint(recv(self->peer, bytes, sizeof bytes, MSG_WAITALL), ==, 9);
        g_assert_cmpmem(bytes, 9, "onetwoend", 9);
    }
    return count_segments(self) - before;
}

/* The kernel does not wait for ever: a machine that sleeps in between may send a few more. */
static void
test_together(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpuint(write_rounds(self, FALSE), ==, 3 * N_ROUNDS);
    g_assert_cmpuint(write_rounds(self, TRUE), <, 2 * N_ROUNDS);
    g_assert_cmpuint(write_rounds(self, FALSE), ==, 3 * N_ROUNDS);
}

static int
write_until_full(Fixture *self)
{
    static const char bytes[65536];
    int n;

    do
        n = BIO_write(self->bio, bytes, sizeof bytes);
    while (n > 0);
    return n;
}

static void
test_full(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    char byte;

    /* As SOCK_NONBLOCK, from here on. */
    g_assert_cmpint(fcntl(self->fd, F_SETFL, O_NONBLOCK), ==, 0);
    g_assert_cmpint(write_until_full(self), ==, -1);
    g_assert_true(BIO_should_retry(self->bio));
    g_assert_true(BIO_should_write(self->bio));
    g_assert_cmpint(recv(self->peer, &byte, 1, 0), ==, 1);
}

/* No signal, and no reason to try again. */
static void
test_gone(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpint(fcntl(self->fd, F_SETFL, O_NONBLOCK), ==, 0);
    g_assert_cmpint(write_until_full(self), ==, -1);
    g_assert_true(BIO_should_retry(self->bio));
    close(self->peer);
    self->peer = -1;
    g_assert_cmpint(BIO_write(self->bio, "x", 1), ==, -1);
    g_assert_cmpint(BIO_write(self->bio, "x", 1), ==, -1);
    g_assert_cmpint(errno, ==, EPIPE);
    g_assert_false(BIO_should_retry(self->bio));
}

/* It is not for reading. */
static void
test_read(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    char byte;

    g_assert_cmpint(send(self->peer, "x", 1, 0), ==, 1);
    g_assert_cmpint(BIO_read(self->bio, &byte, 1), <, 0);
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/corked/together", test_together},
    {"/corked/full", test_full},
    {"/corked/gone", test_gone},
    {"/corked/read", test_read},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
