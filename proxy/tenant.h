/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The end towards the client: one connection accepted by us and served by libwebsockets, from
 * TLS to the last byte. */
#pragma once

#include <libwebsockets.h>

#include "proxy/endpoint.h"
#include "proxy/worker.h"

/* The protocol for a vhost's table: HTTP answers, the upgrade, and the websocket's bytes. */
extern const struct lws_protocols vcp_tenant_protocol;

/* Takes over an accepted connection. fd, client (its address as text): full. On the worker's
 * thread. */
void vcp_tenant_adopt(VcpWorker *worker, int fd, char *client);

/* What the session may ask of its tenant end, beside the endpoint's own ops: */

/* A websocket ping as soon as one can be written. */
void vcp_tenant_ping(VcpEndpoint *end);

/* Whether the client's system has acknowledged bytes since the last call: slow is not the same
 * as stuck. */
gboolean vcp_tenant_made_progress(VcpEndpoint *end);

/* Whether its connection has ended, where nothing is read from it. */
gboolean vcp_tenant_has_left(VcpEndpoint *end);

/* After what is in out: a close frame with code and reason (at most 123 bytes). */
void vcp_tenant_close(VcpEndpoint *end, guint16 code, const char *reason);

/* Cuts the connection without a word, from the loop's next turn. */
void vcp_tenant_kill(VcpEndpoint *end);
