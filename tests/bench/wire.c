/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Sockets and TLS for the bench. */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- TLS --- */

static void
check(gboolean is_fine, const char *what)
{
    if (is_fine)
        return;
    ERR_print_errors_fp(stderr);
    g_error("%s", what);
}

static SSL_CTX *
make_tls(const SSL_METHOD *method)
{
    SSL_CTX *tls = SSL_CTX_new(method);

    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    check(SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") == 1, "cipher suites");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    /* Peers that leave do not take the trouble to say so in TLS. */
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    return tls;
}

SSL_CTX *
wire_client_tls(const char *ca)
{
    SSL_CTX *tls = make_tls(TLS_client_method());

    check(SSL_CTX_load_verify_locations(tls, ca, NULL) == 1, ca);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return tls;
}

SSL_CTX *
wire_server_tls(const char *directory)
{
    SSL_CTX *tls = make_tls(TLS_server_method());
    g_autofree char *cert = g_build_filename(directory, "server-cert.pem", NULL);
    g_autofree char *key = g_build_filename(directory, "server-key.pem", NULL);
    g_autofree char *ca = g_build_filename(directory, "ca-cert.pem", NULL);

    check(SSL_CTX_use_certificate_chain_file(tls, cert) == 1, cert);
    check(SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) == 1, key);
    check(SSL_CTX_load_verify_locations(tls, ca, NULL) == 1, ca);
    /* Asked for, as by a hypervisor, and not insisted on: websockify has none. */
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(tls, 0);
    return tls;
}

static gboolean
shake_hands(Wire *self, int (*handshake)(SSL *ssl))
{
    SSL_set_fd(self->ssl, self->fd);
    if (handshake(self->ssl) == 1)
        return TRUE;
    ERR_clear_error();
    wire_close(self);
    return FALSE;
}

gboolean
wire_start_tls(Wire *self, SSL_CTX *tls)
{
    self->ssl = SSL_new(tls);
    return shake_hands(self, SSL_accept);
}

/* --- sockets --- */

static void
send_at_once(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

gboolean
wire_accept(Wire *self, int fd, SSL_CTX *tls)
{
    *self = (Wire){.fd = fd};
    send_at_once(fd);
    return tls == NULL || wire_start_tls(self, tls);
}

gboolean
wire_connect(Wire *self, guint16 port, SSL_CTX *tls, SSL_SESSION *resumed)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    *self = (Wire){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (self->fd < 0 || connect(self->fd, (struct sockaddr *)&to, sizeof to) != 0) {
        g_printerr("port %u: %s\n", port, g_strerror(errno));
        wire_close(self);
        return FALSE;
    }
    send_at_once(self->fd);
    if (tls == NULL)
        return TRUE;
    self->ssl = SSL_new(tls);
    if (resumed != NULL)
        SSL_set_session(self->ssl, resumed);
    return shake_hands(self, SSL_connect);
}

void
wire_close(Wire *self)
{
    SSL_free(self->ssl);
    if (self->fd >= 0)
        close(self->fd);
    *self = (Wire){.fd = -1};
}

void
wire_stop_blocking(Wire *self)
{
    fcntl(self->fd, F_SETFL, fcntl(self->fd, F_GETFL) | O_NONBLOCK);
}

/* --- bytes --- */

static gssize
result(Wire *self, gssize n)
{
    if (n > 0)
        return n;
    if (self->ssl == NULL)
        return n < 0 && errno == EAGAIN ? WIRE_AGAIN : 0;
    int error = SSL_get_error(self->ssl, (int)n);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? WIRE_AGAIN : 0;
}

gssize
wire_read(Wire *self, void *to, gsize room)
{
    return result(self, self->ssl != NULL ? SSL_read(self->ssl, to, (int)room)
                                          : recv(self->fd, to, room, 0));
}

gssize
wire_write(Wire *self, const void *from, gsize length)
{
    return result(self, self->ssl != NULL ? SSL_write(self->ssl, from, (int)length)
                                          : send(self->fd, from, length, MSG_NOSIGNAL));
}

gboolean
wire_read_all(Wire *self, void *to, gsize length)
{
    for (gsize at = 0; at < length;) {
        gssize n = wire_read(self, (guint8 *)to + at, length - at);
        if (n <= 0)
            return FALSE;
        at += (gsize)n;
    }
    return TRUE;
}

gboolean
wire_write_all(Wire *self, const void *from, gsize length)
{
    for (gsize at = 0; at < length;) {
        gssize n = wire_write(self, (const guint8 *)from + at, length - at);
        if (n <= 0)
            return FALSE;
        at += (gsize)n;
    }
    return TRUE;
}
