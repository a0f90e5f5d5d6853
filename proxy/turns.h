/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Whoever has more to do than a turn of the loop allows waits here for the next, in the order
 * in which they came, while the loop looks at its sockets in between. A timer of 0 ms would not
 * do: libuv calls one that is set from a timer again at once. On the loop's thread. */
#pragma once

#include <glib.h>
#include <uv.h>

typedef struct VcpTurns VcpTurns;
typedef void (*VcpTurnFunc)(gpointer data);

/* func is called with the data of each link. */
VcpTurns *vcp_turns_new(uv_loop_t *loop, VcpTurnFunc func);

/* Nobody waits any more; the loop must run once more. */
void vcp_turns_free(VcpTurns *self);

/* For the next turn, once. link: not in any list; not owned. */
void vcp_turns_wait(VcpTurns *self, GList *link);

/* It waits no more. */
void vcp_turns_leave(VcpTurns *self, GList *link);
