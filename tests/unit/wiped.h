/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Whether a secret was overwritten before its memory was given back. Programs that use it are
 * linked with
 * --wrap=g_free. */
#pragma once

#include <glib.h>

/* Watches a NUL-terminated string that is about to be freed. */
void wiped_watch(const char *secret);

/* Whether the watched string has been freed, and was empty by then. */
gboolean wiped_was(void);
