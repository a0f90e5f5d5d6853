/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Where a service may point, by what is listed, and where none may. */
#include "proxy/targets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/error.h"

#define PORT 5900

/* A machine with two addresses of its own beside loopback. */
static gboolean
is_mine(const VcIp *ip)
{
    VcIp v4, v6;

    g_assert_true(vc_ip_parse("198.51.100.5", &v4) && vc_ip_parse("2001:db8:5::5", &v6));
    return vc_ip_is_loopback(ip) || vc_ip_is_equal(ip, &v4) || vc_ip_is_equal(ip, &v6);
}

typedef enum { YES, NO, LATER /* allowed as given; its addresses decide */ } Verdict;

typedef struct {
    const char *name;
    const char *allowed[3];
    const char *own;  /* nullable; with PORT */
    const char *host; /* or "unix:PATH" */
    Verdict verdict;
} Row;

/* clang-format off */
static const Row rows[] = {
    /* Nothing listed */
    {"any/v4", {NULL}, NULL, "192.0.2.1", YES},
    {"any/v6", {NULL}, NULL, "2001:db8::1", YES},
    {"any/name", {NULL}, NULL, "hv.example", LATER},
    {"any/private", {NULL}, NULL, "10.0.0.1", YES},
    {"any/loopback", {NULL}, NULL, "127.0.0.1", YES},
    {"any/loopback-v6", {NULL}, NULL, "::1", YES},
    {"any/link-local", {NULL}, NULL, "169.254.169.254", NO},
    {"any/link-local-mapped", {NULL}, NULL, "::ffff:169.254.169.254", NO},
    {"any/link-local-mapped-hex", {NULL}, NULL, "::ffff:a9fe:a9fe", NO},
    {"any/link-local-v6", {NULL}, NULL, "fe80::1", NO},
    {"any/link-local-v6-zone", {NULL}, NULL, "fe80::1%lo", NO},
    {"any/unspecified", {NULL}, NULL, "0.0.0.0", NO},
    {"any/unspecified-net", {NULL}, NULL, "0.0.0.1", NO},
    {"any/unspecified-v6", {NULL}, NULL, "::", NO},
    {"any/unspecified-mapped", {NULL}, NULL, "::ffff:0.0.0.0", NO},
    {"any/path", {NULL}, NULL, "unix:/run/console", NO},

    /* Our own listeners */
    {"own/same", {NULL}, "192.0.2.1", "192.0.2.1", NO},
    {"own/mapped", {NULL}, "192.0.2.1", "::ffff:192.0.2.1", NO},
    {"own/other", {NULL}, "192.0.2.1", "192.0.2.2", YES},
    {"own/loopback", {NULL}, "127.0.0.1", "127.0.0.1", NO},
    {"own/loopback-other", {NULL}, "127.0.0.1", "127.0.0.2", YES},
    {"own/loopback-other-family", {NULL}, "127.0.0.1", "::1", YES},
    {"own/any-loopback", {NULL}, "::", "127.0.0.1", NO},
    {"own/any-loopback-other", {NULL}, "::", "127.255.255.254", NO},
    {"own/any-loopback-v6", {NULL}, "::", "::1", NO},
    {"own/any-mine", {NULL}, "::", "198.51.100.5", NO},
    {"own/any-mine-mapped", {NULL}, "::", "::ffff:198.51.100.5", NO},
    {"own/any-mine-v6", {NULL}, "::", "2001:db8:5::5", NO},
    {"own/any-other", {NULL}, "::", "198.51.100.6", YES},
    {"own/any-v4-mine", {NULL}, "0.0.0.0", "198.51.100.5", NO},
    {"own/any-v4-loopback", {NULL}, "0.0.0.0", "127.0.0.9", NO},
    {"own/any-v4-mine-v6", {NULL}, "0.0.0.0", "2001:db8:5::5", YES},
    {"own/though-listed", {"127.0.0.0/8"}, "127.0.0.1", "127.0.0.1", NO},

    /* Networks */
    {"network/inside", {"192.0.2.0/24"}, NULL, "192.0.2.77", YES},
    {"network/inside-mapped", {"192.0.2.0/24"}, NULL, "::ffff:192.0.2.77", YES},
    {"network/outside", {"192.0.2.0/24"}, NULL, "192.0.3.1", NO},
    {"network/loopback", {"192.0.2.0/24"}, NULL, "127.0.0.1", NO},
    {"network/address", {"192.0.2.1"}, NULL, "192.0.2.1", YES},
    {"network/second", {"10.0.0.0/8", "2001:db8::/32"}, NULL, "2001:db8::1", YES},
    {"network/other-family", {"::/0"}, NULL, "192.0.2.1", NO},
    {"network/link-local", {"169.254.0.0/16"}, NULL, "169.254.1.1", NO},
    {"network/all", {"0.0.0.0/0"}, NULL, "0.0.0.0", NO},
    {"network/name", {"192.0.2.0/24"}, NULL, "hv.example", LATER},
    {"network/path", {"192.0.2.0/24"}, NULL, "unix:/run/console", NO},

    /* Names */
    {"name/same", {"hv.example"}, NULL, "hv.example", LATER},
    {"name/capitals", {"HV.example"}, NULL, "hv.EXAMPLE", LATER},
    {"name/dot", {"hv.example"}, NULL, "hv.example.", LATER},
    {"name/dot-listed", {"hv.example."}, NULL, "hv.example", LATER},
    {"name/other", {"hv.example"}, NULL, "hv2.example", NO},
    {"name/below", {"hv.example"}, NULL, "a.hv.example", NO},
    {"name/suffix", {"hv.example"}, NULL, "xhv.example", NO},
    {"name/address", {"hv.example"}, NULL, "192.0.2.1", NO},
    {"name/number", {"hv.example"}, NULL, "127.1", NO},
    {"name/star", {"*.hv.example"}, NULL, "a.hv.example", LATER},
    {"name/star-deep", {"*.hv.example"}, NULL, "b.a.hv.example", LATER},
    {"name/star-itself", {"*.hv.example"}, NULL, "hv.example", NO},
    {"name/star-suffix", {"*.hv.example"}, NULL, "xhv.example", NO},
    {"name/star-nothing", {"*.hv.example"}, NULL, ".hv.example", NO},
    {"name/and-network", {"hv.example", "192.0.2.0/24"}, NULL, "192.0.2.1", YES},
    {"name/and-network-other", {"hv.example", "192.0.2.0/24"}, NULL, "192.0.3.1", NO},

    /* Paths: they say nothing about hosts */
    {"path/same", {"unix:/run/console"}, NULL, "unix:/run/console", YES},
    {"path/other", {"unix:/run/console"}, NULL, "unix:/run/console2", NO},
    {"path/below", {"unix:/run"}, NULL, "unix:/run/console", NO},
    {"path/dots", {"unix:/run/console"}, NULL, "unix:/run/x/../console", NO},
    {"path/host", {"unix:/run/console"}, NULL, "192.0.2.1", YES},
    {"path/name", {"unix:/run/console"}, NULL, "hv.example", LATER},
};
/* clang-format on */

