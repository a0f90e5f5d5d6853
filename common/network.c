/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Addresses and prefixes. */
#include "common/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/error.h"

#define V4_OFFSET 12
#define V4_BITS   96 /* ahead of an IPv4 address in its mapped form */
#define MAX_TEXT  64

static const guint8 mapped[V4_OFFSET] = {[10] = 0xff, [11] = 0xff};

static void
set_v4(VcIp *ip, const void *address)
{
    memcpy(ip->bytes, mapped, sizeof mapped);
    memcpy(ip->bytes + V4_OFFSET, address, 4);
}

gboolean
vc_ip_parse(const char *text, VcIp *ip)
{
    guint8 v4[4];
    char bare[MAX_TEXT];
    const char *zone = strchr(text, '%');

    if (inet_pton(AF_INET, text, v4) == 1) {
        set_v4(ip, v4);
        return TRUE;
    }
    if (zone == NULL)
        return inet_pton(AF_INET6, text, ip->bytes) == 1;
    if (zone - text >= MAX_TEXT)
        return FALSE;
    g_strlcpy(bare, text, (gsize)(zone - text) + 1);
    return inet_pton(AF_INET6, bare, ip->bytes) == 1;
}

gboolean
vc_ip_of_peer(const char *peer, VcIp *ip)
{
    char bare[MAX_TEXT];
    const char *begin = peer[0] == '[' ? peer + 1 : peer;
    gsize length = strcspn(begin, peer[0] == '[' ? "]" : ":");

    if (length >= MAX_TEXT)
        return FALSE;
    g_strlcpy(bare, begin, length + 1);
    return vc_ip_parse(bare, ip);
}

gboolean
vc_ip_from_sockaddr(const struct sockaddr *address, VcIp *ip, guint16 *port)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    if (address->sa_family == AF_INET) {
        set_v4(ip, &v4->sin_addr);
        *port = ntohs(v4->sin_port);
        return TRUE;
    }
    if (address->sa_family != AF_INET6)
        return FALSE;
    memcpy(ip->bytes, &v6->sin6_addr, sizeof ip->bytes);
    *port = ntohs(v6->sin6_port);
    return TRUE;
}

char *
vc_ip_to_peer(const VcIp *ip, guint16 port)
{
    gboolean is_v4 = vc_ip_is_v4(ip);
    char text[INET6_ADDRSTRLEN] = "";
    const void *address = is_v4 ? ip->bytes + V4_OFFSET : ip->bytes;

    inet_ntop(is_v4 ? AF_INET : AF_INET6, address, text, sizeof text);
    if (port == 0)
        return g_strdup_printf(is_v4 ? "%s" : "[%s]", text);
    return g_strdup_printf(is_v4 ? "%s:%u" : "[%s]:%u", text, port);
}

gboolean
vc_ip_is_v4(const VcIp *ip)
{
    return memcmp(ip->bytes, mapped, sizeof mapped) == 0;
}

gboolean
vc_ip_is_equal(const VcIp *one, const VcIp *other)
{
    return memcmp(one->bytes, other->bytes, sizeof one->bytes) == 0;
}

gboolean
vc_ip_is_loopback(const VcIp *ip)
{
    static const VcIp loopback = {{[15] = 1}};

    return vc_ip_is_v4(ip) ? ip->bytes[V4_OFFSET] == 127 : vc_ip_is_equal(ip, &loopback);
}

gboolean
vc_ip_is_link_local(const VcIp *ip)
{
    if (vc_ip_is_v4(ip))
        return ip->bytes[V4_OFFSET] == 169 && ip->bytes[V4_OFFSET + 1] == 254;
    return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

gboolean
vc_ip_is_unspecified(const VcIp *ip)
{
    static const VcIp unspecified = {{0}};

    return vc_ip_is_v4(ip) ? ip->bytes[V4_OFFSET] == 0 : vc_ip_is_equal(ip, &unspecified);
}

/* --- networks --- */

static gboolean
wrong(GError **error, const char *what)
{
    g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG, what);
    return FALSE;
}

/* Of the byte with this index, those bits that belong to the prefix. */
static guint8
mask(guint bits, guint index)
{
    if (bits >= index * 8 + 8)
        return 0xff;
    return bits <= index * 8 ? 0 : (guint8)(0xff << (index * 8 + 8 - bits));
}

static gboolean
is_clean(const VcNetwork *self)
{
    for (guint i = 0; i < sizeof self->ip.bytes; i++) {
        if ((self->ip.bytes[i] & ~mask(self->bits, i)) != 0)
            return FALSE;
    }
    return TRUE;
}

gboolean
vc_network_parse(const char *text, VcNetwork *network, GError **error)
{
    const char *slash = strchr(text, '/');
    g_autofree char *address = slash != NULL ? g_strndup(text, (gsize)(slash - text)) : NULL;
    guint64 bits;

    if (strchr(text, '%') != NULL ||
        !vc_ip_parse(address != NULL ? address : text, &network->ip))
        return wrong(error, "must be an IP address, or one with /BITS behind it");
    network->bits = 128;
    if (slash == NULL)
        return TRUE;

    /* What is written in the form of IPv6 counts its bits as such. */
    guint offset = strchr(address, ':') == NULL ? V4_BITS : 0;
    if (!g_ascii_string_to_unsigned(slash + 1, 10, 0, 128 - offset, &bits, NULL))
        return wrong(error, "must have from 0 to 32 bits behind its slash, or to 128 for IPv6");
    network->bits = (guint)bits + offset;
    return is_clean(network) || wrong(error, "has bits set behind its prefix");
}

gboolean
vc_network_has(const VcNetwork *self, const VcIp *ip)
{
    if (vc_ip_is_v4(ip) && self->bits < V4_BITS)
        return FALSE;
    for (guint i = 0; i < sizeof ip->bytes; i++) {
        if (((self->ip.bytes[i] ^ ip->bytes[i]) & mask(self->bits, i)) != 0)
            return FALSE;
    }
    return TRUE;
}
