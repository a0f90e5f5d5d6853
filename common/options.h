/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Options from one table: defaults, command line, a file, checks of range, --help. */
#pragma once

#include <glib.h>

typedef enum {
    VC_OPTION_BOOLEAN, /* gboolean */
    VC_OPTION_STRING,  /* char *, full, nullable */
    VC_OPTION_STRINGS, /* char **, full, never NULL; each use of the flag adds one */
    VC_OPTION_INTEGER, /* guint, within minimum and maximum */
} VcOptionKind;

typedef struct {
    const char *name; /* without dashes; NULL ends the table */
    char short_name;
    VcOptionKind kind;
    gsize offset;              /* of the field in the configuration's struct */
    const char *default_value; /* nullable; as a user would type it */
    guint minimum, maximum;
    const char *argument; /* what --help calls the value */
    const char *help;
} VcOption;

/* Flags that say what to do with the configuration; no keys of the file. */
#define VC_OPTION_CONFIG  "config"
#define VC_OPTION_CHECK   "check-config"
#define VC_OPTION_VERSION "version"

/* Gives the fields of *config (all zero) their defaults, then those of the command line.
 * summary stands in --help.
 * --help prints and exits with 0. Errors: VC_ERROR_CONFIG. Main thread. */
gboolean vc_options_parse(const VcOption *table, gpointer config, int argc, char **argv,
                          const char *summary, GError **error);

/* What --help says beside the flags. */
typedef struct {
    const char *arguments;   /* nullable; follows [OPTION…] in the usage */
    const char *summary;     /* above the flags */
    const char *description; /* nullable; below the flags */
    gboolean has_commands; /* flags end at the first argument that is none: a command's name */
} VcUsage;

/* As vc_options_parse(), for a program that takes arguments: *arguments (full) is what is left
 * beside the flags. Fields whose option has no default are left as they are, but lists. */
gboolean vc_options_parse_arguments(const VcOption *table, gpointer config, int argc,
                                    char **argv, const VcUsage *usage, char ***arguments,
                                    GError **error);

struct VcOptionFile;

/* As vc_options_parse(), with the values of a file between the defaults and the flags, where
 * the flag VC_OPTION_CONFIG names one. *file: what was read of it (full, nullable), for errors
 * that are found later; those from here have their places. */
gboolean vc_options_parse_with_file(const VcOption *table, gpointer config, const char *group,
                                    int argc, char **argv, const char *summary,
                                    struct VcOptionFile **file, GError **error);

/* Whether the option has the same value in two configurations. name: one of the table's. */
gboolean vc_options_equal(const VcOption *table, const char *name, gconstpointer a,
                          gconstpointer b);

/* Frees what the fields own and sets all to zero. */
void vc_options_clear(const VcOption *table, gpointer config);
