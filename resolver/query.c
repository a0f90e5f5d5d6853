/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Paths, who may ask, and answers. */
#include "resolver/query.h"

#include <netinet/in.h>
#include <string.h>

#include "common/error.h"
#include "common/listen.h"
#include "common/token.h"
#include "resolver/metrics.h"

#define BASE          "/consoleresolver/"
#define TOKEN         "token/"
#define EVENTS        "events"
#define MAX_BODY      65536
#define RETRY_AFTER_S "5"

/* A connection; its certificate is looked at once, and again when others may be good. */
typedef struct {
    guint generation; /* of the door that verdict is about; 0: there is none yet */
    VcClientVerdict verdict;
    char *name; /* nullable: subject of the certificate */
} Peer;

typedef struct {
    VcrQueryContext *context;
    struct MHD_Connection *connection;
    gsize body_size;
    gint64 begun_us;                 /* monotonic */
    gboolean is_query;               /* for a token */
    char token_id[VC_TOKEN_ID_SIZE]; /* empty: there is no token */
    VcrRecord *record;               /* nullable */
    VcrPasswordQuery *query;         /* nullable: its password is being read */
} Request;

/* --- connections --- */

static gnutls_session_t
session_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
}

static void
prepare(struct MHD_Connection *connection, VcrQueryContext *context)
{
    gnutls_session_set_ptr(session_of(connection), context->door);
    /* The library's CA is that of the start, which would keep clients of a later one from
     * showing their certificates. */
    gnutls_certificate_send_x509_rdn_sequence(session_of(connection), 1);
}

void
vcr_query_connection(void *cls, struct MHD_Connection *connection, void **peer,
                     enum MHD_ConnectionNotificationCode code)
{
    VcrQueryContext *context = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *peer = g_new0(Peer, 1);
        if (context->door != NULL)
            prepare(connection, context);
        return;
    }
    g_free(((Peer *)*peer)->name);
    g_free(*peer);
}

int
vcr_query_show_certificate(gnutls_session_t session,
                           const struct gnutls_cert_retr_st *info G_GNUC_UNUSED,
                           gnutls_pcert_st **chain, unsigned *length,
                           gnutls_ocsp_data_st **ocsp, unsigned *ocsp_length,
                           gnutls_privkey_t *key, unsigned *flags)
{
    *ocsp = NULL;
    *ocsp_length = 0;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return vcr_door_show(gnutls_session_get_ptr(session), chain, length, key) ? 0 : -1;
}

