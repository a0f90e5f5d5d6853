/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Web origins (RFC 6454) in a form in which equal ones are equal strings. Pure. */
#pragma once

#include <glib.h>

/* "https://Host" → "https://host:443". NULL for whatever is not scheme://host[:port], "null"
 * among them. */
char *vcp_origin_normalise(const char *text);
