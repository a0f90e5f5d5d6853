/* SPDX-License-Identifier: LGPL-2.1-or-later
 * gnutls with a private key that OpenSSL signs with. A signature by RSA-2048 takes gnutls 1.4
 * ms and OpenSSL 0.24, of the 2.5 ms that a connection costs then; one by P-256 45 us and 23.
 */
#pragma once

#include "common/tls.h"

/* Before anybody shares the credentials, which have been loaded from these files: so they are
 * known to be good. Keys of other kinds stay with gnutls. FALSE with VC_ERROR_CONFIG where they
 * have changed meanwhile. */
gboolean vcp_signing_key_use(VcTlsCredentials *credentials, const char *cert, const char *key,
                             GError **error);
