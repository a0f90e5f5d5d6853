/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Consoles from domain XML: live as libvirt 9 shows it, of guests that are off, and what is no
 * domain at all. */
#include "resolver/domain.h"

#include <string.h>

#include "common/error.h"
#include "resolver/xml.h"
#include "wiped.h"

#define UUID "8a4c6b1e-4b0f-4f43-8c9c-0d9f1c2f5a11"

#define DOMAIN(devices)                                                                        \
    "<domain type='kvm' id='1'><name>demo</name><uuid>" UUID "</uuid>"                         \
    "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>" devices "</devices></domain>"

/* As text: what a test can compare and a person can read. */
static void
append(GString *text, const VcrDevice *device)
{
    if (text->len > 0)
        g_string_append_c(text, '|');
    g_string_append_printf(text, "%s %u", vcr_kind_name(device->kind), device->index);
    if (!device->is_tcp)
        g_string_append(text, " no-tcp");
    if (device->listen != NULL)
        g_string_append_printf(text, " on %s", device->listen);
    if (device->port != 0)
        g_string_append_printf(text, " port %u", device->port);
    if (device->tls_port != 0)
        g_string_append_printf(text, " tls %u", device->tls_port);
    if (device->telnet)
        g_string_append(text, " telnet");
    if (device->password != NULL)
        g_string_append_printf(text, " password [%s]", device->password);
    if (device->alias != NULL)
        g_string_append_printf(text, " alias %s", device->alias);
    if (device->is_mirror)
        g_string_append_printf(text, " mirrors %u", device->mirrored);
}

static char *
show(const VcrDomain *domain)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < domain->devices->len; i++)
        append(text, g_ptr_array_index(domain->devices, i));
    return g_string_free(text, FALSE);
}

