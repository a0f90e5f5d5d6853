/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Plain HTTP on the public port: health, files of --web-dir, refusals. On the worker's thread.
 */
#pragma once

#include <libwebsockets.h>

#include "common/error.h"

/* Answers a GET or HEAD that is not for a websocket; path: decoded. What the caller must return
 * from LWS_CALLBACK_HTTP. web_dir: nullable, absolute and without links.
 * is_ready: what /readyz says. */
int vcp_http_serve(struct lws *wsi, const char *path, const char *web_dir, gboolean is_ready);

/* Refuses: a status with a line of text. retry_after_s: for the statuses that say when to come
 * back; 0: soon. FALSE where it could not be written. The connection
 * ends with the next thing that comes on it: see proxy/connection.c. */
gboolean vcp_http_refuse(struct lws *wsi, VcError code, guint retry_after_s);
