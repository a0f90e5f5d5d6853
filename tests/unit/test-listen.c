/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Listening sockets: where they are bound, and what is no address. */
#include "common/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/error.h"

static int
must_listen(const char *address)
{
    g_autoptr(GError) error = NULL;
    int fd = vc_listen(address, &error);

    g_assert_no_error(error);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void
assert_refused(const char *address, const char *why)
{
    g_autoptr(GError) error = NULL;

    g_test_message("address \"%s\"", address);
    g_assert_cmpint(vc_listen(address, &error), ==, -1);
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, address));
    g_assert_nonnull(strstr(error->message, why));
}

static gboolean
can_reach(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;

    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    int client = socket(address.ss_family, SOCK_STREAM, 0);
    gboolean reached = connect(client, (struct sockaddr *)&address, length) == 0;
    close(client);
    return reached;
}

static gboolean
has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    gboolean bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    if (fd >= 0)
        close(fd);
    return bound;
}

/* --- TCP --- */

static const struct {
    const char *name;
    const char *address;
    const char *bound; /* a pattern */
    gboolean needs_ipv6;
} tcp[] = {
    {"v4", "127.0.0.1:0", "127.0.0.1:*", FALSE},
    {"v6", "[::1]:0", "[::1]:*", TRUE},
    {"name", "localhost:0", "*:*", FALSE},
    {"everywhere", ":0", "*:*", FALSE},
    {"everywhere-v6", "[::]:0", "[::]:*", TRUE},
    {"everywhere-v4", "0.0.0.0:0", "0.0.0.0:*", FALSE},
};

static void
test_tcp(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);

    if (tcp[i].needs_ipv6 && !has_ipv6()) {
        g_test_skip("no IPv6 here");
        return;
    }
    g_assert_true(vc_listen_check(tcp[i].address, NULL));
    int fd = must_listen(tcp[i].address);
    g_autofree char *name = vc_listen_address(fd);
    g_test_message("bound to %s", name);
    g_assert_true(g_pattern_match_simple(tcp[i].bound, name));
    g_assert_false(g_str_has_suffix(name, ":0"));
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    g_assert_true(can_reach(fd));
    close(fd);
}

/* "[::]" is for clients that speak IPv4 too, and their address reads as they know it. */
static void
test_both_families(void)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;

    if (!has_ipv6()) {
        g_test_skip("no IPv6 here");
        return;
    }
    int fd = must_listen("[::]:0");
    getsockname(fd, (struct sockaddr *)&address, &length);
    v4.sin_port = ((struct sockaddr_in6 *)&address)->sin6_port;
    int client = socket(AF_INET, SOCK_STREAM, 0);
    g_assert_cmpint(connect(client, (struct sockaddr *)&v4, sizeof v4), ==, 0);

    length = sizeof address;
    int accepted = accept(fd, (struct sockaddr *)&address, &length);
    g_assert_cmpint(accepted, >=, 0);
    g_autofree char *name = vc_sockaddr_to_string(&address, length);
    g_assert_true(g_str_has_prefix(name, "127.0.0.1:"));
    close(accepted);
    close(client);
    close(fd);
}

static void
test_port_in_use(void)
{
    int fd = must_listen("127.0.0.1:0");
    g_autofree char *name = vc_listen_address(fd);

    assert_refused(name, g_strerror(EADDRINUSE));
    g_assert_true(vc_listen_check(name, NULL)); /* that cannot be known without trying */
    close(fd);
}

static void
test_wrong(void)
{
    static const char *const addresses[] = {
        "",
        ":",
        "localhost",
        "localhost:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:x",
        "127.0.0.1:http",
        "::1:80",
        "::",
        "[::1]",
        "[::1]x:0",
        "[::1:0",
        "[]:0",
        "[localhost:0",
        "a:b:0",
        "tcp://[::1]:0",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(addresses); i++) {
        g_assert_false(vc_listen_check(addresses[i], NULL));
        assert_refused(addresses[i], "cannot listen");
    }
    /* A name that no server needs to be asked about: its label is too long. */
    g_autofree char *label = g_strnfill(64, 'x');
    g_autofree char *unknown = g_strconcat(label, ".example:0", NULL);
    assert_refused(unknown, "cannot listen");
    /* An address that is not ours (RFC 5737). */
    assert_refused("192.0.2.1:0", g_strerror(EADDRNOTAVAIL));
}

/* --- passed by a service manager --- */

#define FIRST 3 /* descriptor; see sd_listen_fds(3) */

/* In a process of its own, where the descriptors from FIRST on are nobody else's. */
static void
pass(int fd, int number)
{
    g_autofree char *pid = g_strdup_printf("%d", (int)getpid());
    g_autofree char *count = g_strdup_printf("%d", number + 1);

    g_assert_cmpint(dup2(fd, FIRST + number), ==, FIRST + number);
    g_setenv("LISTEN_PID", pid, TRUE);
    g_setenv("LISTEN_FDS", count, TRUE);
}

