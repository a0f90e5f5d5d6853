/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The command line of virtconsoleresolverd: every default, and what each flag refuses. */
#include "resolver/config.h"

#include <string.h>

#include "common/error.h"

static VcrConfig *
parse(const char *line, GError **error)
{
    g_autofree char *whole = g_strconcat("virtconsoleresolverd ", line, NULL);
    g_auto(GStrv) arguments = NULL;
    int n;

    g_assert_true(g_shell_parse_argv(whole, &n, &arguments, NULL));
    return vcr_config_parse(n, arguments, error);
}

static VcrConfig *
must_parse(const char *line)
{
    g_autoptr(GError) error = NULL;
    VcrConfig *config = parse(line, &error);

    g_assert_no_error(error);
    g_assert_nonnull(config);
    return config;
}

/* --- every flag: its default, and a value of one's own --- */

typedef enum { BOOLEAN, TEXT, LIST } Kind;

#define PKI       "/etc/pki/libvirt-console-proxy/"
#define AT(field) G_STRUCT_OFFSET(VcrConfig, field)

static const struct {
    const char *flag;
    Kind kind;
    gsize offset;
    const char *expected;
    const char *other; /* a value that is taken as it is */
} flags[] = {
    {"listen-addr", LIST, AT(listen_addr), "[::]:8081", "unix:/run/x"},
    {"listen-insecure", BOOLEAN, AT(listen_insecure), "0", NULL},
    {"listen-tls-cert", TEXT, AT(listen_tls_cert), PKI "server-cert.pem", "x"},
    {"listen-tls-key", TEXT, AT(listen_tls_key), PKI "server-key.pem", "x"},
    {"listen-tls-ca", TEXT, AT(listen_tls_ca), PKI "server-ca.pem", "x"},
    {"listen-tls-crl", TEXT, AT(listen_tls_crl), NULL, "x"},
    {"listen-no-verify-client", BOOLEAN, AT(listen_no_verify_client), "0", NULL},
    {"allowed-client", LIST, AT(allowed_client), "", "CN=proxy,O=lab"},
    {"connect", LIST, AT(connect), "qemu:///system", "qemu+tls://hv1/system?pkipath=/x"},
    {"domain-address", LIST, AT(domain_address), "", "qemu:///system=192.0.2.1"},
    {"verbose", BOOLEAN, AT(common.verbose), "0", NULL},
    {"log-level", TEXT, AT(common.log_level), "message", "debug"},
    {"config", TEXT, AT(common.config), NULL, "/dev/null"},
    {"check-config", BOOLEAN, AT(common.check_config), "0", NULL},
    {"version", BOOLEAN, AT(common.version), "0", NULL},
};

static char *
show(const VcrConfig *config, gsize i)
{
    gconstpointer field = G_STRUCT_MEMBER_P(config, flags[i].offset);

    switch (flags[i].kind) {
    case BOOLEAN:
        return g_strdup_printf("%d", *(const gboolean *)field);
    case LIST:
        return g_strjoinv("+", *(char **const *)field);
    case TEXT:
        return g_strdup(*(const char *const *)field);
    }
    g_assert_not_reached();
}

static void
test_default(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(VcrConfig) config = must_parse("");
    g_autofree char *shown = show(config, i);

    g_assert_cmpstr(shown, ==, flags[i].expected);
}

static void
test_given(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autofree char *line = flags[i].kind == BOOLEAN
                                ? g_strdup_printf("--%s", flags[i].flag)
                                : g_strdup_printf("--%s '%s'", flags[i].flag, flags[i].other);
    g_autoptr(VcrConfig) config = must_parse(line);
    g_autofree char *shown = show(config, i);

    g_assert_cmpstr(shown, ==, flags[i].kind == BOOLEAN ? "1" : flags[i].other);
}

/* --- refusals --- */

static const struct {
    const char *name;
    const char *line;
    const char *flag;
    const char *value; /* nullable; in the message as well */
} wrong[] = {
    {"unknown", "--listen-address x", "--listen-address", NULL},
    {"argument", "qemu:///system", "qemu:///system", NULL},
    {"insecure-no", "--listen-insecure=no", "--listen-insecure", NULL},
    {"no-verify-no", "--listen-no-verify-client=no", "--listen-no-verify-client", NULL},
    {"listen-addr-no-value", "--listen-addr", "--listen-addr", NULL},

    {"connect-empty", "--connect ''", "--connect", NULL},
    {"connect-empty-second", "--connect a:///b --connect ''", "--connect", NULL},
    {"connect-twice", "--connect a:///b --connect c:///d --connect a:///b", "--connect",
     "a:///b"},

    {"address-no-equals", "--domain-address qemu:///system", "--domain-address",
     "qemu:///system"},
    {"address-empty", "--domain-address ''", "--domain-address", NULL},
    {"address-no-uri", "--domain-address =hv1", "--domain-address", "=hv1"},
    {"address-no-host", "--domain-address qemu:///system=", "--domain-address", NULL},
    {"address-other-uri", "--connect a:///b --domain-address qemu:///system=hv1",
     "--domain-address", "no --connect"},
    {"address-uri-without-query", "--connect 'a:///b?c=d' --domain-address a:///b=hv1",
     "--domain-address", "no --connect"},
    {"address-with-port", "--domain-address qemu:///system=hv1:5900", "--domain-address",
     "port"},
    {"address-brackets", "--domain-address 'qemu:///system=[::1]'", "--domain-address",
     "brackets"},
    {"address-space", "--domain-address 'qemu:///system=hv 1'", "--domain-address", NULL},
    {"address-twice", "--domain-address qemu:///system=hv1 --domain-address qemu:///system=hv2",
     "--domain-address", "already"},

    {"clients-and-clear-text", "--allowed-client CN=a --listen-insecure", "--allowed-client",
     "--listen-insecure"},
    {"clients-and-no-verify", "--listen-no-verify-client --allowed-client CN=a",
     "--allowed-client", "--listen-no-verify-client"},

    {"log-level", "--log-level loud", "--log-level", "loud"},
    {"log-level-empty", "--log-level ''", "--log-level", NULL},
};

