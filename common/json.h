/* SPDX-License-Identifier: LGPL-2.1-or-later
 * JSON that may hold tokens and passwords. */
#pragma once

#include <jansson.h>

/* Lets jansson overwrite whatever it frees. Once, before its first use; main thread. */
void vc_json_init(void);
