/* SPDX-License-Identifier: LGPL-2.1-or-later
 * How many sessions there may be: in total, for an address, a token, a console. Shared by all
 * workers, locked. */
#pragma once

#include "proxy/spice-live.h"

typedef struct {
    guint total, per_address, per_token, per_console; /* 0: no limit */
} VcpLimitValues;

typedef struct VcpLimits VcpLimits;

/* One session's place in the counts. */
typedef struct VcpSlot VcpSlot;

VcpLimits *vcp_limits_new(VcpLimitValues values);
void vcp_limits_free(VcpLimits *self); /* nullable; all slots must be free */

/* Other limits for those who come from now on; nobody is thrown out. Any thread. */
void vcp_limits_set(VcpLimits *self, VcpLimitValues values);

/* address: the client's, without port; nullable where it is unknown (unix socket).
 * token_digest: of the token. NULL with VC_ERROR_FULL or VC_ERROR_TOO_MANY. Any thread. */
VcpSlot *vcp_limits_enter(VcpLimits *self, const char *address, const char *token_digest,
                          GError **error);

/* The place of a further websocket of a live SPICE session, which is counted already; NULL
 * where the token has none, or too many websockets. live: not owned. Any thread. */
VcpSlot *vcp_slot_new_extra(VcpSpiceLive *live, const char *token_digest);

/* Whether it is one of those. */
gboolean vcp_slot_is_extra(const VcpSlot *self);

/* Once the console is known; FALSE with VC_ERROR_IN_USE. Any thread. */
gboolean vcp_slot_enter_console(VcpSlot *self, const char *console, GError **error);

void vcp_slot_free(VcpSlot *self); /* nullable. Any thread */

/* Sessions that hold a slot now. */
guint vcp_limits_count(VcpLimits *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpLimits, vcp_limits_free)
