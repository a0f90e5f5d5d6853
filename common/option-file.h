/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Options from a key file: one group, keys that are flags without their dashes. It remembers
 * the lines, so that what turns out to be wrong later is found there too. */
#pragma once

#include "common/options.h"

typedef struct VcOptionFile VcOptionFile;

/* Reads the file and checks its form: groups, keys, kinds of values. Errors: VC_ERROR_CONFIG,
 * "PATH:LINE: KEY ...". table: not owned, it must stay. */
VcOptionFile *vc_option_file_read(const VcOption *table, const char *path, const char *group,
                                  GError **error);

/* What the option at this index of the table has in the file, as a user would type it on the
 * command line, "true" or "false" of a flag; NULL: nothing. */
const char *const *vc_option_file_values(const VcOptionFile *self, gsize index);

/* A flag has replaced what the file says. */
void vc_option_file_forget(VcOptionFile *self, gsize index);

/* Where the error names a flag whose value is from the file, it gets the place in front:
 * "--key is wrong" becomes "PATH:LINE: key is wrong". self, error, *error: nullable. */
void vc_option_file_locate(const VcOptionFile *self, GError **error);

void vc_option_file_free(VcOptionFile *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcOptionFile, vc_option_file_free)
