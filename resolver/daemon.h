/* SPDX-License-Identifier: LGPL-2.1-or-later
 * virtconsoleresolverd as a whole. */
#pragma once

#include "resolver/config.h"

typedef struct VcrDaemon VcrDaemon;

/* Reads certificates and listens. Errors: VC_ERROR_CONFIG, one line. Main thread. */
VcrDaemon *vcr_daemon_new(const VcrConfig *config /* not owned */, GError **error);

/* Serves until SIGTERM or SIGINT. FALSE where a libvirtd hangs so that its thread could not be
 * ended: the process should end without freeing anything. */
gboolean vcr_daemon_run(VcrDaemon *self);

void vcr_daemon_free(VcrDaemon *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrDaemon, vcr_daemon_free)
