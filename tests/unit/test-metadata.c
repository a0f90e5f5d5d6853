/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Console metadata: the format that guests carry, what is left out of it and why, and the way
 * back to XML. */
#include "resolver/metadata.h"

#include <string.h>

#include "common/error.h"

#define UUID  "999f5742-2fb5-491c-832b-282b3afdfe0c"
#define UUID2 "6a92ef00-6f54-4c18-820d-2a2eaf9ac309"
#define NS    VCR_METADATA_NAMESPACE

#define CONSOLE(attributes)                                                                    \
    "<consoles><console token='" UUID "' type='vnc' " attributes "/></consoles>"

/* As text: what a test can compare and a person can read. */
static void
append(GString *text, const VcrConsole *console)
{
    if (text->len > 0)
        g_string_append_c(text, '|');
    g_string_append_printf(text, "%.4s %s %u", console->secret, vcr_kind_name(console->kind),
                           console->index);
    if (console->insecure)
        g_string_append(text, " insecure");
    if (console->host != NULL)
        g_string_append_printf(text, " at %s", console->host);
    if (console->single_use)
        g_string_append(text, " once");
    if (console->power_control)
        g_string_append(text, " power");
    if (console->expires_s != 0)
        g_string_append_printf(text, " until %" G_GINT64_FORMAT, console->expires_s);
    if (console->tls_server_name != NULL)
        g_string_append_printf(text, " as %s", console->tls_server_name);
}

static char *
show(const GPtrArray *consoles)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < consoles->len; i++)
        append(text, g_ptr_array_index(consoles, i));
    return g_string_free(text, FALSE);
}

static const struct {
    const char *name;
    const char *xml;
    const char *expected;
} right[] = {
    {"seed",
     "<consoles>\n"
     "  <console token=\"999f5742-2fb5-491c-832b-282b3afdfe0c\" type=\"spice\" port=\"0\" "
     "insecure=\"no\"/>\n"
     "  <console token=\"6a92ef00-6f54-4c18-820d-2a2eaf9ac309\" type=\"serial\" port=\"0\" "
     "insecure=\"no\"/>\n"
     "  <console token=\"3d7bbde9-b9eb-4548-a414-d17fa1968aae\" type=\"console\" port=\"0\" "
     "insecure=\"no\"/>\n"
     "  <console token=\"393c6fdd-dbf7-4da9-9ea7-472d2f5ad34c\" type=\"console\" port=\"1\" "
     "insecure=\"no\"/>\n"
     "</consoles>\n",
     "999f spice 0|6a92 serial 0|3d7b console 0|393c console 1"},
    {"none", "<consoles/>", ""},
    {"least", CONSOLE(""), "999f vnc 0"},
    {"prefix",
     "<lcp:consoles xmlns:lcp='" NS "'><lcp:console token='" UUID
     "' type='vnc'/></lcp:consoles>",
     "999f vnc 0"},
    {"other-prefix",
     "<x:consoles xmlns:x='" NS "'><x:console token='" UUID "' type='vnc'/></x:consoles>",
     "999f vnc 0"},
    {"prefix-of-the-root",
     "<x:consoles xmlns:x='" NS "'><console token='" UUID "' type='vnc'/></x:consoles>",
     "999f vnc 0"},
    {"default-namespace",
     "<consoles xmlns='" NS "'><console token='" UUID "' type='vnc'/></consoles>",
     "999f vnc 0"},
    {"declaration", "<?xml version='1.0' encoding='UTF-8'?>" CONSOLE(""), "999f vnc 0"},
    {"upper-case",
     "<consoles><console token='999F5742-2FB5-491C-832B-282B3AFDFE0C' type='vnc'/></consoles>",
     "999f vnc 0"},
    {"index", CONSOLE("index='3'"), "999f vnc 3"},
    {"port-before-index", CONSOLE("index='3' port='1'"), "999f vnc 1"},
    {"insecure", CONSOLE("insecure='yes'"), "999f vnc 0 insecure"},
    {"secure", CONSOLE("insecure='no'"), "999f vnc 0"},
    {"host", CONSOLE("host='hv1.example.org'"), "999f vnc 0 at hv1.example.org"},
    {"host-v6", CONSOLE("host='2001:db8::1'"), "999f vnc 0 at 2001:db8::1"},
    {"single-use", CONSOLE("single-use='yes'"), "999f vnc 0 once"},
    {"power-control", CONSOLE("power-control='yes'"), "999f vnc 0 power"},
    {"no-single-use", CONSOLE("single-use='no' power-control='no'"), "999f vnc 0"},
    {"expires", CONSOLE("expires='2030-01-31T12:00:00Z'"), "999f vnc 0 until 1896091200"},
    {"expires-zone", CONSOLE("expires='2030-01-31T13:00:00+01:00'"),
     "999f vnc 0 until 1896091200"},
    {"expires-long-ago", CONSOLE("expires='1960-01-01T00:00:00Z'"), "999f vnc 0 until 1"},
    {"tls-server-name", CONSOLE("tls-server-name='hv1'"), "999f vnc 0 as hv1"},
    {"unknown-attributes", CONSOLE("colour='red' xmlns:q='urn:q' q:port='7'"), "999f vnc 0"},
    {"foreign-elements",
     "<consoles xmlns:q='urn:q'><q:console/><viewer/>text<!-- --><console token='" UUID
     "' type='vnc'><more/></console></consoles>",
     "999f vnc 0"},
    {"two-of-one-console",
     "<consoles><console token='" UUID "' type='vnc'/><console token='" UUID2
     "' type='vnc'/></consoles>",
     "999f vnc 0|6a92 vnc 0"},
};