static gboolean
to_sockaddr(const char *host, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (void *)address;
    struct sockaddr_in6 *v6 = (void *)address;
    g_autofree char *bare = g_strndup(host, strcspn(host, "%"));

    *address = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, bare, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(PORT);
        return TRUE;
    }
    if (inet_pton(AF_INET6, bare, &v6->sin6_addr) != 1)
        return FALSE;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(PORT);
    return TRUE;
}

static VcpTargets *
make(const Row *row)
{
    g_autoptr(GError) error = NULL;
    const char *wrong = NULL;
    struct sockaddr_storage own;
    VcpTargets *targets = vcp_targets_new(row->allowed, &wrong, &error);

    g_assert_no_error(error);
    g_assert_null(wrong);
    vcp_targets_set_is_local(targets, is_mine);
    if (row->own != NULL) {
        g_assert_true(to_sockaddr(row->own, &own));
        vcp_targets_add_own(targets, (struct sockaddr *)&own);
    }
    return targets;
}

static VcService *
make_service(const char *host)
{
    g_autofree char *address = g_str_has_prefix(host, "unix:") ? g_strdup(host)
                               : strchr(host, ':') != NULL
                                   ? g_strdup_printf("[%s]:%d", host, PORT)
                                   : g_strdup_printf("%s:%d", host, PORT);
    g_autoptr(GError) error = NULL;

    json_t *json = json_pack("{s:s, s:s}", "type", "serial", "address", address);
    VcService *service = vc_service_from_json(json, &error);
    json_decref(json);
    g_assert_no_error(error);
    return service;
}

