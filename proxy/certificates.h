/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The certificates of the daemon: for clients, hypervisors, the resolver and the store. Loaded
 * from their files, and again when these have changed. On the main thread. */
#pragma once

#include "proxy/worker.h"

typedef struct VcpCertificates VcpCertificates;

/* They go into shared, and their paths come from its configuration at that moment; what is in
 * use at all, from the one that the daemon has started with. None of them is owned, and both
 * must outlive it. */
VcpCertificates *vcp_certificates_new(VcpConfig *started, VcpShared *shared);
void vcp_certificates_free(VcpCertificates *self); /* nullable */

/* For the first time. VC_ERROR_CONFIG names file, reason and flag. */
gboolean vcp_certificates_load(VcpCertificates *self, GError **error);

/* Whether they have changed or not; the log says how that went, and what is broken stays as it
 * was. */
void vcp_certificates_reload(VcpCertificates *self);

/* Only those that have changed. TRUE: there is something new in shared. */
gboolean vcp_certificates_look(VcpCertificates *self);
