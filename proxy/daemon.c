/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Start, signals and end of virtconsoleproxyd. */
#include "proxy/daemon.h"

#include <curl/curl.h>
#include <libwebsockets.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

#include "common/descriptors.h"
#include "common/error.h"
#include "common/listen.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/renewal.h"
#include "common/token.h"
#include "proxy/admin.h"
#include "proxy/audit.h"
#include "proxy/certificates.h"
#include "proxy/drain.h"
#include "proxy/heartbeat.h"
#include "proxy/listener.h"
#include "proxy/resolver-events.h"
#include "proxy/worker.h"

/* Descriptors beside two a session: libraries, listeners, connections that are no session yet.
 */
#define SPARE_DESCRIPTORS 10000

static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

struct VcpDaemon {
    VcpConfig *started; /* the configuration that the daemon started with */
    VcpShared shared;
    VcpCertificates *certificates;
    guint published_renewals; /* of the certificate for the resolver */
    uv_loop_t loop;
    VcpWorker **workers;
    guint n_workers;
    GPtrArray *listeners;
    VcpResolverEvents *events; /* nullable: the resolver is no external one */
    VcpHeartbeat *heartbeat;   /* nullable */
    GArray *own;               /* struct sockaddr_storage: where they listen */
    uv_signal_t watches[G_N_ELEMENTS(signals)];
    uv_timer_t look; /* at the files */
    gboolean is_watching;
    int is_draining; /* atomic */
    VcpDrain *drain; /* nullable: not draining */
    VcpAdmin *admin; /* nullable: no longer, or not yet */
};

/* --- what is loaded once --- */

static gboolean
load_tokens(VcpDaemon *self, GError **error)
{
    if (!vcp_config_has_token_file(self->started))
        return TRUE;
    self->shared.tokens = vcp_token_file_new(self->started->resolver_tokens, error);
    return self->shared.tokens != NULL;
}

static gboolean
read_store_password(VcpStoreAddress *store, const char *path, GError **error)
{
    g_autofree char *text = NULL;

    if (!vc_tls_check_file(path, "--store-password-file", error) ||
        !g_file_get_contents(path, &text, NULL, error))
        return FALSE;
    vc_secret_free(store->password);
    store->password = g_strchomp(g_steal_pointer(&text));
    return TRUE;
}

static gboolean
load_store(VcpDaemon *self, GError **error)
{
    const VcpConfig *config = self->started;
    VcpStoreAddress *store = config->store_address;

    if (store == NULL)
        return TRUE;
    if (config->store_password_file != NULL &&
        !read_store_password(store, config->store_password_file, error))
        return FALSE;
    self->shared.store = store;
    return TRUE;
}

static gboolean
load_audit(VcpDaemon *self, GError **error)
{
    GError *why = NULL;

    /* NULL without an error: there is neither a file nor a journal. */
    self->shared.audit = vcp_audit_new(self->started->audit_log, &why);
    if (why == NULL)
        return TRUE;
    g_propagate_error(error, why);
    return FALSE;
}

static void
warn_of_settings(const VcpConfig *config)
{
    if (!vcp_config_has_token_file(config) && g_str_has_prefix(config->resolver_uri, "http://"))
        g_warning(
            "tokens and passwords go to the resolver in clear text (--resolver-insecure)");
    if (config->store_address != NULL && !config->store_address->tls &&
        !vcp_store_address_is_local(config->store_address))
        g_warning("what the store is told can be read and changed on the way "
                  "(--store-insecure)");
    if (config->listen_insecure)
        g_warning("clients are served in clear text (--listen-insecure): tokens and screens "
                  "can be read on the way");
    if (config->any_origin)
        g_warning("pages of every origin may open consoles (--allowed-origin '*')");
}

static void
raise_descriptor_limit(const VcpConfig *config)
{
    guint64 needed = (guint64)config->max_sessions * 2;
    guint64 limit = vc_descriptors_raise(needed > 0 ? needed + SPARE_DESCRIPTORS : 0);

    if (limit < needed)
        g_warning("the limit of %" G_GUINT64_FORMAT
                  " descriptors is too low for --max-sessions %u",
                  limit, config->max_sessions);
}

/* --- libwebsockets' log --- */

static void
on_lws_log(int level, const char *line)
{
    g_autofree char *text = g_strdup(line);

    (void)level;
    g_debug("libwebsockets: %s", g_strchomp(text));
}

