/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The worker's thread: its loop, what it owns, its start and its end. */
#include "proxy/worker.h"

#include <malloc.h>
#include <unistd.h>

#include "common/error.h"
#include "proxy/connection.h"
#include "proxy/front.h"
#include "proxy/session.h"
#include "proxy/store-redis.h"
#include "proxy/timer.h"

/* Connections without a session that a worker bears before it cuts off the oldest. */
#define MAX_HALF_OPEN 4096

/* Until when sessions may say good-bye at the end of the daemon. */
#define STOP_TIMEOUT_MS 3500

/* For an answer of the store. */
#define STORE_TIMEOUT_MS 2000

/* How often the loop's lag is measured. */
#define LAG_PERIOD_MS 1000

/* Below so many connections there is no memory worth asking back. */
#define TRIM_FLOOR 64

typedef struct {
    int fd;
    char *client; /* full */
} Accepted;

typedef struct {
    VcpWorkerFunc func;
    gpointer data;
} Call;

struct VcpWorker {
    VcpShared shared; /* with references of its own */
    GThread *thread;  /* nullable: not started */
    uv_loop_t loop;
    VcpFront front;
    VcPool *pool;
    VcpTurns *turns; /* of its sessions */
    VcpResolver *resolver;
    VcpLeases *leases;
    VcpStore *store; /* theirs */
    VcpDesk *desk;
    GQueue half_open; /* of the links of connections, oldest first */
    GQueue sessions;
    gboolean is_stopping, is_closed;
    VcpTimer *stop_timer;
    VcpMetrics metrics;
    VcpTimer *lag_timer;
    gint64 lag_due_us;

    uv_async_t wake;
    uv_mutex_t lock; /* for: */
    GArray *accepted;
    GArray *calls;
    gboolean stop_asked;
    VcpShared *fresh; /* nullable */

    guint peak;     /* of load, since memory was last given back */
    int load;       /* atomic */
    int n_sessions; /* atomic: the length of sessions, for other threads */
    int asked;      /* atomic; whether the loop turns: cleared by its next turn */
};

const VcpShared *
vcp_worker_shared(const VcpWorker *self)
{
    return &self->shared;
}

VcpTurns *
vcp_worker_turns(VcpWorker *self)
{
    return self->turns;
}

uv_loop_t *
vcp_worker_loop(VcpWorker *self)
{
    return &self->loop;
}

VcPool *
vcp_worker_pool(VcpWorker *self)
{
    return self->pool;
}

VcpResolver *
vcp_worker_resolver(VcpWorker *self)
{
    return self->resolver;
}

VcpLeases *
vcp_worker_leases(VcpWorker *self)
{
    return self->leases;
}

VcpDesk *
vcp_worker_desk(VcpWorker *self)
{
    return self->desk;
}

struct lws_vhost *
vcp_worker_vhost(VcpWorker *self)
{
    return self->front.vhost;
}

void
vcp_worker_set_up_tls(VcpWorker *self, SSL_CTX *tls)
{
    vcp_front_set_up_tls(&self->front, self->shared.config, self->shared.tickets, tls);
}

gboolean
vcp_worker_is_stopping(const VcpWorker *self)
{
    return self->is_stopping;
}

gboolean
vcp_worker_is_ready(const VcpWorker *self)
{
    return !self->is_stopping && !g_atomic_int_get(self->shared.is_draining);
}

guint
vcp_worker_sessions(VcpWorker *self)
{
    return (guint)g_atomic_int_get(&self->n_sessions);
}

guint
vcp_worker_load(VcpWorker *self)
{
    return (guint)g_atomic_int_get(&self->load);
}

const VcpMetrics *
vcp_worker_metrics(const VcpWorker *self)
{
    return &self->metrics;
}

gsize
vcp_worker_buffers(const VcpWorker *self)
{
    return vc_pool_in_use(self->pool);
}

/* --- the loop's lag --- */

static void
start_lag_timer(VcpWorker *self)
{
    uv_update_time(&self->loop);
    self->lag_due_us = g_get_monotonic_time() + LAG_PERIOD_MS * (gint64)1000;
    vcp_timer_start(self->lag_timer, LAG_PERIOD_MS);
}

/* What this timer waits for beyond its time, everything else on the loop waits for too. */
static void
on_lag_timer(gpointer data)
{
    VcpWorker *self = data;

    vcp_metrics_lag(g_get_monotonic_time() - self->lag_due_us);
    start_lag_timer(self);
}

/* --- what is shared --- */

static void
copy_shared(VcpShared *to, const VcpShared *from)
{
    *to = *from;
    vcp_config_ref(to->config);
    if (to->front_certificates != NULL)
        SSL_CTX_up_ref(to->front_certificates);
    if (to->credentials != NULL)
        vc_tls_credentials_ref(to->credentials);
    if (to->store_credentials != NULL)
        vc_tls_credentials_ref(to->store_credentials);
}

static void
release_shared(VcpShared *shared)
{
    vcp_config_unref(shared->config);
    SSL_CTX_free(shared->front_certificates);
    vc_tls_credentials_unref(shared->credentials);
    vc_tls_credentials_unref(shared->store_credentials);
}

