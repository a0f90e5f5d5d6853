/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Start, signals and end of virtconsoleresolverd. */
#include "resolver/daemon.h"

#include <glib-unix.h>
#include <signal.h>

#include "common/listen.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/renewal.h"
#include "resolver/connection.h"
#include "resolver/events.h"
#include "resolver/host.h"
#include "resolver/http.h"
#include "resolver/password.h"
#include "resolver/registry.h"

/* What a client waits at the most for a password; less than the proxy waits for the resolver.
 */
#define PASSWORD_DEADLINE_MS 3000
#define EVENTS_KEPT          4096
#define MAX_STREAMS          256
#define STREAM_STALL_S       20
#define BEAT_S               15

/* How old the line may be that systemctl status shows. */
#define STATUS_MS 1000

/* Rounds within the time that the service manager bears silence for. */
#define ROUNDS 4

#define STOP_HTTP_MS  1000
#define STOP_HOSTS_MS 2000

struct VcrDaemon {
    VcrConfig *started; /* the configuration that the daemon started with */
    VcrConfig *config;  /* that of now */
    VcrDoor *door;      /* nullable: clear text */
    VcRenewal *renewal; /* of the door */
    GMainLoop *loop;
    VcrRegistry *registry;
    GPtrArray *hosts;   /* of VcrHost, by number */
    GPtrArray *inboxes; /* theirs */
    VcrPasswords *passwords;
    VcrEvents *events;
    VcrHttp *http;
    guint sources[5]; /* of the main loop: signals, the look at the files, the streams' beat */
    guint heartbeat;  /* another; 0: no service manager listens */
    char *status;     /* what it was told last; nullable */
};

