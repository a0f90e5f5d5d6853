/* SPDX-License-Identifier: LGPL-2.1-or-later
 * URIs of stores. */
#include "proxy/store-address.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "common/address.h"
#include "common/error.h"
#include "common/token.h"

#define DEFAULT_PORT 6379
#define MAX_DATABASE 1023

static gboolean
wrong(GError **error, const char *what)
{
    g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG, what);
    return FALSE;
}

static gboolean
read_database(VcpStoreAddress *self, const char *path, GError **error)
{
    guint64 number = 0;

    if (path[0] == '/')
        path++;
    if (path[0] != '\0' &&
        !g_ascii_string_to_unsigned(path, 10, 0, MAX_DATABASE, &number, NULL))
        return wrong(error, "what follows the port must be the number of a database");
    self->database = (guint)number;
    return TRUE;
}

static gboolean
read_host(VcpStoreAddress *self, const char *host, int port, GError **error)
{
    if (host == NULL || !vc_address_is_host(host))
        return wrong(error, "must name a host");
    if (port == 0)
        return wrong(error, "the port must be a number from 1 to 65535");
    self->host = g_strdup(host);
    self->port = port < 0 ? DEFAULT_PORT : (guint16)port;
    return TRUE;
}

static gboolean
read_path(VcpStoreAddress *self, const char *host, const char *path, GError **error)
{
    if ((host != NULL && host[0] != '\0') || path[0] != '/' ||
        strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return wrong(error, "an absolute path must follow redis+unix://");
    self->path = g_strdup(path);
    return TRUE;
}

static gboolean
read_rest(VcpStoreAddress *self, const char *scheme, const char *host, int port,
          const char *path, GError **error)
{
    if (strcmp(scheme, "redis+unix") == 0)
        return read_path(self, host, path, error);
    self->tls = strcmp(scheme, "rediss") == 0;
    if (!self->tls && strcmp(scheme, "redis") != 0)
        return wrong(error, "must be memory, or begin with rediss://, redis:// or "
                            "redis+unix://");
    return read_host(self, host, port, error) && read_database(self, path, error);
}

VcpStoreAddress *
vcp_store_address_parse(const char *uri, GError **error)
{
    g_autoptr(VcpStoreAddress) self = g_new0(VcpStoreAddress, 1);
    g_autofree char *scheme = NULL, *host = NULL, *path = NULL, *query = NULL, *fragment = NULL;
    int port;

    if (!g_uri_split_with_user(uri, G_URI_FLAGS_HAS_PASSWORD, &scheme, &self->user,
                               &self->password, NULL, &host, &port, &path, &query, &fragment,
                               NULL) ||
        scheme == NULL) {
        wrong(error, "is no URI of a store");
        return NULL;
    }
    if (query != NULL || fragment != NULL) {
        wrong(error, "must end with its database or path");
        return NULL;
    }
    /* redis://:PASSWORD@HOST is the password of the default user. */
    if (self->user != NULL && self->user[0] == '\0')
        g_clear_pointer(&self->user, g_free);
    return read_rest(self, scheme, host, port, path, error) ? g_steal_pointer(&self) : NULL;
}

gboolean
vcp_store_address_is_local(const VcpStoreAddress *self)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (self->path != NULL || g_ascii_strcasecmp(self->host, "localhost") == 0)
        return TRUE;
    if (inet_pton(AF_INET, self->host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, self->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

char *
vcp_store_address_text(const VcpStoreAddress *self)
{
    if (self->path != NULL)
        return g_strdup_printf("redis+unix://%s", self->path);
    return g_strdup_printf(
        strchr(self->host, ':') != NULL ? "%s://[%s]:%u/%u" : "%s://%s:%u/%u",
        self->tls ? "rediss" : "redis", self->host, self->port, self->database);
}

void
vcp_store_address_free(VcpStoreAddress *self)
{
    if (self == NULL)
        return;
    vc_secret_free(self->password);
    g_free(self->host);
    g_free(self->path);
    g_free(self->user);
    g_free(self);
}
