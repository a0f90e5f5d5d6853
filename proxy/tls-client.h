/* SPDX-License-Identifier: LGPL-2.1-or-later
 * gnutls as a non-blocking TLS client on a socket. On the worker's thread. */
#pragma once

#include "common/tls.h"

#define VCP_TLS_RECORD_SIZE 16384

/* From receive and send: nothing moved, wait for the socket. */
#define VCP_TLS_AGAIN (-2)

typedef enum {
    VCP_TLS_DONE,
    VCP_TLS_WANTS_READ,
    VCP_TLS_WANTS_WRITE,
    VCP_TLS_FAILED
} VcpTlsStep;

typedef struct VcpTlsClient VcpTlsClient;

/* credentials: a reference is kept. name: DNS name or literal that the peer's certificate must
 * bear; never empty. fd: not owned. */
VcpTlsClient *vcp_tls_client_new(VcTlsCredentials *credentials, const char *name, int fd);

/* Before the handshake: the certificate must have this subject (proxy/tls-subject.h), and need
 * not bear the name. */
void vcp_tls_client_expect_subject(VcpTlsClient *self, const char *subject);

/* Best effort close_notify, then frees; nullable. */
void vcp_tls_client_free(VcpTlsClient *self);

/* Errors: VC_ERROR_CERTIFICATE where either certificate is not accepted, else
 * VC_ERROR_PROTOCOL. */
VcpTlsStep vcp_tls_client_handshake(VcpTlsClient *self, GError **error);

/* Bytes read (> 0), 0 at the end of the stream (a TCP end without close_notify too: QEMU never
 * sends one), VCP_TLS_AGAIN, or -1 with error as above. */
gssize vcp_tls_client_receive(VcpTlsClient *self, guint8 *to, gsize room, GError **error);

/* Bytes sent (at most one record), VCP_TLS_AGAIN, or -1 with error. After VCP_TLS_AGAIN the
 * next call's data must begin with the same bytes: they are encrypted already. */
gssize vcp_tls_client_send(VcpTlsClient *self, const guint8 *from, gsize length,
                           GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpTlsClient, vcp_tls_client_free)
