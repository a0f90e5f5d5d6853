/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A TCP connection, in the clear or with TLS, of the bench's own programs. It blocks while
 * peers greet each other and does not after that. OpenSSL on both ends, since it is the quicker
 * one. */
#pragma once

#include <glib.h>
#include <openssl/ssl.h>

static inline void
put_u32le(guint8 *to, guint32 value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (guint8)(value >> 8 * i);
}

static inline guint32
get_u32le(const guint8 *from)
{
    return (guint32)from[3] << 24 | (guint32)from[2] << 16 | (guint32)from[1] << 8 | from[0];
}

/* Nothing can be read or written now. */
#define WIRE_AGAIN (-2)

typedef struct {
    int fd;
    SSL *ssl; /* NULL: in the clear */
} Wire;

/* Both for TLS 1.3 with AES-128-GCM alone, so that every proxy does the same work. A server has
 * no tickets, as QEMU's has none. Exit where a file is not what it should be. */
SSL_CTX *wire_client_tls(const char *ca);
SSL_CTX *wire_server_tls(const char *directory /* with QEMU's names for the files */);

/* A connected socket with TLS on it, blocking; FALSE: it failed, and the socket is closed.
 * tls: nullable. resumed: nullable, a session to come back to. */
gboolean wire_accept(Wire *self, int fd, SSL_CTX *tls);
gboolean wire_connect(Wire *self, guint16 port, SSL_CTX *tls, SSL_SESSION *resumed);

/* TLS begins in the middle of a connection that wire_accept() made without. */
gboolean wire_start_tls(Wire *self, SSL_CTX *tls);
void wire_close(Wire *self);

/* Returns bytes, 0 at the end and after an error, or WIRE_AGAIN. */
gssize wire_read(Wire *self, void *to, gsize room);
gssize wire_write(Wire *self, const void *from, gsize length);

/* While it blocks; FALSE: the connection has ended. */
gboolean wire_read_all(Wire *self, void *to, gsize length);
gboolean wire_write_all(Wire *self, const void *from, gsize length);
void wire_stop_blocking(Wire *self);
