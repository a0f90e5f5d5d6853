/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Version 1 is a line: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n". Version 2 is a
 * signature of 12 bytes, version and command, family and transport, a length, and so many bytes
 * of addresses and TLVs. */
#include "proxy/proxy-protocol.h"

#include <string.h>

#include "common/bytes.h"

#define V1_PREFIX "PROXY "
#define V1_MAX    107 /* with its CR LF */

#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2_FIXED     16
#define V2_LOCAL     0x20
#define V2_PROXY     0x21
#define V2_CRC32C    0x03 /* a TLV */

/* --- version 1 --- */

static gboolean
read_port(const char *text, guint16 *port)
{
    guint64 number;

    if ((text[0] == '0' && text[1] != '\0') ||
        !g_ascii_string_to_unsigned(text, 10, 0, 65535, &number, NULL))
        return FALSE;
    *port = (guint16)number;
    return TRUE;
}

static gboolean
read_address(const char *text, gboolean is_v4, VcIp *ip)
{
    return strchr(text, '%') == NULL && (strchr(text, ':') == NULL) == is_v4 &&
           vc_ip_parse(text, ip);
}

/* The words of a line: family, source, destination, and their ports. */
static gboolean
read_words(char **words, VcpProxyHeader *header)
{
    gboolean is_v4 = strcmp(words[0], "TCP4") == 0;
    guint16 port;
    VcIp ip;

    if (g_strv_length(words) != 5 || (!is_v4 && strcmp(words[0], "TCP6") != 0))
        return FALSE;
    header->has_source = TRUE;
    return read_address(words[1], is_v4, &header->source) &&
           read_address(words[2], is_v4, &ip) && read_port(words[3], &header->port) &&
           read_port(words[4], &port);
}

/* What follows UNKNOWN in its line means nothing. */
static gboolean
read_line(const char *line, VcpProxyHeader *header)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);

    if (words[0] != NULL && strcmp(words[0], "UNKNOWN") == 0)
        return TRUE;
    return words[0] != NULL && read_words(words, header);
}

static VcpProxyStep
parse_v1(const guint8 *data, gsize length, VcpProxyHeader *header)
{
    const gsize prefix = strlen(V1_PREFIX);
    const guint8 *end = memchr(data, '\n', MIN(length, V1_MAX));
    gsize line = end != NULL ? (gsize)(end - data) : 0;

    if (memcmp(data, V1_PREFIX, MIN(length, prefix)) != 0)
        return VCP_PROXY_NONE;
    if (end == NULL)
        return length < V1_MAX ? VCP_PROXY_WAIT : VCP_PROXY_WRONG;
    if (line <= prefix || data[line - 1] != '\r' || memchr(data, '\0', line) != NULL)
        return VCP_PROXY_WRONG;

    g_autofree char *text = g_strndup((const char *)data + prefix, line - 1 - prefix);
    *header = (VcpProxyHeader){.length = line + 1};
    return read_line(text, header) ? VCP_PROXY_HEADER : VCP_PROXY_WRONG;
}

/* --- version 2 --- */

/* Of all length bytes, those of the sum itself, at hole, taken as 0 (RFC 3720, B.4). */
static guint32
crc32c(const guint8 *data, gsize length, gsize hole)
{
    guint32 sum = 0xffffffff;

    for (gsize i = 0; i < length; i++) {
        sum ^= i >= hole && i < hole + 4 ? 0 : data[i];
        for (int bit = 0; bit < 8; bit++)
            sum = (sum >> 1) ^ ((sum & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~sum;
}

/* at: where the TLVs begin. Nothing of them is used, but a sum must be right. */
static gboolean
check_tlvs(const guint8 *data, gsize length, gsize at)
{
    while (at < length) {
        if (length - at < 3)
            return FALSE;
        guint8 type = data[at];
        gsize size = vc_get_u16be(data + at + 1);
        at += 3;
        if (size > length - at)
            return FALSE;
        if (type == V2_CRC32C &&
            (size != 4 || vc_get_u32be(data + at) != crc32c(data, length, at)))
            return FALSE;
        at += size;
    }
    return TRUE;
}

/* Sizes of the addresses by family and transport; what is not here is refused: datagrams are
 * not carried by what came in here. */
static gboolean
address_size(guint8 family, gsize *size)
{
    switch (family) {
    case 0x00: /* unspecified */
        *size = 0;
        return TRUE;
    case 0x11: /* TCP over IPv4 */
        *size = 12;
        return TRUE;
    case 0x21: /* TCP over IPv6 */
        *size = 36;
        return TRUE;
    case 0x31: /* unix stream */
        *size = 216;
        return TRUE;
    default:
        return FALSE;
    }
}

static void
read_source(const guint8 *data, guint8 family, VcpProxyHeader *header)
{
    const guint8 *addresses = data + V2_FIXED;

    header->has_source = family == 0x11 || family == 0x21;
    if (family == 0x11) {
        header->source = (VcIp){{[10] = 0xff, [11] = 0xff}};
        memcpy(header->source.bytes + 12, addresses, 4);
        header->port = vc_get_u16be(addresses + 8);
    } else if (family == 0x21) {
        memcpy(header->source.bytes, addresses, sizeof header->source.bytes);
        header->port = vc_get_u16be(addresses + 32);
    }
}

static VcpProxyStep
parse_v2(const guint8 *data, gsize length, VcpProxyHeader *header)
{
    const gsize signature = sizeof V2_SIGNATURE - 1;
    gsize size;

    if (memcmp(data, V2_SIGNATURE, MIN(length, signature)) != 0)
        return VCP_PROXY_NONE;
    if (length > 12 && data[12] != V2_LOCAL && data[12] != V2_PROXY)
        return VCP_PROXY_WRONG;
    if (length < V2_FIXED)
        return VCP_PROXY_WAIT;

    gsize whole = V2_FIXED + (gsize)vc_get_u16be(data + 14);
    if (whole > VCP_PROXY_MAX)
        return VCP_PROXY_WRONG;
    if (length < whole)
        return VCP_PROXY_WAIT;
    *header = (VcpProxyHeader){.length = whole};
    if (data[12] == V2_LOCAL)
        return VCP_PROXY_HEADER;
    if (!address_size(data[13], &size) || whole < V2_FIXED + size ||
        !check_tlvs(data, whole, V2_FIXED + size))
        return VCP_PROXY_WRONG;
    read_source(data, data[13], header);
    return VCP_PROXY_HEADER;
}

VcpProxyStep
vcp_proxy_protocol_parse(const guint8 *data, gsize length, VcpProxyHeader *header)
{
    if (length == 0)
        return VCP_PROXY_WAIT;
    if (data[0] == V1_PREFIX[0])
        return parse_v1(data, length, header);
    return parse_v2(data, length, header);
}
