/* SPDX-License-Identifier: LGPL-2.1-or-later
 * g_free() as the linker puts it in place of GLib's own: looks before it frees. */
#include "wiped.h"

#include <string.h>

void __real_g_free(gpointer memory);
void __wrap_g_free(gpointer memory);

static const char *watched;
static gsize length;
static gboolean wiped;

void
wiped_watch(const char *secret)
{
    watched = secret;
    length = strlen(secret);
    wiped = FALSE;
}

gboolean
wiped_was(void)
{
    return wiped;
}

void
__wrap_g_free(gpointer memory)
{
    if (memory != NULL && memory == watched) {
        wiped = TRUE;
        for (gsize i = 0; i < length; i++)
            wiped = wiped && watched[i] == '\0';
        watched = NULL;
    }
    __real_g_free(memory);
}
