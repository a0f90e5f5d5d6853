/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Normal form of origins. */
#include "proxy/origin.h"

#include <string.h>

static const char *
default_port(const char *scheme)
{
    if (strcmp(scheme, "https") == 0)
        return "443";
    return strcmp(scheme, "http") == 0 ? "80" : NULL;
}

static gboolean
has_only(const char *text, const char *more)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (!g_ascii_isalnum(*at) && strchr(more, *at) == NULL)
            return FALSE;
    }
    return *text != '\0';
}

/* Splits "host", "host:port", "[v6]" and "[v6]:port" in place. */
static char *
split_port(char *host)
{
    char *colon = strrchr(host, ':');
    const char *bracket = strrchr(host, ']');

    if (colon == NULL || (bracket != NULL && bracket > colon))
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static gboolean
is_host(char *host)
{
    gsize length = strlen(host);

    if (host[0] != '[')
        return has_only(host, ".-_");
    if (length < 4 || host[length - 1] != ']')
        return FALSE;
    host[length - 1] = '\0';
    gboolean valid = has_only(host + 1, ":.");
    host[length - 1] = ']';
    return valid;
}

char *
vcp_origin_normalise(const char *text)
{
    g_autofree char *lower = g_ascii_strdown(text, -1);
    char *separator = strstr(lower, "://");
    guint64 number;

    if (separator == NULL)
        return NULL;
    *separator = '\0';
    char *host = separator + strlen("://");
    const char *given = split_port(host);
    const char *port = given != NULL ? given : default_port(lower);

    if (default_port(lower) == NULL || !is_host(host) ||
        !g_ascii_string_to_unsigned(port, 10, 1, 65535, &number, NULL))
        return NULL;
    return g_strdup_printf("%s://%s:%u", lower, host, (unsigned)number);
}
