/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Who is trusted, and whom the headers of a trusted proxy name. */
#include "proxy/trust.h"

#include <string.h>

#include "common/error.h"

static const char *const balancers[] = {"192.0.2.0/24", "2001:db8:1::/48", "127.0.0.1", NULL};
static const char *const nobody[] = {NULL};
static const char *const local[] = {"unix", NULL};

static VcpTrust *
make(const char *const *texts)
{
    g_autoptr(GError) error = NULL;
    const char *wrong = NULL;
    VcpTrust *trust = vcp_trust_new(texts, &wrong, &error);

    g_assert_no_error(error);
    g_assert_null(wrong);
    return trust;
}

static void
test_peers(void)
{
    static const struct {
        const char *peer;
        gboolean by_balancers, by_local;
    } peers[] = {
        {"192.0.2.1:1234", TRUE, FALSE},       {"192.0.2.1", TRUE, FALSE},
        {"[::ffff:192.0.2.1]:1", TRUE, FALSE}, {"[2001:db8:1::5]:1234", TRUE, FALSE},
        {"127.0.0.1:1", TRUE, FALSE},          {"127.0.0.2:1", FALSE, FALSE},
        {"192.0.3.1:1234", FALSE, FALSE},      {"[2001:db8:2::5]:1234", FALSE, FALSE},
        {"[::1]:1234", FALSE, FALSE},          {"unix", FALSE, TRUE},
        {"unix:/run/client", FALSE, TRUE},     {"?", FALSE, FALSE},
    };
    VcpTrust *few = make(balancers), *none = make(nobody), *sockets = make(local);

    for (gsize i = 0; i < G_N_ELEMENTS(peers); i++) {
        g_test_message("%s", peers[i].peer);
        g_assert_true(vcp_trust_has(few, peers[i].peer) == peers[i].by_balancers);
        g_assert_true(vcp_trust_has(sockets, peers[i].peer) == peers[i].by_local);
        g_assert_false(vcp_trust_has(none, peers[i].peer));
    }
    g_assert_true(vcp_trust_has_anybody(few));
    g_assert_true(vcp_trust_has_anybody(sockets));
    g_assert_false(vcp_trust_has_anybody(none));
    vcp_trust_free(few);
    vcp_trust_free(none);
    vcp_trust_free(sockets);
}

static void
test_wrong(void)
{
    const char *texts[] = {"192.0.2.0/24", "balancer.example", NULL};
    g_autoptr(GError) error = NULL;
    const char *wrong = NULL;

    g_assert_null(vcp_trust_new(texts, &wrong, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_cmpstr(wrong, ==, "balancer.example");
}

/* client NULL: refused; "" : the peer's own. */
static const struct {
    const char *name;
    const char *header;
    const char *client;
} rows[] = {
    {"absent", NULL, ""},
    {"one", "203.0.113.7", "203.0.113.7"},
    {"spaces", " \t203.0.113.7 ", "203.0.113.7"},
    {"port", "203.0.113.7:1234", "203.0.113.7:1234"},
    {"v6", "2001:db8::7", "[2001:db8::7]"},
    {"v6-brackets", "[2001:db8::7]", "[2001:db8::7]"},
    {"v6-port", "[2001:db8::7]:1234", "[2001:db8::7]:1234"},
    {"v6-mapped", "::ffff:203.0.113.7", "203.0.113.7"},
    {"rightmost", "198.51.100.1, 203.0.113.7", "203.0.113.7"},
    {"behind-trusted", "198.51.100.1, 203.0.113.7, 192.0.2.9", "203.0.113.7"},
    {"behind-two", "203.0.113.7,2001:db8:1::1,192.0.2.9", "203.0.113.7"},
    {"behind-trusted-with-port", "203.0.113.7, 192.0.2.9:80", "203.0.113.7"},
    {"spoofed", "127.0.0.1, 192.0.2.1, 203.0.113.7", "203.0.113.7"},
    {"spoofed-garbage", "what, ever:, \"x\", 203.0.113.7", "203.0.113.7"},
    {"spoofed-empty", ",,203.0.113.7", "203.0.113.7"},
    {"all-trusted", "192.0.2.1, 192.0.2.2", "192.0.2.1"},
    {"one-trusted", "127.0.0.1", "127.0.0.1"},
    {"two-lines", "127.0.0.1,198.51.100.1,203.0.113.7", "203.0.113.7"},
    {"empty", "", NULL},
    {"comma", ",", NULL},
    {"comma-behind", "203.0.113.7,", NULL},
    {"empty-amid-trusted", "203.0.113.7,,192.0.2.1", NULL},
    {"unknown", "unknown", NULL},
    {"hidden", "203.0.113.7, _hidden", NULL},
    {"name", "localhost", NULL},
    {"name-port", "localhost:80", NULL},
    {"garbage-behind-trusted", "203.0.113.7, x, 192.0.2.1", NULL},
    {"too-great", "203.0.113.256", NULL},
    {"port-too-great", "203.0.113.7:65536", NULL},
    {"port-0", "203.0.113.7:0", NULL},
    {"port-empty", "203.0.113.7:", NULL},
    {"zone", "fe80::1%eth0", NULL},
    {"zone-brackets", "[fe80::1%eth0]", NULL},
    {"v4-brackets", "[203.0.113.7]", NULL},
    {"v6-open", "[2001:db8::7", NULL},
    {"quoted", "\"203.0.113.7\"", NULL},
    {"forwarded", "for=203.0.113.7", NULL},
    {"two-words", "203.0.113.7 203.0.113.8", NULL},
    {"line-break", "203.0.113.7\nsession", NULL},
};

static void
test_client(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    VcpTrust *trust = make(balancers);
    g_autoptr(GError) error = NULL;
    g_autofree char *client = NULL;

    gboolean valid = vcp_trust_client(trust, rows[i].header, &client, &error);
    g_assert_true(valid == (rows[i].client != NULL));
    if (!valid) {
        g_assert_error(error, VC_ERROR, VC_ERROR_BAD_REQUEST);
        g_assert_null(client);
    } else {
        g_assert_cmpstr(client != NULL ? client : "", ==, rows[i].client);
    }
    vcp_trust_free(trust);
}

static void
test_scheme(void)
{
    static const struct {
        const char *header;
        gboolean valid, is_tls; /* is_tls: where otherwise says so */
    } schemes[] = {
        {NULL, TRUE, TRUE},       {"https", TRUE, TRUE},         {"HTTPS", TRUE, TRUE},
        {"http", TRUE, FALSE},    {"Http", TRUE, FALSE},         {"", FALSE, FALSE},
        {"wss", FALSE, FALSE},    {"https, http", FALSE, FALSE}, {"httpsx", FALSE, FALSE},
        {" https", FALSE, FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(schemes); i++) {
        g_autoptr(GError) error = NULL;
        gboolean is_tls = FALSE;
        gboolean valid = vcp_trust_scheme(schemes[i].header, TRUE, &is_tls, &error);
        g_assert_true(valid == schemes[i].valid);
        if (valid)
            g_assert_true(is_tls == schemes[i].is_tls);
        else
            g_assert_error(error, VC_ERROR, VC_ERROR_BAD_REQUEST);
    }
    gboolean is_tls = TRUE;
    g_assert_true(vcp_trust_scheme(NULL, FALSE, &is_tls, NULL));
    g_assert_false(is_tls);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trust/peers", test_peers);
    g_test_add_func("/trust/wrong", test_wrong);
    g_test_add_func("/trust/scheme", test_scheme);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/trust/client/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_client);
    }
    return g_test_run();
}
