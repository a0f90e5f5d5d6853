/* SPDX-License-Identifier: LGPL-2.1-or-later
 * prune: secrets of ours that no guest's metadata names any more. */
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "resolver/adm-guest.h"
#include "resolver/adm-secret.h"
#include "resolver/adm.h"

/* Looks at the text, so that entries that make no sense count too: somebody may set them right.
 */
static gboolean
mentions(const VcrAdmMetadata *metadata, const char *uuid)
{
    g_autofree char *text = metadata->xml != NULL ? g_ascii_strdown(metadata->xml, -1) : NULL;

    return text != NULL && strstr(text, uuid) != NULL;
}

/* NULL: it is in use. */
static const char *
why_stray(const VcrAdmGuest *guest /* nullable */, const char *uuid)
{
    if (guest == NULL)
        return "its domain is gone";
    if (mentions(&guest->live, uuid) || mentions(&guest->config, uuid))
        return NULL;
    return "its domain does not name it";
}

static gboolean
remove_stray(virConnectPtr connection, const VcrAdmSecret *secret, const char *why,
             gboolean dry_run, GError **error)
{
    g_autofree char *description = vcr_secret_describe(secret->kind, secret->domain_uuid);

    if (!dry_run && !vcr_adm_secret_remove(connection, secret->uuid, error))
        return FALSE;
    printf("%s secret %s (%s): %s\n", dry_run ? "Would remove" : "Removed", secret->uuid,
           description, why);
    return TRUE;
}

static gboolean
prune(virConnectPtr connection, const VcrAdmSecret *secret, gboolean dry_run, guint *n,
      GError **error)
{
    g_autoptr(GError) not_found = NULL;
    g_autoptr(VcrAdmGuest) guest =
        vcr_adm_guest_find_uuid(connection, secret->domain_uuid, &not_found);

    /* no removing where libvirt did not say */
    if (not_found != NULL) {
        g_propagate_error(error, g_steal_pointer(&not_found));
        return FALSE;
    }
    if (guest != NULL && !vcr_adm_guest_read(guest, NULL, error))
        return FALSE;
    const char *why = why_stray(guest, secret->uuid);
    if (why == NULL)
        return TRUE;
    (*n)++;
    return remove_stray(connection, secret, why, dry_run, error);
}

gboolean
vcr_adm_prune(virConnectPtr connection, const VcrAdmOptions *options, const char *domain,
              GError **error)
{
    g_autoptr(GPtrArray) secrets = vcr_adm_secret_list(connection, NULL, error);
    guint n = 0;

    (void)domain;
    if (secrets == NULL)
        return FALSE;
    for (guint i = 0; i < secrets->len; i++) {
        if (!prune(connection, g_ptr_array_index(secrets, i), options->dry_run, &n, error))
            return FALSE;
    }
    if (n == 0)
        printf("Nothing to remove\n");
    return TRUE;
}
