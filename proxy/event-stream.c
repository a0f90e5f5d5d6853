/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Lines to fields, fields to events. */
#include "proxy/event-stream.h"

#include <string.h>

#define BOM "\xef\xbb\xbf"

void
vcp_event_stream_begin(VcpEventStream *self)
{
    char last_id[VCP_EVENT_TEXT];

    memcpy(last_id, self->last_id, sizeof last_id);
    memset(self, 0, sizeof *self);
    memcpy(self->last_id, last_id, sizeof last_id);
    memcpy(self->id, last_id, sizeof last_id);
}

const char *
vcp_event_stream_last_id(const VcpEventStream *self)
{
    return self->last_id;
}

static void
dispatch(VcpEventStream *self, VcpEventFunc func, gpointer data)
{
    memcpy(self->last_id, self->id, sizeof self->last_id);
    if (self->has_data)
        func(self->name[0] != '\0' ? self->name : "message", self->data, data);
    self->has_data = FALSE;
    self->name[0] = '\0';
    self->data[0] = '\0';
}

static gboolean
set(char text[VCP_EVENT_TEXT], const char *value)
{
    return g_strlcpy(text, value, VCP_EVENT_TEXT) < VCP_EVENT_TEXT;
}

/* Lines of data are joined by LF. */
static gboolean
add_data(VcpEventStream *self, const char *value)
{
    if (self->has_data && g_strlcat(self->data, "\n", VCP_EVENT_TEXT) >= VCP_EVENT_TEXT)
        return FALSE;
    self->has_data = TRUE;
    return g_strlcat(self->data, value, VCP_EVENT_TEXT) < VCP_EVENT_TEXT;
}

static gboolean
take_field(VcpEventStream *self, const char *field, const char *value)
{
    if (strcmp(field, "data") == 0)
        return add_data(self, value);
    if (strcmp(field, "event") == 0)
        return set(self->name, value);
    if (strcmp(field, "id") == 0)
        return set(self->id, value);
    return TRUE;
}

/* A line with a NUL is none that is understood here; the standard only rules them out in ids.
 */
static gboolean
take_line(VcpEventStream *self, VcpEventFunc func, gpointer data)
{
    char *line = self->line;

    line[self->length] = '\0';
    if (!self->has_begun && g_str_has_prefix(line, BOM))
        line += strlen(BOM);
    self->has_begun = TRUE;
    if (strlen(self->line) != self->length)
        return TRUE;
    if (*line == '\0') {
        dispatch(self, func, data);
        return TRUE;
    }
    char *colon = strchr(line, ':');
    if (colon == NULL)
        return take_field(self, line, "");
    *colon = '\0';
    return take_field(self, line, colon[1] == ' ' ? colon + 2 : colon + 1);
}

static gboolean
feed_one(VcpEventStream *self, char c, VcpEventFunc func, gpointer data)
{
    gboolean ends_crlf = c == '\n' && self->after_cr;

    self->after_cr = c == '\r';
    if (ends_crlf)
        return TRUE;
    if (c != '\n' && c != '\r') {
        self->line[self->length++] = c;
        return self->length < VCP_EVENT_LINE;
    }
    gboolean is_fine = take_line(self, func, data);
    self->length = 0;
    return is_fine;
}

gboolean
vcp_event_stream_feed(VcpEventStream *self, const char *bytes, gsize n, VcpEventFunc func,
                      gpointer data)
{
    for (gsize i = 0; i < n; i++) {
        if (!feed_one(self, bytes[i], func, data))
            return FALSE;
    }
    return TRUE;
}
