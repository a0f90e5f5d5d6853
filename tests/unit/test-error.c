/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The table of reasons against what the README promises, row by row. */
#include "common/error.h"

#include <string.h>

/* Written down a second time: the codes are an interface. */
static const struct {
    VcError code;
    const char *name;
    guint16 close_code;
    unsigned http_status;
} rows[] = {
    {VC_ERROR_ENDED, "ended", 1000, 200},
    {VC_ERROR_SHUTDOWN, "shutdown", 1001, 503},
    {VC_ERROR_CLIENT, "client", 1002, 400},
    {VC_ERROR_KILLED, "killed", 1008, 410},
    {VC_ERROR_TOKEN, "token", 4401, 404},
    {VC_ERROR_POLICY, "policy", 4403, 403},
    {VC_ERROR_REFUSED, "refused", 4404, 404},
    {VC_ERROR_IDLE, "idle", 4408, 408},
    {VC_ERROR_LIMIT, "limit", 4408, 408},
    {VC_ERROR_IN_USE, "in-use", 4409, 409},
    {VC_ERROR_MOVED, "moved", 4410, 410},
    {VC_ERROR_UNREACHABLE, "unreachable", 4502, 502},
    {VC_ERROR_CERTIFICATE, "certificate", 4502, 502},
    {VC_ERROR_AUTHENTICATION, "authentication", 4502, 502},
    {VC_ERROR_PROTOCOL, "protocol", 4502, 502},
    {VC_ERROR_RESOLVER, "resolver", 4503, 503},
    {VC_ERROR_TIMEOUT, "timeout", 4504, 504},
    {VC_ERROR_INTERNAL, "internal", 1011, 500},
    {VC_ERROR_BAD_REQUEST, "bad-request", 1011, 400},
    {VC_ERROR_NO_TOKEN, "no-token", 1011, 401},
    {VC_ERROR_ORIGIN, "origin", 1011, 403},
    {VC_ERROR_NOT_FOUND, "not-found", 1011, 404},
    {VC_ERROR_METHOD, "method", 1011, 405},
    {VC_ERROR_TOO_MANY, "too-many", 1011, 429},
    {VC_ERROR_GUESSES, "guesses", 1011, 429},
    {VC_ERROR_FULL, "full", 1011, 503},
    {VC_ERROR_CONFIG, "config", 1011, 500},
};

G_STATIC_ASSERT(G_N_ELEMENTS(rows) == VC_N_ERRORS);

/* What a user must not be told of the inside. */
static const char *const inside[] = {
    "address", "port", "qemu", "libvirt", "gnutls", "openssl",  "vencrypt", "rfb",
    "vnc",     "tcp",  "tls",  "socket",  "file",   "/",        "token",    "redis",
    "json",    "http", "--",   "errno",   "127.",   "resolver",
};

static void
test_codes(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    VcError code = rows[i].code;

    g_assert_cmpuint(code, ==, i);
    g_assert_cmpstr(vc_error_name(code), ==, rows[i].name);
    g_assert_cmpuint(vc_error_close_code(code), ==, rows[i].close_code);
    g_assert_cmpuint(vc_error_http_status(code), ==, rows[i].http_status);
}

/* A close frame takes 123 bytes; a person takes a sentence. */
static void
test_reason(gconstpointer data)
{
    VcError code = rows[GPOINTER_TO_SIZE(data)].code;
    const char *reason = vc_error_reason(code);

    g_assert_cmpuint(strlen(reason), >, 0);
    g_assert_cmpuint(strlen(reason), <=, 120);
    for (const char *at = reason; *at != '\0'; at++)
        g_assert_true(g_ascii_isprint(*at));
    g_assert_true(g_ascii_isupper(reason[0]));

    /* "The request carries no token" and its like go to whoever writes requests. */
    if (vc_error_close_code(code) == 1011)
        return;
    g_autofree char *lower = g_ascii_strdown(reason, -1);
    for (gsize i = 0; i < G_N_ELEMENTS(inside); i++)
        g_assert_null(strstr(lower, inside[i]));
}

/* A peer's bad bytes are no warning: anyone could fill the log. */
static void
test_levels(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        GLogLevelFlags level = vc_error_log_level(rows[i].code);
        g_assert_true(level == G_LOG_LEVEL_INFO || level == G_LOG_LEVEL_WARNING);
    }
    g_assert_cmpint(vc_error_log_level(VC_ERROR_ENDED), ==, G_LOG_LEVEL_INFO);
    g_assert_cmpint(vc_error_log_level(VC_ERROR_CLIENT), ==, G_LOG_LEVEL_INFO);
    g_assert_cmpint(vc_error_log_level(VC_ERROR_TOKEN), ==, G_LOG_LEVEL_INFO);
    g_assert_cmpint(vc_error_log_level(VC_ERROR_BAD_REQUEST), ==, G_LOG_LEVEL_INFO);
    g_assert_cmpint(vc_error_log_level(VC_ERROR_ORIGIN), ==, G_LOG_LEVEL_INFO);
    g_assert_cmpint(vc_error_log_level(VC_ERROR_CERTIFICATE), ==, G_LOG_LEVEL_WARNING);
    g_assert_cmpint(vc_error_log_level(VC_ERROR_RESOLVER), ==, G_LOG_LEVEL_WARNING);
}

static void
test_of_error(void)
{
    g_autoptr(GError) ours = g_error_new_literal(VC_ERROR, VC_ERROR_MOVED, "x");
    g_autoptr(GError) foreign = g_error_new_literal(G_FILE_ERROR, G_FILE_ERROR_IO, "x");

    g_assert_cmpint(vc_error_code(ours), ==, VC_ERROR_MOVED);
    g_assert_cmpint(vc_error_code(foreign), ==, VC_ERROR_INTERNAL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *codes = g_strdup_printf("/error/codes/%s", rows[i].name);
        g_autofree char *reason = g_strdup_printf("/error/reason/%s", rows[i].name);
        g_test_add_data_func(codes, GSIZE_TO_POINTER(i), test_codes);
        g_test_add_data_func(reason, GSIZE_TO_POINTER(i), test_reason);
    }
    g_test_add_func("/error/levels", test_levels);
    g_test_add_func("/error/of-error", test_of_error);
    return g_test_run();
}
