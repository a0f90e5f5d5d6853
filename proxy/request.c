/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Path, headers, Origin and token of a websocket request. */
#include "proxy/request.h"

#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/origin.h"

#define ENDPOINT "/websockify"

/* libwebsockets closes the connection without an answer where these headers are longer. */
#define MAX_LIST 126

typedef struct {
    char *query;  /* full, nullable */
    char *cookie; /* full, nullable */
} Tokens;

static gboolean
wrong(GError **error, VcError code, const char *what)
{
    g_set_error_literal(error, VC_ERROR, (int)code, what);
    return FALSE;
}

static gboolean
is_endpoint(const char *path)
{
    gsize length = strlen(ENDPOINT);

    return strncmp(path, ENDPOINT, length) == 0 &&
           (path[length] == '\0' || path[length] == '/');
}

/* Whether a comma-separated header has this token. */
static gboolean
lists(const char *header, const char *token, gboolean any_case)
{
    g_auto(GStrv) items = g_strsplit(header, ",", -1);

    for (char **item = items; *item != NULL; item++) {
        g_strstrip(*item);
        if (strcmp(*item, token) == 0 || (any_case && g_ascii_strcasecmp(*item, token) == 0))
            return TRUE;
    }
    return FALSE;
}

static gboolean
check_http(const VcpRequest *request, GError **error)
{
    if (request->http_version == NULL || strcmp(request->http_version, "HTTP/1.1") != 0)
        return wrong(error, VC_ERROR_BAD_REQUEST, "a websocket needs HTTP/1.1");
    if (request->host == NULL)
        return wrong(error, VC_ERROR_BAD_REQUEST, "the request names no Host");
    if (request->connection == NULL || strlen(request->connection) > MAX_LIST ||
        !lists(request->connection, "upgrade", TRUE))
        return wrong(error, VC_ERROR_BAD_REQUEST, "the header Connection must say upgrade");
    if (request->has_body)
        return wrong(error, VC_ERROR_BAD_REQUEST, "a websocket request has no body");
    return TRUE;
}

static gboolean
is_key(const char *key)
{
    gsize length = 0;

    if (key == NULL || strlen(key) != 24)
        return FALSE;
    g_autofree guchar *nonce = g_base64_decode(key, &length);
    return nonce != NULL && length == 16;
}

static gboolean
check_upgrade(const VcpRequest *request, GError **error)
{
    if (request->version == NULL || strcmp(request->version, "13") != 0)
        return wrong(error, VC_ERROR_BAD_REQUEST, "the websocket version must be 13");
    if (!is_key(request->key))
        return wrong(error, VC_ERROR_BAD_REQUEST,
                     "the websocket key is not 16 bytes in base64");
    return TRUE;
}

/* "binary" where it is offered, nothing where nothing is. */
static gboolean
check_subprotocols(const VcpRequest *request, GError **error)
{
    if (request->subprotocols == NULL)
        return TRUE;
    if (strlen(request->subprotocols) > MAX_LIST)
        return wrong(error, VC_ERROR_BAD_REQUEST, "the list of subprotocols is too long");
    if (lists(request->subprotocols, "binary", FALSE))
        return TRUE;
    return wrong(error, VC_ERROR_BAD_REQUEST, "the only subprotocol spoken here is binary");
}

static gboolean
is_own_origin(const VcpRequest *request, const char *origin)
{
    if (request->host == NULL)
        return FALSE;
    g_autofree char *text =
        g_strconcat(request->is_tls ? "https://" : "http://", request->host, NULL);
    g_autofree char *own = vcp_origin_normalise(text);
    return own != NULL && strcmp(own, origin) == 0;
}

static gboolean
check_origin(const VcpRequest *request, const VcpRequestPolicy *policy, GError **error)
{
    if (request->origin == NULL)
        return !policy->require_origin ||
               wrong(error, VC_ERROR_ORIGIN, "the request has no Origin");
    if (policy->any_origin)
        return TRUE;

    g_autofree char *origin = vcp_origin_normalise(request->origin);
    if (origin != NULL && policy->allowed_origins[0] == NULL && is_own_origin(request, origin))
        return TRUE;
    if (origin != NULL && g_strv_contains(policy->allowed_origins, origin))
        return TRUE;
    return wrong(error, VC_ERROR_ORIGIN, "the page's origin is not allowed");
}

