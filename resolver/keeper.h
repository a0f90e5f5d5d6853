/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The thread that keeps the registry as the guests of one libvirtd are. It may come to wait for
 * libvirt for ever; its host then gives it up and starts another. */
#pragma once

#include "resolver/host.h"
#include "resolver/inbox.h"

typedef struct VcrKeeper VcrKeeper;

/* The libvirtd as its keepers see it; outlives them. */
typedef struct {
    const char *uri;
    const char *domain_address; /* nullable */
    guint number;
    VcrInbox *inbox;
    GPtrArray *inboxes; /* of all libvirtd, by number; not owned */
    int openings;       /* atomic: connections that are being opened, by whichever keeper */
} VcrHostView;

/* Starts the thread. When it ends it calls vcr_host_keeper_ended(). */
VcrKeeper *vcr_keeper_start(VcrHost *host, VcrHostView *view);

/* µs of the monotonic clock since which it has been waiting for libvirt; 0: it is not. Any
 * thread. */
gint64 vcr_keeper_busy_since(const VcrKeeper *self);

/* Waits for a thread that has ended, or is about to, and frees. */
void vcr_keeper_join(VcrKeeper *self);

/* Frees one that ended after it was given up; on its own thread. */
void vcr_keeper_free(VcrKeeper *self);
