/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Console metadata from XML and back: the one file that knows the attributes' names. */
#include "resolver/metadata.h"

#include <string.h>

#include "common/address.h"
#include "common/error.h"
#include "resolver/xml.h"

#define MAX_LENGTH (64 * 1024)
#define MAX_INDEX  65535

/* 9999-12-31T23:59:59Z: the last second that RFC 3339 can write down. */
#define LAST_S G_GINT64_CONSTANT(253402300799)

static const char *const kind_names[VCR_N_KINDS] = {
    [VCR_KIND_VNC] = "vnc",
    [VCR_KIND_SPICE] = "spice",
    [VCR_KIND_SERIAL] = "serial",
    [VCR_KIND_CONSOLE] = "console",
};

const char *
vcr_kind_name(VcrKind kind)
{
    return kind_names[kind];
}

gboolean
vcr_kind_parse(const char *name, VcrKind *kind)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kind_names); i++) {
        if (strcmp(name, kind_names[i]) == 0) {
            *kind = (VcrKind)i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
vcr_expires_parse(const char *text, gint64 *expires_s)
{
    /* Without a zone of its own a time would depend on where it is read. */
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, NULL);

    if (time == NULL)
        return FALSE;
    *expires_s = CLAMP(g_date_time_to_unix(time), 1, LAST_S);
    return TRUE;
}

void
vcr_console_free(VcrConsole *self)
{
    if (self == NULL)
        return;
    g_free(self->secret);
    g_free(self->host);
    g_free(self->tls_server_name);
    g_free(self);
}

/* --- reading --- */

static gboolean
wrong(GError **error, const char *attribute, const char *what)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s %s", attribute, what);
    return FALSE;
}

/* In all of these an absent attribute leaves *value as it is. */
static gboolean
read_boolean(const xmlNode *node, const char *name, gboolean *value, GError **error)
{
    g_autofree char *text = vcr_xml_attribute(node, name);

    if (text == NULL)
        return TRUE;
    *value = strcmp(text, "yes") == 0;
    return *value || strcmp(text, "no") == 0 || wrong(error, name, "must be yes or no");
}

static gboolean
read_host(const xmlNode *node, const char *name, char **value /* full */, GError **error)
{
    *value = vcr_xml_attribute(node, name);
    return *value == NULL || vc_address_is_host(*value) ||
           wrong(error, name, "must be a host name or an IP address");
}

static gboolean
read_expires(const xmlNode *node, gint64 *value, GError **error)
{
    g_autofree char *text = vcr_xml_attribute(node, "expires");

    return text == NULL || vcr_expires_parse(text, value) ||
           wrong(error, "expires",
                 "must be a time as in RFC 3339, such as 2030-01-31T12:00:00Z");
}

static gboolean
read_index(const xmlNode *node, guint *value, GError **error)
{
    g_autofree char *port = vcr_xml_attribute(node, "port");
    g_autofree char *index = vcr_xml_attribute(node, "index");
    const char *text = port != NULL ? port : index;
    guint64 number;

    if (text == NULL)
        return TRUE;
    if (!g_ascii_string_to_unsigned(text, 10, 0, MAX_INDEX, &number, NULL))
        return wrong(error, "port", "must be the number of a console, from 0 on");
    *value = (guint)number;
    return TRUE;
}

static gboolean
read_secret(const xmlNode *node, char **value /* full */, GError **error)
{
    g_autofree char *text = vcr_xml_attribute(node, "token");

    if (text == NULL)
        return wrong(error, "token", "is missing");
    if (!g_uuid_string_is_valid(text))
        return wrong(error, "token", "must be the UUID of a secret");
    *value = g_ascii_strdown(text, -1);
    return TRUE;
}

static gboolean
read_kind(const xmlNode *node, VcrKind *value, GError **error)
{
    g_autofree char *text = vcr_xml_attribute(node, "type");

    if (text == NULL)
        return wrong(error, "type", "is missing");
    return vcr_kind_parse(text, value) ||
           wrong(error, "type", "must be vnc, spice, serial or console");
}

