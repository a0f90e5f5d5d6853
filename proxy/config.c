/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The table of options, and the checks between them. */
#include "proxy/config.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/error.h"
#include "proxy/origin.h"

#define PKI         "/etc/pki/libvirt-console-proxy/"
#define ADMIN_ADDR  "unix:/run/virtconsoleproxy/admin.sock"
#define MAX_TIME_S  86400
#define MAX_SPENT_S (366 * 86400)

#define AT(field) G_STRUCT_OFFSET(VcpConfig, field)

/* clang-format off */
static const VcOption options[] = {
    LIST("listen-addr", listen_addr, "[::]:443", "ADDRESS", "Where to listen: host:port, [v6]:port or unix:PATH; repeatable"),
    FLAG("listen-insecure", listen_insecure, "Serve clear text instead of TLS"),
    TEXT("listen-tls-cert", listen_tls_cert, PKI "server-cert.pem", "FILE", "Certificate chain shown to clients"),
    TEXT("listen-tls-key", listen_tls_key, PKI "server-key.pem", "FILE", "Its private key"),
    TEXT("listen-tls-ca", listen_tls_ca, PKI "server-ca.pem", "FILE", "CA of client certificates, for --listen-verify-client"),
    TEXT("listen-tls-crl", listen_tls_crl, NULL, "FILE", "Client certificates that are revoked, for --listen-verify-client"),
    FLAG("listen-verify-client", listen_verify_client, "Require a client certificate signed by --listen-tls-ca"),
    TEXT("listen-min-tls", listen_min_tls, "VersionTLS12", "VERSION", "Oldest TLS for clients: VersionTLS12 or VersionTLS13"),
    TEXT("listen-cipher-suites", listen_cipher_suites, NULL, "NAMES", "Ciphers for clients, IANA names separated by commas"),
    LIST("trusted-proxy", trusted_proxy, NULL, "NETWORK", "Balancers that may tell the client's address: 192.0.2.0/24, or unix for unix sockets; repeatable"),
    TEXT("proxy-protocol", proxy_protocol, "optional", "USE", "PROXY headers of trusted proxies: off, optional or required"),
    LIST("admin-addr", admin_addr, ADMIN_ADDR, "ADDRESS", "Where administrators are answered: unix:PATH or host:port, or none; repeatable"),
    TEXT("admin-tls-cert", admin_tls_cert, NULL, "FILE", "Certificate chain shown to administrators over TCP"),
    TEXT("admin-tls-key", admin_tls_key, NULL, "FILE", "Its private key"),
    TEXT("admin-tls-ca", admin_tls_ca, NULL, "FILE", "CA of the administrators' certificates, all of whom may do everything"),
    FLAG("connect-insecure", connect_insecure, "Allow services that are marked insecure"),
    LIST("allowed-target", allowed_target, NULL, "TARGET", "Where consoles may be: a network, a host name, *.DOMAIN, or unix:PATH for a serial one; repeatable (any host, no path)"),
    TEXT("connect-tls-cert", connect_tls_cert, PKI "client-cert.pem", "FILE", "Certificate shown to hypervisors"),
    TEXT("connect-tls-key", connect_tls_key, PKI "client-key.pem", "FILE", "Its private key"),
    TEXT("connect-tls-ca", connect_tls_ca, PKI "client-ca.pem", "FILE", "CA of the hypervisors' certificates"),
    TEXT("connect-tls-crl", connect_tls_crl, NULL, "FILE", "Hypervisors' certificates that are revoked"),
    TEXT("resolver-mode", resolver_mode, "builtin", "MODE", "Who knows the tokens: builtin (a file) or external (a resolver)"),
    TEXT("resolver-tokens", resolver_tokens, "/etc/libvirt/consoleproxy/tokens.json", "FILE", "Tokens of the builtin resolver"),
    TEXT("resolver-uri", resolver_uri, "https://127.0.0.1:8081/consoleresolver/", "URI", "Base of the external resolver"),
    FLAG("resolver-insecure", resolver_insecure, "Allow an http:// resolver"),
    TEXT("resolver-tls-cert", resolver_tls_cert, NULL, "FILE", "Certificate shown to the resolver (as --connect-tls-cert)"),
    TEXT("resolver-tls-key", resolver_tls_key, NULL, "FILE", "Its private key (as --connect-tls-key)"),
    TEXT("resolver-tls-ca", resolver_tls_ca, NULL, "FILE", "CA of the resolver's certificate (as --connect-tls-ca)"),
    TEXT("token-use", token_use, "multi", "USE", "multi, or single: where the service does not say, a token opens one session"),
    {"spent-ttl", 0, VC_OPTION_INTEGER, AT(spent_ttl_s), "86400", 1, MAX_SPENT_S, "SECONDS", "Remember spent tokens for so long, unless it is known when they expire"},
    {"reconnect-window", 0, VC_OPTION_INTEGER, AT(reconnect_window_s), "0", 0, MAX_TIME_S, "SECONDS", "After a session's end the same client may come back with its spent token"},
    TEXT("store", store, "memory", "URI", "What several proxies share: rediss://[USER:PASSWORD@]HOST[:PORT][/DATABASE], redis+unix://PATH or redis:// on this machine; memory: nothing"),
    TEXT("store-password-file", store_password_file, NULL, "FILE", "Password of the store, where it is not in --store"),
    FLAG("store-insecure", store_insecure, "Allow redis:// to other machines"),
    TEXT("store-tls-cert", store_tls_cert, NULL, "FILE", "Certificate shown to the store (as --connect-tls-cert)"),
    TEXT("store-tls-key", store_tls_key, NULL, "FILE", "Its private key (as --connect-tls-key)"),
    TEXT("store-tls-ca", store_tls_ca, NULL, "FILE", "CA of the store's certificate (as --connect-tls-ca)"),
    LIST("allowed-origin", allowed_origin, NULL, "ORIGIN", "Page origin that may open consoles, such as https://cloud.example, or '*'; repeatable (the request's own)"),
    FLAG("require-origin", require_origin, "Refuse clients that send no Origin, as browsers always do"),
    TEXT("web-dir", web_dir, NULL, "DIR", "Serve the files below DIR on the same port"),
    {"workers", 0, VC_OPTION_INTEGER, AT(workers), "0", 0, 256, "N", "Worker threads; 0: one for each CPU"},
    TIME("connect-timeout", connect_timeout_s, "10", "Limit for TCP and TLS towards a hypervisor"),
    {"serial-grace", 0, VC_OPTION_INTEGER, AT(serial_grace_ms), "200", 0, 60000, "MS", "Wait for an end of a clear serial console before bytes go there; 0: do not"},
    TIME("handshake-timeout", handshake_timeout_s, "30", "Limit from accept until the console's bytes flow"),
    TIME("resolver-timeout", resolver_timeout_s, "5", "Limit for an answer of the resolver"),
    LIMIT("recheck", recheck_s, "30", "Ask the resolver again what the tokens of sessions stand for; 0: do not"),
    LIMIT("idle-timeout", idle_timeout_s, "0", "End a session whose client sends nothing for so long; 0: never"),
    LIMIT("session-limit", session_limit_s, "0", "End a session after so long; 0: never"),
    TIME("keepalive", keepalive_s, "25", "Ping a client that is silent for so long; two unanswered end the session"),
    TIME("write-timeout", write_timeout_s, "120", "Close a client that takes no byte for so long"),
    {"drain-timeout", 0, VC_OPTION_INTEGER, AT(drain_timeout_s), "0", 0, MAX_TIME_S, "SECONDS", "After SIGTERM let sessions end by themselves for so long, and take no new ones"},
    COUNT("max-sessions", max_sessions, "10000", "Sessions at the same time; 0: no limit"),
    COUNT("max-sessions-per-token", max_sessions_per_token, "32", "The same for one token"),
    COUNT("max-sessions-per-console", max_sessions_per_console, "32", "The same for one console"),
    COUNT("max-sessions-per-address", max_sessions_per_address, "256", "The same for one client address"),
    COUNT("token-failures", token_failures, "20", "Unknown tokens of one client address before it must wait, longer each time; 0: never"),
    TEXT("audit-log", audit_log, NULL, "FILE", "Record the start and end of each session here, as lines of JSON (in the journal, where there is one)"),
    VC_DAEMON_ROWS,
    {0},
};
/* clang-format on */

