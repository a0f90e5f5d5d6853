/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Handshake and reading with waiting in between. */
#include "tls-connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs.h"

#define TIMEOUT_MS 20000

static int
connect_to(guint16 port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(connect(fd, (const struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(fcntl(fd, F_SETFL, O_NONBLOCK), ==, 0);
    return fd;
}

VcTlsCredentials *
tls_connection_load(const char *directory, const char *name, const char *ca)
{
    g_autofree char *cert = certs_cert(directory, name);
    g_autofree char *key = certs_key(directory, name);
    g_autofree char *ca_path = certs_path(directory, ca);
    g_autoptr(GError) error = NULL;
    VcTlsCredentials *credentials = vc_tls_credentials_load(cert, key, ca_path, "--x", &error);

    g_assert_no_error(error);
    return credentials;
}

void
tls_connection_start(TlsConnection *self, PeerFunc func, gpointer data,
                     VcTlsCredentials *credentials, const char *name)
{
    self->peer = peer_new(func, data);
    self->fd = connect_to(peer_port(self->peer));
    self->credentials = vc_tls_credentials_ref(credentials);
    self->client = vcp_tls_client_new(credentials, name, self->fd);
}

void
tls_connection_stop(TlsConnection *self)
{
    vcp_tls_client_free(self->client);
    close(self->fd);
    peer_free(self->peer);
    vc_tls_credentials_unref(self->credentials);
}

void
tls_connection_wait(const TlsConnection *self, int events)
{
    struct pollfd wait = {.fd = self->fd, .events = (short)events};

    g_assert_cmpint(poll(&wait, 1, TIMEOUT_MS), ==, 1);
}

VcpTlsStep
tls_connection_shake_hands(TlsConnection *self, GError **error)
{
    for (;;) {
        VcpTlsStep step = vcp_tls_client_handshake(self->client, error);
        if (step != VCP_TLS_WANTS_READ && step != VCP_TLS_WANTS_WRITE)
            return step;
        tls_connection_wait(self, step == VCP_TLS_WANTS_READ ? POLLIN : POLLOUT);
    }
}

void
tls_connection_must_shake_hands(TlsConnection *self)
{
    g_autoptr(GError) error = NULL;
    VcpTlsStep step = tls_connection_shake_hands(self, &error);

    g_assert_no_error(error);
    g_assert_cmpint(step, ==, VCP_TLS_DONE);
}

gssize
tls_connection_receive(TlsConnection *self, void *to, gsize room, GError **error)
{
    for (;;) {
        gssize n = vcp_tls_client_receive(self->client, to, room, error);
        if (n != VCP_TLS_AGAIN)
            return n;
        tls_connection_wait(self, POLLIN);
    }
}

void
tls_connection_must_receive(TlsConnection *self, const char *expected)
{
    for (; *expected != '\0'; expected++) {
        g_autoptr(GError) error = NULL;
        char byte;
        gssize n = tls_connection_receive(self, &byte, 1, &error);
        g_assert_no_error(error);
        g_assert_cmpint(n, ==, 1);
        g_assert_cmpint(byte, ==, *expected);
    }
}