static gboolean
keep_one(char **kept, char *value /* full */, GError **error)
{
    if (*kept != NULL) {
        vc_secret_free(value);
        return wrong(error, VC_ERROR_BAD_REQUEST, "the token is given more than once");
    }
    *kept = value;
    return TRUE;
}

static gboolean
find_in_query(const VcpRequest *request, char **token, GError **error)
{
    for (const char *const *arg = request->args; *arg != NULL; arg++) {
        if (strcmp(*arg, "token") == 0 && !keep_one(token, g_strdup(""), error))
            return FALSE;
        if (g_str_has_prefix(*arg, "token=") &&
            !keep_one(token, g_strdup(*arg + strlen("token=")), error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
find_in_cookie(const VcpRequest *request, char **token, GError **error)
{
    const gsize name = strlen("token=");
    const char *pair = request->cookie;

    while (pair != NULL) {
        pair += strspn(pair, " \t");
        gsize length = strcspn(pair, ";");
        if (g_str_has_prefix(pair, "token=") &&
            !keep_one(token, g_strchomp(g_strndup(pair + name, length - name)), error))
            return FALSE;
        pair = pair[length] == ';' ? pair + length + 1 : NULL;
    }
    return TRUE;
}

/* "/websockify/TOKEN", where a load balancer or an old client puts it. */
static char *
find_in_path(const char *path)
{
    const char *segment = path + strlen(ENDPOINT);

    if (segment[0] != '/' || segment[1] == '\0' || segment[1] == '/')
        return NULL;
    segment++;
    return g_strndup(segment, strcspn(segment, "/"));
}

/* A browser sends cookies along whichever page asks, so a token in one counts only where the
 * page is known. */
static gboolean
check_cookie_use(const VcpRequest *request, const VcpRequestPolicy *policy, GError **error)
{
    if (policy->any_origin)
        return wrong(error, VC_ERROR_ORIGIN,
                     "cookie tokens are refused where every origin is allowed");
    if (request->origin == NULL)
        return wrong(error, VC_ERROR_ORIGIN, "a cookie token needs an Origin");
    return TRUE;
}

static char *
choose_token(const VcpRequest *request, const VcpRequestPolicy *policy, Tokens *found,
             GError **error)
{
    if (!find_in_query(request, &found->query, error) ||
        !find_in_cookie(request, &found->cookie, error))
        return NULL;
    if (found->query != NULL && found->cookie != NULL &&
        strcmp(found->query, found->cookie) != 0) {
        wrong(error, VC_ERROR_BAD_REQUEST, "query and cookie carry different tokens");
        return NULL;
    }
    if (found->query != NULL)
        return g_steal_pointer(&found->query);
    if (found->cookie != NULL)
        return check_cookie_use(request, policy, error) ? g_steal_pointer(&found->cookie)
                                                        : NULL;

    char *token = find_in_path(request->path);
    if (token == NULL)
        wrong(error, VC_ERROR_NO_TOKEN, "the request carries no token");
    return token;
}

char *
vcp_request_check(const VcpRequest *request, const VcpRequestPolicy *policy, GError **error)
{
    Tokens found = {0};

    if (!check_origin(request, policy, error))
        return NULL;
    if (!is_endpoint(request->path)) {
        wrong(error, VC_ERROR_NOT_FOUND, "consoles are served at " ENDPOINT " only");
        return NULL;
    }
    if (!check_http(request, error) || !check_upgrade(request, error) ||
        !check_subprotocols(request, error))
        return NULL;

    char *token = choose_token(request, policy, &found, error);
    vc_secret_free(found.query);
    vc_secret_free(found.cookie);
    if (token != NULL && !vc_token_is_valid(token)) {
        vc_secret_free(token);
        wrong(error, VC_ERROR_BAD_REQUEST, "the token is not a valid one");
        return NULL;
    }
    return token;
}
