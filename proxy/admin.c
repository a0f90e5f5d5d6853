/* SPDX-License-Identifier: LGPL-2.1-or-later
 * libmicrohttpd without threads: its epoll descriptor and its time-outs on our loop. */
#include "proxy/admin.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "common/listen.h"
#include "common/token.h"
#include "proxy/admin-request.h"
#include "proxy/timer.h"

#define MAX_CONNECTIONS 64
#define IDLE_TIMEOUT_S  30
#define MAX_WAIT_MS     60000
#define SOCKET_MODE     0660
#define PRIORITY        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* One address. */
typedef struct {
    uv_poll_t poll; /* first: the closed handle is freed as the server */
    struct MHD_Daemon *http;
    VcpTimer *timer;
    VcpAdminContext *context; /* not owned */
    char *path;               /* nullable: of a unix socket */
} Server;

struct VcpAdmin {
    VcpAdminContext context;
    VcpTimer *patience; /* for workers that do not answer */
    GPtrArray *servers;
    char *cert, *key, *ca; /* PEM; nullable. libmicrohttpd does not copy them */
    gboolean is_stopped;
};

/* --- one server on the loop --- */

static void
run_server(Server *self)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    MHD_run(self->http);
    if (MHD_get_timeout(self->http, &wait_ms) == MHD_YES)
        vcp_timer_start(self->timer, MIN(wait_ms, MAX_WAIT_MS));
    else
        vcp_timer_stop(self->timer);
}

static void
run_servers(VcpAdmin *self)
{
    for (guint i = 0; i < self->servers->len; i++)
        run_server(g_ptr_array_index(self->servers, i));
    /* Whoever began to wait meanwhile. */
    guint64 deadline = vcp_admin_deadline_ms(&self->context);
    guint64 now = uv_now(self->context.setup.loop);
    if (deadline > 0)
        vcp_timer_start(self->patience, deadline > now ? deadline - now : 0);
}

static VcpAdmin *
admin_of(Server *self)
{
    return (VcpAdmin *)((char *)self->context - G_STRUCT_OFFSET(VcpAdmin, context));
}

static void
on_poll(uv_poll_t *poll, int status G_GNUC_UNUSED, int events G_GNUC_UNUSED)
{
    run_servers(admin_of(poll->data));
}

static void
on_timer(gpointer data)
{
    run_servers(admin_of(data));
}

static void
on_closed(uv_handle_t *handle)
{
    g_free(handle->data);
}

static void
free_server(gpointer data)
{
    Server *self = data;

    MHD_stop_daemon(self->http);
    if (self->path != NULL)
        unlink(self->path);
    g_free(self->path);
    vcp_timer_free(self->timer);
    uv_close((uv_handle_t *)&self->poll, on_closed);
}

G_GNUC_PRINTF(2, 0)
static void
on_log(void *cls G_GNUC_UNUSED, const char *format, va_list arguments)
{
    g_autofree char *text = g_strdup_vprintf(format, arguments);

    g_debug("libmicrohttpd: %s", g_strchomp(text));
}

