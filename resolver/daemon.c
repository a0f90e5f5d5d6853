/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Start, signals and end of virtconsoleresolverd. */
#include "resolver/daemon.h"

#include <glib-unix.h>
#include <signal.h>

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
#define STOP_HTTP_MS         1000
#define STOP_HOSTS_MS        2000

struct VcrDaemon {
    const VcrConfig *config;
    GMainLoop *loop;
    VcrRegistry *registry;
    GPtrArray *hosts;   /* of VcrHost, by number */
    GPtrArray *inboxes; /* theirs */
    VcrPasswords *passwords;
    VcrEvents *events;
    VcrHttp *http;
    guint signals[2], beat; /* sources of the main loop */
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

static gboolean
on_signal(gpointer data)
{
    VcrDaemon *self = data;

    g_main_loop_quit(self->loop);
    return G_SOURCE_CONTINUE;
}

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

static gboolean
start(VcrDaemon *self, GError **error)
{
    self->http =
        vcr_http_new(self->config, self->registry, self->passwords, self->events, error);
    if (self->http == NULL || !vcr_http_start(self->http, error))
        return FALSE;
    warn_of_settings(self->config);
    self->signals[0] = g_unix_signal_add(SIGTERM, on_signal, self);
    self->signals[1] = g_unix_signal_add(SIGINT, on_signal, self);
    self->beat = g_timeout_add_seconds(BEAT_S, on_beat, self->events);
    for (guint i = 0; i < self->hosts->len; i++)
        vcr_host_start(g_ptr_array_index(self->hosts, i), self->inboxes);
    g_message("%u libvirtd to connect to", self->hosts->len);
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
    self->events = vcr_events_new((VcrEventsSetup){
        .ring = EVENTS_KEPT, .streams = MAX_STREAMS, .stall_s = STREAM_STALL_S});
    vcr_registry_watch(self->registry, on_changed, self->events);
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
    for (gsize i = 0; i < G_N_ELEMENTS(self->signals); i++)
        g_source_remove(self->signals[i]);
    g_source_remove(self->beat);
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
    g_free(self);
}
