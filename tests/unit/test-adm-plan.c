/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What enabling makes of a guest's consoles and metadata, descriptions of secrets, links. */
#include "resolver/adm-plan.h"

#include <string.h>

#include "common/error.h"

#define UUID "51c8ee7a-c398-456c-94cd-1b2851b99819"

static void
free_pointer(gpointer data)
{
    g_free(data);
}

static GPtrArray *
texts_new(void)
{
    return g_ptr_array_new_with_free_func(free_pointer);
}

/* --- from consoles as text and back: "vnc0=1 serial0=?!" where ? is an entry that has no
 * secret yet, a digit the secret's first, and ! means insecure --- */

static char *
secret(char digit)
{
    return g_strdup_printf("%c9f5742a-2fb5-491c-832b-282b3afdfe0c", digit);
}

static GPtrArray *
parse(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    GString *xml = g_string_new("<consoles>");

    for (char **word = words; *word != NULL && **word != '\0'; word++) {
        const char *equals = strchr(*word, '=');
        g_autofree char *uuid = secret(equals[1]);
        g_string_append_printf(xml, "<console token='%s' type='%.*s' port='%c' insecure='%s'/>",
                               uuid, (int)(equals - *word - 1), *word, equals[-1],
                               equals[2] == '!' ? "yes" : "no");
    }
    g_string_append(xml, "</consoles>");
    GPtrArray *consoles = vcr_metadata_parse(xml->str, NULL, NULL);
    g_string_free(xml, TRUE);
    g_assert_nonnull(consoles);
    return consoles;
}

static char *
show(const GPtrArray *consoles)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < consoles->len; i++) {
        const VcrConsole *console = g_ptr_array_index(consoles, i);
        g_string_append_printf(
            text, "%s%s%u=%c%s", i > 0 ? " " : "", vcr_kind_name(console->kind), console->index,
            console->secret != NULL ? console->secret[0] : '?', console->insecure ? "!" : "");
    }
    return g_string_free(text, FALSE);
}

/* --- merge --- */

static const struct {
    const char *live; /* NULL: none */
    const char *config;
    const char *expected;
} merges[] = {
    {NULL, NULL, ""},
    {"vnc0=1", NULL, "vnc0=1"},
    {NULL, "vnc0=1", "vnc0=1"},
    {"vnc0=1", "vnc0=1", "vnc0=1"},
    {"vnc0=1", "vnc0=2", "vnc0=1"},
    {"vnc0=1!", "vnc0=1", "vnc0=1!"},
    {"vnc0=1", "vnc0=1 serial0=2", "vnc0=1 serial0=2"},
    {"vnc0=1", "vnc1=2", "vnc0=1 vnc1=2"},
    {"vnc0=1", "vnc1=1", "vnc0=1"},
    {"vnc0=1 vnc0=2", "vnc0=3", "vnc0=1 vnc0=2"},
    {"", "vnc0=1 vnc0=2", "vnc0=1 vnc0=2"},
};

static void
test_merge(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(merges); i++) {
        g_autoptr(GPtrArray) live = merges[i].live != NULL ? parse(merges[i].live) : NULL;
        g_autoptr(GPtrArray) config = merges[i].config != NULL ? parse(merges[i].config) : NULL;
        g_autoptr(GPtrArray) consoles = vcr_plan_merge(live, config);
        g_autofree char *shown = show(consoles);
        g_assert_cmpstr(shown, ==, merges[i].expected);
    }
}

static void
test_same(void)
{
    g_autoptr(GPtrArray) one = parse("vnc0=1 serial0=2");
    g_autoptr(GPtrArray) equal = parse("vnc0=1 serial0=2");
    g_autoptr(GPtrArray) insecure = parse("vnc0=1 serial0=2!");
    g_autoptr(GPtrArray) empty = parse("");

    g_assert_true(vcr_plan_is_same(one, equal));
    g_assert_false(vcr_plan_is_same(one, insecure));
    g_assert_false(vcr_plan_is_same(one, empty));
    g_assert_true(vcr_plan_is_same(NULL, NULL));
    g_assert_false(vcr_plan_is_same(empty, NULL));
    g_assert_false(vcr_plan_is_same(NULL, empty));
}

/* --- enable --- */

#define DOMAIN(devices)                                                                        \
    "<domain><name>demo</name><uuid>" UUID "</uuid><devices>" devices "</devices></domain>"
#define VNC        "<graphics type='vnc' port='5900'/>"
#define SPICE      "<graphics type='spice' tlsPort='5901'/>"
#define VNC_SOCKET "<graphics type='vnc'><listen type='socket' socket='/x'/></graphics>"
#define SERIAL     "<serial type='tcp'><source mode='bind' service='1' tls='yes'/></serial>"
#define SERIAL_PTY "<serial type='pty'/>"
#define SERIAL_LIVE                                                                            \
    "<serial type='tcp'><source mode='bind' service='1'/><alias name='serial0'/></serial>"
