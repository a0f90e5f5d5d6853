/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The command line of virtconsoleproxyd: every default, and what each flag refuses. */
#include "proxy/config.h"

#include <glib/gstdio.h>
#include <openssl/ssl.h>
#include <string.h>

#include "common/error.h"

static VcpConfig *
parse(const char *line, GError **error)
{
    g_autofree char *whole = g_strconcat("virtconsoleproxyd ", line, NULL);
    g_auto(GStrv) arguments = NULL;
    int n;

    g_assert_true(g_shell_parse_argv(whole, &n, &arguments, NULL));
    return vcp_config_parse(n, arguments, error);
}

static VcpConfig *
must_parse(const char *line)
{
    g_autoptr(GError) error = NULL;
    VcpConfig *config = parse(line, &error);

    g_assert_no_error(error);
    g_assert_nonnull(config);
    return config;
}

/* --- every flag: its default, and a value of one's own --- */

typedef enum { BOOLEAN, TEXT, LIST, NUMBER } Kind;

#define PKI       "/etc/pki/libvirt-console-proxy/"
#define AT(field) G_STRUCT_OFFSET(VcpConfig, field)
#define CPUS      "CPUS"
#define NONE      "-"

static const struct {
    const char *flag;
    Kind kind;
    gsize offset;
    const char *expected;
    const char *other; /* a value that is taken as it is */
} flags[] = {
    {"listen-addr", LIST, AT(listen_addr), "[::]:443", "unix:/run/x"},
    {"listen-insecure", BOOLEAN, AT(listen_insecure), "0", NULL},
    {"listen-tls-cert", TEXT, AT(listen_tls_cert), PKI "server-cert.pem", "x"},
    {"listen-tls-key", TEXT, AT(listen_tls_key), PKI "server-key.pem", "x"},
    {"listen-tls-ca", TEXT, AT(listen_tls_ca), PKI "server-ca.pem", "x"},
    {"listen-tls-crl", TEXT, AT(listen_tls_crl), NONE, "x"},
    {"listen-verify-client", BOOLEAN, AT(listen_verify_client), "0", NULL},
    {"listen-min-tls", TEXT, AT(listen_min_tls), "VersionTLS12", "1.3"},
    {"listen-cipher-suites", TEXT, AT(listen_cipher_suites), NONE, "TLS_AES_128_GCM_SHA256"},
    {"trusted-proxy", LIST, AT(trusted_proxy), "", "192.0.2.0/24"},
    {"proxy-protocol", TEXT, AT(proxy_protocol), "optional", "off"},
    {"connect-insecure", BOOLEAN, AT(connect_insecure), "0", NULL},
    {"connect-tls-cert", TEXT, AT(connect_tls_cert), PKI "client-cert.pem", "x"},
    {"connect-tls-key", TEXT, AT(connect_tls_key), PKI "client-key.pem", "x"},
    {"connect-tls-ca", TEXT, AT(connect_tls_ca), PKI "client-ca.pem", "x"},
    {"connect-tls-crl", TEXT, AT(connect_tls_crl), NONE, "x"},
    {"admin-addr", LIST, AT(admin_addr), "unix:/run/virtconsoleproxy/admin.sock", "unix:/x"},
    {"admin-tls-cert", TEXT, AT(admin_tls_cert), NONE, "x"},
    {"admin-tls-key", TEXT, AT(admin_tls_key), NONE, "x"},
    {"admin-tls-ca", TEXT, AT(admin_tls_ca), NONE, "x"},
    {"allowed-target", LIST, AT(allowed_target), "", "unix:/x"},
    {"token-use", TEXT, AT(token_use), "multi", "single"},
    {"spent-ttl", NUMBER, AT(spent_ttl_s), "86400", "1"},
    {"reconnect-window", NUMBER, AT(reconnect_window_s), "0", "86400"},
    {"store", TEXT, AT(store), "memory", "rediss://host"},
    {"store-password-file", TEXT, AT(store_password_file), NONE, "x"},
    {"store-insecure", BOOLEAN, AT(store_insecure), "0", NULL},
    {"store-tls-cert", TEXT, AT(store_tls_cert), PKI "client-cert.pem", "x"},
    {"store-tls-key", TEXT, AT(store_tls_key), PKI "client-key.pem", "x"},
    {"store-tls-ca", TEXT, AT(store_tls_ca), PKI "client-ca.pem", "x"},
    {"resolver-mode", TEXT, AT(resolver_mode), "builtin", "external"},
    {"resolver-tokens", TEXT, AT(resolver_tokens), "/etc/libvirt/consoleproxy/tokens.json",
     "x"},
    {"resolver-uri", TEXT, AT(resolver_uri), "https://127.0.0.1:8081/consoleresolver/",
     "https://x"},
    {"resolver-insecure", BOOLEAN, AT(resolver_insecure), "0", NULL},
    {"resolver-tls-cert", TEXT, AT(resolver_tls_cert), PKI "client-cert.pem", "x"},
    {"resolver-tls-key", TEXT, AT(resolver_tls_key), PKI "client-key.pem", "x"},
    {"resolver-tls-ca", TEXT, AT(resolver_tls_ca), PKI "client-ca.pem", "x"},
    {"allowed-origin", LIST, AT(allowed_origin), "", "https://x:443"},
    {"require-origin", BOOLEAN, AT(require_origin), "0", NULL},
    {"web-dir", TEXT, AT(web_dir), NONE, "/"},
    {"workers", NUMBER, AT(workers), CPUS, "3"},
    {"connect-timeout", NUMBER, AT(connect_timeout_s), "10", "1"},
    {"serial-grace", NUMBER, AT(serial_grace_ms), "200", "0"},
    {"handshake-timeout", NUMBER, AT(handshake_timeout_s), "30", "1"},
    {"resolver-timeout", NUMBER, AT(resolver_timeout_s), "5", "1"},
    {"recheck", NUMBER, AT(recheck_s), "30", "0"},
    {"idle-timeout", NUMBER, AT(idle_timeout_s), "0", "31622400"},
    {"session-limit", NUMBER, AT(session_limit_s), "0", "31622400"},
    {"keepalive", NUMBER, AT(keepalive_s), "25", "1"},
    {"write-timeout", NUMBER, AT(write_timeout_s), "120", "86400"},
    {"drain-timeout", NUMBER, AT(drain_timeout_s), "0", "86400"},
    {"audit-log", TEXT, AT(audit_log), NONE, "x"},
    {"max-sessions", NUMBER, AT(max_sessions), "10000", "0"},
    {"max-sessions-per-token", NUMBER, AT(max_sessions_per_token), "32", "0"},
    {"max-sessions-per-console", NUMBER, AT(max_sessions_per_console), "32", "0"},
    {"max-sessions-per-address", NUMBER, AT(max_sessions_per_address), "256", "0"},
    {"token-failures", NUMBER, AT(token_failures), "20", "0"},
    {"verbose", BOOLEAN, AT(common.verbose), "0", NULL},
    {"log-level", TEXT, AT(common.log_level), "message", "debug"},
    {"config", TEXT, AT(common.config), NONE, "/dev/null"},
    {"check-config", BOOLEAN, AT(common.check_config), "0", NULL},
    {"version", BOOLEAN, AT(common.version), "0", NULL},
};

