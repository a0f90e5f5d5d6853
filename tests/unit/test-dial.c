/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Connections that succeed, fail and are given up; nothing is left of any. */
#include "proxy/dial.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/error.h"
#include "peer.h"
#include "proxy/lookup.h"

#define LONG_MS  20000
#define SHORT_MS 100

typedef struct {
    guint n_fds;
    uv_loop_t loop;
    guint calls;
    int fd;
    GError *error;
    VcpTargets *targets; /* nullable */
} Fixture;

/* A look-up that was forgotten goes on, with descriptors of its own. */
static void
wait_for_lookups(void)
{
    while (vcp_lookup_count() > 0)
        g_usleep(1000);
}

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->fd = -1;
    uv_loop_init(&self->loop);
    wait_for_lookups();
    self->n_fds = peer_count_fds();
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    uv_run(&self->loop, UV_RUN_DEFAULT);
    if (self->fd >= 0)
        close(self->fd);
    g_clear_error(&self->error);
    vcp_targets_unref(self->targets);
    wait_for_lookups();
    g_assert_cmpuint(peer_count_fds(), ==, self->n_fds);
    g_assert_cmpint(uv_loop_close(&self->loop), ==, 0);
}

static void
on_dialled(int fd, GError *error, gpointer data)
{
    Fixture *self = data;

    g_assert_true((fd < 0) == (error != NULL));
    self->calls++;
    self->fd = fd;
    self->error = error;
}

static VcpDial *
start(Fixture *self, const char *host, guint16 port, guint64 timeout_ms)
{
    VcpDial *dial =
        vcp_dial(&self->loop, self->targets, host, port, timeout_ms, on_dialled, self);

    g_assert_nonnull(dial);
    g_assert_cmpuint(self->calls, ==, 0);
    return dial;
}

static void
dial(Fixture *self, const char *host, guint16 port, guint64 timeout_ms)
{
    start(self, host, port, timeout_ms);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpuint(self->calls, ==, 1);
}

static void
say_hello(int fd, gpointer data G_GNUC_UNUSED)
{
    char answer[5];

    peer_write(fd, "hello", 5);
    peer_read(fd, answer, sizeof answer);
    g_assert_cmpmem(answer, sizeof answer, "world", 5);
}

static int
option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;

    g_assert_cmpint(getsockopt(fd, level, name, &value, &length), ==, 0);
    return value;
}