/* --- start --- */

static gboolean
make_workers(VcpDaemon *self, GError **error)
{
    self->workers = g_new0(VcpWorker *, self->started->workers);
    for (guint i = 0; i < self->started->workers; i++) {
        self->workers[i] = vcp_worker_new(&self->shared, error);
        if (self->workers[i] == NULL)
            return FALSE;
        self->n_workers++;
    }
    return TRUE;
}

/* No resolver may send the proxy there. The socket's address is taken as it is now: the port
 * may have been the system's choice. */
static void
add_own(int fd, gpointer data)
{
    VcpDaemon *self = data;
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return;
    g_array_append_val(self->own, address);
    vcp_targets_add_own(self->started->targets, (struct sockaddr *)&address);
}

static gboolean
start_listening(VcpDaemon *self, GError **error)
{
    g_autoptr(GArray) fds = vc_listen_all(self->started->listen_addr, error);

    if (fds == NULL)
        return FALSE; /* the process ends, and the descriptors with it */
    for (guint i = 0; i < fds->len; i++) {
        int fd = g_array_index(fds, int, i);
        g_autofree char *name = vc_listen_address(fd);
        add_own(fd, self);
        g_ptr_array_add(self->listeners, vcp_listener_new(&self->loop, fd, self->workers,
                                                          self->n_workers, self->started));
        g_message("listening on %s (%s%s)", name,
                  self->started->listen_insecure ? "clear text" : "TLS",
                  vc_listen_is_passed(fd) ? ", passed by the service manager" : "");
    }
    return TRUE;
}

static void start_draining(guint timeout_s, gpointer data);

static gboolean
start_admin(VcpDaemon *self, GError **error)
{
    VcpAdminSetup setup = {
        .shared = &self->shared,
        .loop = &self->loop,
        .workers = self->workers,
        .n_workers = self->n_workers,
        .listening = add_own,
        .drain = start_draining,
        .data = self,
    };

    self->admin = vcp_admin_new(&setup, error);
    return self->admin != NULL;
}

static void on_signal(uv_signal_t *watch, int number);
static void on_look(uv_timer_t *look);

static void
watch_signals_and_files(VcpDaemon *self)
{
    uv_timer_init(&self->loop, &self->look);
    self->look.data = self;
    uv_timer_start(&self->look, on_look, VC_RENEWAL_INTERVAL_MS, VC_RENEWAL_INTERVAL_MS);
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
        uv_signal_init(&self->loop, &self->watches[i]);
        self->watches[i].data = self;
        uv_signal_start(&self->watches[i], on_signal, signals[i]);
    }
    self->is_watching = TRUE;
}

static gboolean
load(VcpDaemon *self, GError **error)
{
    return vcp_certificates_load(self->certificates, error) && load_tokens(self, error) &&
           load_store(self, error);
}

static gboolean
start(VcpDaemon *self, GError **error)
{
    if (!load(self, error) || !load_audit(self, error))
        return FALSE;
    raise_descriptor_limit(self->started);
    watch_signals_and_files(self);
    if (!make_workers(self, error) || !start_listening(self, error) ||
        !start_admin(self, error))
        return FALSE;
    warn_of_settings(self->started);
    for (guint i = 0; i < self->n_workers; i++)
        vcp_worker_start(self->workers[i]);
    if (self->shared.tokens == NULL)
        self->events =
            vcp_resolver_events_new(&self->loop, self->shared.config, self->shared.rights);
    self->published_renewals = self->shared.resolver_renewals;
    if (self->shared.tokens != NULL)
        g_message("%u tokens from %s", vcp_token_file_count(self->shared.tokens),
                  self->started->resolver_tokens);
    g_message("%u workers", self->n_workers);
    self->heartbeat =
        vcp_heartbeat_new(&self->loop, self->workers, self->n_workers, self->shared.limits);
    vc_notify_ready();
    g_message("ready");
    return TRUE;
}

static guint64
monotonic_ms(void)
{
    return (guint64)g_get_monotonic_time() / 1000;
}

static VcpLimitValues
limits_of(const VcpConfig *config)
{
    return (VcpLimitValues){
        .total = config->max_sessions,
        .per_address = config->max_sessions_per_address,
        .per_token = config->max_sessions_per_token,
        .per_console = config->max_sessions_per_console,
    };
}

