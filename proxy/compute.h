/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The end towards the hypervisor: TCP, and gnutls on it from the start or later. */
#pragma once

#include <uv.h>

#include "common/service.h"
#include "common/tls.h"
#include "proxy/endpoint.h"
#include "proxy/targets.h"

typedef struct {
    uv_loop_t *loop;
    VcPool *pool;                  /* not owned */
    VcpTargets *targets;           /* not owned, nullable: where it may be */
    VcTlsCredentials *credentials; /* not owned; NULL: TLS cannot be started */
    guint connect_timeout_s;
    gboolean is_chardev; /* one byte a TLS record, small pieces gathered, left by vcp_leave() */
    guint settle_ms;     /* it is not closed by us earlier than so long after it stood */
} VcpComputeSetup;

/* Starts a connection to service's address, and TLS on it where tls is set; returns at
 * once. ready is set when all of it stands. What goes wrong stands in error: VC_ERROR_REFUSED,
 * _UNREACHABLE, _POLICY, _CERTIFICATE, _PROTOCOL, _TIMEOUT (after connect_timeout_s for the
 * name and TCP, and again for TLS). The session's pump is called on each change. On the
 * worker's thread, as everything here. */
VcpEndpoint *vcp_compute_connect(const VcpComputeSetup *setup, VcpSession *session,
                                 VcService *service, gboolean tls);

/* Sends what is in out as it is, then starts TLS and verifies the peer's name; ready is FALSE
 * until it stands. in is empty: bytes that came before TLS would pass as if they had come
 * inside it. */
void vcp_compute_start_tls(VcpEndpoint *end);

/* Frees, and closes at once but for a chardev; nullable. */
void vcp_compute_close(VcpEndpoint *end);
