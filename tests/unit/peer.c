/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Servers for tests. */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs.h"

#define TIMEOUT_S 20

struct Peer {
    int fd;
    guint16 port;
    GThread *thread;
    PeerFunc func;
    gpointer data;
};

struct PeerSession {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

/* --- sockets --- */

static struct sockaddr_in
loopback(guint16 port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int
bind_somewhere(guint16 *port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, length), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &length), ==, 0);
    *port = ntohs(address.sin_port);
    return fd;
}

int
peer_listen(guint16 *port)
{
    int fd = bind_somewhere(port);

    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

static gpointer
serve(gpointer data)
{
    Peer *self = data;
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = accept4(self->fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    self->func(fd, self->data);
    close(fd);
    return NULL;
}

Peer *
peer_new(PeerFunc func, gpointer data)
{
    Peer *self = g_new0(Peer, 1);

    self->func = func;
    self->data = data;
    self->fd = peer_listen(&self->port);
    self->thread = g_thread_new("peer", serve, self);
    return self;
}

guint16
peer_port(const Peer *self)
{
    return self->port;
}

void
peer_free(Peer *self)
{
    if (self == NULL)
        return;
    shutdown(self->fd, SHUT_RDWR);
    g_thread_join(self->thread);
    close(self->fd);
    g_free(self);
}

void
peer_write(int fd, const void *data, gsize length)
{
    g_assert_cmpint(send(fd, data, length, MSG_NOSIGNAL), ==, length);
}

void
peer_read(int fd, void *to, gsize length)
{
    g_assert_cmpint(recv(fd, to, length, MSG_WAITALL), ==, length);
}

void
peer_wait_for_end(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLRDHUP};

    g_assert_cmpint(poll(&wait, 1, TIMEOUT_S * 1000), ==, 1);
}

void
peer_will_reset(int fd)
{
    const struct linger linger = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* --- TLS --- */

static void
load(PeerSession *self, const PeerTls *tls)
{
    g_autofree char *ca = certs_path(tls->directory, "ca.pem");
    g_autofree char *cert = certs_cert(tls->directory, tls->cert);
    g_autofree char *key = certs_key(tls->directory, tls->cert);

    gnutls_certificate_allocate_credentials(&self->credentials);
    int n = gnutls_certificate_set_x509_trust_file(self->credentials, ca, GNUTLS_X509_FMT_PEM);
    g_assert_cmpint(n, ==, 1);
    n = gnutls_certificate_set_x509_key_file(self->credentials, cert, key, GNUTLS_X509_FMT_PEM);
    g_assert_cmpint(n, >=, 0);
}

PeerSession *
peer_tls_accept(int fd, const PeerTls *tls)
{
    PeerSession *self = g_new0(PeerSession, 1);
    int code;

    load(self, tls);
    gnutls_init(&self->session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
    const char *priority = tls->priority != NULL ? tls->priority : "NORMAL";
    g_assert_cmpint(gnutls_priority_set_direct(self->session, priority, NULL), ==, 0);
    gnutls_credentials_set(self->session, GNUTLS_CRD_CERTIFICATE, self->credentials);
    if (tls->wants_certificate) {
        gnutls_certificate_server_set_request(self->session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(self->session, NULL, 0);
    }
    gnutls_transport_set_int(self->session, fd);
    do
        code = gnutls_handshake(self->session);
    while (code < 0 && !gnutls_error_is_fatal(code));
    if (code == 0)
        return self;
    gnutls_alert_send_appropriate(self->session, code);
    peer_tls_free(self);
    return NULL;
}

gnutls_session_t
peer_tls_session(PeerSession *self)
{
    return self->session;
}

void
peer_tls_free(PeerSession *self)
{
    gnutls_deinit(self->session);
    gnutls_certificate_free_credentials(self->credentials);
    g_free(self);
}

void
peer_tls_echo(PeerSession *self)
{
    guint8 bytes[4096];
    gssize n;

    while ((n = gnutls_record_recv(self->session, bytes, sizeof bytes)) > 0) {
        for (gssize sent = 0; sent < n;) {
            gssize part = gnutls_record_send(self->session, bytes + sent, (gsize)(n - sent));
            g_assert_cmpint(part, >, 0);
            sent += part;
        }
    }
}

/* --- ports --- */

void
peer_full_init(PeerFull *self)
{
    self->fds[0] = bind_somewhere(&self->port);
    const struct sockaddr_in address = loopback(self->port);

    g_assert_cmpint(listen(self->fds[0], 0), ==, 0);
    for (gsize i = 1; i < G_N_ELEMENTS(self->fds); i++) {
        self->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int failure = connect(self->fds[i], (const struct sockaddr *)&address, sizeof address);
        (void)failure; /* in progress */
    }
}

void
peer_full_clear(PeerFull *self)
{
    for (gsize i = 0; i < G_N_ELEMENTS(self->fds); i++)
        close(self->fds[i]);
}

guint16
peer_unused_port(void)
{
    guint16 port;

    close(bind_somewhere(&port));
    return port;
}

guint
peer_count_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}
