/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A websocket after its upgrade: the client's bytes out of frames into the session's buffer,
 * and the other buffer in frames to the client. */
#include "proxy/tenant.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/error.h"
#include "proxy/corked.h"
#include "proxy/metrics.h"
#include "proxy/polling.h"
#include "proxy/session.h"
#include "proxy/tcp.h"
#include "proxy/websocket.h"

#define AGAIN (-1)
#define ENDED (-2)

/* Payload of a TLS record at the most. */
#define RECORD_SIZE 16384

/* What one system call may bring: four records with all that belongs to them. */
#define READ_SIZE 66560

/* A frame of ours that is on its way: `header_left` bytes of its header, then `left` bytes of
 * payload. A control frame's stand in `control`, a data frame's at the front of out. */
typedef struct {
    guint8 header[VCP_WS_MAX_HEADER];
    guint8 header_length, header_left;
    gsize left;
    guint8 *control; /* nullable: it is a data frame; header and payload */
    gsize control_length;
} Frame;

typedef struct {
    VcpEndpoint end; /* first */
    VcpTenantSetup setup;
    VcpPoll poll; /* no handle: it is over; its data: the tenant, until that is freed */
    uv_poll_t *closing;
    gboolean readable, writable; /* until a call says otherwise */
    BIO *socket;                 /* TLS's, to write to; nullable */
    /* In the middle of a key update neither goes on before what that waits for. */
    gboolean read_wants_write, write_wants_read;

    VcpWsReader reader;
    gboolean told_text;
    gboolean is_deaf; /* its close frame has come, or nonsense: nothing more is read */
    Frame frame;
    guint8 *pong; /* nullable: what the last ping that is not answered yet asks for */
    gsize pong_length;
    gboolean ping_due;
    guint16 close_code; /* 0: not closing */
    const char *close_reason;
    guint16 peer_code; /* of its close frame; 0: there was none */
    gboolean close_sent;
    guint64 acknowledged; /* bytes, when last looked at */
} Tenant;

/* --- the end --- */

static void
on_poll_closed(uv_handle_t *handle)
{
    Tenant *self = handle->data;

    g_free(handle);
    if (self == NULL)
        return;
    self->closing = NULL;
    self->setup.over(self->setup.data);
}

/* From the loop: whoever found out may be in the middle of the session's pump. */
static void
finish(Tenant *self)
{
    if (self->poll.handle == NULL)
        return;
    self->closing = g_steal_pointer(&self->poll.handle);
    uv_close((uv_handle_t *)self->closing, on_poll_closed);
    self->readable = self->writable = FALSE;
}

void
vcp_tenant_kill(VcpEndpoint *end)
{
    finish((Tenant *)end);
}

/* --- bytes --- */

static gssize
tls_result(Tenant *self, gboolean is_read)
{
    int error = SSL_get_error(self->setup.tls, 0);

    if (error == SSL_ERROR_WANT_READ) {
        self->readable = FALSE;
        self->write_wants_read = !is_read;
        self->read_wants_write = FALSE;
        return AGAIN;
    }
    if (error == SSL_ERROR_WANT_WRITE) {
        self->writable = FALSE;
        self->read_wants_write = is_read;
        self->write_wants_read = FALSE;
        return AGAIN;
    }
    /* It is broken, or the client has gone: nobody is there to be told. */
    SSL_set_quiet_shutdown(self->setup.tls, 1);
    return ENDED;
}

static gssize
plain_result(gssize n)
{
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? AGAIN : ENDED;
}

/* More than 0, AGAIN or ENDED. */
static gssize
receive_some(Tenant *self, guint8 *to, gsize room)
{
    size_t n;

    if (self->setup.tls == NULL)
        return plain_result(recv(self->setup.fd, to, room, 0));
    ERR_clear_error();
    return SSL_read_ex(self->setup.tls, to, room, &n) == 1 ? (gssize)n : tls_result(self, TRUE);
}

static gssize
send_some(Tenant *self, const guint8 *from, gsize length)
{
    size_t n;

    if (self->setup.tls == NULL)
        return plain_result(send(self->setup.fd, from, length, MSG_NOSIGNAL));
    /* A record a call, so that the socket knows which is the last. */
    gsize part = MIN(length, RECORD_SIZE);
    vcp_corked_set(self->socket, length > part);
    ERR_clear_error();
    return SSL_write_ex(self->setup.tls, from, part, &n) == 1 ? (gssize)n
                                                              : tls_result(self, FALSE);
}

/* --- what comes --- */

static void
refuse(Tenant *self, const char *what)
{
    self->is_deaf = self->end.eof = TRUE;
    vcp_session_end(self->end.session,
                    g_error_new(VC_ERROR, VC_ERROR_CLIENT, "no websocket client: %s", what));
}

static void
on_control(Tenant *self)
{
    const VcpWsReader *frame = &self->reader;

    if (frame->opcode == VCP_WS_PING) {
        g_free(self->pong);
        self->pong_length = frame->control_length;
        self->pong = g_memdup2(frame->control, MAX(self->pong_length, 1));
    } else if (frame->opcode == VCP_WS_CLOSE) {
        self->is_deaf = self->end.eof = TRUE;
        self->peer_code = vcp_ws_close_code(frame);
    }
}

