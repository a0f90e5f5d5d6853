/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Options from a small table: every kind, its default, its use and its misuse. */
#include "common/options.h"

#include <string.h>

#include "common/error.h"

typedef struct {
    gboolean flag;
    gboolean loud;
    char *text;
    char *other;
    char **list;
    char **none;
    guint number;
} Config;

#define AT(field) G_STRUCT_OFFSET(Config, field)

static const VcOption table[] = {
    {"flag", 0, VC_OPTION_BOOLEAN, AT(flag), NULL, 0, 0, NULL, "A flag"},
    {"loud", 'l', VC_OPTION_BOOLEAN, AT(loud), NULL, 0, 0, NULL, "One with a letter"},
    {"text", 't', VC_OPTION_STRING, AT(text), "default", 0, 0, "TEXT", "A text"},
    {"other", 0, VC_OPTION_STRING, AT(other), NULL, 0, 0, "TEXT", "One without a default"},
    {"list", 0, VC_OPTION_STRINGS, AT(list), "first", 0, 0, "ITEM", "A list"},
    {"none", 0, VC_OPTION_STRINGS, AT(none), NULL, 0, 0, "ITEM", "A list without a default"},
    {"number", 0, VC_OPTION_INTEGER, AT(number), "7", 2, 300, "N", "A number"},
    {0},
};

static gboolean
parse(Config *config, const char *line, GError **error)
{
    g_autofree char *whole = g_strconcat("program ", line, NULL);
    g_auto(GStrv) arguments = NULL;
    int n;

    g_assert_true(g_shell_parse_argv(whole, &n, &arguments, NULL));
    *config = (Config){0};
    return vc_options_parse(table, config, n, arguments, "A program.", error);
}

static char *
show(const Config *config)
{
    g_autofree char *list = g_strjoinv("+", config->list);
    g_autofree char *none = g_strjoinv("+", config->none);

    return g_strdup_printf("%d %d %s %s %s %s %u", config->flag, config->loud, config->text,
                           config->other != NULL ? config->other : "-", list, none,
                           config->number);
}

static const struct {
    const char *name;
    const char *line;
    const char *expected;
} right[] = {
    {"defaults", "", "0 0 default - first  7"},
    {"flags", "--flag --loud", "1 1 default - first  7"},
    {"letter", "-l", "0 1 default - first  7"},
    {"letter-with-value", "-t x", "0 0 x - first  7"},
    {"texts", "--text=x --other y", "0 0 x y first  7"},
    {"text-empty", "--text ''", "0 0  - first  7"},
    {"last-counts", "--text x --text y --number 8 --number 9", "0 0 y - first  9"},
    {"list-replaces-default", "--list a", "0 0 default - a  7"},
    {"list-grows", "--list a --none x --list b --none y --list c", "0 0 default - a+b+c x+y 7"},
    {"lowest", "--number 2", "0 0 default - first  2"},
    {"greatest", "--number=300", "0 0 default - first  300"},
};

static void
test_right(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    Config config;

    gboolean valid = parse(&config, right[i].line, &error);
    g_assert_no_error(error);
    g_assert_true(valid);
    g_autofree char *shown = show(&config);
    g_assert_cmpstr(shown, ==, right[i].expected);
    vc_options_clear(table, &config);
    g_assert_null(config.text);
    g_assert_null(config.list);
}

static const struct {
    const char *name;
    const char *line;
    const char *named; /* in the message */
} wrong[] = {
    {"unknown", "--unknown", "--unknown"},
    {"unknown-letter", "-x", "-x"},
    {"beginning", "--numb 3", "--numb"},
    {"no-value", "--text", "--text"},
    {"no-number", "--number", "--number"},
    {"flag-with-value", "--flag=no", "--flag"},
    {"too-small", "--number 1", "--number"},
    {"too-great", "--number 301", "--number"},
    {"overflow", "--number 18446744073709551623", "--number"},
    {"negative", "--number=-3", "--number"},
    {"signed", "--number +3", "--number"},
    {"fraction", "--number 3.5", "--number"},
    {"hexadecimal", "--number 0x3", "--number"},
    {"unit", "--number 3s", "--number"},
    {"empty-number", "--number ''", "--number"},
    {"words", "--number many", "--number"},
    {"argument", "stray", "stray"},
    {"argument-behind", "--flag stray", "stray"},
};

static void
test_wrong(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    Config config;

    g_assert_false(parse(&config, wrong[i].line, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, wrong[i].named));
    g_assert_null(strchr(error->message, '\n'));
    vc_options_clear(table, &config);
}

static const struct {
    const char *name;
    const char *line;
    gboolean has_commands;
    const char *expected; /* the arguments */
} arguments[] = {
    {"none", "--flag", FALSE, ""},
    {"one", "stray", FALSE, "stray"},
    {"between", "a --flag b --number 8 c", FALSE, "a b c"},
    {"dashes", "a -- --flag", FALSE, "a --flag"},
    {"command", "--flag run --unknown -x", TRUE, "run --unknown -x"},
    {"no-command", "--flag", TRUE, ""},
};

static void
test_arguments(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autofree char *whole = g_strconcat("program ", arguments[i].line, NULL);
    g_auto(GStrv) words = NULL;
    g_auto(GStrv) rest = NULL;
    VcUsage usage = {.summary = "A program.", .has_commands = arguments[i].has_commands};
    Config config = {.other = g_strdup("kept")};
    int n;

    g_assert_true(g_shell_parse_argv(whole, &n, &words, NULL));
    g_assert_true(vc_options_parse_arguments(table, &config, n, words, &usage, &rest, &error));
    g_assert_no_error(error);
    g_autofree char *shown = g_strjoinv(" ", rest);
    g_assert_cmpstr(shown, ==, arguments[i].expected);
    g_assert_cmpstr(config.other, ==, "kept");
    vc_options_clear(table, &config);
}

static void
test_help(void)
{
    Config config;

    if (g_test_subprocess()) {
        parse(&config, "--help", NULL);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stdout(
        "*A program.*-t, --text=TEXT*A text (default)*--number=N*A number (7)*");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(right); i++) {
        g_autofree char *path = g_strdup_printf("/options/right/%s", right[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_right);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("/options/wrong/%s", wrong[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_wrong);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(arguments); i++) {
        g_autofree char *path = g_strdup_printf("/options/arguments/%s", arguments[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_arguments);
    }
    g_test_add_func("/options/help", test_help);
    return g_test_run();
}