static VcpDaemon *
make(VcpConfig *config)
{
    VcpDaemon *self = g_new0(VcpDaemon, 1);

    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    self->started = vcp_config_ref(config);
    self->shared.config = vcp_config_ref(config);
    self->shared.limits = vcp_limits_new(limits_of(config));
    self->shared.guesses = vcp_guesses_new(config->token_failures, monotonic_ms);
    self->shared.tickets = vcp_tickets_new(monotonic_ms);
    self->own = g_array_new(FALSE, FALSE, sizeof(struct sockaddr_storage));
    self->shared.memory = vcp_memory_new(monotonic_ms);
    self->shared.hub = vcp_lease_hub_new();
    self->shared.live = vcp_spice_live_new();
    self->shared.is_draining = &self->is_draining;
    self->shared.rights = vcp_rights_new(config->recheck_s);
    self->listeners = g_ptr_array_new_with_free_func((GDestroyNotify)vcp_listener_free);
    self->certificates = vcp_certificates_new(self->started, &self->shared);
    uv_loop_init(&self->loop);
    return self;
}

VcpDaemon *
vcp_daemon_new(VcpConfig *config, GError **error)
{
    g_autoptr(VcpDaemon) self = make(config);

    if (start(self, error))
        return g_steal_pointer(&self);
    vc_option_file_locate(config->common.file, error);
    return NULL;
}

/* --- check --- */

