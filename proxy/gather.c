/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Time is cut into windows. The first pieces of one are taken at once: somebody types, and a
 * key's echo is a piece or two. After those the rest of the window passes first; and a window
 * that follows a full one is full from its first piece on. */
#include "proxy/gather.h"

#define MAX_PIECES 4

/* As much in one piece is worth a frame of its own. */
#define LARGE 4096

static gboolean
is_full(const VcpGather *self)
{
    return self->pieces >= MAX_PIECES;
}

void
vcp_gather_took(VcpGather *self, guint64 now_ms, gsize length)
{
    guint64 age_ms = now_ms - self->since_ms;

    if (length >= LARGE) {
        self->pieces = 0;
        return;
    }
    if (age_ms >= VCP_GATHER_MS) {
        gboolean goes_on = is_full(self) && age_ms < VCP_GATHER_MS * 2;
        self->since_ms = now_ms;
        self->pieces = goes_on ? MAX_PIECES : 0;
    }
    self->pieces++;
}

void
vcp_gather_asked(VcpGather *self)
{
    self->pieces = 0;
}

guint64
vcp_gather_due(const VcpGather *self, guint64 now_ms)
{
    return is_full(self) ? MAX(now_ms, self->since_ms + VCP_GATHER_MS) : now_ms;
}
