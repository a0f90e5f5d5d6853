/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What an endpoint polls its socket for, changed only where it changes: libuv takes a
 * descriptor out of the kernel's set and puts it in again for each start. On the loop's thread.
 */
#pragma once

#include <glib.h>
#include <uv.h>

typedef struct {
    uv_poll_t *handle; /* nullable: nothing to poll; owned by the endpoint */
    int events;        /* that it polls for */
} VcpPoll;

static inline void
vcp_poll_for(VcpPoll *self, int events, uv_poll_cb func)
{
    if (self->handle == NULL || events == self->events)
        return;
    self->events = events;
    if (events != 0)
        uv_poll_start(self->handle, events, func);
    else
        uv_poll_stop(self->handle);
}

/* What a callback's arguments mean. What is wrong with a socket is reported best by the call
 * that meets it, so then everything may be tried; libuv has stopped polling. */
static inline int
vcp_poll_result(VcpPoll *self, int status, int events)
{
    if (status >= 0)
        return events;
    self->events = 0;
    return UV_READABLE | UV_WRITABLE;
}
