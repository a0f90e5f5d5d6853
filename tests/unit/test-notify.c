/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Messages to the service manager: their form, and that nobody is needed to hear them. */
#include "common/notify.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    char *directory, *path;
    int inbox;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    self->directory = g_dir_make_tmp("notify-XXXXXX", NULL);
    g_assert_nonnull(self->directory);
    self->path = g_build_filename(self->directory, "socket", NULL);
    g_strlcpy(address.sun_path, self->path, sizeof address.sun_path);
    self->inbox = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(bind(self->inbox, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_setenv("NOTIFY_SOCKET", self->path, TRUE);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_unsetenv("NOTIFY_SOCKET");
    g_unsetenv("WATCHDOG_USEC");
    g_unsetenv("WATCHDOG_PID");
    close(self->inbox);
    g_remove(self->path);
    g_rmdir(self->directory);
    g_free(self->path);
    g_free(self->directory);
}

/* A datagram stands in the socket as soon as it is sent. */
static void
assert_told(Fixture *self, const char *expected)
{
    char text[256];
    ssize_t length = recv(self->inbox, text, sizeof text - 1, 0);

    g_assert_cmpint(length, >=, 0);
    text[length] = '\0';
    g_assert_cmpstr(text, ==, expected);
}

static void
test_messages(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_true(vc_notify_has_listener());
    vc_notify_ready();
    assert_told(self, "READY=1");
    vc_notify_status("3 sessions");
    assert_told(self, "STATUS=3 sessions");
    vc_notify_alive();
    assert_told(self, "WATCHDOG=1");
    vc_notify_stopping();
    assert_told(self, "STOPPING=1");
}

static void
test_reloading(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static const char prefix[] = "RELOADING=1\nMONOTONIC_USEC=";
    char text[256];
    gint64 before = g_get_monotonic_time();

    vc_notify_reloading();
    ssize_t length = recv(self->inbox, text, sizeof text - 1, 0);
    g_assert_cmpint(length, >=, (ssize_t)strlen(prefix));
    text[length] = '\0';
    g_assert_true(g_str_has_prefix(text, prefix));
    gint64 told = g_ascii_strtoll(text + strlen(prefix), NULL, 10);
    g_assert_cmpint(told, >=, before);
    g_assert_cmpint(told, <=, g_get_monotonic_time());
}

static void
test_watchdog(Fixture *self G_GNUC_UNUSED, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *own = g_strdup_printf("%d", (int)getpid());

    g_assert_cmpuint(vc_notify_watchdog_ms(), ==, 0);
    g_setenv("WATCHDOG_USEC", "30000000", TRUE);
    g_assert_cmpuint(vc_notify_watchdog_ms(), ==, 30000);
    g_setenv("WATCHDOG_PID", own, TRUE);
    g_assert_cmpuint(vc_notify_watchdog_ms(), ==, 30000);
    g_setenv("WATCHDOG_PID", "1", TRUE);
    g_assert_cmpuint(vc_notify_watchdog_ms(), ==, 0);
    g_unsetenv("WATCHDOG_PID");
    g_setenv("WATCHDOG_USEC", "10", TRUE);
    g_assert_cmpuint(vc_notify_watchdog_ms(), ==, 1);
    g_setenv("WATCHDOG_USEC", "soon", TRUE);
    g_assert_cmpuint(vc_notify_watchdog_ms(), ==, 0);
}

static void
test_nobody_listens(void)
{
    g_unsetenv("NOTIFY_SOCKET");
    g_assert_false(vc_notify_has_listener());
    vc_notify_ready();
    g_setenv("NOTIFY_SOCKET", "/nonexistent/socket", TRUE);
    vc_notify_ready();
    g_unsetenv("NOTIFY_SOCKET");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/notify/messages", Fixture, NULL, set_up, test_messages, tear_down);
    g_test_add("/notify/reloading", Fixture, NULL, set_up, test_reloading, tear_down);
    g_test_add("/notify/watchdog", Fixture, NULL, set_up, test_watchdog, tear_down);
    g_test_add_func("/notify/nobody-listens", test_nobody_listens);
    return g_test_run();
}