static char *
show(const VcpConfig *config, gsize i)
{
    gconstpointer field = G_STRUCT_MEMBER_P(config, flags[i].offset);
    const char *text;

    switch (flags[i].kind) {
    case BOOLEAN:
        return g_strdup_printf("%d", *(const gboolean *)field);
    case NUMBER:
        return g_strdup_printf("%u", *(const guint *)field);
    case LIST:
        return g_strjoinv("+",
                          *(char *const *const *)field == NULL ? NULL : *(char **const *)field);
    case TEXT:
        text = *(const char *const *)field;
        return g_strdup(text != NULL ? text : NONE);
    }
    g_assert_not_reached();
}

static void
test_default(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(VcpConfig) config = must_parse("");
    g_autofree char *shown = show(config, i);
    g_autofree char *cpus = g_strdup_printf("%u", g_get_num_processors());

    g_assert_cmpstr(shown, ==, strcmp(flags[i].expected, CPUS) == 0 ? cpus : flags[i].expected);
}

static void
test_given(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autofree char *line = flags[i].kind == BOOLEAN
                                ? g_strdup_printf("--%s", flags[i].flag)
                                : g_strdup_printf("--%s %s", flags[i].flag, flags[i].other);
    g_autoptr(VcpConfig) config = must_parse(line);
    g_autofree char *shown = show(config, i);

    g_assert_cmpstr(shown, ==, flags[i].kind == BOOLEAN ? "1" : flags[i].other);
}

