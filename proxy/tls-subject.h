/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The subject of a certificate against the one that a service names, as SPICE clients compare
 * it. Pure but for gnutls's parser. */
#pragma once

#include <glib.h>
#include <gnutls/x509.h>

/* expected: "O=Example,CN=host2": names and values in the certificate's order, all of them; a
 * backslash takes the next character as it is, and blanks around names do not count. Values are
 * compared byte by byte, names without regard to case. */
gboolean vcp_tls_subject_matches(const char *expected, gnutls_x509_crt_t certificate);
