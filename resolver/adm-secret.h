/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The libvirt secrets that hold tokens, for virtconsoleresolveradm. A secret is ours if its
 * description says so, and belongs to the guest that the description names: metadata alone says
 * nothing, it may name a secret that holds something else, or be a copy of another guest's.
 * Everything here waits for libvirt. */
#pragma once

#include <libvirt/libvirt.h>

#include "resolver/metadata.h"

typedef struct {
    virSecretPtr handle;
    char uuid[VIR_UUID_STRING_BUFLEN];
    VcrKind kind;
    char *domain_uuid;
} VcrAdmSecret;

/* All secrets of ours, of VcrAdmSecret; domain_uuid: those of one guest (NULL: of any). */
GPtrArray *vcr_adm_secret_list(virConnectPtr connection, const char *domain_uuid,
                               GError **error);

typedef enum {
    VCR_SECRET_PRESENT,
    VCR_SECRET_MISSING,  /* there is none; or it is this guest's, and holds no token */
    VCR_SECRET_UNUSABLE, /* another guest's, or somebody else's and without a token to read */
    VCR_N_SECRET_STATES
} VcrSecretState;

/* For people: "present", "missing", "unusable". */
const char *vcr_secret_state_name(VcrSecretState state);

/* What the secret is to this guest. */
gboolean vcr_adm_secret_look(virConnectPtr connection, const char *uuid,
                             const char *domain_uuid, VcrSecretState *state, GError **error);

/* Makes a secret with a new token as its value. uuid (full): of the secret to make again, or
 * NULL for a new one, which is set then. A failure leaves nothing behind. */
gboolean vcr_adm_secret_make(virConnectPtr connection, VcrKind kind, const char *domain_uuid,
                             char **uuid, GError **error);

/* Gives it a new token. */
gboolean vcr_adm_secret_renew(virSecretPtr handle, GError **error);

/* A secret that is gone already is no failure. */
gboolean vcr_adm_secret_remove(virConnectPtr connection, const char *uuid, GError **error);
