/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The common part of two configurations. */
#include "common/daemon-options.h"

#include "common/error.h"
#include "common/log.h"

static gboolean
check_log_level(VcDaemonOptions *self, GError **error)
{
    if (!vc_log_parse_level(self->log_level, &self->shown)) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                    "--log-level %s: must be error, warning, message, info or debug",
                    self->log_level);
        return FALSE;
    }
    if (self->verbose)
        self->shown = MAX(self->shown, G_LOG_LEVEL_INFO);
    return TRUE;
}

static char **
copy_arguments(int argc, char **argv)
{
    char **copy = g_new0(char *, (gsize)argc + 1);

    for (int i = 0; i < argc; i++)
        copy[i] = g_strdup(argv[i]);
    return copy;
}

gboolean
vc_daemon_options_parse(VcDaemonOptions *self, const VcOption *table, gpointer config,
                        const char *group, int argc, char **argv, const char *summary,
                        GError **error)
{
    self->arguments = copy_arguments(argc, argv);
    if (!vc_options_parse_with_file(table, config, group, argc, argv, summary, &self->file,
                                    error))
        return FALSE;
    if (check_log_level(self, error))
        return TRUE;
    vc_option_file_locate(self->file, error);
    return FALSE;
}

void
vc_daemon_options_warn_of_restart(const VcOption *table, const char *const *at_start,
                                  gconstpointer started, gconstpointer now)
{
    for (; *at_start != NULL; at_start++) {
        if (!vc_options_equal(table, *at_start, started, now))
            g_warning("%s has changed: it takes a restart to have an effect", *at_start);
    }
}

void
vc_daemon_options_clear(VcDaemonOptions *self)
{
    g_clear_pointer(&self->arguments, g_strfreev);
    g_clear_pointer(&self->file, vc_option_file_free);
}