/* Bytes of frames, at the end of the session's buffer: there payload takes their place. */
static void
take(Tenant *self, guint8 *bytes, gsize length)
{
    const guint8 *from = bytes, *end = bytes + length;
    guint8 *to = bytes;
    VcpWsEvent event;

    while (!self->is_deaf &&
           (event = vcp_ws_read(&self->reader, &from, end, &to)) == VCP_WS_CONTROL)
        on_control(self);
    gsize payload = self->close_code == 0 ? (gsize)(to - bytes) : 0;
    vc_buffer_commit(&self->end.in, payload);
    self->end.bytes_in += payload;
    vcp_metrics_received(payload);
    vcp_session_heard(self->end.session);

    if (self->reader.heard_text && !self->told_text) {
        self->told_text = TRUE;
        vcp_session_heard_text(self->end.session);
    }
    if (event == VCP_WS_BAD)
        refuse(self, self->reader.wrong);
    else if (self->is_deaf && self->peer_code == 0)
        refuse(self, "a broken close frame");
}

/* A record that was not full was the last one, most of the time; the loop will tell. */
static gboolean
may_be_more(const Tenant *self, gsize length)
{
    return self->setup.tls != NULL ? length == RECORD_SIZE || SSL_has_pending(self->setup.tls)
                                   : TRUE;
}

/* Empty frames and pings never fill the buffer: they have an end of their own. */
static void
fill(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;
    guint64 limit = end->raw_in + VC_BUFFER_SIZE;

    while (self->readable && !self->is_deaf && vc_buffer_room(&end->in) > 0 &&
           end->raw_in < limit) {
        gsize room;
        guint8 *to = vc_buffer_reserve(&end->in, &room);
        gssize n = receive_some(self, to, room);

        if (n <= 0)
            vc_buffer_commit(&end->in, 0);
        if (n == AGAIN) {
            self->readable = FALSE;
        } else if (n == ENDED) {
            finish(self);
        } else {
            self->readable = may_be_more(self, (gsize)n);
            end->raw_in += (gsize)n;
            take(self, to, (gsize)n);
        }
    }
}

/* --- what goes --- */

static void
begin_control(Frame *frame, VcpWsOpcode opcode, const void *payload, gsize length)
{
    frame->control = g_malloc(VCP_WS_MAX_HEADER + length);
    frame->control_length = vcp_ws_write_header(frame->control, opcode, length);
    if (length > 0)
        memcpy(frame->control + frame->control_length, payload, length);
    frame->control_length += length;
    frame->left = frame->control_length;
}

static void
begin_close(Tenant *self)
{
    guint8 payload[VCP_WS_MAX_CONTROL];
    gboolean answers = self->peer_code != 0;
    guint16 code = answers ? self->peer_code : self->close_code;
    gsize length = answers ? 0 : MIN(strlen(self->close_reason), sizeof payload - 2);

    payload[0] = (guint8)(code >> 8);
    payload[1] = (guint8)code;
    memcpy(payload + 2, self->close_reason, length);
    /* The code for "none" stands for a frame without. */
    begin_control(&self->frame, VCP_WS_CLOSE, payload, code == VCP_WS_NO_CODE ? 0 : length + 2);
    self->close_sent = TRUE;
}

/* FALSE: there is nothing to send. */
static gboolean
begin_frame(Tenant *self)
{
    Frame *frame = &self->frame;
    gsize length = vc_buffer_length(&self->end.out);

    if (self->close_sent)
        return FALSE;
    if (self->pong != NULL) {
        begin_control(frame, VCP_WS_PONG, self->pong, self->pong_length);
        g_clear_pointer(&self->pong, g_free);
    } else if (self->ping_due) {
        begin_control(frame, VCP_WS_PING, NULL, 0);
        self->ping_due = FALSE;
    } else if (length > 0) {
        frame->left = length;
        frame->header_length = frame->header_left =
            (guint8)vcp_ws_write_header(frame->header, VCP_WS_BINARY, length);
    } else if (self->close_code != 0) {
        begin_close(self);
    } else {
        return FALSE;
    }
    return TRUE;
}

static gboolean
is_under_way(const Frame *frame)
{
    return frame->left > 0;
}

static gssize
send_control(Tenant *self)
{
    Frame *frame = &self->frame;
    gssize n =
        send_some(self, frame->control + frame->control_length - frame->left, frame->left);

    if (n > 0)
        frame->left -= (gsize)n;
    if (frame->left == 0)
        g_clear_pointer(&frame->control, g_free);
    return n;
}

/* The header stands right in front of the payload, in the buffer's headroom; anew each time,
 * since the buffer may have moved. */
