/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Towards the hypervisor. States, in their order:
 *   DIALLING name and TCP
 *   PLAIN    bytes go as they are
 *   TLS_SOON plain bytes still go out, then TLS begins
 *   TLS      handshake
 *   OPEN     bytes go through TLS
 *   BROKEN   eof is set, and error where it was not a plain end; nothing moves any more */
#include "proxy/compute.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"
#include "proxy/dial.h"
#include "proxy/gather.h"
#include "proxy/leave.h"
#include "proxy/linger.h"
#include "proxy/metrics.h"
#include "proxy/polling.h"
#include "proxy/session.h"
#include "proxy/telnet.h"
#include "proxy/timer.h"
#include "proxy/tls-client.h"

/* A server that does not accept our certificate ends so soon after the handshake. */
#define VERDICT_MS 2000

typedef enum { DIALLING, PLAIN, TLS_SOON, TLS, OPEN, BROKEN } State;

typedef struct {
    VcpEndpoint end; /* first */
    VcpComputeSetup setup;
    VcService *service;
    State state;
    gboolean tls_from_start;
    VcpDial *dial; /* nullable */
    VcpTimer *deadline;
    int fd;
    VcpPoll poll;
    gboolean readable, writable; /* until a call says otherwise */
    gboolean
        heard_tls;   /* something came through TLS, so the peer has accepted our certificate */
    guint64 open_ms; /* when the connection stood, with TLS where it has it */
    gsize to_greet;  /* bytes of telnet's greeting that may come beside TLS */
    VcpTlsClient *tls; /* nullable */
    VcpGather gather;
    gboolean rests;      /* until the next turn: it has taken enough for one */
    VcpTimer *gathering; /* nullable: not a chardev */
} Compute;

static void on_poll(uv_poll_t *poll, int status, int events);

static void
poll_for(Compute *self, int events)
{
    vcp_poll_for(&self->poll, events, on_poll);
}

static void
break_off(Compute *self, GError *error /* full, nullable: a plain end */)
{
    g_assert(self->state != BROKEN);
    self->state = BROKEN;
    self->end.eof = TRUE;
    self->end.error = error;
    vcp_timer_stop(self->deadline);
    poll_for(self, 0);
}

static guint64
now_ms(const Compute *self)
{
    return uv_now(self->setup.loop);
}

/* A guest may be silent for hours and then end: on a chardev only the time can tell. */
static gboolean
may_be_a_verdict(const Compute *self)
{
    return self->state == OPEN && !self->heard_tls &&
           (!self->setup.is_chardev || now_ms(self) < self->open_ms + VERDICT_MS);
}

static void
on_end_of_stream(Compute *self, GError *error /* full, nullable */)
{
    /* A TLS 1.3 server looks at the client's certificate after the client has finished: a
     * refusal shows only here. */
    if (error == NULL && may_be_a_verdict(self)) {
        error = g_error_new_literal(
            VC_ERROR, VC_ERROR_CERTIFICATE,
            "closed right after the TLS handshake: our certificate was probably not accepted");
    }
    if (error != NULL)
        g_prefix_error(&error, "%s: ", self->service->address);
    break_off(self, error);
}

/* --- bytes --- */

static gssize
plain_result(gssize n, GError **error)
{
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == EINTR)
        return VCP_TLS_AGAIN;
    if (errno == ECONNRESET)
        return 0;
    g_set_error_literal(error, VC_ERROR, VC_ERROR_UNREACHABLE, g_strerror(errno));
    return -1;
}

static gssize
receive_some(Compute *self, GError **error)
{
    gsize room;
    guint8 *to = vc_buffer_reserve(&self->end.in, &room);
    gssize n = self->state == OPEN ? vcp_tls_client_receive(self->tls, to, room, error)
                                   : plain_result(recv(self->fd, to, room, 0), error);

    vc_buffer_commit(&self->end.in, n > 0 ? (gsize)n : 0);
    return n;
}

/* QEMU 7.2 sends the greeting of a telnet chardev in clear text, between the TLS handshake and
 * the first record; others send it inside TLS. Whoever reads it takes these bytes and no other,
 * so nobody on the way can do anything with it. FALSE: the rest is still to come. */
static gboolean
take_clear_greeting(Compute *self)
{
    guint8 bytes[VCP_TELNET_GREETING_SIZE];
    gssize n = recv(self->fd, bytes, self->to_greet, MSG_PEEK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        self->readable = FALSE;
        return FALSE;
    }
    if (n <= 0 || (self->to_greet == sizeof bytes && bytes[0] != VCP_TELNET_IAC)) {
        self->to_greet = 0;
        return TRUE;
    }
    n = recv(self->fd, bytes, (gsize)n, 0);
    vc_buffer_append(&self->end.in, bytes, (gsize)n);
    self->end.bytes_in += (guint64)n;
    self->heard_tls = TRUE;
    self->to_greet -= (gsize)n;
    return self->to_greet == 0;
}

