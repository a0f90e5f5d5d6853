/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Start, signals and end of virtconsoleresolverd. */
#include "resolver/daemon.h"

#include <glib-unix.h>
#include <signal.h>

#include "common/notify.h"
#include "resolver/connection.h"
#include "resolver/host.h"
#include "resolver/http.h"
#include "resolver/password.h"
#include "resolver/registry.h"

/* What a client waits at the most for a password; less than the proxy waits for the resolver.
 */
#define PASSWORD_DEADLINE_MS 3000
/* How old the line may be that systemctl status shows. */
#define STATUS_MS 1000

/* Rounds within the time that the service manager bears silence for. */
#define ROUNDS 4

#define STOP_HTTP_MS  1000
#define STOP_HOSTS_MS 2000

struct VcrDaemon {
    const VcrConfig *config;
    GMainLoop *loop;
    VcrRegistry *registry;
    GPtrArray *hosts;   /* of VcrHost, by number */
    GPtrArray *inboxes; /* theirs */
    VcrPasswords *passwords;
    VcrHttp *http;
    guint signals[2]; /* sources of the main loop */
    guint heartbeat;  /* another; 0: no service manager listens */
    char *status;     /* what it was told last; nullable */
};

static void
make_hosts(VcrDaemon *self)
{
    const VcrConfig *config = self->config;

    for (guint i = 0; config->connect[i] != NULL; i++) {
        const char *address = g_hash_table_lookup(config->addresses, config->connect[i]);
        VcrHost *host = vcr_host_new(config->connect[i], address, i, self->registry);
        g_ptr_array_add(self->hosts, host);
        g_ptr_array_add(self->inboxes, vcr_host_inbox(host));
    }
}

static void
warn_of_settings(const VcrConfig *config)
{
    if (config->listen_insecure)
        g_warning("whoever reaches the port is answered, in clear text (--listen-insecure): "
                  "passwords of consoles can be read on the way");
    else if (config->listen_no_verify_client)
        g_warning("clients are answered without a certificate (--listen-no-verify-client): "
                  "passwords of consoles are told to whoever has a token");
}

/* --- the service manager --- */

static void
tell_status(VcrDaemon *self)
{
    guint listed = 0;

    for (guint i = 0; i < self->hosts->len; i++)
        listed += vcr_registry_is_listed(self->registry, i) ? 1 : 0;
    g_autofree char *status =
        g_strdup_printf("%u of %u libvirtd connected, %u consoles", listed, self->hosts->len,
                        vcr_registry_count(self->registry));
    if (g_strcmp0(status, self->status) == 0)
        return;
    vc_notify_status(status);
    g_free(self->status);
    self->status = g_steal_pointer(&status);
}

static gboolean
on_heartbeat(gpointer data)
{
    if (vc_notify_watchdog_ms() > 0)
        vc_notify_alive();
    tell_status(data);
    return G_SOURCE_CONTINUE;
}

/* libvirt's calls, which may hang, have threads of their own: the main loop serves its events.
 */
static void
start_heartbeat(VcrDaemon *self)
{
    guint watchdog_ms = vc_notify_watchdog_ms();

    if (!vc_notify_has_listener())
        return;
    self->heartbeat =
        g_timeout_add(watchdog_ms > 0 ? CLAMP(watchdog_ms / ROUNDS, 1, STATUS_MS) : STATUS_MS,
                      on_heartbeat, self);
    on_heartbeat(self);
}

/* --- start --- */

static gboolean
on_signal(gpointer data)
{
    VcrDaemon *self = data;

    g_main_loop_quit(self->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean
start(VcrDaemon *self, GError **error)
{
    self->http = vcr_http_new(self->config, self->registry, self->passwords, error);
    if (self->http == NULL || !vcr_http_start(self->http, error))
        return FALSE;
    warn_of_settings(self->config);
    self->signals[0] = g_unix_signal_add(SIGTERM, on_signal, self);
    self->signals[1] = g_unix_signal_add(SIGINT, on_signal, self);
    for (guint i = 0; i < self->hosts->len; i++)
        vcr_host_start(g_ptr_array_index(self->hosts, i), self->inboxes);
    g_message("%u libvirtd to connect to", self->hosts->len);
    start_heartbeat(self);
    vc_notify_ready();
    g_message("ready");
    return TRUE;
}

VcrDaemon *
vcr_daemon_new(const VcrConfig *config, GError **error)
{
    g_autoptr(VcrDaemon) self = g_new0(VcrDaemon, 1);

    signal(SIGPIPE, SIG_IGN);
    vcr_connection_init();
    self->config = config;
    self->loop = g_main_loop_new(NULL, FALSE);
    self->registry = vcr_registry_new(g_strv_length(config->connect));
    self->hosts = g_ptr_array_new_with_free_func((GDestroyNotify)vcr_host_free);
    self->inboxes = g_ptr_array_new();
    make_hosts(self);
    self->passwords = vcr_passwords_new(self->inboxes, PASSWORD_DEADLINE_MS);
    return start(self, error) ? g_steal_pointer(&self) : NULL;
}

static gboolean
on_stopped(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_REMOVE;
}

/* Threads end by themselves only while libvirt's events are served. */
typedef struct {
    VcrDaemon *daemon;
    gboolean is_clean;
} Stop;

static gpointer
stop_hosts(gpointer data)
{
    Stop *stop = data;

    stop->is_clean = vcr_hosts_stop(stop->daemon->hosts, STOP_HOSTS_MS);
    g_idle_add(on_stopped, stop->daemon->loop);
    return NULL;
}

gboolean
vcr_daemon_run(VcrDaemon *self)
{
    Stop stop = {.daemon = self};

    g_main_loop_run(self->loop);
    g_message("stopping");
    vc_notify_stopping();
    for (gsize i = 0; i < G_N_ELEMENTS(self->signals); i++)
        g_source_remove(self->signals[i]);
    g_clear_handle_id(&self->heartbeat, g_source_remove);
    vcr_http_stop(self->http, STOP_HTTP_MS);

    GThread *stopper = g_thread_new("stop", stop_hosts, &stop);
    g_main_loop_run(self->loop);
    g_thread_join(stopper);
    g_message("stopped");
    return stop.is_clean;
}

void
vcr_daemon_free(VcrDaemon *self)
{
    if (self == NULL)
        return;
    vcr_http_free(self->http);
    vcr_passwords_free(self->passwords);
    g_ptr_array_unref(self->inboxes);
    g_ptr_array_unref(self->hosts);
    vcr_registry_free(self->registry);
    g_main_loop_unref(self->loop);
    g_free(self->status);
    g_free(self);
}
