/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Networks, names, paths, and our own listeners. */
#include "proxy/targets.h"

#include <ifaddrs.h>
#include <string.h>

#include "common/address.h"
#include "common/error.h"

typedef struct {
    VcIp ip;
    guint16 port;
} Own;

struct VcpTargets {
    int refs;         /* atomic */
    GArray *networks; /* of VcNetwork */
    GPtrArray *names; /* lower case, without a dot at the end; "*.DOMAIN" as it is */
    GPtrArray *paths; /* with "unix:" */
    GArray *own;
    gboolean (*is_local)(const VcIp *ip);
};

/* --- the list --- */

static char *
normalise(const char *name)
{
    char *lower = g_ascii_strdown(name, -1);
    gsize length = strlen(lower);

    if (length > 1 && lower[length - 1] == '.')
        lower[length - 1] = '\0';
    return lower;
}

/* Whatever ends in a number is meant to be an address, be it a wrong one. */
static gboolean
looks_like_network(const char *text)
{
    const char *dot = strrchr(text, '.');
    const char *last = dot != NULL ? dot + 1 : text;

    return strpbrk(text, "/:") != NULL ||
           (last[0] != '\0' && strspn(last, "0123456789") == strlen(last));
}

static gboolean
add(VcpTargets *self, const char *text, GError **error)
{
    VcNetwork network;

    if (g_str_has_prefix(text, "unix:/")) {
        g_ptr_array_add(self->paths, g_strdup(text));
        return TRUE;
    }
    if (!g_str_has_prefix(text, "unix:") && looks_like_network(text)) {
        if (!vc_network_parse(text, &network, error))
            return FALSE;
        g_array_append_val(self->networks, network);
        return TRUE;
    }
    if (!vc_address_is_host(g_str_has_prefix(text, "*.") ? text + 2 : text)) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG,
                            "must be a network, a host name, *.DOMAIN, or unix: and an "
                            "absolute path");
        return FALSE;
    }
    g_ptr_array_add(self->names, normalise(text));
    return TRUE;
}

static gboolean ask_is_local(const VcIp *ip);

VcpTargets *
vcp_targets_new(const char *const *allowed, const char **wrong, GError **error)
{
    g_autoptr(VcpTargets) self = g_new0(VcpTargets, 1);

    self->refs = 1;
    self->networks = g_array_new(FALSE, FALSE, sizeof(VcNetwork));
    self->names = g_ptr_array_new_with_free_func(g_free);
    self->paths = g_ptr_array_new_with_free_func(g_free);
    self->own = g_array_new(FALSE, FALSE, sizeof(Own));
    self->is_local = ask_is_local;
    for (const char *const *text = allowed; *text != NULL; text++) {
        if (!add(self, *text, error)) {
            *wrong = *text;
            return NULL;
        }
    }
    return g_steal_pointer(&self);
}

VcpTargets *
vcp_targets_ref(VcpTargets *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

void
vcp_targets_unref(VcpTargets *self)
{
    if (self == NULL || !g_atomic_int_dec_and_test(&self->refs))
        return;
    g_array_unref(self->networks);
    g_ptr_array_unref(self->names);
    g_ptr_array_unref(self->paths);
    g_array_unref(self->own);
    g_free(self);
}

void
vcp_targets_add_own(VcpTargets *self, const struct sockaddr *address)
{
    Own own;

    if (vc_ip_from_sockaddr(address, &own.ip, &own.port))
        g_array_append_val(self->own, own);
}

void
vcp_targets_set_is_local(VcpTargets *self, gboolean (*is_local)(const VcIp *ip))
{
    self->is_local = is_local;
}

/* --- what nobody may name --- */

static gboolean
ask_is_local(const VcIp *ip)
{
    struct ifaddrs *all = NULL;
    gboolean found = vc_ip_is_loopback(ip);
    guint16 port;
    VcIp one;

    if (found || getifaddrs(&all) != 0)
        return found;
    for (const struct ifaddrs *at = all; at != NULL && !found; at = at->ifa_next)
        found = at->ifa_addr != NULL && vc_ip_from_sockaddr(at->ifa_addr, &one, &port) &&
                vc_ip_is_equal(&one, ip);
    freeifaddrs(all);
    return found;
}

static gboolean
is_own(const VcpTargets *self, const VcIp *ip, guint16 port)
{
    for (guint i = 0; i < self->own->len; i++) {
        const Own *own = &g_array_index(self->own, Own, i);
        if (own->port != port)
            continue;
        if (vc_ip_is_equal(&own->ip, ip))
            return TRUE;
        /* One of IPv6 serves IPv4 as well, not the other way round. */
        if (vc_ip_is_unspecified(&own->ip) && (!vc_ip_is_v4(&own->ip) || vc_ip_is_v4(ip)) &&
            self->is_local(ip))
            return TRUE;
    }
    return FALSE;
}

/* --- the judgement --- */

static gboolean
refuse(GError **error, const char *host, const char *why)
{
    g_set_error(error, VC_ERROR, VC_ERROR_POLICY, "%s: %s", host, why);
    return FALSE;
}

static gboolean
has_hosts(const VcpTargets *self)
{
    return self->networks->len > 0 || self->names->len > 0;
}

static gboolean
lists_name(const VcpTargets *self, const char *host)
{
    g_autofree char *name = normalise(host);

    for (guint i = 0; i < self->names->len; i++) {
        const char *listed = self->names->pdata[i];
        if (listed[0] == '*' ? g_str_has_suffix(name, listed + 1) && name[0] != '.'
                             : strcmp(name, listed) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean
lists_ip(const VcpTargets *self, const VcIp *ip)
{
    for (guint i = 0; i < self->networks->len; i++) {
        if (vc_network_has(&g_array_index(self->networks, VcNetwork, i), ip))
            return TRUE;
    }
    return FALSE;
}

static gboolean
check_ip(const VcpTargets *self, const char *host, const VcIp *ip, guint16 port, GError **error)
{
    if (vc_ip_is_unspecified(ip))
        return refuse(error, host, "the unspecified address is nobody's");
    if (vc_ip_is_link_local(ip))
        return refuse(error, host, "link-local addresses are not connected to");
    if (is_own(self, ip, port))
        return refuse(error, host, "that is a listener of this proxy");
    return !has_hosts(self) || lists_name(self, host) || lists_ip(self, ip) ||
           refuse(error, host, "no --allowed-target has this address");
}

static gboolean
check_path(const VcpTargets *self, const char *address, GError **error)
{
    for (guint i = 0; i < self->paths->len; i++) {
        if (strcmp(self->paths->pdata[i], address) == 0)
            return TRUE;
    }
    return refuse(error, address, "a unix socket that no --allowed-target names");
}

gboolean
vcp_targets_check_service(const VcpTargets *self, const VcService *service, GError **error)
{
    VcIp ip;

    if (service->path != NULL)
        return check_path(self, service->address, error);
    if (vc_ip_parse(service->host, &ip))
        return check_ip(self, service->host, &ip, service->port, error);
    return self->networks->len > 0 || self->names->len == 0 ||
           lists_name(self, service->host) ||
           refuse(error, service->host, "no --allowed-target has this name");
}

gboolean
vcp_targets_check_address(const VcpTargets *self, const char *host,
                          const struct sockaddr *address, GError **error)
{
    guint16 port;
    VcIp ip;

    if (!vc_ip_from_sockaddr(address, &ip, &port))
        return refuse(error, host, "has an address of an unknown kind");
    return check_ip(self, host, &ip, port, error);
}
