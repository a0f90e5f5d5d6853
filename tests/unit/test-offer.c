/* SPDX-License-Identifier: LGPL-2.1-or-later
 * From domain XML and metadata to what the proxy is told: addresses, ports, security, and what
 * is not offered. */
#include "resolver/offer.h"

#include <string.h>

#include "common/error.h"
#include "resolver/xml.h"

#define UUID   "8a4c6b1e-4b0f-4f43-8c9c-0d9f1c2f5a11"
#define SECRET "999f5742-2fb5-491c-832b-282b3afdfe0c"

static VcrDomain *
parse_domain(const char *devices)
{
    g_autofree char *xml =
        g_strdup_printf("<domain type='kvm' id='1'><name>demo</name><uuid>" UUID "</uuid>"
                        "<devices>%s</devices></domain>",
                        devices);
    g_autoptr(GError) error = NULL;
    VcrDomain *domain = vcr_domain_parse(xml, &error);

    g_assert_no_error(error);
    return domain;
}

/* attributes: beside token. */
static GPtrArray *
parse_console(const char *attributes)
{
    g_autofree char *xml =
        g_strdup_printf("<consoles><console token='" SECRET "' %s/></consoles>", attributes);
    g_autoptr(GError) error = NULL;
    GPtrArray *consoles = vcr_metadata_parse(xml, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(consoles->len, ==, 1);
    return consoles;
}

static VcService *
offer(const char *devices, const char *attributes, const VcrPlace *place, GError **error)
{
    g_autoptr(VcrDomain) domain = parse_domain(devices);
    g_autoptr(GPtrArray) consoles = parse_console(attributes);

    return vcr_offer(domain, g_ptr_array_index(consoles, 0), place, error);
}

/* As text, or why not. */
static char *
show(const char *devices, const char *attributes, const VcrPlace *place)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VcService) service = offer(devices, attributes, place, &error);

    if (service == NULL) {
        g_assert_error(error, VC_ERROR, VC_ERROR_POLICY);
        return g_strdup_printf("no: %s", error->message);
    }
    g_assert_no_error(error);
    return g_strdup_printf(
        "%s %s%s%s%s %s %u", vc_console_type_name(service->type), service->address,
        service->insecure ? " insecure" : "", service->tls_tunnel ? " tunnel" : "",
        service->telnet ? " telnet" : "", service->console_type, service->console_index);
}

/* --- which host --- */

#define VNC_ON(listen)                                                                         \
    "<graphics type='vnc' port='5900'><listen type='address' address='" listen "'/></"         \
    "graphics>"
#define SERIAL_ON(host)                                                                        \
    "<serial type='tcp'><source mode='bind' host='" host "' service='4500' "                   \
    "tls='yes'/></serial>"
#define VNC_NOWHERE "<graphics type='vnc' port='5900'/>"

