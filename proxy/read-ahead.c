/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Reading ahead of gnutls. */
#include "proxy/read-ahead.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Beside what is asked for: with a record's header, four records of 16 KiB. */
#define AHEAD_SIZE 65664

static gssize
read_socket(VcpReadAhead *self, void *to, gsize length)
{
    if (self->bytes == NULL)
        self->bytes = g_malloc(AHEAD_SIZE);
    struct iovec parts[] = {{to, length}, {self->bytes, AHEAD_SIZE}};
    gssize n = readv(self->fd, parts, G_N_ELEMENTS(parts));

    self->is_drained = n >= 0 && (gsize)n < length + AHEAD_SIZE;
    self->start = 0;
    self->end = n > (gssize)length ? (gsize)n - length : 0;
    return MIN(n, (gssize)length);
}

gssize
vcp_read_ahead_take(VcpReadAhead *self, void *to, gsize length)
{
    if (vcp_read_ahead_has(self)) {
        gsize part = MIN(length, self->end - self->start);
        memcpy(to, self->bytes + self->start, part);
        self->start += part;
        return (gssize)part;
    }
    if (!self->is_drained)
        return read_socket(self, to, length);
    errno = EAGAIN;
    return -1;
}

void
vcp_read_ahead_rest(VcpReadAhead *self)
{
    self->is_drained = FALSE;
    if (!vcp_read_ahead_has(self))
        vcp_read_ahead_clear(self);
}

void
vcp_read_ahead_clear(VcpReadAhead *self)
{
    g_clear_pointer(&self->bytes, g_free);
    self->start = self->end = 0;
}
