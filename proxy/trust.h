/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Whom the proxy believes where it is told of somebody else: the balancers of --trusted-proxy,
 * and what their X-Forwarded-For and -Proto say. Pure. */
#pragma once

#include "common/network.h"

typedef struct VcpTrust VcpTrust;

/* texts: networks, or "unix" for everybody who comes through a unix socket; NULL-terminated.
 * NULL with VC_ERROR_CONFIG and *wrong (not owned) the text that is none. */
VcpTrust *vcp_trust_new(const char *const *texts, const char **wrong, GError **error);
void vcp_trust_free(VcpTrust *self); /* nullable */

gboolean vcp_trust_has_anybody(const VcpTrust *self);

/* peer: as the log has it, with a port or without. */
gboolean vcp_trust_has(const VcpTrust *self, const char *peer);

/* Who the client of a trusted proxy is. header: all X-Forwarded-For of the request, in their
 * order, joined by commas; NULL: none, and the peer is the client. Else the rightmost address
 * that is not trusted itself, or the leftmost where all are; what stands left of it, anybody
 * may have written. *client (full): as a peer is written; nullable. FALSE with
 * VC_ERROR_BAD_REQUEST where what stands there is no address. */
gboolean vcp_trust_client(const VcpTrust *self, const char *header, char **client,
                          GError **error);

/* Whether a trusted proxy's client came by TLS. header: X-Forwarded-Proto, nullable: as
 * otherwise says. FALSE with VC_ERROR_BAD_REQUEST where it is neither http nor https. */
gboolean vcp_trust_scheme(const char *header, gboolean otherwise, gboolean *is_tls,
                          GError **error);
