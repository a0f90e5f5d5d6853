/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Counting on the worker's thread, and the names that the counts have outside. */
#include "proxy/metrics.h"

#define PREFIX "virtconsoleproxy_"

/* In session.c's order. */
static const char *const state_names[VCP_N_STATES] = {"resolving", "claiming", "handshake",
                                                      "spliced",   "refusing", "closing"};

/* What counts is deep inside of sessions, TLS and the store; a worker is a thread, so it need
 * not be handed down to all of them. */
static _Thread_local VcpMetrics *here;

void
vcp_metrics_use(VcpMetrics *metrics)
{
    here = metrics;
}

static void
count(guint64 *counter)
{
    vc_count(counter, 1);
}

/* --- sessions --- */

const char *
vcp_metrics_state_name(guint state)
{
    return state_names[state];
}

void
vcp_metrics_session_gone(VcpMetricsPlace *place)
{
    if (here != NULL && place->is_counted)
        vc_count(&here->sessions[place->type][place->state], (guint64)-1);
    place->is_counted = FALSE;
}

void
vcp_metrics_session_is(VcpMetricsPlace *place, guint type, guint state)
{
    if (place->is_counted && place->type == type && place->state == state)
        return;
    g_assert(type < VCP_N_TYPES && state < VCP_N_STATES);
    vcp_metrics_session_gone(place);
    *place = (VcpMetricsPlace){TRUE, type, state};
    if (here != NULL)
        count(&here->sessions[type][state]);
}

void
vcp_metrics_started(VcConsoleType type)
{
    if (here != NULL)
        count(&here->started[type]);
}

void
vcp_metrics_ended(VcError code)
{
    if (here != NULL)
        count(&here->ended[code]);
}

void
vcp_metrics_failed(VcError code)
{
    if (here != NULL)
        count(&here->failed[code]);
}

void
vcp_metrics_received(gsize bytes)
{
    if (here != NULL)
        vc_count(&here->received, bytes);
}

void
vcp_metrics_sent(gsize bytes)
{
    if (here != NULL)
        vc_count(&here->sent, bytes);
}

/* --- what they need --- */

void
vcp_metrics_resolved(gint64 us, VcError code)
{
    VcpResolvedAs as = code == VC_ERROR_ENDED   ? VCP_RESOLVED_FOUND
                       : code == VC_ERROR_TOKEN ? VCP_RESOLVED_UNKNOWN
                                                : VCP_RESOLVED_FAILED;

    if (here == NULL)
        return;
    count(&here->resolved[as]);
    vc_histogram_add(&here->resolver, us);
}

void
vcp_metrics_tls_error(VcpTlsSide side)
{
    if (here != NULL)
        count(&here->tls_errors[side]);
}

void
vcp_metrics_store_error(void)
{
    if (here != NULL)
        count(&here->store_errors);
}

void
vcp_metrics_audit_error(void)
{
    if (here != NULL)
        count(&here->audit_errors);
}

void
vcp_metrics_lag(gint64 us)
{
    if (here != NULL)
        vc_histogram_add(&here->lag, us);
}

/* --- the sum --- */

static void
add(guint64 *sum, const guint64 *from, gsize n)
{
    for (gsize i = 0; i < n; i++)
        sum[i] += vc_counted(&from[i]);
}

void
vcp_metrics_add(VcpMetrics *sum, const VcpMetrics *from)
{
    for (gsize i = 0; i < VCP_N_TYPES; i++)
        add(sum->sessions[i], from->sessions[i], VCP_N_STATES);
    add(sum->started, from->started, VCP_N_TYPES);
    add(sum->ended, from->ended, VC_N_ERRORS);
    add(sum->failed, from->failed, VC_N_ERRORS);
    add(&sum->received, &from->received, 1);
    add(&sum->sent, &from->sent, 1);
    add(sum->resolved, from->resolved, VCP_N_RESOLVED);
    add(sum->tls_errors, from->tls_errors, VCP_N_TLS);
    add(&sum->store_errors, &from->store_errors, 1);
    add(&sum->audit_errors, &from->audit_errors, 1);
    vc_histogram_merge(&sum->resolver, &from->resolver);
    vc_histogram_merge(&sum->lag, &from->lag);
}

