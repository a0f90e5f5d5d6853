/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The client's connection: HTTP until it becomes a websocket, then an endpoint of its session.
 * libwebsockets calls in here; nothing of the session is freed while it does, except through
 * CLOSED. */
#include "proxy/tenant.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/error.h"
#include "common/token.h"
#include "proxy/front.h"
#include "proxy/headers.h"
#include "proxy/http.h"
#include "proxy/session.h"
#include "proxy/tcp.h"
#include "proxy/timer.h"

/* One TLS record: libwebsockets reads no more than this before it looks at flow control again.
 */
#define RX_SIZE 16384

/* What a refused client has to take its answer and go. */
#define REFUSED_TIMEOUT_MS 2000

/* lws_write()'s type for close frames, which libwebsockets keeps out of its public enum; the
 * same in all of 4.x. */
#define WRITE_CLOSE ((enum lws_write_protocol)4)

/* Of a websocket control frame (RFC 6455, 5.5): code and reason. */
#define MAX_CLOSE_PAYLOAD 125

/* Above the largest write, so that libwebsockets neither cuts nor copies it. */
#define TX_SIZE 70000

typedef struct {
    VcpEndpoint
        end;    /* first; its session is NULL before the upgrade and after the session's end */
    GList link; /* in the worker's lists */
    VcpWorker *worker;
    struct lws *wsi;
    char *client; /* whose connection it is, or whom a trusted proxy named with the upgrade */
    guint64 accepted_ms;
    VcpTimer *deadline; /* until there is a session */

    char *token;         /* between the request's check and the session; nullable */
    VcpSlot *slot;       /* likewise */
    guint retry_after_s; /* what a refused client is told; 0: nothing of its own */
    gboolean is_refused;
    gboolean is_established;

    gboolean close_sent;
    gboolean reads; /* flow control as last set */
    gboolean ping_due;
    guint16 close_code; /* 0: not closing */
    const char *close_reason;
    guint64 acknowledged; /* bytes, when last looked at */
} Tenant;

static void
on_deadline(gpointer data)
{
    Tenant *self = data;

    g_debug("client %s: no websocket within --handshake-timeout", self->client);
    vcp_tenant_kill(&self->end);
}

static void
start_deadline(Tenant *self)
{
    vcp_timer_start(self->deadline,
                    vcp_worker_shared(self->worker)->config->handshake_timeout_s *
                        G_GUINT64_CONSTANT(1000));
}

/* On libuv libwebsockets looks at its time-outs, and at bytes that it held back, only after an
 * event on a socket of its own. What is asked of it from a timer or from the other end of the
 * session needs such an event. */
static void
nudge(Tenant *self)
{
    lws_cancel_service(lws_get_context(self->wsi));
}

/* --- what the session asks for --- */

static void
want(VcpEndpoint *end, gboolean read, gboolean write)
{
    Tenant *self = (Tenant *)end;

    if (read != self->reads) {
        self->reads = read;
        lws_rx_flow_control(self->wsi, read);
        if (read)
            nudge(self);
    }
    if (write)
        lws_callback_on_writable(self->wsi);
}

static const VcpEndpointOps ops = {.want = want};

void
vcp_tenant_ping(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;

    self->ping_due = TRUE;
    self->end.unsent = TRUE;
    lws_callback_on_writable(self->wsi);
}

gboolean
vcp_tenant_made_progress(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;
    guint64 before = self->acknowledged;

    self->acknowledged = vcp_tcp_acknowledged(lws_get_socket_fd(self->wsi));
    return self->acknowledged != before;
}

gboolean
vcp_tenant_has_left(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;
    struct pollfd look = {.fd = lws_get_socket_fd(self->wsi), .events = POLLRDHUP};

    return poll(&look, 1, 0) > 0;
}

void
vcp_tenant_close(VcpEndpoint *end, guint16 code, const char *reason)
{
    Tenant *self = (Tenant *)end;

    self->close_code = code;
    self->close_reason = reason;
    self->ping_due = FALSE;
    self->end.unsent = TRUE;
    lws_callback_on_writable(self->wsi);
}