static Peer *
peer_of(const Request *self)
{
    return MHD_get_connection_info(self->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
        ->socket_context;
}

static VcClientVerdict
verdict_on(const Request *self)
{
    VcrDoor *door = self->context->door;
    Peer *peer = peer_of(self);

    if (door == NULL || !self->context->verifies)
        return VC_CLIENT_ALLOWED;
    guint generation = vcr_door_generation(door);
    if (peer->generation != generation) {
        g_clear_pointer(&peer->name, g_free);
        peer->verdict = vcr_door_check(door, session_of(self->connection), &peer->name);
        peer->generation = generation;
    }
    return peer->verdict;
}

/* --- answers --- */

static char *
client_address(const Request *self)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(self->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct sockaddr_storage address = {0};
    socklen_t length = info->client_addr->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
                       : info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                  : 0;

    address.ss_family = info->client_addr->sa_family;
    memcpy(&address, info->client_addr, length);
    return vc_sockaddr_to_string(&address, length);
}

static void
log_answer(const Request *self, unsigned status, const char *what)
{
    const char *name = peer_of(self)->name;
    g_autofree char *client = client_address(self);

    if (self->is_query)
        vcr_metrics_query(status, g_get_monotonic_time() - self->begun_us);
    g_info("client %s %s token %s: %u %s", client, name != NULL ? name : "(no certificate)",
           self->token_id[0] != '\0' ? self->token_id : "-", status, what);
}

static void
wipe(void *text)
{
    vc_secret_free(text);
}

/* Takes the response. */
static enum MHD_Result
send_response(const Request *self, unsigned status, struct MHD_Response *response,
              const char *type)
{
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        MHD_add_response_header(response, "Retry-After", RETRY_AFTER_S);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(self->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Takes the text. */
static enum MHD_Result
send_text(const Request *self, unsigned status, char *text, const char *type)
{
    return send_response(
        self, status,
        MHD_create_response_from_buffer_with_free_callback(strlen(text), text, wipe), type);
}

static enum MHD_Result
send_plain(const Request *self, unsigned status, const char *text)
{
    return send_text(self, status, g_strdup(text), "text/plain; charset=utf-8");
}

static enum MHD_Result
send_error(const Request *self, unsigned status, const char *what)
{
    log_answer(self, status, what);
    return send_text(self, status, g_strdup_printf("{\"error\": \"%s\"}", what),
                     "application/json");
}

static enum MHD_Result
send_service(const Request *self, const char *password /* nullable */)
{
    const VcService *service = self->record->service;
    json_t *json = vc_service_to_json_with(service, password);
    char *text = json_dumps(json, JSON_COMPACT);

    json_decref(json);
    g_autofree char *what =
        g_strdup_printf("%s %u of guest %s (%s)", service->console_type, service->console_index,
                        service->domain_name, service->domain_uuid);
    log_answer(self, MHD_HTTP_OK, what);
    return send_text(self, MHD_HTTP_OK, text, "application/json");
}

static enum MHD_Result
send_away(const Request *self)
{
    return send_error(self, MHD_HTTP_SERVICE_UNAVAILABLE,
                      "the libvirtd of this token cannot be reached");
}

static enum MHD_Result
send_unknown(const Request *self)
{
    return send_error(self, MHD_HTTP_NOT_FOUND, "the token is unknown");
}

/* --- passwords --- */

static void
on_password(gpointer query G_GNUC_UNUSED, gpointer data)
{
    MHD_resume_connection(data);
}

static enum MHD_Result
ask_for_password(Request *self)
{
    if (g_atomic_int_get(&self->context->is_stopping))
        return send_away(self);
    MHD_suspend_connection(self->connection);
    self->query = vcr_passwords_ask(self->context->passwords, self->record, on_password,
                                    self->connection);
    return MHD_YES;
}

/* While libvirt was asked the guest may have stopped, and another taken its port. */
static enum MHD_Result
send_if_still_there(Request *self, const char *password)
{
    g_autoptr(VcrRecord) record = g_steal_pointer(&self->record);

    switch (vcr_registry_look_up(self->context->registry, record->digest, &self->record)) {
    case VCR_FOUND:
        return send_service(self, password);
    case VCR_UNKNOWN:
    case VCR_AMBIGUOUS:
        return send_unknown(self);
    case VCR_AWAY:
        return send_away(self);
    }
    g_assert_not_reached();
}

static enum MHD_Result
send_with_password(Request *self)
{
    const char *password = NULL;

    switch (vcr_password_query_answer(self->query, &password)) {
    case VCR_PASSWORD_FOUND:
    case VCR_PASSWORD_NONE:
        return send_if_still_there(self, password);
    case VCR_PASSWORD_GONE:
        return send_unknown(self);
    case VCR_PASSWORD_AWAY:
        return send_away(self);
    }
    g_assert_not_reached();
}

/* --- who may ask --- */

/* FALSE: not this client, and *result is that of the answer that says so. */
static gboolean
check_client(Request *self, enum MHD_Result *result)
{
    switch (verdict_on(self)) {
    case VC_CLIENT_NO_CERTIFICATE:
        *result = send_error(self, MHD_HTTP_UNAUTHORIZED, "a client certificate is required");
        return FALSE;
    case VC_CLIENT_UNTRUSTED:
        *result =
            send_error(self, MHD_HTTP_FORBIDDEN, "the client certificate is not accepted");
        return FALSE;
    case VC_CLIENT_NOT_ALLOWED:
        *result =
            send_error(self, MHD_HTTP_FORBIDDEN, "this client is not among those that may ask");
        return FALSE;
    case VC_CLIENT_ALLOWED:
        return TRUE;
    }
    g_assert_not_reached();
}

/* --- tokens --- */

static enum MHD_Result
resolve(Request *self)
{
    if (vc_service_has_expired(self->record->service, g_get_real_time() / G_USEC_PER_SEC))
        return send_error(self, MHD_HTTP_NOT_FOUND, "the token has expired");
    if (self->record->has_password)
        return ask_for_password(self);
    return send_service(self, NULL);
}

static enum MHD_Result
look_up(Request *self, const char *token)
{
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(token, digest);
    g_strlcpy(self->token_id, digest, sizeof self->token_id);
    switch (vcr_registry_look_up(self->context->registry, digest, &self->record)) {
    case VCR_FOUND:
        return resolve(self);
    case VCR_UNKNOWN:
    case VCR_AMBIGUOUS:
        return send_unknown(self);
    case VCR_AWAY:
        return send_away(self);
    }
    g_assert_not_reached();
}

static enum MHD_Result
serve_token(Request *self, const char *escaped)
{
    char *token = g_uri_unescape_string(escaped, NULL);
    enum MHD_Result result =
        token != NULL && vc_token_is_valid(token)
            ? look_up(self, token)
            : send_error(self, MHD_HTTP_BAD_REQUEST, "this is not what a token looks like");
    vc_secret_free(token);
    return result;
}

/* --- events --- */

static enum MHD_Result
serve_events(Request *self)
{
    const char *last_id =
        MHD_lookup_connection_value(self->connection, MHD_HEADER_KIND, "Last-Event-ID");
    struct MHD_Response *response =
        vcr_events_open(self->context->events, self->connection, last_id);

    if (response == NULL)
        return send_error(self, MHD_HTTP_SERVICE_UNAVAILABLE,
                          "there are too many streams of events");
    log_answer(self, MHD_HTTP_OK, "stream of events");
    return send_response(self, MHD_HTTP_OK, response, "text/event-stream");
}

/* --- paths --- */

/* Names of libvirtd and numbers of guests are for those who may ask for tokens. */
static enum MHD_Result
serve_metrics(Request *self)
{
    if (verdict_on(self) != VC_CLIENT_ALLOWED)
        return send_error(self, MHD_HTTP_FORBIDDEN, "this client may not ask");
    return send_text(self, MHD_HTTP_OK,
                     vcr_metrics_text(self->context->hosts, self->context->registry),
                     "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result
serve_ready(Request *self)
{
    return vcr_registry_is_ready(self->context->registry)
               ? send_plain(self, MHD_HTTP_OK, "ready\n")
               : send_plain(self, MHD_HTTP_SERVICE_UNAVAILABLE,
                            "not ready: a libvirtd is not connected and listed\n");
}

/* What follows the slash, or the two slashes that a base with one at its end gives with the Go
 * program; NULL: another path. */
static const char *
skip_base(const char *url)
{
    if (!g_str_has_prefix(url, BASE))
        return NULL;
    url += strlen(BASE);
    return *url == '/' ? url + 1 : url;
}

static enum MHD_Result
route(Request *self, const char *url)
{
    const char *below = skip_base(url);
    enum MHD_Result result;

    self->is_query = below != NULL && g_str_has_prefix(below, TOKEN);
    if (self->is_query)
        return check_client(self, &result) ? serve_token(self, below + strlen(TOKEN)) : result;
    if (below != NULL && strcmp(below, EVENTS) == 0)
        return check_client(self, &result) ? serve_events(self) : result;
    if (strcmp(url, "/healthz") == 0)
        return send_plain(self, MHD_HTTP_OK, "ok\n");
    if (strcmp(url, "/readyz") == 0)
        return serve_ready(self);
    if (strcmp(url, "/metrics") == 0)
        return serve_metrics(self);
    return send_error(self, MHD_HTTP_NOT_FOUND, "there is nothing at this path");
}

/* --- requests --- */

static Request *
request_new(VcrQueryContext *context, struct MHD_Connection *connection)
{
    Request *self = g_new0(Request, 1);

    g_atomic_int_inc(&context->in_flight);
    self->context = context;
    self->connection = connection;
    self->begun_us = g_get_monotonic_time();
    return self;
}

void
vcr_query_completed(void *cls G_GNUC_UNUSED, struct MHD_Connection *connection G_GNUC_UNUSED,
                    void **request, enum MHD_RequestTerminationCode code G_GNUC_UNUSED)
{
    Request *self = *request;

    if (self == NULL)
        return;
    g_atomic_int_add(&self->context->in_flight, -1);
    vcr_password_query_unref(self->query);
    vcr_record_unref(self->record);
    g_free(self);
    *request = NULL;
}

static gboolean
is_allowed_method(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
           strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

/* libmicrohttpd calls once with the headers, then with pieces of a body, then without one, and
 * once more after a pause. */
enum MHD_Result
vcr_query_handle(void *cls, struct MHD_Connection *connection, const char *url,
                 const char *method, const char *version G_GNUC_UNUSED,
                 const char *body G_GNUC_UNUSED, size_t *body_size, void **request)
{
    Request *self = *request;

    if (self == NULL) {
        self = *request = request_new(cls, connection);
        return is_allowed_method(method) ? MHD_YES
                                         : send_error(self, MHD_HTTP_METHOD_NOT_ALLOWED,
                                                      "only GET and HEAD are answered here");
    }
    if (*body_size > 0) {
        self->body_size += *body_size;
        *body_size = 0;
        return self->body_size <= MAX_BODY ? MHD_YES : MHD_NO;
    }
    return self->query != NULL ? send_with_password(self) : route(self, url);
}

size_t
vcr_query_keep_escapes(void *cls G_GNUC_UNUSED, struct MHD_Connection *connection G_GNUC_UNUSED,
                       char *text)
{
    return strlen(text);
}