/* What follows from the defaults. */
static void
test_derived(void)
{
    g_autoptr(VcpConfig) config = must_parse("");

    g_assert_false(config->any_origin);
    g_assert_cmpint(config->min_tls, ==, TLS1_2_VERSION);
    g_assert_cmpint(config->max_tls, ==, TLS1_3_VERSION);
    g_assert_null(config->ciphers_tls12);
    g_assert_null(config->ciphers_tls13);
    g_assert_cmpint(config->common.shown, ==, G_LOG_LEVEL_MESSAGE);
}

/* --- refusals --- */

static const struct {
    const char *name;
    const char *line;
    const char *flag;
    const char *value; /* nullable; in the message as well */
} wrong[] = {
    {"unknown", "--listen-address x", "--listen-address", NULL},
    {"argument", "host:443", "host:443", NULL},
    {"insecure-no", "--listen-insecure=no", "--listen-insecure", NULL},
    {"connect-insecure-no", "--connect-insecure=false", "--connect-insecure", NULL},

    {"min-tls-old", "--listen-min-tls VersionTLS11", "--listen-min-tls", "RFC 8996"},
    {"min-tls-older", "--listen-min-tls 1.0", "--listen-min-tls", "RFC 8996"},
    {"min-tls-10", "--listen-min-tls VersionTLS10", "--listen-min-tls", "RFC 8996"},
    {"min-tls-11", "--listen-min-tls 1.1", "--listen-min-tls", "RFC 8996"},
    {"min-tls-future", "--listen-min-tls 1.4", "--listen-min-tls", "1.4"},
    {"min-tls-words", "--listen-min-tls tls1.2", "--listen-min-tls", "tls1.2"},
    {"min-tls-empty", "--listen-min-tls ''", "--listen-min-tls", NULL},

    {"cipher-unknown", "--listen-cipher-suites TLS_AES_128_GCM_SHA256,TLS_NO_SUCH",
     "--listen-cipher-suites", "TLS_NO_SUCH"},
    {"cipher-openssl-name", "--listen-cipher-suites ECDHE-RSA-AES128-GCM-SHA256",
     "--listen-cipher-suites", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"cipher-string", "--listen-cipher-suites HIGH:!aNULL", "--listen-cipher-suites",
     "HIGH:!aNULL"},
    {"cipher-empty", "--listen-cipher-suites ''", "--listen-cipher-suites", NULL},
    {"cipher-empty-item", "--listen-cipher-suites TLS_AES_128_GCM_SHA256,",
     "--listen-cipher-suites", NULL},
    {"cipher-too-old",
     "--listen-min-tls 1.3 --listen-cipher-suites TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
     "--listen-cipher-suites", "TLS 1.3"},

    {"trusted-name", "--trusted-proxy balancer.example", "--trusted-proxy", "balancer.example"},
    {"trusted-host-bits", "--trusted-proxy 192.0.2.1/24", "--trusted-proxy", "bits set"},
    {"trusted-second", "--trusted-proxy unix --trusted-proxy x", "--trusted-proxy", "x"},
    {"proxy-protocol-words", "--proxy-protocol on", "--proxy-protocol", "on"},
    {"proxy-protocol-alone", "--proxy-protocol required", "--proxy-protocol",
     "--trusted-proxy"},

    {"target-address", "--allowed-target 192.0.2.256", "--allowed-target", "IP address"},
    {"target-network", "--allowed-target 192.0.2.0/33", "--allowed-target", "192.0.2.0/33"},
    {"target-host-bits", "--allowed-target 192.0.2.1/24", "--allowed-target", "bits set"},
    {"target-port", "--allowed-target host.example:5900", "--allowed-target",
     "host.example:5900"},
    {"target-star", "--allowed-target '*'", "--allowed-target", "*.DOMAIN"},
    {"target-star-amid", "--allowed-target a.*.example", "--allowed-target", "*.DOMAIN"},
    {"target-empty", "--allowed-target ''", "--allowed-target", NULL},
    {"target-own", "--listen-addr unix:/x --allowed-target unix:/x", "--allowed-target",
     "unix:/x"},
    {"admin-two-minds", "--admin-addr none --admin-addr unix:/x", "--admin-addr", "none"},
    {"admin-no-tls", "--admin-addr :9443", "--admin-addr", ":9443"},
    {"admin-half-tls", "--admin-addr :9443 --admin-tls-cert a --admin-tls-key b",
     "--admin-addr", "--admin-tls-ca"},
    {"drain-large", "--drain-timeout 86401", "--drain-timeout", NULL},
    {"target-relative", "--allowed-target unix:x", "--allowed-target", "unix:x"},
    {"target-second", "--allowed-target unix:/x --allowed-target y/z", "--allowed-target",
     "y/z"},
    {"grace-large", "--serial-grace 60001", "--serial-grace", NULL},

    {"origin-host", "--allowed-origin cloud.example", "--allowed-origin", "cloud.example"},
    {"origin-path", "--allowed-origin https://cloud.example/", "--allowed-origin", NULL},
    {"origin-null", "--allowed-origin null", "--allowed-origin", "null"},
    {"origin-wildcard", "--allowed-origin https://*.example", "--allowed-origin", NULL},
    {"origin-second", "--allowed-origin https://a --allowed-origin b", "--allowed-origin", "b"},

    {"token-use", "--token-use once", "--token-use", "once"},
    {"spent-ttl", "--spent-ttl 0", "--spent-ttl", NULL},
    {"reconnect", "--reconnect-window -1", "--reconnect-window", NULL},
    {"store-no-uri", "--store redis", "--store", NULL},
    {"store-clear-text", "--store redis://host", "--store", "--store-insecure"},
    {"store-other-scheme", "--store http://host", "--store", "rediss://"},
    {"mode-unknown", "--resolver-mode file", "--resolver-mode", "file"},
    {"mode-empty", "--resolver-mode ''", "--resolver-mode", NULL},
    {"uri-clear-text", "--resolver-mode external --resolver-uri http://x/", "--resolver-uri",
     "--resolver-insecure"},
    {"uri-no-scheme", "--resolver-mode external --resolver-uri x", "--resolver-uri", "x"},
    {"uri-other-scheme", "--resolver-mode external --resolver-uri file:///etc/passwd",
     "--resolver-uri", NULL},
    {"uri-empty", "--resolver-mode external --resolver-uri ''", "--resolver-uri", NULL},
    {"uri-no-host", "--resolver-mode external --resolver-uri https://", "--resolver-uri", NULL},
    {"uri-no-host-clear", "--resolver-insecure --resolver-mode external --resolver-uri http://",
     "--resolver-uri", NULL},
    {"uri-query", "--resolver-mode external --resolver-uri 'https://x/?a='", "--resolver-uri",
     NULL},
    {"uri-fragment", "--resolver-mode external --resolver-uri 'https://x/#a'", "--resolver-uri",
     NULL},

    {"web-dir-missing", "--web-dir /no/such/directory", "--web-dir", "/no/such/directory"},
    {"web-dir-file", "--web-dir /dev/null", "--web-dir", "/dev/null"},

    {"workers-many", "--workers 257", "--workers", "257"},
    {"workers-words", "--workers many", "--workers", "many"},
    {"connect-timeout-zero", "--connect-timeout 0", "--connect-timeout", "0"},
    {"handshake-timeout-zero", "--handshake-timeout 0", "--handshake-timeout", "0"},
    {"resolver-timeout-zero", "--resolver-timeout 0", "--resolver-timeout", "0"},
    {"session-limit", "--session-limit 31622401", "--session-limit", "31622401"},
    {"keepalive-zero", "--keepalive 0", "--keepalive", "0"},
    {"write-timeout-zero", "--write-timeout 0", "--write-timeout", "0"},
    {"write-timeout-long", "--write-timeout 86401", "--write-timeout", "86401"},
    {"timeout-unit", "--connect-timeout 10s", "--connect-timeout", "10s"},
    {"max-sessions", "--max-sessions=-1", "--max-sessions", "-1"},
    {"max-sessions-per-token", "--max-sessions-per-token 1000001", "--max-sessions-per-token",
     NULL},
    {"max-sessions-per-console", "--max-sessions-per-console x", "--max-sessions-per-console",
     NULL},
    {"max-sessions-per-address", "--max-sessions-per-address 1.5", "--max-sessions-per-address",
     NULL},

    {"log-level", "--log-level loud", "--log-level", "loud"},
    {"log-level-empty", "--log-level ''", "--log-level", NULL},
};

