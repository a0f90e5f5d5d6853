/* SPDX-License-Identifier: LGPL-2.1-or-later
 * GLib's key files, line by line: GLib itself tells no line numbers, and takes the last of two
 * values without a word. */
#include "common/option-file.h"

#include <string.h>

#include "common/error.h"

typedef struct {
    guint line;    /* 0: not in the file */
    char **values; /* nullable */
} Given;

struct VcOptionFile {
    const VcOption *table;
    char *path;
    Given *given; /* by index of the table */
};

typedef struct {
    VcOptionFile *file;
    const char *group;
    gboolean is_inside; /* of the group */
    guint line;
} Reader;

static gsize
table_length(const VcOption *table)
{
    gsize n = 0;

    while (table[n].name != NULL)
        n++;
    return n;
}

G_GNUC_PRINTF(3, 4)
static gboolean
wrong(const Reader *reader, GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s:%u: %s", reader->file->path, reader->line,
                what);
    return FALSE;
}

/* --- lines --- */

/* GLib's own reading of one line: escapes, lists, UTF-8. */
static char **
read_values(const VcOption *option, const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *whole = g_strdup_printf("[group]\nkey=%s\n", text);
    g_autoptr(GStrvBuilder) values = g_strv_builder_new();
    g_autofree char *value = NULL;

    if (!g_key_file_load_from_data(file, whole, strlen(whole), G_KEY_FILE_NONE, error))
        return NULL;
    if (option->kind == VC_OPTION_STRINGS)
        return g_key_file_get_string_list(file, "group", "key", NULL, error);
    value = g_key_file_get_string(file, "group", "key", error);
    if (value == NULL)
        return NULL;
    g_strv_builder_add(values, value);
    return g_strv_builder_end(values);
}

static gboolean
check_values(const Reader *reader, const VcOption *option, char **values, GError **error)
{
    if (values[0] == NULL)
        return wrong(reader, error, "%s has no value", option->name);
    if (option->kind == VC_OPTION_BOOLEAN && strcmp(values[0], "true") != 0 &&
        strcmp(values[0], "false") != 0)
        return wrong(reader, error, "%s must be true or false", option->name);
    return TRUE;
}

/* Flags that say what to do with the file are no keys. */
static gboolean
is_key(const VcOption *option)
{
    return strcmp(option->name, VC_OPTION_CONFIG) != 0 &&
           strcmp(option->name, VC_OPTION_CHECK) != 0 &&
           strcmp(option->name, VC_OPTION_VERSION) != 0;
}

static gboolean
find_key(const VcOption *table, const char *key, gsize *index)
{
    for (gsize i = 0; table[i].name != NULL; i++) {
        if (strcmp(table[i].name, key) == 0) {
            *index = i;
            return is_key(&table[i]);
        }
    }
    return FALSE;
}

static gboolean
read_key(Reader *reader, const char *key, const char *text, GError **error)
{
    VcOptionFile *file = reader->file;
    gsize i;
    g_autoptr(GError) why = NULL;

    if (!reader->is_inside)
        return wrong(reader, error, "%s stands before the group [%s]", key, reader->group);
    if (!find_key(file->table, key, &i))
        return wrong(reader, error, "%s is not a key that is known here", key);
    if (file->given[i].line != 0)
        return wrong(reader, error, "%s is in line %u already", key, file->given[i].line);

    g_auto(GStrv) values = read_values(&file->table[i], text, &why);
    if (values == NULL)
        return wrong(reader, error, "%s: %s", key, why->message);
    if (!check_values(reader, &file->table[i], values, error))
        return FALSE;
    file->given[i] = (Given){reader->line, g_steal_pointer(&values)};
    return TRUE;
}

static gboolean
read_group(Reader *reader, const char *line, GError **error)
{
    g_autofree char *expected = g_strdup_printf("[%s]", reader->group);

    reader->is_inside = strcmp(line, expected) == 0;
    return reader->is_inside ||
           wrong(reader, error, "%s is not a group that is known here, which is %s", line,
                 expected);
}

static gboolean
read_line(Reader *reader, char *line, GError **error)
{
    g_strstrip(line);
    if (line[0] == '\0' || line[0] == '#')
        return TRUE;
    if (line[0] == '[')
        return read_group(reader, line, error);

    char *equals = strchr(line, '=');
    if (equals == NULL)
        return wrong(reader, error, "neither a comment nor a group nor key=value");
    *equals = '\0';
    return read_key(reader, g_strchomp(line), g_strchug(equals + 1), error);
}

/* --- files --- */

static gboolean
read_lines(VcOptionFile *self, const char *text, const char *group, GError **error)
{
    Reader reader = {.file = self, .group = group};
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line != NULL; line++) {
        reader.line++;
        if (!read_line(&reader, *line, error))
            return FALSE;
    }
    return TRUE;
}

VcOptionFile *
vc_option_file_read(const VcOption *table, const char *path, const char *group, GError **error)
{
    g_autoptr(VcOptionFile) self = g_new0(VcOptionFile, 1);
    g_autoptr(GError) why = NULL;
    g_autofree char *text = NULL;
    gsize length;

    self->table = table;
    self->path = g_strdup(path);
    self->given = g_new0(Given, table_length(table));
    if (!g_file_get_contents(path, &text, &length, &why)) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s (see --%s)", why->message,
                    VC_OPTION_CONFIG);
        return NULL;
    }
    if (strlen(text) != length) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s: is not a text (see --%s)", path,
                    VC_OPTION_CONFIG);
        return NULL;
    }
    gboolean valid = read_lines(self, text, group, error);
    explicit_bzero(text, length); /* it may hold the store's password */
    return valid ? g_steal_pointer(&self) : NULL;
}

const char *const *
vc_option_file_values(const VcOptionFile *self, gsize index)
{
    return (const char *const *)self->given[index].values;
}

void
vc_option_file_forget(VcOptionFile *self, gsize index)
{
    self->given[index].line = 0;
}

void
vc_option_file_free(VcOptionFile *self)
{
    if (self == NULL)
        return;
    for (gsize i = 0; self->table[i].name != NULL; i++)
        g_strfreev(self->given[i].values);
    g_free(self->given);
    g_free(self->path);
    g_free(self);
}

/* --- places of errors --- */

/* Length of the flag's name that text begins with, its dashes left out. */
static gsize
name_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

static guint
line_of(const VcOptionFile *self, const char *name, gsize length)
{
    for (gsize i = 0; self->table[i].name != NULL; i++) {
        const char *known = self->table[i].name;
        if (strlen(known) == length && strncmp(known, name, length) == 0)
            return self->given[i].line;
    }
    return 0;
}

static void
put_place(const VcOptionFile *self, GError *error, const char *dashes, guint line)
{
    g_autofree char *before = g_strndup(error->message, (gsize)(dashes - error->message));
    char *message = g_strdup_printf("%s:%u: %s%s", self->path, line, before, dashes + 2);

    g_free(error->message);
    error->message = message;
}

void
vc_option_file_locate(const VcOptionFile *self, GError **error)
{
    if (self == NULL || error == NULL || *error == NULL)
        return;
    for (const char *at = strstr((*error)->message, "--"); at != NULL;
         at = strstr(at + 2, "--")) {
        guint line = line_of(self, at + 2, name_length(at + 2));
        if (line != 0) {
            put_place(self, *error, at, line);
            return;
        }
    }
}