static VcrConsole *
read_console(const xmlNode *node, GError **error)
{
    g_autoptr(VcrConsole) self = g_new0(VcrConsole, 1);

    if (!read_secret(node, &self->secret, error) || !read_kind(node, &self->kind, error) ||
        !read_index(node, &self->index, error) ||
        !read_boolean(node, "insecure", &self->insecure, error) ||
        !read_host(node, "host", &self->host, error) ||
        !read_boolean(node, "single-use", &self->single_use, error) ||
        !read_boolean(node, "power-control", &self->power_control, error) ||
        !read_expires(node, &self->expires_s, error) ||
        !read_host(node, "tls-server-name", &self->tls_server_name, error))
        return NULL;
    return g_steal_pointer(&self);
}

static gboolean
check_secret(const GPtrArray *consoles, const VcrConsole *console, GError **error)
{
    for (guint i = 0; i < consoles->len; i++) {
        const VcrConsole *other = g_ptr_array_index(consoles, i);
        if (strcmp(other->secret, console->secret) == 0)
            return wrong(error, "token", "names the secret of another console");
    }
    return TRUE;
}

static void
add_console(GPtrArray *consoles, const xmlNode *node, guint number, GPtrArray *problems)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(VcrConsole) console = read_console(node, &why);

    if (console != NULL && check_secret(consoles, console, &why))
        g_ptr_array_add(consoles, g_steal_pointer(&console));
    else if (problems != NULL)
        g_ptr_array_add(problems, g_strdup_printf("console %u: %s", number, why->message));
}

/* libvirt takes our namespace away when it is asked for our metadata. */
static gboolean
is_ours(const xmlNode *node, const char *name)
{
    return vcr_xml_is(node, name) && (node->ns == NULL || strcmp((const char *)node->ns->href,
                                                                 VCR_METADATA_NAMESPACE) == 0);
}

static void
free_console(gpointer console)
{
    vcr_console_free(console);
}

GPtrArray *
vcr_metadata_parse(const char *xml, GPtrArray *problems, GError **error)
{
    g_autoptr(xmlDoc) document = vcr_xml_parse(xml, MAX_LENGTH, error);
    if (document == NULL)
        return NULL;

    const xmlNode *root = xmlDocGetRootElement(document);
    if (!is_ours(root, "consoles")) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG,
                            "the XML has no <consoles> for its root");
        return NULL;
    }
    GPtrArray *consoles = g_ptr_array_new_with_free_func(free_console);
    guint number = 0;
    for (const xmlNode *node = root->children; node != NULL; node = node->next) {
        if (is_ours(node, "console"))
            add_console(consoles, node, ++number, problems);
    }
    return consoles;
}

/* --- writing --- */

static const char *
yes_or_no(gboolean value)
{
    return value ? "yes" : "no";
}

static void
append_attribute(GString *xml, const char *name, const char *value /* nullable */)
{
    if (value == NULL)
        return;
    g_autofree char *text = g_markup_printf_escaped(" %s=\"%s\"", name, value);
    g_string_append(xml, text);
}

static void
append_console(GString *xml, const VcrConsole *console)
{
    g_autofree char *index = g_strdup_printf("%u", console->index);
    g_autofree char *expires = NULL;

    if (console->expires_s != 0) {
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(console->expires_s);
        expires = g_date_time_format_iso8601(time);
    }
    g_string_append(xml, "<console");
    append_attribute(xml, "token", console->secret);
    append_attribute(xml, "type", vcr_kind_name(console->kind));
    append_attribute(xml, "port", index);
    append_attribute(xml, "insecure", yes_or_no(console->insecure));
    append_attribute(xml, "host", console->host);
    append_attribute(xml, "single-use", console->single_use ? "yes" : NULL);
    append_attribute(xml, "power-control", console->power_control ? "yes" : NULL);
    append_attribute(xml, "expires", expires);
    append_attribute(xml, "tls-server-name", console->tls_server_name);
    g_string_append(xml, "/>");
}

char *
vcr_metadata_format(const GPtrArray *consoles)
{
    GString *xml = g_string_new("<consoles>");

    for (guint i = 0; i < consoles->len; i++)
        append_console(xml, g_ptr_array_index(consoles, i));
    g_string_append(xml, "</consoles>");
    return g_string_free(xml, FALSE);
}
