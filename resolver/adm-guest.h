/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A guest as virtconsoleresolveradm sees it: its consoles and its metadata, live and in the
 * persistent configuration. Everything here waits for libvirt. */
#pragma once

#include <libvirt/libvirt.h>

#include "resolver/domain.h"

/* Metadata of ours at one of the two places. */
typedef struct {
    char *xml;           /* nullable: there is none */
    GPtrArray *consoles; /* nullable: there is none, or it makes no sense */
} VcrAdmMetadata;

typedef struct {
    virDomainPtr handle;
    char uuid[VIR_UUID_STRING_BUFLEN];
    const char *name; /* owned by handle */

    /* as of the last vcr_adm_guest_read() */
    gboolean is_active;
    gboolean is_persistent;
    VcrDomain *domain; /* from live XML where the guest runs */
    VcrAdmMetadata live;
    VcrAdmMetadata config;
} VcrAdmGuest;

/* Sets an error: what could not be done, and libvirt's reason for its last failure. */
gboolean vcr_adm_fail(GError **error, const char *what);

/* what: name, UUID or id, in this order. Not read yet. */
VcrAdmGuest *vcr_adm_guest_find(virConnectPtr connection, const char *what, GError **error);

/* NULL without an error: there is no such guest. Not read yet. */
VcrAdmGuest *vcr_adm_guest_find_uuid(virConnectPtr connection, const char *uuid,
                                     GError **error);

/* All guests, of VcrAdmGuest, not read yet. */
GPtrArray *vcr_adm_guest_list(virConnectPtr connection, GError **error);

/* Asks libvirt for everything above again. notes (of char *, nullable): entries of metadata
 * that make no sense. */
gboolean vcr_adm_guest_read(VcrAdmGuest *self, GPtrArray *notes, GError **error);

/* The metadata that counts: live where the guest runs. */
const VcrAdmMetadata *vcr_adm_guest_current(const VcrAdmGuest *self);

/* Whether there is metadata anywhere. */
gboolean vcr_adm_guest_has_metadata(const VcrAdmGuest *self);

/* Whether the guest has exactly these consoles wherever it has a configuration. NULL: none. */
gboolean vcr_adm_guest_is_written(const VcrAdmGuest *self, const GPtrArray *consoles);

/* Writes metadata wherever the guest has a configuration; NULL removes it. A failure puts back
 * what was there, as far as that can be done. */
gboolean vcr_adm_guest_write(const VcrAdmGuest *self, const GPtrArray *consoles,
                             GError **error);

void vcr_adm_guest_free(VcrAdmGuest *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrAdmGuest, vcr_adm_guest_free)
