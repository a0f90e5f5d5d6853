/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The handshake of a SPICE channel, and the tap on a main channel behind it. */
#pragma once

#include "proxy/handshake.h"

/* Contract: proxy/handshake.h. service is of type VC_CONSOLE_SPICE. */
VcpHandshake *vcp_spice_new(VcService *service, gboolean has_credentials);