/* NULL: not offered. */
static const struct {
    const char *name;
    const char *devices;
    const char *host; /* nullable: of the metadata */
    const char *domain_address;
    const char *expected;
} hosts[] = {
    /* a wildcard: metadata, --domain-address, the libvirtd's name */
    {"absent", VNC_NOWHERE, NULL, NULL, "hv1.example:5900"},
    {"empty", VNC_ON(""), NULL, NULL, "hv1.example:5900"},
    {"any-v4", VNC_ON("0.0.0.0"), NULL, NULL, "hv1.example:5900"},
    {"any-v6", VNC_ON("::"), NULL, NULL, "hv1.example:5900"},
    {"any-v6-long", VNC_ON("0:0:0:0:0:0:0:0"), NULL, NULL, "hv1.example:5900"},
    {"any-v6-zero", VNC_ON("::0"), NULL, NULL, "hv1.example:5900"},
    {"any-v4-short", VNC_ON("0"), NULL, NULL, "hv1.example:5900"},
    {"any-mapped", VNC_ON("::ffff:0.0.0.0"), NULL, NULL, "hv1.example:5900"},
    {"any-configured", VNC_ON("0.0.0.0"), NULL, "10.1.0.1", "10.1.0.1:5900"},
    {"any-configured-v6", VNC_ON("::"), NULL, "2001:db8::1", "[2001:db8::1]:5900"},
    {"any-metadata", VNC_ON("0.0.0.0"), "10.2.0.1", NULL, "10.2.0.1:5900"},
    {"any-both", VNC_ON("::"), "10.2.0.1", "10.1.0.1", "10.2.0.1:5900"},
    {"any-both-absent", VNC_NOWHERE, "hv2.example", "10.1.0.1", "hv2.example:5900"},
    {"any-loopback-configured", VNC_ON("0.0.0.0"), NULL, "127.0.0.1", "127.0.0.1:5900"},
    {"any-loopback-metadata", VNC_ON("::"), "::1", "10.1.0.1", "[::1]:5900"},
    {"serial-any", SERIAL_ON("::"), NULL, "10.1.0.1", "10.1.0.1:4500"},
    {"serial-empty", SERIAL_ON(""), NULL, NULL, "hv1.example:4500"},
    {"serial-absent",
     "<serial type='tcp'><source mode='bind' service='4500' tls='yes'/></serial>", NULL, NULL,
     "hv1.example:4500"},

    /* an address: itself, unless the metadata says another */
    {"own", VNC_ON("192.0.2.7"), NULL, NULL, "192.0.2.7:5900"},
    {"own-v6", VNC_ON("2001:db8::7"), NULL, NULL, "[2001:db8::7]:5900"},
    {"own-name", VNC_ON("vnc.hv1.example"), NULL, NULL, "vnc.hv1.example:5900"},
    {"own-configured", VNC_ON("192.0.2.7"), NULL, "10.1.0.1", "192.0.2.7:5900"},
    {"own-metadata", VNC_ON("192.0.2.7"), "10.2.0.1", "10.1.0.1", "10.2.0.1:5900"},
    {"own-serial", SERIAL_ON("192.0.2.7"), NULL, NULL, "192.0.2.7:4500"},

    /* loopback: only where somebody says loopback */
    {"loopback", VNC_ON("127.0.0.1"), NULL, NULL, NULL},
    {"loopback-other", VNC_ON("127.9.9.9"), NULL, NULL, NULL},
    {"loopback-v6", VNC_ON("::1"), NULL, NULL, NULL},
    {"loopback-v6-long", VNC_ON("0:0:0:0:0:0:0:1"), NULL, NULL, NULL},
    {"loopback-mapped", VNC_ON("::ffff:127.0.0.1"), NULL, NULL, NULL},
    {"loopback-short", VNC_ON("127.1"), NULL, NULL, NULL},
    {"loopback-number", VNC_ON("2130706433"), NULL, NULL, NULL},
    {"loopback-hex", VNC_ON("0x7f.1"), NULL, NULL, NULL},
    {"loopback-name", VNC_ON("localhost"), NULL, NULL, NULL},
    {"loopback-name-case", VNC_ON("LocalHost"), NULL, NULL, NULL},
    {"loopback-subdomain", VNC_ON("vnc.localhost"), NULL, NULL, NULL},
    {"loopback-serial", SERIAL_ON("127.0.0.1"), NULL, NULL, NULL},
    {"loopback-configured-elsewhere", VNC_ON("127.0.0.1"), NULL, "10.1.0.1", NULL},
    {"loopback-metadata-elsewhere", VNC_ON("127.0.0.1"), "10.2.0.1", NULL, NULL},
    {"loopback-metadata-elsewhere-before-configured", VNC_ON("127.0.0.1"), "10.2.0.1",
     "127.0.0.1", NULL},
    {"loopback-configured", VNC_ON("127.0.0.1"), NULL, "127.0.0.1", "127.0.0.1:5900"},
    {"loopback-configured-v6", VNC_ON("127.0.0.1"), NULL, "::1", "[::1]:5900"},
    {"loopback-configured-name", VNC_ON("::1"), NULL, "localhost", "localhost:5900"},
    {"loopback-metadata", VNC_ON("::1"), "127.0.0.1", "10.1.0.1", "127.0.0.1:5900"},
    {"loopback-serial-metadata", SERIAL_ON("127.0.0.1"), "localhost", NULL, "localhost:4500"},
    {"not-loopback", VNC_ON("128.0.0.1"), NULL, NULL, "128.0.0.1:5900"},
    {"not-loopback-name", VNC_ON("localhost.example"), NULL, NULL, "localhost.example:5900"},

    /* no address at all */
    {"nonsense", VNC_ON("no host"), NULL, NULL, NULL},
    {"brackets", VNC_ON("[::1]"), NULL, "127.0.0.1", NULL},
};

