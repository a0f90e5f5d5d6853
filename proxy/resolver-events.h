/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The stream of what happens to tokens, of a resolver that has one: sessions of a dead token
 * end at once, and not only when the resolver is asked again. One for the process, on the main
 * thread's loop. */
#pragma once

#include "proxy/rights.h"

typedef struct VcpResolverEvents VcpResolverEvents;

/* Opens the stream, again and again. config, rights: not owned. */
VcpResolverEvents *vcp_resolver_events_new(uv_loop_t *loop, const VcpConfig *config,
                                           VcpRights *rights);
void vcp_resolver_events_free(VcpResolverEvents *self); /* nullable */
