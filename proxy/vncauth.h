/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The password check of VNC authentication (RFC 6143, 7.2.2): a challenge answered with DES. */
#pragma once

#include <glib.h>

#define VCP_VNCAUTH_LENGTH 16

/* Answers a challenge. Only the first 8 bytes of password count; the empty one is a password
 * too. Error: VC_ERROR_POLICY where this system's cryptography does not allow DES (FIPS mode).
 * Any thread. */
gboolean vcp_vncauth_respond(const char *password, const guint8 challenge[VCP_VNCAUTH_LENGTH],
                             guint8 response[VCP_VNCAUTH_LENGTH], GError **error);
