/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Domain XML from libvirt: what is found in it holds together, and what is offered of it is a
 * service that the proxy's parser takes. */
#include "fuzz.h"

#include "common/address.h"
#include "common/error.h"
#include "resolver/offer.h"

static void
check_device(const VcrDomain *domain, const VcrDevice *device)
{
    g_assert_true((unsigned)device->kind < VCR_N_KINDS);
    g_assert_true(vcr_domain_find(domain, device->kind, device->index) == device);
    g_assert_true(!device->is_mirror || device->kind == VCR_KIND_CONSOLE);
    g_assert_true(!device->is_mirror ||
                  vcr_domain_find(domain, VCR_KIND_SERIAL, device->mirrored) != NULL);
    g_assert_true(!device->telnet || device->kind >= VCR_KIND_SERIAL);
    g_assert_true(device->password == NULL || device->kind <= VCR_KIND_SPICE);
}

static void
check_service(const VcService *service)
{
    json_t *json = vc_service_to_json_with(service, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcService) again = vc_service_from_json(json, &error);

    json_decref(json);
    /* libvirt's UUIDs are ones; here it may be any text */
    if (again == NULL && !g_uuid_string_is_valid(service->domain_uuid))
        return;
    g_assert_no_error(error);
    g_assert_cmpstr(again->address, ==, service->address);
    g_assert_cmpstr(again->console_type, ==, service->console_type);
    g_assert_cmpuint(again->console_index, ==, service->console_index);
}

static void
check_offer(const VcrDomain *domain, const VcrDevice *device, gboolean insecure,
            const char *host)
{
    const VcrPlace place = {NULL, "hv1.example"};
    const VcrConsole console = {
        .kind = device->kind,
        .index = device->index,
        .insecure = insecure,
        .host = (char *)host,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(VcService) service = vcr_offer(domain, &console, &place, &error);

    if (service == NULL) {
        g_assert_error(error, VC_ERROR, VC_ERROR_POLICY);
        return;
    }
    g_assert_no_error(error);
    g_assert_true(device->is_tcp);
    g_assert_true(vc_address_is_host(service->host));
    g_assert_cmpuint(service->port, >, 0);
    g_assert_true(service->port == device->port || service->port == device->tls_port);
    if (!insecure && device->kind != VCR_KIND_VNC)
        g_assert_cmpuint(service->port, ==, device->tls_port);
    if (host != NULL)
        g_assert_cmpstr(service->host, ==, host);
    g_assert_null(service->password);
    check_service(service);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autofree char *xml = g_strndup((const char *)data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcrDomain) domain = vcr_domain_parse(xml, &error);

    if (domain == NULL) {
        g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
        return 0;
    }
    g_assert_no_error(error);
    for (guint i = 0; i < domain->devices->len; i++) {
        const VcrDevice *device = g_ptr_array_index(domain->devices, i);
        check_device(domain, device);
        check_offer(domain, device, FALSE, NULL);
        check_offer(domain, device, TRUE, NULL);
        check_offer(domain, device, FALSE, "192.0.2.1");
        check_offer(domain, device, TRUE, "::1");
    }
    return 0;
}
