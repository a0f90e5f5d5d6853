/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Which address, how secure, and whether at all. */
#include "resolver/offer.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/error.h"

static const VcConsoleType types[VCR_N_KINDS] = {
    [VCR_KIND_VNC] = VC_CONSOLE_VNC,
    [VCR_KIND_SPICE] = VC_CONSOLE_SPICE,
    [VCR_KIND_SERIAL] = VC_CONSOLE_SERIAL,
    [VCR_KIND_CONSOLE] = VC_CONSOLE_SERIAL,
};

static gpointer
refuse(GError **error, const char *why)
{
    g_set_error_literal(error, VC_ERROR, VC_ERROR_POLICY, why);
    return NULL;
}

/* --- address --- */

/* Every form that a look-up takes for an address, "127.1" and "0" as well; IPv4 as mapped. */
static gboolean
parse_address(const char *host, struct in6_addr *address)
{
    struct in_addr v4;

    if (inet_pton(AF_INET6, host, address) == 1)
        return TRUE;
    if (inet_aton(host, &v4) == 0)
        return FALSE;
    *address = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(address->s6_addr + 12, &v4, sizeof v4);
    return TRUE;
}

static gboolean
is_loopback(const char *host)
{
    struct in6_addr address;

    if (parse_address(host, &address))
        return IN6_IS_ADDR_LOOPBACK(&address) ||
               (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
    return g_ascii_strcasecmp(host, "localhost") == 0 || g_str_has_suffix(host, ".localhost");
}

static gboolean
is_any(const char *listen)
{
    struct in6_addr address;

    if (listen == NULL || listen[0] == '\0')
        return TRUE;
    return parse_address(listen, &address) &&
           (IN6_IS_ADDR_UNSPECIFIED(&address) ||
            (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr32[3] == 0));
}

/* A guest that listens on its host's loopback address is reached from that host alone; whether
 * the proxy runs there is for the operator to say. */
static const char *
loopback_host(const VcrConsole *console, const VcrPlace *place)
{
    if (console->host != NULL)
        return is_loopback(console->host) ? console->host : NULL;
    if (place->domain_address != NULL && is_loopback(place->domain_address))
        return place->domain_address;
    return NULL;
}

static const char *
choose_host(const VcrDevice *device, const VcrConsole *console, const VcrPlace *place)
{
    if (!is_any(device->listen) && is_loopback(device->listen))
        return loopback_host(console, place);
    if (console->host != NULL)
        return console->host;
    if (!is_any(device->listen))
        return device->listen;
    return place->domain_address != NULL ? place->domain_address : place->host_name;
}

/* --- port --- */

typedef struct {
    guint16 number; /* 0: none that may be offered */
    gboolean tls_tunnel;
    const char *why_not;
} Port;

/* Nothing in the XML says whether QEMU's VNC server wants TLS; the proxy finds out. */
static Port
vnc_port(const VcrDevice *device)
{
    return (Port){device->port, FALSE, "it has no port"};
}

/* What speaks TLS from the first byte has a port of its own, or has the only port. TLS must
 * never be tried on a clear one: a guest would be sent the handshake as if it were typed. */
static Port
port_of(const VcrDevice *device, gboolean insecure)
{
    if (!insecure)
        return (Port){device->tls_port, FALSE,
                      "it has no TLS port, and its metadata does not say insecure='yes'"};
    if (device->port != 0)
        return (Port){device->port, FALSE, NULL};
    return (Port){device->tls_port, TRUE, "it has no port"};
}

/* --- the service --- */

static void
describe(VcService *service, const VcrDomain *domain, const VcrDevice *device,
         const VcrPlace *place)
{
    VcrKind kind = device->is_mirror ? VCR_KIND_SERIAL : device->kind;

    service->domain_uuid = g_strdup(domain->uuid);
    service->domain_name = g_strdup(domain->name);
    service->domain_host = g_strdup(place->host_name);
    service->console_type = g_strdup(vcr_kind_name(kind));
    service->console_index = device->is_mirror ? device->mirrored : device->index;
}

static void
apply_metadata(VcService *service, const VcrConsole *console)
{
    service->insecure = console->insecure;
    service->power_control = console->power_control;
    if (console->single_use)
        service->token_use = VC_TOKEN_USE_SINGLE;
    service->expires_s = console->expires_s;
    service->tls_server_name = g_strdup(console->tls_server_name);
}

VcService *
vcr_offer(const VcrDomain *domain, const VcrConsole *console, const VcrPlace *place,
          GError **error)
{
    const VcrDevice *device = vcr_domain_find(domain, console->kind, console->index);
    g_autoptr(GError) why = NULL;

    if (device == NULL)
        return refuse(error, "the guest has no such device");
    if (!device->is_tcp)
        return refuse(error, "it does not listen on TCP");

    Port port =
        device->kind == VCR_KIND_VNC ? vnc_port(device) : port_of(device, console->insecure);
    if (port.number == 0)
        return refuse(error, port.why_not);
    const char *host = choose_host(device, console, place);
    if (host == NULL)
        return refuse(error, "it listens on a loopback address, and neither --domain-address "
                             "nor its metadata's host says that the proxy can reach one");

    VcService *service = vc_service_new(types[console->kind], host, port.number, &why);
    if (service == NULL)
        return refuse(error, why->message);
    apply_metadata(service, console);
    describe(service, domain, device, place);
    service->tls_tunnel = port.tls_tunnel;
    service->telnet = device->telnet;
    return service;
}
