/* SPDX-License-Identifier: LGPL-2.1-or-later
 * IP addresses as numbers, and networks of them: "192.0.2.0/24", "2001:db8::/32". Pure. */
#pragma once

#include <glib.h>
#include <sys/socket.h>

/* IPv4 addresses as IPv4-mapped ones of IPv6 (RFC 4291, 2.5.5.2), so that however one is
 * written it is the same. */
typedef struct {
    guint8 bytes[16];
} VcIp;

typedef struct {
    VcIp ip;
    guint bits; /* of the 128 */
} VcNetwork;

/* A literal without brackets; a zone ("%eth0") behind an IPv6 one is left out. FALSE where it
 * is none. */
gboolean vc_ip_parse(const char *text, VcIp *ip);

/* That of a peer as vc_sockaddr_to_string() writes it, with a port or without. FALSE where it
 * has none: a unix socket. */
gboolean vc_ip_of_peer(const char *peer, VcIp *ip);

/* FALSE for families other than AF_INET and AF_INET6. */
gboolean vc_ip_from_sockaddr(const struct sockaddr *address, VcIp *ip, guint16 *port);

/* As a peer is written: "192.0.2.1:80", "[2001:db8::1]:80"; port 0: without one. full. */
char *vc_ip_to_peer(const VcIp *ip, guint16 port);

gboolean vc_ip_is_v4(const VcIp *ip);
gboolean vc_ip_is_equal(const VcIp *one, const VcIp *other);
gboolean vc_ip_is_loopback(const VcIp *ip);    /* 127.0.0.0/8, ::1 */
gboolean vc_ip_is_link_local(const VcIp *ip);  /* 169.254.0.0/16, fe80::/10 */
gboolean vc_ip_is_unspecified(const VcIp *ip); /* 0.0.0.0/8, :: */

/* "ADDRESS/BITS" or an address alone. Errors: VC_ERROR_CONFIG, what is wrong with it, without
 * the text: not an address, too many bits, bits set behind the prefix. */
gboolean vc_network_parse(const char *text, VcNetwork *network, GError **error);

/* A network of IPv6 has no address of IPv4, whatever its length. */
gboolean vc_network_has(const VcNetwork *self, const VcIp *ip);
