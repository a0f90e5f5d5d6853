/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The public side's libwebsockets context and its TLS. */
#pragma once

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "proxy/config.h"
#include "proxy/tickets.h"

/* Certificate, key, CA, CRL, as they are in the files now; ciphers are checked too. full.
 * Errors: VC_ERROR_CONFIG, one line with file, reason and flag. */
SSL_CTX *vcp_front_load(const VcpConfig *config, GError **error);

typedef struct {
    struct lws_context *context; /* NULL: not set up */
    struct lws_vhost *vhost;     /* listens nowhere: connections are handed to it */
    SSL_CTX *certificates;       /* of connections from now on; nullable */
    SSL_CTX
    *unused; /* in place of a client's, which libwebsockets would make, fill and not free */
} VcpFront;

/* A context on loop. certificates: a reference is kept; NULL for clear text. user:
 * lws_context_user(). Errors: VC_ERROR_CONFIG. On the main thread. */
gboolean vcp_front_init(VcpFront *self, const VcpConfig *config, SSL_CTX *certificates,
                        uv_loop_t *loop, gpointer user, GError **error);

/* Others from now on; a reference is kept. On the loop's thread. */
void vcp_front_use(VcpFront *self, SSL_CTX *certificates);

/* Closes all connections and what stands on the loop, which must then run until it is empty;
 * then clear. */
void vcp_front_close(VcpFront *self);
void vcp_front_clear(VcpFront *self);

/* What libwebsockets does not set by itself. tickets: not owned. */
void vcp_front_set_up_tls(VcpFront *self, const VcpConfig *config, VcpTickets *tickets,
                          SSL_CTX *tls);
