/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Levels by name, and which lines come out at which. */
#include "common/log.h"

#include <string.h>

static const struct {
    const char *name;
    GLogLevelFlags level;
} levels[] = {
    {"error", G_LOG_LEVEL_CRITICAL},  {"warning", G_LOG_LEVEL_WARNING},
    {"message", G_LOG_LEVEL_MESSAGE}, {"info", G_LOG_LEVEL_INFO},
    {"debug", G_LOG_LEVEL_DEBUG},
};

static void
test_parse(void)
{
    static const char *const unknown[] = {"",         "Error", "warn",    "info ",
                                          "critical", "0",     "messages"};
    GLogLevelFlags level = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        g_assert_true(vc_log_parse_level(levels[i].name, &level));
        g_assert_cmpint(level, ==, levels[i].level);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(unknown); i++)
        g_assert_false(vc_log_parse_level(unknown[i], &level));
}

/* A process has one log, so each level gets a process of its own. */
static void
write_lines(GLogLevelFlags shown)
{
    /* GLib's test framework would end the program at the first warning. */
    g_log_set_always_fatal(G_LOG_LEVEL_ERROR);
    vc_log_init(shown);
    g_critical("line of error %d%%s", 1);
    g_warning("line of warning");
    g_message("line of message");
    g_info("line of info");
    g_debug("line of debug");
}

static void
test_shown(gconstpointer data)
{
    gsize shown = GPOINTER_TO_SIZE(data);

    if (g_test_subprocess()) {
        write_lines(levels[shown].level);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        g_autofree char *pattern = g_strdup_printf("*T??:??:??.???Z %s: line of %s*\n*",
                                                   levels[i].name, levels[i].name);
        if (i <= shown)
            g_test_trap_assert_stderr(pattern);
        else
            g_test_trap_assert_stderr_unmatched(pattern);
    }
    g_test_trap_assert_stderr("*line of error 1%s\n*");
}

/* What peers, certificates and libraries say goes into messages. */
static void
test_one_line(void)
{
    if (g_test_subprocess()) {
        vc_log_init(G_LOG_LEVEL_MESSAGE);
        g_message("CN=x\n2030-01-01T00:00:00.000Z error: no\r\t\033[2J \177n\303\244h");
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr(
        "*Z message: CN=x 2030-01-01T00:00:00.000Z error: no   ?2J  n\303\244h\n*");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/log/parse", test_parse);
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        g_autofree char *path = g_strdup_printf("/log/shown/%s", levels[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_shown);
    }
    g_test_add_func("/log/one-line", test_one_line);
    return g_test_run();
}
