/* SPDX-License-Identifier: LGPL-2.1-or-later
 * virtconsoleresolverd as a whole. */
#pragma once

#include "resolver/config.h"

typedef struct VcrDaemon VcrDaemon;

/* Reads certificates and listens. Errors: VC_ERROR_CONFIG, one line. Main thread. */
VcrDaemon *vcr_daemon_new(VcrConfig *config, GError **error);

/* Whether it could start, without starting: files, certificates, addresses. Errors as above. */
gboolean vcr_daemon_check(VcrConfig *config, GError **error);

/* Serves until SIGTERM or SIGINT. SIGHUP reads everything again that may change at run time;
 * certificates that have changed are noticed without it. FALSE where a libvirtd hangs so that
 * its thread could not be ended: the process should end without freeing anything. */
gboolean vcr_daemon_run(VcrDaemon *self);

void vcr_daemon_free(VcrDaemon *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrDaemon, vcr_daemon_free)