static gboolean
is_gathering(const Compute *self)
{
    return self->gathering != NULL &&
           vcp_gather_due(&self->gather, now_ms(self)) > now_ms(self);
}

static void
fill(VcpEndpoint *end)
{
    Compute *self = (Compute *)end;
    guint64 before = end->bytes_in;
    guint taken = 0;

    if (self->rests || is_gathering(self) ||
        (self->state == OPEN && self->to_greet > 0 && !take_clear_greeting(self)))
        return;
    while ((self->state == PLAIN || self->state == OPEN) && self->readable && !self->rests &&
           vc_buffer_room(&end->in) > 0) {
        GError *error = NULL;
        gssize n = receive_some(self, &error);
        if (n == VCP_TLS_AGAIN) {
            self->readable = FALSE;
        } else if (n <= 0) {
            on_end_of_stream(self, error);
        } else {
            end->bytes_in += (guint64)n;
            self->heard_tls = self->state == OPEN;
            /* A chardev's records may hold a byte each, and a buffer many of them. */
            self->rests = self->gathering != NULL && ++taken == VCP_CHARDEV_RECORDS_A_TURN;
        }
    }
    if (end->bytes_in != before)
        vcp_gather_took(&self->gather, now_ms(self), end->bytes_in - before);
}

static gssize
send_some(Compute *self, GError **error)
{
    const guint8 *data = vc_buffer_data(&self->end.out);
    gsize length = vc_buffer_length(&self->end.out);

    if (self->state == OPEN)
        return vcp_tls_client_send(
            self->tls, data, self->setup.is_chardev ? MIN(length, VCP_CHARDEV_RECORD) : length,
            error);
    return plain_result(send(self->fd, data, length, MSG_NOSIGNAL), error);
}

static gboolean
can_send(const Compute *self)
{
    return self->state == PLAIN || self->state == TLS_SOON || self->state == OPEN;
}

static void start_handshake(Compute *self);

static void
flush(VcpEndpoint *end)
{
    Compute *self = (Compute *)end;
    guint sent = 0;

    while (can_send(self) && self->writable && vc_buffer_length(&end->out) > 0) {
        GError *error = NULL;
        gssize n = send_some(self, &error);
        if (n == VCP_TLS_AGAIN) {
            self->writable = FALSE;
        } else if (n <= 0) {
            /* The peer is gone; what it said before it went may still wait to be read. */
            g_clear_error(&error);
            vc_buffer_clear(&end->out);
            self->readable = TRUE;
            self->writable = FALSE;
            vcp_session_pump(end->session);
        } else {
            vc_buffer_consume(&end->out, (gsize)n);
            end->bytes_out += (guint64)n;
            vcp_gather_asked(&self->gather);
            /* Until the next turn; the socket will say that it can be written still. */
            if (self->setup.is_chardev && ++sent == VCP_CHARDEV_RECORDS_A_TURN)
                self->writable = FALSE;
        }
    }
    if (self->state == TLS_SOON && vc_buffer_length(&end->out) == 0)
        start_handshake(self);
}

static void
want(VcpEndpoint *end, gboolean read, gboolean write)
{
    Compute *self = (Compute *)end;

    /* During the TLS handshake only TLS knows what it waits for. */
    if (!can_send(self))
        return;
    if (read && (self->rests || is_gathering(self))) {
        read = FALSE;
        vcp_timer_start(self->gathering,
                        vcp_gather_due(&self->gather, now_ms(self)) - now_ms(self));
    }
    poll_for(self, (read && !self->readable ? UV_READABLE : 0) |
                       (write && !self->writable ? UV_WRITABLE : 0));
}

static const VcpEndpointOps ops = {.fill = fill, .flush = flush, .want = want};

/* --- TLS --- */

static void
on_tls_up(Compute *self)
{
    self->state = OPEN;
    self->open_ms = now_ms(self);
    if (self->service->type == VC_CONSOLE_SERIAL && self->service->telnet)
        self->to_greet = VCP_TELNET_GREETING_SIZE;
    self->end.ready = self->readable = self->writable = TRUE;
    vcp_timer_stop(self->deadline);
}

static void
shake_hands(Compute *self)
{
    GError *error = NULL;

    switch (vcp_tls_client_handshake(self->tls, &error)) {
    case VCP_TLS_DONE:
        on_tls_up(self);
        break;
    case VCP_TLS_WANTS_READ:
        poll_for(self, UV_READABLE);
        break;
    case VCP_TLS_WANTS_WRITE:
        poll_for(self, UV_WRITABLE);
        break;
    case VCP_TLS_FAILED:
        vcp_metrics_tls_error(VCP_TLS_OF_CONSOLE);
        on_end_of_stream(self, error);
        break;
    }
}

