/* SPDX-License-Identifier: LGPL-2.1-or-later
 * enable, disable, rotate.
 *
 * The order is such that a failure, or a kill, between any two steps leaves nothing that
 * matters. enable: secrets, then the metadata that names them, then secrets that none names are
 * removed. disable: metadata, then secrets. What an interrupted run leaves is a secret that its
 * description knows to be this guest's; each run looks for such. */
#include <stdio.h>
#include <string.h>

#include "common/address.h"
#include "common/error.h"
#include "resolver/adm-guest.h"
#include "resolver/adm-secret.h"
#include "resolver/adm.h"

/* Somebody else may be at it at the same time; then it takes a round more. */
#define MAX_ROUNDS 5

/* --- enable --- */

static gboolean
make_wish(const VcrAdmOptions *options, VcrWish *wish, GError **error)
{
    *wish = (VcrWish){
        .insecure = options->insecure,
        .host = options->host,
        .single_use = options->single_use,
        .power_control = options->power_control,
        .tls_server_name = options->tls_server_name,
    };
    if (options->expires != NULL && !vcr_expires_parse(options->expires, &wish->expires_s)) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG,
                            "--expires takes a time as in RFC 3339, such as "
                            "2030-01-31T12:00:00Z");
        return FALSE;
    }
    return vcr_plan_kinds(options->type != NULL ? options->type : "vnc,spice,serial,console",
                          wish->kinds, error);
}

static gboolean
check_host(const char *flag, const char *host, GError **error)
{
    if (host == NULL || vc_address_is_host(host))
        return TRUE;
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s takes a host name or an IP address",
                flag);
    return FALSE;
}

gboolean
vcr_adm_enable_check(const VcrAdmOptions *options, GError **error)
{
    VcrWish wish;

    return make_wish(options, &wish, error) && check_host("--host", options->host, error) &&
           check_host("--tls-server-name", options->tls_server_name, error);
}

static void
remove_made(virConnectPtr connection, const GPtrArray *made)
{
    for (guint i = 0; i < made->len; i++)
        vcr_adm_secret_remove(connection, g_ptr_array_index(made, i), NULL);
}

/* Sees to it that the entry's secret is there and this guest's. */
static gboolean
provide_secret(virConnectPtr connection, const VcrAdmGuest *guest, VcrConsole *console,
               GPtrArray *made, GError **error)
{
    VcrSecretState state = VCR_SECRET_MISSING;

    if (console->secret != NULL &&
        !vcr_adm_secret_look(connection, console->secret, guest->uuid, &state, error))
        return FALSE;
    if (state == VCR_SECRET_PRESENT)
        return TRUE;
    if (state == VCR_SECRET_UNUSABLE)
        g_clear_pointer(&console->secret, g_free);
    if (!vcr_adm_secret_make(connection, console->kind, guest->uuid, &console->secret, error))
        return FALSE;
    g_ptr_array_add(made, g_strdup(console->secret));
    return TRUE;
}

static gboolean
provide_secrets(virConnectPtr connection, const VcrAdmGuest *guest, const GPtrArray *consoles,
                GPtrArray *made, GError **error)
{
    for (guint i = 0; i < consoles->len; i++) {
        if (!provide_secret(connection, guest, g_ptr_array_index(consoles, i), made, error))
            return FALSE;
    }
    return TRUE;
}

/* This guest's secrets that no entry names; n counts them. */
static gboolean
remove_strays(virConnectPtr connection, const VcrAdmGuest *guest,
              const GPtrArray *consoles /* nullable */, guint *n, GError **error)
{
    g_autoptr(GPtrArray) secrets = vcr_adm_secret_list(connection, guest->uuid, error);

    *n = 0;
    for (guint i = 0; secrets != NULL && i < secrets->len; i++) {
        const VcrAdmSecret *secret = g_ptr_array_index(secrets, i);
        if (vcr_plan_find_secret(consoles, secret->uuid) != NULL)
            continue;
        if (!vcr_adm_secret_remove(connection, secret->uuid, error))
            return FALSE;
        (*n)++;
    }
    return secrets != NULL;
}

static gboolean
write_consoles(virConnectPtr connection, const VcrAdmGuest *guest, const GPtrArray *consoles,
               GPtrArray *made, GError **error)
{
    if (provide_secrets(connection, guest, consoles, made, error) &&
        (vcr_adm_guest_is_written(guest, consoles) ||
         vcr_adm_guest_write(guest, consoles, error)))
        return TRUE;
    remove_made(connection, made);
    return FALSE;
}

/* Looks at everything and sets right what is not as it should be. */
static gboolean
enable_round(virConnectPtr connection, VcrAdmGuest *guest, const VcrWish *wish,
             GPtrArray *notes, gboolean *changed, GError **error)
{
    g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
    guint n_strays = 0;

    if (!vcr_adm_guest_read(guest, notes, error))
        return FALSE;
    g_autoptr(GPtrArray) consoles =
        vcr_plan_merge(guest->live.consoles, guest->config.consoles);
    if (vcr_plan_enable(consoles, guest->domain, wish, notes) == 0) {
        g_set_error(error, VC_ERROR, VC_ERROR_POLICY,
                    "domain '%s' has no console that a proxy can reach%s", guest->name,
                    notes->len == 0 ? "" : ", see above");
        return FALSE;
    }
    if (!write_consoles(connection, guest, consoles, made, error) ||
        !remove_strays(connection, guest, consoles, &n_strays, error))
        return FALSE;
    *changed = made->len > 0 || n_strays > 0 || !vcr_adm_guest_is_written(guest, consoles);
    return TRUE;
}