static void
test_right(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) consoles = vcr_metadata_parse(right[i].xml, problems, &error);

    g_assert_no_error(error);
    g_autofree char *shown = show(consoles);
    g_assert_cmpstr(shown, ==, right[i].expected);
    g_assert_cmpuint(problems->len, ==, 0);

    /* what is written reads the same */
    g_autofree char *written = vcr_metadata_format(consoles);
    g_autoptr(GPtrArray) again = vcr_metadata_parse(written, problems, &error);
    g_assert_no_error(error);
    g_autofree char *shown_again = show(again);
    g_assert_cmpstr(shown_again, ==, shown);
    g_assert_cmpuint(problems->len, ==, 0);
}

/* One entry is bad; the one behind it works. */
static const struct {
    const char *name;
    const char *entry;
    const char *problem;
} bad[] = {
    {"no-token", "type='vnc'", "token is missing"},
    {"token-empty", "token='' type='vnc'", "token must be"},
    {"token-short", "token='999f5742-2fb5-491c-832b-282b3afdfe0' type='vnc'", "token must be"},
    {"token-no-uuid", "token='../../etc/passwd' type='vnc'", "token must be"},
    {"no-type", "token='" UUID "'", "type is missing"},
    {"type-unknown", "token='" UUID "' type='rdp'", "type must be"},
    {"type-case", "token='" UUID "' type='VNC'", "type must be"},
    {"port-negative", "token='" UUID "' type='vnc' port='-1'", "port must be"},
    {"port-text", "token='" UUID "' type='vnc' port='first'", "port must be"},
    {"port-empty", "token='" UUID "' type='vnc' port=''", "port must be"},
    {"port-large", "token='" UUID "' type='vnc' port='65536'", "port must be"},
    {"index-text", "token='" UUID "' type='vnc' index='first'", "port must be"},
    {"insecure", "token='" UUID "' type='vnc' insecure='true'", "insecure must be"},
    {"insecure-empty", "token='" UUID "' type='vnc' insecure=''", "insecure must be"},
    {"host", "token='" UUID "' type='vnc' host='a b'", "host must be"},
    {"host-empty", "token='" UUID "' type='vnc' host=''", "host must be"},
    {"host-port", "token='" UUID "' type='vnc' host='hv1:5900'", "host must be"},
    {"single-use", "token='" UUID "' type='vnc' single-use='1'", "single-use must be"},
    {"power-control", "token='" UUID "' type='vnc' power-control='1'", "power-control must be"},
    {"expires", "token='" UUID "' type='vnc' expires='tomorrow'", "expires must be"},
    {"expires-no-zone", "token='" UUID "' type='vnc' expires='2030-01-31T12:00:00'",
     "expires must be"},
    {"tls-server-name", "token='" UUID "' type='vnc' tls-server-name=''",
     "tls-server-name must be"},
    {"secret-of-another", "token='6A92EF00-6f54-4c18-820d-2a2eaf9ac309' type='spice'",
     "token names the secret"},
};

