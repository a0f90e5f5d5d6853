/* SPDX-License-Identifier: LGPL-2.1-or-later
 * libmicrohttpd: certificates, sockets, threads. */
#include "resolver/http.h"

#include <stdio.h>
#include <string.h>

#include "common/descriptors.h"
#include "common/error.h"
#include "common/listen.h"
#include "resolver/query.h"

#define THREADS 2
/* libvirt must not go without one because of clients. */
#define SPARE_DESCRIPTORS 1024
#define MAX_CONNECTIONS   4096
#define MAX_PER_ADDRESS   1024 /* of these, for one that keeps them without a word */
#define IDLE_TIMEOUT_S    60   /* of a connection that is kept alive, or of a slow sender */
#define STOP_POLL_US      10000
#define MAX_OPTIONS       16
#define PRIORITY          "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct VcrHttp {
    const VcrConfig *config;
    VcrQueryContext context;
    char *ca;           /* PEM; nullable. libmicrohttpd does not copy it */
    GArray *sockets;    /* of int; not served yet */
    GPtrArray *servers; /* of struct MHD_Daemon */
};

/* Only where it has a CA libmicrohttpd asks clients for certificates; whom to trust is the
 * door's matter. */
static gboolean
read_ca(VcrHttp *self, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (!self->context.verifies ||
        g_file_get_contents(self->config->listen_tls_ca, &self->ca, NULL, &why))
        return TRUE;
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s (see --listen-tls-ca)", why->message);
    return FALSE;
}

VcrHttp *
vcr_http_new(const VcrConfig *config, VcrDoor *door, VcrRegistry *registry,
             VcrPasswords *passwords, VcrEvents *events, GError **error)
{
    g_autoptr(VcrHttp) self = g_new0(VcrHttp, 1);

    self->config = config;
    self->context.door = door;
    self->context.verifies = door != NULL && !config->listen_no_verify_client;
    self->context.hosts = config->connect;
    self->context.registry = registry;
    self->context.passwords = passwords;
    self->context.events = events;
    self->servers = g_ptr_array_new_with_free_func((GDestroyNotify)MHD_stop_daemon);
    if (!read_ca(self, error))
        return NULL;
    vc_descriptors_raise(MAX_CONNECTIONS + SPARE_DESCRIPTORS);
    self->sockets = vc_listen_all(config->listen_addr, error);
    if (self->sockets == NULL)
        return NULL;
    return g_steal_pointer(&self);
}

/* --- servers --- */

G_GNUC_PRINTF(2, 0)
static void
on_log(void *cls G_GNUC_UNUSED, const char *format, va_list arguments)
{
    g_autofree char *text = g_strdup_vprintf(format, arguments);

    g_debug("libmicrohttpd: %s", g_strchomp(text));
}

static struct MHD_Daemon *
start_server(VcrHttp *self, int fd)
{
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ERROR_LOG |
                     MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem tls[MAX_OPTIONS] = {{MHD_OPTION_END, 0, NULL}};
    gsize n = 0;
    /* ISO C converts a function's pointer to a data pointer only through a union. */
    union {
        gnutls_certificate_retrieve_function3 *function;
        void *pointer;
    } show = {vcr_query_show_certificate};

    if (self->context.door != NULL) {
        flags |= MHD_USE_TLS;
        tls[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)PRIORITY};
        tls[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, show.pointer};
        if (self->ca != NULL)
            tls[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, self->ca};
        tls[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    return MHD_start_daemon(
        flags, 0, NULL, NULL, vcr_query_handle, &self->context, MHD_OPTION_EXTERNAL_LOGGER,
        on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)THREADS, MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)MAX_PER_ADDRESS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_NOTIFY_COMPLETED,
        vcr_query_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, vcr_query_connection,
        &self->context, MHD_OPTION_UNESCAPE_CALLBACK, vcr_query_keep_escapes, NULL,
        MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

gboolean
vcr_http_start(VcrHttp *self, GError **error)
{
    while (self->sockets->len > 0) {
        int fd = g_array_index(self->sockets, int, 0);
        g_autofree char *name = vc_listen_address(fd);
        struct MHD_Daemon *server = start_server(self, fd);
        if (server == NULL) {
            g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                        "the HTTP server on %s cannot be started", name);
            return FALSE;
        }
        g_array_remove_index(self->sockets, 0);
        g_ptr_array_add(self->servers, server);
        g_message("listening on %s (%s%s)", name,
                  self->config->listen_insecure ? "clear text" : "TLS",
                  vc_listen_is_passed(fd) ? ", passed by the service manager" : "");
    }
    return TRUE;
}

static void
let_everybody_go(VcrHttp *self)
{
    vcr_events_end(self->context.events);
    vcr_passwords_cancel(self->context.passwords);
}

/* A connection that waits for a password or an event must be let go before its server may end;
 * one that is kept alive could bring the next request at any moment until then. */
void
vcr_http_stop(VcrHttp *self, guint timeout_ms)
{
    gint64 until = g_get_monotonic_time() + timeout_ms * (gint64)1000;

    /* Its threads take the socket out of their epoll sets in their own time, and abort where it
     * is closed by then: it stays open until they are gone. */
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));

    g_atomic_int_set(&self->context.is_stopping, TRUE);
    for (guint i = 0; i < self->servers->len; i++) {
        int fd = MHD_quiesce_daemon(g_ptr_array_index(self->servers, i));
        g_array_append_val(fds, fd);
    }
    let_everybody_go(self);
    while (g_atomic_int_get(&self->context.in_flight) > 0 && g_get_monotonic_time() < until) {
        g_usleep(STOP_POLL_US);
        let_everybody_go(self);
    }
    g_ptr_array_set_size(self->servers, 0);
    for (guint i = 0; i < fds->len; i++)
        vc_listen_close(g_array_index(fds, int, i));
}

void
vcr_http_free(VcrHttp *self)
{
    if (self == NULL)
        return;
    for (guint i = 0; self->sockets != NULL && i < self->sockets->len; i++)
        vc_listen_close(g_array_index(self->sockets, int, i));
    g_clear_pointer(&self->sockets, g_array_unref);
    g_ptr_array_unref(self->servers);
    g_free(self->ca);
    g_free(self);
}
