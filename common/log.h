/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The log: lines on stderr, or records in the journal where stderr leads there.
 * Use g_debug (protocol step), g_info (session), g_message (daemon's life), g_warning (the
 * operator must act) and g_critical (the daemon cannot do its work). Never a token, a password,
 * a query string or a resolver's answer. */
#pragma once

#include <glib.h>

/* "error", "warning", "message", "info", "debug" → *level; FALSE for anything else. */
gboolean vc_log_parse_level(const char *name, GLogLevelFlags *level);

/* Shows messages of level and above from now on. Call once, before threads. */
void vc_log_init(GLogLevelFlags level);

/* Another level from now on. Any thread. */
void vc_log_set_level(GLogLevelFlags level);