static struct MHD_Daemon *
start_http(VcpAdmin *self, int fd, gboolean is_tls)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem tls[] = {
        {is_tls ? MHD_OPTION_HTTPS_PRIORITIES : MHD_OPTION_END, 0, (void *)PRIORITY},
        {MHD_OPTION_HTTPS_MEM_CERT, 0, self->cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, self->key},
        {MHD_OPTION_HTTPS_MEM_TRUST, 0, self->ca},
        {MHD_OPTION_END, 0, NULL},
    };

    return MHD_start_daemon(flags | (is_tls ? MHD_USE_TLS : 0), 0, NULL, NULL, vcp_admin_handle,
                            &self->context, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_NOTIFY_COMPLETED,
                            vcp_admin_completed, NULL, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

/* --- start --- */

static gboolean
read_file(const char *path, const char *flag, char **text, GError **error)
{
    return *text != NULL || (vc_tls_check_file(path, flag, error) &&
                             g_file_get_contents(path, text, NULL, error));
}

/* libmicrohttpd says of a broken file only that it could not start. */
static gboolean
check_certificates(const VcpConfig *config, GError **error)
{
    g_autoptr(VcTlsCredentials) probe =
        vc_tls_credentials_load(config->admin_tls_cert, config->admin_tls_key,
                                config->admin_tls_ca, "--admin-tls", error);

    return probe != NULL;
}

static gboolean
load_trust(VcpAdmin *self)
{
    gnutls_datum_t ca = {(unsigned char *)self->ca, (unsigned)strlen(self->ca)};

    if (self->context.trust == NULL) {
        gnutls_x509_trust_list_init(&self->context.trust, 0);
        gnutls_x509_trust_list_add_trust_mem(self->context.trust, &ca, NULL,
                                             GNUTLS_X509_FMT_PEM, 0, 0);
    }
    return TRUE;
}

static gboolean
load_certificates(VcpAdmin *self, GError **error)
{
    const VcpConfig *config = self->context.setup.shared->config;

    return check_certificates(config, error) &&
           read_file(config->admin_tls_cert, "--admin-tls-cert", &self->cert, error) &&
           read_file(config->admin_tls_key, "--admin-tls-key", &self->key, error) &&
           read_file(config->admin_tls_ca, "--admin-tls-ca", &self->ca, error) &&
           load_trust(self);
}

static gboolean
is_unix(const char *address)
{
    return g_str_has_prefix(address, "unix:");
}

gboolean
vcp_admin_check(const VcpConfig *config, GError **error)
{
    for (char **address = config->admin_addr; *address != NULL; address++) {
        if (config->admin_is_default)
            return TRUE;
        if (!vc_listen_check(*address, error)) {
            g_prefix_error(error, "--admin-addr: ");
            return FALSE;
        }
        if (!is_unix(*address) && !check_certificates(config, error))
            return FALSE;
    }
    return TRUE;
}

/* Nobody gets in between the socket's making and its mode. */
static int
listen_privately(const char *address, const char *path /* nullable */, GError **error)
{
    mode_t before = umask(0177);
    int fd = vc_listen(address, error);

    umask(before);
    if (fd >= 0 && path != NULL)
        (void)!chmod(path, SOCKET_MODE);
    return fd;
}

static gboolean
add_server(VcpAdmin *self, const char *address, GError **error)
{
    const char *path = is_unix(address) ? address + strlen("unix:") : NULL;

    if (path == NULL && !load_certificates(self, error))
        return FALSE;
    int fd = listen_privately(address, path, error);
    if (fd < 0)
        return FALSE;
    g_autofree char *name = vc_listen_address(fd);
    struct MHD_Daemon *http = start_http(self, fd, path == NULL);
    if (http == NULL) {
        close(fd);
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "the admin listener at %s does not start",
                    name);
        return FALSE;
    }

    self->context.setup.listening(fd, self->context.setup.data);
    Server *server = g_new0(Server, 1);
    server->http = http;
    server->context = &self->context;
    server->path = g_strdup(path);
    server->timer = vcp_timer_new(self->context.setup.loop, on_timer, server);
    int epoll = MHD_get_daemon_info(http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int failure = uv_poll_init(self->context.setup.loop, &server->poll, epoll);
    g_assert(failure == 0);
    server->poll.data = server;
    uv_poll_start(&server->poll, UV_READABLE, on_poll);
    g_ptr_array_add(self->servers, server);
    g_message("administrators are answered at %s (%s)", name,
              path != NULL ? "who may open the socket" : "TLS, with a certificate");
    return TRUE;
}

static void
on_wake(uv_async_t *wake)
{
    VcpAdmin *self = wake->data;

    if (self->is_stopped)
        return;
    vcp_admin_resume(&self->context, FALSE);
    run_servers(self);
}

static void
on_patience(gpointer data)
{
    VcpAdmin *self = data;

    vcp_admin_resume(&self->context, FALSE);
    run_servers(self);
}

static gboolean
start(VcpAdmin *self, GError **error)
{
    const VcpConfig *config = self->context.setup.shared->config;
    g_autoptr(GError) why = NULL;

    for (char **address = config->admin_addr; *address != NULL; address++) {
        if (add_server(self, *address, &why))
            continue;
        if (!config->admin_is_default) {
            g_propagate_prefixed_error(error, g_steal_pointer(&why), "--admin-addr: ");
            return FALSE;
        }
        g_warning("administrators are not answered: %s (--admin-addr)", why->message);
    }
    return TRUE;
}

VcpAdmin *
vcp_admin_new(const VcpAdminSetup *setup, GError **error)
{
    VcpAdmin *self = g_new0(VcpAdmin, 1);

    self->context.setup = *setup;
    self->context.began_us = g_get_real_time();
    g_queue_init(&self->context.waiting);
    uv_async_init(setup->loop, &self->context.wake, on_wake);
    /* It must outlive the workers, who outlive the loop's run. */
    uv_unref((uv_handle_t *)&self->context.wake);
    self->context.wake.data = self;
    self->patience = vcp_timer_new(setup->loop, on_patience, self);
    self->servers = g_ptr_array_new_with_free_func(free_server);
    if (start(self, error))
        return self;
    vcp_admin_free(self);
    return NULL;
}

/* --- end --- */

void
vcp_admin_stop(VcpAdmin *self)
{
    if (self == NULL || self->is_stopped)
        return;
    self->is_stopped = TRUE;
    /* libmicrohttpd must not end while somebody waits. */
    vcp_admin_resume(&self->context, TRUE);
    for (guint i = 0; i < self->servers->len; i++)
        MHD_run(((Server *)g_ptr_array_index(self->servers, i))->http);
    g_ptr_array_set_size(self->servers, 0);
    g_clear_pointer(&self->patience, vcp_timer_free);
}

static void
free_admin(uv_handle_t *wake)
{
    VcpAdmin *self = wake->data;

    g_ptr_array_unref(self->servers);
    if (self->context.trust != NULL)
        gnutls_x509_trust_list_deinit(self->context.trust, 1);
    g_free(self->cert);
    vc_secret_free(self->key);
    g_free(self->ca);
    g_free(self);
}

void
vcp_admin_free(VcpAdmin *self)
{
    if (self == NULL)
        return;
    vcp_admin_stop(self);
    uv_close((uv_handle_t *)&self->context.wake, free_admin);
}