static void
print_notes(const GPtrArray *notes)
{
    for (guint i = 0; i < notes->len; i++)
        vcr_adm_note("%s", (const char *)g_ptr_array_index(notes, i));
}

static gboolean
enable(virConnectPtr connection, VcrAdmGuest *guest, const VcrWish *wish, GPtrArray *notes,
       gboolean *changed, GError **error)
{
    gboolean changed_now = TRUE;

    *changed = FALSE;
    for (guint round = 0; changed_now && round < MAX_ROUNDS; round++) {
        g_autoptr(GPtrArray) said = g_ptr_array_new_with_free_func(g_free);
        if (!enable_round(connection, guest, wish, round == 0 ? notes : said, &changed_now,
                          error))
            return FALSE;
        *changed |= changed_now;
    }
    if (!changed_now)
        return TRUE;
    g_set_error(error, VC_ERROR, VC_ERROR_INTERNAL,
                "somebody else changes domain '%s' at the same time", guest->name);
    return FALSE;
}

gboolean
vcr_adm_enable(virConnectPtr connection, const VcrAdmOptions *options, const char *domain,
               GError **error)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(VcrAdmGuest) guest = vcr_adm_guest_find(connection, domain, error);
    gboolean changed;
    VcrWish wish;

    if (guest == NULL || !make_wish(options, &wish, error))
        return FALSE;
    gboolean done = enable(connection, guest, &wish, notes, &changed, error);
    print_notes(notes);
    if (!done)
        return FALSE;
    if (changed)
        printf("Enabled access to domain '%s'\n", guest->name);
    else
        printf("Access to domain '%s' already enabled\n", guest->name);
    return TRUE;
}

/* --- disable --- */

gboolean
vcr_adm_disable(virConnectPtr connection, const VcrAdmOptions *options, const char *domain,
                GError **error)
{
    g_autoptr(VcrAdmGuest) guest = vcr_adm_guest_find(connection, domain, error);
    guint n_removed;

    (void)options;
    if (guest == NULL || !vcr_adm_guest_read(guest, NULL, error))
        return FALSE;
    gboolean had_metadata = vcr_adm_guest_has_metadata(guest);
    if (had_metadata && !vcr_adm_guest_write(guest, NULL, error))
        return FALSE;
    if (!remove_strays(connection, guest, NULL, &n_removed, error))
        return FALSE;
    if (had_metadata || n_removed > 0)
        printf("Disabled access to domain '%s'\n", guest->name);
    else
        printf("Access to domain '%s' already disabled\n", guest->name);
    return TRUE;
}

/* --- rotate --- */

static const VcrAdmSecret *
find_own(const GPtrArray *secrets, const char *uuid)
{
    for (guint i = 0; i < secrets->len; i++) {
        const VcrAdmSecret *secret = g_ptr_array_index(secrets, i);
        if (strcmp(secret->uuid, uuid) == 0)
            return secret;
    }
    return NULL;
}

static gboolean
renew(const GPtrArray *secrets, const VcrConsole *console, guint *n, GError **error)
{
    const VcrAdmSecret *secret = find_own(secrets, console->secret);

    if (secret == NULL) {
        vcr_adm_note("%s %u is left out: it has no secret that was made for this domain",
                     vcr_kind_name(console->kind), console->index);
        return TRUE;
    }
    if (!vcr_adm_secret_renew(secret->handle, error))
        return FALSE;
    (*n)++;
    return TRUE;
}

static gboolean
rotate(virConnectPtr connection, const VcrAdmGuest *guest, guint *n, GError **error)
{
    g_autoptr(GPtrArray) consoles =
        vcr_plan_merge(guest->live.consoles, guest->config.consoles);
    g_autoptr(GPtrArray) secrets = vcr_adm_secret_list(connection, guest->uuid, error);

    *n = 0;
    for (guint i = 0; secrets != NULL && i < consoles->len; i++) {
        if (!renew(secrets, g_ptr_array_index(consoles, i), n, error))
            return FALSE;
    }
    return secrets != NULL;
}

gboolean
vcr_adm_rotate(virConnectPtr connection, const VcrAdmOptions *options, const char *domain,
               GError **error)
{
    g_autoptr(VcrAdmGuest) guest = vcr_adm_guest_find(connection, domain, error);
    guint n;

    (void)options;
    if (guest == NULL || !vcr_adm_guest_read(guest, NULL, error) ||
        !rotate(connection, guest, &n, error))
        return FALSE;
    if (n == 0) {
        g_set_error(error, VC_ERROR, VC_ERROR_NOT_FOUND, "domain '%s' has no tokens to rotate",
                    guest->name);
        return FALSE;
    }
    printf("Rotated tokens of domain '%s': %u\n", guest->name, n);
    return TRUE;
}
