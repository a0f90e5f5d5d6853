/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Whether sessions still have the right to their console. The resolver is asked again for each
 * token, by one worker for all; every session of the token is told what came of it, or what the
 * resolver said unasked. */
#pragma once

#include "proxy/resolver.h"

/* Of all workers; locked. */
typedef struct VcpRights VcpRights;

/* A worker's part; on its thread. */
typedef struct VcpDesk VcpDesk;

/* One session's. */
typedef struct VcpRight VcpRight;

/* recheck_s: how often each token is asked for; 0: only when told to. */
VcpRights *vcp_rights_new(guint recheck_s);

/* Another one; where it is, every token is asked for now, and from then on in this step. Any
 * thread. */
void vcp_rights_set_recheck(VcpRights *self, guint recheck_s);
void vcp_rights_free(VcpRights *self); /* nullable; no desk is left */

/* The token is dead. digest: its. Any thread. */
void vcp_rights_dead(VcpRights *self, const char *digest);

/* Asks for the token now, or with NULL for all. Any thread. */
void vcp_rights_ask(VcpRights *self, const char *digest);

/* resolver: not owned. */
VcpDesk *vcp_desk_new(VcpRights *rights, uv_loop_t *loop, VcpResolver *resolver);
void vcp_desk_free(VcpDesk *self); /* nullable; no right is left */

/* service: what the token stands for now (not owned), or NULL: it is dead. The right may be
 * freed in it, and no other one. */
typedef void (*VcpRightTold)(VcService *service, gpointer data);

/* token: not owned; must stay until the right is freed. told is never called before this
 * returns. */
VcpRight *vcp_right_new(VcpDesk *desk, const char *token, VcpRightTold told, gpointer data);
void vcp_right_free(VcpRight *self); /* nullable */

/* Tells it at once what this worker has been told and has not come to yet, as a session that
 * ends for another reason may have that from the same event. It is told once more, if it is
 * still there. nullable */
void vcp_right_hear(VcpRight *self);

/* Something came from the client. now_ms: of the loop. */
void vcp_right_use(VcpRight *self, guint64 now_ms);

/* When something last came from a client with this token, on whichever worker. */
guint64 vcp_right_used_ms(const VcpRight *self);
