/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Name look-up where there is a name, then connect(2) to each address in turn. */
#include "proxy/dial.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/address.h"
#include "common/error.h"
#include "proxy/lookup.h"
#include "proxy/tcp.h"
#include "proxy/timer.h"

struct VcpDial {
    uv_loop_t *loop;
    VcpTargets *targets; /* nullable: everything is allowed */
    char *host;          /* nullable: a unix socket */
    char *name;          /* for messages */
    GError *refusal;     /* nullable: of the last address that may not be connected to */
    VcpDialed dialed;
    gpointer data;
    VcpTimer *deadline;
    VcpLookup *lookup;          /* nullable */
    VcpTimer *start;            /* nullable; for an address that needs no look-up */
    struct addrinfo *addresses; /* nullable; those of next */
    struct addrinfo *next;
    struct addrinfo unix_address; /* the one of a unix socket */
    struct sockaddr_un unix_name;
    int fd;
    uv_poll_t *poll; /* nullable */
};

static void
on_poll_closed(uv_handle_t *handle)
{
    g_free(handle);
}

static void
drop_poll(VcpDial *self)
{
    if (self->poll != NULL)
        uv_close((uv_handle_t *)self->poll, on_poll_closed);
    self->poll = NULL;
}

void
vcp_dial_cancel(VcpDial *self)
{
    if (self->lookup != NULL)
        vcp_lookup_cancel(self->lookup);
    vcp_timer_free(self->start);
    drop_poll(self);
    if (self->fd >= 0)
        close(self->fd);
    if (self->addresses != NULL)
        freeaddrinfo(self->addresses);
    vcp_timer_free(self->deadline);
    g_clear_error(&self->refusal);
    vcp_targets_unref(self->targets);
    g_free(self->host);
    g_free(self->name);
    g_free(self);
}

static void
finish(VcpDial *self, GError *error)
{
    VcpDialed dialed = self->dialed;
    gpointer data = self->data;
    int fd = error == NULL ? self->fd : -1;

    if (fd >= 0)
        self->fd = -1;
    vcp_dial_cancel(self);
    dialed(fd, error, data);
}

static void
on_deadline(gpointer data)
{
    VcpDial *self = data;

    finish(self, g_error_new(VC_ERROR, VC_ERROR_TIMEOUT, "%s: no TCP connection in time",
                             self->name));
}

static GError *
connect_error(const VcpDial *self, int number)
{
    gboolean is_unix = self->unix_address.ai_family == AF_UNIX;
    VcError code = number == ECONNREFUSED        ? VC_ERROR_REFUSED
                   : number == ETIMEDOUT         ? VC_ERROR_TIMEOUT
                   : is_unix && number == ENOENT ? VC_ERROR_REFUSED
                   : is_unix && number == EAGAIN ? VC_ERROR_IN_USE /* the queue is full */
                                                 : VC_ERROR_UNREACHABLE;

    return g_error_new(VC_ERROR, (int)code, "%s: %s", self->name, g_strerror(number));
}

static void connect_next(VcpDial *self, int last_errno);

static void
on_connected(uv_poll_t *poll, int status, int events)
{
    VcpDial *self = poll->data;
    int number = 0;
    socklen_t length = sizeof number;

    (void)status;
    (void)events;
    getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &number, &length);
    drop_poll(self);
    if (number == 0) {
        finish(self, NULL);
        return;
    }
    close(self->fd);
    self->fd = -1;
    connect_next(self, number);
}

