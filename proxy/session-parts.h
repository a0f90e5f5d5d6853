/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The inside of a session, for the files that it is made of and nobody else: session.c (the
 * pump and the end), session-begin.c, session-clock.c, session-report.c. All on the worker's
 * thread. */
#pragma once

#include "common/token.h"
#include "proxy/admission.h"
#include "proxy/audit.h"
#include "proxy/handshake.h"
#include "proxy/liveness.h"
#include "proxy/metrics.h"
#include "proxy/notary.h"
#include "proxy/session.h"
#include "proxy/tenure.h"
#include "proxy/timer.h"

/* How long a client may take to answer a close frame. */
#define CLOSE_TIMEOUT_MS 3000

/* metrics.c has names for them. */
typedef enum { RESOLVING, CLAIMING, HANDSHAKE, SPLICED, REFUSING, CLOSING } State;

struct VcpSession {
    VcpWorker *worker;
    State state;
    guint64 id; /* 0 until it has started: until its console is known */
    VcpEndpoint *ends[2];
    VcpHandshake *handshake; /* nullable */
    gboolean tls_started;
    gboolean was_connected; /* the handshake knows that the connection stands */
    gboolean heard_text;
    gboolean was_spliced;
    gboolean is_pumping, pump_again, is_gone;

    char *token; /* wiped with the session */
    char token_id[VC_TOKEN_ID_SIZE];
    char *client;
    VcpSlot *slot;
    VcService *service;      /* nullable */
    VcpQuery *query;         /* nullable */
    VcpAdmission *admission; /* nullable: it holds nothing */
    VcpNotary *notary;       /* nullable: the handshake has no notes */
    VcpNoteKind noted;       /* the last one */
    VcpRight *right;         /* nullable: it is ending */
    GError *reason;          /* nullable; why it ends */

    VcpTimer *clock;
    guint64 clock_due_ms; /* 0: stopped */
    GList turn;           /* in the worker's turns, while... */
    gboolean has_more;    /* it has more to move than one turn allows */
    guint64 started_ms;
    guint audit_ticket;
    gint64 began_us;     /* since 1970; when its console was known */
    gint64 asked_us;     /* when the resolver was */
    guint64 deadline_ms; /* of the handshake, the refusal or the close */
    guint64 farewell_ms; /* until the console must have taken what came before the client's
                            close frame; 0: no such frame, or no such bytes */
    guint64 patience_ms; /* until the handshake's time is up; 0: it has no time of its own */
    VcpLiveness life;
    VcpTenure tenure;
    guint idle_timeout_s, session_limit_s; /* as the proxy was set when it began */
    guint64 used_ms, used_bytes; /* when the client last sent something, and how much in all */
    guint64 peeked_traffic;
    VcpMetricsPlace place;
};

static inline guint64
now_ms(const VcpSession *self)
{
    return uv_now(vcp_worker_loop(self->worker));
}

static inline const VcpConfig *
config_of(const VcpSession *self)
{
    return vcp_worker_shared(self->worker)->config;
}

static inline guint64
compute_traffic(const VcpSession *self)
{
    const VcpEndpoint *compute = self->ends[VCP_COMPUTE];

    return compute != NULL ? compute->bytes_in + compute->bytes_out : 0;
}

/* --- session.c --- */

/* Moves the session towards its end, unless it is on its way there; does not pump. */
void vcp_session_fail(VcpSession *self, GError *reason /* full */);
void vcp_session_fail_with(VcpSession *self, VcError code, const char *message);

/* What is left goes out, and then the close frame. */
void vcp_session_start_closing(VcpSession *self);

/* --- session-begin.c --- */

/* The resolver's answer; a VcpResolved. */
void vcp_session_on_resolved(VcService *service, const GError *error, gpointer data);

/* What is heard of the session's right later. */
void vcp_session_on_right_told(VcService *service, gpointer data);

/* Brings the handshake's notes, if it has left any, before the store. */
void vcp_session_note_down(VcpSession *self);

/* --- session-clock.c --- */

/* The service's own limits go before the proxy's. */
void vcp_session_set_tenure(VcpSession *self, const VcService *service);

/* Before a session ends because another one of its token has, or the hypervisor has closed it:
 * ends it for what has ended that one, if its own time or right is over as well. */
void vcp_session_look_for_reason(VcpSession *self);

/* The client was busy now; or, by the bytes that came from it, may have been. */
void vcp_session_note_use(VcpSession *self);
void vcp_session_note_bytes(VcpSession *self);

/* Wakes the session when something is due. */
void vcp_session_set_clock(VcpSession *self);
void vcp_session_on_clock(gpointer data);

/* --- session-report.c --- */

/* Log and audit; metrics. */
void vcp_session_log_start(VcpSession *self);
void vcp_session_log_end(const VcpSession *self);
void vcp_session_count_end(VcpSession *self);