static void
test_wrong(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcpConfig) config = parse(wrong[i].line, &error);

    g_assert_null(config);
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, wrong[i].flag));
    g_assert_true(wrong[i].value == NULL || strstr(error->message, wrong[i].value) != NULL);
    g_assert_null(strchr(error->message, '\n'));
}

/* --- themes --- */

static const struct {
    const char *line;
    int min_tls, max_tls;
    const char *tls12, *tls13;
} suites[] = {
    {"--listen-min-tls 1.2", TLS1_2_VERSION, TLS1_3_VERSION, NULL, NULL},
    {"--listen-min-tls VersionTLS13", TLS1_3_VERSION, TLS1_3_VERSION, NULL, NULL},
    {"--listen-cipher-suites TLS_AES_256_GCM_SHA384", TLS1_3_VERSION, TLS1_3_VERSION, NULL,
     "TLS_AES_256_GCM_SHA384"},
    {"--listen-cipher-suites TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", TLS1_2_VERSION,
     TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", NULL},
    {"--listen-cipher-suites 'TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,"
     "TLS_CHACHA20_POLY1305_SHA256 ,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'",
     TLS1_2_VERSION, TLS1_3_VERSION,
     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384",
     "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"},
};

static void
test_tls(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(suites); i++) {
        g_autoptr(VcpConfig) config = must_parse(suites[i].line);
        g_assert_cmpint(config->min_tls, ==, suites[i].min_tls);
        g_assert_cmpint(config->max_tls, ==, suites[i].max_tls);
        g_assert_cmpstr(config->ciphers_tls12, ==, suites[i].tls12);
        g_assert_cmpstr(config->ciphers_tls13, ==, suites[i].tls13);
    }
}

