/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Services from a resolver that says what it likes: what is taken can be connected to, logged
 * and written down again; what is refused is refused in words of our own. The same for
 * addresses.
 *
 * Input: JSON, or else an address. */
#include "fuzz.h"

#include <string.h>

#include "common/address.h"
#include "common/error.h"
#include "common/service.h"

static void
check_refused(const GError *error, int code)
{
    g_assert_nonnull(error);
    g_assert_true(error->domain == VC_ERROR && error->code == code);
    for (const char *at = error->message; *at != '\0'; at++)
        g_assert_true(g_ascii_isprint(*at));
}

static void
check_same(const VcService *one, const VcService *two)
{
    g_assert_true(one->type == two->type && one->port == two->port);
    g_assert_true(one->insecure == two->insecure && one->tls_tunnel == two->tls_tunnel);
    g_assert_true(one->power_control == two->power_control);
    g_assert_cmpint(one->expires_s, ==, two->expires_s);
    g_assert_cmpstr(one->address, ==, two->address);
    g_assert_cmpstr(one->host, ==, two->host);
    g_assert_cmpstr(one->password, ==, two->password);
    g_assert_cmpstr(one->tls_server_name, ==, two->tls_server_name);
    g_assert_cmpstr(one->path, ==, two->path);
    g_assert_true(one->telnet == two->telnet && one->shared == two->shared);
    g_assert_true(one->token_use == two->token_use);
    g_assert_cmpstr(one->tls_subject, ==, two->tls_subject);
    g_assert_cmpstr(one->domain_uuid, ==, two->domain_uuid);
    g_assert_cmpstr(one->domain_name, ==, two->domain_name);
    g_assert_cmpstr(one->domain_host, ==, two->domain_host);
    g_assert_cmpstr(one->console_type, ==, two->console_type);
    g_assert_cmpuint(one->console_index, ==, two->console_index);
}

static void
check_host(const char *host, guint16 port)
{
    g_assert_cmpuint(port, >=, 1);
    g_assert_true(vc_address_is_host(host));
    for (const char *at = host; *at != '\0'; at++)
        g_assert_true(g_ascii_isgraph(*at));
}

static void
check_address(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *host = NULL;
    g_autofree char *again = NULL;
    guint16 port = 0;
    guint16 same_port = 0;

    if (!vc_address_split(text, &host, &port, &error)) {
        check_refused(error, VC_ERROR_CONFIG);
        g_assert_null(host);
        return;
    }
    check_host(host, port);
    g_autofree char *whole =
        g_strdup_printf(strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    g_assert_true(vc_address_split(whole, &again, &same_port, NULL));
    g_assert_cmpstr(again, ==, host);
    g_assert_cmpuint(same_port, ==, port);
}

static void
check_graphic(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        g_assert_true(g_ascii_isgraph(*at));
}

/* A path of a socket, or a host: one of them, and both can be logged. */
static void
check_target(const VcService *service)
{
    g_autofree char *key = vc_service_console_key(service);

    check_graphic(service->address);
    check_graphic(key);
    if (service->path != NULL) {
        g_assert_true(service->type == VC_CONSOLE_SERIAL && service->path[0] == '/');
        g_assert_true(service->host == NULL && service->port == 0 && !service->tls_tunnel);
        return;
    }
    check_host(service->host, service->port);
    check_host(vc_service_verify_name(service), service->port);
    check_address(service->address);
}

static void
check_service(const json_t *json)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VcService) service = vc_service_from_json(json, &error);

    if (service == NULL) {
        check_refused(error, VC_ERROR_RESOLVER);
        return;
    }
    g_assert_no_error(error);
    check_target(service);
    g_assert_cmpint(service->expires_s, >=, 0);

    json_t *written = vc_service_to_json(service);
    g_autoptr(VcService) again = vc_service_from_json(written, NULL);
    g_assert_nonnull(again);
    check_same(again, service);
    json_decref(written);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    json_t *json = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    if (json != NULL)
        check_service(json);
    json_decref(json);

    g_autofree char *text = g_strndup((const char *)data, size);
    check_address(text);
    return 0;
}
