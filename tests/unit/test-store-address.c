/* SPDX-License-Identifier: LGPL-2.1-or-later
 * URIs of stores, right ones and wrong ones. */
#include "proxy/store-address.h"

#include <string.h>

#include "common/error.h"

static const struct {
    const char *uri;
    const char *host, *path, *user, *password;
    guint port, database;
    gboolean tls, is_local;
    const char *text;
} rows[] = {
    {"rediss://store.example", "store.example", NULL, NULL, NULL, 6379, 0, TRUE, FALSE,
     "rediss://store.example:6379/0"},
    {"rediss://u:p@store.example:7000/3", "store.example", NULL, "u", "p", 7000, 3, TRUE, FALSE,
     "rediss://store.example:7000/3"},
    {"rediss://:p%40ss@store.example/", "store.example", NULL, NULL, "p@ss", 6379, 0, TRUE,
     FALSE, "rediss://store.example:6379/0"},
    {"redis://127.0.0.1:7000", "127.0.0.1", NULL, NULL, NULL, 7000, 0, FALSE, TRUE,
     "redis://127.0.0.1:7000/0"},
    {"redis://127.8.9.1", "127.8.9.1", NULL, NULL, NULL, 6379, 0, FALSE, TRUE,
     "redis://127.8.9.1:6379/0"},
    {"redis://[::1]:7000/12", "::1", NULL, NULL, NULL, 7000, 12, FALSE, TRUE,
     "redis://[::1]:7000/12"},
    {"redis://localhost", "localhost", NULL, NULL, NULL, 6379, 0, FALSE, TRUE,
     "redis://localhost:6379/0"},
    {"redis://192.0.2.1", "192.0.2.1", NULL, NULL, NULL, 6379, 0, FALSE, FALSE,
     "redis://192.0.2.1:6379/0"},
    {"redis://[2001:db8::1]", "2001:db8::1", NULL, NULL, NULL, 6379, 0, FALSE, FALSE,
     "redis://[2001:db8::1]:6379/0"},
    {"redis://127.0.0.1.example", "127.0.0.1.example", NULL, NULL, NULL, 6379, 0, FALSE, FALSE,
     "redis://127.0.0.1.example:6379/0"},
    {"redis+unix:///run/redis/redis.sock", NULL, "/run/redis/redis.sock", NULL, NULL, 0, 0,
     FALSE, TRUE, "redis+unix:///run/redis/redis.sock"},
};

static void
test_rows(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(VcpStoreAddress) address = vcp_store_address_parse(rows[i].uri, &error);

        g_test_message("%s", rows[i].uri);
        g_assert_no_error(error);
        g_assert_cmpstr(address->host, ==, rows[i].host);
        g_assert_cmpstr(address->path, ==, rows[i].path);
        g_assert_cmpstr(address->user, ==, rows[i].user);
        g_assert_cmpstr(address->password, ==, rows[i].password);
        g_assert_cmpuint(address->port, ==, rows[i].port);
        g_assert_cmpuint(address->database, ==, rows[i].database);
        g_assert_cmpint(address->tls, ==, rows[i].tls);
        g_assert_cmpint(vcp_store_address_is_local(address), ==, rows[i].is_local);
        g_autofree char *text = vcp_store_address_text(address);
        g_assert_cmpstr(text, ==, rows[i].text);
    }
}

static void
test_wrong(void)
{
    static const char *const uris[] = {
        "",
        "CANARY",
        "rediss:",
        "rediss://",
        "rediss://u:CANARY@",
        "rediss://u:CANARY@:6379",
        "http://u:CANARY@host",
        "rediss://u:CANARY@host:0",
        "rediss://u:CANARY@host:65536",
        "rediss://u:CANARY@host:port",
        "rediss://u:CANARY@host/x",
        "rediss://u:CANARY@host/1024",
        "rediss://u:CANARY@host/-1",
        "rediss://u:CANARY@host/1/2",
        "rediss://u:CANARY@host?db=1",
        "rediss://u:CANARY@host#1",
        "rediss://u:CANARY@ho st",
        "redis+unix://",
        "redis+unix://CANARY",
        "redis+unix://host/CANARY",
        "redis+unix:CANARY",
        "redis+unix:///"
        "CANARY00000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000000000000000000",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) error = NULL;

        g_test_message("%s", uris[i]);
        g_assert_null(vcp_store_address_parse(uris[i], &error));
        g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
        g_assert_null(strstr(error->message, "CANARY"));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store-address/rows", test_rows);
    g_test_add_func("/store-address/wrong", test_wrong);
    return g_test_run();
}
