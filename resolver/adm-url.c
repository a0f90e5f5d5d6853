/* SPDX-License-Identifier: LGPL-2.1-or-later
 * url: the one command that shows a token. */
#include <stdio.h>

#include "common/error.h"
#include "common/token.h"
#include "resolver/adm-guest.h"
#include "resolver/adm.h"
#include "resolver/secret.h"

gboolean
vcr_adm_url_check(const VcrAdmOptions *options, GError **error)
{
    VcrKind kind;

    if (options->proxy == NULL) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG,
                            "url needs --proxy, the URL of the console proxy");
        return FALSE;
    }
    if (!vcr_plan_is_base(options->proxy)) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG,
                            "--proxy takes a URL such as https://console.example.org, without "
                            "a query");
        return FALSE;
    }
    if (options->type != NULL && !vcr_kind_parse(options->type, &kind)) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                    "--type takes vnc, spice, serial or console, not \"%s\"", options->type);
        return FALSE;
    }
    return TRUE;
}

static const VcrConsole *
find_of_kind(const GPtrArray *consoles, VcrKind kind, guint index)
{
    for (guint i = 0; i < consoles->len; i++) {
        const VcrConsole *console = g_ptr_array_index(consoles, i);
        if (console->kind == kind && console->index == index)
            return console;
    }
    return NULL;
}

/* A console that only shows a serial port again is enabled as that serial port. */
static const VcrConsole *
find_mirrored(const VcrAdmGuest *guest, const GPtrArray *consoles, guint index)
{
    const VcrDevice *device = vcr_domain_find(guest->domain, VCR_KIND_CONSOLE, index);

    if (device == NULL || !device->is_mirror)
        return NULL;
    return find_of_kind(consoles, VCR_KIND_SERIAL, device->mirrored);
}

static const VcrConsole *
find_console(const VcrAdmGuest *guest, const GPtrArray *consoles, const VcrAdmOptions *options)
{
    const VcrConsole *found = NULL;
    VcrKind wanted;

    if (options->type != NULL && vcr_kind_parse(options->type, &wanted)) {
        found = find_of_kind(consoles, wanted, options->port);
        return found == NULL && wanted == VCR_KIND_CONSOLE
                   ? find_mirrored(guest, consoles, options->port)
                   : found;
    }
    for (VcrKind kind = 0; kind < VCR_N_KINDS && found == NULL; kind++)
        found = find_of_kind(consoles, kind, options->port);
    return found;
}

static gboolean
print_link(virConnectPtr connection, const VcrAdmOptions *options, const VcrConsole *console,
           GError **error)
{
    char *token = vcr_secret_read(connection, console->secret, error);

    if (token == NULL) {
        g_prefix_error(error, "%s %u: ", vcr_kind_name(console->kind), console->index);
        return FALSE;
    }
    char *link = vcr_plan_link(options->proxy, console->kind, token);
    vc_secret_free(token);
    printf("%s\n", link);
    vc_secret_free(link);
    return TRUE;
}

gboolean
vcr_adm_url(virConnectPtr connection, const VcrAdmOptions *options, const char *domain,
            GError **error)
{
    g_autoptr(VcrAdmGuest) guest = vcr_adm_guest_find(connection, domain, error);

    if (guest == NULL || !vcr_adm_guest_read(guest, NULL, error))
        return FALSE;
    const GPtrArray *consoles = vcr_adm_guest_current(guest)->consoles;
    const VcrConsole *console =
        consoles != NULL ? find_console(guest, consoles, options) : NULL;
    if (console == NULL) {
        g_set_error(error, VC_ERROR, VC_ERROR_NOT_FOUND,
                    "domain '%s' has no %s %u that is enabled", guest->name,
                    options->type != NULL ? options->type : "console", options->port);
        return FALSE;
    }
    if (!print_link(connection, options, console, error))
        return FALSE;
    vcr_adm_note("the link holds the token: who has it has the console");
    if (!guest->is_active)
        vcr_adm_note("domain '%s' is not running: the link works when it is", guest->name);
    return TRUE;
}
