/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What a client may say to a VNC server: follows its messages from ClientInit on (RFC
 * 6143, 7.3.1 and 7.5) and takes out what the session's policy forbids. */
#pragma once

#include "common/buffer.h"

/* What the client may do beyond looking at the console and using its keyboard and mouse. */
typedef enum {
    VCP_RFB_POWER = 1 << 0, /* shut down, reboot, reset (xvp) */
} VcpRfbPermission;

typedef struct {
    unsigned permissions; /* VcpRfbPermission bits */
    gsize left;           /* bytes of the current message that did not go by yet */
    gboolean drops;       /* what becomes of them */
} VcpRfbFilter;

void vcp_rfb_filter_init(VcpRfbFilter *self, unsigned permissions);

/* Moves what may pass from one buffer to the other; what waits for more bytes or for room stays
 * in from. FALSE with VC_ERROR_CLIENT where a message is unknown or too long. */
gboolean vcp_rfb_filter_run(VcpRfbFilter *self, VcBuffer *from, VcBuffer *to, GError **error);
