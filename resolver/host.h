/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One libvirtd. Its keeper does the work; the host hands on what it finds, and replaces it when
 * it hangs. */
#pragma once

#include <glib.h>

#include "resolver/registry.h"
#include "resolver/inbox.h"

typedef struct VcrHost VcrHost;
struct VcrKeeper;

/* uri; domain_address (nullable): not owned. number: its place in the registry. */
VcrHost *vcr_host_new(const char *uri, const char *domain_address, guint number,
                      VcrRegistry *registry);

/* inboxes: of all hosts, by number; not owned. Once they are all made; the main loop watches
 * over the keeper. Main thread. */
void vcr_host_start(VcrHost *self, GPtrArray *inboxes);

/* Where it is told what to do. Any thread. */
VcrInbox *vcr_host_inbox(VcrHost *self);

/* Tells the keepers of all hosts to end and waits for them. FALSE where one did not come back
 * within timeout_ms, because its libvirtd hangs: nothing may be freed then. libvirt's events
 * must be served meanwhile. Any thread but the main one. */
gboolean vcr_hosts_stop(GPtrArray *hosts, guint timeout_ms);

void vcr_host_free(VcrHost *self); /* nullable; not running */

/* --- for its keepers, on their threads; what one does that was given up counts for nothing ---
 */

gboolean vcr_host_is_kept_by(VcrHost *self, const struct VcrKeeper *keeper);

/* All guests were read, and these have consoles (UUIDs are the keys); or, with NULL, the
 * connection is gone. */
void vcr_host_publish_list(VcrHost *self, const struct VcrKeeper *keeper,
                           GHashTable *guests /* nullable */);

/* records: of VcrRecord, nullable: none */
void vcr_host_publish_guest(VcrHost *self, const struct VcrKeeper *keeper, const char *uuid,
                            GPtrArray *records);

/* It cannot be read now. */
void vcr_host_hide_guest(VcrHost *self, const struct VcrKeeper *keeper, const char *uuid);

/* The keeper's last call; it may be freed by this. */
void vcr_host_keeper_ended(VcrHost *self, struct VcrKeeper *keeper);
