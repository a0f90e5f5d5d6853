/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A descriptor and a timer. */
#include "proxy/linger.h"

#include <unistd.h>

#include "proxy/timer.h"

typedef struct {
    int fd;
    VcpTlsClient *tls; /* nullable */
    VcpTimer *timer;
} Linger;

static void
on_time(gpointer data)
{
    Linger *self = data;

    vcp_tls_client_free(self->tls);
    close(self->fd);
    vcp_timer_free(self->timer);
    g_free(self);
}

void
vcp_linger(uv_loop_t *loop, int fd, VcpTlsClient *tls, guint64 ms)
{
    Linger *self = g_new0(Linger, 1);

    self->fd = fd;
    self->tls = tls;
    self->timer = vcp_timer_new(loop, on_time, self);
    vcp_timer_start(self->timer, ms);
}
