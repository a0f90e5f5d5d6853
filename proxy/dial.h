/* SPDX-License-Identifier: LGPL-2.1-or-later
 * From a host name and a port, or a path, to a connected socket, without blocking. On the
 * worker's thread. */
#pragma once

#include <glib.h>
#include <uv.h>

#include "proxy/targets.h"

typedef struct VcpDial VcpDial;

/* fd: connected, non-blocking, owned by the callee; -1 where error (full) says why. The dial is
 * gone then. */
typedef void (*VcpDialed)(int fd, GError *error, gpointer data);

/* Tries one address of the host after the other, but for those that targets (nullable;
 * it keeps a reference) refuses; never calls back before it has returned. Errors:
 * VC_ERROR_REFUSED, _UNREACHABLE, _POLICY where none may be connected to, _TIMEOUT (after
 * timeout_ms for everything). */
VcpDial *vcp_dial(uv_loop_t *loop, VcpTargets *targets, const char *host, guint16 port,
                  guint64 timeout_ms, VcpDialed dialed, gpointer data);

/* The same for a unix socket. Errors: VC_ERROR_REFUSED, _IN_USE where its queue is full,
 * _UNREACHABLE. */
VcpDial *vcp_dial_unix(uv_loop_t *loop, const char *path, guint64 timeout_ms, VcpDialed dialed,
                       gpointer data);

/* Forgets it: no call back any more. Not after the call back. */
void vcp_dial_cancel(VcpDial *self);
