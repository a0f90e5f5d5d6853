/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A thread with a loop, a libwebsockets context and the sessions that live on them. Workers
 * share nothing but what VcpShared holds, each piece of which is immutable or locked. */
#pragma once

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "common/buffer.h"
#include "common/tls.h"
#include "proxy/config.h"
#include "proxy/endpoint.h"
#include "proxy/guesses.h"
#include "proxy/lease.h"
#include "proxy/metrics.h"
#include "proxy/session-limits.h"
#include "proxy/resolver.h"
#include "proxy/rights.h"
#include "proxy/tickets.h"
#include "proxy/turns.h"

/* What all workers use. The first part is immutable, counted, and may be replaced while they
 * run; of the rest none is owned by them. */
typedef struct {
    VcpConfig *config;
    SSL_CTX *front_certificates;         /* nullable: clear text */
    VcTlsCredentials *credentials;       /* nullable */
    VcTlsCredentials *store_credentials; /* nullable: the store needs none */
    guint resolver_renewals;             /* of the certificates for the resolver */

    VcpLimits *limits;
    VcpGuesses *guesses;
    VcpTokenFile *tokens;         /* nullable: the resolver is external */
    VcpMemory *memory;            /* the store, where it is not the next one */
    const VcpStoreAddress *store; /* nullable */
    VcpLeaseHub *hub;
    VcpSpiceLive *live;
    struct VcpAudit *audit; /* nullable: nobody wants to know */
    const int *is_draining; /* atomic: no new sessions, those that are may stay */
    VcpRights *rights;
    VcpTickets *tickets;
} VcpShared;

typedef struct VcpWorker VcpWorker;

/* Makes the loop and the context, on the main thread: libraries are initialised here. NULL with
 * VC_ERROR_CONFIG. */
VcpWorker *vcp_worker_new(const VcpShared *shared, GError **error);

void vcp_worker_start(VcpWorker *self);

/* Hands over an accepted connection; fd and client (address as text): full. Any thread. */
void vcp_worker_adopt(VcpWorker *self, int fd, char *client);

/* What may be replaced of shared is, soon: sessions take what was there when they needed it.
 * Any thread. */
void vcp_worker_use(VcpWorker *self, const VcpShared *shared);

/* Connections that are or will be the worker's. Any thread. */
guint vcp_worker_load(VcpWorker *self);

/* Calls func on the worker's thread soon. Where the thread ends before that, func is called
 * with NULL for the worker by vcp_worker_free(). Main thread, until vcp_worker_stop(). */
typedef void (*VcpWorkerFunc)(VcpWorker *worker, gpointer data);
void vcp_worker_call(VcpWorker *self, VcpWorkerFunc func, gpointer data);

/* Websockets that are the worker's. Any thread. */
guint vcp_worker_sessions(VcpWorker *self);

/* What it has counted, and chunks that its buffers hold. Any thread. */
const VcpMetrics *vcp_worker_metrics(const VcpWorker *self);
gsize vcp_worker_buffers(const VcpWorker *self);

/* Asks whether the worker's loop turns; it has answered when it does so once more. Any thread.
 */
void vcp_worker_ask_alive(VcpWorker *self);
gboolean vcp_worker_has_answered(const VcpWorker *self);

/* No new sessions; those that are get VC_ERROR_SHUTDOWN, and the thread ends when they are
 * gone, or cut off after a few seconds. Any thread, once. */
void vcp_worker_stop(VcpWorker *self);

/* Waits for the thread and frees; one that was never started too. nullable. */
void vcp_worker_free(VcpWorker *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpWorker, vcp_worker_free)

/* --- for what lives on the worker, on its thread --- */

/* Its config and credentials are those of now; whoever needs them longer keeps a reference. */
const VcpShared *vcp_worker_shared(const VcpWorker *self);
uv_loop_t *vcp_worker_loop(VcpWorker *self);
VcPool *vcp_worker_pool(VcpWorker *self);
VcpResolver *vcp_worker_resolver(VcpWorker *self);
VcpLeases *vcp_worker_leases(VcpWorker *self);
VcpDesk *vcp_worker_desk(VcpWorker *self);
struct lws_vhost *vcp_worker_vhost(VcpWorker *self);
VcpTurns *vcp_worker_turns(VcpWorker *self);
void vcp_worker_set_up_tls(VcpWorker *self, SSL_CTX *tls);
gboolean vcp_worker_is_stopping(const VcpWorker *self);

/* New sessions are welcome. */
gboolean vcp_worker_is_ready(const VcpWorker *self);

/* Every connection is in the list of those without a session or in that of those with one. link
 * is embedded in it; its data is the connection, and with a session the tenant end's
 * VcpEndpoint. Beyond some thousands without a session the oldest are cut off, so that
 * connections that never become one keep nobody out. */
void vcp_worker_add_half_open(VcpWorker *self, GList *link);
void vcp_worker_add_session(VcpWorker *self, GList *link);
void vcp_worker_remove_half_open(VcpWorker *self, GList *link);
void vcp_worker_remove_session(VcpWorker *self, GList *link);

/* Calls func for each session. */
void vcp_worker_each_session(VcpWorker *self, void (*func)(VcpSession *, gpointer),
                             gpointer data);

/* A connection is gone for good. */
void vcp_worker_released(VcpWorker *self);
