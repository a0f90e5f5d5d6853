/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Entries that a guest should have, from its consoles and those that it has. */
#include "resolver/adm-plan.h"

#include <string.h>

#include "common/error.h"

#define DESCRIPTION_BEGIN  "Token for "
#define DESCRIPTION_MIDDLE " console proxy domain "

gboolean
vcr_plan_kinds(const char *list, gboolean kinds[VCR_N_KINDS], GError **error)
{
    g_auto(GStrv) names = g_strsplit(list, ",", -1);
    VcrKind kind;

    memset(kinds, 0, VCR_N_KINDS * sizeof kinds[0]);
    for (char **name = names; *name != NULL; name++) {
        if (!vcr_kind_parse(*name, &kind)) {
            g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                        "--type knows vnc, spice, serial and console, not \"%s\"", *name);
            return FALSE;
        }
        kinds[kind] = TRUE;
    }
    if (names[0] != NULL)
        return TRUE;
    g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG, "--type names no type");
    return FALSE;
}

/* --- entries --- */

static VcrConsole *
copy(const VcrConsole *console)
{
    VcrConsole *self = g_memdup2(console, sizeof *console);

    self->secret = g_strdup(console->secret);
    self->host = g_strdup(console->host);
    self->tls_server_name = g_strdup(console->tls_server_name);
    return self;
}

static void
free_console(gpointer console)
{
    vcr_console_free(console);
}

static gboolean
has_entry(const GPtrArray *consoles, VcrKind kind, guint index)
{
    for (guint i = 0; i < consoles->len; i++) {
        const VcrConsole *console = g_ptr_array_index(consoles, i);
        if (console->kind == kind && console->index == index)
            return TRUE;
    }
    return FALSE;
}

const VcrConsole *
vcr_plan_find_secret(const GPtrArray *consoles, const char *secret)
{
    for (guint i = 0; consoles != NULL && i < consoles->len; i++) {
        const VcrConsole *console = g_ptr_array_index(consoles, i);
        if (g_strcmp0(console->secret, secret) == 0)
            return console;
    }
    return NULL;
}

GPtrArray *
vcr_plan_merge(const GPtrArray *live, const GPtrArray *config)
{
    GPtrArray *consoles = g_ptr_array_new_with_free_func(free_console);

    for (guint i = 0; live != NULL && i < live->len; i++)
        g_ptr_array_add(consoles, copy(g_ptr_array_index(live, i)));

    /* one console may have several entries, so that the comparison is with live alone */
    for (guint i = 0; config != NULL && i < config->len; i++) {
        const VcrConsole *console = g_ptr_array_index(config, i);
        if (live == NULL || (!has_entry(live, console->kind, console->index) &&
                             vcr_plan_find_secret(live, console->secret) == NULL))
            g_ptr_array_add(consoles, copy(console));
    }
    return consoles;
}

gboolean
vcr_plan_is_same(const GPtrArray *one, const GPtrArray *other)
{
    if (one == NULL || other == NULL)
        return one == other;
    g_autofree char *text = vcr_metadata_format(one);
    g_autofree char *other_text = vcr_metadata_format(other);
    return strcmp(text, other_text) == 0;
}

/* --- enable --- */

static void
add_entry(GPtrArray *consoles, const VcrDevice *device)
{
    VcrConsole *console = g_new0(VcrConsole, 1);

    console->kind = device->kind;
    console->index = device->index;
    g_ptr_array_add(consoles, console);
}

static void
set_text(char **field, const char *wished)
{
    if (wished == NULL)
        return;
    g_free(*field);
    *field = g_strdup(wished);
}

static void
apply(VcrConsole *console, const VcrWish *wish)
{
    console->insecure |= wish->insecure;
    console->single_use |= wish->single_use;
    console->power_control |= wish->power_control;
    if (wish->expires_s != 0)
        console->expires_s = wish->expires_s;
    set_text(&console->host, wish->host);
    set_text(&console->tls_server_name, wish->tls_server_name);
}

/* A mirror is reached as the serial port that it shows. */
static gboolean
is_reachable(const VcrDevice *device, GPtrArray *notes)
{
    if (device->is_mirror)
        return FALSE;
    if (!device->is_tcp)
        g_ptr_array_add(notes, g_strdup_printf("%s %u is left out: it does not listen on TCP",
                                               vcr_kind_name(device->kind), device->index));
    return device->is_tcp;
}