static gssize
send_data(Tenant *self)
{
    Frame *frame = &self->frame;
    guint8 *from = vc_buffer_data(&self->end.out) - frame->header_left;

    memcpy(from, frame->header + frame->header_length - frame->header_left, frame->header_left);
    gssize n = send_some(self, from, frame->header_left + frame->left);
    if (n <= 0)
        return n;
    guint8 of_header = (guint8)MIN((gsize)n, frame->header_left);
    gsize payload = (gsize)n - of_header;
    frame->header_left -= of_header;
    frame->left -= payload;
    vc_buffer_consume(&self->end.out, payload);
    self->end.bytes_out += payload;
    vcp_metrics_sent(payload);
    return n;
}

static gboolean
has_more(const Tenant *self)
{
    return is_under_way(&self->frame) || self->pong != NULL || self->ping_due ||
           (self->close_code != 0 && !self->close_sent);
}

static void
flush(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;

    while (self->writable && (is_under_way(&self->frame) || begin_frame(self))) {
        gssize n = self->frame.control != NULL ? send_control(self) : send_data(self);
        if (n == AGAIN)
            self->writable = FALSE;
        else if (n == ENDED)
            finish(self);
    }
    end->unsent = has_more(self);
    if (self->close_sent && self->is_deaf && !end->unsent)
        finish(self);
}

/* --- the loop --- */

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    Tenant *self = poll->data;

    events = vcp_poll_result(&self->poll, status, events);
    gboolean can_read = (events & UV_READABLE) != 0, can_write = (events & UV_WRITABLE) != 0;
    self->readable |= can_read || (can_write && self->read_wants_write);
    self->writable |= can_write || (can_read && self->write_wants_read);
    self->read_wants_write &= !can_write;
    self->write_wants_read &= !can_read;
    vcp_session_pump(self->end.session);
}

static void
want(VcpEndpoint *end, gboolean read, gboolean write)
{
    Tenant *self = (Tenant *)end;
    gboolean reads =
        (read && !self->is_deaf && !self->read_wants_write) || self->write_wants_read;
    gboolean writes =
        ((write || end->unsent) && !self->write_wants_read) || self->read_wants_write;

    vcp_poll_for(&self->poll,
                 (reads && !self->readable ? UV_READABLE : 0) |
                     (writes && !self->writable ? UV_WRITABLE : 0),
                 on_poll);
}

static const VcpEndpointOps ops = {.fill = fill, .flush = flush, .want = want};

/* --- what the session asks for --- */

void
vcp_tenant_ping(VcpEndpoint *end)
{
    ((Tenant *)end)->ping_due = TRUE;
    end->unsent = TRUE;
}

gboolean
vcp_tenant_made_progress(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;
    guint64 before = self->acknowledged;

    self->acknowledged = vcp_tcp_acknowledged(self->setup.fd);
    return self->acknowledged != before;
}

gboolean
vcp_tenant_has_left(VcpEndpoint *end)
{
    struct pollfd look = {.fd = ((Tenant *)end)->setup.fd, .events = POLLRDHUP};

    return poll(&look, 1, 0) > 0;
}

void
vcp_tenant_close(VcpEndpoint *end, guint16 code, const char *reason)
{
    Tenant *self = (Tenant *)end;

    self->close_code = code;
    self->close_reason = reason;
    self->ping_due = FALSE;
    end->unsent = TRUE;
}

/* --- life --- */

VcpEndpoint *
vcp_tenant_new(const VcpTenantSetup *setup)
{
    uv_poll_t *poll = g_new0(uv_poll_t, 1);

    if (uv_poll_init(setup->loop, poll, setup->fd) != 0) {
        g_free(poll);
        return NULL;
    }
    Tenant *self = g_new0(Tenant, 1);
    self->end.ops = &ops;
    self->end.ready = TRUE;
    vc_buffer_init(&self->end.in, setup->pool);
    vc_buffer_init(&self->end.out, setup->pool);
    self->setup = *setup;
    self->poll.handle = poll;
    poll->data = self;
    self->readable = self->writable = TRUE;
    if (setup->tls != NULL) {
        /* What does not fit waits in the session's buffer, not in a copy. */
        SSL_set_mode(setup->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                     SSL_MODE_RELEASE_BUFFERS);
        /* One system call for four records, not one for each header and one for each rest. */
        SSL_set_read_ahead(setup->tls, 1);
        SSL_set_default_read_buffer_len(setup->tls, READ_SIZE);
        /* Nor does OpenSSL stay with one that sends nothing but messages for TLS. */
        SSL_clear_mode(setup->tls, SSL_MODE_AUTO_RETRY);
        /* A client that only closes its connection has done nothing wrong: frames have an end
         * of their own. */
        SSL_set_options(setup->tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
        self->socket = vcp_corked_new(setup->fd);
        SSL_set0_wbio(setup->tls, self->socket);
    }
    return &self->end;
}

void
vcp_tenant_stop(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;

    finish(self);
    if (self->closing != NULL)
        g_steal_pointer(&self->closing)->data = NULL;
}

void
vcp_tenant_free(VcpEndpoint *end)
{
    Tenant *self = (Tenant *)end;

    if (self == NULL)
        return;
    vcp_tenant_stop(end);
    g_free(self->frame.control);
    g_free(self->pong);
    g_free(self);
}
