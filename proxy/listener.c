/* SPDX-License-Identifier: LGPL-2.1-or-later
 * accept(2), the header of a balancer where one is to come, and the choice of a worker. */
#include "proxy/listener.h"

#include <errno.h>
#include <sys/socket.h>

#include "common/listen.h"
#include "proxy/preamble.h"
#include "proxy/tcp.h"
#include "proxy/timer.h"

/* Accepted in one turn of the loop, so that several listeners and signals get theirs. */
#define MAX_BATCH 64

/* How long to wait where the process is out of descriptors. */
#define PAUSE_MS 100

/* A balancer sends its header with the first packet. */
#define PREAMBLE_TIMEOUT_MS 3000

struct VcpListener {
    uv_poll_t poll; /* first: the closed handle is freed as the listener */
    int fd;
    VcpWorker **workers;
    guint n_workers;
    VcpConfig *config;
    VcpProxyHeaderUse header_use; /* as it was at the start */
    VcpPreambles *balancers;      /* nullable: no header is read from anybody */
    VcpPreambles *strangers;      /* nullable: TLS refuses theirs */
    VcpTimer *pause;
    gboolean has_warned;
};

static VcpWorker *
least_loaded(VcpListener *self)
{
    VcpWorker *best = self->workers[0];

    for (guint i = 1; i < self->n_workers; i++) {
        if (vcp_worker_load(self->workers[i]) < vcp_worker_load(best))
            best = self->workers[i];
    }
    return best;
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void
resume(gpointer data)
{
    VcpListener *self = data;

    uv_poll_start(&self->poll, UV_READABLE, on_acceptable);
}

static void
pause_accepting(VcpListener *self, int number)
{
    if (!self->has_warned)
        g_warning("cannot accept connections: %s; raise LimitNOFILE= or ulimit -n",
                  g_strerror(number));
    self->has_warned = TRUE;
    uv_poll_stop(&self->poll);
    vcp_timer_start(self->pause, PAUSE_MS);
}

static void
on_arrived(int fd, char *client, gpointer data)
{
    vcp_worker_adopt(least_loaded(data), fd, client);
}

/* A header is believed from whom we trust only. From others it is no TLS; as HTTP,
 * libwebsockets would skip it. peer: full. */
static void
welcome(VcpListener *self, int fd, char *peer)
{
    if (self->balancers != NULL && vcp_trust_has(self->config->trust, peer)) {
        vcp_preambles_add(self->balancers, fd, peer);
    } else if (self->header_use == VCP_PROXY_HEADER_REQUIRED) {
        g_info("peer %s closed: no --trusted-proxy, as --proxy-protocol requires", peer);
        g_free(peer);
        close(fd);
    } else if (self->strangers != NULL) {
        vcp_preambles_add(self->strangers, fd, peer);
    } else {
        on_arrived(fd, peer, self);
    }
}

static gboolean
accept_one(VcpListener *self)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    int fd =
        accept4(self->fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        int number = errno;
        if (number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM)
            pause_accepting(self, number);
        /* A connection that was reset while it waited is no reason to leave the next one
         * waiting. */
        return number == ECONNABORTED || number == EINTR;
    }
    if (address.ss_family != AF_UNIX)
        vcp_tcp_tune_client(fd, self->config->write_timeout_s);
    welcome(self, fd, vc_sockaddr_to_string(&address, length));
    return TRUE;
}

static void
on_acceptable(uv_poll_t *poll, int status, int events)
{
    VcpListener *self = poll->data;

    (void)status;
    (void)events;
    for (int i = 0; i < MAX_BATCH && accept_one(self); i++)
        continue;
}

static void
make_preambles(VcpListener *self, uv_loop_t *loop)
{
    VcpPreambleRule rule = self->header_use == VCP_PROXY_HEADER_REQUIRED
                               ? VCP_PREAMBLE_REQUIRED
                               : VCP_PREAMBLE_OPTIONAL;

    if (self->header_use != VCP_PROXY_HEADER_OFF)
        self->balancers = vcp_preambles_new(loop, rule, PREAMBLE_TIMEOUT_MS, on_arrived, self);
    if (self->config->listen_insecure)
        self->strangers = vcp_preambles_new(
            loop, VCP_PREAMBLE_REFUSED,
            self->config->handshake_timeout_s * G_GUINT64_CONSTANT(1000), on_arrived, self);
}

VcpListener *
vcp_listener_new(uv_loop_t *loop, int fd, VcpWorker **workers, guint n, VcpConfig *config)
{
    VcpListener *self = g_new0(VcpListener, 1);

    self->fd = fd;
    self->workers = workers;
    self->n_workers = n;
    self->config = vcp_config_ref(config);
    self->header_use = config->proxy_header;
    make_preambles(self, loop);
    self->pause = vcp_timer_new(loop, resume, self);
    int failure = uv_poll_init(loop, &self->poll, fd);
    g_assert(failure == 0);
    self->poll.data = self;
    resume(self);
    return self;
}

void
vcp_listener_use(VcpListener *self, VcpConfig *config)
{
    vcp_config_unref(self->config);
    self->config = vcp_config_ref(config);
}

static void
on_closed(uv_handle_t *handle)
{
    g_free(handle->data);
}

void
vcp_listener_free(VcpListener *self)
{
    if (self == NULL)
        return;
    vcp_config_unref(self->config);
    vcp_preambles_free(self->balancers);
    vcp_preambles_free(self->strangers);
    vcp_timer_free(self->pause);
    uv_close((uv_handle_t *)&self->poll, on_closed);
    vc_listen_close(self->fd);
}
