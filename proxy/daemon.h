/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The proxy as a whole: what it loads, its workers, its listeners, its signals. */
#pragma once

#include "proxy/config.h"

typedef struct VcpDaemon VcpDaemon;

/* Loads certificates and tokens, starts workers, listens. NULL with VC_ERROR_CONFIG, one line
 * that names file, reason and flag. Main thread, as everything here. */
VcpDaemon *vcp_daemon_new(VcpConfig *config, GError **error);

/* Whether it could start, without starting: files, certificates, addresses. Errors as above. */
gboolean vcp_daemon_check(VcpConfig *config, GError **error);

/* Serves until SIGTERM or SIGINT. SIGHUP reads everything again that may change at run time;
 * certificates that have changed are noticed without it. */
void vcp_daemon_run(VcpDaemon *self);

void vcp_daemon_free(VcpDaemon *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpDaemon, vcp_daemon_free)
