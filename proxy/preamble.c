/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Takes the header from the socket, and not a byte more: what follows is TLS, which
 * libwebsockets wants to read from the socket itself. */
#include "proxy/preamble.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/proxy-protocol.h"
#include "proxy/timer.h"

#define MAX_WAITING 4096

struct VcpPreambles {
    uv_loop_t *loop;
    VcpPreambleRule rule;
    guint64 timeout_ms;
    VcpArrived arrived;
    gpointer data;
    GQueue waiting; /* of the links of Preamble, oldest first */
};

typedef struct {
    uv_poll_t poll; /* first: the closed handle is freed as the preamble */
    VcpPreambles *owner;
    GList link; /* in the owner's list */
    VcpTimer *deadline;
    int fd;
    char *peer;
    gsize length; /* of the header so far */
    guint8 header[VCP_PROXY_MAX];
} Preamble;

static void
on_closed(uv_handle_t *handle)
{
    g_free(handle->data);
}

/* All but the descriptor. */
static void
let_go(Preamble *self)
{
    g_queue_unlink(&self->owner->waiting, &self->link);
    vcp_timer_free(self->deadline);
    g_free(self->peer);
    uv_close((uv_handle_t *)&self->poll, on_closed);
}

static void
drop(Preamble *self, const char *why /* nullable: no matter for the log */)
{
    int fd = self->fd;

    if (why != NULL)
        g_info("peer %s closed: %s", self->peer, why);
    let_go(self);
    close(fd);
}

static void
arrive(Preamble *self, char *client /* full */)
{
    VcpPreambles *owner = self->owner;
    int fd = self->fd;

    let_go(self);
    owner->arrived(fd, client, owner->data);
}

static void
arrive_with(Preamble *self, const VcpProxyHeader *header)
{
    if (!header->has_source) {
        arrive(self, g_steal_pointer(&self->peer));
        return;
    }
    char *client = vc_ip_to_peer(&header->source, header->port);
    g_debug("client %s through %s", client, self->peer);
    arrive(self, client);
}

/* The bytes have been looked at, and are all there. */
static gboolean
take(Preamble *self, gsize length)
{
    gboolean is_taken =
        recv(self->fd, self->header + self->length, length, 0) == (gssize)length;

    if (is_taken)
        self->length += length;
    else
        drop(self, "its PROXY header cannot be read");
    return is_taken;
}

/* What does not begin like a header is looked at only, so that it can still become a request.
 */
static void
on_none(Preamble *self)
{
    if (self->length > 0)
        drop(self, "it began like a PROXY header and is none");
    else if (self->owner->rule == VCP_PREAMBLE_REQUIRED)
        drop(self, "no PROXY header, which --proxy-protocol requires");
    else
        arrive(self, g_steal_pointer(&self->peer));
}

static void
judge(Preamble *self, gsize n)
{
    VcpProxyHeader header;
    VcpProxyStep step = vcp_proxy_protocol_parse(self->header, self->length + n, &header);

    if (step != VCP_PROXY_NONE && self->owner->rule == VCP_PREAMBLE_REFUSED) {
        drop(self, "a PROXY header, and it is no --trusted-proxy");
        return;
    }
    switch (step) {
    case VCP_PROXY_WAIT:
        take(self, n);
        break;
    case VCP_PROXY_NONE:
        on_none(self);
        break;
    case VCP_PROXY_HEADER:
        if (take(self, header.length - self->length))
            arrive_with(self, &header);
        break;
    case VCP_PROXY_WRONG:
        drop(self, "its PROXY header makes no sense");
        break;
    }
}

static void
look(Preamble *self)
{
    gssize n = recv(self->fd, self->header + self->length, sizeof self->header - self->length,
                    MSG_PEEK);

    if (n > 0)
        judge(self, (gsize)n);
    else if (n == 0 && self->length == 0)
        drop(self, NULL); /* a balancer that looked whether we are here */
    else if (n == 0)
        drop(self, "it has gone before its PROXY header was complete");
    else if (errno != EAGAIN && errno != EINTR)
        drop(self, g_strerror(errno));
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status < 0)
        drop(poll->data, uv_strerror(status));
    else
        look(poll->data);
}

static void
on_deadline(gpointer data)
{
    drop(data, "it took too long to begin");
}

void
vcp_preambles_add(VcpPreambles *self, int fd, char *peer)
{
    Preamble *preamble = g_new0(Preamble, 1);

    if (self->waiting.length >= MAX_WAITING)
        drop(self->waiting.head->data, "too many connections wait for their PROXY headers");
    preamble->owner = self;
    preamble->link.data = preamble;
    preamble->fd = fd;
    preamble->peer = peer;
    preamble->deadline = vcp_timer_new(self->loop, on_deadline, preamble);
    vcp_timer_start(preamble->deadline, self->timeout_ms);
    g_queue_push_tail_link(&self->waiting, &preamble->link);
    int failure = uv_poll_init(self->loop, &preamble->poll, fd);
    g_assert(failure == 0);
    preamble->poll.data = preamble;
    uv_poll_start(&preamble->poll, UV_READABLE, on_readable);
    look(preamble);
}

VcpPreambles *
vcp_preambles_new(uv_loop_t *loop, VcpPreambleRule rule, guint64 timeout_ms, VcpArrived arrived,
                  gpointer data)
{
    VcpPreambles *self = g_new0(VcpPreambles, 1);

    self->loop = loop;
    self->rule = rule;
    self->timeout_ms = timeout_ms;
    self->arrived = arrived;
    self->data = data;
    return self;
}

void
vcp_preambles_free(VcpPreambles *self)
{
    if (self == NULL)
        return;
    while (self->waiting.length > 0)
        drop(self->waiting.head->data, "the daemon is going down");
    g_free(self);
}
