/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Reads a text/event-stream (WHATWG HTML, Server-sent events). Pure. Retry times are for
 * browsers and ignored. */
#pragma once

#include <glib.h>

#define VCP_EVENT_LINE 512 /* the longest line */
#define VCP_EVENT_TEXT 256 /* the longest data, name or id, with their NUL */

typedef struct {
    char line[VCP_EVENT_LINE];
    gsize length;
    gboolean after_cr, has_begun, has_data;
    char name[VCP_EVENT_TEXT], data[VCP_EVENT_TEXT], id[VCP_EVENT_TEXT];
    char last_id[VCP_EVENT_TEXT];
} VcpEventStream;

/* name: "message" where the stream says none. Both end with NUL. */
typedef void (*VcpEventFunc)(const char *name, const char *text, gpointer data);

/* A new stream begins; last_id stays. One whose memory is zero has begun. */
void vcp_event_stream_begin(VcpEventStream *self);

/* The next bytes of it. FALSE: a line, or what stands in it, is longer than anything that is
 * understood here, and nothing more can be read. */
gboolean vcp_event_stream_feed(VcpEventStream *self, const char *bytes, gsize n,
                               VcpEventFunc func, gpointer data);

/* For the header Last-Event-ID; empty: there is none. */
const char *vcp_event_stream_last_id(const VcpEventStream *self);
