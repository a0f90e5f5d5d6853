/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The external resolver: GET <base>/token/<token>, by libcurl on the worker's loop. */
#include <curl/curl.h>
#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/resolver.h"
#include "proxy/timer.h"

/* A service is a few hundred bytes; an answer beyond this is not one. */
#define MAX_ANSWER 65536

#define MAX_CONNECTIONS 32L
#define MAX_IDLE_S      60L

typedef struct HttpsResolver HttpsResolver;

/* Connections that were made with the same certificates. Those of before a renewal end with
 * their last query. */
typedef struct {
    HttpsResolver *resolver;
    uv_loop_t *loop;
    CURLM *multi;
    VcpTimer *timer;
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
    Pool *self;
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
    curl_multi_remove_handle(query->self->multi, query->transfer);
    curl_easy_cleanup(query->transfer);
    query->self->n_queries--;
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

/* --- libcurl on libuv --- */

static void
free_pool(Pool *self)
{
    curl_multi_cleanup(self->multi);
    vcp_timer_free(self->timer);
    g_free(self);
}

static void
free_if_over(Pool *self)
{
    if (!self->is_old || self->n_queries > 0)
        return;
    self->resolver->old = g_list_remove(self->resolver->old, self);
    free_pool(self);
}

/* The last thing that is done with self: it may be gone then. */
static void
look_for_finished(Pool *self)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(self->multi, &left)) != NULL) {
        VcpQuery *query = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &query);
        finish(query, result);
    }
    free_if_over(self);
}

typedef struct {
    uv_poll_t poll; /* first: the closed handle is freed as the socket */
    Pool *self;
    curl_socket_t fd;
} Socket;

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    Socket *socket = poll->data;
    Pool *self = socket->self;
    int running, flags = 0;

    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(self->multi, socket->fd, flags, &running);
    look_for_finished(self);
}

static void
on_socket_closed(uv_handle_t *handle)
{
    g_free(handle->data);
}

static Socket *
watch(Pool *self, curl_socket_t fd)
{
    Socket *socket = g_new0(Socket, 1);

    socket->self = self;
    socket->fd = fd;
    int failure = uv_poll_init(self->loop, &socket->poll, fd);
    g_assert(failure == 0);
    socket->poll.data = socket;
    curl_multi_assign(self->multi, fd, socket);
    return socket;
}

static int
on_socket(CURL *transfer, curl_socket_t fd, int what, void *user, void *assigned)
{
    Pool *self = user;
    Socket *socket = assigned;

    (void)transfer;
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(self->multi, fd, NULL);
        if (socket != NULL)
            uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
        return 0;
    }
    if (socket == NULL)
        socket = watch(self, fd);
    uv_poll_start(&socket->poll,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  on_poll);
    return 0;
}

static void
on_timeout(gpointer data)
{
    Pool *self = data;
    int running;

    curl_multi_socket_action(self->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    look_for_finished(self);
}

static int
on_timer(CURLM *multi, long timeout_ms, void *user)
{
    Pool *self = user;

    (void)multi;
    if (timeout_ms < 0)
        vcp_timer_stop(self->timer);
    else
        vcp_timer_start(self->timer, (guint64)timeout_ms);
    return 0;
}

static Pool *
new_pool(HttpsResolver *resolver)
{
    Pool *self = g_new0(Pool, 1);

    self->resolver = resolver;
    self->loop = resolver->loop;
    self->timer = vcp_timer_new(self->loop, on_timeout, self);
    self->multi = curl_multi_init();
    curl_multi_setopt(self->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(self->multi, CURLMOPT_SOCKETDATA, self);
    curl_multi_setopt(self->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(self->multi, CURLMOPT_TIMERDATA, self);
    curl_multi_setopt(self->multi, CURLMOPT_MAX_HOST_CONNECTIONS, MAX_CONNECTIONS);
    return self;
}

/* --- queries --- */

static char *
make_uri(const char *base, const char *token)
{
    g_autofree char *escaped = g_uri_escape_string(token, NULL, FALSE);
    char *uri =
        g_strconcat(base, g_str_has_suffix(base, "/") ? "" : "/", "token/", escaped, NULL);

    explicit_bzero(escaped, strlen(escaped));
    return uri;
}

static void
set_tls(CURL *transfer, const VcpConfig *config)
{
    curl_easy_setopt(transfer, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(transfer, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(transfer, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(transfer, CURLOPT_SSLCERT, config->resolver_tls_cert);
    curl_easy_setopt(transfer, CURLOPT_SSLKEY, config->resolver_tls_key);
    curl_easy_setopt(transfer, CURLOPT_CAINFO, config->resolver_tls_ca);
    curl_easy_setopt(transfer, CURLOPT_CAPATH, NULL);
}

static VcpQuery *
query(VcpResolver *resolver, const char *token, VcpResolved resolved, gpointer data)
{
    HttpsResolver *self = (HttpsResolver *)resolver;
    VcpQuery *query = g_new0(VcpQuery, 1);
    CURL *transfer = curl_easy_init();

    query->self = self->pool;
    query->transfer = transfer;
    query->uri = make_uri(self->config->resolver_uri, token);
    query->resolved = resolved;
    query->data = data;

    curl_easy_setopt(transfer, CURLOPT_URL, query->uri);
    curl_easy_setopt(transfer, CURLOPT_PRIVATE, query);
    curl_easy_setopt(transfer, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(transfer, CURLOPT_WRITEDATA, query);
    curl_easy_setopt(transfer, CURLOPT_TIMEOUT_MS,
                     (long)self->config->resolver_timeout_s * 1000);
    curl_easy_setopt(transfer, CURLOPT_PROTOCOLS_STR,
                     self->config->resolver_insecure ? "https,http" : "https");
    curl_easy_setopt(transfer, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(transfer, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(transfer, CURLOPT_NOSIGNAL, 1L);
    /* A name that hangs must not hold up the loop when its query is given up. */
    curl_easy_setopt(transfer, CURLOPT_QUICK_EXIT, 1L);
    /* Tokens go to the resolver and nowhere else, whatever http_proxy or a .netrc says. */
    curl_easy_setopt(transfer, CURLOPT_PROXY, "");
    curl_easy_setopt(transfer, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(transfer, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(transfer, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(transfer, CURLOPT_MAXAGE_CONN, MAX_IDLE_S);
    set_tls(transfer, self->config);
    self->pool->n_queries++;
    curl_multi_add_handle(self->pool->multi, transfer);
    return query;
}

static void
cancel(VcpResolver *resolver, VcpQuery *query)
{
    Pool *pool = query->self;

    (void)resolver;
    free_query(query);
    /* Not now: libcurl may be in the middle of another of its queries. */
    if (pool->is_old && pool->n_queries == 0)
        vcp_timer_start(pool->timer, 0);
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
    free_if_over(old);
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
