/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The public side's libwebsockets context and its TLS. */
#pragma once

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "proxy/config.h"

/* Whether certificate, key, CA and ciphers would do. Errors: VC_ERROR_CONFIG, one line with file, reason and flag. */
gboolean vcp_front_check(const VcpConfig *config, GError **error);

/* A context on loop with one vhost that listens nowhere: connections are handed to it. user: lws_context_user().
 * NULL with VC_ERROR_CONFIG. On the main thread. */
struct lws_context *vcp_front_new(const VcpConfig *config, uv_loop_t *loop, gpointer user, struct lws_vhost **vhost,
                                  GError **error);

/* What libwebsockets does not set by itself. */
void vcp_front_set_up_tls(const VcpConfig *config, SSL_CTX *tls);
