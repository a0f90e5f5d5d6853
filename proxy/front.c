/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Setting up libwebsockets and OpenSSL for clients. */
#include "proxy/front.h"

#include <openssl/err.h>
#include <string.h>
#include <sys/resource.h>

#include "common/error.h"
#include "common/tls.h"
#include "proxy/connection.h"
#include "proxy/metrics.h"

/* Room for the cookies of the whole site that the proxy may be a part of. */
#define MAX_HEADERS 16384

/* --- TLS --- */

static gboolean
wrong(GError **error, const char *file, const char *flag)
{
    unsigned long code = ERR_peek_last_error();
    const char *why = ERR_reason_error_string(code);

    ERR_clear_error();
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s: %s (see %s)", file,
                why != NULL ? why : "not accepted", flag);
    return FALSE;
}

/* A daemon cannot be asked for a key's password. */
static int
no_password(char *buffer, int size, int writing, void *data)
{
    (void)buffer, (void)size, (void)writing, (void)data;
    return -1;
}

static gboolean
load_ca(SSL_CTX *tls, const VcpConfig *config, GError **error)
{
    STACK_OF(X509_NAME) *names = NULL;

    if (SSL_CTX_load_verify_locations(tls, config->listen_tls_ca, NULL) == 1)
        names = SSL_load_client_CA_file(config->listen_tls_ca);
    if (names == NULL)
        return wrong(error, config->listen_tls_ca, "--listen-tls-ca");
    SSL_CTX_set_client_CA_list(tls, names);
    return TRUE;
}

/* The client's own certificate is looked for in its CA's list, which must be there and not be
 * out of date. */
static gboolean
load_crl(SSL_CTX *tls, const VcpConfig *config, GError **error)
{
    X509_STORE *store = SSL_CTX_get_cert_store(tls);

    if (X509_load_crl_file(X509_STORE_add_lookup(store, X509_LOOKUP_file()),
                           config->listen_tls_crl, X509_FILETYPE_PEM) < 1)
        return wrong(error, config->listen_tls_crl, "--listen-tls-crl");
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    vc_tls_warn_of_old_crl(config->listen_tls_crl);
    return TRUE;
}

static gboolean
load_ciphers(SSL_CTX *tls, const VcpConfig *config, GError **error)
{
    if ((config->ciphers_tls12 == NULL ||
         SSL_CTX_set_cipher_list(tls, config->ciphers_tls12) == 1) &&
        (config->ciphers_tls13 == NULL ||
         SSL_CTX_set_ciphersuites(tls, config->ciphers_tls13) == 1))
        return TRUE;
    return wrong(error, config->listen_cipher_suites, "--listen-cipher-suites");
}

static gboolean
load(SSL_CTX *tls, const VcpConfig *config, GError **error)
{
    SSL_CTX_set_default_passwd_cb(tls, no_password);
    if (SSL_CTX_use_certificate_chain_file(tls, config->listen_tls_cert) != 1)
        return wrong(error, config->listen_tls_cert, "--listen-tls-cert");
    if (SSL_CTX_use_PrivateKey_file(tls, config->listen_tls_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls) != 1)
        return wrong(error, config->listen_tls_key, "--listen-tls-key");
    if (config->listen_verify_client &&
        (!load_ca(tls, config, error) ||
         (config->listen_tls_crl != NULL && !load_crl(tls, config, error))))
        return FALSE;
    return load_ciphers(tls, config, error);
}

static gboolean
check_files(const VcpConfig *config, GError **error)
{
    if (!vc_tls_check_file(config->listen_tls_cert, "--listen-tls-cert", error) ||
        !vc_tls_check_file(config->listen_tls_key, "--listen-tls-key", error))
        return FALSE;
    return !config->listen_verify_client ||
           (vc_tls_check_file(config->listen_tls_ca, "--listen-tls-ca", error) &&
            (config->listen_tls_crl == NULL ||
             vc_tls_check_file(config->listen_tls_crl, "--listen-tls-crl", error)));
}

/* A fatal alert, sent or received, ends a handshake or what should have been one. */
static void
on_tls_info(const SSL *tls G_GNUC_UNUSED, int where, int alert)
{
    if ((where & SSL_CB_ALERT) != 0 && (alert >> 8) == SSL3_AL_FATAL)
        vcp_metrics_tls_error(VCP_TLS_OF_CLIENT);
}

