/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The ring, and streams as libmicrohttpd wants them: it reads when it can send, and a stream
 * that has nothing for it is suspended until there is something. */
#include "resolver/events.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/monitor.h"

#define MAX_TEXT    192   /* of one event */
#define BLOCK       4096  /* that libmicrohttpd asks for at once */
#define SEND_BUFFER 16384 /* what the kernel keeps of a stream that is not read */
#define RETRY_MS    1000

typedef struct {
    VcrChange change;
    char digest[VC_TOKEN_DIGEST_SIZE]; /* empty: of no token */
} Event;

struct VcrEvents {
    VcrEventsSetup setup;
    char life[17]; /* what tells the ids of this process from those of another, in hex */

    VcMonitor monitor;
    Event *ring;
    guint64 last; /* number of the latest event; they begin with 1 */
    GPtrArray *streams;
    gboolean has_ended;
};

typedef struct {
    VcrEvents *events;
    struct MHD_Connection *connection;
    guint64 next; /* number of the event that it has not got */
    gboolean owes_greeting, owes_recheck, owes_beat;
    gboolean is_suspended;
    char text[MAX_TEXT]; /* what is being sent, from at on */
    gsize at, length;
} Stream;

VcrEvents *
vcr_events_new(VcrEventsSetup setup)
{
    VcrEvents *self = g_new0(VcrEvents, 1);

    self->setup = setup;
    g_snprintf(self->life, sizeof self->life, "%08x%08x", g_random_int(), g_random_int());
    vc_monitor_init(&self->monitor);
    self->ring = g_new0(Event, setup.ring);
    self->streams = g_ptr_array_new();
    return self;
}

void
vcr_events_free(VcrEvents *self)
{
    if (self == NULL)
        return;
    g_assert(self->streams->len == 0);
    g_ptr_array_unref(self->streams);
    vc_monitor_clear(&self->monitor);
    g_free(self->ring);
    g_free(self);
}

/* --- the ring; with the lock held --- */

static guint64
first_kept(const VcrEvents *self)
{
    return self->last < self->setup.ring ? 1 : self->last - self->setup.ring + 1;
}

static Event *
event_at(const VcrEvents *self, guint64 number)
{
    return &self->ring[number % self->setup.ring];
}

/* FALSE: it is of another process, or of events that are not kept any more. */
static gboolean
find_next(const VcrEvents *self, const char *last_id /* nullable */, guint64 *next)
{
    gsize prefix = strlen(self->life);
    guint64 number;

    if (last_id == NULL || strncmp(last_id, self->life, prefix) != 0 ||
        last_id[prefix] != '-' ||
        !g_ascii_string_to_unsigned(last_id + prefix + 1, 10, 0, self->last, &number, NULL))
        return FALSE;
    *next = number + 1;
    return *next >= first_kept(self);
}

/* --- streams; with the lock held --- */

static void
wake(Stream *stream)
{
    if (!stream->is_suspended)
        return;
    stream->is_suspended = FALSE;
    MHD_resume_connection(stream->connection);
}

static void
wake_all(VcrEvents *self)
{
    for (guint i = 0; i < self->streams->len; i++)
        wake(g_ptr_array_index(self->streams, i));
}

static const char *
name_of(VcrChange change)
{
    switch (change) {
    case VCR_TOKEN_DEAD:
        return "dead";
    case VCR_TOKEN_CHANGED:
        return "changed";
    case VCR_TOKENS_SETTLED:
        return "recheck";
    }
    g_assert_not_reached();
}

G_GNUC_PRINTF(2, 3)
static void
say(Stream *stream, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(stream->text, sizeof stream->text, format, arguments);
    va_end(arguments);
    g_assert(length > 0 && length < MAX_TEXT);
    stream->at = 0;
    stream->length = (gsize)length;
}

static void
say_event(Stream *stream)
{
    const Event *event = event_at(stream->events, stream->next);

    say(stream, "id: %s-%" G_GUINT64_FORMAT "\nevent: %s\ndata: %s\n\n", stream->events->life,
        stream->next, name_of(event->change), event->digest[0] != '\0' ? event->digest : "all");
    stream->next++;
}

/* FALSE: there is nothing to say. The greeting has an id, for who loses the stream before the
 * first event. */
