/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Accepts connections on the main thread's loop and hands each to the least loaded worker. */
#pragma once

#include <uv.h>

#include "proxy/worker.h"

typedef struct VcpListener VcpListener;

/* fd: a listening socket, full. workers (n of them), config: not owned. */
VcpListener *vcp_listener_new(uv_loop_t *loop, int fd, VcpWorker **workers, guint n,
                              const VcpConfig *config);

/* Closes the socket, and removes the file of a unix one; nullable. The loop must run once more.
 */
void vcp_listener_free(VcpListener *self);
