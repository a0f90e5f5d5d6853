/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Requests for a websocket from a client that sends what it likes: who gets in has a valid
 * token, from where it was found, and comes from a page that is allowed.
 *
 * Input: policy and connection (1 byte of flags), then texts with a NUL behind each: path,
 * cookie, host, origin, subprotocols, version, key, connection, HTTP version, and arguments of
 * the query. A text of one \1, or none, is an absent header. */
#include "fuzz.h"

#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/origin.h"
#include "proxy/request.h"

#define MAX_ARGS 8

#define TLS            0x01u
#define BODY           0x02u
#define ANY_ORIGIN     0x04u
#define REQUIRE_ORIGIN 0x08u
#define LIST           0x10u

static const char *const listed[] = {"https://cloud.example:443", "http://lab.example:8080",
                                     NULL};
static const char *const nothing[] = {NULL};

/* The next text of what *at points to; NULL where it is absent. end: behind the NUL at the end.
 */
static const char *
next(const char **at, const char *end)
{
    const char *text = *at;

    if (text >= end)
        return NULL;
    *at += strlen(text) + 1;
    return strcmp(text, "\x01") == 0 ? NULL : text;
}

/* Returns how many there are. */
static gsize
read_args(const char **at, const char *end, const char *args[MAX_ARGS + 1])
{
    gsize n = 0;

    while (n < MAX_ARGS && *at < end) {
        args[n] = next(at, end);
        n += args[n] != NULL ? 1 : 0;
    }
    args[n] = NULL;
    return n;
}

static gboolean
is_list_member(const char *text, const char *separators, const char *member)
{
    g_auto(GStrv) items = g_strsplit_set(text, separators, -1);

    return g_strv_contains((const char *const *)items, member);
}

/* Whether the token stands where it may. */
static gboolean
is_given(const VcpRequest *request, const char *token)
{
    g_autofree char *pair = g_strconcat("token=", token, NULL);

    if (g_strv_contains(request->args, pair))
        return TRUE;
    if (request->cookie != NULL && is_list_member(request->cookie, "; \t\n\v\f\r", pair))
        return TRUE;
    return is_list_member(request->path, "/", token);
}

static void
check_page(const VcpRequest *request, const VcpRequestPolicy *policy)
{
    g_assert_true(request->origin != NULL || !policy->require_origin);
    if (request->origin == NULL || policy->any_origin)
        return;

    g_autofree char *origin = vcp_origin_normalise(request->origin);
    g_assert_nonnull(origin);
    if (policy->allowed_origins[0] != NULL)
        g_assert_true(g_strv_contains(policy->allowed_origins, origin));
    else
        g_assert_true(g_str_has_prefix(origin, request->is_tls ? "https://" : "http://"));
}

static void
check_accepted(const VcpRequest *request, const VcpRequestPolicy *policy, const char *token)
{
    g_assert_true(vc_token_is_valid(token));
    g_assert_true(g_str_has_prefix(request->path, "/websockify"));
    g_assert_true(is_given(request, token));
    g_assert_cmpstr(request->version, ==, "13");
    g_assert_false(request->has_body);
    check_page(request, policy);
}

static void
check_refused(const GError *error)
{
    g_assert_nonnull(error);
    g_assert_true(error->domain == VC_ERROR);
    g_assert_true(error->code == VC_ERROR_NOT_FOUND || error->code == VC_ERROR_BAD_REQUEST ||
                  error->code == VC_ERROR_ORIGIN || error->code == VC_ERROR_NO_TOKEN);
}

static void
reverse(const char **args, gsize n)
{
    for (gsize i = 0; i < n / 2; i++) {
        const char *other = args[i];
        args[i] = args[n - 1 - i];
        args[n - 1 - i] = other;
    }
}

static void
check_normal_form(const char *text)
{
    g_autofree char *normal = text != NULL ? vcp_origin_normalise(text) : NULL;

    if (normal == NULL)
        return;
    g_autofree char *again = vcp_origin_normalise(normal);
    g_assert_cmpstr(again, ==, normal);
    for (const char *at = normal; *at != '\0'; at++)
        g_assert_true(g_ascii_isgraph(*at) && !g_ascii_isupper(*at) &&
                      strchr("@,%?#\\", *at) == NULL);
}

static void
judge(const VcpRequest *request, const VcpRequestPolicy *policy, const char **args,
      gsize n_args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) same_error = NULL;
    char *token = vcp_request_check(request, policy, &error);

    if (token != NULL)
        check_accepted(request, policy, token);
    else
        check_refused(error);
    g_assert_true((token != NULL) == (error == NULL));

    /* The order of a query's arguments means nothing. */
    reverse(args, n_args);
    char *same = vcp_request_check(request, policy, &same_error);
    g_assert_cmpstr(same, ==, token);
    g_assert_true(error == NULL || same_error->code == error->code);
    vc_secret_free(token);
    vc_secret_free(same);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    if (size < 1)
        return 0;

    g_autofree char *texts = g_strndup("", size);
    memcpy(texts, data + 1, size - 1);
    const char *at = texts;
    const char *end = texts + size;
    const char *args[MAX_ARGS + 1];
    unsigned flags = data[0];

    VcpRequest request = {.is_tls = (flags & TLS) != 0, .has_body = (flags & BODY) != 0};
    VcpRequestPolicy policy = {
        .allowed_origins = flags & LIST ? listed : nothing,
        .any_origin = (flags & ANY_ORIGIN) != 0,
        .require_origin = (flags & REQUIRE_ORIGIN) != 0,
    };
    const char **headers[] = {&request.path,   &request.cookie,       &request.host,
                              &request.origin, &request.subprotocols, &request.version,
                              &request.key,    &request.connection,   &request.http_version};
    for (gsize i = 0; i < G_N_ELEMENTS(headers); i++)
        *headers[i] = next(&at, end);
    gsize n_args = read_args(&at, end, args);
    request.args = args;
    if (request.path == NULL)
        request.path = "";

    check_normal_form(request.origin);
    judge(&request, &policy, args, n_args);
    return 0;
}