/* --- the text --- */

static const char *
type_name(guint type)
{
    return type < VC_N_CONSOLE_TYPES ? vc_console_type_name((VcConsoleType)type) : "unknown";
}

static void
write_sessions(const VcpMetrics *sum, GString *text)
{
    vc_metrics_head(text, PREFIX "sessions", "gauge",
                    "Websockets that are sessions now, by console and state.");
    for (guint type = 0; type < VCP_N_TYPES; type++) {
        for (guint state = 0; state < VCP_N_STATES; state++) {
            g_autofree char *labels = g_strdup_printf("type=\"%s\",state=\"%s\"",
                                                      type_name(type), state_names[state]);
            vc_metrics_value(text, PREFIX "sessions", labels, sum->sessions[type][state]);
        }
    }
    vc_metrics_head(text, PREFIX "sessions_started_total", "counter",
                    "Sessions whose console was found, by console.");
    for (guint type = 0; type < VC_N_CONSOLE_TYPES; type++) {
        g_autofree char *label = vc_metrics_label("type", type_name(type));
        vc_metrics_value(text, PREFIX "sessions_started_total", label, sum->started[type]);
    }
}

static void
write_by_reason(GString *text, const char *name, const char *help, const guint64 *counts)
{
    vc_metrics_head(text, name, "counter", help);
    for (guint code = 0; code < VC_N_ERRORS; code++) {
        if (code == VC_ERROR_CONFIG)
            continue;
        g_autofree char *label = vc_metrics_label("reason", vc_error_name((VcError)code));
        vc_metrics_value(text, name, label, counts[code]);
    }
}

static void
write_resolver(const VcpMetrics *sum, GString *text)
{
    static const char *const results[VCP_N_RESOLVED] = {"found", "unknown", "failed"};

    vc_metrics_head(text, PREFIX "resolver_queries_total", "counter",
                    "Questions to the resolver that were answered or given up, by result.");
    for (guint i = 0; i < VCP_N_RESOLVED; i++) {
        g_autofree char *label = vc_metrics_label("result", results[i]);
        vc_metrics_value(text, PREFIX "resolver_queries_total", label, sum->resolved[i]);
    }
    vc_metrics_histogram(text, PREFIX "resolver_query_seconds",
                         "How long the resolver took to answer.", &sum->resolver);
}

static void
write_errors(const VcpMetrics *sum, GString *text)
{
    static const char *const sides[VCP_N_TLS] = {"client", "console", "store"};

    vc_metrics_head(text, PREFIX "tls_errors_total", "counter",
                    "TLS handshakes that failed, by the peer.");
    for (guint i = 0; i < VCP_N_TLS; i++) {
        g_autofree char *label = vc_metrics_label("peer", sides[i]);
        vc_metrics_value(text, PREFIX "tls_errors_total", label, sum->tls_errors[i]);
    }
    vc_metrics_one(text, PREFIX "store_errors_total", "counter",
                   "Requests to the shared store that got no answer of use.",
                   sum->store_errors);
    vc_metrics_one(text, PREFIX "audit_errors_total", "counter",
                   "Audit records that could not be written.", sum->audit_errors);
}

void
vcp_metrics_write(const VcpMetrics *sum, GString *text)
{
    write_sessions(sum, text);
    write_by_reason(text, PREFIX "sessions_ended_total",
                    "Ends of sessions that had started, by reason.", sum->ended);
    write_by_reason(text, PREFIX "handshake_failures_total",
                    "Clients that got no console, by reason.", sum->failed);
    vc_metrics_one(text, PREFIX "received_bytes_total", "counter",
                   "Payload received from clients.", sum->received);
    vc_metrics_one(text, PREFIX "sent_bytes_total", "counter", "Payload sent to clients.",
                   sum->sent);
    write_resolver(sum, text);
    write_errors(sum, text);
    vc_metrics_histogram(text, PREFIX "event_loop_lag_seconds",
                         "By how much a worker's timer was late; it fires once a second.",
                         &sum->lag);
}
