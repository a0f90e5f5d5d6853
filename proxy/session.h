/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One client's way to one console: token, service, two ends, and the pump that moves bytes
 * between them. It lives and dies on one worker's thread; only the pump frees it, as its last
 * act. */
#pragma once

#include "common/error.h"
#include "proxy/endpoint.h"
#include "proxy/session-limits.h"
#include "proxy/worker.h"

/* What outsiders may know of a session. Strings belong to it. */
typedef struct {
    guint64 id;
    const char *token_id, *client, *console, *state;
    VcConsoleType type;
    gint64 began_us;             /* since 1970 */
    guint64 bytes_in, bytes_out; /* from the client and to it */
} VcpSessionInfo;

/* FALSE: its console is not known yet. */
gboolean vcp_session_describe(const VcpSession *self, VcpSessionInfo *info);

/* Starts with an established websocket: asks the resolver, connects, and so on.
 * tenant: the client's end, which outlives the session or tells it by
 * vcp_session_tenant_gone(). token, slot: full. client: the client's address, for the log.
 * accepted_ms: loop time at which the connection came. */
VcpSession *vcp_session_new(VcpWorker *worker, VcpEndpoint *tenant, char *token, VcpSlot *slot,
                            const char *client, guint64 accepted_ms);

/* Something has changed at an end: moves whatever can be moved, and decides what to wait for.
 * The session may be gone afterwards. */
void vcp_session_pump(VcpSession *self);

/* It has waited for its turn, in the worker's turns; a VcpTurnFunc. */
void vcp_session_on_turn(gpointer session);

/* Ends it for this reason (full), unless it is ending already. Pumps. */
void vcp_session_end(VcpSession *self, GError *reason);

/* The websocket is closed: the tenant end must not be touched any more. Frees the session. */
void vcp_session_tenant_gone(VcpSession *self);

/* A text frame has come: where the console takes none, the session ends. */
void vcp_session_heard_text(VcpSession *self);

/* The client's websocket answered a ping, or sent anything: it is alive. */
void vcp_session_heard(VcpSession *self);
