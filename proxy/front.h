/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The public side's libwebsockets context and its TLS. */
#pragma once

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "proxy/config.h"

/* Whether certificate, key, CA and ciphers would do. Errors: VC_ERROR_CONFIG, one line with
 * file, reason and flag. */
gboolean vcp_front_check(const VcpConfig *config, GError **error);

typedef struct {
    struct lws_context *context; /* NULL: not set up */
    struct lws_vhost *vhost;     /* listens nowhere: connections are handed to it */
    SSL_CTX
    *unused; /* in place of a client's, which libwebsockets would make, fill and not free */
} VcpFront;

/* A context on loop. user: lws_context_user(). Errors: VC_ERROR_CONFIG. On the main thread. */
gboolean vcp_front_init(VcpFront *self, const VcpConfig *config, uv_loop_t *loop, gpointer user,
                        GError **error);

/* Closes all connections and what stands on the loop, which must then run until it is empty;
 * then clear. */
void vcp_front_close(VcpFront *self);
void vcp_front_clear(VcpFront *self);

/* What libwebsockets does not set by itself. */
void vcp_front_set_up_tls(const VcpConfig *config, SSL_CTX *tls);