static void
make_hosts(VcrDaemon *self)
{
    const VcrConfig *config = self->started;

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

/* --- certificates --- */

#define MAX_PATHS 4

static gboolean
load_door(gpointer data, GError **error)
{
    VcrDaemon *self = data;

    if (self->door != NULL)
        return vcr_door_load(self->door, self->config, error);
    self->door = vcr_door_new(self->config, error);
    return self->door != NULL;
}

static void
list_paths(const VcrDaemon *self, const char *paths[MAX_PATHS + 1])
{
    const VcrConfig *config = self->config;
    gboolean verifies = !self->started->listen_no_verify_client;

    paths[0] = config->listen_tls_cert;
    paths[1] = config->listen_tls_key;
    paths[2] = verifies ? config->listen_tls_ca : NULL;
    paths[3] = verifies ? config->listen_tls_crl : NULL;
    paths[4] = NULL;
}

static gboolean
load(VcrDaemon *self, GError **error)
{
    const char *paths[MAX_PATHS + 1];

    list_paths(self, paths);
    return self->started->listen_insecure || vc_renewal_start(self->renewal, paths, error);
}

static gboolean
on_look(gpointer data)
{
    VcrDaemon *self = data;

    if (self->door != NULL)
        vc_renewal_look(self->renewal);
    return G_SOURCE_CONTINUE;
}

/* --- news of tokens --- */

static void
on_changed(VcrChange change, const char *digest, gpointer data)
{
    vcr_events_publish(data, change, digest);
}

static gboolean
on_beat(gpointer data)
{
    vcr_events_beat(data);
    return G_SOURCE_CONTINUE;
}

/* --- signals --- */

static gboolean
on_signal(gpointer data)
{
    VcrDaemon *self = data;

    g_main_loop_quit(self->loop);
    return G_SOURCE_CONTINUE;
}

static void
reload_config(VcrDaemon *self)
{
    g_autoptr(GError) error = NULL;
    VcrConfig *fresh = vcr_config_reload(self->started, &error);

    if (fresh == NULL) {
        g_warning("not reloaded, the old configuration stays: %s", error->message);
        return;
    }
    vcr_config_unref(self->config);
    self->config = fresh;
    vc_log_set_level(fresh->common.shown);
    g_message("reloaded: configuration");
}

/* Each piece is replaced as a whole or stays, whatever becomes of the other. */
static gboolean
on_reload(gpointer data)
{
    VcrDaemon *self = data;
    const char *paths[MAX_PATHS + 1];

    vc_notify_reloading();
    reload_config(self);
    list_paths(self, paths);
    if (self->door != NULL)
        vc_renewal_reload(self->renewal, paths);
    vc_notify_ready();
    g_message("reload complete");
    return G_SOURCE_CONTINUE;
}

/* --- start --- */

static void
add_sources(VcrDaemon *self)
{
    self->sources[0] = g_unix_signal_add(SIGTERM, on_signal, self);
    self->sources[1] = g_unix_signal_add(SIGINT, on_signal, self);
    self->sources[2] = g_unix_signal_add(SIGHUP, on_reload, self);
    self->sources[3] = g_timeout_add(VC_RENEWAL_INTERVAL_MS, on_look, self);
    self->sources[4] = g_timeout_add_seconds(BEAT_S, on_beat, self->events);
}

static gboolean
start(VcrDaemon *self, GError **error)
{
    if (!load(self, error))
        return FALSE;
    self->http = vcr_http_new(self->started, self->door, self->registry, self->passwords,
                              self->events, error);
    if (self->http == NULL || !vcr_http_start(self->http, error))
        return FALSE;
    warn_of_settings(self->started);
    add_sources(self);
    for (guint i = 0; i < self->hosts->len; i++)
        vcr_host_start(g_ptr_array_index(self->hosts, i), self->inboxes);
    g_message("%u libvirtd to connect to", self->hosts->len);
    start_heartbeat(self);
    vc_notify_ready();
    g_message("ready");
    return TRUE;
}

static VcrDaemon *
make(VcrConfig *config)
{
    VcrDaemon *self = g_new0(VcrDaemon, 1);

    signal(SIGPIPE, SIG_IGN);
    vcr_connection_init();
    self->started = vcr_config_ref(config);
    self->config = vcr_config_ref(config);
    self->renewal = vc_renewal_new("certificate for proxies", load_door, self);
    self->loop = g_main_loop_new(NULL, FALSE);
    self->registry = vcr_registry_new(g_strv_length(config->connect));
    self->events = vcr_events_new((VcrEventsSetup){
        .ring = EVENTS_KEPT, .streams = MAX_STREAMS, .stall_s = STREAM_STALL_S});
    vcr_registry_watch(self->registry, on_changed, self->events);
    self->hosts = g_ptr_array_new_with_free_func((GDestroyNotify)vcr_host_free);
    self->inboxes = g_ptr_array_new();
    make_hosts(self);
    self->passwords = vcr_passwords_new(self->inboxes, PASSWORD_DEADLINE_MS);
    return self;
}

VcrDaemon *
vcr_daemon_new(VcrConfig *config, GError **error)
{
    g_autoptr(VcrDaemon) self = make(config);

    if (start(self, error))
        return g_steal_pointer(&self);
    vc_option_file_locate(config->common.file, error);
    return NULL;
}

static gboolean
check_addresses(const VcrConfig *config, GError **error)
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
vcr_daemon_check(VcrConfig *config, GError **error)
{
    g_autoptr(VcrDaemon) self = make(config);

    if (check_addresses(config, error) && load(self, error))
        return TRUE;
    vc_option_file_locate(config->common.file, error);
    return FALSE;
}

/* --- run --- */

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
    for (gsize i = 0; i < G_N_ELEMENTS(self->sources); i++)
        g_source_remove(self->sources[i]);
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
    vcr_events_free(self->events);
    g_main_loop_unref(self->loop);
    g_free(self->status);
    vc_renewal_free(self->renewal);
    vcr_door_free(self->door);
    vcr_config_unref(self->config);
    vcr_config_unref(self->started);
    g_free(self);
}
