/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Paths, who may ask, and answers. */
#include "proxy/admin-request.h"

#include <string.h>

#include "common/client.h"
#include "proxy/resolver.h"
#include "proxy/survey.h"
#include "vc-build.h"

#define SESSIONS      "/sessions/"
#define PREFIX        "virtconsoleproxy_"
#define MAX_BODY      65536
#define MAX_DRAIN_S   86400
#define ANSWER_MS     3000 /* that workers have */
#define PLAIN         "text/plain; charset=utf-8"
#define METRICS       "text/plain; version=0.0.4; charset=utf-8"
#define INVALID_DRAIN "timeout must be a whole number of seconds\n"

typedef struct {
    VcpAdminContext *context;
    struct MHD_Connection *connection;
    gsize body_size;
    VcpSurvey *survey; /* nullable: it waits for none */
    guint64 deadline_ms;
    GList link; /* in context's waiting, while data is set */
} Request;

/* --- answers --- */

/* Takes the text. */
static enum MHD_Result
send_text(const Request *self, unsigned status, char *text, const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(strlen(text), text, g_free);

    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(self->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
send_plain(const Request *self, unsigned status, const char *text)
{
    return send_text(self, status, g_strdup(text), PLAIN);
}

static enum MHD_Result
send_not_allowed(const Request *self, const char *allowed)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);

    MHD_add_response_header(response, "Allow", allowed);
    enum MHD_Result result =
        MHD_queue_response(self->connection, MHD_HTTP_METHOD_NOT_ALLOWED, response);
    MHD_destroy_response(response);
    return result;
}

static VcpMetrics
sum_of(const VcpAdminSetup *setup)
{
    VcpMetrics sum = {0};

    for (guint i = 0; i < setup->n_workers; i++)
        vcp_metrics_add(&sum, vcp_worker_metrics(setup->workers[i]));
    return sum;
}

static gboolean
is_draining(const VcpAdminSetup *setup)
{
    return g_atomic_int_get(setup->shared->is_draining);
}

static guint64
count_connections(const VcpAdminSetup *setup)
{
    guint64 sum = 0;

    for (guint i = 0; i < setup->n_workers; i++)
        sum += vcp_worker_load(setup->workers[i]);
    return sum;
}

/* --- metrics --- */

static void
write_state(const VcpAdminContext *context, GString *text)
{
    const VcpAdminSetup *setup = &context->setup;
    g_autofree char *version = vc_metrics_label("version", VC_VERSION);
    guint64 buffers = 0;

    for (guint i = 0; i < setup->n_workers; i++)
        buffers += vcp_worker_buffers(setup->workers[i]);
    vc_metrics_head(text, PREFIX "build_info", "gauge",
                    "Always 1; the label tells the version.");
    vc_metrics_value(text, PREFIX "build_info", version, 1);
    vc_metrics_one(text, PREFIX "ready", "gauge", "1: new sessions are welcome. 0: it drains.",
                   !is_draining(setup));
    vc_metrics_one(text, PREFIX "workers", "gauge", "Worker threads.", setup->n_workers);
    vc_metrics_one(text, PREFIX "connections", "gauge",
                   "Clients' connections, those that are no sessions among them.",
                   count_connections(setup));
    vc_metrics_one(text, PREFIX "buffers", "gauge", "Buffers of 64 KiB that hold bytes now.",
                   buffers);
    if (setup->shared->tokens != NULL)
        vc_metrics_one(text, PREFIX "tokens", "gauge", "Tokens of the builtin resolver.",
                       vcp_token_file_count(setup->shared->tokens));
}

static enum MHD_Result
serve_metrics(const Request *self)
{
    GString *text = g_string_new(NULL);
    VcpMetrics sum = sum_of(&self->context->setup);

    write_state(self->context, text);
    vcp_metrics_write(&sum, text);
    vc_metrics_process(text);
    vc_metrics_head(text, "process_start_time_seconds", "gauge",
                    "Start, in seconds since 1970.");
    vc_metrics_real(text, "process_start_time_seconds", NULL,
                    (double)self->context->began_us / G_USEC_PER_SEC);
    return send_text(self, MHD_HTTP_OK, g_string_free(text, FALSE), METRICS);
}

