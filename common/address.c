/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Splitting "host:port". */
#include "common/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "common/error.h"

#define MAX_HOST 253
#define MAX_ZONE (IF_NAMESIZE - 1)

static gboolean
wrong(GError **error, const char *what)
{
    g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG, what);
    return FALSE;
}

static gboolean
is_name(const char *text, gsize max_length)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (!g_ascii_isalnum(*at) && strchr("-._", *at) == NULL)
            return FALSE;
    }
    return *text != '\0' && strlen(text) <= max_length;
}

gboolean
vc_address_is_literal(const char *host)
{
    struct in6_addr address;
    const char *zone = strchr(host, '%');

    if (zone == NULL)
        return inet_pton(AF_INET, host, &address) == 1 ||
               inet_pton(AF_INET6, host, &address) == 1;
    g_autofree char *bare = g_strndup(host, (gsize)(zone - host));
    return inet_pton(AF_INET6, bare, &address) == 1 && is_name(zone + 1, MAX_ZONE);
}

gboolean
vc_address_is_host(const char *host)
{
    return is_name(host, MAX_HOST) || vc_address_is_literal(host);
}

gboolean
vc_address_split(const char *text, char **host, guint16 *port, GError **error)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *name = NULL;
    guint64 number;

    if (colon == NULL)
        return wrong(error, "must be host:port or [v6]:port, and the port is missing");
    if (!g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &number, NULL))
        return wrong(error, "must end in a port from 1 to 65535");

    if (text[0] == '[') {
        if (colon - text < 3 || colon[-1] != ']')
            return wrong(error, "must be [v6]:port");
        name = g_strndup(text + 1, (gsize)(colon - text) - 2);
        if (strchr(name, ':') == NULL || !vc_address_is_literal(name))
            return wrong(error, "has no IPv6 address between its brackets");
    } else {
        name = g_strndup(text, (gsize)(colon - text));
        if (strchr(name, ':') != NULL)
            return wrong(error, "needs brackets around an IPv6 address");
        if (!is_name(name, MAX_HOST))
            return wrong(error, "has no valid host name before its port");
    }
    *host = g_steal_pointer(&name);
    *port = (guint16)number;
    return TRUE;
}

char *
vc_address_without_port(const char *peer)
{
    const char *colon = strrchr(peer, ':');
    const char *bracket = strchr(peer, ']');

    if (g_str_has_prefix(peer, "unix"))
        return NULL;
    /* One that a balancer has told of may have no port. */
    if (colon == NULL || (bracket != NULL && colon < bracket))
        return g_strdup(peer);
    return g_strndup(peer, (gsize)(colon - peer));
}