static gboolean
start_connect(VcpDial *self, const struct addrinfo *address)
{
    self->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (self->fd < 0)
        return FALSE;
    vcp_tcp_tune_compute(self->fd);
    if (connect(self->fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS)
        return FALSE;

    self->poll = g_new0(uv_poll_t, 1);
    self->poll->data = self;
    int failure = uv_poll_init(self->loop, self->poll, self->fd);
    g_assert(failure == 0);
    uv_poll_start(self->poll, UV_WRITABLE, on_connected);
    return TRUE;
}

/* A name may stand for anything by now. */
static gboolean
is_allowed(VcpDial *self, const struct addrinfo *address)
{
    if (self->targets == NULL || self->host == NULL)
        return TRUE;
    g_clear_error(&self->refusal);
    return vcp_targets_check_address(self->targets, self->host, address->ai_addr,
                                     &self->refusal);
}

/* last_errno: why the address before failed; 0: none has been tried. */
static void
connect_next(VcpDial *self, int last_errno)
{
    while (self->next != NULL) {
        const struct addrinfo *address = self->next;
        self->next = self->next->ai_next;
        if (!is_allowed(self, address))
            continue;
        if (start_connect(self, address))
            return;
        last_errno = errno;
        if (self->fd >= 0)
            close(self->fd);
        self->fd = -1;
    }
    if (last_errno == 0 && self->refusal != NULL)
        finish(self, g_steal_pointer(&self->refusal));
    else
        finish(self, connect_error(self, last_errno != 0 ? last_errno : EADDRNOTAVAIL));
}

static void
on_looked_up(struct addrinfo *addresses, int failure, gpointer data)
{
    VcpDial *self = data;

    self->lookup = NULL;
    self->addresses = self->next = addresses;
    if (failure != 0)
        finish(self, g_error_new(VC_ERROR, VC_ERROR_UNREACHABLE, "%s: %s", self->name,
                                 gai_strerror(failure)));
    else
        connect_next(self, 0);
}

static void
on_start(gpointer data)
{
    VcpDial *self = data;

    if (self->next != NULL)
        connect_next(self, 0);
    else
        finish(self, g_error_new(VC_ERROR, VC_ERROR_UNREACHABLE,
                                 "%s: not an address, or too many names are being looked up",
                                 self->name));
}

/* A literal address is no matter for name servers. */
static struct addrinfo *
parse_literal(const char *host, guint16 port)
{
    static const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                          .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];

    g_snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(host, service, &hints, &found) == 0 ? found : NULL;
}

static VcpDial *
new_dial(uv_loop_t *loop, char *name /* full */, guint64 timeout_ms, VcpDialed dialed,
         gpointer data)
{
    VcpDial *self = g_new0(VcpDial, 1);

    self->loop = loop;
    self->name = name;
    self->dialed = dialed;
    self->data = data;
    self->fd = -1;
    self->deadline = vcp_timer_new(loop, on_deadline, self);
    vcp_timer_start(self->deadline, timeout_ms);
    return self;
}

static void
start_soon(VcpDial *self)
{
    self->start = vcp_timer_new(self->loop, on_start, self);
    vcp_timer_start(self->start, 0);
}

VcpDial *
vcp_dial(uv_loop_t *loop, VcpTargets *targets, const char *host, guint16 port,
         guint64 timeout_ms, VcpDialed dialed, gpointer data)
{
    VcpDial *self =
        new_dial(loop, g_strdup_printf("%s port %u", host, port), timeout_ms, dialed, data);

    self->targets = targets != NULL ? vcp_targets_ref(targets) : NULL;
    self->host = g_strdup(host);
    if (vc_address_is_literal(host))
        self->addresses = self->next = parse_literal(host, port);
    else
        self->lookup = vcp_lookup(loop, host, port, on_looked_up, self);
    if (self->lookup == NULL)
        start_soon(self);
    return self;
}

VcpDial *
vcp_dial_unix(uv_loop_t *loop, const char *path, guint64 timeout_ms, VcpDialed dialed,
              gpointer data)
{
    VcpDial *self = new_dial(loop, g_strdup(path), timeout_ms, dialed, data);

    self->unix_name.sun_family = AF_UNIX;
    g_strlcpy(self->unix_name.sun_path, path, sizeof self->unix_name.sun_path);
    self->unix_address = (struct addrinfo){
        .ai_family = AF_UNIX,
        .ai_addr = (struct sockaddr *)&self->unix_name,
        .ai_addrlen = sizeof self->unix_name,
    };
    self->next = &self->unix_address;
    start_soon(self);
    return self;
}
