/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The stream of what happens to tokens, of a resolver that has one: sessions of a dead token
 * end at once, and not only when the resolver is asked again. One for the process, on the main
 * thread's loop. */
#pragma once

#include "proxy/rights.h"

typedef struct VcpResolverEvents VcpResolverEvents;

/* Opens the stream, again and again. rights: not owned. */
VcpResolverEvents *vcp_resolver_events_new(uv_loop_t *loop, VcpConfig *config,
                                           VcpRights *rights);

/* Another configuration; renew: its certificates are others. The stream is opened anew where
 * that is so, or the resolver is another. */
void vcp_resolver_events_use(VcpResolverEvents *self, VcpConfig *config, gboolean renew);
void vcp_resolver_events_free(VcpResolverEvents *self); /* nullable */
