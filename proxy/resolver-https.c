/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The external resolver: GET <base>/token/<token>, by libcurl on the worker's loop. */
#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/resolver.h"
#include "proxy/transfers.h"

/* A service is a few hundred bytes; an answer beyond this is not one. */
#define MAX_ANSWER 65536

#define MAX_CONNECTIONS 32L

typedef struct {
    VcpResolver resolver; /* first */
    const VcpConfig *config;
    VcpTransfers *transfers;
} HttpsResolver;

struct VcpQuery {
    HttpsResolver *self;
    CURL *transfer;
    char *uri; /* contains the token */
    VcpResolved resolved;
    gpointer data;
    char *answer; /* NUL-terminated; may contain a password */
    gsize length;
};

/* --- answers --- */

static VcService *
parse_answer(const VcpQuery *query, GError **error)
{
    json_t *json = json_loadb(query->answer != NULL ? query->answer : "", query->length,
                              JSON_REJECT_DUPLICATES, NULL);

    if (json == NULL) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_RESOLVER,
                            "the resolver's answer is not valid JSON");
        return NULL;
    }
    VcService *service = vc_service_from_json(json, error);
    json_decref(json);
    return service;
}

static VcService *
read_answer(const VcpQuery *query, CURLcode result, GError **error)
{
    long status = 0;

    if (result != CURLE_OK) {
        g_set_error(error, VC_ERROR, VC_ERROR_RESOLVER, "the resolver did not answer: %s",
                    curl_easy_strerror(result));
        return NULL;
    }
    curl_easy_getinfo(query->transfer, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200)
        return parse_answer(query, error);
    if (status == 404 || status == 410)
        g_set_error(error, VC_ERROR, VC_ERROR_TOKEN, "the resolver does not know the token");
    else
        g_set_error(error, VC_ERROR, VC_ERROR_RESOLVER,
                    "the resolver answered with HTTP status %ld", status);
    return NULL;
}

static void
free_query(VcpQuery *query)
{
    vcp_transfers_remove(query->self->transfers, query->transfer);
    curl_easy_cleanup(query->transfer);
    vc_secret_free(query->uri);
    if (query->answer != NULL)
        explicit_bzero(query->answer, query->length);
    g_free(query->answer);
    g_free(query);
}

static void
finish(VcpQuery *query, CURLcode result)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VcService) service = read_answer(query, result, &error);
    VcpResolved resolved = query->resolved;
    gpointer data = query->data;

    free_query(query);
    resolved(service, error, data);
}

static void
on_ended(CURL *transfer, CURLcode result, gpointer data G_GNUC_UNUSED)
{
    VcpQuery *query = NULL;

    curl_easy_getinfo(transfer, CURLINFO_PRIVATE, &query);
    finish(query, result);
}

static size_t
on_body(char *data, size_t size, size_t n, void *user)
{
    VcpQuery *query = user;
    gsize length = size * n;

    /* A short count ends the transfer. The buffer is never moved by realloc, which would leave
     * a copy behind. */
    if (length > MAX_ANSWER - query->length)
        return 0;
    if (query->answer == NULL)
        query->answer = g_malloc0(MAX_ANSWER + 1);
    memcpy(query->answer + query->length, data, length);
    query->length += length;
    return length;
}

/* --- queries --- */

static char *
make_uri(const VcpConfig *config, const char *token)
{
    g_autofree char *escaped = g_uri_escape_string(token, NULL, FALSE);
    char *uri = vcp_transfer_uri(config, "token/", escaped);

    explicit_bzero(escaped, strlen(escaped));
    return uri;
}

static VcpQuery *
query(VcpResolver *resolver, const char *token, VcpResolved resolved, gpointer data)
{
    HttpsResolver *self = (HttpsResolver *)resolver;
    VcpQuery *query = g_new0(VcpQuery, 1);

    query->self = self;
    query->uri = make_uri(self->config, token);
    query->resolved = resolved;
    query->data = data;
    query->transfer = vcp_transfer_new(self->config, query->uri);
    curl_easy_setopt(query->transfer, CURLOPT_PRIVATE, query);
    curl_easy_setopt(query->transfer, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(query->transfer, CURLOPT_WRITEDATA, query);
    curl_easy_setopt(query->transfer, CURLOPT_TIMEOUT_MS,
                     (long)self->config->resolver_timeout_s * 1000);
    vcp_transfers_add(self->transfers, query->transfer);
    return query;
}

static void
cancel(VcpResolver *resolver, VcpQuery *query)
{
    (void)resolver;
    free_query(query);
}

static void
free_resolver(VcpResolver *resolver)
{
    HttpsResolver *self = (HttpsResolver *)resolver;

    vcp_transfers_free(self->transfers);
    g_free(self);
}

VcpResolver *
vcp_resolver_https_new(uv_loop_t *loop, const VcpConfig *config)
{
    static const VcpResolverOps ops = {.query = query, .cancel = cancel, .free = free_resolver};
    HttpsResolver *self = g_new0(HttpsResolver, 1);

    self->resolver.ops = &ops;
    self->config = config;
    self->transfers = vcp_transfers_new(loop, MAX_CONNECTIONS, on_ended, self);
    return &self->resolver;
}
