/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The end towards the client: a websocket after its upgrade, with the connection's TLS beneath
 * it. All on the worker's thread. */
#pragma once

#include <openssl/ssl.h>
#include <uv.h>

#include "proxy/endpoint.h"

typedef struct {
    uv_loop_t *loop; /* not owned, like all the rest */
    VcPool *pool;
    int fd;   /* non-blocking; nobody else polls, reads or writes it meanwhile */
    SSL *tls; /* nullable: clear text */
    void (*over)(gpointer data);
    gpointer data;
} VcpTenantSetup;

/* Takes the connection's bytes over. When the websocket is at its end, whoever began that,
 * setup->over is called once, from the loop: the end is still there, and has to be freed. NULL:
 * somebody polls the descriptor still. */
VcpEndpoint *vcp_tenant_new(const VcpTenantSetup *setup);

/* The connection is closed beneath it: from here it touches it no more, and does not call over.
 */
void vcp_tenant_stop(VcpEndpoint *end);

/* At any moment, from within over too. The connection stays open. */
void vcp_tenant_free(VcpEndpoint *end /* nullable */);

/* What the session may ask of its tenant end, beside the endpoint's own ops; what is to be
 * written goes with the next flush: */

/* A websocket ping. */
void vcp_tenant_ping(VcpEndpoint *end);

/* Whether the client's system has acknowledged bytes since the last call: slow is not the same
 * as stuck. */
gboolean vcp_tenant_made_progress(VcpEndpoint *end);

/* Whether its connection has ended, where nothing is read from it. */
gboolean vcp_tenant_has_left(VcpEndpoint *end);

/* After what is in out: a close frame with code and reason (at most 123 bytes), and the end
 * once the client has answered. If the client has sent a close frame already, its own code. */
void vcp_tenant_close(VcpEndpoint *end, guint16 code, const char *reason);

/* Cuts the connection without a word, from the loop's next turn. */
void vcp_tenant_kill(VcpEndpoint *end);
