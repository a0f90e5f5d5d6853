/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Something that is loaded from files, and again when they are others: by name, so that files
 * that are renamed over old ones and links that are switched count too. On one thread. */
#pragma once

#include <glib.h>

/* How often to look: a renewal is to be in use within 10 s. */
#define VC_RENEWAL_INTERVAL_MS 1000

typedef struct VcRenewal VcRenewal;

/* Reads, checks the whole, and only then puts it in place of what is in use; FALSE where it is
 * broken, and the old stays. */
typedef gboolean (*VcRenewalLoad)(gpointer data, GError **error);

/* what: for the log, such as "certificate for clients". */
VcRenewal *vc_renewal_new(const char *what, VcRenewalLoad load, gpointer data);
void vc_renewal_free(VcRenewal *self); /* nullable */

/* Loads for the first time, and says nothing. paths: NULL-terminated; no more than is loaded
 * from. */
gboolean vc_renewal_start(VcRenewal *self, const char *const *paths, GError **error);

/* Loads again, from what may be other paths, and says how that went. */
void vc_renewal_reload(VcRenewal *self, const char *const *paths);

/* Loads again if a file has changed, or if the last time failed: whoever writes a certificate
 * and its key may still be at it. A failure is said once. TRUE: there is something new in use.
 */
gboolean vc_renewal_look(VcRenewal *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcRenewal, vc_renewal_free)
