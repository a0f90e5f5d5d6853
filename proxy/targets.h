/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Where resolvers may send the proxy: the list of --allowed-target, and what nobody may name.
 * Pure, but for the question which addresses are this machine's. */
#pragma once

#include <sys/socket.h>

#include "common/network.h"
#include "common/service.h"

typedef struct VcpTargets VcpTargets;

/* allowed: networks, host names, "*.DOMAIN" and "unix:PATH", NULL-terminated. With neither a
 * network nor a name in it all hosts are allowed; paths are allowed where they are in it only.
 * NULL with VC_ERROR_CONFIG and *wrong (not owned) the text that is none of these. */
VcpTargets *vcp_targets_new(const char *const *allowed, const char **wrong, GError **error);
VcpTargets *vcp_targets_ref(VcpTargets *self);
void vcp_targets_unref(VcpTargets *self); /* nullable */

/* An address that this process listens at, before other threads see it. Families other than IP
 * count for nothing. */
void vcp_targets_add_own(VcpTargets *self, const struct sockaddr *address);

/* For tests: in place of asking the system. */
void vcp_targets_set_is_local(VcpTargets *self, gboolean (*is_local)(const VcIp *ip));

/* The address as the service gives it. A name that is not listed passes where there are
 * networks: its addresses are still to be checked. FALSE with VC_ERROR_POLICY. Any thread. */
gboolean vcp_targets_check_service(const VcpTargets *self, const VcService *service,
                                   GError **error);

/* One address that is about to be connected to. host: what it was looked up for, or the literal
 * itself. Unspecified and link-local ones and our own listeners are refused whatever is listed.
 * FALSE with VC_ERROR_POLICY. Any thread. */
gboolean vcp_targets_check_address(const VcpTargets *self, const char *host,
                                   const struct sockaddr *address, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpTargets, vcp_targets_unref)