static void
test_lists(void)
{
    g_autoptr(VcpConfig) config =
        must_parse("--listen-addr [::1]:1 --allowed-origin HTTPS://Cloud.Example "
                   "--listen-addr unix:/x --allowed-origin http://[::1]:8080");

    g_assert_cmpuint(g_strv_length(config->listen_addr), ==, 2);
    g_assert_cmpstr(config->listen_addr[0], ==, "[::1]:1");
    g_assert_cmpstr(config->listen_addr[1], ==, "unix:/x");
    g_assert_cmpuint(g_strv_length(config->allowed_origin), ==, 2);
    g_assert_cmpstr(config->allowed_origin[0], ==, "https://cloud.example:443");
    g_assert_cmpstr(config->allowed_origin[1], ==, "http://[::1]:8080");
    g_assert_false(config->any_origin);
}

static void
test_any_origin(void)
{
    g_autoptr(VcpConfig) alone = must_parse("--allowed-origin '*'");
    g_autoptr(VcpConfig) among = must_parse("--allowed-origin https://a --allowed-origin '*'");

    g_assert_true(alone->any_origin);
    g_assert_true(among->any_origin);
}

static void
test_resolver_uri(void)
{
    static const char *const lines[] = {
        "--resolver-mode external",
        "--resolver-mode external --resolver-uri https://resolver.example",
        "--resolver-mode external --resolver-uri https://[::1]:8081/path/",
        "--resolver-mode external --resolver-uri http://127.0.0.1:8081 --resolver-insecure",
        /* Not looked at where it is not used. */
        "--resolver-uri nonsense",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(VcpConfig) config = must_parse(lines[i]);
        g_assert_nonnull(config->resolver_uri);
    }
}

