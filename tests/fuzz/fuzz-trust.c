/* SPDX-License-Identifier: LGPL-2.1-or-later
 * X-Forwarded-For as a trusted balancer hands it on, its left part written by anybody: who
 * comes out is an address that stands in it, is not trusted unless all are, and does not depend
 * on what stands to the left of it.
 *
 * Input: the header. */
#include "fuzz.h"

#include <string.h>

#include "common/error.h"
#include "proxy/trust.h"

static const char *const balancers[] = {"192.0.2.0/24", "2001:db8:1::/48", "127.0.0.1", NULL};

static void
check_client(const VcpTrust *trust, const char *header, const char *client)
{
    g_autofree char *longer = g_strconcat("198.51.100.9, what, ever,", header, NULL);
    g_autofree char *again = NULL;
    VcIp ip;

    g_assert_true(vc_ip_of_peer(client, &ip));
    for (const char *at = client; *at != '\0'; at++)
        g_assert_true(g_ascii_isxdigit(*at) || strchr(".:[]", *at) != NULL);
    if (vcp_trust_has(trust, client))
        return;
    g_assert_true(vcp_trust_client(trust, longer, &again, NULL));
    g_assert_cmpstr(again, ==, client);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autofree char *header = g_strndup((const char *)data, size);
    g_autofree char *client = NULL;
    g_autoptr(GError) error = NULL;
    const char *wrong;
    VcpTrust *trust = vcp_trust_new(balancers, &wrong, NULL);
    gboolean is_tls = FALSE;

    if (vcp_trust_client(trust, header, &client, &error))
        check_client(trust, header, client);
    else
        g_assert_true(error->code == VC_ERROR_BAD_REQUEST && client == NULL);
    g_clear_error(&error);
    if (!vcp_trust_scheme(header, FALSE, &is_tls, &error))
        g_assert_true(error->code == VC_ERROR_BAD_REQUEST);
    vcp_trust_free(trust);
    return 0;
}