static void
test_wrong(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcrConfig) config = parse(wrong[i].line, &error);

    g_assert_null(config);
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, wrong[i].flag));
    g_assert_true(wrong[i].value == NULL || strstr(error->message, wrong[i].value) != NULL);
    g_assert_null(strchr(error->message, '\n'));
}

/* --- themes --- */

static void
test_lists(void)
{
    g_autoptr(VcrConfig) config =
        must_parse("--connect a:///b --connect c:///d --listen-addr [::1]:1 "
                   "--listen-addr unix:/x --allowed-client CN=a --allowed-client b.example");

    g_assert_cmpuint(g_strv_length(config->connect), ==, 2);
    g_assert_cmpstr(config->connect[0], ==, "a:///b"); /* in place of the default */
    g_assert_cmpstr(config->connect[1], ==, "c:///d");
    g_assert_cmpuint(g_strv_length(config->listen_addr), ==, 2);
    g_assert_cmpstr(config->listen_addr[0], ==, "[::1]:1");
    g_assert_cmpstr(config->listen_addr[1], ==, "unix:/x");
    g_assert_cmpuint(g_strv_length(config->allowed_client), ==, 2);
    g_assert_cmpstr(config->allowed_client[1], ==, "b.example");
}

static const struct {
    const char *name;
    const char *line;
    const char *uri;
    const char *host; /* NULL: it has none */
} addresses[] = {
    {"none", "", "qemu:///system", NULL},
    {"name", "--domain-address qemu:///system=hv1.example", "qemu:///system", "hv1.example"},
    {"v4", "--domain-address qemu:///system=192.0.2.1", "qemu:///system", "192.0.2.1"},
    {"v6", "--domain-address qemu:///system=2001:db8::1", "qemu:///system", "2001:db8::1"},
    {"last-equals",
     "--connect 'qemu+unix:///system?socket=/run/a&mode=direct' "
     "--domain-address 'qemu+unix:///system?socket=/run/a&mode=direct=hv1'",
     "qemu+unix:///system?socket=/run/a&mode=direct", "hv1"},
    {"before-connect", "--domain-address a:///b=hv1 --connect a:///b", "a:///b", "hv1"},
    {"of-another", "--connect a:///b --connect c:///d --domain-address c:///d=hv1", "a:///b",
     NULL},
    {"each",
     "--connect a:///b --connect c:///d --domain-address c:///d=hv1 "
     "--domain-address a:///b=hv2",
     "a:///b", "hv2"},
};

static void
test_address(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(VcrConfig) config = must_parse(addresses[i].line);

    g_assert_cmpstr(g_hash_table_lookup(config->addresses, addresses[i].uri), ==,
                    addresses[i].host);
}

static const struct {
    const char *line;
    GLogLevelFlags shown;
} levels[] = {
    {"", G_LOG_LEVEL_MESSAGE},
    {"-v", G_LOG_LEVEL_INFO},
    {"--verbose", G_LOG_LEVEL_INFO},
    {"--log-level warning", G_LOG_LEVEL_WARNING},
    {"--log-level warning -v", G_LOG_LEVEL_INFO},
    {"--log-level debug -v", G_LOG_LEVEL_DEBUG},
};

static void
test_levels(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        g_autoptr(VcrConfig) config = must_parse(levels[i].line);
        g_assert_cmpint(config->common.shown, ==, levels[i].shown);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(flags); i++) {
        g_autofree char *path = g_strdup_printf("/resolver-config/default/%s", flags[i].flag);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_default);
        g_autofree char *given = g_strdup_printf("/resolver-config/given/%s", flags[i].flag);
        g_test_add_data_func(given, GSIZE_TO_POINTER(i), test_given);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("/resolver-config/wrong/%s", wrong[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_wrong);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(addresses); i++) {
        g_autofree char *path =
            g_strdup_printf("/resolver-config/address/%s", addresses[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_address);
    }
    g_test_add_func("/resolver-config/lists", test_lists);
    g_test_add_func("/resolver-config/levels", test_levels);
    return g_test_run();
}
