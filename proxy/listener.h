/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Accepts connections on the main thread's loop and hands each to the least loaded worker. */
#pragma once

#include <uv.h>

#include "proxy/worker.h"

typedef struct VcpListener VcpListener;

/* fd: a listening socket, full. workers: n of them, not owned. config: it keeps a reference. */
VcpListener *vcp_listener_new(uv_loop_t *loop, int fd, VcpWorker **workers, guint n,
                              VcpConfig *config);

/* For connections from now on; how PROXY headers are used stays as it was. */
void vcp_listener_use(VcpListener *self, VcpConfig *config);

/* Closes the socket as vc_listen_close(); nullable. The loop must run once more. */
void vcp_listener_free(VcpListener *self);