static void
assert_connected(Fixture *self)
{
    char greeting[5];

    g_assert_no_error(self->error);
    g_assert_cmpint(fcntl(self->fd, F_GETFL) & O_NONBLOCK, !=, 0);
    g_assert_cmpint(fcntl(self->fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    g_assert_cmpint(option(self->fd, IPPROTO_TCP, TCP_NODELAY), !=, 0);
    g_assert_cmpint(option(self->fd, SOL_SOCKET, SO_KEEPALIVE), !=, 0);
    g_assert_cmpint(fcntl(self->fd, F_SETFL, 0), ==, 0);
    peer_read(self->fd, greeting, sizeof greeting);
    g_assert_cmpmem(greeting, sizeof greeting, "hello", 5);
    peer_write(self->fd, "world", 5);
}

/* --- unix sockets --- */

typedef struct {
    char *directory;
    char *path;
    int fd; /* listens */
} Socket;

static struct sockaddr_un
name_of(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    g_strlcpy(name.sun_path, path, sizeof name.sun_path);
    return name;
}

static void
socket_init(Socket *self, int backlog)
{
    self->directory = g_dir_make_tmp("vcp-dial-XXXXXX", NULL);
    self->path = g_build_filename(self->directory, "socket", NULL);
    self->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    struct sockaddr_un name = name_of(self->path);
    g_assert_cmpint(bind(self->fd, (struct sockaddr *)&name, sizeof name), ==, 0);
    g_assert_cmpint(listen(self->fd, backlog), ==, 0);
}

static void
socket_clear(Socket *self)
{
    close(self->fd);
    g_assert_cmpint(unlink(self->path), ==, 0);
    g_assert_cmpint(rmdir(self->directory), ==, 0);
    g_free(self->path);
    g_free(self->directory);
}

static void
dial_unix(Fixture *self, const char *path)
{
    VcpDial *started = vcp_dial_unix(&self->loop, path, LONG_MS, on_dialled, self);

    g_assert_nonnull(started);
    g_assert_cmpuint(self->calls, ==, 0);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpuint(self->calls, ==, 1);
}

static void
test_unix(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Socket server;
    char byte = 'x';

    socket_init(&server, 1);
    dial_unix(self, server.path);
    g_assert_no_error(self->error);
    g_assert_cmpint(fcntl(self->fd, F_GETFL) & O_NONBLOCK, !=, 0);
    int fd = accept(server.fd, NULL, NULL);
    g_assert_cmpint(write(self->fd, &byte, 1), ==, 1);
    peer_read(fd, &byte, 1);
    close(fd);
    socket_clear(&server);
}

static void
test_unix_nobody(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    dial_unix(self, "/nonexistent/socket");
    g_assert_error(self->error, VC_ERROR, VC_ERROR_REFUSED);
}

/* A queue of 0 holds one; a further one is told so at once. */
static void
test_unix_full(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    int first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Socket server;

    socket_init(&server, 0);
    struct sockaddr_un name = name_of(server.path);
    g_assert_cmpint(connect(first, (struct sockaddr *)&name, sizeof name), ==, 0);
    dial_unix(self, server.path);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_IN_USE);
    close(first);
    socket_clear(&server);
}

/* --- TCP --- */

static void
test_literal(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Peer *peer = peer_new(say_hello, NULL);

    dial(self, "127.0.0.1", peer_port(peer), LONG_MS);
    assert_connected(self);
    peer_free(peer);
}

/* Where the name stands for ::1 as well, that is tried and refused on the way. */
static void
test_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Peer *peer = peer_new(say_hello, NULL);

    dial(self, "localhost", peer_port(peer), LONG_MS);
    assert_connected(self);
    peer_free(peer);
}

static void
test_refused(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    dial(self, "127.0.0.1", peer_unused_port(), LONG_MS);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_REFUSED);
}

static void
test_refused_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    dial(self, "localhost", peer_unused_port(), LONG_MS);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_REFUSED);
}

/* Too long a label: no name server has to be asked. */
static void
test_unknown_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *label = g_strnfill(64, 'x');
    g_autofree char *name = g_strconcat(label, ".example", NULL);

    dial(self, name, 5900, LONG_MS);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_UNREACHABLE);
}

/* The broadcast address is no TCP peer's. */
static void
test_unreachable(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    dial(self, "255.255.255.255", 5900, LONG_MS);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_UNREACHABLE);
}

static void
test_timeout(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gint64 before = g_get_monotonic_time();
    PeerFull full;

    peer_full_init(&full);
    dial(self, "127.0.0.1", full.port, SHORT_MS);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_TIMEOUT);
    g_assert_cmpint(g_get_monotonic_time() - before, >=, (SHORT_MS - 1) * 1000);
    peer_full_clear(&full);
}

static void
test_timeout_while_looking_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Peer *peer = peer_new(say_hello, NULL);

    start(self, "127.0.0.1", peer_port(peer), 0);
    /* The deadline passes before the loop looks at the answer. */
    g_usleep(20000);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpuint(self->calls, ==, 1);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_TIMEOUT);
    peer_free(peer);
}

static void
test_cancel_at_once(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_dial_cancel(start(self, "localhost", peer_unused_port(), LONG_MS));
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpuint(self->calls, ==, 0);
}

/* More look-ups than libuv has threads for: some are cancelled while they wait, some while they
 * run. */
