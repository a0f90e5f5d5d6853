/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Accepts connections on the main thread's loop and hands each to the least loaded worker. */
#pragma once

#include <uv.h>

#include "proxy/worker.h"

typedef struct VcpListener VcpListener;

/* fd: a listening socket, full. workers: n of them, not owned. */
VcpListener *vcp_listener_new(uv_loop_t *loop, int fd, VcpWorker **workers, guint n,
                              guint write_timeout_s);

/* Of connections from now on. */
void vcp_listener_set_write_timeout(VcpListener *self, guint write_timeout_s);

/* Closes the socket as vc_listen_close(); nullable. The loop must run once more. */
void vcp_listener_free(VcpListener *self);