#define MIRROR                                                                                 \
    "<console type='tcp'><source mode='bind' service='1'/><target type='serial'/></console>"
#define CONSOLE                                                                                \
    "<console type='tcp'><source mode='bind' service='2'/><target type='virtio'/></console>"

static const struct {
    const char *name;
    const char *xml;
    const char *kinds;
    gboolean insecure;
    const char *before;
    const char *after;
    guint n_reachable;
    guint n_notes;
} enables[] = {
    {"all", DOMAIN(SERIAL SPICE VNC MIRROR CONSOLE), "vnc,spice,serial,console", FALSE, "",
     "vnc0=? spice0=? serial0=? console1=?", 4, 0},
    {"insecure", DOMAIN(VNC SERIAL), "vnc,serial", TRUE, "", "vnc0=?! serial0=?!", 2, 0},
    {"one-kind", DOMAIN(VNC SERIAL), "serial", FALSE, "", "serial0=?", 1, 0},
    {"again", DOMAIN(VNC SERIAL), "vnc,serial", FALSE, "vnc0=1 serial0=2!", "vnc0=1 serial0=2!",
     2, 0},
    {"missing-one", DOMAIN(VNC SERIAL), "vnc,serial", FALSE, "serial0=2", "serial0=2 vnc0=?", 2,
     0},
    {"other-kinds-stay", DOMAIN(VNC SERIAL), "serial", TRUE, "vnc0=1 serial0=2",
     "vnc0=1 serial0=2!", 1, 0},
    {"unplugged-stays", DOMAIN(VNC), "vnc,serial", FALSE, "vnc0=1 serial3=2",
     "vnc0=1 serial3=2", 1, 0},
    {"mirror-that-is-there-stays", DOMAIN(SERIAL MIRROR), "serial,console", FALSE,
     "serial0=1 console0=2", "serial0=1 console0=2", 1, 0},
    {"pty", DOMAIN(SERIAL_PTY SERIAL), "serial", FALSE, "", "serial1=?", 1, 1},
    {"socket", DOMAIN(VNC_SOCKET), "vnc", FALSE, "", "", 0, 1},
    {"nothing", DOMAIN(""), "vnc,spice,serial,console", FALSE, "", "", 0, 0},
    {"mirror-alone", DOMAIN(SERIAL MIRROR), "console", FALSE, "", "", 0, 0},
    {"clear-text", DOMAIN(SERIAL_LIVE), "serial", FALSE, "", "serial0=?", 1, 1},
    {"clear-text-insecure", DOMAIN(SERIAL_LIVE), "serial", TRUE, "", "serial0=?!", 1, 0},
};

static void
test_enable(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcrDomain) domain = vcr_domain_parse(enables[i].xml, &error);
    g_autoptr(GPtrArray) consoles = parse(enables[i].before);
    g_autoptr(GPtrArray) notes = texts_new();
    VcrWish wish = {.insecure = enables[i].insecure};

    g_assert_no_error(error);
    g_assert_true(vcr_plan_kinds(enables[i].kinds, wish.kinds, &error));
    guint n = vcr_plan_enable(consoles, domain, &wish, notes);
    g_autofree char *shown = show(consoles);
    g_assert_cmpstr(shown, ==, enables[i].after);
    g_assert_cmpuint(n, ==, enables[i].n_reachable);
    g_assert_cmpuint(notes->len, ==, enables[i].n_notes);
}

/* What is wished is set; what is not, stays. */
static void
test_wish(void)
{
    g_autoptr(VcrDomain) domain = vcr_domain_parse(DOMAIN(VNC), NULL);
    g_autoptr(GPtrArray) consoles = parse("vnc0=1");
    g_autoptr(GPtrArray) notes = texts_new();
    VcrWish all = {.kinds = {TRUE, TRUE, TRUE, TRUE},
                   .insecure = TRUE,
                   .host = "hv1",
                   .single_use = TRUE,
                   .power_control = TRUE,
                   .expires_s = 1896091200,
                   .tls_server_name = "hv1.example.org"};
    VcrWish other_host = {.kinds = {TRUE}, .host = "hv2"};

    vcr_plan_enable(consoles, domain, &all, notes);
    vcr_plan_enable(consoles, domain, &other_host, notes);
    const VcrConsole *console = g_ptr_array_index(consoles, 0);
    g_assert_cmpstr(console->host, ==, "hv2");
    g_assert_true(console->insecure && console->single_use && console->power_control);
    g_assert_cmpint(console->expires_s, ==, 1896091200);
    g_assert_cmpstr(console->tls_server_name, ==, "hv1.example.org");
}

