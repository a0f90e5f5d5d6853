/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The PROXY protocol's headers: an answer once given stays, whatever follows; a header lies
 * within what came and is no longer than the longest; the bytes behind it change nothing.
 *
 * Input: the bytes. */
#include "fuzz.h"

#include "proxy/proxy-protocol.h"

static void
check_header(const guint8 *data, const VcpProxyHeader *header)
{
    VcpProxyHeader again = {0};
    VcpProxyStep alone = vcp_proxy_protocol_parse(data, header->length, &again);

    g_assert_cmpint(alone, ==, VCP_PROXY_HEADER);
    g_assert_cmpuint(again.length, ==, header->length);
    g_assert_true(again.has_source == header->has_source);
    if (!header->has_source)
        return;
    g_assert_true(vc_ip_is_equal(&again.source, &header->source));
    g_assert_cmpuint(again.port, ==, header->port);
    g_autofree char *peer = vc_ip_to_peer(&header->source, header->port);
    VcIp read;
    g_assert_true(vc_ip_of_peer(peer, &read));
    g_assert_true(vc_ip_is_equal(&read, &header->source));
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    VcpProxyStep last = VCP_PROXY_WAIT;
    gsize limit = MIN(size, VCP_PROXY_MAX + 16);

    for (gsize n = 0; n <= limit; n++) {
        g_autofree guint8 *bytes = g_memdup2(data, n);
        VcpProxyHeader header = {0};
        VcpProxyStep step = vcp_proxy_protocol_parse(bytes, n, &header);

        g_assert_true(last == VCP_PROXY_WAIT || step == last);
        g_assert_true(step != VCP_PROXY_WAIT || n < VCP_PROXY_MAX);
        if (step == VCP_PROXY_HEADER) {
            g_assert_cmpuint(header.length, <=, n);
            g_assert_cmpuint(header.length, <=, VCP_PROXY_MAX);
            check_header(bytes, &header);
        }
        last = step;
    }
    return 0;
}
