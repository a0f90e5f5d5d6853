/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One end of a session as the session sees it: two buffers and a way to move them. */
#pragma once

#include "common/buffer.h"

typedef struct VcpSession VcpSession;
typedef struct VcpEndpoint VcpEndpoint;

typedef struct {
    /* Reads into in as much as is there and fits. NULL where bytes arrive by themselves. */
    void (*fill)(VcpEndpoint *self);

    /* Sends from out as much as can go now. NULL where that happens by itself. */
    void (*flush)(VcpEndpoint *self);

    /* Call the session's pump when there is something to read, or when out can be written to
     * the peer. */
    void (*want)(VcpEndpoint *self, gboolean read, gboolean write);
} VcpEndpointOps;

struct VcpEndpoint {
    const VcpEndpointOps *ops;
    VcpSession *session; /* not owned; NULL once the session has let go */
    VcBuffer in;         /* came from the peer, not passed on yet */
    VcBuffer out;        /* goes to the peer, not sent yet */
    guint64 bytes_in;    /* payload in total */
    guint64 bytes_out;
    guint64 raw_in;  /* with what is no payload: frames' headers, pings and the like */
    gboolean ready;  /* connected, with whatever TLS was asked for */
    gboolean unsent; /* what left out, a ping or a close frame is not all with the kernel yet */
    gboolean eof;    /* nothing more will come; in may still hold bytes */
    GError *error;   /* full, nullable; why the end broke. eof is then set as well */
};
