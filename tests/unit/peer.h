/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The other end of a connection: a TCP server on a thread of its own, which does one thing to
 * one client. */
#pragma once

#include <glib.h>
#include <gnutls/gnutls.h>

typedef struct Peer Peer;

/* On the peer's thread; fd is closed when it returns. Reading and writing block, for a few
 * seconds at the most. */
typedef void (*PeerFunc)(int fd, gpointer data);

/* Listens on a free port of 127.0.0.1. */
Peer *peer_new(PeerFunc func, gpointer data);

guint16 peer_port(const Peer *self);

/* Waits until the function has returned; where nobody has come, nobody will. Then frees;
 * nullable. */
void peer_free(Peer *self);

/* For functions: writes all, reads exactly length bytes. */
void peer_write(int fd, const void *data, gsize length);
void peer_read(int fd, void *to, gsize length);

/* Reads nothing until the client has gone. */
void peer_wait_for_end(int fd);

/* Closing it then sends a reset. */
void peer_will_reset(int fd);

/* What a TLS server shows and wants. */
typedef struct {
    const char *directory; /* of certs_make() */
    const char *cert;      /* name in its table */
    const char *priority;  /* nullable: the library's own */
    gboolean wants_certificate;
} PeerTls;

typedef struct PeerSession PeerSession;

/* The handshake; NULL where it fails. */
PeerSession *peer_tls_accept(int fd, const PeerTls *tls);
gnutls_session_t peer_tls_session(PeerSession *self);
void peer_tls_free(PeerSession *self); /* without a close_notify */

/* Sends back what comes until the end. */
void peer_tls_echo(PeerSession *self);

/* A listening socket at a port of 127.0.0.1. Where nobody accepts, a client is connected all
 * the same, and heard by nobody. */
int peer_listen(guint16 *port);

/* A port of 127.0.0.1 at which a connection neither succeeds nor fails: nobody accepts, and the
 * queue is full. */
typedef struct {
    int fds[8];
    guint16 port;
} PeerFull;

void peer_full_init(PeerFull *self);
void peer_full_clear(PeerFull *self);

/* A port of 127.0.0.1 where nobody listens. */
guint16 peer_unused_port(void);

/* Open descriptors of the process. */
guint peer_count_fds(void);
