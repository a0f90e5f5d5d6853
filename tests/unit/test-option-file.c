/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Options from a file: what is taken, what flags do to it, and where the message says a mistake
 * is. */
#include "common/option-file.h"

#include <glib/gstdio.h>
#include <string.h>

#include "common/daemon-options.h"
#include "common/error.h"

typedef struct {
    gboolean flag;
    char *text;
    char **list;
    guint number;
    char *config;
    gboolean check, version;
} Config;

#define AT(field) G_STRUCT_OFFSET(Config, field)

static const VcOption table[] = {
    FLAG("flag", flag, "A flag"),
    TEXT("text", text, "default", "TEXT", "A text"),
    LIST("list", list, "first", "ITEM", "A list"),
    COUNT("number", number, "7", "A number"),
    TEXT(VC_OPTION_CONFIG, config, NULL, "FILE", "The file"),
    FLAG(VC_OPTION_CHECK, check, "Check"),
    FLAG(VC_OPTION_VERSION, version, "Version"),
    {0},
};

static char *path;

static gboolean
parse(Config *config, const char *text, const char *line, VcOptionFile **file, GError **error)
{
    g_autofree char *whole = g_strdup_printf("program --config '%s' %s", path, line);
    g_auto(GStrv) arguments = NULL;
    int n;

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_true(g_shell_parse_argv(whole, &n, &arguments, NULL));
    *config = (Config){0};
    return vc_options_parse_with_file(table, config, "group", n, arguments, "A program.", file,
                                      error);
}

#define G "[group]\n"

static const struct {
    const char *name;
    const char *text;
    const char *line;
    const char *expected;
} right[] = {
    {"empty", "", "", "0 default first 7"},
    {"group-only", G, "", "0 default first 7"},
    {"comments", "# x\n\n  # y=z\n" G "#flag=true\n", "", "0 default first 7"},
    {"all", G "flag=true\ntext=x\nlist=a\nnumber=8\n", "", "1 x a 8"},
    {"no-newline", G "text=x", "", "0 x first 7"},
    {"windows", "[group]\r\ntext=x\r\n", "", "0 x first 7"},
    {"spaces", "  [group]  \n  text =  x y  \n", "", "0 x y first 7"},
    {"escapes", G "text=\\sx\\\\y\n", "", "0  x\\y first 7"},
    {"equals", G "text=a=b=c\n", "", "0 a=b=c first 7"},
    {"text-empty", G "text=\n", "", "0  first 7"},
    {"text-with-semicolon", G "text=a;b\n", "", "0 a;b first 7"},
    {"list", G "list=a;b;c\n", "", "0 default a+b+c 7"},
    {"list-with-end", G "list=a;b;\n", "", "0 default a+b 7"},
    {"list-escaped", G "list=a\\;b;c\n", "", "0 default a;b+c 7"},
    {"false", G "flag=false\n", "", "0 default first 7"},
    {"group-twice", G "text=x\n" G "number=8\n", "", "0 x first 8"},
    {"umlaut", G "text=\xc3\xa4\n", "", "0 \xc3\xa4 first 7"},

    {"flag-wins", G "text=x\nnumber=8\n", "--text y", "0 y first 8"},
    {"flag-replaces-list", G "list=a;b\n", "--list c --list d", "0 default c+d 7"},
    {"flag-beside-false", G "flag=false\n", "--flag", "1 default first 7"},
};

static char *
show(const Config *config)
{
    g_autofree char *list = g_strjoinv("+", config->list);

    return g_strdup_printf("%d %s %s %u", config->flag, config->text, list, config->number);
}

static void
test_right(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcOptionFile) file = NULL;
    Config config;

    gboolean valid = parse(&config, right[i].text, right[i].line, &file, &error);
    g_assert_no_error(error);
    g_assert_true(valid);
    g_assert_nonnull(file);
    g_autofree char *shown = show(&config);
    g_assert_cmpstr(shown, ==, right[i].expected);
    vc_options_clear(table, &config);
}

