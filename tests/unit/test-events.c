/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Streams of events over the real HTTP server: what they begin with, where they go on, who is
 * cut off, and their end. */
#include "resolver/events.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "resolver/http.h"

#define RING    64
#define STREAMS 8
#define STALL_S 1

typedef struct {
    char *directory, *path;
    VcrConfig *config;
    VcrRegistry *registry;
    VcrPasswords *passwords; /* nobody asks for one */
    VcrEvents *events;
    VcrHttp *http;
} Fixture;

static void
begin(Fixture *self)
{
    self->directory = g_dir_make_tmp("vcr-events-XXXXXX", NULL);
    self->path = g_build_filename(self->directory, "s", NULL);
    g_autofree char *address = g_strconcat("unix:", self->path, NULL);
    char *arguments[] = {"virtconsoleresolverd", "--listen-insecure", "--listen-addr", address,
                         NULL};
    self->config = vcr_config_parse(4, arguments, NULL);
    g_assert_nonnull(self->config);
    self->registry = vcr_registry_new(0);
    self->events =
        vcr_events_new((VcrEventsSetup){.ring = RING, .streams = STREAMS, .stall_s = STALL_S});
    self->passwords = vcr_passwords_new(NULL, 1000);
    self->http =
        vcr_http_new(self->config, NULL, self->registry, self->passwords, self->events, NULL);
    g_assert_true(vcr_http_start(self->http, NULL));
}

static void
stop(Fixture *self)
{
    gint64 before = g_get_monotonic_time();

    vcr_http_stop(self->http, 10000);
    g_assert_cmpint(g_get_monotonic_time() - before, <, 5 * G_USEC_PER_SEC);
    vcr_http_free(self->http);
    vcr_events_free(self->events);
    vcr_passwords_free(self->passwords);
    vcr_registry_free(self->registry);
    vcr_config_unref(self->config);
    g_unlink(self->path);
    g_rmdir(self->directory);
    g_free(self->path);
    g_free(self->directory);
}

static int
ask(const Fixture *self, const char *last_id /* nullable */)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_autofree char *header =
        last_id != NULL ? g_strdup_printf("Last-Event-ID: %s\r\n", last_id) : g_strdup("");
    g_autofree char *request = g_strdup_printf(
        "GET /consoleresolver/events HTTP/1.0\r\nHost: localhost\r\n%s\r\n", header);

    g_strlcpy(address.sun_path, self->path, sizeof address.sun_path);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(write(fd, request, strlen(request)), ==, (int)strlen(request));
    return fd;
}

/* Reads until the text comes; what was read, with it. NULL: it has ended before. */
static char *
read_until(int fd, const char *text)
{
    g_autoptr(GString) got = g_string_new(NULL);
    char byte;

    while (strstr(got->str, text) == NULL) {
        if (read(fd, &byte, 1) != 1)
            return NULL;
        g_string_append_c(got, byte);
    }
    return g_string_free(g_steal_pointer(&got), FALSE);
}

/* The answer's head and the greeting; its id (full). */
static char *
greeted(int fd)
{
    g_autofree char *head = read_until(fd, "\r\n\r\n");
    g_assert_true(g_str_has_prefix(head, "HTTP/1.1 200 "));
    g_assert_nonnull(strstr(head, "Content-Type: text/event-stream\r\n"));
    g_assert_nonnull(strstr(head, "Cache-Control: no-store\r\n"));
    g_autofree char *retry = read_until(fd, "\n");
    g_assert_cmpstr(retry, ==, "retry: 1000\n");
    g_autofree char *id = read_until(fd, "\n\n");
    g_assert_true(g_str_has_prefix(id, "id: "));
    return g_strndup(id + 4, strlen(id) - 6);
}

static void
assert_next(int fd, const char *expected)
{
    g_autofree char *text = read_until(fd, "\n\n");

    g_assert_cmpstr(text, ==, expected);
}

static void
assert_event(int fd, const char *life, guint number, const char *name, const char *data)
{
    g_autofree char *expected =
        g_strdup_printf("id: %.16s-%u\nevent: %s\ndata: %s\n\n", life, number, name, data);

    assert_next(fd, expected);
}

static void
assert_recheck(int fd)
{
    assert_next(fd, "event: recheck\ndata: all\n\n");
}

static void
assert_ends(int fd)
{
    g_autofree char *rest = read_until(fd, "never");

    g_assert_null(rest);
    close(fd);
}

static void
test_events(void)
{
    Fixture f;
    char digest[VC_TOKEN_DIGEST_SIZE];

    begin(&f);
    vc_token_digest("token", digest);
    int fd = ask(&f, NULL), other = ask(&f, NULL);
    g_autofree char *id = greeted(fd);
    g_autofree char *other_id = greeted(other);
    g_assert_cmpstr(id, ==, other_id);
    assert_recheck(fd);
    assert_recheck(other);
    vcr_events_publish(f.events, VCR_TOKEN_DEAD, digest);
    assert_event(fd, id, 1, "dead", digest);
    vcr_events_publish(f.events, VCR_TOKEN_CHANGED, digest);
    vcr_events_beat(f.events);
    vcr_events_publish(f.events, VCR_TOKENS_SETTLED, NULL);
    assert_event(other, id, 1, "dead", digest);
    assert_event(other, id, 2, "changed", digest);
    vcr_events_beat(f.events);
    stop(&f);
    assert_ends(fd);
    assert_ends(other);
}

static void
test_beat(void)
{
    Fixture f;

    begin(&f);
    int fd = ask(&f, NULL);
    g_free(greeted(fd));
    assert_recheck(fd);
    for (int i = 0; i < 3; i++) {
        vcr_events_beat(f.events);
        assert_next(fd, ": beat\n\n");
    }
    stop(&f);
    assert_ends(fd);
}