static void
start_handshake(Compute *self)
{
    if (self->setup.credentials == NULL) {
        on_end_of_stream(self,
                         g_error_new_literal(
                             VC_ERROR, VC_ERROR_POLICY,
                             "needs TLS, and no certificate is loaded (--connect-tls-cert)"));
        return;
    }
    self->state = TLS;
    self->tls = vcp_tls_client_new(self->setup.credentials,
                                   vc_service_verify_name(self->service), self->fd);
    if (self->service->tls_subject != NULL)
        vcp_tls_client_expect_subject(self->tls, self->service->tls_subject);
    vcp_timer_start(self->deadline, self->setup.connect_timeout_s * G_GUINT64_CONSTANT(1000));
    shake_hands(self);
}

void
vcp_compute_start_tls(VcpEndpoint *end)
{
    Compute *self = (Compute *)end;

    g_assert(vc_buffer_length(&end->in) == 0);
    end->ready = FALSE;
    if (self->state != PLAIN)
        return;
    self->state = TLS_SOON;
    flush(end);
}

/* --- life --- */

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    Compute *self = poll->data;

    events = vcp_poll_result(&self->poll, status, events);
    if (self->state == TLS) {
        shake_hands(self);
    } else {
        self->readable |= (events & UV_READABLE) != 0;
        self->writable |= (events & UV_WRITABLE) != 0;
    }
    vcp_session_pump(self->end.session);
}

static void
on_dialled(int fd, GError *error, gpointer data)
{
    Compute *self = data;

    self->dial = NULL;
    if (error != NULL) {
        break_off(self, error);
    } else {
        self->fd = fd;
        self->poll.handle = g_new0(uv_poll_t, 1);
        self->poll.handle->data = self;
        int failure = uv_poll_init(self->setup.loop, self->poll.handle, fd);
        g_assert(failure == 0);
        self->state = PLAIN;
        self->open_ms = now_ms(self);
        self->readable = self->writable = TRUE;
        if (self->tls_from_start)
            start_handshake(self);
        else
            self->end.ready = TRUE;
    }
    vcp_session_pump(self->end.session);
}

static void
on_deadline(gpointer data)
{
    Compute *self = data;

    on_end_of_stream(self,
                     g_error_new(VC_ERROR, VC_ERROR_TIMEOUT, "no TLS handshake within %u s",
                                 self->setup.connect_timeout_s));
    vcp_session_pump(self->end.session);
}

static void
on_gathered(gpointer data)
{
    Compute *self = data;

    self->rests = FALSE;
    vcp_session_pump(self->end.session);
}

static VcpDial *
dial(Compute *self)
{
    guint64 timeout_ms = self->setup.connect_timeout_s * G_GUINT64_CONSTANT(1000);
    const VcService *to = self->service;

    return to->path != NULL
               ? vcp_dial_unix(self->setup.loop, to->path, timeout_ms, on_dialled, self)
               : vcp_dial(self->setup.loop, self->setup.targets, to->host, to->port, timeout_ms,
                          on_dialled, self);
}

VcpEndpoint *
vcp_compute_connect(const VcpComputeSetup *setup, VcpSession *session, VcService *service,
                    gboolean tls)
{
    Compute *self = g_new0(Compute, 1);

    self->end.ops = &ops;
    self->end.session = session;
    vc_buffer_init(&self->end.in, setup->pool);
    vc_buffer_init(&self->end.out, setup->pool);
    self->setup = *setup;
    if (setup->credentials != NULL)
        vc_tls_credentials_ref(setup->credentials);
    self->service = vc_service_ref(service);
    self->tls_from_start = tls;
    self->fd = -1;
    self->deadline = vcp_timer_new(setup->loop, on_deadline, self);
    if (setup->is_chardev)
        self->gathering = vcp_timer_new(setup->loop, on_gathered, self);
    self->dial = dial(self);
    return &self->end;
}

static void
on_poll_closed(uv_handle_t *handle)
{
    g_free(handle);
}

static void
close_socket(Compute *self)
{
    guint64 settled_ms = self->open_ms + self->setup.settle_ms;

    if (self->poll.handle != NULL)
        uv_close((uv_handle_t *)self->poll.handle, on_poll_closed);
    if (can_send(self) && now_ms(self) < settled_ms) {
        vcp_linger(self->setup.loop, self->fd, self->tls, settled_ms - now_ms(self));
        return;
    }
    vcp_tls_client_free(self->tls);
    if (self->fd < 0)
        return;
    if (self->setup.is_chardev)
        vcp_leave_by_reset(self->fd);
    close(self->fd);
}

void
vcp_compute_close(VcpEndpoint *end)
{
    Compute *self = (Compute *)end;

    if (self == NULL)
        return;
    if (self->dial != NULL)
        vcp_dial_cancel(self->dial);
    vcp_timer_free(self->deadline);
    vcp_timer_free(self->gathering);
    if (self->setup.is_chardev && can_send(self)) {
        poll_for(self, 0);
        vcp_leave(self->setup.loop, self->fd, self->poll.handle, self->tls, &end->out);
    } else {
        close_socket(self);
    }
    vc_buffer_clear(&end->in);
    vc_buffer_clear(&end->out);
    g_clear_error(&end->error);
    vc_service_unref(self->service);
    vc_tls_credentials_unref(self->setup.credentials);
    g_free(self);
}
