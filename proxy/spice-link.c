/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Link messages, as spice-protocol's spice/protocol.h lays them out: little-endian, packed. */
#include "proxy/spice-link.h"

#include <string.h>

#include "common/bytes.h"

#define MAGIC "REDQ"
#define MAJOR 2
#define MINOR 2

/* As spice-server has it. */
#define MAX_CAPABILITY_WORDS 1024

/* Bits of the first word of the common capabilities. */
#define CAP_AUTH_SELECTION (1u << 0)
#define CAP_AUTH_SPICE     (1u << 1)
#define CAP_AUTH_SASL      (1u << 2)
#define CAP_MINI_HEADER    (1u << 3)

/* Of a main channel's own. A browser could not follow: the server names hosts that only the
 * hypervisors know. */
#define CAP_SEMI_SEAMLESS_MIGRATE (1u << 0)
#define CAP_SEAMLESS_MIGRATE      (1u << 3)

/* Where the numbers of capability words, and their place, stand. */
#define LINK_CAPABILITIES  6
#define REPLY_CAPABILITIES 166

typedef struct {
    guint8 *common, *channel; /* the first word of each; NULL: there is none */
} Capabilities;

VcpSpiceCode
vcp_spice_read_header(const guint8 header[VCP_SPICE_HEADER], gsize min, gsize *size)
{
    *size = vc_get_u32le(header + 12);
    if (memcmp(header, MAGIC, 4) != 0)
        return VCP_SPICE_INVALID_MAGIC;
    if (vc_get_u32le(header + 4) != MAJOR)
        return VCP_SPICE_VERSION_MISMATCH;
    return *size >= min && *size <= VCP_SPICE_LINK_MAX ? VCP_SPICE_OK : VCP_SPICE_INVALID_DATA;
}

/* field: of the numbers; min: the message without capabilities. */
static gboolean
find_capabilities(guint8 *message, gsize length, gsize field, gsize min, Capabilities *found)
{
    gsize n_common = vc_get_u32le(message + field);
    gsize n_channel = vc_get_u32le(message + field + 4);
    gsize offset = vc_get_u32le(message + field + 8);

    if (n_common > MAX_CAPABILITY_WORDS || n_channel > MAX_CAPABILITY_WORDS || offset < min ||
        offset > length || length - offset < 4 * (n_common + n_channel))
        return FALSE;
    found->common = n_common > 0 ? message + offset : NULL;
    found->channel = n_channel > 0 ? message + offset + 4 * n_common : NULL;
    return TRUE;
}

static guint32
get(const guint8 *word)
{
    return word != NULL ? vc_get_u32le(word) : 0;
}

static void
take_out(guint8 *word, guint32 bits)
{
    if (word != NULL)
        vc_set_u32le(word, vc_get_u32le(word) & ~bits);
}

VcpSpiceCode
vcp_spice_read_link(guint8 *message, gsize length, VcpSpiceLink *link)
{
    Capabilities found;

    if (!find_capabilities(message, length, LINK_CAPABILITIES, VCP_SPICE_LINK_MIN, &found))
        return VCP_SPICE_INVALID_DATA;
    link->connection_id = vc_get_u32le(message);
    link->type = message[4];
    link->id = message[5];
    link->selects_auth = (get(found.common) & CAP_AUTH_SELECTION) != 0;
    link->mini_header = (get(found.common) & CAP_MINI_HEADER) != 0;
    take_out(found.common, CAP_AUTH_SASL);
    if (link->type == VCP_SPICE_CHANNEL_MAIN)
        take_out(found.channel, CAP_SEMI_SEAMLESS_MIGRATE | CAP_SEAMLESS_MIGRATE);
    return VCP_SPICE_OK;
}

VcpSpiceCode
vcp_spice_read_reply(guint8 *message, gsize length, VcpSpiceReply *reply)
{
    Capabilities found;

    *reply = (VcpSpiceReply){.error = vc_get_u32le(message), .key = message + 4};
    /* The rest of a refusal is zeros, the place of the capabilities too. */
    if (reply->error != VCP_SPICE_OK)
        return VCP_SPICE_OK;
    if (!find_capabilities(message, length, REPLY_CAPABILITIES, VCP_SPICE_REPLY_MIN, &found))
        return VCP_SPICE_INVALID_DATA;
    guint32 common = get(found.common);
    reply->sasl_only = (common & CAP_AUTH_SASL) != 0 && (common & CAP_AUTH_SPICE) == 0;
    reply->mini_header = (common & CAP_MINI_HEADER) != 0;
    take_out(found.common, CAP_AUTH_SASL);
    return VCP_SPICE_OK;
}

void
vcp_spice_write_refusal(VcpSpiceCode code, guint8 bytes[VCP_SPICE_HEADER + VCP_SPICE_REPLY_MIN])
{
    memset(bytes, 0, VCP_SPICE_HEADER + VCP_SPICE_REPLY_MIN);
    memcpy(bytes, MAGIC, 4);
    vc_set_u32le(bytes + 4, MAJOR);
    vc_set_u32le(bytes + 8, MINOR);
    vc_set_u32le(bytes + 12, VCP_SPICE_REPLY_MIN);
    vc_set_u32le(bytes + VCP_SPICE_HEADER, code);
}
