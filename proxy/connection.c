/* SPDX-License-Identifier: LGPL-2.1-or-later
 * HTTP until it becomes a websocket, by libwebsockets; then the tenant end has the connection's
 * bytes, and libwebsockets sleeps on it until it is to be closed. */
#include "proxy/connection.h"

#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/error.h"
#include "common/token.h"
#include "proxy/front.h"
#include "proxy/headers.h"
#include "proxy/http.h"
#include "proxy/metrics.h"
#include "proxy/session.h"
#include "proxy/tenant.h"
#include "proxy/timer.h"

/* libwebsockets keeps a buffer of this size for each websocket, and reads no frame into it. */
#define RX_SIZE 128

/* Above the largest write, so that libwebsockets neither cuts nor copies it. */
#define TX_SIZE 70000

/* What a refused client has to take its answer and go. */
#define REFUSED_TIMEOUT_MS 2000

typedef struct {
    VcpWorker *worker;
    struct lws *wsi;
    GList link;   /* in the worker's lists: of itself at first, of its tenant end later */
    char *client; /* whose connection it is, or whom a trusted proxy named with the upgrade */
    guint64 accepted_ms;
    VcpTimer *deadline; /* nullable: there is a session */

    char *token;         /* between the request's check and the session; nullable */
    VcpSlot *slot;       /* likewise */
    guint retry_after_s; /* what a refused client is told; 0: nothing of its own */
    gboolean is_refused;

    uv_prepare_t *upgraded; /* nullable: neither upgraded, nor taken over yet */
    VcpEndpoint *tenant;    /* nullable: not taken over */
} Connection;

/* On libuv libwebsockets looks at its time-outs only after an event on a socket of its own. */
void
vcp_connection_kill(gpointer connection)
{
    Connection *self = connection;

    lws_set_timeout(self->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(self->wsi));
}

static void
on_deadline(gpointer data)
{
    Connection *self = data;

    g_debug("client %s: no websocket within --handshake-timeout", self->client);
    vcp_connection_kill(self);
}

static void
start_deadline(Connection *self)
{
    vcp_timer_start(self->deadline,
                    vcp_worker_shared(self->worker)->config->handshake_timeout_s *
                        G_GUINT64_CONSTANT(1000));
}

/* --- the request --- */

/* Before anything is kept or asked for it: a guess costs next to nothing. */
static gboolean
may_try(Connection *self, GError **error)
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
admit(Connection *self, GError **error)
{
    char digest[VC_TOKEN_DIGEST_SIZE];
    g_autofree char *address = vc_address_without_port(self->client);

    vc_token_digest(self->token, digest);
    /* One more channel of a session that is may come in while others may not, and its token is
     * no guess. */
    if (!vcp_worker_is_stopping(self->worker))
        self->slot = vcp_slot_new_extra(vcp_worker_shared(self->worker)->live, digest);
    if (self->slot != NULL)
        return TRUE;
    if (may_try(self, error))
        self->slot =
            vcp_limits_enter(vcp_worker_shared(self->worker)->limits, address, digest, error);
    /* In this order: whoever begins to drain either finds the place taken or turns it away. */
    if (self->slot == NULL || vcp_worker_is_ready(self->worker))
        return self->slot != NULL;
    g_clear_pointer(&self->slot, vcp_slot_free);
    g_set_error_literal(error, VC_ERROR, VC_ERROR_SHUTDOWN, "the daemon is going down");
    return FALSE;
}

/* The answer must reach a client that has sent more than it should, so the connection is not
 * cut at once: with bytes unread the kernel would reset it. Whatever comes next ends it, and
 * else a short time. */
static int
refuse(Connection *self, struct lws *wsi, VcError code)
{
    self->is_refused = TRUE;
    vcp_timer_start(self->deadline, REFUSED_TIMEOUT_MS);
    return vcp_http_refuse(wsi, code, self->retry_after_s) ? 1 : -1;
}

static int
on_upgrade(Connection *self, struct lws *wsi)
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
    vcp_metrics_failed(code);
    g_log(G_LOG_DOMAIN, vc_error_log_level(code), "client %s refused with HTTP status %u: %s",
          self->client, vc_error_http_status(code), error->message);
    return refuse(self, wsi, code);
}

static int
refuse_plain(Connection *self, struct lws *wsi, VcError code)
{
    return refuse(self, wsi, code) > 0 && lws_http_transaction_completed(wsi) == 0 ? 0 : -1;
}