static void
test_cancel_many(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpDial *dials[40];

    for (gsize i = 0; i < G_N_ELEMENTS(dials); i++)
        dials[i] = start(self, "localhost", 1, LONG_MS);
    for (gsize i = 0; i < G_N_ELEMENTS(dials); i++)
        vcp_dial_cancel(dials[i]);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpuint(self->calls, ==, 0);
}

static void
cancel_connecting(uv_timer_t *timer)
{
    vcp_dial_cancel(timer->data);
    uv_close((uv_handle_t *)timer, NULL);
}

static void
test_cancel_connecting(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    uv_timer_t timer;
    PeerFull full;

    peer_full_init(&full);
    uv_timer_init(&self->loop, &timer);
    timer.data = start(self, "127.0.0.1", full.port, LONG_MS);
    uv_timer_start(&timer, cancel_connecting, SHORT_MS, 0);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpuint(self->calls, ==, 0);
    peer_full_clear(&full);
}

/* --- where one may not connect to --- */

static void
allow(Fixture *self, const char *target)
{
    const char *const list[] = {target, NULL};
    const char *wrong;

    self->targets = vcp_targets_new(target != NULL ? list : list + 1, &wrong, NULL);
    g_assert_nonnull(self->targets);
}

static void
add_own(Fixture *self, guint16 port)
{
    struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    vcp_targets_add_own(self->targets, (struct sockaddr *)&own);
}

/* A name that leads to what was refused as an address, and spellings that only a look-up
 * understands. */
static void
test_own_by_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const names[] = {"localhost", "127.1", "0x7f000001",      "2130706433",
                                        "127.0.0.1", "::1",   "::ffff:127.0.0.1"};
    guint16 port = peer_unused_port();

    allow(self, NULL);
    add_own(self, port);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_test_message("%s", names[i]);
        self->calls = 0;
        dial(self, names[i], port, LONG_MS);
        g_assert_error(self->error, VC_ERROR, VC_ERROR_POLICY);
        g_clear_error(&self->error);
    }
}

static void
test_name_outside(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    allow(self, "192.0.2.0/24");
    dial(self, "localhost", peer_unused_port(), LONG_MS);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_POLICY);
}

/* Where the name stands for ::1 as well, that one is left out. */
static void
test_name_inside(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Peer *peer = peer_new(say_hello, NULL);

    allow(self, "127.0.0.0/8");
    dial(self, "localhost", peer_port(peer), LONG_MS);
    assert_connected(self);
    peer_free(peer);
}

static void
test_name_listed(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Peer *peer = peer_new(say_hello, NULL);

    allow(self, "LocalHost.");
    dial(self, "localhost", peer_port(peer), LONG_MS);
    assert_connected(self);
    peer_free(peer);
}

/* What was allowed and failed is the reason, whatever was left out. */
static void
test_refused_and_left_out(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    allow(self, "127.0.0.0/8");
    dial(self, "localhost", peer_unused_port(), LONG_MS);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_REFUSED);
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/dial/unix", test_unix},
    {"/dial/unix-nobody", test_unix_nobody},
    {"/dial/unix-full", test_unix_full},
    {"/dial/literal", test_literal},
    {"/dial/name", test_name},
    {"/dial/refused", test_refused},
    {"/dial/refused-name", test_refused_name},
    {"/dial/unknown-name", test_unknown_name},
    {"/dial/unreachable", test_unreachable},
    {"/dial/timeout", test_timeout},
    {"/dial/timeout-while-looking-up", test_timeout_while_looking_up},
    {"/dial/own-by-name", test_own_by_name},
    {"/dial/name-outside", test_name_outside},
    {"/dial/name-inside", test_name_inside},
    {"/dial/name-listed", test_name_listed},
    {"/dial/refused-and-left-out", test_refused_and_left_out},
    {"/dial/cancel-at-once", test_cancel_at_once},
    {"/dial/cancel-many", test_cancel_many},
    {"/dial/cancel-connecting", test_cancel_connecting},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
