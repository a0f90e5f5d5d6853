/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Responses to VNC challenges, as OpenSSL's DES in ECB mode gave them for the same keys. */
#include "proxy/vncauth.h"

#include <string.h>

/* 0, 1, 2 ... 15 */
#define COUNTING "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
#define EXTREMES "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0"

static const struct {
    const char *name;
    const char *password;
    const char *challenge;
    const char *response;
} rows[] = {
    {"empty", "", COUNTING, "491e890de9ace932838a49792f2213f3"},
    {"empty-extremes", "", EXTREMES, "355550b2150e24518ca64de9c1b123a7"},
    {"one", "a", COUNTING, "449407fb6f71bd517aca76866568a4e2"},
    {"six", "secret", COUNTING, "ee22539f33a5983ec12f9c2edbc995dd"},
    {"six-extremes", "secret", EXTREMES, "57472d0038f2fc1d9613a23f1dcac541"},
    {"seven", "1234567", COUNTING, "457848c96e38ad4c22e29293dee677f3"},
    {"eight", "12345678", COUNTING, "83dd2b4dbd04367f28578fdd5b142740"},
    {"nine", "123456789", COUNTING, "83dd2b4dbd04367f28578fdd5b142740"},
    /* UTF-8: the eight bytes that count are six characters. */
    {"not-ascii", "p\xc3\xa4ssw\xc3\xb6rd", COUNTING, "7d13fc5643ca0c048e71796fe629ecf3"},
};

static char *
hex(const guint8 *bytes, gsize length)
{
    GString *text = g_string_new(NULL);

    for (gsize i = 0; i < length; i++)
        g_string_append_printf(text, "%02x", bytes[i]);
    return g_string_free(text, FALSE);
}

static void
test_row(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    guint8 response[VCP_VNCAUTH_LENGTH];
    g_autoptr(GError) error = NULL;

    gboolean done = vcp_vncauth_respond(rows[i].password, (const guint8 *)rows[i].challenge,
                                        response, &error);
    g_assert_no_error(error);
    g_assert_true(done);
    g_autofree char *text = hex(response, sizeof response);
    g_assert_cmpstr(text, ==, rows[i].response);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/vncauth/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_row);
    }
    return g_test_run();
}