static void
free_shared(VcpShared *shared)
{
    if (shared == NULL)
        return;
    release_shared(shared);
    g_free(shared);
}

/* Takes it. */
static void
take_shared(VcpWorker *self, VcpShared *fresh)
{
    VcpShared old = self->shared;

    self->shared = *fresh;
    g_free(fresh);
    vcp_front_use(&self->front, self->shared.front_certificates);
    self->resolver->ops->use(self->resolver, self->shared.config,
                             self->shared.resolver_renewals != old.resolver_renewals);
    if (self->shared.store != NULL)
        vcp_store_redis_use(self->store, self->shared.store_credentials);
    release_shared(&old);
}

void
vcp_worker_use(VcpWorker *self, const VcpShared *shared)
{
    VcpShared *fresh = g_new0(VcpShared, 1);

    copy_shared(fresh, shared);
    uv_mutex_lock(&self->lock);
    VcpShared *unseen = self->fresh;
    self->fresh = fresh;
    uv_mutex_unlock(&self->lock);
    uv_async_send(&self->wake);
    free_shared(unseen);
}

/* --- connections --- */

static void
close_everything(VcpWorker *self)
{
    self->is_closed = TRUE;
    vcp_front_close(&self->front);
    vcp_turns_free(self->turns);
    vcp_desk_free(self->desk);
    self->resolver->ops->free(self->resolver);
    vcp_leases_free(self->leases);
    uv_close((uv_handle_t *)&self->wake, NULL);
    g_clear_pointer(&self->stop_timer, vcp_timer_free);
    g_clear_pointer(&self->lag_timer, vcp_timer_free);
}

static void
close_if_done(VcpWorker *self)
{
    if (self->is_stopping && !self->is_closed && self->half_open.length == 0 &&
        self->sessions.length == 0)
        close_everything(self);
}

void
vcp_worker_add_half_open(VcpWorker *self, GList *link)
{
    g_queue_push_tail_link(&self->half_open, link);
    if (self->half_open.length <= MAX_HALF_OPEN)
        return;
    /* It leaves the list when it is gone; until then another is the oldest. */
    GList *oldest = g_queue_pop_head_link(&self->half_open);
    vcp_connection_kill(oldest->data);
    g_queue_push_tail_link(&self->half_open, oldest);
}

void
vcp_worker_add_session(VcpWorker *self, GList *link)
{
    g_queue_push_tail_link(&self->sessions, link);
    g_atomic_int_inc(&self->n_sessions);
}

void
vcp_worker_remove_half_open(VcpWorker *self, GList *link)
{
    g_queue_unlink(&self->half_open, link);
}

void
vcp_worker_remove_session(VcpWorker *self, GList *link)
{
    g_queue_unlink(&self->sessions, link);
    g_atomic_int_add(&self->n_sessions, -1);
}

void
vcp_worker_each_session(VcpWorker *self, void (*func)(VcpSession *, gpointer), gpointer data)
{
    GList *next;

    for (GList *at = self->sessions.head; at != NULL; at = next) {
        VcpEndpoint *tenant = at->data;
        next = at->next; /* it may end meanwhile */
        if (tenant->session != NULL)
            func(tenant->session, data);
    }
}

/* The allocator keeps what a crowd has left behind, scattered as it is, until it is asked for
 * it. */
static void
give_back_memory(VcpWorker *self)
{
    guint load = vcp_worker_load(self);

    self->peak = MAX(self->peak, load + 1);
    if (self->peak > TRIM_FLOOR && load < self->peak / 2) {
        malloc_trim(0);
        self->peak = load;
    }
}

void
vcp_worker_released(VcpWorker *self)
{
    g_atomic_int_dec_and_test(&self->load);
    give_back_memory(self);
    /* From the loop's next turn: libwebsockets is in the middle of letting the connection go.
     */
    if (self->is_stopping && !self->is_closed)
        uv_async_send(&self->wake);
}

/* --- messages from other threads --- */

static void
on_stop_timeout(gpointer data)
{
    VcpWorker *self = data;

    if (self->sessions.length > 0)
        g_warning("%u clients did not answer the close in time and are cut off",
                  self->sessions.length);
    close_everything(self);
}

static void
start_stopping(VcpWorker *self)
{
    self->is_stopping = TRUE;
    self->stop_timer = vcp_timer_new(&self->loop, on_stop_timeout, self);
    vcp_timer_start(self->stop_timer, STOP_TIMEOUT_MS);
    for (GList *at = self->half_open.head; at != NULL; at = at->next)
        vcp_connection_kill(at->data);
    for (GList *at = self->sessions.head; at != NULL; at = at->next) {
        VcpEndpoint *tenant = at->data;
        if (tenant->session != NULL)
            vcp_session_end(tenant->session, g_error_new_literal(VC_ERROR, VC_ERROR_SHUTDOWN,
                                                                 "the daemon is going down"));
    }
}

static void
take_accepted(VcpWorker *self, GArray *accepted)
{
    for (guint i = 0; i < accepted->len; i++) {
        Accepted *one = &g_array_index(accepted, Accepted, i);
        if (!self->is_stopping) {
            vcp_connection_adopt(self, one->fd, one->client);
            continue;
        }
        close(one->fd);
        g_free(one->client);
        g_atomic_int_dec_and_test(&self->load);
    }
}

