/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Graphics, serial ports and consoles of a domain. */
#include "resolver/domain.h"

#include "common/error.h"
#include "common/token.h"
#include "resolver/xml.h"

/* Guests with hundreds of devices have some hundred KiB. */
#define MAX_LENGTH (4 * 1024 * 1024)

static void
device_free(gpointer data)
{
    VcrDevice *self = data;

    vc_secret_free(self->password);
    g_free(self->listen);
    g_free(self->alias);
    g_free(self);
}

void
vcr_domain_free(VcrDomain *self)
{
    if (self == NULL)
        return;
    g_ptr_array_unref(self->devices);
    g_free(self->uuid);
    g_free(self->name);
    g_free(self);
}

const VcrDevice *
vcr_domain_find(const VcrDomain *self, VcrKind kind, guint index)
{
    for (guint i = 0; i < self->devices->len; i++) {
        const VcrDevice *device = g_ptr_array_index(self->devices, i);
        if (device->kind == kind && device->index == index)
            return device;
    }
    return NULL;
}

static guint
count(const VcrDomain *self, VcrKind kind)
{
    guint n = 0;

    for (guint i = 0; i < self->devices->len; i++) {
        const VcrDevice *device = g_ptr_array_index(self->devices, i);
        n += device->kind == kind;
    }
    return n;
}

static VcrDevice *
add_device(VcrDomain *self, VcrKind kind)
{
    VcrDevice *device = g_new0(VcrDevice, 1);

    device->kind = kind;
    device->index = count(self, kind);
    g_ptr_array_add(self->devices, device);
    return device;
}

/* A port that libvirt has not given out yet reads -1 or is not there. */
static guint16
read_port(const xmlNode *node, const char *name)
{
    g_autofree char *text = vcr_xml_attribute(node, name);
    guint64 port;

    if (text == NULL || !g_ascii_string_to_unsigned(text, 10, 1, 65535, &port, NULL))
        return 0;
    return (guint16)port;
}

static char *
read_alias(const xmlNode *node)
{
    const xmlNode *alias = vcr_xml_find(node->children, "alias");

    return alias != NULL ? vcr_xml_attribute(alias, "name") : NULL;
}

/* --- graphics --- */

/* The first <listen> counts, as it does in QEMU; without one the attribute. */
static void
read_listen(const xmlNode *node, VcrDevice *device)
{
    const xmlNode *listen = vcr_xml_find(node->children, "listen");

    device->is_tcp = TRUE;
    if (listen == NULL) {
        g_autofree char *socket = vcr_xml_attribute(node, "socket");
        device->is_tcp = socket == NULL;
        device->listen = vcr_xml_attribute(node, "listen");
        return;
    }
    device->is_tcp = vcr_xml_attribute_is(listen, "type", "address") ||
                     vcr_xml_attribute_is(listen, "type", "network");
    device->listen = vcr_xml_attribute(listen, "address");
}

static void
read_graphics(VcrDomain *self, const xmlNode *node)
{
    VcrKind kind;

    if (vcr_xml_attribute_is(node, "type", "vnc"))
        kind = VCR_KIND_VNC;
    else if (vcr_xml_attribute_is(node, "type", "spice"))
        kind = VCR_KIND_SPICE;
    else
        return; /* a window on the host, or none */

    VcrDevice *device = add_device(self, kind);
    read_listen(node, device);
    device->port = read_port(node, "port");
    if (kind == VCR_KIND_SPICE)
        device->tls_port = read_port(node, "tlsPort");
    device->password = vcr_xml_attribute(node, "passwd");
    device->alias = read_alias(node);
}

/* --- serial ports and consoles --- */

static void
read_protocol(const xmlNode *node, VcrDevice *device)
{
    const xmlNode *protocol = vcr_xml_find(node->children, "protocol");

    device->telnet = protocol != NULL && vcr_xml_attribute_is(protocol, "type", "telnet");
}