/* Of these a reload only says that they have changed. */
static const char *const at_start[] = {
    "listen-addr",
    "listen-insecure",
    "listen-verify-client",
    "listen-min-tls",
    "listen-cipher-suites",
    "proxy-protocol",
    "admin-addr",
    "admin-tls-cert",
    "admin-tls-key",
    "admin-tls-ca",
    "audit-log",
    "resolver-mode",
    "resolver-tokens",
    "store",
    "store-insecure",
    "store-password-file",
    "workers",
    NULL,
};

static gboolean
wrong(GError **error, const char *flag, const char *value, const char *why)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "--%s %s: %s", flag, value, why);
    return FALSE;
}

static gboolean
check_min_tls(VcpConfig *self, GError **error)
{
    static const struct {
        const char *name;
        int version;
    } versions[] = {
        {"VersionTLS12", TLS1_2_VERSION},
        {"1.2", TLS1_2_VERSION},
        {"VersionTLS13", TLS1_3_VERSION},
        {"1.3", TLS1_3_VERSION},
        {"VersionTLS10", 0},
        {"1.0", 0},
        {"VersionTLS11", 0},
        {"1.1", 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(versions); i++) {
        if (strcmp(self->listen_min_tls, versions[i].name) != 0)
            continue;
        self->min_tls = versions[i].version;
        return self->min_tls != 0 ||
               wrong(error, "listen-min-tls", self->listen_min_tls,
                     "TLS before 1.2 is broken (RFC 8996) and not offered");
    }
    return wrong(error, "listen-min-tls", self->listen_min_tls,
                 "must be VersionTLS12 or VersionTLS13");
}

/* TLS 1.3 suites go by their IANA names in OpenSSL too; older ones have names of OpenSSL's own.
 */
static gboolean
check_cipher_suites(VcpConfig *self, GError **error)
{
    self->max_tls = TLS1_3_VERSION;
    if (self->listen_cipher_suites == NULL)
        return TRUE;

    g_auto(GStrv) names = g_strsplit(self->listen_cipher_suites, ",", -1);
    g_autoptr(GString) tls12 = g_string_new(NULL);
    g_autoptr(GString) tls13 = g_string_new(NULL);

    for (char **name = names; *name != NULL; name++) {
        const char *openssl = OPENSSL_cipher_name(g_strstrip(*name));
        if (strcmp(openssl, "(NONE)") == 0)
            return wrong(error, "listen-cipher-suites", *name,
                         "is not the IANA name of a cipher suite known here");
        GString *list = g_str_has_prefix(openssl, "TLS_") ? tls13 : tls12;
        g_string_append_printf(list, "%s%s", list->len > 0 ? ":" : "", openssl);
    }
    if (tls12->len == 0 && self->min_tls < TLS1_3_VERSION)
        self->min_tls = TLS1_3_VERSION;
    if (tls13->len == 0 && self->min_tls == TLS1_3_VERSION)
        return wrong(error, "listen-cipher-suites", self->listen_cipher_suites,
                     "has no suite of TLS 1.3");
    /* What is not listed is not spoken; a version without suites would only fail in the
     * handshake. */
    self->max_tls = tls13->len > 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
    self->ciphers_tls12 = tls12->len > 0 ? g_strdup(tls12->str) : NULL;
    self->ciphers_tls13 = tls13->len > 0 ? g_strdup(tls13->str) : NULL;
    return TRUE;
}

static gboolean
check_origins(VcpConfig *self, GError **error)
{
    for (char **origin = self->allowed_origin; *origin != NULL; origin++) {
        if (strcmp(*origin, "*") == 0) {
            self->any_origin = TRUE;
            continue;
        }
        char *normal = vcp_origin_normalise(*origin);
        if (normal == NULL)
            return wrong(error, "allowed-origin", *origin,
                         "must be scheme://host or scheme://host:port, or *");
        g_free(*origin);
        *origin = normal;
    }
    return TRUE;
}

static gboolean
check_trusted_proxies(VcpConfig *self, GError **error)
{
    static const char *const uses[] = {
        [VCP_PROXY_HEADER_OFF] = "off",
        [VCP_PROXY_HEADER_OPTIONAL] = "optional",
        [VCP_PROXY_HEADER_REQUIRED] = "required",
    };
    g_autoptr(GError) why = NULL;
    const char *text = NULL;
    guint use = 0;

    self->trust = vcp_trust_new((const char *const *)self->trusted_proxy, &text, &why);
    if (self->trust == NULL)
        return wrong(error, "trusted-proxy", text, why->message);
    while (use < G_N_ELEMENTS(uses) && strcmp(self->proxy_protocol, uses[use]) != 0)
        use++;
    if (use == G_N_ELEMENTS(uses))
        return wrong(error, "proxy-protocol", self->proxy_protocol,
                     "must be off, optional or required");
    self->proxy_header = (VcpProxyHeaderUse)use;
    return self->proxy_header != VCP_PROXY_HEADER_REQUIRED ||
           vcp_trust_has_anybody(self->trust) ||
           wrong(error, "proxy-protocol", self->proxy_protocol,
                 "nobody could connect without a --trusted-proxy");
}

static gboolean
check_token_use(VcpConfig *self, GError **error)
{
    self->is_single_use = strcmp(self->token_use, "single") == 0;
    return self->is_single_use || strcmp(self->token_use, "multi") == 0 ||
           wrong(error, "token-use", self->token_use, "must be single or multi");
}

static gboolean
check_targets(VcpConfig *self, GError **error)
{
    g_autoptr(GError) why = NULL;
    const char *text = NULL;

    self->targets = vcp_targets_new((const char *const *)self->allowed_target, &text, &why);
    if (self->targets == NULL)
        return wrong(error, "allowed-target", text, why->message);
    for (char **target = self->allowed_target; *target != NULL; target++) {
        if (g_strv_contains((const char *const *)self->listen_addr, *target))
            return wrong(error, "allowed-target", *target, "is where this proxy listens");
    }
    return TRUE;
}

static gboolean
check_admin(VcpConfig *self, GError **error)
{
    char **list = self->admin_addr;

    if (g_strv_contains((const char *const *)list, "none")) {
        if (g_strv_length(list) > 1)
            return wrong(error, "admin-addr", "none", "stands alone");
        g_clear_pointer(&list[0], g_free);
    }
    self->admin_is_default = g_strcmp0(list[0], ADMIN_ADDR) == 0 && list[1] == NULL;
    for (char **address = list; *address != NULL; address++) {
        if (!g_str_has_prefix(*address, "unix:") &&
            (self->admin_tls_cert == NULL || self->admin_tls_key == NULL ||
             self->admin_tls_ca == NULL))
            return wrong(error, "admin-addr", *address,
                         "needs --admin-tls-cert, --admin-tls-key and --admin-tls-ca");
    }
    return TRUE;
}

static void
default_to(char **field, const char *value)
{
    if (*field == NULL)
        *field = g_strdup(value);
}

static gboolean
check_resolver(VcpConfig *self, GError **error)
{
    const char *uri = self->resolver_uri;

    default_to(&self->resolver_tls_cert, self->connect_tls_cert);
    default_to(&self->resolver_tls_key, self->connect_tls_key);
    default_to(&self->resolver_tls_ca, self->connect_tls_ca);
    if (vcp_config_has_token_file(self))
        return TRUE;
    if (strcmp(self->resolver_mode, "external") != 0)
        return wrong(error, "resolver-mode", self->resolver_mode,
                     "must be builtin or external");
    if (strpbrk(uri, "?#") != NULL)
        return wrong(error, "resolver-uri", uri, "must end with its path");
    if (g_str_has_prefix(uri, "https://") && strlen(uri) > strlen("https://"))
        return TRUE;
    if (!g_str_has_prefix(uri, "http://") || strlen(uri) <= strlen("http://"))
        return wrong(error, "resolver-uri", uri, "must begin with https://");
    return self->resolver_insecure ||
           wrong(error, "resolver-uri", uri,
                 "clear text towards the resolver needs --resolver-insecure");
}

/* The URI may hold a password, so it is not shown. */
static gboolean
check_store(VcpConfig *self, GError **error)
{
    g_autoptr(GError) why = NULL;

    default_to(&self->store_tls_cert, self->connect_tls_cert);
    default_to(&self->store_tls_key, self->connect_tls_key);
    default_to(&self->store_tls_ca, self->connect_tls_ca);
    if (strcmp(self->store, "memory") == 0)
        return TRUE;
    self->store_address = vcp_store_address_parse(self->store, &why);
    if (self->store_address == NULL)
        return wrong(error, "store", "(not shown)", why->message);
    return self->store_address->tls || self->store_insecure ||
           vcp_store_address_is_local(self->store_address) ||
           wrong(error, "store", "(not shown)",
                 "clear text to another machine needs --store-insecure");
}

static gboolean
check_web_dir(VcpConfig *self, GError **error)
{
    struct stat st;

    if (self->web_dir == NULL)
        return TRUE;
    char *resolved = realpath(self->web_dir, NULL);
    if (resolved == NULL)
        return wrong(error, "web-dir", self->web_dir, g_strerror(errno));
    g_free(self->web_dir);
    self->web_dir = g_strdup(resolved);
    free(resolved);
    return (stat(self->web_dir, &st) == 0 && S_ISDIR(st.st_mode)) ||
           wrong(error, "web-dir", self->web_dir, "is not a directory");
}

static gboolean
check(VcpConfig *self, GError **error)
{
    return check_min_tls(self, error) && check_cipher_suites(self, error) &&
           check_origins(self, error) && check_trusted_proxies(self, error) &&
           check_targets(self, error) && check_admin(self, error) &&
           check_token_use(self, error) && check_resolver(self, error) &&
           check_store(self, error) && check_web_dir(self, error);
}

VcpConfig *
vcp_config_parse(int argc, char **argv, GError **error)
{
    static const char *const summary =
        "Joins browsers' websockets to the consoles of virtual machines: the token that a "
        "client brings is resolved to\n"
        "a console, which is reached over TLS with certificates on both sides.";
    g_autoptr(VcpConfig) self = g_new0(VcpConfig, 1);

    self->refs = 1;
    if (!vc_daemon_options_parse(&self->common, options, self, "proxy", argc, argv, summary,
                                 error))
        return NULL;
    if (!check(self, error)) {
        vc_option_file_locate(self->common.file, error);
        return NULL;
    }
    if (self->workers == 0)
        self->workers = g_get_num_processors();
    return g_steal_pointer(&self);
}

VcpConfig *
vcp_config_reload(const VcpConfig *started, GError **error)
{
    char **arguments = started->common.arguments;
    VcpConfig *fresh = vcp_config_parse((int)g_strv_length(arguments), arguments, error);

    if (fresh != NULL)
        vc_daemon_options_warn_of_restart(options, at_start, started, fresh);
    return fresh;
}

VcpConfig *
vcp_config_ref(VcpConfig *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

void
vcp_config_unref(VcpConfig *self)
{
    if (self == NULL || !g_atomic_int_dec_and_test(&self->refs))
        return;
    vcp_store_address_free(self->store_address);
    vcp_trust_free(self->trust);
    vcp_targets_unref(self->targets);
    vc_daemon_options_clear(&self->common);
    vc_options_clear(options, self);
    g_free(self->ciphers_tls12);
    g_free(self->ciphers_tls13);
    g_free(self);
}