void
vcp_tenant_kill(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;

    lws_set_timeout(self->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    nudge(self);
}

/* --- the request --- */

/* Before anything is kept or asked for it: a guess costs next to nothing. */
static gboolean
may_try(Tenant *self, GError **error)
{
    self->retry_after_s =
        vcp_guesses_try(vcp_worker_shared(self->worker)->guesses, self->client);
    if (self->retry_after_s == 0)
        return TRUE;
    g_set_error(error, VC_ERROR, VC_ERROR_GUESSES,
                "more than --token-failures; the next token is looked at in %u s",
                self->retry_after_s);
    return FALSE;
}

static gboolean
admit(Tenant *self, GError **error)
{
    char digest[VC_TOKEN_DIGEST_SIZE];
    g_autofree char *address = vc_address_without_port(self->client);

    if (vcp_worker_is_stopping(self->worker)) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_SHUTDOWN, "the daemon is going down");
        return FALSE;
    }
    vc_token_digest(self->token, digest);
    /* The token of a live session is no guess. */
    self->slot = vcp_slot_new_extra(vcp_worker_shared(self->worker)->live, digest);
    if (self->slot == NULL && may_try(self, error))
        self->slot =
            vcp_limits_enter(vcp_worker_shared(self->worker)->limits, address, digest, error);
    return self->slot != NULL;
}

/* The answer must reach a client that has sent more than it should, so the connection is not
 * cut at once: with bytes unread the kernel would reset it. Whatever comes next ends it, and
 * else a short time. */
static int
refuse(Tenant *self, struct lws *wsi, VcError code)
{
    self->is_refused = TRUE;
    vcp_timer_start(self->deadline, REFUSED_TIMEOUT_MS);
    return vcp_http_refuse(wsi, code, self->retry_after_s) ? 1 : -1;
}

static int
on_upgrade(Tenant *self, struct lws *wsi)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *kind = NULL;

    if (self->is_refused)
        return -1;
    /* Anything else, h2c among it, libwebsockets would accept or has answered already. */
    if (!vcp_header_copy(wsi, WSI_TOKEN_UPGRADE, &kind) || kind == NULL)
        return -1;
    if (g_ascii_strcasecmp(kind, "websocket") != 0)
        return refuse(self, wsi, VC_ERROR_BAD_REQUEST);

    self->token =
        vcp_headers_check(wsi, vcp_worker_shared(self->worker)->config, &self->client, &error);
    if (self->token != NULL && admit(self, &error))
        return 0;
    VcError code = vc_error_code(error);
    g_log(G_LOG_DOMAIN, vc_error_log_level(code), "client %s refused with HTTP status %u: %s",
          self->client, vc_error_http_status(code), error->message);
    return refuse(self, wsi, code);
}

static int
refuse_plain(Tenant *self, struct lws *wsi, VcError code)
{
    return refuse(self, wsi, code) > 0 && lws_http_transaction_completed(wsi) == 0 ? 0 : -1;
}

static int
on_http(Tenant *self, struct lws *wsi)
{
    g_autofree char *path = NULL;

    if (self->is_refused)
        return -1;
    /* A connection that is kept alive gets its time anew with each request. */
    self->accepted_ms = uv_now(vcp_worker_loop(self->worker));
    start_deadline(self);
    if (!vcp_header_copy(wsi, WSI_TOKEN_GET_URI, &path) ||
        (path == NULL && !vcp_header_copy(wsi, WSI_TOKEN_HEAD_URI, &path)))
        return -1;
    if (path == NULL)
        return refuse_plain(self, wsi, VC_ERROR_METHOD);
    if (vcp_headers_have_body(wsi))
        return refuse_plain(self, wsi, VC_ERROR_BAD_REQUEST);
    return vcp_http_serve(wsi, path, vcp_worker_shared(self->worker)->config->web_dir);
}

