/* SPDX-License-Identifier: LGPL-2.1-or-later
 * An allocator for jansson that leaves nothing behind. */
#include "common/json.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void
wipe_and_free(void *memory)
{
    if (memory != NULL)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

void
vc_json_init(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
}
