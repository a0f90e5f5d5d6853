/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What both daemons are told in the same way: their log, and where the rest of it stands. */
#pragma once

#include "common/option-file.h"

/* A member called common of the daemon's configuration. */
typedef struct {
    gboolean verbose;
    char *log_level;
    char *config; /* nullable: the file */
    gboolean check_config;
    gboolean version;

    /* Derived */
    GLogLevelFlags shown; /* level of the log */
    char **arguments;     /* the command line, to be read again */
    VcOptionFile *file;   /* nullable */
} VcDaemonOptions;

/* Rows of a table, for a file that has AT(field), the offset of a field in its own
 * configuration. */
#define FLAG(name, field, help)                                                                \
    {                                                                                          \
        name, 0, VC_OPTION_BOOLEAN, AT(field), NULL, 0, 0, NULL, help                          \
    }
#define TEXT(name, field, def, arg, help)                                                      \
    {                                                                                          \
        name, 0, VC_OPTION_STRING, AT(field), def, 0, 0, arg, help                             \
    }
#define LIST(name, field, def, arg, help)                                                      \
    {                                                                                          \
        name, 0, VC_OPTION_STRINGS, AT(field), def, 0, 0, arg, help                            \
    }
#define COUNT(name, field, def, help)                                                          \
    {                                                                                          \
        name, 0, VC_OPTION_INTEGER, AT(field), def, 0, 1000000, "N", help                      \
    }
#define LIMIT(name, field, def, help)                                                          \
    {                                                                                          \
        name, 0, VC_OPTION_INTEGER, AT(field), def, 0, 31622400, "SECONDS", help               \
    }
#define TIME(name, field, def, help)                                                           \
    {                                                                                          \
        name, 0, VC_OPTION_INTEGER, AT(field), def, 1, 86400, "SECONDS", help                  \
    }

/* The last rows of the daemon's table. */
/* clang-format off */
#define VC_DAEMON_ROWS \
    {"verbose", 'v', VC_OPTION_BOOLEAN, AT(common.verbose), NULL, 0, 0, NULL, "The same as --log-level info"}, \
    TEXT("log-level", common.log_level, "message", "LEVEL", "error, warning, message, info or debug"), \
    TEXT(VC_OPTION_CONFIG, common.config, NULL, "FILE", "Take what no flag says from this file"), \
    FLAG(VC_OPTION_CHECK, common.check_config, "Check options and files, say what is wrong, and exit"), \
    FLAG(VC_OPTION_VERSION, common.version, "Print the version and exit")
/* clang-format on */

/* Fills in config (all zero), whose member common is self, from the file and the command line,
 * and checks what is common. Errors: VC_ERROR_CONFIG. Main thread. */
gboolean vc_daemon_options_parse(VcDaemonOptions *self, const VcOption *table, gpointer config,
                                 const char *group, int argc, char **argv, const char *summary,
                                 GError **error);

/* Says which of the options that count at the start only (NULL-terminated names) the two
 * configurations differ in. */
void vc_daemon_options_warn_of_restart(const VcOption *table, const char *const *at_start,
                                       gconstpointer started, gconstpointer now);

/* Frees what is derived; the rest is the table's. */
void vc_daemon_options_clear(VcDaemonOptions *self);
