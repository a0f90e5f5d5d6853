/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What the daemon says, as text for people. */
#include <string.h>

#include "proxy/ctl.h"

#define N_COLUMNS 9

static const char *const heads[N_COLUMNS] = {"ID",      "TYPE",  "STATE", "TOKEN", "CLIENT",
                                             "CONSOLE", "SINCE", "IN",    "OUT"};

/* A client's unix socket may have any name. */
static char *
printable(const char *text)
{
    GString *clean = g_string_new(NULL);

    for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        g_string_append_unichar(clean, g_unichar_isprint(c) ? c : '?');
    }
    return g_string_free(clean, FALSE);
}

static char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return printable(text != NULL ? text : "?");
}

static json_int_t
number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* "950", "1.2K", "37M": four characters at the most. */
static char *
short_bytes(json_int_t bytes)
{
    static const char units[] = "KMGTP";
    double value = (double)bytes;
    gsize unit = 0;

    if (bytes < 1000)
        return g_strdup_printf("%d", (int)bytes);
    for (value /= 1024; value >= 999.5 && unit + 1 < strlen(units); unit++)
        value /= 1024;
    return g_strdup_printf(value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

/* "12s", "5m12s", "3h05m", "2d04h". */
static char *
short_time(gint64 seconds)
{
    seconds = MAX(seconds, 0);
    int s = (int)(seconds % 60), m = (int)(seconds / 60 % 60), h = (int)(seconds / 3600 % 24);
    int d = (int)(seconds / 86400);

    if (d > 0)
        return g_strdup_printf("%dd%02dh", d, h);
    if (h > 0)
        return g_strdup_printf("%dh%02dm", h, m);
    if (m > 0)
        return g_strdup_printf("%dm%02ds", m, s);
    return g_strdup_printf("%ds", s);
}

static char *
time_since(const json_t *object, gint64 now_s)
{
    const char *text = json_string_value(json_object_get(object, "startedAt"));
    g_autoptr(GDateTime) then = text != NULL ? g_date_time_new_from_iso8601(text, NULL) : NULL;

    return then != NULL ? short_time(now_s - g_date_time_to_unix(then)) : g_strdup("?");
}

char *
vcp_ctl_summary(const json_t *status, gint64 now_s)
{
    const json_t *totals = json_object_get(status, "totals");
    g_autofree char *version = text_of(status, "version");
    g_autofree char *since = time_since(status, now_s);
    g_autofree char *in = short_bytes(number_of(totals, "bytesIn"));
    g_autofree char *out = short_bytes(number_of(totals, "bytesOut"));

    return g_strdup_printf(
        "version      %s\n"
        "state        %s\n"
        "running for  %s\n"
        "workers      %" JSON_INTEGER_FORMAT "\n"
        "sessions     %" JSON_INTEGER_FORMAT " now, %" JSON_INTEGER_FORMAT
        " started, %" JSON_INTEGER_FORMAT " ended\n"
        "connections  %" JSON_INTEGER_FORMAT "\n"
        "bytes        %s in, %s out\n",
        version, json_is_true(json_object_get(status, "draining")) ? "draining" : "ready",
        since, number_of(status, "workers"), number_of(totals, "sessions"),
        number_of(totals, "started"), number_of(totals, "ended"),
        number_of(totals, "connections"), in, out);
}

/* --- the table --- */

static GStrv
make_row(const json_t *session, gint64 now_s)
{
    char **row = g_new0(char *, N_COLUMNS + 1);

    row[0] = g_strdup_printf("%" JSON_INTEGER_FORMAT, number_of(session, "id"));
    row[1] = text_of(session, "type");
    row[2] = text_of(session, "state");
    row[3] = text_of(session, "tokenId");
    row[4] = text_of(session, "client");
    row[5] = text_of(session, "console");
    row[6] = time_since(session, now_s);
    row[7] = short_bytes(number_of(session, "bytesIn"));
    row[8] = short_bytes(number_of(session, "bytesOut"));
    return row;
}

static void
append_row(GString *text, const char *const *row, const glong *widths)
{
    for (guint i = 0; i < N_COLUMNS; i++) {
        glong padding = widths[i] - g_utf8_strlen(row[i], -1);
        g_string_append(text, row[i]);
        if (i + 1 < N_COLUMNS)
            g_string_append_printf(text, "%*s", (int)padding + 2, "");
    }
    g_string_append_c(text, '\n');
}

char *
vcp_ctl_table(const json_t *status, gint64 now_s, guint rows)
{
    g_autoptr(GPtrArray) table = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    const json_t *sessions = json_object_get(status, "sessions");
    gsize n = json_array_size(sessions), shown = rows > 0 ? MIN(n, rows) : n;
    GString *text = g_string_new(NULL);
    glong widths[N_COLUMNS];

    for (guint i = 0; i < N_COLUMNS; i++)
        widths[i] = (glong)strlen(heads[i]);
    for (gsize at = 0; at < shown; at++) {
        char **row = make_row(json_array_get(sessions, at), now_s);
        g_ptr_array_add(table, row);
        for (guint i = 0; i < N_COLUMNS; i++)
            widths[i] = MAX(widths[i], g_utf8_strlen(row[i], -1));
    }
    append_row(text, heads, widths);
    for (guint i = 0; i < table->len; i++)
        append_row(text, g_ptr_array_index(table, i), widths);
    if (shown < n)
        g_string_append_printf(text, "... and %" G_GSIZE_FORMAT " more\n", n - shown);
    return g_string_free(text, FALSE);
}