static const struct {
    const char *name;
    const char *text;
    guint line;
    const char *named; /* in the message */
} wrong[] = {
    {"unknown-key", G "text=x\ntxet=y\n", 3, "txet"},
    {"case", G "Text=x\n", 2, "Text"},
    {"dashes", G "--text=x\n", 2, "--text"},
    {"language", G "text[de]=x\n", 2, "text[de]"},
    {"unknown-group", "\n[other]\ntext=x\n", 2, "[group]"},
    {"group-behind", G "text=x\n[other]\n", 3, "[other]"},
    {"group-open", "[group\n", 1, "[group"},
    {"before-group", "text=x\n" G, 1, "text"},
    {"no-equals", G "text\n", 2, "key=value"},
    {"no-key", G "=x\n", 2, "not a key"},
    {"twice", G "text=x\n\ntext=y\n", 4, "line 2"},
    {"flag-number", G "flag=1\n", 2, "flag must be true or false"},
    {"flag-yes", G "flag=yes\n", 2, "flag"},
    {"flag-empty", G "flag=\n", 2, "flag"},
    {"number-words", G "number=many\n", 2, "number takes a whole number"},
    {"number-empty", G "number=\n", 2, "number"},
    {"number-great", G "\nnumber=1000001\n", 3, "1000000"},
    {"number-negative", G "number=-1\n", 2, "number"},
    {"number-list", G "number=1;2\n", 2, "number"},
    {"list-empty", G "list=\n", 2, "list"},
    {"not-utf-8", G "text=\xff\n", 2, "text"},
    {"config", G "config=x\n", 2, "config"},
    {"check", G "check-config=true\n", 2, "check-config"},
    {"version", G "version=true\n", 2, "version"},
};

static void
test_wrong(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autofree char *place = g_strdup_printf("%s:%u: ", path, wrong[i].line);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcOptionFile) file = NULL;
    Config config;

    g_assert_false(parse(&config, wrong[i].text, "", &file, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_true(g_str_has_prefix(error->message, place));
    g_assert_nonnull(strstr(error->message, wrong[i].named));
    g_assert_null(strchr(error->message, '\n'));
    vc_options_clear(table, &config);
}

static void
test_missing(void)
{
    const char *argv[] = {"program", "--config", "/nonexistent.conf", NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(VcOptionFile) file = NULL;
    Config config = {0};

    g_assert_false(vc_options_parse_with_file(table, &config, "group", G_N_ELEMENTS(argv) - 1,
                                              (char **)argv, "A program.", &file, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, "/nonexistent.conf"));
    g_assert_nonnull(strstr(error->message, "--config"));
    vc_options_clear(table, &config);
}

/* PLACE stands for the path of the file. */
static const struct {
    const char *name;
    const char *line;
    const char *message;
    const char *expected;
} places[] = {
    {"key", "", "--text x: is wrong", "PLACE:2: text x: is wrong"},
    {"behind", "", "/x: no such file (see --text)", "PLACE:2: /x: no such file (see text)"},
    {"second", "", "--number 3 needs --text", "PLACE:2: --number 3 needs text"},
    {"not-in-file", "", "--number 3", "--number 3"},
    {"unknown", "", "--texts and --tex", "--texts and --tex"},
    {"none", "", "it -- is --", "it -- is --"},
    {"by-flag", "--text y", "--text y: is wrong", "--text y: is wrong"},
};

static void
test_place(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = g_error_new_literal(VC_ERROR, VC_ERROR_CONFIG, places[i].message);
    g_autoptr(VcOptionFile) file = NULL;
    g_autoptr(GString) expected = g_string_new(places[i].expected);
    Config config;

    g_assert_true(parse(&config, G "text=x\n", places[i].line, &file, NULL));
    vc_option_file_locate(file, &error);
    g_string_replace(expected, "PLACE", path, 0);
    g_assert_cmpstr(error->message, ==, expected->str);
    vc_options_clear(table, &config);
}

#define ADD(prefix, rows, function)                                                            \
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {                                           \
        g_autofree char *test = g_strdup_printf("/option-file/" prefix "/%s", rows[i].name);   \
        g_test_add_data_func(test, GSIZE_TO_POINTER(i), function);                             \
    }

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *directory = g_dir_make_tmp("option-file-XXXXXX", NULL);
    path = g_build_filename(directory, "test.conf", NULL);
    ADD("right", right, test_right)
    ADD("wrong", wrong, test_wrong)
    ADD("place", places, test_place)
    g_test_add_func("/option-file/missing", test_missing);
    int status = g_test_run();
    g_unlink(path);
    g_rmdir(directory);
    g_free(path);
    return status;
}
