/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What the service manager is told while the proxy runs: how many sessions there are, and that
 * every loop turns. */
#pragma once

#include "proxy/session-limits.h"
#include "proxy/worker.h"

typedef struct VcpHeartbeat VcpHeartbeat;

/* NULL where no service manager listens. workers: n of them, running; they and limits: not
 * owned. Main thread, whose loop it is. */
VcpHeartbeat *vcp_heartbeat_new(uv_loop_t *loop, VcpWorker **workers, guint n,
                                VcpLimits *limits);

void vcp_heartbeat_free(VcpHeartbeat *self); /* nullable; before the workers stop */
