/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Event streams, whole and byte by byte. */
#include "proxy/event-stream.h"

#include <string.h>

static const struct {
    const char *name;
    const char *stream;
    const char *events; /* "name=data" each with a line's end; NULL: it can't be read */
    const char *last_id;
} rows[] = {
    {"empty", "", "", ""},
    {"one", "event: dead\ndata: abc\n\n", "dead=abc\n", ""},
    {"id", "id: 7\nevent: dead\ndata: abc\n\n", "dead=abc\n", "7"},
    {"cr", "id: 7\revent: dead\rdata: abc\r\r", "dead=abc\n", "7"},
    {"crlf", "id: 7\r\nevent: dead\r\ndata: abc\r\n\r\n", "dead=abc\n", "7"},
    {"bom",
     "\xef\xbb\xbf"
     "data: abc\n\n",
     "message=abc\n", ""},
    {"bom-later",
     "data: a\n\n\xef\xbb\xbf"
     "data: abc\n\n",
     "message=a\n", ""},
    {"no-name", "data: abc\n\n", "message=abc\n", ""},
    {"no-space", "event:dead\ndata:abc\n\n", "dead=abc\n", ""},
    {"two-spaces", "data:  abc\n\n", "message= abc\n", ""},
    {"no-colon", "data\n\n", "message=\n", ""},
    {"colons", "data: a:b: c\n\n", "message=a:b: c\n", ""},
    {"lines-of-data", "data: a\ndata: b\n\n", "message=a|b\n", ""},
    {"comment", ": beat\n\n:\n\ndata: abc\n: x\n\n", "message=abc\n", ""},
    {"id-without-data", "retry: 1000\nid: 5\n\n", "", "5"},
    {"id-without-end", "id: 5\ndata: a\n\nid: 6\ndata: b\n", "message=a\n", "5"},
    {"id-stays", "id: 5\ndata: a\n\ndata: b\n\n", "message=a\nmessage=b\n", "5"},
    {"id-goes", "id: 5\ndata: a\n\nid\ndata: b\n\n", "message=a\nmessage=b\n", ""},
    {"name-is-of-one-event", "event: dead\ndata: a\n\ndata: b\n\n", "dead=a\nmessage=b\n", ""},
    {"name-without-data", "event: dead\n\ndata: b\n\n", "message=b\n", ""},
    {"unknown-fields", "x: 1\nDATA: 2\ndata : 3\ndata: a\n\n", "message=a\n", ""},
    {"no-event-before-its-end", "data: a", "", ""},
};

static void
on_event(const char *name, const char *text, gpointer data)
{
    g_autofree char *shown = g_strdup(text);

    g_string_append_printf(data, "%s=%s\n", name, g_strdelimit(shown, "\n", '|'));
}

static void
check(gsize row, gsize piece)
{
    VcpEventStream stream = {0};
    g_autoptr(GString) events = g_string_new(NULL);
    gsize length = strlen(rows[row].stream);

    for (gsize at = 0; at < length; at += piece)
        g_assert_true(vcp_event_stream_feed(&stream, rows[row].stream + at,
                                            MIN(piece, length - at), on_event, events));
    g_assert_cmpstr(events->str, ==, rows[row].events);
    g_assert_cmpstr(vcp_event_stream_last_id(&stream), ==, rows[row].last_id);
}

static void
test_row(gconstpointer data)
{
    for (gsize piece = 1; piece <= 3; piece++)
        check(GPOINTER_TO_SIZE(data), piece);
    check(GPOINTER_TO_SIZE(data), G_MAXSIZE / 2);
}

static gboolean
takes(const char *prefix, gsize n, const char *suffix)
{
    VcpEventStream stream = {0};
    g_autoptr(GString) events = g_string_new(NULL);
    g_autofree char *filling = g_strnfill(n, 'x');
    g_autofree char *text = g_strconcat(prefix, filling, suffix, NULL);

    return vcp_event_stream_feed(&stream, text, strlen(text), on_event, events);
}

static void
test_too_long(void)
{
    g_assert_true(takes(": ", VCP_EVENT_LINE - 3, "\n"));
    g_assert_false(takes(": ", VCP_EVENT_LINE - 2, "\n"));
    g_assert_false(takes("", VCP_EVENT_LINE, ""));
    g_assert_true(takes("data: ", VCP_EVENT_TEXT - 1, "\n"));
    g_assert_false(takes("data: ", VCP_EVENT_TEXT, "\n"));
    g_assert_false(takes("data: a\ndata: ", VCP_EVENT_TEXT - 2, "\n"));
    g_assert_true(takes("event: ", VCP_EVENT_TEXT - 1, "\n"));
    g_assert_false(takes("event: ", VCP_EVENT_TEXT, "\n"));
    g_assert_false(takes("id: ", VCP_EVENT_TEXT, "\n"));
    g_assert_true(takes("other: ", VCP_EVENT_TEXT, "\n"));
}

static void
test_nul(void)
{
    static const char text[] = "id: 1\0\x32\ndata: a\0b\ndata: c\n\n";
    VcpEventStream stream = {0};
    g_autoptr(GString) events = g_string_new(NULL);

    g_assert_true(vcp_event_stream_feed(&stream, text, sizeof text - 1, on_event, events));
    g_assert_cmpstr(events->str, ==, "message=c\n");
    g_assert_cmpstr(vcp_event_stream_last_id(&stream), ==, "");
}

/* What was cut off in the middle is nothing; the id of before is what the next stream goes on
 * after. */
static void
test_begin_again(void)
{
    VcpEventStream stream = {0};
    g_autoptr(GString) events = g_string_new(NULL);
    const char *before = "id: 5\ndata: a\n\nid: 6\nevent: dead\ndata: half";
    const char *after = "data: b\n\n";

    g_assert_true(vcp_event_stream_feed(&stream, before, strlen(before), on_event, events));
    vcp_event_stream_begin(&stream);
    g_assert_cmpstr(vcp_event_stream_last_id(&stream), ==, "5");
    g_assert_true(vcp_event_stream_feed(&stream, after, strlen(after), on_event, events));
    g_assert_cmpstr(events->str, ==, "message=a\nmessage=b\n");
    g_assert_cmpstr(vcp_event_stream_last_id(&stream), ==, "5");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strconcat("/event-stream/", rows[i].name, NULL);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_row);
    }
    g_test_add_func("/event-stream/too-long", test_too_long);
    g_test_add_func("/event-stream/nul", test_nul);
    g_test_add_func("/event-stream/begin-again", test_begin_again);
    return g_test_run();
}
