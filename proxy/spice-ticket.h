/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The ticket: a SPICE password as the server wants to see it. */
#pragma once

#include "proxy/spice-link.h"

/* Encrypts password for the server whose key this is (DER). FALSE with VC_ERROR_AUTHENTICATION
 * where no server could accept the password, or VC_ERROR_PROTOCOL where the key is none. */
gboolean vcp_spice_ticket(const char *password, const guint8 key[VCP_SPICE_KEY],
                          guint8 ticket[VCP_SPICE_TICKET], GError **error);