static void
test_host(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    const VcrPlace place = {hosts[i].domain_address, "hv1.example"};
    gboolean is_serial = g_str_has_prefix(hosts[i].devices, "<serial");
    g_autofree char *attributes = g_strdup_printf(
        "type='%s' %s%s%s", is_serial ? "serial" : "vnc", hosts[i].host != NULL ? "host='" : "",
        hosts[i].host != NULL ? hosts[i].host : "", hosts[i].host != NULL ? "'" : "");
    g_autoptr(GError) error = NULL;
    g_autoptr(VcService) service = offer(hosts[i].devices, attributes, &place, &error);

    if (hosts[i].expected == NULL) {
        g_assert_null(service);
        g_assert_error(error, VC_ERROR, VC_ERROR_POLICY);
        return;
    }
    g_assert_no_error(error);
    g_assert_cmpstr(service->address, ==, hosts[i].expected);
}

/* --- which port, and how --- */

#define VNC         "<graphics type='vnc' port='5900'/>"
#define SPICE_BOTH  "<graphics type='spice' port='5901' tlsPort='5902'/>"
#define SPICE_TLS   "<graphics type='spice' tlsPort='5902'/>"
#define SPICE_CLEAR "<graphics type='spice' port='5901'/>"
#define SERIAL(tls, protocol)                                                                  \
    "<serial type='tcp'><source mode='bind' host='::' service='4500' tls='" tls                \
    "'/><protocol type='" protocol "'/><alias name='serial0'/></serial>"
#define MIRROR                                                                                 \
    "<console type='tcp'><source mode='bind' host='::' service='4500' tls='yes'/>"             \
    "<target type='serial'/><alias name='serial0'/></console>"
#define VIRTIO(tls)                                                                            \
    "<console type='tcp'><source mode='bind' host='::' service='4501' tls='" tls               \
    "'/><target type='virtio'/><alias name='console1'/></console>"

#define NO_TLS    "no: it has no TLS port, and its metadata does not say insecure='yes'"
#define NO_PORT   "no: it has no port"
#define NO_TCP    "no: it does not listen on TCP"
#define NO_DEVICE "no: the guest has no such device"