/* One certificate for both, unless another is named. */
static void
test_resolver_tls(void)
{
    g_autoptr(VcpConfig) shared =
        must_parse("--connect-tls-cert c --connect-tls-key k --connect-tls-ca a");
    g_autoptr(VcpConfig) own = must_parse("--connect-tls-key k --resolver-tls-key r");

    g_assert_cmpstr(shared->resolver_tls_cert, ==, "c");
    g_assert_cmpstr(shared->resolver_tls_key, ==, "k");
    g_assert_cmpstr(shared->resolver_tls_ca, ==, "a");
    g_assert_cmpstr(own->resolver_tls_key, ==, "r");
    g_assert_cmpstr(own->connect_tls_key, ==, "k");
}

static void
test_log_level(void)
{
    static const struct {
        const char *line;
        GLogLevelFlags shown;
    } levels[] = {
        {"--log-level error", G_LOG_LEVEL_CRITICAL},
        {"--log-level debug", G_LOG_LEVEL_DEBUG},
        {"-v", G_LOG_LEVEL_INFO},
        {"--verbose --log-level error", G_LOG_LEVEL_INFO},
        {"-v --log-level debug", G_LOG_LEVEL_DEBUG},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        g_autoptr(VcpConfig) config = must_parse(levels[i].line);
        g_assert_cmpint(config->common.shown, ==, levels[i].shown);
    }
}

static void
test_web_dir(void)
{
    g_autofree char *directory = g_dir_make_tmp("config-XXXXXX", NULL);
    g_autofree char *link = g_build_filename(directory, "link", NULL);
    g_autofree char *line = g_strdup_printf("--web-dir %s/../", link);
    g_autofree char *through_link = g_strdup_printf("--web-dir %s", link);

    g_assert_cmpint(symlink(directory, link), ==, 0);
    g_autoptr(VcpConfig) config = must_parse(through_link);
    g_autoptr(VcpConfig) parent = must_parse(line);
    g_autofree char *expected = g_path_get_dirname(config->web_dir);
    g_assert_true(g_path_is_absolute(config->web_dir));
    g_assert_false(g_str_has_suffix(config->web_dir, "link"));
    g_assert_cmpstr(parent->web_dir, ==, expected);
    g_remove(link);
    g_rmdir(directory);
}

static const struct {
    const char *path;
    GTestFunc run;
} themes[] = {
    {"/config/derived", test_derived},
    {"/config/tls", test_tls},
    {"/config/lists", test_lists},
    {"/config/any-origin", test_any_origin},
    {"/config/resolver-uri", test_resolver_uri},
    {"/config/resolver-tls", test_resolver_tls},
    {"/config/log-level", test_log_level},
    {"/config/web-dir", test_web_dir},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(flags); i++) {
        g_autofree char *path = g_strdup_printf("/config/default/%s", flags[i].flag);
        g_autofree char *given = g_strdup_printf("/config/given/%s", flags[i].flag);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_default);
        g_test_add_data_func(given, GSIZE_TO_POINTER(i), test_given);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("/config/wrong/%s", wrong[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_wrong);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(themes); i++)
        g_test_add_func(themes[i].path, themes[i].run);
    return g_test_run();
}
