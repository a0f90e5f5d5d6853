/* SPDX-License-Identifier: LGPL-2.1-or-later
 * accept(2) and the choice of a worker. */
#include "proxy/listener.h"

#include <errno.h>
#include <sys/socket.h>

#include "common/listen.h"
#include "proxy/tcp.h"
#include "proxy/timer.h"

/* Accepted in one turn of the loop, so that several listeners and signals get theirs. */
#define MAX_BATCH 64

/* How long to wait where the process is out of descriptors. */
#define PAUSE_MS 100

struct VcpListener {
    uv_poll_t poll; /* first: the closed handle is freed as the listener */
    int fd;
    VcpWorker **workers;
    guint n_workers;
    guint write_timeout_s;
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
        vcp_tcp_tune_client(fd, self->write_timeout_s);
    vcp_worker_adopt(least_loaded(self), fd, vc_sockaddr_to_string(&address, length));
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

VcpListener *
vcp_listener_new(uv_loop_t *loop, int fd, VcpWorker **workers, guint n, guint write_timeout_s)
{
    VcpListener *self = g_new0(VcpListener, 1);

    self->fd = fd;
    self->workers = workers;
    self->n_workers = n;
    self->write_timeout_s = write_timeout_s;
    self->pause = vcp_timer_new(loop, resume, self);
    int failure = uv_poll_init(loop, &self->poll, fd);
    g_assert(failure == 0);
    self->poll.data = self;
    resume(self);
    return self;
}

void
vcp_listener_set_write_timeout(VcpListener *self, guint write_timeout_s)
{
    self->write_timeout_s = write_timeout_s;
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
    vcp_timer_free(self->pause);
    uv_close((uv_handle_t *)&self->poll, on_closed);
    vc_listen_close(self->fd);
}