static const struct {
    const char *name;
    const char *xml;
    const char *expected;
} rows[] = {
    {"no-devices", "<domain><name>demo</name><uuid>" UUID "</uuid></domain>", ""},
    {"empty-devices", DOMAIN(""), ""},

    /* VNC */
    {"vnc",
     DOMAIN("<graphics type='vnc' port='5900' autoport='yes' listen='127.0.0.1'>"
            "<listen type='address' address='127.0.0.1'/></graphics>"),
     "vnc 0 on 127.0.0.1 port 5900"},
    {"vnc-attribute", DOMAIN("<graphics type='vnc' port='5900' listen='::'/>"),
     "vnc 0 on :: port 5900"},
    {"vnc-element-first",
     DOMAIN("<graphics type='vnc' port='5900' listen='10.0.0.1'>"
            "<listen type='address' address='10.0.0.2'/></graphics>"),
     "vnc 0 on 10.0.0.2 port 5900"},
    {"vnc-first-of-two",
     DOMAIN("<graphics type='vnc' port='5900'><listen type='address' address='10.0.0.1'/>"
            "<listen type='address' address='10.0.0.2'/></graphics>"),
     "vnc 0 on 10.0.0.1 port 5900"},
    {"vnc-network",
     DOMAIN("<graphics type='vnc' port='5900'>"
            "<listen type='network' address='192.0.2.1' network='default'/></graphics>"),
     "vnc 0 on 192.0.2.1 port 5900"},
    {"vnc-network-off",
     DOMAIN("<graphics type='vnc' port='-1' autoport='yes'>"
            "<listen type='network' network='default'/></graphics>"),
     "vnc 0"},
    {"vnc-no-address",
     DOMAIN("<graphics type='vnc' port='5900'><listen type='address'/></graphics>"),
     "vnc 0 port 5900"},
    {"vnc-nowhere", DOMAIN("<graphics type='vnc' port='5900'/>"), "vnc 0 port 5900"},
    {"vnc-socket",
     DOMAIN("<graphics type='vnc' socket='/run/x'><listen type='socket' socket='/run/x'/>"
            "</graphics>"),
     "vnc 0 no-tcp"},
    {"vnc-socket-attribute", DOMAIN("<graphics type='vnc' socket='/run/x'/>"), "vnc 0 no-tcp"},
    {"vnc-none", DOMAIN("<graphics type='vnc'><listen type='none'/></graphics>"),
     "vnc 0 no-tcp"},
    {"vnc-unknown-listen",
     DOMAIN("<graphics type='vnc' port='5900'><listen type='pigeon'/></graphics>"),
     "vnc 0 no-tcp port 5900"},
    {"vnc-untyped-listen",
     DOMAIN("<graphics type='vnc' port='5900'><listen address='10.0.0.1'/></graphics>"),
     "vnc 0 no-tcp on 10.0.0.1 port 5900"},
    {"vnc-password", DOMAIN("<graphics type='vnc' port='5900' passwd='a&amp;b'/>"),
     "vnc 0 port 5900 password [a&b]"},
    {"vnc-empty-password", DOMAIN("<graphics type='vnc' port='5900' passwd=''/>"),
     "vnc 0 port 5900 password []"},
    {"vnc-websocket", DOMAIN("<graphics type='vnc' port='5900' websocket='5700'/>"),
     "vnc 0 port 5900"},
    {"vnc-tls-port", DOMAIN("<graphics type='vnc' port='5900' tlsPort='5901'/>"),
     "vnc 0 port 5900"},
    {"vnc-two",
     DOMAIN("<graphics type='vnc' port='5900'/><graphics type='spice' port='5901'/>"
            "<graphics type='vnc' port='5902'/>"),
     "vnc 0 port 5900|spice 0 port 5901|vnc 1 port 5902"},

    /* ports */
    {"port-auto", DOMAIN("<graphics type='vnc' port='-1' autoport='yes'/>"), "vnc 0"},
    {"port-absent", DOMAIN("<graphics type='vnc'/>"), "vnc 0"},
    {"port-zero", DOMAIN("<graphics type='vnc' port='0'/>"), "vnc 0"},
    {"port-first", DOMAIN("<graphics type='vnc' port='1'/>"), "vnc 0 port 1"},
    {"port-last", DOMAIN("<graphics type='vnc' port='65535'/>"), "vnc 0 port 65535"},
    {"port-beyond", DOMAIN("<graphics type='vnc' port='65536'/>"), "vnc 0"},
    {"port-far-beyond", DOMAIN("<graphics type='vnc' port='18446744073709557516'/>"), "vnc 0"},
    {"port-words", DOMAIN("<graphics type='vnc' port='5900x'/>"), "vnc 0"},
    {"port-hex", DOMAIN("<graphics type='vnc' port='0x170c'/>"), "vnc 0"},
    {"port-space", DOMAIN("<graphics type='vnc' port=' 5900'/>"), "vnc 0"},
    {"port-empty", DOMAIN("<graphics type='vnc' port=''/>"), "vnc 0"},

    /* SPICE */
    {"spice",
     DOMAIN("<graphics type='spice' port='5901' tlsPort='5902' autoport='yes' listen='::1'>"
            "<listen type='address' address='::1'/><image compression='off'/></graphics>"),
     "spice 0 on ::1 port 5901 tls 5902"},
    {"spice-tls", DOMAIN("<graphics type='spice' tlsPort='5902' defaultMode='secure'/>"),
     "spice 0 tls 5902"},
    {"spice-off", DOMAIN("<graphics type='spice' port='-1' tlsPort='-1' autoport='yes'/>"),
     "spice 0"},
    {"spice-password", DOMAIN("<graphics type='spice' port='5901' passwd='spw'/>"),
     "spice 0 port 5901 password [spw]"},
    {"spice-socket",
     DOMAIN("<graphics type='spice'><listen type='socket' socket='/run/x'/></graphics>"),
     "spice 0 no-tcp"},

    /* graphics that nobody can dial */
    {"sdl", DOMAIN("<graphics type='sdl' display=':0'/><graphics type='egl-headless'/>"), ""},
    {"rdp", DOMAIN("<graphics type='rdp' port='3389'/>"), ""},
    {"dbus", DOMAIN("<graphics type='dbus'/><graphics type='vnc' port='5900'/>"),
     "vnc 0 port 5900"},
    {"untyped", DOMAIN("<graphics port='5900'/>"), ""},

    /* serial ports */
    {"serial",
     DOMAIN("<serial type='tcp'><source mode='bind' host='127.0.0.1' service='45001' "
            "tls='yes'/><protocol type='raw'/><target type='isa-serial' port='0'>"
            "<model name='isa-serial'/></target><alias name='serial0'/></serial>"),
     "serial 0 on 127.0.0.1 tls 45001 alias serial0"},
    {"serial-clear",
     DOMAIN("<serial type='tcp'><source mode='bind' host='' service='45001' tls='no'/>"
            "<protocol type='raw'/></serial>"),
     "serial 0 on  port 45001"},
    {"serial-telnet",
     DOMAIN("<serial type='tcp'><source mode='bind' host='::' service='45001'/>"
            "<protocol type='telnet'/></serial>"),
     "serial 0 on :: port 45001 telnet"},
    {"serial-telnets",
     DOMAIN("<serial type='tcp'><source mode='bind' service='45001' tls='yes'/>"
            "<protocol type='telnet'/></serial>"),
     "serial 0 tls 45001 telnet"},
    {"serial-connect",
     DOMAIN("<serial type='tcp'><source mode='connect' host='10.0.0.1' service='45001'/>"
            "<protocol type='raw'/></serial>"),
     "serial 0 no-tcp"},
    {"serial-no-mode",
     DOMAIN("<serial type='tcp'><source host='10.0.0.1' service='45001'/></serial>"),
     "serial 0 no-tcp"},
    {"serial-no-source", DOMAIN("<serial type='tcp'/>"), "serial 0 no-tcp"},
    {"serial-no-service", DOMAIN("<serial type='tcp'><source mode='bind'/></serial>"),
     "serial 0"},
    {"serial-pty",
     DOMAIN("<serial type='pty'><source path='/dev/pts/3'/><alias name='serial0'/></serial>"),
     "serial 0 no-tcp alias serial0"},
    {"serial-unix", DOMAIN("<serial type='unix'><source mode='bind' path='/run/x'/></serial>"),
     "serial 0 no-tcp"},
    {"serial-udp",
     DOMAIN("<serial type='udp'><source mode='bind' host='10.0.0.1' service='45001'/>"
            "</serial>"),
     "serial 0 no-tcp"},
    {"serial-counted",
     DOMAIN("<serial type='pty'/><serial type='tcp'><source mode='bind' service='1'/></serial>"
            "<serial type='tcp'><source mode='bind' service='2'/></serial>"),
     "serial 0 no-tcp|serial 1 port 1|serial 2 port 2"},

    /* consoles: live, with aliases */
    {"console-mirror",
     DOMAIN("<serial type='tcp'><source mode='bind' service='45001'/><alias name='serial0'/>"
            "</serial><console type='tcp'><source mode='bind' service='45001'/>"
            "<target type='serial' port='0'/><alias name='serial0'/></console>"),
     "serial 0 port 45001 alias serial0|console 0 port 45001 alias serial0 mirrors 0"},
    {"console-mirror-of-second",
     DOMAIN("<serial type='pty'><alias name='serial0'/></serial>"
            "<serial type='pty'><alias name='serial1'/></serial>"
            "<console type='pty'><target type='serial' port='0'/><alias name='serial1'/>"
            "</console>"),
     "serial 0 no-tcp alias serial0|serial 1 no-tcp alias serial1|"
     "console 0 no-tcp alias serial1 mirrors 1"},
    {"console-before-serial",
     DOMAIN("<console type='pty'><target type='serial'/><alias name='serial0'/></console>"
            "<serial type='pty'><alias name='serial0'/></serial>"),
     "serial 0 no-tcp alias serial0|console 0 no-tcp alias serial0 mirrors 0"},
    {"console-virtio",
     DOMAIN("<serial type='pty'><alias name='serial0'/></serial>"
            "<console type='pty'><target type='serial' port='0'/><alias name='serial0'/>"
            "</console><console type='tcp'><source mode='bind' host='127.0.0.1' "
            "service='45002' tls='yes'/><target type='virtio' port='0'/>"
            "<alias name='console1'/></console>"),
     "serial 0 no-tcp alias serial0|console 0 no-tcp alias serial0 mirrors 0|"
     "console 1 on 127.0.0.1 tls 45002 alias console1"},
    {"console-virtio-first",
     DOMAIN("<console type='tcp'><source mode='bind' service='45002'/>"
            "<target type='virtio' port='0'/><alias name='console0'/></console>"),
     "console 0 port 45002 alias console0"},
    {"console-virtio-same-alias", /* by its target it is none */
     DOMAIN("<serial type='pty'><alias name='serial0'/></serial>"
            "<console type='pty'><target type='virtio'/><alias name='serial0'/></console>"),
     "serial 0 no-tcp alias serial0|console 0 no-tcp alias serial0"},
    {"console-other-alias",
     DOMAIN("<serial type='pty'><alias name='serial0'/></serial>"
            "<console type='pty'><target type='serial'/><alias name='console7'/></console>"),
     "serial 0 no-tcp alias serial0|console 0 no-tcp alias console7"},

    /* consoles of a guest that is off */
    {"off-mirror",
     DOMAIN("<serial type='tcp'><source mode='bind' service='45001'/></serial>"
            "<console type='tcp'><source mode='bind' service='45001'/>"
            "<target type='serial' port='0'/></console>"
            "<console type='tcp'><source mode='bind' service='45002'/>"
            "<target type='virtio' port='1'/></console>"),
     "serial 0 port 45001|console 0 port 45001 mirrors 0|console 1 port 45002"},
    {"off-no-target",
     DOMAIN("<serial type='pty'><target port='0'/></serial><console type='pty'/>"),
     "serial 0 no-tcp|console 0 no-tcp mirrors 0"},
    {"off-target-no-type",
     DOMAIN("<serial type='pty'/><console type='pty'><target port='0'/></console>"),
     "serial 0 no-tcp|console 0 no-tcp mirrors 0"},
    {"off-console-alone", DOMAIN("<console type='pty'><target type='serial'/></console>"),
     "console 0 no-tcp"},

    /* what else may stand there */
    {"channels",
     DOMAIN("<channel type='tcp'><source mode='bind' service='45003'/></channel>"
            "<parallel type='tcp'><source mode='bind' service='45004'/></parallel>"
            "<video><model type='vga'/></video>"),
     ""},
    {"nested", DOMAIN("<hostdev><graphics type='vnc' port='5900'/></hostdev>"), ""},
    {"metadata-that-looks-alike",
     "<domain><metadata><devices><graphics type='vnc' port='1'/></devices></metadata>"
     "<name>demo</name><uuid>" UUID "</uuid>"
     "<devices><graphics type='vnc' port='2'/></devices></domain>",
     "vnc 0 port 2"},
    {"other-namespace-attribute",
     DOMAIN("<graphics xmlns:q='urn:q' type='vnc' q:port='5900' port='5901'/>"),
     "vnc 0 port 5901"},
};