static void
test_resume(void)
{
    Fixture f;
    char digest[VC_TOKEN_DIGEST_SIZE];

    begin(&f);
    vc_token_digest("token", digest);
    int fd = ask(&f, NULL);
    g_autofree char *id = greeted(fd);
    close(fd);
    for (int i = 0; i < 5; i++)
        vcr_events_publish(f.events, VCR_TOKEN_DEAD, digest);
    for (guint last = 0; last <= 5; last++) {
        g_autofree char *from = g_strdup_printf("%.16s-%u", id, last);
        fd = ask(&f, from);
        g_autofree char *greeting = greeted(fd);
        g_assert_cmpstr(greeting, ==, from);
        for (guint number = last + 1; number <= 5; number++)
            assert_event(fd, id, number, "dead", digest);
        vcr_events_beat(f.events);
        assert_next(fd, ": beat\n\n");
        close(fd);
        vcr_events_beat(f.events); /* it notices that nobody reads that one any more */
        vcr_events_beat(f.events);
    }
    stop(&f);
}

static void
test_resume_id_is_no_good(void)
{
    Fixture f;

    begin(&f);
    int fd = ask(&f, NULL);
    g_autofree char *id = greeted(fd);
    close(fd);
    for (guint i = 0; i <= RING; i++)
        vcr_events_publish(f.events, VCR_TOKENS_SETTLED, NULL);
    g_autofree char *too_old = g_strdup_printf("%.16s-0", id);
    g_autofree char *future = g_strdup_printf("%.16s-%u", id, RING + 2);
    g_autofree char *no_number = g_strdup_printf("%.16s-", id);
    const char *const ids[] = {too_old,
                               future,
                               no_number,
                               "",
                               "-1",
                               "0123456789abcdef-1",
                               "99999999999999999999999999999999999999999999999999999999"};
    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++) {
        fd = ask(&f, ids[i]);
        g_free(greeted(fd));
        assert_recheck(fd);
        close(fd);
        vcr_events_beat(f.events);
        vcr_events_beat(f.events);
    }
    g_autofree char *oldest = g_strdup_printf("%.16s-1", id);
    fd = ask(&f, oldest);
    g_free(greeted(fd));
    assert_event(fd, id, 2, "recheck", "all");
    stop(&f);
    close(fd);
}

static void
test_too_many(void)
{
    Fixture f;
    int fds[STREAMS];

    begin(&f);
    for (int i = 0; i < STREAMS; i++) {
        fds[i] = ask(&f, NULL);
        g_free(greeted(fds[i]));
    }
    int extra = ask(&f, NULL);
    g_autofree char *answer = read_until(extra, "\r\n");
    g_assert_true(g_str_has_prefix(answer, "HTTP/1.1 503 "));
    close(extra);
    stop(&f);
    for (int i = 0; i < STREAMS; i++)
        assert_ends(fds[i]);
}

/* It takes nothing, so the server can't send: its time is short. Others get all there is. */
static void
test_reader_that_does_not_read(void)
{
    Fixture f;
    char digest[VC_TOKEN_DIGEST_SIZE];

    begin(&f);
    vc_token_digest("token", digest);
    int deaf = ask(&f, NULL), fd = ask(&f, NULL);
    g_free(greeted(deaf));
    g_autofree char *id = greeted(fd);
    assert_recheck(fd);
    for (guint number = 1; number <= 4000; number++) {
        vcr_events_publish(f.events, VCR_TOKEN_DEAD, digest);
        assert_event(fd, id, number, "dead", digest);
    }
    assert_ends(deaf); /* what the kernel had, and no more */
    vcr_events_beat(f.events);
    assert_next(fd, ": beat\n\n");
    stop(&f);
    assert_ends(fd);
}

static void
test_no_more_after_the_end(void)
{
    Fixture f;

    begin(&f);
    vcr_events_end(f.events);
    int fd = ask(&f, NULL);
    g_autofree char *answer = read_until(fd, "\r\n");
    g_assert_true(g_str_has_prefix(answer, "HTTP/1.1 503 "));
    close(fd);
    stop(&f);
}

static gpointer
publish_many(gpointer data)
{
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest("token", digest);
    for (int i = 0; i < 5000; i++)
        vcr_events_publish(data, VCR_TOKEN_DEAD, digest);
    return NULL;
}

static gpointer
listen_to_some(gpointer data)
{
    for (int i = 0; i < 20; i++) {
        int fd = ask(data, NULL);
        g_free(read_until(fd, "\ndata: "));
        close(fd);
        vcr_events_beat(((Fixture *)data)->events);
    }
    return NULL;
}

static void
test_threads(void)
{
    Fixture f;
    GThread *threads[4];

    begin(&f);
    for (int i = 0; i < 2; i++) {
        threads[i] = g_thread_new("publish", publish_many, f.events);
        threads[i + 2] = g_thread_new("listen", listen_to_some, &f);
    }
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    stop(&f);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/events/events", test_events);
    g_test_add_func("/events/beat", test_beat);
    g_test_add_func("/events/resume", test_resume);
    g_test_add_func("/events/resume-id-is-no-good", test_resume_id_is_no_good);
    g_test_add_func("/events/too-many", test_too_many);
    g_test_add_func("/events/reader-that-does-not-read", test_reader_that_does_not_read);
    g_test_add_func("/events/no-more-after-the-end", test_no_more_after_the_end);
    g_test_add_func("/events/threads", test_threads);
    return g_test_run();
}
