/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Addresses that are split, and those that are refused. */
#include "common/address.h"

#include <string.h>

#include "common/error.h"

#define LABEL_50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_253 LABEL_50 LABEL_50 LABEL_50 LABEL_50 LABEL_50 "bcd"

/* host NULL: refused. */
static const struct {
    const char *name;
    const char *text;
    const char *host;
    guint16 port;
} rows[] = {
    {"name", "hypervisor.example:5900", "hypervisor.example", 5900},
    {"name-with-all-signs", "Hyper-visor_1.example.:1", "Hyper-visor_1.example.", 1},
    {"longest-name", NAME_253 ":5900", NAME_253, 5900},
    {"v4", "192.0.2.1:65535", "192.0.2.1", 65535},
    {"v6", "[2001:db8::1]:5900", "2001:db8::1", 5900},
    {"v6-shortest", "[::]:5900", "::", 5900},
    {"v6-with-v4", "[::ffff:192.0.2.1]:5900", "::ffff:192.0.2.1", 5900},
    {"v6-with-zone", "[fe80::1%eth0.5]:5900", "fe80::1%eth0.5", 5900},

    {"empty", "", NULL, 0},
    {"no-port", "hypervisor.example", NULL, 0},
    {"empty-port", "hypervisor.example:", NULL, 0},
    {"port-zero", "hypervisor.example:0", NULL, 0},
    {"port-too-great", "hypervisor.example:65536", NULL, 0},
    {"port-overflows", "hypervisor.example:18446744073709551617", NULL, 0},
    {"port-negative", "hypervisor.example:-1", NULL, 0},
    {"port-signed", "hypervisor.example:+1", NULL, 0},
    {"port-with-space", "hypervisor.example: 1", NULL, 0},
    {"port-hexadecimal", "hypervisor.example:0x10", NULL, 0},
    {"port-with-tail", "hypervisor.example:5900/", NULL, 0},
    {"port-name", "hypervisor.example:http", NULL, 0},
    {"no-host", ":5900", NULL, 0},
    {"name-too-long", NAME_253 "e:5900", NULL, 0},
    {"name-with-space", "hypervisor example:5900", NULL, 0},
    {"name-with-line-break", "hypervisor\n.example:5900", NULL, 0},
    {"name-with-control", "hypervisor\x1b.example:5900", NULL, 0},
    {"name-not-ascii", "hyp\xc3\xa9rviseur.example:5900", NULL, 0},
    {"user", "user@hypervisor.example:5900", NULL, 0},
    {"uri", "vnc://hypervisor.example:5900", NULL, 0},
    {"path", "unix:/run/vnc.sock", NULL, 0},
    {"v4-with-zone", "192.0.2.1%eth0:5900", NULL, 0},
    {"v6-bare", "2001:db8::1:5900", NULL, 0},
    {"v6-without-port", "[2001:db8::1]", NULL, 0},
    {"v6-open", "[2001:db8::1:5900", NULL, 0},
    {"v6-closed", "2001:db8::1]:5900", NULL, 0},
    {"v6-with-tail", "[2001:db8::1]x:5900", NULL, 0},
    {"v6-too-long", "[1:2:3:4:5:6:7:8:9]:5900", NULL, 0},
    {"v6-not-hexadecimal", "[::g]:5900", NULL, 0},
    {"zone-empty", "[fe80::1%]:5900", NULL, 0},
    {"zone-too-long", "[fe80::1%abcdefghijklmnop]:5900", NULL, 0},
    {"zone-with-line-break", "[fe80::1%eth0\nsession 7 ended]:5900", NULL, 0},
    {"zone-with-path", "[fe80::1%../eth0]:5900", NULL, 0},
    {"brackets-empty", "[]:5900", NULL, 0},
    {"brackets-around-name", "[hypervisor.example]:5900", NULL, 0},
    {"brackets-around-v4", "[192.0.2.1]:5900", NULL, 0},
};

static void
test_split(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autofree char *host = NULL;
    g_autoptr(GError) error = NULL;
    guint16 port = 0;

    gboolean valid = vc_address_split(rows[i].text, &host, &port, &error);
    g_assert_cmpstr(host, ==, rows[i].host);
    g_assert_cmpuint(port, ==, rows[i].port);
    g_assert_true(valid == (rows[i].host != NULL));
    if (valid) {
        g_assert_no_error(error);
        g_assert_true(vc_address_is_host(host));
        return;
    }
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_true(rows[i].text[0] == '\0' || strstr(error->message, rows[i].text) == NULL);
}

static const struct {
    const char *host;
    gboolean is_literal;
    gboolean is_host;
} hosts[] = {
    {"192.0.2.1", TRUE, TRUE},    {"::1", TRUE, TRUE},
    {"fe80::1%lo", TRUE, TRUE},   {"::ffff:192.0.2.1", TRUE, TRUE},
    {"localhost", FALSE, TRUE},   {"192.0.2", FALSE, TRUE},
    {"192.0.2.256", FALSE, TRUE}, {NAME_253, FALSE, TRUE},
    {"", FALSE, FALSE},           {"[::1]", FALSE, FALSE},
    {"%", FALSE, FALSE},          {"192.0.2.1%lo", FALSE, FALSE},
    {"fe80::1%", FALSE, FALSE},   {"fe80::1%a%b", FALSE, FALSE},
    {"a b", FALSE, FALSE},        {NAME_253 "e", FALSE, FALSE},
    {"*.example", FALSE, FALSE},  {"a\nb", FALSE, FALSE},
};

static void
test_hosts(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_test_message("host \"%s\"", hosts[i].host);
        g_assert_true(vc_address_is_literal(hosts[i].host) == hosts[i].is_literal);
        g_assert_true(vc_address_is_host(hosts[i].host) == hosts[i].is_host);
    }
}

static void
test_without_port(void)
{
    static const struct {
        const char *peer, *host;
    } peers[] = {
        {"192.0.2.1:1234", "192.0.2.1"}, {"[2001:db8::1]:1", "[2001:db8::1]"},
        {"192.0.2.1", "192.0.2.1"},      {"[2001:db8::1]", "[2001:db8::1]"},
        {"unix:/run/proxy", NULL},       {"unix", NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(peers); i++) {
        g_autofree char *host = vc_address_without_port(peers[i].peer);
        g_assert_cmpstr(host, ==, peers[i].host);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/address/split/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_split);
    }
    g_test_add_func("/address/hosts", test_hosts);
    g_test_add_func("/address/without-port", test_without_port);
    return g_test_run();
}