/* --- status and kill: what only the workers know --- */

static enum MHD_Result
ask_workers(Request *self, guint64 kill_id)
{
    const VcpAdminSetup *setup = &self->context->setup;

    MHD_suspend_connection(self->connection);
    self->deadline_ms = uv_now(setup->loop) + ANSWER_MS;
    self->link.data = self;
    g_queue_push_tail_link(&self->context->waiting, &self->link);
    self->survey =
        vcp_survey_new(setup->workers, setup->n_workers, kill_id, &self->context->wake);
    return MHD_YES;
}

static json_t *
make_totals(const VcpAdminSetup *setup, json_t *sessions)
{
    VcpMetrics sum = sum_of(setup);
    guint64 started = 0, ended = 0;

    for (guint i = 0; i < VCP_N_TYPES; i++)
        started += sum.started[i];
    for (guint i = 0; i < VC_N_ERRORS; i++)
        ended += sum.ended[i];
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "sessions",
                     (json_int_t)json_array_size(sessions), "connections",
                     (json_int_t)count_connections(setup), "started", (json_int_t)started,
                     "ended", (json_int_t)ended, "bytesIn", (json_int_t)sum.received,
                     "bytesOut", (json_int_t)sum.sent);
}

static enum MHD_Result
send_status(Request *self)
{
    const VcpAdminSetup *setup = &self->context->setup;
    g_autoptr(GDateTime) began =
        g_date_time_new_from_unix_utc(self->context->began_us / G_USEC_PER_SEC);
    g_autofree char *time = g_date_time_format(began, "%Y-%m-%dT%H:%M:%SZ");
    json_t *sessions = vcp_survey_take_sessions(self->survey);
    json_t *status =
        json_pack("{s:s, s:s, s:b, s:i, s:o, s:o}", "version", VC_VERSION, "startedAt", time,
                  "draining", is_draining(setup), "workers", (int)setup->n_workers, "totals",
                  make_totals(setup, sessions), "sessions", sessions);
    char *text = json_dumps(status, JSON_COMPACT);
    char *line = g_strconcat(text, "\n", NULL);

    free(text);
    json_decref(status);
    return send_text(self, MHD_HTTP_OK, line, "application/json");
}

static enum MHD_Result
send_answer_of_workers(Request *self, gboolean is_kill)
{
    if (!vcp_survey_is_done(self->survey))
        return send_plain(self, MHD_HTTP_SERVICE_UNAVAILABLE,
                          "a worker has not answered in time\n");
    if (!is_kill)
        return send_status(self);
    return vcp_survey_has_killed(self->survey)
               ? send_plain(self, MHD_HTTP_OK, "ended\n")
               : send_plain(self, MHD_HTTP_NOT_FOUND, "there is no such session\n");
}

void
vcp_admin_resume(VcpAdminContext *context, gboolean all)
{
    guint64 now = uv_now(context->setup.loop);
    GList *next;

    for (GList *at = context->waiting.head; at != NULL; at = next) {
        Request *request = at->data;
        next = at->next;
        if (!all && !vcp_survey_is_done(request->survey) && now < request->deadline_ms)
            continue;
        g_queue_unlink(&context->waiting, at);
        at->data = NULL;
        MHD_resume_connection(request->connection);
    }
}

guint64
vcp_admin_deadline_ms(const VcpAdminContext *context)
{
    const Request *first = context->waiting.head != NULL ? context->waiting.head->data : NULL;

    return first != NULL ? first->deadline_ms : 0;
}

/* --- drain --- */

