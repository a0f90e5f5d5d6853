/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The external resolver: GET <base>/token/<token>, by libcurl on the worker's loop. */
#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/resolver.h"
#include "proxy/timer.h"
#include "proxy/transfers.h"

/* A service is a few hundred bytes; an answer beyond this is not one. */
#define MAX_ANSWER 65536

#define MAX_CONNECTIONS 32L

typedef struct HttpsResolver HttpsResolver;

/* Connections that were made with the same certificates. Those of before a renewal end with
 * their last query. */
typedef struct {
    HttpsResolver *resolver;
    VcpTransfers *transfers;
    VcpTimer *end;
    guint n_queries;
    gboolean is_old;
} Pool;

struct HttpsResolver {
    VcpResolver resolver; /* first */
    uv_loop_t *loop;
    const VcpConfig *config;
    Pool *pool;
    GList *old; /* of Pool */
};

struct VcpQuery {
    Pool *pool;
    CURL *transfer;
    char *uri; /* contains the token */
    VcpResolved resolved;
    gpointer data;
    char *answer; /* NUL-terminated; may contain a password */
    gsize length;
};

/* --- pools --- */

static void
free_pool(Pool *self)
{
    vcp_transfers_free(self->transfers);
    vcp_timer_free(self->end);
    g_free(self);
}

static void
on_end(gpointer data)
{
    Pool *self = data;

    self->resolver->old = g_list_remove(self->resolver->old, self);
    free_pool(self);
}

/* From the loop's next turn: libcurl may be in the middle of it. */
static void
end_if_over(Pool *self)
{
    if (self->is_old && self->n_queries == 0)
        vcp_timer_start(self->end, 0);
}

static void on_ended(CURL *transfer, CURLcode result, gpointer data);

static Pool *
new_pool(HttpsResolver *resolver)
{
    Pool *self = g_new0(Pool, 1);

    self->resolver = resolver;
    self->transfers = vcp_transfers_new(resolver->loop, MAX_CONNECTIONS, on_ended, self);
    self->end = vcp_timer_new(resolver->loop, on_end, self);
    return self;
}

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
    vcp_transfers_remove(query->pool->transfers, query->transfer);
    curl_easy_cleanup(query->transfer);
    query->pool->n_queries--;
    end_if_over(query->pool);
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

    query->pool = self->pool;
    query->uri = make_uri(self->config, token);
    query->resolved = resolved;
    query->data = data;
    query->transfer = vcp_transfer_new(self->config, query->uri);
    curl_easy_setopt(query->transfer, CURLOPT_PRIVATE, query);
    curl_easy_setopt(query->transfer, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(query->transfer, CURLOPT_WRITEDATA, query);
    curl_easy_setopt(query->transfer, CURLOPT_TIMEOUT_MS,
                     (long)self->config->resolver_timeout_s * 1000);
    self->pool->n_queries++;
    vcp_transfers_add(self->pool->transfers, query->transfer);
    return query;
}

static void
cancel(VcpResolver *resolver, VcpQuery *query)
{
    (void)resolver;
    free_query(query);
}

static void
use(VcpResolver *resolver, const VcpConfig *config, gboolean renew)
{
    HttpsResolver *self = (HttpsResolver *)resolver;
    Pool *old = self->pool;

    self->config = config;
    if (!renew)
        return;
    self->pool = new_pool(self);
    old->is_old = TRUE;
    self->old = g_list_prepend(self->old, old);
    end_if_over(old);
}

static void
free_resolver(VcpResolver *resolver)
{
    HttpsResolver *self = (HttpsResolver *)resolver;

    g_list_free_full(self->old, (GDestroyNotify)free_pool);
    free_pool(self->pool);
    g_free(self);
}

VcpResolver *
vcp_resolver_https_new(uv_loop_t *loop, const VcpConfig *config)
{
    static const VcpResolverOps ops = {
        .query = query, .cancel = cancel, .use = use, .free = free_resolver};
    HttpsResolver *self = g_new0(HttpsResolver, 1);

    self->resolver.ops = &ops;
    self->loop = loop;
    self->config = config;
    self->pool = new_pool(self);
    return &self->resolver;
}
