/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Connections that are closed a little later than they could be. */
#pragma once

#include <uv.h>

#include "proxy/tls-client.h"

/* Takes over fd and tls (nullable), and closes them after so long; nothing is read or sent
 * until then. On the worker's thread. */
void vcp_linger(uv_loop_t *loop, int fd, VcpTlsClient *tls, guint64 ms);
