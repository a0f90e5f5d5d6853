/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Start, signals and end of virtconsoleproxyd. */
#include "proxy/daemon.h"

#include <curl/curl.h>
#include <libwebsockets.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#include "common/error.h"
#include "common/listen.h"
#include "common/tls.h"
#include "common/token.h"
#include "proxy/front.h"
#include "proxy/listener.h"
#include "proxy/resolver-events.h"
#include "proxy/worker.h"

/* Descriptors beside two a session: libraries, listeners, connections that are no session yet.
 */
#define SPARE_DESCRIPTORS 10000

static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

struct VcpDaemon {
    const VcpConfig *config;
    VcpShared shared;
    uv_loop_t loop;
    VcpWorker **workers;
    guint n_workers;
    GPtrArray *listeners;
    VcpResolverEvents *events; /* nullable: the resolver is no external one */
    uv_signal_t watches[G_N_ELEMENTS(signals)];
    gboolean is_watching;
};

/* --- what is loaded --- */

static gboolean
is_default_missing(const VcpConfig *config)
{
    return g_str_has_prefix(config->connect_tls_cert, "/etc/pki/libvirt-console-proxy/") &&
           !g_file_test(config->connect_tls_cert, G_FILE_TEST_EXISTS) &&
           !g_file_test(config->connect_tls_key, G_FILE_TEST_EXISTS) &&
           !g_file_test(config->connect_tls_ca, G_FILE_TEST_EXISTS);
}

static gboolean
load_credentials(VcpDaemon *self, GError **error)
{
    const VcpConfig *config = self->config;

    /* Somebody who reaches consoles in clear text only needs no certificates; services that
     * want TLS are refused then. */
    if (config->connect_insecure && is_default_missing(config)) {
        g_warning("no client certificate at %s: only services that are marked insecure can be "
                  "reached",
                  config->connect_tls_cert);
        return TRUE;
    }
    self->shared.credentials =
        vc_tls_credentials_load(config->connect_tls_cert, config->connect_tls_key,
                                config->connect_tls_ca, "--connect-tls", error);
    return self->shared.credentials != NULL;
}

static gboolean
load_resolver(VcpDaemon *self, GError **error)
{
    const VcpConfig *config = self->config;

    if (strcmp(config->resolver_mode, "builtin") == 0) {
        self->shared.tokens = vcp_token_file_new(config->resolver_tokens, error);
        return self->shared.tokens != NULL;
    }
    if (g_str_has_prefix(config->resolver_uri, "http://")) {
        g_warning(
            "tokens and passwords go to the resolver in clear text (--resolver-insecure)");
        return TRUE;
    }
    /* libcurl reads the files itself, for each new connection; that they fit is better known
     * now. */
    g_autoptr(VcTlsCredentials) probe =
        vc_tls_credentials_load(config->resolver_tls_cert, config->resolver_tls_key,
                                config->resolver_tls_ca, "--resolver-tls", error);
    return probe != NULL;
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
    const VcpConfig *config = self->config;
    VcpStoreAddress *store = config->store_address;

    if (store == NULL)
        return TRUE;
    if (config->store_password_file != NULL &&
        !read_store_password(store, config->store_password_file, error))
        return FALSE;
    if (store->tls) {
        self->shared.store_credentials =
            vc_tls_credentials_load(config->store_tls_cert, config->store_tls_key,
                                    config->store_tls_ca, "--store-tls", error);
        if (self->shared.store_credentials == NULL)
            return FALSE;
    } else if (!vcp_store_address_is_local(store)) {
        g_warning("what the store is told can be read and changed on the way "
                  "(--store-insecure)");
    }
    self->shared.store = store;
    return TRUE;
}

static void
raise_descriptor_limit(const VcpConfig *config)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)config->max_sessions * 2 + SPARE_DESCRIPTORS;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max != RLIM_INFINITY &&
        (config->max_sessions == 0 || wanted > limit.rlim_max)) {
        if (limit.rlim_max < (rlim_t)config->max_sessions * 2)
            g_warning("the limit of %" G_GUINT64_FORMAT
                      " descriptors is too low for --max-sessions %u",
                      (guint64)limit.rlim_max, config->max_sessions);
        wanted = limit.rlim_max;
    }
    limit.rlim_cur = MAX(limit.rlim_cur, wanted);
    setrlimit(RLIMIT_NOFILE, &limit);
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
    self->workers = g_new0(VcpWorker *, self->config->workers);
    for (guint i = 0; i < self->config->workers; i++) {
        self->workers[i] = vcp_worker_new(&self->shared, error);
        if (self->workers[i] == NULL)
            return FALSE;
        self->n_workers++;
    }
    return TRUE;
}

