/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Where the store is, as --store says it. Pure. */
#pragma once

#include <glib.h>

typedef struct {
    char *host; /* NULL: a unix socket */
    guint16 port;
    char *path; /* NULL: TCP */
    gboolean tls;
    char *user, *password; /* nullable */
    guint database;
} VcpStoreAddress;

/* rediss://[USER:PASSWORD@]HOST[:PORT][/DATABASE], redis://… likewise, redis+unix://PATH.
 * NULL with VC_ERROR_CONFIG, whose message does not show the text: it may hold a password. */
VcpStoreAddress *vcp_store_address_parse(const char *uri, GError **error);

/* Whether everybody who can read what goes there is on this machine. */
gboolean vcp_store_address_is_local(const VcpStoreAddress *self);

/* For the log: without user and password. */
char *vcp_store_address_text(const VcpStoreAddress *self);

void vcp_store_address_free(VcpStoreAddress *self); /* nullable; wipes the password */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpStoreAddress, vcp_store_address_free)
