/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Console metadata that anybody may have put into a guest: what is taken is well-formed and
 * reads the same after it was written; what is refused is refused in words of our own. */
#include "fuzz.h"

#include <string.h>

#include "common/address.h"
#include "common/error.h"
#include "resolver/metadata.h"

static void
check_words(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        g_assert_true(g_ascii_isprint(*at));
}

static void
check_console(const VcrConsole *console)
{
    g_assert_true(g_uuid_string_is_valid(console->secret));
    for (const char *at = console->secret; *at != '\0'; at++)
        g_assert_false(g_ascii_isupper(*at));
    g_assert_true((unsigned)console->kind < VCR_N_KINDS);
    g_assert_cmpint(console->expires_s, >=, 0);
    g_assert_true(console->host == NULL || vc_address_is_host(console->host));
    g_assert_true(console->tls_server_name == NULL ||
                  vc_address_is_host(console->tls_server_name));
}

static void
check_same(const VcrConsole *one, const VcrConsole *two)
{
    g_assert_cmpstr(one->secret, ==, two->secret);
    g_assert_true(one->kind == two->kind && one->index == two->index);
    g_assert_true(one->insecure == two->insecure && one->single_use == two->single_use);
    g_assert_true(one->power_control == two->power_control);
    g_assert_cmpint(one->expires_s, ==, two->expires_s);
    g_assert_cmpstr(one->host, ==, two->host);
    g_assert_cmpstr(one->tls_server_name, ==, two->tls_server_name);
}

static void
check_written(const GPtrArray *consoles)
{
    g_autofree char *xml = vcr_metadata_format(consoles);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) again = vcr_metadata_parse(xml, problems, NULL);

    /* A short name in and a long one out: what was below the limit may come to be above it. */
    if (strlen(xml) > 64 * 1024)
        return;
    g_assert_nonnull(again);
    g_assert_cmpuint(again->len, ==, consoles->len);
    g_assert_cmpuint(problems->len, ==, 0);
    for (guint i = 0; i < consoles->len; i++)
        check_same(g_ptr_array_index(consoles, i), g_ptr_array_index(again, i));
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autofree char *xml = g_strndup((const char *)data, size);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) consoles = vcr_metadata_parse(xml, problems, &error);

    for (guint i = 0; i < problems->len; i++)
        check_words(g_ptr_array_index(problems, i));
    if (consoles == NULL) {
        g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
        check_words(error->message);
        return 0;
    }
    g_assert_no_error(error);
    for (guint i = 0; i < consoles->len; i++)
        check_console(g_ptr_array_index(consoles, i));
    check_written(consoles);
    return 0;
}
