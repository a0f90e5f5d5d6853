/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Addresses as text: "host:port", "[v6]:port". */
#pragma once

#include <glib.h>

/* Splits text into host (no brackets) and port (1–65535). A bare v6 literal without brackets is
 * refused, its port would be a guess. Errors: VC_ERROR_CONFIG, what is wrong with it, without
 * the text itself. Any thread. */
gboolean vc_address_split(const char *text, char **host /* full */, guint16 *port,
                          GError **error);

/* Whether host is an IPv4 or IPv6 literal (no brackets; a zone such as %eth0 may follow the
 * latter). */
gboolean vc_address_is_literal(const char *host);

/* The host of a peer's address as vc_listen() and the log have it, or NULL where it has none: a
 * unix socket. full. */
char *vc_address_without_port(const char *peer);

/* Whether host is such a literal or a host name: letters, digits and - . _, at most 253 of
 * them. Whatever is one can be looked up and logged. */
gboolean vc_address_is_host(const char *host);
