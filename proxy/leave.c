/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Leaving a chardev: send the rest, say that no more will come, wait for QEMU's end, reset. */
#include "proxy/leave.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/timer.h"

#define LIMIT_MS 1000
#define QUIET_MS 200 /* for QEMU to read what it has, once all is sent */

typedef struct {
    int fd;
    uv_poll_t *poll;
    VcpTlsClient *tls; /* nullable */
    VcBuffer out;
    gboolean is_quiet; /* all is said, the sending side is shut */
    VcpTimer *limit;
} Leave;

void
vcp_leave_by_reset(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void
on_poll_closed(uv_handle_t *handle)
{
    g_free(handle);
}

static void
finish(Leave *self)
{
    uv_close((uv_handle_t *)self->poll, on_poll_closed);
    vcp_timer_free(self->limit);
    vcp_tls_client_free(self->tls);
    vcp_leave_by_reset(self->fd);
    close(self->fd);
    vc_buffer_clear(&self->out);
    g_free(self);
}

static gssize
send_some(Leave *self)
{
    const guint8 *data = vc_buffer_data(&self->out);
    gsize length = vc_buffer_length(&self->out);

    if (self->tls != NULL)
        return vcp_tls_client_send(self->tls, data, MIN(length, VCP_CHARDEV_RECORD), NULL);
    gssize n = send(self->fd, data, length, MSG_NOSIGNAL);
    return n < 0 && errno == EAGAIN ? VCP_TLS_AGAIN : n;
}

/* FALSE: the peer takes no more, ever. */
static gboolean
send_rest(Leave *self)
{
    for (guint i = 0; i < VCP_CHARDEV_RECORDS_A_TURN && vc_buffer_length(&self->out) > 0; i++) {
        gssize n = send_some(self);
        if (n == VCP_TLS_AGAIN)
            return TRUE;
        if (n <= 0)
            return FALSE;
        vc_buffer_consume(&self->out, (gsize)n);
    }
    if (vc_buffer_length(&self->out) == 0) {
        g_clear_pointer(&self->tls, vcp_tls_client_free);
        self->is_quiet = shutdown(self->fd, SHUT_WR) == 0;
        vcp_timer_start(self->limit, QUIET_MS);
        return self->is_quiet;
    }
    return TRUE;
}

/* What the guest still says is for nobody. FALSE: it has ended. */
static gboolean
drop_some(Leave *self)
{
    guint8 dropped[4096];
    gssize n = recv(self->fd, dropped, sizeof dropped, 0);

    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    Leave *self = poll->data;
    gboolean goes_on = status == 0;

    if (goes_on && !self->is_quiet)
        goes_on = send_rest(self);
    if (goes_on && (events & UV_READABLE) != 0)
        goes_on = drop_some(self);
    if (!goes_on)
        finish(self);
    else
        uv_poll_start(poll, self->is_quiet ? UV_READABLE : UV_READABLE | UV_WRITABLE, on_poll);
}

static void
on_limit(gpointer data)
{
    finish(data);
}

void
vcp_leave(uv_loop_t *loop, int fd, uv_poll_t *poll, VcpTlsClient *tls, VcBuffer *out)
{
    Leave *self = g_new0(Leave, 1);

    self->fd = fd;
    self->poll = poll;
    self->tls = tls;
    vc_buffer_init(&self->out, out->pool);
    vc_buffer_move(&self->out, out);
    self->limit = vcp_timer_new(loop, on_limit, self);
    vcp_timer_start(self->limit, LIMIT_MS);
    poll->data = self;
    uv_poll_start(poll, UV_READABLE | UV_WRITABLE, on_poll);
}
