/* SPDX-License-Identifier: LGPL-2.1-or-later
 * How versions 3.3, 3.7 and 3.8 of RFB offer, accept and refuse (RFC 6143, 7.1 and appendix A).
 */
#include "proxy/rfb-client.h"

#define RESULT_OK     0
#define RESULT_FAILED 1

gboolean
vcp_rfb_client_set_version(VcpRfbClient *self, const guint8 text[VCP_RFB_VERSION_LENGTH])
{
    /* There never were a 3.4 and a 3.5, but clients that say so and mean 3.3. */
    static const VcpRfbClientVersion versions[] = {
        [3] = VCP_RFB_CLIENT_3, [4] = VCP_RFB_CLIENT_3, [5] = VCP_RFB_CLIENT_3,
        [7] = VCP_RFB_CLIENT_7, [8] = VCP_RFB_CLIENT_8,
    };
    guint major;
    guint minor;

    self->version = VCP_RFB_CLIENT_BAD;
    if (!vcp_rfb_version_parse(text, &major, &minor) || major != 3 ||
        minor >= G_N_ELEMENTS(versions) || versions[minor] == VCP_RFB_CLIENT_UNKNOWN)
        return FALSE;
    self->version = versions[minor];
    return TRUE;
}

gboolean
vcp_rfb_client_offer(VcpRfbClient *self, VcBuffer *to)
{
    self->has_offer = TRUE;
    if (self->version == VCP_RFB_CLIENT_3) {
        vcp_rfb_put_u32(to, VCP_RFB_CLIENT_TYPE);
        return FALSE;
    }
    vcp_rfb_put_u8(to, 1);
    vcp_rfb_put_u8(to, VCP_RFB_CLIENT_TYPE);
    return TRUE;
}

void
vcp_rfb_client_accept(const VcpRfbClient *self, VcBuffer *to)
{
    if (self->version == VCP_RFB_CLIENT_8)
        vcp_rfb_put_u32(to, RESULT_OK);
}

/* Before its offer a client of any version takes "no type at all, because ...". After it, only
 * one of 3.8 awaits a result; the older ones believe that they are in, and take nothing to the
 * contrary. */
void
vcp_rfb_client_refuse(const VcpRfbClient *self, const char *why, VcBuffer *to)
{
    g_assert(self->version != VCP_RFB_CLIENT_UNKNOWN);
    if (self->version == VCP_RFB_CLIENT_BAD ||
        (self->has_offer && self->version != VCP_RFB_CLIENT_8))
        return;
    if (self->has_offer)
        vcp_rfb_put_u32(to, RESULT_FAILED);
    else if (self->version == VCP_RFB_CLIENT_3)
        vcp_rfb_put_u32(to, 0);
    else
        vcp_rfb_put_u8(to, 0);
    vcp_rfb_put_reason(to, why);
}
