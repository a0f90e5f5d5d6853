/* SPDX-License-Identifier: LGPL-2.1-or-later
 * GOption driven by our table. */
#include "common/options.h"

#include <string.h>

#include "common/error.h"
#include "common/option-file.h"

typedef struct {
    const VcOption *table;
    guint8 *config;
    VcOptionFile *file; /* nullable */
    gboolean
        *given; /* by index: a first use of a list on the command line replaces its default */
} Parse;

static gpointer
field(const VcOption *option, guint8 *config)
{
    return config + option->offset;
}

static gboolean
set_integer(const VcOption *option, guint *target, const char *value, GError **error)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned(value, 10, option->minimum, option->maximum, &number,
                                    NULL)) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                    "--%s takes a whole number from %u to %u, not \"%s\"", option->name,
                    option->minimum, option->maximum, value);
        return FALSE;
    }
    *target = (guint)number;
    return TRUE;
}

static void
append_string(char ***list, const char *value)
{
    guint n = *list != NULL ? g_strv_length(*list) : 0;

    *list = g_renew(char *, *list, n + 2);
    (*list)[n] = g_strdup(value);
    (*list)[n + 1] = NULL;
}

static gboolean
set(const VcOption *option, guint8 *config, const char *value, GError **error)
{
    char **string = field(option, config);

    switch (option->kind) {
    case VC_OPTION_BOOLEAN:
        *(gboolean *)field(option, config) = value == NULL || strcmp(value, "true") == 0;
        return TRUE;
    case VC_OPTION_STRING:
        g_free(*string);
        *string = g_strdup(value);
        return TRUE;
    case VC_OPTION_STRINGS:
        append_string(field(option, config), value);
        return TRUE;
    case VC_OPTION_INTEGER:
        return set_integer(option, field(option, config), value, error);
    }
    g_assert_not_reached();
}

static void
set_defaults(const VcOption *table, guint8 *config)
{
    for (const VcOption *option = table; option->name != NULL; option++) {
        if (option->kind == VC_OPTION_STRINGS)
            *(char ***)field(option, config) = g_new0(char *, 1);
        if (option->default_value != NULL && !set(option, config, option->default_value, NULL))
            g_assert_not_reached();
    }
}

static void
empty_list(const VcOption *option, guint8 *config)
{
    char ***list = field(option, config);

    g_strfreev(*list);
    *list = g_new0(char *, 1);
}

static gboolean
set_from_file(const VcOption *table, guint8 *config, VcOptionFile *file, GError **error)
{
    for (gsize i = 0; file != NULL && table[i].name != NULL; i++) {
        const char *const *value = vc_option_file_values(file, i);
        if (value != NULL && table[i].kind == VC_OPTION_STRINGS)
            empty_list(&table[i], config);
        for (; value != NULL && *value != NULL; value++) {
            if (!set(&table[i], config, *value, error)) {
                vc_option_file_locate(file, error);
                return FALSE;
            }
        }
    }
    return TRUE;
}

static gboolean
is_called(const VcOption *option, const char *flag)
{
    if (flag[1] != '-')
        return option->short_name == flag[1];
    return g_str_equal(option->name, flag + 2);
}

static gboolean
on_flag(const char *flag, const char *value, gpointer data, GError **error)
{
    Parse *parse = data;
    gsize i = 0;

    while (!is_called(&parse->table[i], flag))
        i++;
    const VcOption *option = &parse->table[i];
    if (option->kind == VC_OPTION_STRINGS && !parse->given[i])
        empty_list(option, parse->config);
    if (parse->file != NULL)
        vc_option_file_forget(parse->file, i);
    parse->given[i] = TRUE;
    return set(option, parse->config, value, error);
}

static char *
help_text(const VcOption *option)
{
    if (option->kind == VC_OPTION_BOOLEAN || option->default_value == NULL)
        return g_strdup(option->help);
    return g_strdup_printf("%s (%s)", option->help, option->default_value);
}

static GOptionEntry *
make_entries(const VcOption *table, GPtrArray *texts)
{
    GArray *entries = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));
    /* GOption wants the function as a data pointer; ISO C converts one to the other only
     * through a union. */
    union {
        GOptionArgFunc function;
        gpointer pointer;
    } callback = {on_flag};

    for (const VcOption *option = table; option->name != NULL; option++) {
        char *help = help_text(option);
        g_ptr_array_add(texts, help);
        GOptionEntry entry = {
            .long_name = option->name,
            .short_name = option->short_name,
            .flags = option->kind == VC_OPTION_BOOLEAN ? G_OPTION_FLAG_NO_ARG : 0,
            .arg = G_OPTION_ARG_CALLBACK,
            .arg_data = callback.pointer,
            .description = help,
            .arg_description = option->argument,
        };
        g_array_append_val(entries, entry);
    }
    return (GOptionEntry *)(gpointer)g_array_free(entries, FALSE);
}

static gboolean
gives_value(const char *argument, const VcOption *option)
{
    gsize length = strlen(option->name);

    return g_str_has_prefix(argument, "--") &&
           strncmp(argument + 2, option->name, length) == 0 && argument[2 + length] == '=';
}

/* GOption would take --flag=no for --flag. */
static gboolean
check_flags(const VcOption *table, char **arguments, GError **error)
{
    for (const VcOption *option = table; option->name != NULL; option++) {
        for (char **argument = arguments;
             option->kind == VC_OPTION_BOOLEAN && *argument != NULL; argument++) {
            if (gives_value(*argument, option)) {
                g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "--%s takes no value",
                            option->name);
                return FALSE;
            }
        }
    }
    return TRUE;
}