static void
make_calls(VcpWorker *worker /* nullable */, GArray *calls)
{
    for (guint i = 0; i < calls->len; i++) {
        Call *call = &g_array_index(calls, Call, i);
        call->func(worker, call->data);
    }
}

static void
on_wake(uv_async_t *wake)
{
    VcpWorker *self = wake->data;

    g_atomic_int_set(&self->asked, FALSE);
    uv_mutex_lock(&self->lock);
    g_autoptr(GArray) accepted = self->accepted;
    self->accepted = g_array_new(FALSE, FALSE, sizeof(Accepted));
    g_autoptr(GArray) calls = self->calls;
    self->calls = g_array_new(FALSE, FALSE, sizeof(Call));
    gboolean stop = self->stop_asked;
    VcpShared *fresh = g_steal_pointer(&self->fresh);
    uv_mutex_unlock(&self->lock);

    if (fresh != NULL && !self->is_closed)
        take_shared(self, fresh);
    else
        free_shared(fresh);
    take_accepted(self, accepted);
    make_calls(self, calls);
    if (stop && !self->is_stopping)
        start_stopping(self);
    close_if_done(self);
}

void
vcp_worker_adopt(VcpWorker *self, int fd, char *client)
{
    Accepted one = {fd, client};

    g_atomic_int_inc(&self->load);
    uv_mutex_lock(&self->lock);
    g_array_append_val(self->accepted, one);
    uv_mutex_unlock(&self->lock);
    uv_async_send(&self->wake);
}

void
vcp_worker_call(VcpWorker *self, VcpWorkerFunc func, gpointer data)
{
    Call call = {func, data};

    uv_mutex_lock(&self->lock);
    g_array_append_val(self->calls, call);
    uv_mutex_unlock(&self->lock);
    uv_async_send(&self->wake);
}

void
vcp_worker_ask_alive(VcpWorker *self)
{
    g_atomic_int_set(&self->asked, TRUE);
    uv_async_send(&self->wake);
}

gboolean
vcp_worker_has_answered(const VcpWorker *self)
{
    return !g_atomic_int_get(&self->asked);
}

void
vcp_worker_stop(VcpWorker *self)
{
    uv_mutex_lock(&self->lock);
    self->stop_asked = TRUE;
    uv_mutex_unlock(&self->lock);
    uv_async_send(&self->wake);
}

/* --- life --- */

static gpointer
run(gpointer data)
{
    VcpWorker *self = data;

    vcp_metrics_use(&self->metrics);
    start_lag_timer(self);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    return NULL;
}

static VcpStore *
make_store(VcpWorker *self)
{
    const VcpShared *shared = &self->shared;

    return shared->store != NULL
               ? vcp_store_redis_new(&self->loop, shared->store, shared->store_credentials,
                                     STORE_TIMEOUT_MS)
               : vcp_store_memory_new(shared->memory, &self->loop);
}

VcpWorker *
vcp_worker_new(const VcpShared *shared, GError **error)
{
    g_autoptr(VcpWorker) self = g_new0(VcpWorker, 1);

    copy_shared(&self->shared, shared);
    uv_mutex_init(&self->lock);
    self->accepted = g_array_new(FALSE, FALSE, sizeof(Accepted));
    self->calls = g_array_new(FALSE, FALSE, sizeof(Call));
    self->pool = vc_pool_new();
    uv_loop_init(&self->loop);
    self->turns = vcp_turns_new(&self->loop, vcp_session_on_turn);
    uv_async_init(&self->loop, &self->wake, on_wake);
    self->wake.data = self;
    self->lag_timer = vcp_timer_new(&self->loop, on_lag_timer, self);
    self->resolver = shared->tokens != NULL
                         ? vcp_resolver_file_new(shared->tokens)
                         : vcp_resolver_https_new(&self->loop, self->shared.config);
    self->desk = vcp_desk_new(shared->rights, &self->loop, self->resolver);
    self->store = make_store(self);
    self->leases = vcp_leases_new(&self->loop, shared->hub, self->store);
    return vcp_front_init(&self->front, self->shared.config, self->shared.front_certificates,
                          &self->loop, self, error)
               ? g_steal_pointer(&self)
               : NULL;
}

void
vcp_worker_start(VcpWorker *self)
{
    self->thread = g_thread_new("worker", run, self);
}

void
vcp_worker_free(VcpWorker *self)
{
    if (self == NULL)
        return;
    if (self->thread != NULL) {
        g_thread_join(self->thread);
    } else {
        close_everything(self);
        uv_run(&self->loop, UV_RUN_DEFAULT);
    }
    vcp_front_clear(&self->front);
    int failure = uv_loop_close(&self->loop);
    g_assert(failure == 0);
    vc_pool_free(self->pool);
    free_shared(self->fresh);
    release_shared(&self->shared);
    g_array_unref(self->accepted);
    make_calls(NULL, self->calls);
    g_array_unref(self->calls);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}
