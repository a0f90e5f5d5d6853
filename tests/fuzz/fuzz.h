/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The function that libFuzzer calls with each input, and so does replay.c. */
#pragma once

#include <glib.h>

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);