static int
on_http(Connection *self, struct lws *wsi)
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
    return vcp_http_serve(wsi, path, vcp_worker_shared(self->worker)->config->web_dir,
                          vcp_worker_is_ready(self->worker));
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

static void
free_handle(uv_handle_t *handle)
{
    g_free(handle);
}

static void
stop_waiting(Connection *self)
{
    if (self->upgraded != NULL)
        uv_close((uv_handle_t *)g_steal_pointer(&self->upgraded), free_handle);
}

static void
let_session_go(Connection *self)
{
    if (self->tenant != NULL && self->tenant->session != NULL)
        vcp_session_tenant_gone(self->tenant->session);
}

/* Gives the connection back to libwebsockets, which closes it. */
static void
on_over(gpointer data)
{
    Connection *self = data;

    let_session_go(self);
    lws_set_timeout(self->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static void
take_over(Connection *self)
{
    VcpTenantSetup setup = {
        .loop = vcp_worker_loop(self->worker),
        .pool = vcp_worker_pool(self->worker),
        .fd = lws_get_socket_fd(self->wsi),
        .tls = lws_get_ssl(self->wsi),
        .over = on_over,
        .data = self,
    };

    /* Where the client has sent something behind its request libwebsockets has kept it, and
     * polls the descriptor once more for it whenever its flow control changes. */
    lws_rx_flow_control(self->wsi, 1);
    lws_rx_flow_control(self->wsi, 0);
    self->tenant = vcp_tenant_new(&setup);
    if (self->tenant == NULL) {
        g_debug("client %s: bytes behind a request that was not answered yet", self->client);
        lws_set_timeout(self->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
        return;
    }
    g_clear_pointer(&self->deadline, vcp_timer_free);
    vcp_worker_remove_half_open(self->worker, &self->link);
    self->link.data = self->tenant;
    vcp_worker_add_session(self->worker, &self->link);
    vcp_session_new(self->worker, self->tenant, g_steal_pointer(&self->token),
                    g_steal_pointer(&self->slot), self->client, self->accepted_ms);
}

static void
on_prepare(uv_prepare_t *prepare)
{
    Connection *self = prepare->data;

    stop_waiting(self);
    take_over(self);
}

/* Not at once: what the client has sent behind its request, without waiting for the answer, is
 * put aside only after this. */
static int
on_established(Connection *self)
{
    if (lws_partial_buffered(self->wsi) != 0)
        return -1;
    /* Without a reader libwebsockets takes its descriptor out of the loop. */
    lws_rx_flow_control(self->wsi, 0);
    self->upgraded = g_new0(uv_prepare_t, 1);
    self->upgraded->data = self;
    uv_prepare_init(vcp_worker_loop(self->worker), self->upgraded);
    uv_prepare_start(self->upgraded, on_prepare);
    return 0;
}

/* --- life --- */

static void
free_connection(Connection *self)
{
    stop_waiting(self);
    let_session_go(self);
    if (self->tenant != NULL) {
        vcp_worker_remove_session(self->worker, &self->link);
        vcp_tenant_free(self->tenant);
    } else {
        vcp_worker_remove_half_open(self->worker, &self->link);
    }
    vcp_timer_free(self->deadline);
    vc_secret_free(self->token);
    vcp_slot_free(self->slot);
    vcp_worker_released(self->worker);
    g_free(self->client);
    g_free(self);
}

/* libwebsockets is about to close the descriptor, which nobody may poll then. */
static int
on_closed(Connection *self)
{
    stop_waiting(self);
    let_session_go(self);
    if (self->tenant != NULL)
        vcp_tenant_stop(self->tenant);
    return 0;
}

/* Whether libwebsockets has taken over the descriptor that it was last given on this thread. */
static _Thread_local gboolean was_created;

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in G_GNUC_UNUSED,
         size_t length)
{
    Connection *self = lws_get_opaque_user_data(wsi);

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
    if (reason == LWS_CALLBACK_CLOSED)
        return on_closed(self);
    if (reason == LWS_CALLBACK_WSI_DESTROY)
        free_connection(self);
    return 0;
}

const struct lws_protocols vcp_connection_protocol = {
    .name = "binary",
    .callback = callback,
    .rx_buffer_size = RX_SIZE,
    .tx_packet_size = TX_SIZE,
};

void
vcp_connection_adopt(VcpWorker *worker, int fd, char *client)
{
    Connection *self = g_new0(Connection, 1);
    lws_adopt_desc_t how = {
        .vh = vcp_worker_vhost(worker),
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
        .fd.sockfd = fd,
        .opaque = self,
    };

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
        free_connection(self);
    }
}
