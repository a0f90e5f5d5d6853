/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The handshake of a VNC console: RFB towards the browser, RFB with VeNCrypt towards QEMU. */
#pragma once

#include "proxy/handshake.h"

/* Contract: proxy/handshake.h. service is of type VC_CONSOLE_VNC. */
VcpHandshake *vcp_vnc_new(VcService *service, gboolean has_credentials);
