/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A TLS client of ours at a server in the same process. */
#pragma once

#include "peer.h"
#include "proxy/tls-client.h"

typedef struct {
    Peer *peer;
    int fd;
    VcTlsCredentials *credentials;
    VcpTlsClient *client;
} TlsConnection;

/* The client certificate of this name in certs_make()'s directory. ca: a file there. Returns:
 * full. */
VcTlsCredentials *tls_connection_load(const char *directory, const char *name, const char *ca);

/* credentials: a reference is kept. name: to be verified. */
void tls_connection_start(TlsConnection *self, PeerFunc func, gpointer data,
                          VcTlsCredentials *credentials, const char *name);
void tls_connection_stop(TlsConnection *self);

/* POLLIN or POLLOUT must come. */
void tls_connection_wait(const TlsConnection *self, int events);

VcpTlsStep tls_connection_shake_hands(TlsConnection *self, GError **error);
void tls_connection_must_shake_hands(TlsConnection *self);

/* Waits until there is something. */
gssize tls_connection_receive(TlsConnection *self, void *to, gsize room, GError **error);
void tls_connection_must_receive(TlsConnection *self, const char *expected);