static void
test_bad(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autofree char *xml = g_strdup_printf(
        "<consoles><console token='" UUID2 "' type='serial'/><console %s/>"
        "<console token='393c6fdd-dbf7-4da9-9ea7-472d2f5ad34c' type='console'/></consoles>",
        bad[i].entry);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) consoles = vcr_metadata_parse(xml, problems, &error);

    g_assert_no_error(error);
    g_autofree char *shown = show(consoles);
    g_assert_cmpstr(shown, ==, "6a92 serial 0|393c console 0");
    g_assert_cmpuint(problems->len, ==, 1);
    g_assert_true(g_str_has_prefix(g_ptr_array_index(problems, 0), "console 2: "));
    g_assert_nonnull(strstr(g_ptr_array_index(problems, 0), bad[i].problem));

    /* problems are for those who want them */
    g_autoptr(GPtrArray) again = vcr_metadata_parse(xml, NULL, NULL);
    g_assert_cmpuint(again->len, ==, 2);
}

static const struct {
    const char *name;
    const char *xml;
} wrong[] = {
    {"empty", ""},
    {"no-xml", "consoles"},
    {"unfinished", "<consoles>"},
    {"other-root", "<console token='" UUID "' type='vnc'/>"},
    {"other-namespace", "<consoles xmlns='urn:other'/>"},
    {"document-type", "<!DOCTYPE consoles []><consoles/>"},
    {"entities", "<!DOCTYPE consoles [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
                 "<consoles><console token='&a;'/></consoles>"},
    {"undefined-entity", "<consoles><console token='&a;'/></consoles>"},
    {"not-utf8", "<consoles a='\xff'/>"},
    {"attribute-twice", CONSOLE("port='0' port='1'")},
};

static void
test_wrong(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);

    g_assert_null(vcr_metadata_parse(wrong[i].xml, problems, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_cmpuint(problems->len, ==, 0);
}

static void
test_too_long(void)
{
    g_autofree char *spaces = g_strnfill(64 * 1024, ' ');
    g_autofree char *xml = g_strconcat("<consoles>", spaces, "</consoles>", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_null(vcr_metadata_parse(xml, NULL, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
}

static VcrConsole *
console_new(const char *secret, VcrKind kind, guint index)
{
    VcrConsole *self = g_new0(VcrConsole, 1);

    self->secret = g_strdup(secret);
    self->kind = kind;
    self->index = index;
    return self;
}

static void
free_console(gpointer console)
{
    vcr_console_free(console);
}

static void
test_format(void)
{
    g_autoptr(GPtrArray) consoles = g_ptr_array_new_with_free_func(free_console);
    VcrConsole *console = console_new(UUID, VCR_KIND_SPICE, 0);

    g_ptr_array_add(consoles, console_new(UUID2, VCR_KIND_CONSOLE, 1));
    g_ptr_array_add(consoles, console);
    console->insecure = TRUE;
    console->single_use = TRUE;
    console->power_control = TRUE;
    console->expires_s = 1896091200;
    console->host = g_strdup("2001:db8::1");
    console->tls_server_name = g_strdup("a\"<&'");

    g_autofree char *xml = vcr_metadata_format(consoles);
    g_assert_cmpstr(xml, ==,
                    "<consoles><console token=\"" UUID2
                    "\" type=\"console\" port=\"1\" insecure=\"no\"/>"
                    "<console token=\"" UUID "\" type=\"spice\" port=\"0\" insecure=\"yes\""
                    " host=\"2001:db8::1\" single-use=\"yes\" power-control=\"yes\""
                    " expires=\"2030-01-31T12:00:00Z\""
                    " tls-server-name=\"a&quot;&lt;&amp;&apos;\"/></consoles>");
}

static void
test_kinds(void)
{
    VcrKind kind;

    for (VcrKind i = 0; i < VCR_N_KINDS; i++) {
        g_assert_true(vcr_kind_parse(vcr_kind_name(i), &kind));
        g_assert_true(kind == i);
    }
    g_assert_false(vcr_kind_parse("", &kind));
    g_assert_false(vcr_kind_parse("vnc ", &kind));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(right); i++) {
        g_autofree char *path = g_strdup_printf("/metadata/right/%s", right[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_right);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/metadata/bad/%s", bad[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("/metadata/wrong/%s", wrong[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_wrong);
    }
    g_test_add_func("/metadata/too-long", test_too_long);
    g_test_add_func("/metadata/format", test_format);
    g_test_add_func("/metadata/kinds", test_kinds);
    return g_test_run();
}