static void
read_source(const xmlNode *node, VcrDevice *device)
{
    const xmlNode *source = vcr_xml_find(node->children, "source");

    /* mode 'connect' dials out; nobody can dial in. */
    device->is_tcp = vcr_xml_attribute_is(node, "type", "tcp") && source != NULL &&
                     vcr_xml_attribute_is(source, "mode", "bind");
    if (!device->is_tcp)
        return;
    device->listen = vcr_xml_attribute(source, "host");
    if (vcr_xml_attribute_is(source, "tls", "yes"))
        device->tls_port = read_port(source, "service");
    else
        device->port = read_port(source, "service");
    read_protocol(node, device);
}

static VcrDevice *
read_character_device(VcrDomain *self, const xmlNode *node, VcrKind kind)
{
    VcrDevice *device = add_device(self, kind);

    read_source(node, device);
    device->alias = read_alias(node);
    return device;
}

static gboolean
is_on_serial(const xmlNode *node)
{
    const xmlNode *target = vcr_xml_find(node->children, "target");
    g_autofree char *type = target != NULL ? vcr_xml_attribute(target, "type") : NULL;

    /* what libvirt assumes for x86 where the XML says nothing */
    return type == NULL || g_str_equal(type, "serial");
}

/* libvirt shows the serial port that is the guest's console a second time, as a <console> with
 * the same alias. While the guest is off there are no aliases: it is the first one then. */
static void
find_mirrored(const VcrDomain *self, VcrDevice *console)
{
    for (guint i = 0; i < self->devices->len; i++) {
        const VcrDevice *device = g_ptr_array_index(self->devices, i);
        if (device->kind != VCR_KIND_SERIAL)
            continue;
        if (console->alias != NULL && g_strcmp0(console->alias, device->alias) != 0)
            continue;
        console->is_mirror = TRUE;
        console->mirrored = device->index;
        return;
    }
}

static void
read_devices(VcrDomain *self, const xmlNode *devices)
{
    /* Serial ports first: consoles refer to them wherever they stand. */
    for (const xmlNode *node = devices->children; node != NULL; node = node->next) {
        if (vcr_xml_is(node, "graphics"))
            read_graphics(self, node);
        else if (vcr_xml_is(node, "serial"))
            read_character_device(self, node, VCR_KIND_SERIAL);
    }
    for (const xmlNode *node = devices->children; node != NULL; node = node->next) {
        if (!vcr_xml_is(node, "console"))
            continue;
        VcrDevice *console = read_character_device(self, node, VCR_KIND_CONSOLE);
        if (is_on_serial(node))
            find_mirrored(self, console);
    }
}

/* --- the domain --- */

static char *
read_text(const xmlNode *domain, const char *name)
{
    const xmlNode *node = vcr_xml_find(domain->children, name);
    xmlChar *text = node != NULL ? xmlNodeGetContent(node) : NULL;
    char *copy = g_strdup((const char *)text);

    xmlFree(text);
    return copy;
}

VcrDomain *
vcr_domain_parse(const char *xml, GError **error)
{
    g_autoptr(xmlDoc) document = vcr_xml_parse(xml, MAX_LENGTH, error);
    if (document == NULL)
        return NULL;

    const xmlNode *root = xmlDocGetRootElement(document);
    g_autoptr(VcrDomain) self = g_new0(VcrDomain, 1);
    self->devices = g_ptr_array_new_with_free_func(device_free);
    if (vcr_xml_is(root, "domain")) {
        self->uuid = read_text(root, "uuid");
        self->name = read_text(root, "name");
    }
    if (self->uuid == NULL || self->name == NULL) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG,
                            "the XML is no domain with a name and a UUID");
        return NULL;
    }
    const xmlNode *devices = vcr_xml_find(root->children, "devices");
    if (devices != NULL)
        read_devices(self, devices);
    return g_steal_pointer(&self);
}
