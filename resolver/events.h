/* SPDX-License-Identifier: LGPL-2.1-or-later
 * News of tokens for proxies that listen, as a text/event-stream: a ring of the latest, and the
 * streams that read it. A stream is a place in the ring and one event being sent, so that a
 * proxy that reads slowly costs nothing more. Locked; every function from any thread. */
#pragma once

#include <microhttpd.h>

#include "resolver/registry.h"

typedef struct VcrEvents VcrEvents;

typedef struct {
    guint ring;    /* events that are kept for whoever comes back */
    guint streams; /* at the same time */
    guint stall_s; /* a stream that takes nothing for so long is cut off */
} VcrEventsSetup;

VcrEvents *vcr_events_new(VcrEventsSetup setup);
void vcr_events_free(VcrEvents *self); /* nullable; every stream has ended */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrEvents, vcr_events_free)

/* Of the registry (see VcrChanged). */
void vcr_events_publish(VcrEvents *self, VcrChange change, const char *digest);

/* A sign of life on every stream. */
void vcr_events_beat(VcrEvents *self);

/* Ends every stream; there are no more from then on. May be called again. */
void vcr_events_end(VcrEvents *self);

/* The answer (full) to a request of this connection: the events after last_id, which is what
 * the proxy has of an earlier stream (nullable). Where that is not known any more, the first
 * event says that everything is to be asked for again. NULL: there are too many streams. */
struct MHD_Response *vcr_events_open(VcrEvents *self, struct MHD_Connection *connection,
                                     const char *last_id);
