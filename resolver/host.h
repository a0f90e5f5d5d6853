/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One libvirtd: a thread that stays connected to it and keeps the registry as its guests are.
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

#include "resolver/registry.h"

typedef struct VcrHost VcrHost;

/* uri; domain_address (nullable): not owned. number: its place in the registry. */
VcrHost *vcr_host_new(const char *uri, const char *domain_address, guint number,
                      VcrRegistry *registry);

/* hosts: all of them (of VcrHost), by number; not owned. Main thread, once they are all made.
 */
void vcr_host_start(VcrHost *self, GPtrArray *hosts);

const char *vcr_host_uri(const VcrHost *self);

/* A reference (virConnectClose() it) to the connection, or NULL while there is none. Any
 * thread.
 */
virConnectPtr vcr_host_connection(VcrHost *self);

/* Tells the threads of all hosts to end and waits for them. FALSE where one did not come back
 * within timeout_ms, because its libvirtd hangs: nothing may be freed then. Main thread;
 * libvirt's events need not be served any more. */
gboolean vcr_hosts_stop(GPtrArray *hosts, guint timeout_ms);

void vcr_host_free(VcrHost *self); /* nullable; not running */