/* libwebsockets takes what does not begin like HTTP for some raw protocol. */
static int
on_no_http(struct lws *wsi)
{
    static const char text[] =
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    unsigned char buffer[LWS_PRE + sizeof text];

    memcpy(buffer + LWS_PRE, text, sizeof text);
    lws_write(wsi, buffer + LWS_PRE, sizeof text - 1, LWS_WRITE_RAW);
    return -1;
}

/* --- the websocket --- */

static int
on_established(Tenant *self)
{
    self->is_established = TRUE;
    self->reads = TRUE;
    g_clear_pointer(&self->deadline, vcp_timer_free);
    vcp_worker_remove_half_open(self->worker, &self->link);
    vcp_worker_add_session(self->worker, &self->link);
    vcp_session_new(self->worker, &self->end, g_steal_pointer(&self->token),
                    g_steal_pointer(&self->slot), self->client, self->accepted_ms);
    return 0;
}

static int
on_receive(Tenant *self, struct lws *wsi, const void *data, size_t length)
{
    VcpSession *session = self->end.session;

    if (session == NULL || self->close_code != 0)
        return 0;
    vcp_session_heard(session);
    if (!lws_frame_is_binary(wsi) && !vcp_session_heard_text(session))
        return 0;
    self->end.bytes_in += length;
    if (!vc_buffer_append(&self->end.in, data, length)) {
        vcp_session_end(session, g_error_new_literal(VC_ERROR, VC_ERROR_INTERNAL,
                                                     "received more than flow control allows"));
        return 0;
    }
    vcp_session_pump(session);
    return 0;
}

/* After each write: the session moves on, and knows whether the client takes what it gets. */
static int
written(Tenant *self, struct lws *wsi, int result)
{
    if (result < 0)
        return -1;
    self->end.unsent = lws_partial_buffered(wsi) != 0 || self->ping_due ||
                       (self->close_code != 0 && !self->close_sent);
    if (self->end.session != NULL)
        vcp_session_pump(self->end.session);
    return 0;
}

/* The close frame is written here and not through lws_close_reason(): a build of
 * libwebsockets 4.1.6 with _DEBUG, as Debian's is, closes twice in a row on libuv (a check of
 * its own), and the second time it does not wait for the frame. */
static int
write_close(Tenant *self, struct lws *wsi)
{
    unsigned char buffer[LWS_PRE + MAX_CLOSE_PAYLOAD];
    unsigned char *payload = buffer + LWS_PRE;
    gsize length = MIN(strlen(self->close_reason), MAX_CLOSE_PAYLOAD - 2);

    self->close_sent = TRUE;
    payload[0] = (unsigned char)(self->close_code >> 8);
    payload[1] = (unsigned char)self->close_code;
    memcpy(payload + 2, self->close_reason, length);
    return written(self, wsi, lws_write(wsi, payload, length + 2, WRITE_CLOSE));
}

/* An answer to ours needs none of its own. */
static int
on_peer_close(Tenant *self)
{
    return self->close_sent ? -1 : 0;
}

static int
write_ping(Tenant *self, struct lws *wsi)
{
    /* Not empty: libwebsockets keeps empty answers to itself. */
    unsigned char buffer[LWS_PRE + 1] = {0};

    self->ping_due = FALSE;
    /* One write a callback: if there is more, it waits for the next. */
    if (vc_buffer_length(&self->end.out) > 0 || self->close_code != 0)
        lws_callback_on_writable(wsi);
    return written(self, wsi, lws_write(wsi, buffer + LWS_PRE, 1, LWS_WRITE_PING));
}

static int
write_data(Tenant *self, struct lws *wsi, gsize length)
{
    int result = lws_write(wsi, vc_buffer_data(&self->end.out), length, LWS_WRITE_BINARY);

    if (result < (int)length)
        return -1;
    vc_buffer_consume(&self->end.out, length);
    self->end.bytes_out += length;
    if (self->close_code != 0)
        lws_callback_on_writable(wsi);
    return written(self, wsi, result);
}

