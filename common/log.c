/* SPDX-License-Identifier: LGPL-2.1-or-later
 * GLib's log writer, filtered by level. */
#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    GLogLevelFlags level;
} levels[] = {
    {"error", G_LOG_LEVEL_CRITICAL},  {"warning", G_LOG_LEVEL_WARNING},
    {"message", G_LOG_LEVEL_MESSAGE}, {"info", G_LOG_LEVEL_INFO},
    {"debug", G_LOG_LEVEL_DEBUG},
};

static int shown = G_LOG_LEVEL_MESSAGE; /* atomic */

gboolean
vc_log_parse_level(const char *name, GLogLevelFlags *level)
{
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        if (strcmp(name, levels[i].name) == 0) {
            *level = levels[i].level;
            return TRUE;
        }
    }
    return FALSE;
}

static const char *
level_name(GLogLevelFlags level)
{
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        if (levels[i].level == level)
            return levels[i].name;
    }
    return "error";
}

static const char *
message_of(const GLogField *fields, gsize n_fields)
{
    for (gsize i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0)
            return fields[i].value;
    }
    return "";
}

/* A message is a line, whatever the names and texts in it contain. */
static void
flatten(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (g_ascii_iscntrl(*at))
            *at = ' ';
    }
}

static GLogWriterOutput
write_line(GLogLevelFlags level, const char *message)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");
    g_autofree char *text = g_strdup(message);

    flatten(text);
    g_autofree char *line =
        g_strdup_printf("%s.%03dZ %s: %s\n", time, g_date_time_get_microsecond(now) / 1000,
                        level_name(level), text);

    /* One write a line, so that the lines of several threads stay whole. */
    ssize_t written = write(STDERR_FILENO, line, strlen(line));
    return written < 0 ? G_LOG_WRITER_UNHANDLED : G_LOG_WRITER_HANDLED;
}

static GLogWriterOutput
writer(GLogLevelFlags flags, const GLogField *fields, gsize n_fields, gpointer data)
{
    GLogLevelFlags level = flags & G_LOG_LEVEL_MASK;

    /* A greater level is a lesser matter. */
    if ((int)level > g_atomic_int_get(&shown))
        return G_LOG_WRITER_HANDLED;
    if (g_log_writer_is_journald(STDERR_FILENO) &&
        g_log_writer_journald(flags, fields, n_fields, data) == G_LOG_WRITER_HANDLED)
        return G_LOG_WRITER_HANDLED;
    return write_line(level, message_of(fields, n_fields));
}

void
vc_log_set_level(GLogLevelFlags level)
{
    g_atomic_int_set(&shown, (int)level);
}

void
vc_log_init(GLogLevelFlags level)
{
    vc_log_set_level(level);
    g_log_set_writer_func(writer, NULL, NULL);
}
