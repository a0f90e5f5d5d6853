/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Networks that are believed, and the choice of a client among the addresses of a header. */
#include "proxy/trust.h"

#include <string.h>

#include "common/address.h"
#include "common/error.h"

struct VcpTrust {
    GArray *networks; /* of VcNetwork */
    gboolean has_unix;
};

VcpTrust *
vcp_trust_new(const char *const *texts, const char **wrong, GError **error)
{
    VcpTrust *self = g_new0(VcpTrust, 1);

    self->networks = g_array_new(FALSE, FALSE, sizeof(VcNetwork));
    for (const char *const *text = texts; *text != NULL; text++) {
        VcNetwork network;
        if (strcmp(*text, "unix") == 0) {
            self->has_unix = TRUE;
        } else if (vc_network_parse(*text, &network, error)) {
            g_array_append_val(self->networks, network);
        } else {
            *wrong = *text;
            vcp_trust_free(self);
            return NULL;
        }
    }
    return self;
}

void
vcp_trust_free(VcpTrust *self)
{
    if (self == NULL)
        return;
    g_array_unref(self->networks);
    g_free(self);
}

gboolean
vcp_trust_has_anybody(const VcpTrust *self)
{
    return self->has_unix || self->networks->len > 0;
}

static gboolean
has_ip(const VcpTrust *self, const VcIp *ip)
{
    for (guint i = 0; i < self->networks->len; i++) {
        if (vc_network_has(&g_array_index(self->networks, VcNetwork, i), ip))
            return TRUE;
    }
    return FALSE;
}

gboolean
vcp_trust_has(const VcpTrust *self, const char *peer)
{
    VcIp ip;

    if (vc_ip_of_peer(peer, &ip))
        return has_ip(self, &ip);
    return self->has_unix && g_str_has_prefix(peer, "unix");
}

/* --- what they say --- */

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" and "[2001:db8::1]:80". */
static gboolean
read_item(const char *text, VcIp *ip, guint16 *port)
{
    g_autofree char *host = NULL;
    gsize length = strlen(text);

    *port = 0;
    if (strchr(text, '%') != NULL)
        return FALSE;
    if (vc_ip_parse(text, ip))
        return TRUE;
    if (vc_address_split(text, &host, port, NULL))
        return vc_ip_parse(host, ip);
    if (length < 4 || text[0] != '[' || text[length - 1] != ']')
        return FALSE;
    host = g_strndup(text + 1, length - 2);
    return strchr(host, ':') != NULL && vc_ip_parse(host, ip);
}

gboolean
vcp_trust_client(const VcpTrust *self, const char *header, char **client, GError **error)
{
    *client = NULL;
    if (header == NULL)
        return TRUE;

    g_auto(GStrv) items = g_strsplit(header, ",", -1);
    guint at = g_strv_length(items);
    VcIp ip = {{0}};
    guint16 port = 0;

    if (at == 0) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_BAD_REQUEST, "X-Forwarded-For is empty");
        return FALSE;
    }
    do {
        at--;
        if (!read_item(g_strstrip(items[at]), &ip, &port)) {
            g_set_error_literal(error, VC_ERROR, VC_ERROR_BAD_REQUEST,
                                "a trusted proxy's X-Forwarded-For is not an address");
            return FALSE;
        }
    } while (at > 0 && has_ip(self, &ip));
    *client = vc_ip_to_peer(&ip, port);
    return TRUE;
}

gboolean
vcp_trust_scheme(const char *header, gboolean otherwise, gboolean *is_tls, GError **error)
{
    *is_tls = otherwise;
    if (header == NULL)
        return TRUE;
    *is_tls = g_ascii_strcasecmp(header, "https") == 0;
    if (*is_tls || g_ascii_strcasecmp(header, "http") == 0)
        return TRUE;
    g_set_error_literal(error, VC_ERROR, VC_ERROR_BAD_REQUEST,
                        "a trusted proxy's X-Forwarded-Proto is neither http nor https");
    return FALSE;
}
