/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Networks that are read, what lies in them, and what kind an address is of. */
#include "common/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/error.h"

static VcIp
ip_of(const char *text)
{
    VcIp ip;

    g_assert_true(vc_ip_parse(text, &ip));
    return ip;
}

/* why: part of the message; NULL: it is one, and has inside but not outside. */
static const struct {
    const char *name;
    const char *text;
    const char *why;
    const char *inside[4];
    const char *outside[6];
} rows[] = {
    {"v4",
     "192.0.2.0/24",
     NULL,
     {"192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7", "::ffff:c000:201"},
     {"192.0.3.0", "192.0.1.255", "::c000:201", "c000:200::", "::", "2001:db8::192.0.2.1"}},
    {"v4-address",
     "192.0.2.1",
     NULL,
     {"192.0.2.1", "::ffff:192.0.2.1"},
     {"192.0.2.0", "192.0.2.2", "::192.0.2.1"}},
    {"v4-32", "192.0.2.1/32", NULL, {"192.0.2.1"}, {"192.0.2.0", "192.0.2.2"}},
    {"v4-31", "192.0.2.2/31", NULL, {"192.0.2.2", "192.0.2.3"}, {"192.0.2.1", "192.0.2.4"}},
    {"v4-9",
     "10.128.0.0/9",
     NULL,
     {"10.128.0.1", "10.255.255.255"},
     {"10.127.255.255", "11.128.0.0"}},
    {"v4-1",
     "128.0.0.0/1",
     NULL,
     {"128.0.0.0", "255.255.255.255"},
     {"127.255.255.255", "8000::"}},
    {"v4-all", "0.0.0.0/0", NULL, {"0.0.0.0", "255.255.255.255"}, {"::", "::1", "2001:db8::1"}},
    {"v6",
     "2001:db8::/32",
     NULL,
     {"2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:DB8::1"},
     {"2001:db9::", "2001:db7:ffff::", "32.1.13.184"}},
    {"v6-address",
     "::1",
     NULL,
     {"::1", "0:0:0:0:0:0:0:1"},
     {"::", "::2", "127.0.0.1", "0.0.0.1"}},
    {"v6-61",
     "2001:db8:0:8::/61",
     NULL,
     {"2001:db8:0:8::", "2001:db8:0:f:ffff::"},
     {"2001:db8:0:7::", "2001:db8:0:10::"}},
    {"v6-all", "::/0", NULL, {"::", "2001:db8::1", "::1"}, {"192.0.2.1", "::ffff:192.0.2.1"}},
    {"v6-mapped", "::ffff:192.0.2.0/120", NULL, {"192.0.2.5"}, {"192.0.3.5", "::192.0.2.5"}},
    {"v6-mapped-all", "::ffff:0:0/96", NULL, {"192.0.2.5", "0.0.0.0"}, {"::", "::fffe:0:0"}},
    {"v6-almost-mapped", "::/80", NULL, {"::1"}, {"192.0.2.5"}},

    {"empty", "", "IP address", {0}, {0}},
    {"name", "host.example", "IP address", {0}, {0}},
    {"slash", "/24", "IP address", {0}, {0}},
    {"short", "192.0.2/24", "IP address", {0}, {0}},
    {"too-great", "192.0.2.256", "IP address", {0}, {0}},
    {"leading-zero", "192.0.02.1", "IP address", {0}, {0}},
    {"port", "192.0.2.1:80", "IP address", {0}, {0}},
    {"brackets", "[2001:db8::]/32", "IP address", {0}, {0}},
    {"zone", "fe80::1%eth0", "IP address", {0}, {0}},
    {"space", " 192.0.2.1", "IP address", {0}, {0}},
    {"no-bits", "192.0.2.0/", "bits behind its slash", {0}, {0}},
    {"v4-33", "192.0.2.0/33", "bits behind its slash", {0}, {0}},
    {"v6-129", "2001:db8::/129", "bits behind its slash", {0}, {0}},
    {"negative", "192.0.2.0/-1", "bits behind its slash", {0}, {0}},
    {"mask", "192.0.2.0/255.255.255.0", "bits behind its slash", {0}, {0}},
    {"two-slashes", "192.0.2.0/24/8", "bits behind its slash", {0}, {0}},
    {"v4-host-bits", "192.0.2.1/24", "bits set", {0}, {0}},
    {"v4-host-bits-all", "0.0.0.1/0", "bits set", {0}, {0}},
    {"v6-host-bits", "2001:db8::1/32", "bits set", {0}, {0}},
    {"v6-host-bit-61", "2001:db8:0:9::/61", "bits set", {0}, {0}},
};