/* Called only once all that was written before has gone. */
static int
on_writable(Tenant *self, struct lws *wsi)
{
    gsize length = vc_buffer_length(&self->end.out);

    if (self->ping_due)
        return write_ping(self, wsi);
    if (length > 0)
        return write_data(self, wsi, length);
    if (self->close_code != 0 && !self->close_sent)
        return write_close(self, wsi);
    return written(self, wsi, 0);
}

static int
on_closed(Tenant *self)
{
    if (!self->is_established)
        return 0;
    self->is_established = FALSE;
    if (self->end.session != NULL)
        vcp_session_tenant_gone(self->end.session);
    return 0;
}

/* --- life --- */

static void
free_tenant(Tenant *self)
{
    on_closed(self);
    if (self->deadline != NULL)
        vcp_worker_remove_half_open(self->worker, &self->link);
    else
        vcp_worker_remove_session(self->worker, &self->link);
    vcp_timer_free(self->deadline);
    vc_secret_free(self->token);
    vcp_slot_free(self->slot);
    vcp_worker_released(self->worker);
    g_free(self->client);
    g_free(self);
}

/* Whether libwebsockets has taken over the descriptor that it was last given on this thread. */
static _Thread_local gboolean was_created;

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    Tenant *self = lws_get_opaque_user_data(wsi);

    if (reason == LWS_CALLBACK_WSI_CREATE)
        was_created = TRUE;
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
        vcp_worker_set_up_tls(lws_context_user(lws_get_context(wsi)), user);
    /* OpenSSL's own verdict, in length; a 0 from here would overrule it. */
    if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION)
        return length != 0 ? 0 : 1;
    if (self == NULL)
        return 0;
    self->wsi = wsi;

    if (reason == LWS_CALLBACK_HTTP)
        return on_http(self, wsi);
    if (reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE)
        return on_upgrade(self, wsi);
    if (reason == LWS_CALLBACK_RAW_ADOPT || reason == LWS_CALLBACK_RAW_RX)
        return on_no_http(wsi);
    if (reason == LWS_CALLBACK_HTTP_FILE_COMPLETION)
        return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
    if (reason == LWS_CALLBACK_ESTABLISHED)
        return on_established(self);
    if (reason == LWS_CALLBACK_RECEIVE)
        return on_receive(self, wsi, in, length);
    if (reason == LWS_CALLBACK_SERVER_WRITEABLE)
        return on_writable(self, wsi);
    if (reason == LWS_CALLBACK_RECEIVE_PONG && self->end.session != NULL)
        vcp_session_heard(self->end.session);
    if (reason == LWS_CALLBACK_WS_PEER_INITIATED_CLOSE)
        return on_peer_close(self);
    if (reason == LWS_CALLBACK_CLOSED)
        return on_closed(self);
    if (reason == LWS_CALLBACK_WSI_DESTROY)
        free_tenant(self);
    return 0;
}

const struct lws_protocols vcp_tenant_protocol = {
    .name = "binary",
    .callback = callback,
    .rx_buffer_size = RX_SIZE,
    .tx_packet_size = TX_SIZE,
};

void
vcp_tenant_adopt(VcpWorker *worker, int fd, char *client)
{
    Tenant *self = g_new0(Tenant, 1);
    lws_adopt_desc_t how = {
        .vh = vcp_worker_vhost(worker),
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
        .fd.sockfd = fd,
        .opaque = self,
    };

    self->end.ops = &ops;
    vc_buffer_init(&self->end.in, vcp_worker_pool(worker));
    vc_buffer_init(&self->end.out, vcp_worker_pool(worker));
    self->link.data = self;
    self->worker = worker;
    self->client = client;
    self->accepted_ms = uv_now(vcp_worker_loop(worker));
    self->deadline = vcp_timer_new(vcp_worker_loop(worker), on_deadline, self);
    start_deadline(self);
    vcp_worker_add_half_open(worker, &self->link);

    /* Without a websocket of its own the connection is still ours; with one it is gone through
     * WSI_DESTROY, even where the result is NULL. */
    was_created = FALSE;
    if (lws_adopt_descriptor_vhost_via_info(&how) == NULL && !was_created) {
        close(fd);
        free_tenant(self);
    }
}
