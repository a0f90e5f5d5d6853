/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A queue that an idle handle serves: while one is active the loop does not wait. */
#include "proxy/turns.h"

struct VcpTurns {
    uv_idle_t idle; /* first: it is freed as one */
    VcpTurnFunc func;
    GQueue waiting;
    GList end; /* of a turn, in waiting while there is one */
};

static void
on_turn(uv_idle_t *idle)
{
    VcpTurns *self = (VcpTurns *)idle;

    /* Those that come back wait behind it. */
    g_queue_push_tail_link(&self->waiting, &self->end);
    for (GList *link = g_queue_pop_head_link(&self->waiting); link != &self->end;
         link = g_queue_pop_head_link(&self->waiting))
        self->func(link->data);
    if (self->waiting.length == 0)
        uv_idle_stop(idle);
}

VcpTurns *
vcp_turns_new(uv_loop_t *loop, VcpTurnFunc func)
{
    VcpTurns *self = g_new0(VcpTurns, 1);

    uv_idle_init(loop, &self->idle);
    self->func = func;
    return self;
}

static void
on_closed(uv_handle_t *handle)
{
    g_free(handle);
}

void
vcp_turns_free(VcpTurns *self)
{
    g_assert(self->waiting.length == 0);
    uv_close((uv_handle_t *)&self->idle, on_closed);
}

void
vcp_turns_wait(VcpTurns *self, GList *link)
{
    if (self->waiting.length == 0)
        uv_idle_start(&self->idle, on_turn);
    g_queue_push_tail_link(&self->waiting, link);
}

void
vcp_turns_leave(VcpTurns *self, GList *link)
{
    g_queue_unlink(&self->waiting, link);
}
