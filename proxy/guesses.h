/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Who brings tokens that are none, and how long such a client must wait before its next one is
 * looked at. Shared by all workers, locked. */
#pragma once

#include <glib.h>

typedef struct VcpGuesses VcpGuesses;

/* The longest wait, and how long a client's failures are remembered after the last one. */
#define VCP_GUESSES_MAX_WAIT_S 300
#define VCP_GUESSES_MEMORY_S   600

/* Clients that are remembered; beyond it, those whose last failure is longest ago are
 * forgotten.
 */
#define VCP_GUESSES_MAX_CLIENTS 16384

/* free: failures of a client before it must wait: 1 s, and twice as long with each further one;
 * 0: nobody ever waits. now_ms: a monotonic clock. */
VcpGuesses *vcp_guesses_new(guint free, guint64 (*now_ms)(void));
void vcp_guesses_free(VcpGuesses *self); /* nullable */

/* Another number of free failures, from now on. Any thread. */
void vcp_guesses_set(VcpGuesses *self, guint free);

/* Before a token is looked at: 0 where it may be, else seconds to wait, at least 1. A client
 * that has failed too often gets one try each time; until the answer is there others wait.
 * client: its address as text, with a port or without; those of a network /64 of IPv6 are one.
 * Who has no address never waits. These three: any thread. */
guint vcp_guesses_try(VcpGuesses *self, const char *client);

/* The resolver did not know the token. */
void vcp_guesses_failed(VcpGuesses *self, const char *client);

/* It did: nothing is held against the client any more. */
void vcp_guesses_succeeded(VcpGuesses *self, const char *client);

/* Clients that are remembered now. */
guint vcp_guesses_count(VcpGuesses *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpGuesses, vcp_guesses_free)
