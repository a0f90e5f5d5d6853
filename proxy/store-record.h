/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What the store remembers of one key, and what each request does to it. Pure: the caller
 * brings the time. store-redis.c says the same in Lua; the tests hold both to the same table.
 */
#pragma once

#include "proxy/store.h"

typedef struct {
    char owner[VCP_STORE_OWNER_SIZE]; /* "": nobody */
    guint64 held_until_ms;            /* then it is free, unless owner asks first */
    gboolean is_confirmed;

    guint32 session_id;
    char *console;    /* nullable */
    GArray *channels; /* nullable; of Slot */

    guint64 spent_until_ms;     /* 0: not spent */
    guint64 come_back_until_ms; /* 0: nobody may */
    char *client;               /* nullable */
} VcpRecord;

VcpStoreAnswer vcp_record_apply(VcpRecord *self, const VcpStoreRequest *request,
                                guint64 now_ms);

/* Nothing is left that anybody could ask for. */
gboolean vcp_record_is_void(const VcpRecord *self, guint64 now_ms);

void vcp_record_free(VcpRecord *self); /* nullable */