static void
test_passed(void)
{
    char *addresses[] = {(char *)"192.0.2.1:0", NULL}; /* which is not ours */
    g_autoptr(GError) error = NULL;

    if (g_test_subprocess()) {
        int first = must_listen("127.0.0.1:0"), second = must_listen("127.0.0.1:0");
        int away = fcntl(first, F_DUPFD, 100);
        pass(fcntl(second, F_DUPFD, 100), 1);
        pass(away, 0);
        g_setenv("LISTEN_FDS", "2", TRUE);
        fcntl(FIRST, F_SETFL, 0);
        g_autoptr(GArray) fds = vc_listen_all(addresses, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(fds->len, ==, 2);
        for (guint i = 0; i < fds->len; i++) {
            int fd = g_array_index(fds, int, i);
            g_assert_cmpint(fd, ==, FIRST + (int)i);
            g_assert_true(vc_listen_is_passed(fd));
            g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
            g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
            g_assert_true(can_reach(fd));
        }
        g_assert_false(vc_listen_is_passed(FIRST + 2));
        g_assert_null(g_getenv("LISTEN_FDS"));
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
}

static void
test_passed_rubbish(void)
{
    char *addresses[] = {NULL};
    g_autoptr(GError) error = NULL;

    if (g_test_subprocess()) {
        pass(STDERR_FILENO, 0);
        g_setenv("LISTEN_FDS", "many", TRUE);
        g_assert_null(vc_listen_all(addresses, &error));
        g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
        g_assert_nonnull(strstr(error->message, "LISTEN_FDS"));
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
}

/* Without a service manager, or where another process was meant. */
static void
test_all(void)
{
    char *addresses[] = {(char *)"127.0.0.1:0", (char *)"localhost:0", NULL};
    g_autoptr(GError) error = NULL;

    g_setenv("LISTEN_PID", "1", TRUE);
    g_setenv("LISTEN_FDS", "1", TRUE);
    g_autoptr(GArray) fds = vc_listen_all(addresses, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(fds->len, ==, 2);
    for (guint i = 0; i < fds->len; i++) {
        int fd = g_array_index(fds, int, i);
        g_assert_false(vc_listen_is_passed(fd));
        g_assert_true(can_reach(fd));
        vc_listen_close(fd);
    }
}

/* --- unix --- */

typedef struct {
    char *directory;
    char *path;
    char *address;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->directory = g_dir_make_tmp("listen-XXXXXX", NULL);
    g_assert_nonnull(self->directory);
    self->path = g_build_filename(self->directory, "socket", NULL);
    self->address = g_strconcat("unix:", self->path, NULL);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_remove(self->path);
    g_assert_cmpint(g_rmdir(self->directory), ==, 0);
    g_free(self->directory);
    g_free(self->path);
    g_free(self->address);
}

static void
test_unix(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    int fd = must_listen(self->address);
    g_autofree char *name = vc_listen_address(fd);

    g_assert_cmpstr(name, ==, self->address);
    g_assert_true(can_reach(fd));
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    close(fd);
}

static void
test_unix_client(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    socklen_t length = sizeof address;
    int fd = must_listen(self->address);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);

    g_strlcpy(to.sun_path, self->path, sizeof to.sun_path);
    g_assert_cmpint(connect(client, (struct sockaddr *)&to, sizeof to), ==, 0);
    int accepted = accept(fd, (struct sockaddr *)&address, &length);
    g_assert_cmpint(accepted, >=, 0);
    g_autofree char *name = vc_sockaddr_to_string(&address, length);
    g_assert_cmpstr(name, ==, "unix");
    close(accepted);
    close(client);
    close(fd);
}

/* What a process that died has left behind. */
static void
test_stale(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    close(must_listen(self->address));
    g_assert_true(g_file_test(self->path, G_FILE_TEST_EXISTS));
    int fd = must_listen(self->address);
    g_assert_true(can_reach(fd));
    close(fd);
}

static void
test_alive(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    int fd = must_listen(self->address);

    assert_refused(self->address, g_strerror(EADDRINUSE));
    g_assert_true(can_reach(fd));
    close(fd);
}

static void
test_close(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vc_listen_close(must_listen(self->address));
    g_assert_false(g_file_test(self->path, G_FILE_TEST_EXISTS));
}

/* Nothing but a socket is ever removed. */
static void
test_occupied(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *text = NULL;

    g_assert_true(g_file_set_contents(self->path, "precious", -1, NULL));
    assert_refused(self->address, g_strerror(EADDRINUSE));
    g_assert_true(g_file_get_contents(self->path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "precious");
    g_remove(self->path);

    g_assert_cmpint(symlink("elsewhere", self->path), ==, 0);
    assert_refused(self->address, g_strerror(EADDRINUSE));
    g_assert_true(g_file_test(self->path, G_FILE_TEST_IS_SYMLINK));
}

static void
test_unix_wrong(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *filler = g_strnfill(108, 'x');
    g_autofree char *too_long = g_strdup_printf("unix:/%s", filler);
    g_autofree char *nowhere = g_strconcat(self->address, "/x", NULL);

    assert_refused("unix:", "absolute");
    assert_refused("unix:relative", "absolute");
    assert_refused("unix:@abstract", "absolute");
    assert_refused(too_long, "shorter");
    assert_refused(nowhere, g_strerror(ENOENT));
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} unix_tests[] = {
    {"/listen/unix/plain", test_unix},       {"/listen/unix/client", test_unix_client},
    {"/listen/unix/stale", test_stale},      {"/listen/unix/alive", test_alive},
    {"/listen/unix/close", test_close},      {"/listen/unix/occupied", test_occupied},
    {"/listen/unix/wrong", test_unix_wrong},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tcp); i++) {
        g_autofree char *path = g_strdup_printf("/listen/tcp/%s", tcp[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_tcp);
    }
    g_test_add_func("/listen/tcp/both-families", test_both_families);
    g_test_add_func("/listen/tcp/port-in-use", test_port_in_use);
    g_test_add_func("/listen/tcp/wrong", test_wrong);
    g_test_add_func("/listen/passed", test_passed);
    g_test_add_func("/listen/passed/rubbish", test_passed_rubbish);
    g_test_add_func("/listen/all", test_all);
    for (gsize i = 0; i < G_N_ELEMENTS(unix_tests); i++)
        g_test_add(unix_tests[i].path, Fixture, NULL, set_up, unix_tests[i].run, tear_down);
    return g_test_run();
}