static const struct {
    const char *name;
    const char *devices;
    const char *attributes;
    const char *expected;
} ports[] = {
    {"vnc", VNC, "type='vnc'", "vnc hv:5900 vnc 0"},
    {"vnc-insecure", VNC, "type='vnc' insecure='yes'", "vnc hv:5900 insecure vnc 0"},
    {"vnc-second", VNC "<graphics type='vnc' port='5910'/>", "type='vnc' port='1'",
     "vnc hv:5910 vnc 1"},
    {"vnc-off", "<graphics type='vnc' port='-1' autoport='yes'/>", "type='vnc'", NO_PORT},
    {"vnc-off-insecure", "<graphics type='vnc' port='-1'/>", "type='vnc' insecure='yes'",
     NO_PORT},
    {"vnc-socket", "<graphics type='vnc'><listen type='socket' socket='/x'/></graphics>",
     "type='vnc'", NO_TCP},
    {"vnc-none", "<graphics type='vnc'><listen type='none'/></graphics>", "type='vnc'", NO_TCP},
    {"vnc-absent", SPICE_BOTH, "type='vnc'", NO_DEVICE},
    {"vnc-no-second", VNC, "type='vnc' port='1'", NO_DEVICE},

    {"spice", SPICE_BOTH, "type='spice'", "spice hv:5902 spice 0"},
    {"spice-insecure", SPICE_BOTH, "type='spice' insecure='yes'",
     "spice hv:5901 insecure spice 0"},
    {"spice-tls", SPICE_TLS, "type='spice'", "spice hv:5902 spice 0"},
    {"spice-tls-insecure", SPICE_TLS, "type='spice' insecure='yes'",
     "spice hv:5902 insecure tunnel spice 0"},
    {"spice-clear", SPICE_CLEAR, "type='spice'", NO_TLS},
    {"spice-clear-insecure", SPICE_CLEAR, "type='spice' insecure='yes'",
     "spice hv:5901 insecure spice 0"},
    {"spice-off", "<graphics type='spice' port='-1' tlsPort='-1'/>", "type='spice'", NO_TLS},
    {"spice-off-insecure", "<graphics type='spice' port='-1' tlsPort='-1'/>",
     "type='spice' insecure='yes'", NO_PORT},

    {"serial", SERIAL("yes", "raw"), "type='serial'", "serial hv:4500 serial 0"},
    {"serial-insecure", SERIAL("yes", "raw"), "type='serial' insecure='yes'",
     "serial hv:4500 insecure tunnel serial 0"},
    {"serial-clear", SERIAL("no", "raw"), "type='serial'", NO_TLS},
    {"serial-clear-insecure", SERIAL("no", "raw"), "type='serial' insecure='yes'",
     "serial hv:4500 insecure serial 0"},
    {"serial-telnet", SERIAL("no", "telnet"), "type='serial' insecure='yes'",
     "serial hv:4500 insecure telnet serial 0"},
    {"serial-telnets", SERIAL("yes", "telnet"), "type='serial'",
     "serial hv:4500 telnet serial 0"},
    {"serial-pty", "<serial type='pty'/>", "type='serial' insecure='yes'", NO_TCP},
    {"serial-connect",
     "<serial type='tcp'><source mode='connect' host='x' service='1'/></serial>",
     "type='serial' insecure='yes'", NO_TCP},
    {"serial-no-port", "<serial type='tcp'><source mode='bind'/></serial>",
     "type='serial' insecure='yes'", NO_PORT},
    {"serial-second", "<serial type='pty'/>" SERIAL("yes", "raw"), "type='serial' port='1'",
     "serial hv:4500 serial 1"},

    /* a console that mirrors a serial port is that port */
    {"mirror", SERIAL("yes", "raw") MIRROR, "type='console'", "serial hv:4500 serial 0"},
    {"mirrored", SERIAL("yes", "raw") MIRROR, "type='serial'", "serial hv:4500 serial 0"},
    {"mirror-of-second",
     "<serial type='pty'><alias name='serial1'/></serial>" SERIAL("yes", "raw") MIRROR,
     "type='console'", "serial hv:4500 serial 1"},
    {"virtio", SERIAL("yes", "raw") MIRROR VIRTIO("yes"), "type='console' port='1'",
     "serial hv:4501 console 1"},
    {"virtio-alone", VIRTIO("yes"), "type='console'", "serial hv:4501 console 0"},
    {"virtio-clear", VIRTIO("no"), "type='console'", NO_TLS},
    {"virtio-clear-insecure", VIRTIO("no"), "type='console' insecure='yes'",
     "serial hv:4501 insecure console 0"},
    {"console-absent", SERIAL("yes", "raw"), "type='console'", NO_DEVICE},
};

static void
test_port(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    const VcrPlace place = {NULL, "hv"};
    g_autofree char *shown = show(ports[i].devices, ports[i].attributes, &place);

    g_assert_cmpstr(shown, ==, ports[i].expected);
}

/* --- what else the service says --- */

