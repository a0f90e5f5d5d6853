/* SPDX-License-Identifier: LGPL-2.1-or-later
 * libcurl says which sockets and when; libuv watches them. */
#include "proxy/transfers.h"

#include "proxy/timer.h"

#define MAX_IDLE_S 60L

struct VcpTransfers {
    uv_loop_t *loop;
    CURLM *multi;
    VcpTimer *timer;
    VcpTransferEnded ended;
    gpointer data;
};

static void
look_for_finished(VcpTransfers *self)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(self->multi, &left)) != NULL) {
        /* The message is gone when the transfer is. */
        CURLcode result = message->data.result;
        if (message->msg == CURLMSG_DONE)
            self->ended(message->easy_handle, result, self->data);
    }
}

typedef struct {
    uv_poll_t poll; /* first: the closed handle is freed as the socket */
    VcpTransfers *self;
    curl_socket_t fd;
} Socket;

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    Socket *socket = poll->data;
    VcpTransfers *self = socket->self;
    int running, flags = 0;

    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(self->multi, socket->fd, flags, &running);
    look_for_finished(self);
}

static void
on_socket_closed(uv_handle_t *handle)
{
    g_free(handle->data);
}

static Socket *
watch(VcpTransfers *self, curl_socket_t fd)
{
    Socket *socket = g_new0(Socket, 1);

    socket->self = self;
    socket->fd = fd;
    int failure = uv_poll_init(self->loop, &socket->poll, fd);
    g_assert(failure == 0);
    socket->poll.data = socket;
    curl_multi_assign(self->multi, fd, socket);
    return socket;
}

static int
on_socket(CURL *transfer, curl_socket_t fd, int what, void *user, void *assigned)
{
    VcpTransfers *self = user;
    Socket *socket = assigned;

    (void)transfer;
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(self->multi, fd, NULL);
        if (socket != NULL)
            uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
        return 0;
    }
    if (socket == NULL)
        socket = watch(self, fd);
    uv_poll_start(&socket->poll,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  on_poll);
    return 0;
}

static void
on_timeout(gpointer data)
{
    VcpTransfers *self = data;
    int running;

    curl_multi_socket_action(self->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    look_for_finished(self);
}

static int
on_timer(CURLM *multi, long timeout_ms, void *user)
{
    VcpTransfers *self = user;

    (void)multi;
    if (timeout_ms < 0)
        vcp_timer_stop(self->timer);
    else
        vcp_timer_start(self->timer, (guint64)timeout_ms);
    return 0;
}

VcpTransfers *
vcp_transfers_new(uv_loop_t *loop, long max_connections, VcpTransferEnded ended, gpointer data)
{
    VcpTransfers *self = g_new0(VcpTransfers, 1);

    self->loop = loop;
    self->ended = ended;
    self->data = data;
    self->timer = vcp_timer_new(loop, on_timeout, self);
    self->multi = curl_multi_init();
    curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, self);
    curl_multi_setopt(self->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(self->multi, CURLMOPT_TIMERDATA, self);
    curl_multi_setopt(self->multi, CURLMOPT_MAX_HOST_CONNECTIONS, max_connections);
    return self;
}

void
vcp_transfers_free(VcpTransfers *self)
{
    if (self == NULL)
        return;
    curl_multi_cleanup(self->multi);
    vcp_timer_free(self->timer);
    g_free(self);
}

void
vcp_transfers_add(VcpTransfers *self, CURL *transfer)
{
    curl_multi_add_handle(self->multi, transfer);
}

void
vcp_transfers_remove(VcpTransfers *self, CURL *transfer)
{
    curl_multi_remove_handle(self->multi, transfer);
}

/* --- to the resolver --- */

char *
vcp_transfer_uri(const VcpConfig *config, const char *prefix, const char *rest)
{
    const char *base = config->resolver_uri;

    return g_strconcat(base, g_str_has_suffix(base, "/") ? "" : "/", prefix, rest, NULL);
}

static void
set_tls(CURL *transfer, const VcpConfig *config)
{
    curl_easy_setopt(transfer, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(transfer, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(transfer, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(transfer, CURLOPT_SSLCERT, config->resolver_tls_cert);
    curl_easy_setopt(transfer, CURLOPT_SSLKEY, config->resolver_tls_key);
    curl_easy_setopt(transfer, CURLOPT_CAINFO, config->resolver_tls_ca);
    curl_easy_setopt(transfer, CURLOPT_CAPATH, NULL);
}

CURL *
vcp_transfer_new(const VcpConfig *config, const char *uri)
{
    CURL *transfer = curl_easy_init();

    curl_easy_setopt(transfer, CURLOPT_URL, uri);
    curl_easy_setopt(transfer, CURLOPT_PROTOCOLS_STR,
                     config->resolver_insecure ? "https,http" : "https");
    curl_easy_setopt(transfer, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(transfer, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(transfer, CURLOPT_NOSIGNAL, 1L);
    /* A name that hangs must not hold up the loop when its transfer is given up. */
    curl_easy_setopt(transfer, CURLOPT_QUICK_EXIT, 1L);
    /* Tokens go to the resolver and nowhere else, whatever http_proxy or a .netrc says. */
    curl_easy_setopt(transfer, CURLOPT_PROXY, "");
    curl_easy_setopt(transfer, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(transfer, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(transfer, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(transfer, CURLOPT_MAXAGE_CONN, MAX_IDLE_S);
    set_tls(transfer, config);
    return transfer;
}