/* words without the program's name and the first "--", which GOption keeps where arguments
 * follow that look like flags. */
static char **
take_arguments(char **words, gboolean has_commands)
{
    g_autoptr(GStrvBuilder) arguments = g_strv_builder_new();
    gboolean ended = has_commands;

    for (guint i = 1; words[0] != NULL && words[i] != NULL; i++) {
        if (ended || !g_str_equal(words[i], "--"))
            g_strv_builder_add(arguments, words[i]);
        else
            ended = TRUE;
    }
    return g_strv_builder_end(arguments);
}

static gboolean
parse_arguments(GOptionContext *context, int argc, char **argv, char ***arguments,
                GError **error)
{
    g_autoptr(GError) why = NULL;
    g_auto(GStrv) words = g_new0(char *, (gsize)argc + 1);

    for (int i = 0; i < argc; i++)
        words[i] = g_strdup(argv[i]);
    if (!g_option_context_parse_strv(context, &words, &why)) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s (see --help)", why->message);
        return FALSE;
    }
    *arguments = take_arguments(words, g_option_context_get_strict_posix(context));
    return TRUE;
}

static gboolean
parse(const VcOption *table, gpointer config, VcOptionFile *file, int argc, char **argv,
      const VcUsage *usage, char ***arguments, GError **error)
{
    gsize n = 0;
    while (table[n].name != NULL)
        n++;

    g_autofree gboolean *given = g_new0(gboolean, n);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    g_autofree GOptionEntry *entries = make_entries(table, texts);
    Parse parse = {.table = table, .config = config, .file = file, .given = given};

    set_defaults(table, config);
    if (!set_from_file(table, config, file, error) || !check_flags(table, argv, error))
        return FALSE;
    g_autoptr(GOptionContext) context = g_option_context_new(usage->arguments);
    GOptionGroup *group = g_option_group_new("main", "", "", &parse, NULL);
    g_option_group_add_entries(group, entries);
    g_option_context_set_main_group(context, group);
    g_option_context_set_summary(context, usage->summary);
    g_option_context_set_description(context, usage->description);
    g_option_context_set_strict_posix(context, usage->has_commands);
    return parse_arguments(context, argc, argv, arguments, error);
}

gboolean
vc_options_parse_arguments(const VcOption *table, gpointer config, int argc, char **argv,
                           const VcUsage *usage, char ***arguments, GError **error)
{
    return parse(table, config, NULL, argc, argv, usage, arguments, error);
}

static gboolean
parse_without_arguments(const VcOption *table, gpointer config, VcOptionFile *file, int argc,
                        char **argv, const char *summary, GError **error)
{
    VcUsage usage = {.summary = summary};
    g_auto(GStrv) arguments = NULL;

    if (!parse(table, config, file, argc, argv, &usage, &arguments, error))
        return FALSE;
    if (arguments[0] != NULL) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "unexpected argument \"%s\" (see --help)",
                    arguments[0]);
        return FALSE;
    }
    return TRUE;
}

gboolean
vc_options_parse(const VcOption *table, gpointer config, int argc, char **argv,
                 const char *summary, GError **error)
{
    return parse_without_arguments(table, config, NULL, argc, argv, summary, error);
}

static const VcOption *
find(const VcOption *table, const char *name)
{
    while (strcmp(table->name, name) != 0)
        table++;
    return table;
}

gboolean
vc_options_parse_with_file(const VcOption *table, gpointer config, const char *group, int argc,
                           char **argv, const char *summary, VcOptionFile **file,
                           GError **error)
{
    char **path = field(find(table, VC_OPTION_CONFIG), config);

    *file = NULL;
    if (!parse_without_arguments(table, config, NULL, argc, argv, summary, error))
        return FALSE;
    if (*path == NULL)
        return TRUE;
    *file = vc_option_file_read(table, *path, group, error);
    if (*file == NULL)
        return FALSE;
    vc_options_clear(table, config);
    return parse_without_arguments(table, config, *file, argc, argv, summary, error);
}

gboolean
vc_options_equal(const VcOption *table, const char *name, gconstpointer a, gconstpointer b)
{
    const VcOption *option = find(table, name);
    gconstpointer left = (const guint8 *)a + option->offset;
    gconstpointer right = (const guint8 *)b + option->offset;

    switch (option->kind) {
    case VC_OPTION_BOOLEAN:
        return *(const gboolean *)left == *(const gboolean *)right;
    case VC_OPTION_STRING:
        return g_strcmp0(*(char *const *)left, *(char *const *)right) == 0;
    case VC_OPTION_STRINGS:
        return g_strv_equal(*(const char *const *const *)left,
                            *(const char *const *const *)right);
    case VC_OPTION_INTEGER:
        return *(const guint *)left == *(const guint *)right;
    }
    g_assert_not_reached();
}

static void
clear(const VcOption *option, guint8 *config)
{
    switch (option->kind) {
    case VC_OPTION_BOOLEAN:
        *(gboolean *)field(option, config) = FALSE;
        break;
    case VC_OPTION_STRING:
        g_clear_pointer((char **)field(option, config), g_free);
        break;
    case VC_OPTION_STRINGS:
        g_clear_pointer((char ***)field(option, config), g_strfreev);
        break;
    case VC_OPTION_INTEGER:
        *(guint *)field(option, config) = 0;
        break;
    }
}

void
vc_options_clear(const VcOption *table, gpointer config)
{
    for (const VcOption *option = table; option->name != NULL; option++)
        clear(option, config);
}
