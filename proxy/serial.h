/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The handshake of a serial console: nobody says anything to begin with, and it has to be found
 * out all the same whether somebody listens. */
#pragma once

#include "proxy/handshake.h"

/* Contract: proxy/handshake.h. service is of type VC_CONSOLE_SERIAL. */
VcpHandshake *vcp_serial_new(VcService *service, gboolean has_credentials);