static void
test_devices(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcrDomain) domain = vcr_domain_parse(rows[i].xml, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(domain->name, ==, "demo");
    g_assert_cmpstr(domain->uuid, ==, UUID);
    g_autofree char *shown = show(domain);
    g_assert_cmpstr(shown, ==, rows[i].expected);
}

static const struct {
    const char *name;
    const char *xml;
} wrong[] = {
    {"empty", ""},
    {"words", "error: failed to get domain"},
    {"cut-off", "<domain><name>demo</name><uuid>" UUID "</uuid><devices>"},
    {"other-root", "<network><name>demo</name><uuid>" UUID "</uuid></network>"},
    {"no-name", "<domain><uuid>" UUID "</uuid></domain>"},
    {"no-uuid", "<domain><name>demo</name></domain>"},
    {"name-elsewhere", "<domain><uuid>" UUID "</uuid><os><name>demo</name></os></domain>"},
    {"document-type",
     "<!DOCTYPE domain><domain><name>demo</name><uuid>" UUID "</uuid></domain>"},
    {"unknown-entity", "<domain><name>&demo;</name><uuid>" UUID "</uuid></domain>"},
};

static void
test_wrong(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;

    g_assert_null(vcr_domain_parse(wrong[i].xml, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_null(strstr(error->message, "demo"));
}

static void
test_find(void)
{
    g_autoptr(VcrDomain) domain =
        vcr_domain_parse(DOMAIN("<graphics type='vnc' port='1'/><serial type='pty'/>"
                                "<graphics type='vnc' port='2'/>"),
                         NULL);

    g_assert_cmpuint(vcr_domain_find(domain, VCR_KIND_VNC, 0)->port, ==, 1);
    g_assert_cmpuint(vcr_domain_find(domain, VCR_KIND_VNC, 1)->port, ==, 2);
    g_assert_null(vcr_domain_find(domain, VCR_KIND_VNC, 2));
    g_assert_nonnull(vcr_domain_find(domain, VCR_KIND_SERIAL, 0));
    g_assert_null(vcr_domain_find(domain, VCR_KIND_SPICE, 0));
    g_assert_null(vcr_domain_find(domain, VCR_KIND_CONSOLE, 0));
}

static void
test_password_is_wiped(void)
{
    VcrDomain *domain =
        vcr_domain_parse(DOMAIN("<graphics type='vnc' passwd='secret'/>"), NULL);

    wiped_watch(vcr_domain_find(domain, VCR_KIND_VNC, 0)->password);
    vcr_domain_free(domain);
    g_assert_true(wiped_was());
    vcr_domain_free(NULL);
}

/* More devices than any guest has, and as much XML as is taken: it may not take for ever. */
static void
test_many(void)
{
    g_autoptr(GString) devices = g_string_new(NULL);

    for (guint i = 0; i < 5000; i++)
        g_string_append_printf(devices, "<serial type='pty'><alias name='serial%u'/></serial>",
                               i);
    g_autofree char *xml =
        g_strdup_printf("<domain><name>demo</name><uuid>" UUID "</uuid><devices>%s"
                        "<console type='pty'><target type='serial'/>"
                        "<alias name='serial4999'/></console></devices></domain>",
                        devices->str);
    g_autoptr(VcrDomain) domain = vcr_domain_parse(xml, NULL);
    g_assert_cmpuint(domain->devices->len, ==, 5001);
    g_assert_cmpuint(vcr_domain_find(domain, VCR_KIND_CONSOLE, 0)->mirrored, ==, 4999);
}

static void
test_too_long(void)
{
    g_autofree char *spaces = g_strnfill(4 * 1024 * 1024, ' ');
    g_autofree char *xml = g_strconcat("<domain><name>demo</name><uuid>" UUID "</uuid>", spaces,
                                       "</domain>", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_null(vcr_domain_parse(xml, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    vcr_xml_init();
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/domain/devices/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_devices);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("/domain/wrong/%s", wrong[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_wrong);
    }
    g_test_add_func("/domain/find", test_find);
    g_test_add_func("/domain/password-is-wiped", test_password_is_wiped);
    g_test_add_func("/domain/many", test_many);
    g_test_add_func("/domain/too-long", test_too_long);
    return g_test_run();
}
