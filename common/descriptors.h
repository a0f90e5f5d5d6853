/* SPDX-License-Identifier: LGPL-2.1-or-later
 * How many descriptors the process may have. */
#pragma once

#include <glib.h>

/* Raises the soft limit to wanted (0: without an end), as far as the hard limit goes; never
 * lowers it. Returns what it is then. Main thread, before there are others. */
guint64 vc_descriptors_raise(guint64 wanted);
