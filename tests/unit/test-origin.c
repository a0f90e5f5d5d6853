/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Origins that are the same, and what only looks like one. */
#include "proxy/origin.h"

#define LABEL_50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* normal NULL: not an origin. */
static const struct {
    const char *name;
    const char *text;
    const char *normal;
} rows[] = {
    {"https", "https://host.example", "https://host.example:443"},
    {"http", "http://host.example", "http://host.example:80"},
    {"port", "https://host.example:8443", "https://host.example:8443"},
    {"default-port", "https://host.example:443", "https://host.example:443"},
    {"other-default-port", "http://host.example:443", "http://host.example:443"},
    {"capitals", "HTTPS://Host.EXAMPLE", "https://host.example:443"},
    {"leading-zeros", "https://host.example:00443", "https://host.example:443"},
    {"v4", "https://192.0.2.1", "https://192.0.2.1:443"},
    {"v6", "https://[2001:DB8::1]", "https://[2001:db8::1]:443"},
    {"v6-with-port", "https://[::1]:8443", "https://[::1]:8443"},
    {"signs", "https://a-b_c.example", "https://a-b_c.example:443"},
    {"highest-port", "https://host.example:65535", "https://host.example:65535"},

    {"empty", "", NULL},
    {"null", "null", NULL},
    {"host-only", "host.example", NULL},
    {"no-scheme", "://host.example", NULL},
    {"no-host", "https://", NULL},
    {"no-host-but-port", "https://:443", NULL},
    {"other-scheme", "ftp://host.example", NULL},
    {"file", "file://", NULL},
    {"extension", "chrome-extension://abcdefgh", NULL},
    {"websocket-scheme", "wss://host.example", NULL},
    {"scheme-with-tail", "httpss://host.example", NULL},
    {"one-slash", "https:/host.example", NULL},
    {"three-slashes", "https:///host.example", NULL},
    {"slash", "https://host.example/", NULL},
    {"path", "https://host.example/path", NULL},
    {"query", "https://host.example?x", NULL},
    {"fragment", "https://host.example#x", NULL},
    {"user", "https://user@host.example", NULL},
    {"user-and-password", "https://host.example:443@evil.example", NULL},
    {"empty-port", "https://host.example:", NULL},
    {"port-zero", "https://host.example:0", NULL},
    {"port-too-great", "https://host.example:65536", NULL},
    {"port-overflows", "https://host.example:18446744073709552059", NULL},
    {"port-negative", "https://host.example:-443", NULL},
    {"port-signed", "https://host.example:+443", NULL},
    {"port-with-tail", "https://host.example:443x", NULL},
    {"two-ports", "https://host.example:443:443", NULL},
    {"two-origins", "https://host.example https://evil.example", NULL},
    {"two-with-comma", "https://host.example,https://evil.example", NULL},
    {"space-before", " https://host.example", NULL},
    {"space-behind", "https://host.example ", NULL},
    {"line-break", "https://host.example\r\n", NULL},
    {"wildcard", "https://*.example", NULL},
    {"percent", "https://host%2eexample", NULL},
    {"backslash", "https:\\\\host.example", NULL},
    {"not-ascii", "https://h\xc3\xb6st.example", NULL},
    {"look-alike-letter", "https://h\xd0\xbest.example", NULL},
    {"v6-bare", "https://2001:db8::1", NULL},
    {"v6-open", "https://[::1", NULL},
    {"v6-closed", "https://::1]", NULL},
    {"v6-empty", "https://[]", NULL},
    {"v6-with-tail", "https://[::1]evil.example", NULL},
    {"v6-with-zone", "https://[fe80::1%25eth0]", NULL},
    {"v6-two-brackets", "https://[[::1]]", NULL},
    {"brackets-inside", "https://host[::1]", NULL},
};

static void
test_normalise(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autofree char *normal = vcp_origin_normalise(rows[i].text);

    g_assert_cmpstr(normal, ==, rows[i].normal);
    if (normal == NULL)
        return;
    g_autofree char *again = vcp_origin_normalise(normal);
    g_assert_cmpstr(again, ==, normal);
}

/* A list of allowed origins is compared with whatever comes: no two of these may become one. */
static void
test_look_alikes(void)
{
    static const char *const origins[] = {
        "https://host.example",
        "http://host.example",
        "https://host.example:8443",
        "https://host.example.",
        "https://host.example.evil.example",
        "https://evilhost.example",
        "https://host-example",
        "https://www.host.example",
        "https://host.exampl",
        "https://[::1]",
        "https://[0:0:0:0:0:0:0:1]",
        "https://127.0.0.1",
        "https://" LABEL_50 LABEL_50 LABEL_50 LABEL_50 LABEL_50 LABEL_50,
    };
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(origins); i++) {
        char *normal = vcp_origin_normalise(origins[i]);
        g_assert_nonnull(normal);
        g_assert_true(g_hash_table_add(seen, normal));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/origin/normalise/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_normalise);
    }
    g_test_add_func("/origin/look-alikes", test_look_alikes);
    return g_test_run();
}
