/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Judges a request for a websocket by its HTTP headers alone. Pure. */
#pragma once

#include <glib.h>

/* The parts of a request; strings nullable where the header is absent. */
typedef struct {
    const char *path;        /* decoded, without the query */
    const char *const *args; /* decoded "name=value", NULL-terminated */
    const char *connection;
    const char *cookie;
    const char *http_version; /* "HTTP/1.1" */
    const char *host;
    const char *origin;
    const char *subprotocols;
    const char *version; /* Sec-WebSocket-Version */
    const char *key;     /* Sec-WebSocket-Key */
    gboolean has_body;
    gboolean is_tls;
} VcpRequest;

typedef struct {
    const char *const
        *allowed_origins; /* normalised, NULL-terminated; none: the request's own */
    gboolean any_origin;
    gboolean require_origin;
} VcpRequestPolicy;

/* The token, to be freed with vc_secret_free(), or NULL with the reason: VC_ERROR_NOT_FOUND
 * (path), _BAD_REQUEST (syntax, subprotocol), _ORIGIN, _NO_TOKEN. Messages do not contain what
 * the client sent. */
char *vcp_request_check(const VcpRequest *request, const VcpRequestPolicy *policy,
                        GError **error);