static void
test_network(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    VcNetwork network;

    gboolean valid = vc_network_parse(rows[i].text, &network, &error);
    g_assert_true(valid == (rows[i].why == NULL));
    if (!valid) {
        g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
        g_assert_nonnull(strstr(error->message, rows[i].why));
        return;
    }
    for (gsize k = 0; k < G_N_ELEMENTS(rows[i].inside) && rows[i].inside[k] != NULL; k++) {
        VcIp ip = ip_of(rows[i].inside[k]);
        g_test_message("%s inside", rows[i].inside[k]);
        g_assert_true(vc_network_has(&network, &ip));
    }
    for (gsize k = 0; k < G_N_ELEMENTS(rows[i].outside) && rows[i].outside[k] != NULL; k++) {
        VcIp ip = ip_of(rows[i].outside[k]);
        g_test_message("%s outside", rows[i].outside[k]);
        g_assert_false(vc_network_has(&network, &ip));
    }
}

static void
test_kinds(void)
{
    static const struct {
        const char *text;
        gboolean v4, loopback, link_local, unspecified;
    } kinds[] = {
        {"127.0.0.1", TRUE, TRUE, FALSE, FALSE},
        {"127.255.255.254", TRUE, TRUE, FALSE, FALSE},
        {"::ffff:127.0.0.1", TRUE, TRUE, FALSE, FALSE},
        {"::1", FALSE, TRUE, FALSE, FALSE},
        {"169.254.169.254", TRUE, FALSE, TRUE, FALSE},
        {"::ffff:a9fe:a9fe", TRUE, FALSE, TRUE, FALSE},
        {"fe80::1", FALSE, FALSE, TRUE, FALSE},
        {"fe80::1%eth0", FALSE, FALSE, TRUE, FALSE},
        {"febf::1", FALSE, FALSE, TRUE, FALSE},
        {"fec0::1", FALSE, FALSE, FALSE, FALSE},
        {"0.0.0.0", TRUE, FALSE, FALSE, TRUE},
        {"0.1.2.3", TRUE, FALSE, FALSE, TRUE},
        {"::ffff:0.0.0.0", TRUE, FALSE, FALSE, TRUE},
        {"::", FALSE, FALSE, FALSE, TRUE},
        {"169.253.0.1", TRUE, FALSE, FALSE, FALSE},
        {"128.0.0.1", TRUE, FALSE, FALSE, FALSE},
        {"2001:db8::1", FALSE, FALSE, FALSE, FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        VcIp ip = ip_of(kinds[i].text);
        g_test_message("%s", kinds[i].text);
        g_assert_true(vc_ip_is_v4(&ip) == kinds[i].v4);
        g_assert_true(vc_ip_is_loopback(&ip) == kinds[i].loopback);
        g_assert_true(vc_ip_is_link_local(&ip) == kinds[i].link_local);
        g_assert_true(vc_ip_is_unspecified(&ip) == kinds[i].unspecified);
    }
}

static void
test_peers(void)
{
    static const struct {
        const char *peer;
        const char *again; /* with port 7; NULL: it has no address */
    } peers[] = {
        {"192.0.2.1:80", "192.0.2.1:7"},
        {"192.0.2.1", "192.0.2.1:7"},
        {"[2001:db8::1]:80", "[2001:db8::1]:7"},
        {"[2001:db8::1]", "[2001:db8::1]:7"},
        {"[::ffff:192.0.2.1]:80", "192.0.2.1:7"},
        {"unix", NULL},
        {"unix:/run/127.0.0.1", NULL},
        {"?", NULL},
        {"", NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(peers); i++) {
        VcIp ip;
        g_test_message("%s", peers[i].peer);
        gboolean valid = vc_ip_of_peer(peers[i].peer, &ip);
        g_autofree char *again = valid ? vc_ip_to_peer(&ip, 7) : NULL;
        g_assert_cmpstr(again, ==, peers[i].again);
    }
    VcIp v4 = ip_of("192.0.2.1"), v6 = ip_of("2001:db8::1");
    g_autofree char *v4_alone = vc_ip_to_peer(&v4, 0);
    g_autofree char *v6_alone = vc_ip_to_peer(&v6, 0);
    g_assert_cmpstr(v4_alone, ==, "192.0.2.1");
    g_assert_cmpstr(v6_alone, ==, "[2001:db8::1]");
}

static void
test_sockaddr(void)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(5900)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(5901)};
    struct sockaddr other = {.sa_family = AF_UNIX};
    VcIp ip, expected = ip_of("192.0.2.1");
    guint16 port = 0;

    g_assert_cmpint(inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr), ==, 1);
    g_assert_true(vc_ip_from_sockaddr((struct sockaddr *)&v4, &ip, &port));
    g_assert_true(vc_ip_is_equal(&ip, &expected));
    g_assert_cmpuint(port, ==, 5900);
    g_assert_cmpint(inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr), ==, 1);
    g_assert_true(vc_ip_from_sockaddr((struct sockaddr *)&v6, &ip, &port));
    g_assert_true(vc_ip_is_equal(&ip, &expected));
    g_assert_cmpuint(port, ==, 5901);
    g_assert_false(vc_ip_from_sockaddr(&other, &ip, &port));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/network/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_network);
    }
    g_test_add_func("/network/kinds", test_kinds);
    g_test_add_func("/network/peers", test_peers);
    g_test_add_func("/network/sockaddr", test_sockaddr);
    return g_test_run();
}