static void
test_row(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(VcpTargets) targets = make(row);
    g_autoptr(VcService) service = make_service(row->host);
    g_autoptr(GError) error = NULL;
    struct sockaddr_storage address;

    gboolean allowed = vcp_targets_check_service(targets, service, &error);
    g_assert_true(allowed == (row->verdict != NO));
    if (!allowed)
        g_assert_error(error, VC_ERROR, VC_ERROR_POLICY);
    g_clear_error(&error);
    /* An address is judged the same when it is about to be connected to. */
    if (to_sockaddr(row->host, &address))
        g_assert_true(vcp_targets_check_address(targets, row->host, (struct sockaddr *)&address,
                                                &error) == (row->verdict == YES));
}

/* Of a name, each address is judged for itself. */
static void
test_addresses_of_names(void)
{
    static const struct {
        const char *allowed[3];
        const char *host, *address;
        gboolean is_allowed;
    } cases[] = {
        {{NULL}, "hv.example", "192.0.2.1", TRUE},
        {{NULL}, "hv.example", "127.0.0.1", FALSE}, /* our own */
        {{NULL}, "hv.example", "::ffff:127.0.0.1", FALSE},
        {{NULL}, "hv.example", "198.51.100.5", FALSE},
        {{NULL}, "hv.example", "169.254.169.254", FALSE},
        {{NULL}, "hv.example", "::", FALSE},
        {{"192.0.2.0/24"}, "hv.example", "192.0.2.1", TRUE},
        {{"192.0.2.0/24"}, "hv.example", "192.0.3.1", FALSE},
        {{"hv.example"}, "hv.example", "192.0.3.1", TRUE},
        {{"hv.example"}, "hv.example", "127.0.0.1", FALSE},
        {{"hv.example"}, "hv.example", "169.254.169.254", FALSE},
        {{"*.example"}, "hv.example", "192.0.3.1", TRUE},
        {{"hv.example", "192.0.2.0/24"}, "other.example", "192.0.2.1", TRUE},
        {{"hv.example", "192.0.2.0/24"}, "other.example", "192.0.3.1", FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Row row = {.own = "::"};
        struct sockaddr_storage address;
        g_autoptr(GError) error = NULL;
        memcpy(row.allowed, cases[i].allowed, sizeof row.allowed);
        g_autoptr(VcpTargets) targets = make(&row);
        g_test_message("%s is %s", cases[i].host, cases[i].address);
        g_assert_true(to_sockaddr(cases[i].address, &address));
        g_assert_true(vcp_targets_check_address(targets, cases[i].host,
                                                (struct sockaddr *)&address,
                                                &error) == cases[i].is_allowed);
        if (!cases[i].is_allowed)
            g_assert_error(error, VC_ERROR, VC_ERROR_POLICY);
    }
}

/* What the system says of its own addresses. */
static void
test_system(void)
{
    const char *const nothing[] = {NULL};
    const char *wrong;
    g_autoptr(VcpTargets) targets = vcp_targets_new(nothing, &wrong, NULL);
    struct sockaddr_storage own, address;

    g_assert_true(to_sockaddr("::", &own));
    vcp_targets_add_own(targets, (struct sockaddr *)&own);
    g_assert_true(to_sockaddr("127.0.0.1", &address));
    g_assert_false(vcp_targets_check_address(targets, "x", (struct sockaddr *)&address, NULL));
    g_assert_true(to_sockaddr("192.0.2.1", &address));
    g_assert_true(vcp_targets_check_address(targets, "x", (struct sockaddr *)&address, NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/targets/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    g_test_add_func("/targets/addresses-of-names", test_addresses_of_names);
    g_test_add_func("/targets/system", test_system);
    return g_test_run();
}