static gboolean
check_addresses(const VcpConfig *config, GError **error)
{
    for (char **address = config->listen_addr; *address != NULL; address++) {
        if (!vc_listen_check(*address, error)) {
            g_prefix_error(error, "--listen-addr: ");
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
vcp_daemon_check(VcpConfig *config, GError **error)
{
    g_autoptr(VcpDaemon) self = make(config);

    if (check_addresses(config, error) && vcp_admin_check(config, error) && load(self, error))
        return TRUE;
    vc_option_file_locate(config->common.file, error);
    return FALSE;
}

/* --- run --- */

static void
publish(VcpDaemon *self)
{
    for (guint i = 0; i < self->n_workers; i++)
        vcp_worker_use(self->workers[i], &self->shared);
    if (self->events != NULL)
        vcp_resolver_events_use(self->events, self->shared.config,
                                self->shared.resolver_renewals != self->published_renewals);
    self->published_renewals = self->shared.resolver_renewals;
}

static void
use_config(VcpDaemon *self, VcpConfig *fresh /* full */)
{
    vcp_config_unref(self->shared.config);
    self->shared.config = fresh;
    vc_log_set_level(fresh->common.shown);
    vcp_limits_set(self->shared.limits, limits_of(fresh));
    vcp_guesses_set(self->shared.guesses, fresh->token_failures);
    vcp_rights_set_recheck(self->shared.rights, fresh->recheck_s);
    for (guint i = 0; i < self->own->len; i++)
        vcp_targets_add_own(fresh->targets, (struct sockaddr *)&g_array_index(
                                                self->own, struct sockaddr_storage, i));
    for (guint i = 0; i < self->listeners->len; i++)
        vcp_listener_use(g_ptr_array_index(self->listeners, i), fresh);
}

static void
reload_config(VcpDaemon *self)
{
    g_autoptr(GError) error = NULL;
    VcpConfig *fresh = vcp_config_reload(self->started, &error);

    if (fresh == NULL) {
        g_warning("not reloaded, the old configuration stays: %s", error->message);
        return;
    }
    use_config(self, fresh);
    g_message("reloaded: configuration");
}

static void
reload_tokens(VcpDaemon *self)
{
    g_autoptr(GError) error = NULL;

    if (self->shared.tokens == NULL)
        return;
    if (!vcp_token_file_reload(self->shared.tokens, &error)) {
        g_warning("not reloaded, the old tokens stay: %s", error->message);
        return;
    }
    vcp_rights_ask(self->shared.rights, NULL);
    g_message("reloaded: %u tokens from %s", vcp_token_file_count(self->shared.tokens),
              self->started->resolver_tokens);
}

static void
reopen_audit(VcpDaemon *self)
{
    g_autoptr(GError) error = NULL;

    if (!vcp_audit_reopen(self->shared.audit, &error))
        g_warning("the audit log stays what it was: %s", error->message);
}

/* Each piece is replaced as a whole or stays, whatever becomes of the others. */
static void
reload(VcpDaemon *self)
{
    reload_config(self);
    vcp_certificates_reload(self->certificates);
    reload_tokens(self);
    publish(self);
    g_message("reload complete");
}

static void
on_look(uv_timer_t *look)
{
    VcpDaemon *self = look->data;

    if (vcp_certificates_look(self->certificates))
        publish(self);
}

static void
close_watches(VcpDaemon *self)
{
    if (!self->is_watching)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
        uv_close((uv_handle_t *)&self->watches[i], NULL);
    uv_close((uv_handle_t *)&self->look, NULL);
    self->is_watching = FALSE;
}

static void
stop(VcpDaemon *self)
{
    vc_notify_stopping();
    g_clear_pointer(&self->drain, vcp_drain_free);
    vcp_admin_stop(self->admin);
    g_ptr_array_set_size(self->listeners, 0);
    close_watches(self);
    g_clear_pointer(&self->events, vcp_resolver_events_free);
    g_clear_pointer(&self->heartbeat, vcp_heartbeat_free);
    for (guint i = 0; i < self->n_workers; i++)
        vcp_worker_stop(self->workers[i]);
}

static void
on_drained(gboolean in_time, gpointer data)
{
    g_message("stopping: %s", in_time ? "no session is left" : "the time to drain is over");
    stop(data);
}

static guint
count_sessions(gpointer data)
{
    VcpDaemon *self = data;
    guint sum = 0;

    for (guint i = 0; i < self->n_workers; i++)
        sum += vcp_worker_sessions(self->workers[i]);
    /* One that is about to begin has its place in the limits; a SPICE session's channels do
     * not. */
    return MAX(sum, vcp_limits_count(self->shared.limits));
}

static void
start_draining(guint timeout_s, gpointer data)
{
    VcpDaemon *self = data;

    g_atomic_int_set(&self->is_draining, TRUE);
    vcp_drain_free(self->drain);
    self->drain = vcp_drain_new(&self->loop, timeout_s, count_sessions, on_drained, self);
    g_message("draining: %u sessions may end by themselves within %u s", count_sessions(self),
              timeout_s);
}

static void
on_signal(uv_signal_t *watch, int number)
{
    VcpDaemon *self = watch->data;

    if (number == SIGHUP) {
        vc_notify_reloading();
        reopen_audit(self);
        reload(self);
        vc_notify_ready();
    } else if (number == SIGTERM && self->shared.config->drain_timeout_s > 0 &&
               self->drain == NULL) {
        start_draining(self->shared.config->drain_timeout_s, self);
    } else {
        g_message("stopping: %s", g_strsignal(number));
        stop(self);
    }
}

void
vcp_daemon_run(VcpDaemon *self)
{
    uv_run(&self->loop, UV_RUN_DEFAULT);
    for (guint i = 0; i < self->n_workers; i++)
        g_clear_pointer(&self->workers[i], vcp_worker_free);
    self->n_workers = 0;
    g_clear_pointer(&self->admin, vcp_admin_free);
    g_message("stopped");
}

void
vcp_daemon_free(VcpDaemon *self)
{
    if (self == NULL)
        return;
    g_ptr_array_unref(self->listeners);
    vcp_drain_free(self->drain);
    close_watches(self);
    vcp_resolver_events_free(self->events);
    vcp_heartbeat_free(self->heartbeat);
    for (guint i = 0; i < self->n_workers; i++)
        vcp_worker_free(self->workers[i]);
    vcp_admin_free(self->admin);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    uv_loop_close(&self->loop);
    g_free(self->workers);
    vcp_certificates_free(self->certificates);
    vcp_token_file_free(self->shared.tokens);
    SSL_CTX_free(self->shared.front_certificates);
    vc_tls_credentials_unref(self->shared.credentials);
    vc_tls_credentials_unref(self->shared.store_credentials);
    vcp_limits_free(self->shared.limits);
    vcp_guesses_free(self->shared.guesses);
    vcp_tickets_free(self->shared.tickets);
    g_array_unref(self->own);
    vcp_memory_free(self->shared.memory);
    vcp_lease_hub_free(self->shared.hub);
    vcp_spice_live_free(self->shared.live);
    vcp_audit_free(self->shared.audit);
    vcp_rights_free(self->shared.rights);
    vcp_config_unref(self->shared.config);
    vcp_config_unref(self->started);
    curl_global_cleanup();
    g_free(self);
}
