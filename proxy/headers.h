/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Headers of a request, read while libwebsockets still has them. On the worker's thread. */
#pragma once

#include <libwebsockets.h>

#include "proxy/config.h"

/* *value (full): the header's, NULL where there is none or an empty one. FALSE where it cannot
 * be had whole. */
gboolean vcp_header_copy(struct lws *wsi, enum lws_token_indexes token, char **value);

gboolean vcp_headers_have_body(struct lws *wsi);

/* Judges a request for a websocket: see vcp_request_check(). *client (full): whom the
 * connection comes from; where that is a trusted proxy, replaced by whom it names. */
char *vcp_headers_check(struct lws *wsi, const VcpConfig *config, char **client,
                        GError **error);