static enum MHD_Result
serve_drain(const Request *self)
{
    const VcpAdminSetup *setup = &self->context->setup;
    const char *given =
        MHD_lookup_connection_value(self->connection, MHD_GET_ARGUMENT_KIND, "timeout");
    guint64 timeout_s = setup->shared->config->drain_timeout_s;

    if (given != NULL &&
        !g_ascii_string_to_unsigned(given, 10, 0, MAX_DRAIN_S, &timeout_s, NULL))
        return send_plain(self, MHD_HTTP_BAD_REQUEST, INVALID_DRAIN);
    g_message("asked to drain by an administrator");
    setup->drain((guint)timeout_s, setup->data);
    return send_plain(self, MHD_HTTP_ACCEPTED, "draining\n");
}

/* --- requests --- */

static gboolean
is_get(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
           strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static enum MHD_Result
serve_kill(Request *self, const char *id)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned(id, 10, 1, G_MAXINT64, &number, NULL))
        return send_plain(self, MHD_HTTP_NOT_FOUND, "there is no such session\n");
    return ask_workers(self, number);
}

static enum MHD_Result
route(Request *self, const char *url, const char *method)
{
    if (strcmp(url, "/status") == 0)
        return is_get(method) ? ask_workers(self, 0) : send_not_allowed(self, "GET, HEAD");
    if (strcmp(url, "/metrics") == 0)
        return is_get(method) ? serve_metrics(self) : send_not_allowed(self, "GET, HEAD");
    if (strcmp(url, "/drain") == 0)
        return strcmp(method, MHD_HTTP_METHOD_POST) == 0 ? serve_drain(self)
                                                         : send_not_allowed(self, "POST");
    if (g_str_has_prefix(url, SESSIONS))
        return strcmp(method, MHD_HTTP_METHOD_DELETE) == 0
                   ? serve_kill(self, url + strlen(SESSIONS))
                   : send_not_allowed(self, "DELETE");
    return send_plain(self, MHD_HTTP_NOT_FOUND, "there is nothing at this path\n");
}

/* A unix socket's file says who may connect to it; over TLS the certificate does. No page of a
 * browser has anything to ask here, though the browser may have the certificate. */
static gboolean
is_allowed(const Request *self)
{
    static char *anybody[] = {NULL};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(self->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    g_autofree char *name = NULL;

    if (MHD_lookup_connection_value(self->connection, MHD_HEADER_KIND, "Origin") != NULL)
        return FALSE;
    return info == NULL || info->tls_session == NULL ||
           vc_client_check(info->tls_session, self->context->trust, anybody, &name) ==
               VC_CLIENT_ALLOWED;
}

static Request *
request_new(VcpAdminContext *context, struct MHD_Connection *connection)
{
    Request *self = g_new0(Request, 1);

    self->context = context;
    self->connection = connection;
    return self;
}

void
vcp_admin_completed(void *cls G_GNUC_UNUSED, struct MHD_Connection *connection G_GNUC_UNUSED,
                    void **request, enum MHD_RequestTerminationCode code G_GNUC_UNUSED)
{
    Request *self = *request;

    if (self == NULL)
        return;
    if (self->link.data != NULL)
        g_queue_unlink(&self->context->waiting, &self->link);
    vcp_survey_free(self->survey);
    g_free(self);
    *request = NULL;
}

/* libmicrohttpd calls once with the headers, then with pieces of a body, then without one, and
 * once more after a pause. */
enum MHD_Result
vcp_admin_handle(void *cls, struct MHD_Connection *connection, const char *url,
                 const char *method, const char *version G_GNUC_UNUSED,
                 const char *body G_GNUC_UNUSED, size_t *body_size, void **request)
{
    Request *self = *request;

    if (self == NULL) {
        *request = request_new(cls, connection);
        return MHD_YES;
    }
    if (*body_size > 0) {
        self->body_size += *body_size;
        *body_size = 0;
        return self->body_size <= MAX_BODY ? MHD_YES : MHD_NO;
    }
    if (self->survey != NULL)
        return send_answer_of_workers(self, strcmp(method, MHD_HTTP_METHOD_DELETE) == 0);
    return is_allowed(self) ? route(self, url, method)
                            : send_plain(self, MHD_HTTP_FORBIDDEN, "forbidden\n");
}
