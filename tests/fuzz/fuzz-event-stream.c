/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Event streams: however one is cut, the same events come of it, and none of their texts has a
 * line's end in a name or an id.
 *
 * Input: length of a piece (1 byte), the bytes. */
#include "fuzz.h"

#include <string.h>

#include "proxy/event-stream.h"

static void
on_event(const char *name, const char *text, gpointer data)
{
    g_assert_cmpuint(strlen(name), <, VCP_EVENT_TEXT);
    g_assert_cmpuint(strlen(text), <, VCP_EVENT_TEXT);
    g_assert_null(strpbrk(name, "\r\n"));
    g_assert_null(strchr(text, '\r'));
    g_string_append_printf(data, "%s=%s\n", name, text);
}

static gboolean
read_stream(const guint8 *data, gsize size, gsize piece, GString *events)
{
    VcpEventStream stream = {0};
    gboolean is_fine = TRUE;

    for (gsize at = 0; at < size && is_fine; at += piece)
        is_fine = vcp_event_stream_feed(&stream, (const char *)data + at, MIN(piece, size - at),
                                        on_event, events);
    g_assert_null(strpbrk(vcp_event_stream_last_id(&stream), "\r\n"));
    g_string_append(events, vcp_event_stream_last_id(&stream));
    return is_fine;
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autoptr(GString) whole = g_string_new(NULL);
    g_autoptr(GString) pieces = g_string_new(NULL);

    if (size < 2)
        return 0;
    gboolean is_fine = read_stream(data + 1, size - 1, size, whole);
    g_assert_true(read_stream(data + 1, size - 1, (gsize)data[0] + 1, pieces) == is_fine);
    g_assert_cmpstr(whole->str, ==, pieces->str);
    return 0;
}
