/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The client's side of a VNC handshake, in whichever of the three versions of RFB it speaks. */
#pragma once

#include "proxy/rfb.h"

/* The only security type that a client is offered: its token let it in already. */
#define VCP_RFB_CLIENT_TYPE 1

typedef enum {
    VCP_RFB_CLIENT_UNKNOWN, /* its version is still to come */
    VCP_RFB_CLIENT_3,
    VCP_RFB_CLIENT_7,
    VCP_RFB_CLIENT_8,
    VCP_RFB_CLIENT_BAD, /* no version that the proxy speaks */
} VcpRfbClientVersion;

/* All zeros to begin with. */
typedef struct {
    VcpRfbClientVersion version;
    gboolean has_offer; /* it was told its security types, which say that it is welcome */
} VcpRfbClient;

/* FALSE where the proxy does not speak it. */
gboolean vcp_rfb_client_set_version(VcpRfbClient *self,
                                    const guint8 text[VCP_RFB_VERSION_LENGTH]);

/* Offers the one type. TRUE where the client answers with a choice, FALSE where it is in. */
gboolean vcp_rfb_client_offer(VcpRfbClient *self, VcBuffer *to);

/* Confirms the choice, where the version has a word for that. */
void vcp_rfb_client_accept(const VcpRfbClient *self, VcBuffer *to);

/* Turns the client away, where the version has words for that. Its version is known. */
void vcp_rfb_client_refuse(const VcpRfbClient *self, const char *why, VcBuffer *to);
