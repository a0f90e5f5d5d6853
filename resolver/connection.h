/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Connections to a libvirtd: opened without making anybody wait, and watched. */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

#include "resolver/inbox.h"

/* Makes libvirt ready, and its event loop a part of GLib's default one. Main thread, once,
 * before everything else here. */
void vcr_connection_init(void);

/* Opens a connection on a thread of its own, since a libvirtd that hangs keeps its callers
 * waiting for good. The inbox gets VCR_OPENED, however late. */
void vcr_connection_open(const char *uri, VcrInbox *inbox);

typedef struct VcrWatch VcrWatch;

/* Has events of guests and secrets, and the connection's end, pushed into the inbox. NULL with
 * VC_ERROR_UNREACHABLE. The events come from the main loop. */
VcrWatch *vcr_connection_watch(virConnectPtr connection, guint number, VcrInbox *inbox,
                               GError **error);

/* Undoes it; the connection stays open. nullable */
void vcr_connection_unwatch(VcrWatch *self);

/* Sets VC_ERROR_UNREACHABLE with what, and libvirt's reason for the last failure on this
 * thread. */
void vcr_connection_set_error(GError **error, const char *what);