static void
test_guest(void)
{
    const VcrPlace place = {"192.0.2.1", "hv1.example"};
    g_autoptr(GError) error = NULL;
    g_autoptr(VcService) service = offer("<graphics type='vnc' port='5900' passwd='secret'/>",
                                         "type='vnc'", &place, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(service->domain_uuid, ==, UUID);
    g_assert_cmpstr(service->domain_name, ==, "demo");
    g_assert_cmpstr(service->domain_host, ==, "hv1.example"); /* not where it is reached */
    g_assert_cmpstr(service->host, ==, "192.0.2.1");
    g_assert_cmpuint(service->port, ==, 5900);
    g_assert_null(service->password); /* read when it is asked for */
    g_assert_null(service->path);
}

static void
test_defaults(void)
{
    const VcrPlace place = {NULL, "hv"};
    g_autoptr(VcService) service = offer(VNC, "type='vnc'", &place, NULL);

    g_assert_false(service->insecure || service->power_control || service->shared);
    g_assert_cmpint(service->token_use, ==, VC_TOKEN_USE_DEFAULT);
    g_assert_cmpint(service->expires_s, ==, 0);
    g_assert_null(service->tls_server_name);
    g_assert_null(service->tls_subject);
}

static void
test_metadata(void)
{
    const VcrPlace place = {NULL, "hv"};
    g_autoptr(VcService) service =
        offer(VNC,
              "type='vnc' insecure='yes' single-use='yes' power-control='yes' "
              "expires='2030-01-31T12:00:00Z' tls-server-name='hv1.example'",
              &place, NULL);

    g_assert_true(service->insecure);
    g_assert_true(service->power_control);
    g_assert_cmpint(service->token_use, ==, VC_TOKEN_USE_SINGLE);
    g_assert_cmpint(service->expires_s, ==, 1896091200);
    g_assert_cmpstr(service->tls_server_name, ==, "hv1.example");
}

/* Whoever opens the mirror and whoever opens the port are at the same console: limits and locks
 * of the proxy go by this. */
static void
test_console_key(void)
{
    const VcrPlace place = {NULL, "hv"};
    const char *devices = SERIAL("yes", "raw") MIRROR VIRTIO("yes");
    g_autoptr(VcService) serial = offer(devices, "type='serial'", &place, NULL);
    g_autoptr(VcService) mirror = offer(devices, "type='console'", &place, NULL);
    g_autoptr(VcService) virtio = offer(devices, "type='console' port='1'", &place, NULL);
    g_autofree char *serial_key = vc_service_console_key(serial);
    g_autofree char *mirror_key = vc_service_console_key(mirror);
    g_autofree char *virtio_key = vc_service_console_key(virtio);

    g_assert_cmpstr(serial_key, ==, mirror_key);
    g_assert_cmpstr(serial_key, !=, virtio_key);
}

static void
test_json(void)
{
    const VcrPlace place = {NULL, "hv"};
    g_autoptr(VcService) service =
        offer(SERIAL("yes", "raw") MIRROR, "type='console'", &place, NULL);
    json_t *json = vc_service_to_json_with(service, NULL);
    g_autofree char *text = json_dumps(json, JSON_COMPACT);

    json_decref(json);
    g_assert_cmpstr(text, ==,
                    "{\"type\":\"serial\",\"address\":\"hv:4500\",\"insecure\":false,"
                    "\"domain\":{\"uuid\":\"" UUID "\",\"name\":\"demo\",\"host\":\"hv\"},"
                    "\"console\":{\"type\":\"serial\",\"index\":0}}");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    vcr_xml_init();
    for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_autofree char *path = g_strdup_printf("/offer/host/%s", hosts[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_host);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(ports); i++) {
        g_autofree char *path = g_strdup_printf("/offer/port/%s", ports[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_port);
    }
    g_test_add_func("/offer/guest", test_guest);
    g_test_add_func("/offer/defaults", test_defaults);
    g_test_add_func("/offer/metadata", test_metadata);
    g_test_add_func("/offer/console-key", test_console_key);
    g_test_add_func("/offer/json", test_json);
    return g_test_run();
}