static void
test_kinds(void)
{
    gboolean kinds[VCR_N_KINDS];
    const char *const wrong[] = {"", "vnc,", "rdp", "vnc serial", "VNC"};

    g_assert_true(vcr_plan_kinds("console,vnc", kinds, NULL));
    g_assert_true(kinds[VCR_KIND_VNC] && kinds[VCR_KIND_CONSOLE]);
    g_assert_false(kinds[VCR_KIND_SPICE] || kinds[VCR_KIND_SERIAL]);
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(vcr_plan_kinds(wrong[i], kinds, &error));
        g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    }
}

/* --- secrets --- */

static void
test_description(void)
{
    g_autofree char *text = vcr_secret_describe(VCR_KIND_SPICE, UUID);
    g_autofree char *uuid = NULL;
    VcrKind kind;

    g_assert_cmpstr(text, ==, "Token for spice console proxy domain " UUID);
    g_assert_true(vcr_secret_parse(text, &kind, &uuid));
    g_assert_true(kind == VCR_KIND_SPICE);
    g_assert_cmpstr(uuid, ==, UUID);

    g_autofree char *upper = NULL;
    g_assert_true(vcr_secret_parse("Token for vnc console proxy domain "
                                   "51C8EE7A-C398-456C-94CD-1B2851B99819",
                                   &kind, &upper));
    g_assert_cmpstr(upper, ==, UUID);
}

static void
test_other_descriptions(void)
{
    const char *const others[] = {
        "",
        "Token for ",
        "Token for vnc console proxy domain ",
        "Token for vnc console proxy domain demo",
        "Token for rdp console proxy domain " UUID,
        "Token for  console proxy domain " UUID,
        "A token for vnc console proxy domain " UUID,
        "Token for vnc console proxy domain " UUID " of mine",
        "Ceph client.admin",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        char *uuid = NULL;
        VcrKind kind;
        g_assert_false(vcr_secret_parse(others[i], &kind, &uuid));
        g_assert_null(uuid);
    }
}

/* --- links --- */

static const struct {
    const char *base;
    VcrKind kind;
    const char *token;
    const char *link;
} links[] = {
    {"https://console.example.org", VCR_KIND_VNC, "abc-1._~",
     "https://console.example.org/console.html#type=vnc&token=abc-1._~"},
    {"https://[::1]:8443/", VCR_KIND_SPICE, "a",
     "https://[::1]:8443/console.html#type=spice&token=a"},
    {"https://h/web//", VCR_KIND_SERIAL, "a", "https://h/web/console.html#type=serial&token=a"},
    {"https://h", VCR_KIND_CONSOLE, "a+b&c=%d",
     "https://h/console.html#type=serial&token=a%2Bb%26c%3D%25d"},
};

static void
test_links(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        g_assert_true(vcr_plan_is_base(links[i].base));
        g_autofree char *link = vcr_plan_link(links[i].base, links[i].kind, links[i].token);
        g_assert_cmpstr(link, ==, links[i].link);
    }

    /* the longest token, all of it escaped */
    char token[257] = {0};
    memset(token, '%', 256);
    g_autofree char *link = vcr_plan_link("https://h", VCR_KIND_CONSOLE, token);
    g_assert_cmpuint(strlen(link), ==,
                     strlen("https://h/console.html#type=serial&token=") + 768);
}

static void
test_bases(void)
{
    const char *const wrong[] = {"",
                                 "console.example.org",
                                 "https://",
                                 "ftp://h/",
                                 "https:///",
                                 "https://h/?a=b",
                                 "https://h/#top",
                                 "https://h/?",
                                 "https://u:p@h/",
                                 "javascript:alert(1)",
                                 "https://h:port/",
                                 "https://a b/"};

    g_assert_true(vcr_plan_is_base("http://127.0.0.1:8080/x"));
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_false(vcr_plan_is_base(wrong[i]));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/adm-plan/merge", test_merge);
    g_test_add_func("/adm-plan/same", test_same);
    for (gsize i = 0; i < G_N_ELEMENTS(enables); i++) {
        g_autofree char *path = g_strdup_printf("/adm-plan/enable/%s", enables[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_enable);
    }
    g_test_add_func("/adm-plan/wish", test_wish);
    g_test_add_func("/adm-plan/kinds", test_kinds);
    g_test_add_func("/adm-plan/description", test_description);
    g_test_add_func("/adm-plan/other-descriptions", test_other_descriptions);
    g_test_add_func("/adm-plan/links", test_links);
    g_test_add_func("/adm-plan/bases", test_bases);
    return g_test_run();
}
