/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The SPICE sessions whose main channel is in this process: their further websockets are let in
 * without being counted. Shared by all workers, locked. */
#pragma once

#include <glib.h>

typedef struct VcpSpiceLive VcpSpiceLive;

VcpSpiceLive *vcp_spice_live_new(void);
void vcp_spice_live_free(VcpSpiceLive *self); /* nullable; every session has ended */

/* All from here on: any thread. */
void vcp_spice_live_begin(VcpSpiceLive *self, const char *token_digest);
void vcp_spice_live_end(VcpSpiceLive *self, const char *token_digest);

/* One more websocket of the session; FALSE where there is none, or it has far more than any
 * client opens. */
gboolean vcp_spice_live_enter(VcpSpiceLive *self, const char *token_digest);
void vcp_spice_live_leave(VcpSpiceLive *self, const char *token_digest);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpSpiceLive, vcp_spice_live_free)