static gboolean
say_next(Stream *stream)
{
    const char *life = stream->events->life;

    if (stream->owes_greeting) {
        stream->owes_greeting = FALSE;
        say(stream, "retry: %d\nid: %s-%" G_GUINT64_FORMAT "\n\n", RETRY_MS, life,
            stream->next - 1);
    } else if (stream->owes_recheck) {
        stream->owes_recheck = FALSE;
        say(stream, "event: recheck\ndata: all\n\n");
    } else if (stream->next <= stream->events->last) {
        say_event(stream);
    } else if (stream->owes_beat) {
        stream->owes_beat = FALSE;
        say(stream, ": beat\n\n");
    } else {
        return FALSE;
    }
    return TRUE;
}

static gsize
fill(Stream *stream, char *buffer, gsize room)
{
    gsize filled = 0;

    while (filled < room && (stream->at < stream->length || say_next(stream))) {
        gsize n = MIN(room - filled, stream->length - stream->at);
        memcpy(buffer + filled, stream->text + stream->at, n);
        stream->at += n;
        filled += n;
    }
    return filled;
}

static ssize_t
read_locked(Stream *stream, char *buffer, size_t room)
{
    if (stream->events->has_ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    /* It has not kept up; it learns so when it comes back. */
    if (stream->next < first_kept(stream->events))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    gsize filled = fill(stream, buffer, room);
    if (filled == 0) {
        stream->is_suspended = TRUE;
        MHD_suspend_connection(stream->connection);
    }
    return (ssize_t)filled;
}

/* --- for libmicrohttpd, on its threads --- */

static ssize_t
on_read(void *cls, uint64_t position G_GNUC_UNUSED, char *buffer, size_t room)
{
    Stream *stream = cls;

    vc_monitor_enter(&stream->events->monitor);
    ssize_t result = read_locked(stream, buffer, room);
    vc_monitor_leave(&stream->events->monitor);
    return result;
}

static void
on_free(void *cls)
{
    Stream *stream = cls;
    VcrEvents *self = stream->events;

    vc_monitor_enter(&self->monitor);
    g_ptr_array_remove_fast(self->streams, stream);
    vc_monitor_leave(&self->monitor);
    g_free(stream);
}

/* --- for others --- */

void
vcr_events_publish(VcrEvents *self, VcrChange change, const char *digest)
{
    vc_monitor_enter(&self->monitor);
    Event *event = event_at(self, ++self->last);
    event->change = change;
    g_strlcpy(event->digest, digest != NULL ? digest : "", sizeof event->digest);
    wake_all(self);
    vc_monitor_leave(&self->monitor);
}

void
vcr_events_beat(VcrEvents *self)
{
    vc_monitor_enter(&self->monitor);
    for (guint i = 0; i < self->streams->len; i++)
        ((Stream *)g_ptr_array_index(self->streams, i))->owes_beat = TRUE;
    wake_all(self);
    vc_monitor_leave(&self->monitor);
}

void
vcr_events_end(VcrEvents *self)
{
    vc_monitor_enter(&self->monitor);
    self->has_ended = TRUE;
    wake_all(self);
    vc_monitor_leave(&self->monitor);
}

/* NULL: there are too many. */
static Stream *
stream_new(VcrEvents *self, struct MHD_Connection *connection, const char *last_id)
{
    Stream *stream = NULL;

    vc_monitor_enter(&self->monitor);
    if (!self->has_ended && self->streams->len < self->setup.streams) {
        stream = g_new0(Stream, 1);
        stream->events = self;
        stream->connection = connection;
        stream->owes_greeting = TRUE;
        stream->owes_recheck = !find_next(self, last_id, &stream->next);
        if (stream->owes_recheck)
            stream->next = self->last + 1;
        g_ptr_array_add(self->streams, stream);
    }
    vc_monitor_leave(&self->monitor);
    return stream;
}

struct MHD_Response *
vcr_events_open(VcrEvents *self, struct MHD_Connection *connection, const char *last_id)
{
    Stream *stream = stream_new(self, connection, last_id);
    int size = SEND_BUFFER;

    if (stream == NULL)
        return NULL;
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, self->setup.stall_s);
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, stream, on_free);
}
