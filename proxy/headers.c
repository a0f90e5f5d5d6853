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

/* Each line of a header, or each argument of the query, as one item. */
static GStrv
copy_fragments(struct lws *wsi, enum lws_token_indexes token)
{
    GPtrArray *items = g_ptr_array_new();

    for (int i = 0;; i++) {
        int length = lws_hdr_fragment_length(wsi, token, i);
        g_autofree char *item = g_malloc0((gsize)length + 1);
        /* An empty one has no length either, but is there. */
        if (lws_hdr_copy_fragment(wsi, item, length + 1, token, i) < 0)
            break;
        g_ptr_array_add(items, g_steal_pointer(&item));
    }
    g_ptr_array_add(items, NULL);
    return (GStrv)g_ptr_array_free(items, FALSE);
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
    headers->args = copy_fragments(wsi, WSI_TOKEN_HTTP_URI_ARGS);
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

/* --- what a balancer says of its client --- */

#define FORWARDED_PROTO "x-forwarded-proto:"

static char *
copy_forwarded_for(struct lws *wsi)
{
    g_auto(GStrv) lines = copy_fragments(wsi, WSI_TOKEN_X_FORWARDED_FOR);

    return lines[0] != NULL ? g_strjoinv(",", lines) : NULL;
}

/* libwebsockets knows this one by its name only. */
static char *
copy_forwarded_proto(struct lws *wsi)
{
    const int name = (int)strlen(FORWARDED_PROTO);
    int length = lws_hdr_custom_length(wsi, FORWARDED_PROTO, name);

    if (length < 0)
        return NULL;
    char *value = g_malloc0((gsize)length + 1);
    lws_hdr_custom_copy(wsi, value, length + 1, FORWARDED_PROTO, name);
    return g_strstrip(value);
}

static gboolean
read_forwarded(struct lws *wsi, const VcpConfig *config, char **client, gboolean *is_tls,
               GError **error)
{
    g_autofree char *addresses = NULL, *scheme = NULL, *told = NULL;

    if (!vcp_trust_has(config->trust, *client))
        return TRUE;
    addresses = copy_forwarded_for(wsi);
    scheme = copy_forwarded_proto(wsi);
    if (!vcp_trust_client(config->trust, addresses, &told, error))
        return FALSE;
    if (told != NULL) {
        g_debug("client %s through %s", told, *client);
        g_free(*client);
        *client = g_steal_pointer(&told);
    }
    return vcp_trust_scheme(scheme, *is_tls, is_tls, error);
}

/* --- the request as a whole --- */

char *
vcp_headers_check(struct lws *wsi, const VcpConfig *config, char **client, GError **error)
{
    g_auto(Headers) headers = {0};
    gboolean is_tls = !config->listen_insecure;
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
    if (!read_forwarded(wsi, config, client, &is_tls, error))
        return NULL;
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
        .is_tls = is_tls,
    };
    return vcp_request_check(&request, &policy, error);
}
