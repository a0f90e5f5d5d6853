/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What the server shows to clients, and whom it lets in: certificate and key, the CA, what is
 * revoked, names. Replaced as a whole while connections come and go. */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "resolver/client.h"
#include "resolver/config.h"

typedef struct VcrDoor VcrDoor;

/* Reads the files of the configuration. NULL with VC_ERROR_CONFIG, naming file and flag. */
VcrDoor *vcr_door_new(const VcrConfig *config, GError **error);

/* Reads them again, or others; where one is broken all stays as it is. Any thread, as the rest.
 */
gboolean vcr_door_load(VcrDoor *self, const VcrConfig *config, GError **error);

/* Copies of the certificate chain and the key, for gnutls to free. FALSE: out of memory. */
gboolean vcr_door_show(VcrDoor *self, gnutls_pcert_st **chain, unsigned *length,
                       gnutls_privkey_t *key);

/* Changes with every load that went well; a verdict holds for one generation. Never 0. */
guint vcr_door_generation(VcrDoor *self);

/* The verdict on the certificate of a session's client; name: as vcr_client_check(). */
VcrClientVerdict vcr_door_check(VcrDoor *self, gnutls_session_t session, char **name);

void vcr_door_free(VcrDoor *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrDoor, vcr_door_free)
