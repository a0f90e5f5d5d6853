/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What a worker counts. Its own thread writes, any thread reads: there is one struct for each
 * worker, and whoever is asked for figures adds them up. */
#pragma once

#include "common/error.h"
#include "common/metrics.h"
#include "common/service.h"

#define VCP_N_TYPES  (VC_N_CONSOLE_TYPES + 1) /* the last: not known yet */
#define VCP_N_STATES 6                        /* of sessions: those of session.c */

typedef enum {
    VCP_RESOLVED_FOUND,
    VCP_RESOLVED_UNKNOWN,
    VCP_RESOLVED_FAILED,
    VCP_N_RESOLVED
} VcpResolvedAs;

typedef enum { VCP_TLS_OF_CLIENT, VCP_TLS_OF_CONSOLE, VCP_TLS_OF_STORE, VCP_N_TLS } VcpTlsSide;

typedef struct {
    guint64 sessions[VCP_N_TYPES][VCP_N_STATES]; /* at this moment */
    guint64 started[VCP_N_TYPES];
    guint64 ended[VC_N_ERRORS]; /* of those that had started */
    guint64 failed[VC_N_ERRORS];
    guint64 received, sent; /* bytes, from clients and to them */
    guint64 resolved[VCP_N_RESOLVED];
    guint64 tls_errors[VCP_N_TLS];
    guint64 store_errors, audit_errors;
    VcHistogram resolver, lag;
} VcpMetrics;

/* From now on what happens on this thread counts there; not owned, NULL: nowhere. Whatever
 * follows may be called on any thread, those without metrics too. */
void vcp_metrics_use(VcpMetrics *metrics);

/* A session's place among the gauges. */
typedef struct {
    gboolean is_counted;
    guint type, state;
} VcpMetricsPlace;

/* What a session's state is called outside: "resolving", "spliced" … */
const char *vcp_metrics_state_name(guint state);

/* type: VC_N_CONSOLE_TYPES where it is not known. */
void vcp_metrics_session_is(VcpMetricsPlace *place, guint type, guint state);
void vcp_metrics_session_gone(VcpMetricsPlace *place);

void vcp_metrics_started(VcConsoleType type);
void vcp_metrics_ended(VcError code);

/* A client that got no console: refused, or ended before its bytes flowed. */
void vcp_metrics_failed(VcError code);

void vcp_metrics_received(gsize bytes);
void vcp_metrics_sent(gsize bytes);

/* us: how long the resolver took. code: why it gave no service; VC_ERROR_ENDED: it gave one. */
void vcp_metrics_resolved(gint64 us, VcError code);

void vcp_metrics_tls_error(VcpTlsSide side);
void vcp_metrics_store_error(void);
void vcp_metrics_audit_error(void);
void vcp_metrics_lag(gint64 us);

/* Adds from to sum; sum: of the caller alone. Any thread. */
void vcp_metrics_add(VcpMetrics *sum, const VcpMetrics *from);

/* Prometheus's text of the sums. */
void vcp_metrics_write(const VcpMetrics *sum, GString *text);
