/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A socket's bytes for a library that asks for them in small pieces: gnutls reads a record's
 * header and its body one by one, and once more to find that there is no other. Here one system
 * call brings up to four records, and one that brings less says that the socket is empty. Holds
 * memory only while it holds bytes. */
#pragma once

#include <glib.h>

typedef struct {
    int fd;        /* not owned, non-blocking */
    guint8 *bytes; /* nullable; those from start to end are there */
    gsize start, end;
    gboolean is_drained; /* the socket had no more, until vcp_read_ahead_rest() */
} VcpReadAhead;

/* Like recv(2), with errno. */
gssize vcp_read_ahead_take(VcpReadAhead *self, void *to, gsize length);

/* Whether bytes are here that the socket will not tell of. */
static inline gboolean
vcp_read_ahead_has(const VcpReadAhead *self)
{
    return self->end > self->start;
}

/* Whoever took the bytes is about to wait for the socket. */
void vcp_read_ahead_rest(VcpReadAhead *self);

void vcp_read_ahead_clear(VcpReadAhead *self);
