/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One look at a guest: its metadata, its live XML and its secrets, made into records. */
#pragma once

#include <libvirt/libvirt.h>

#include "resolver/offer.h"
#include "resolver/registry.h"

typedef struct {
    GPtrArray *records; /* of VcrRecord */
    GPtrArray *secrets; /* of char *: UUIDs of all secrets that its metadata names */
    GPtrArray *absent;  /* of char *: those that its libvirtd has not got */
    char *problems;     /* lines for the log; empty: none */
} VcrGuest;

void vcr_guest_free(VcrGuest *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrGuest, vcr_guest_free)

gboolean vcr_guest_names_secret(const VcrGuest *self, const char *uuid);
gboolean vcr_guest_lacks_secret(const VcrGuest *self, const char *uuid);

/* The digest (full) of a token that another libvirtd has, or NULL. */
typedef char *(*VcrForeignSecret)(const char *uuid, gpointer data);

typedef struct {
    virConnectPtr connection;
    guint host; /* its number */
    VcrPlace place;
    VcrForeignSecret foreign;
    gpointer data;
} VcrGuestSource;

/* NULL with VC_ERROR_NOT_FOUND where the guest is gone, off, or has no metadata of ours;
 * VC_ERROR_UNREACHABLE where libvirt did not say: look again later. Waits for libvirt. */
VcrGuest *vcr_guest_read(const VcrGuestSource *source, const char *uuid, GError **error);