static gboolean
start_listening(VcpDaemon *self, GError **error)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));

    for (char **address = self->config->listen_addr; *address != NULL; address++) {
        int fd = vc_listen(*address, error);
        if (fd < 0)
            return FALSE; /* the process ends, and the descriptors with it */
        g_array_append_val(fds, fd);
    }
    for (guint i = 0; i < fds->len; i++) {
        int fd = g_array_index(fds, int, i);
        g_autofree char *name = vc_listen_address(fd);
        g_ptr_array_add(self->listeners,
                        vcp_listener_new(&self->loop, fd, self->workers, self->n_workers,
                                         self->config->write_timeout_s));
        g_message("listening on %s (%s)", name,
                  self->config->listen_insecure ? "clear text" : "TLS");
    }
    return TRUE;
}

static void on_signal(uv_signal_t *watch, int number);

static void
watch_signals(VcpDaemon *self)
{
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
        uv_signal_init(&self->loop, &self->watches[i]);
        self->watches[i].data = self;
        uv_signal_start(&self->watches[i], on_signal, signals[i]);
    }
    self->is_watching = TRUE;
}

static gboolean
start(VcpDaemon *self, GError **error)
{
    const VcpConfig *config = self->config;

    if (!vcp_front_check(config, error) || !load_credentials(self, error) ||
        !load_resolver(self, error) || !load_store(self, error))
        return FALSE;
    raise_descriptor_limit(config);
    watch_signals(self);
    if (!make_workers(self, error) || !start_listening(self, error))
        return FALSE;
    if (config->listen_insecure)
        g_warning("clients are served in clear text (--listen-insecure): tokens and screens "
                  "can be read on the way");
    if (config->any_origin)
        g_warning("pages of every origin may open consoles (--allowed-origin '*')");
    for (guint i = 0; i < self->n_workers; i++)
        vcp_worker_start(self->workers[i]);
    if (self->shared.tokens == NULL)
        self->events = vcp_resolver_events_new(&self->loop, config, self->shared.rights);
    if (self->shared.tokens != NULL)
        g_message("%u tokens from %s", vcp_token_file_count(self->shared.tokens),
                  config->resolver_tokens);
    g_message("%u workers", self->n_workers);
    g_message("ready");
    return TRUE;
}

static guint64
monotonic_ms(void)
{
    return (guint64)g_get_monotonic_time() / 1000;
}

VcpDaemon *
vcp_daemon_new(const VcpConfig *config, GError **error)
{
    g_autoptr(VcpDaemon) self = g_new0(VcpDaemon, 1);
    VcpLimitValues limits = {
        .total = config->max_sessions,
        .per_address = config->max_sessions_per_address,
        .per_token = config->max_sessions_per_token,
        .per_console = config->max_sessions_per_console,
    };

    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    self->config = config;
    self->shared.config = config;
    self->shared.limits = vcp_limits_new(limits);
    self->shared.memory = vcp_memory_new(monotonic_ms);
    self->shared.hub = vcp_lease_hub_new();
    self->shared.live = vcp_spice_live_new();
    self->shared.rights = vcp_rights_new(config->recheck_s);
    self->listeners = g_ptr_array_new_with_free_func((GDestroyNotify)vcp_listener_free);
    uv_loop_init(&self->loop);
    return start(self, error) ? g_steal_pointer(&self) : NULL;
}

/* --- run --- */

static void
reload(VcpDaemon *self)
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
              self->config->resolver_tokens);
}

static void
close_signals(VcpDaemon *self)
{
    for (gsize i = 0; self->is_watching && i < G_N_ELEMENTS(signals); i++)
        uv_close((uv_handle_t *)&self->watches[i], NULL);
    self->is_watching = FALSE;
}

static void
stop(VcpDaemon *self)
{
    g_ptr_array_set_size(self->listeners, 0);
    close_signals(self);
    g_clear_pointer(&self->events, vcp_resolver_events_free);
    for (guint i = 0; i < self->n_workers; i++)
        vcp_worker_stop(self->workers[i]);
}

static void
on_signal(uv_signal_t *watch, int number)
{
    VcpDaemon *self = watch->data;

    if (number == SIGHUP) {
        reload(self);
        return;
    }
    g_message("stopping: %s", g_strsignal(number));
    stop(self);
}

void
vcp_daemon_run(VcpDaemon *self)
{
    uv_run(&self->loop, UV_RUN_DEFAULT);
    for (guint i = 0; i < self->n_workers; i++)
        g_clear_pointer(&self->workers[i], vcp_worker_free);
    self->n_workers = 0;
    g_message("stopped");
}

void
vcp_daemon_free(VcpDaemon *self)
{
    if (self == NULL)
        return;
    g_ptr_array_unref(self->listeners);
    close_signals(self);
    vcp_resolver_events_free(self->events);
    for (guint i = 0; i < self->n_workers; i++)
        vcp_worker_free(self->workers[i]);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    uv_loop_close(&self->loop);
    g_free(self->workers);
    vcp_token_file_free(self->shared.tokens);
    vc_tls_credentials_unref(self->shared.credentials);
    vcp_limits_free(self->shared.limits);
    vcp_memory_free(self->shared.memory);
    vcp_lease_hub_free(self->shared.hub);
    vcp_spice_live_free(self->shared.live);
    vcp_rights_free(self->shared.rights);
    vc_tls_credentials_unref(self->shared.store_credentials);
    curl_global_cleanup();
    g_free(self);
}