static guint
add_entries(GPtrArray *consoles, const VcrDomain *domain, VcrKind kind, GPtrArray *notes)
{
    guint n_reachable = 0;

    for (guint i = 0; i < domain->devices->len; i++) {
        const VcrDevice *device = g_ptr_array_index(domain->devices, i);
        if (device->kind != kind || !is_reachable(device, notes))
            continue;
        n_reachable++;
        if (!has_entry(consoles, kind, device->index))
            add_entry(consoles, device);
    }
    return n_reachable;
}

/* While the guest is off its XML may leave TLS to libvirt's configuration. */
static void
warn_of_clear_text(const VcrConsole *console, const VcrDomain *domain, GPtrArray *notes)
{
    const VcrDevice *device = vcr_domain_find(domain, console->kind, console->index);

    if (device == NULL || device->alias == NULL || console->kind == VCR_KIND_VNC)
        return;
    if (!console->insecure && device->port != 0 && device->tls_port == 0)
        g_ptr_array_add(
            notes, g_strdup_printf("%s %u has no TLS: it is reachable only with --insecure",
                                   vcr_kind_name(console->kind), console->index));
}

guint
vcr_plan_enable(GPtrArray *consoles, const VcrDomain *domain, const VcrWish *wish,
                GPtrArray *notes)
{
    guint n_reachable = 0;

    for (VcrKind kind = 0; kind < VCR_N_KINDS; kind++) {
        if (wish->kinds[kind])
            n_reachable += add_entries(consoles, domain, kind, notes);
    }
    for (guint i = 0; i < consoles->len; i++) {
        VcrConsole *console = g_ptr_array_index(consoles, i);
        if (!wish->kinds[console->kind])
            continue;
        apply(console, wish);
        warn_of_clear_text(console, domain, notes);
    }
    return n_reachable;
}

/* --- secrets --- */

char *
vcr_secret_describe(VcrKind kind, const char *domain_uuid)
{
    return g_strconcat(DESCRIPTION_BEGIN, vcr_kind_name(kind), DESCRIPTION_MIDDLE, domain_uuid,
                       NULL);
}

gboolean
vcr_secret_parse(const char *description, VcrKind *kind, char **domain_uuid)
{
    if (!g_str_has_prefix(description, DESCRIPTION_BEGIN))
        return FALSE;
    const char *name = description + strlen(DESCRIPTION_BEGIN);
    const char *middle = strstr(name, DESCRIPTION_MIDDLE);
    if (middle == NULL)
        return FALSE;

    g_autofree char *kind_name = g_strndup(name, (gsize)(middle - name));
    const char *uuid = middle + strlen(DESCRIPTION_MIDDLE);
    if (!vcr_kind_parse(kind_name, kind) || !g_uuid_string_is_valid(uuid))
        return FALSE;
    *domain_uuid = g_ascii_strdown(uuid, -1);
    return TRUE;
}

/* --- links --- */

gboolean
vcr_plan_is_base(const char *base)
{
    g_autoptr(GUri) uri = g_uri_parse(base, G_URI_FLAGS_NONE, NULL);

    return uri != NULL &&
           (g_str_equal(g_uri_get_scheme(uri), "https") ||
            g_str_equal(g_uri_get_scheme(uri), "http")) &&
           g_uri_get_host(uri) != NULL && *g_uri_get_host(uri) != '\0' &&
           g_uri_get_userinfo(uri) == NULL && strpbrk(base, "?# ") == NULL;
}

/* The page's engines: a console of libvirt's is a serial one there. */
static const char *
page_type(VcrKind kind)
{
    return vcr_kind_name(kind == VCR_KIND_CONSOLE ? VCR_KIND_SERIAL : kind);
}

static gboolean
is_plain(char c)
{
    return g_ascii_isalnum(c) || strchr("-._~", c) != NULL;
}

char *
vcr_plan_link(const char *base, VcrKind kind, const char *token)
{
    gsize length = strlen(base);

    while (length > 0 && base[length - 1] == '/')
        length--;
    /* No GString: it would leave parts of the token in memory as it grows. */
    gsize room = length + 3 * strlen(token) + 64;
    char *link = g_malloc(room);
    gsize end = (gsize)g_snprintf(link, room, "%.*s/console.html#type=%s&token=", (int)length,
                                  base, page_type(kind));
    for (const char *at = token; *at != '\0'; at++) {
        if (is_plain(*at))
            end += (gsize)g_snprintf(link + end, room - end, "%c", *at);
        else
            end += (gsize)g_snprintf(link + end, room - end, "%%%02X", (guchar)*at);
    }
    return link;
}
