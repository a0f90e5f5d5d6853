/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Addresses of a host name, by getaddrinfo(3) on a thread of its own: libuv's threads are few
 * and shared, and some names that hang would keep out everybody; nor can a look-up on them be
 * left behind when the daemon ends. */
#pragma once

#include <glib.h>
#include <netdb.h>
#include <uv.h>

typedef struct VcpLookup VcpLookup;

/* addresses: owned by the callee, freeaddrinfo(); NULL where failure (an EAI_ code) is not 0.
 * The look-up is gone then. */
typedef void (*VcpLookedUp)(struct addrinfo *addresses, int failure, gpointer data);

/* For stream sockets. Calls back later, on the loop's thread. NULL where too many look-ups are
 * under way in this process. */
VcpLookup *vcp_lookup(uv_loop_t *loop, const char *host, guint16 port, VcpLookedUp looked_up,
                      gpointer data);

/* Look-ups under way in this process, forgotten ones among them. Any thread. */
guint vcp_lookup_count(void);

/* Forgets it at once: no call back any more. */
void vcp_lookup_cancel(VcpLookup *self);