SSL_CTX *
vcp_front_load(const VcpConfig *config, GError **error)
{
    if (!check_files(config, error))
        return NULL;
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    /* Here and in libwebsockets' own: which one's counts depends on how far a handshake comes.
     */
    SSL_CTX_set_info_callback(tls, on_tls_info);
    if (!load(tls, config, error))
        g_clear_pointer(&tls, SSL_CTX_free);
    return tls;
}

/* libwebsockets' own SSL_CTX has neither certificate nor CA: each handshake takes over those
 * that are current. Replacing them inside an SSL_CTX would leave the old one of another kind of
 * key in use. */
static int
on_certificate_wanted(SSL *connection, void *data)
{
    const VcpFront *self = data;

    return SSL_set_SSL_CTX(connection, self->certificates) != NULL;
}

/* A resumed session would not have its certificate checked against what has changed since. */
static void
forbid_resumption(SSL_CTX *tls)
{
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(tls, 0);
}

void
vcp_front_set_up_tls(VcpFront *self, const VcpConfig *config, VcpTickets *tickets, SSL_CTX *tls)
{
    SSL_CTX_set_cert_cb(tls, on_certificate_wanted, self);
    SSL_CTX_set_min_proto_version(tls, config->min_tls);
    SSL_CTX_set_max_proto_version(tls, config->max_tls);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* An idle session holds no buffers for records. */
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_info_callback(tls, on_tls_info);
    if (config->listen_verify_client)
        forbid_resumption(tls);
    else
        vcp_tickets_use(tickets, tls);
}

void
vcp_front_use(VcpFront *self, SSL_CTX *certificates)
{
    if (certificates != NULL)
        SSL_CTX_up_ref(certificates);
    SSL_CTX_free(self->certificates);
    self->certificates = certificates;
}

/* --- libwebsockets --- */

static unsigned
descriptor_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (unsigned)limit.rlim_cur : 1024;
}

static void
add_tls(struct lws_context_creation_info *info, const VcpConfig *config)
{
    info->options |= LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    info->ssl_cipher_list = config->ciphers_tls12;
    info->tls1_3_plus_cipher_list = config->ciphers_tls13;
    if (config->listen_verify_client)
        info->options |= LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT;
}

static void
make_vhost(VcpFront *self, struct lws_context_creation_info *info, const VcpConfig *config)
{
    if (!config->listen_insecure) {
        self->unused = SSL_CTX_new(TLS_client_method());
        info->provided_client_ssl_ctx = self->unused;
        add_tls(info, config);
    }
    self->vhost = lws_create_vhost(self->context, info);
}

gboolean
vcp_front_init(VcpFront *self, const VcpConfig *config, SSL_CTX *certificates, uv_loop_t *loop,
               gpointer user, GError **error)
{
    static const struct lws_protocols end = {0};
    /* No time-outs of libwebsockets' own: liveness is the session's matter, and its list of
     * time-outs is searched from the front for each message. */
    static const lws_retry_bo_t no_validity_check = {0};
    const struct lws_protocols *protocols[] = {&vcp_connection_protocol, &end, NULL};
    void *loops[] = {loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .pprotocols = protocols,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_LIBUV |
                   LWS_SERVER_OPTION_VALIDATE_UTF8,
        .foreign_loops = loops,
        .user = user,
        .pt_serv_buf_size = 65536,
        .max_http_header_data = MAX_HEADERS,
        .fd_limit_per_thread = descriptor_limit(),
        .timeout_secs = config->handshake_timeout_s,
        .keepalive_timeout = (int)config->handshake_timeout_s,
        .retry_and_idle_policy = &no_validity_check,
        .alpn = "http/1.1",
        .vhost_name = "console-proxy",
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
    };

    vcp_front_use(self, certificates);
    if (!config->listen_insecure)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    self->context = lws_create_context(&info);
    if (self->context != NULL)
        make_vhost(self, &info, config);
    if (self->vhost != NULL)
        return TRUE;
    g_set_error_literal(
        error, VC_ERROR, VC_ERROR_CONFIG,
        "libwebsockets cannot be set up (is its libuv event plug-in installed?)");
    return FALSE;
}

void
vcp_front_close(VcpFront *self)
{
    if (self->context != NULL)
        lws_context_destroy(self->context);
}

void
vcp_front_clear(VcpFront *self)
{
    /* The first call closed its handles and the loop has seen them off; this one frees the
     * rest. */
    if (self->context != NULL)
        lws_context_destroy(self->context);
    SSL_CTX_free(self->unused);
    SSL_CTX_free(self->certificates);
    *self = (VcpFront){0};
}
