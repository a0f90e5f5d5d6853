/* SPDX-License-Identifier: LGPL-2.1-or-later
 * From libwebsockets' header table to the pure judgement of a request. */
#include "proxy/headers.h"

#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/request.h"

gboolean
vcp_header_copy(struct lws *wsi, enum lws_token_indexes token, char **value)
{
    int length = lws_hdr_total_length(wsi, token);

    if (length <= 0)
        return TRUE;
    *value = g_malloc0((gsize)length + 1);
    return lws_hdr_copy(wsi, *value, length + 1, token) == length;
}

static GStrv
copy_args(struct lws *wsi)
{
    GPtrArray *args = g_ptr_array_new();

    for (int i = 0;; i++) {
        int length = lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i);
        g_autofree char *arg = g_malloc0((gsize)length + 1);
        /* An empty one has no length either, but is there. */
        if (lws_hdr_copy_fragment(wsi, arg, length + 1, WSI_TOKEN_HTTP_URI_ARGS, i) < 0)
            break;
        g_ptr_array_add(args, g_steal_pointer(&arg));
    }
    g_ptr_array_add(args, NULL);
    return (GStrv)g_ptr_array_free(args, FALSE);
}

/* What was copied from a request may hold tokens. */
static void
wipe_args(GStrv args)
{
    for (char **arg = args; arg != NULL && *arg != NULL; arg++)
        explicit_bzero(*arg, strlen(*arg));
    g_strfreev(args);
}

typedef struct {
    char *path, *connection, *cookie, *http_version, *host, *origin, *subprotocols, *version,
        *key;
    GStrv args;
} Headers;

static void
clear_headers(Headers *headers)
{
    vc_secret_free(headers->path);
    vc_secret_free(headers->cookie);
    g_free(headers->connection);
    g_free(headers->http_version);
    g_free(headers->host);
    g_free(headers->origin);
    g_free(headers->subprotocols);
    g_free(headers->version);
    g_free(headers->key);
    wipe_args(headers->args);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Headers, clear_headers)

/* An Origin without a value is not the same as none, which libwebsockets' lengths do not tell
 * apart. */
static gboolean
copy_origin(struct lws *wsi, char **value /* full */)
{
    if (!vcp_header_copy(wsi, WSI_TOKEN_ORIGIN, value))
        return FALSE;
    char empty[1];
    if (*value == NULL &&
        lws_hdr_copy_fragment(wsi, empty, sizeof empty, WSI_TOKEN_ORIGIN, 0) == 0)
        *value = g_strdup("");
    return TRUE;
}

static gboolean
read_headers(struct lws *wsi, Headers *headers)
{
    headers->args = copy_args(wsi);
    return vcp_header_copy(wsi, WSI_TOKEN_GET_URI, &headers->path) && headers->path != NULL &&
           vcp_header_copy(wsi, WSI_TOKEN_HTTP_COOKIE, &headers->cookie) &&
           vcp_header_copy(wsi, WSI_TOKEN_HOST, &headers->host) &&
           vcp_header_copy(wsi, WSI_TOKEN_CONNECTION, &headers->connection) &&
           copy_origin(wsi, &headers->origin) &&
           vcp_header_copy(wsi, WSI_TOKEN_HTTP, &headers->http_version) &&
           vcp_header_copy(wsi, WSI_TOKEN_PROTOCOL, &headers->subprotocols) &&
           vcp_header_copy(wsi, WSI_TOKEN_VERSION, &headers->version) &&
           vcp_header_copy(wsi, WSI_TOKEN_KEY, &headers->key);
}

gboolean
vcp_headers_have_body(struct lws *wsi)
{
    return lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0 ||
           lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
}

char *
vcp_headers_check(struct lws *wsi, const VcpConfig *config, GError **error)
{
    g_auto(Headers) headers = {0};
    VcpRequestPolicy policy = {
        .allowed_origins = (const char *const *)config->allowed_origin,
        .any_origin = config->any_origin,
        .require_origin = config->require_origin,
    };

    if (!read_headers(wsi, &headers)) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_BAD_REQUEST,
                            "the request is no GET, or a header of it is too long");
        return NULL;
    }
    VcpRequest request = {
        .path = headers.path,
        .args = (const char *const *)headers.args,
        .cookie = headers.cookie,
        .connection = headers.connection,
        .http_version = headers.http_version,
        .host = headers.host,
        .origin = headers.origin,
        .subprotocols = headers.subprotocols,
        .version = headers.version,
        .key = headers.key,
        .has_body = vcp_headers_have_body(wsi),
        .is_tls = !config->listen_insecure,
    };
    return vcp_request_check(&request, &policy, error);
}
