/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What a session holds in the store: a token, a console, or a channel of a SPICE session. A
 * lease is kept alive until it is freed, and freeing it gives back what it held, whatever has
 * become of the session. On the worker's thread, but for the hub. */
#pragma once

#include "proxy/store.h"

/* Tells the workers of this process that a SPICE session is over. Locked. */
typedef struct VcpLeaseHub VcpLeaseHub;

VcpLeaseHub *vcp_lease_hub_new(void);
void vcp_lease_hub_free(VcpLeaseHub *self); /* nullable; all VcpLeases are gone */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpLeaseHub, vcp_lease_hub_free)

/* A worker's leases. */
typedef struct VcpLeases VcpLeases;

/* hub: not owned. store: full. */
VcpLeases *vcp_leases_new(uv_loop_t *loop, VcpLeaseHub *hub, VcpStore *store);

/* Leases that are left are given back by nobody and run out; no answer comes to them any more.
 * nullable. */
void vcp_leases_free(VcpLeases *self);

typedef struct VcpLease VcpLease;

/* The answer to a claim, a confirmation or an attachment, and later once more, unasked for,
 * where the lease was lost: the SPICE session is over (UNKNOWN, SPENT), or another has it now
 * (TAKEN). Freeing the lease is allowed in it. */
typedef void (*VcpLeaseAnswered)(VcpStoreAnswer answer, gpointer data);

typedef struct {
    gboolean is_single;       /* the session spends the token */
    gint64 expires_s;         /* of the token: until then it is remembered; 0: unknown, then */
    guint spent_ttl_s;        /* for so long after the session */
    guint reconnect_window_s; /* after the session's end the same client may come back */
    const char *client;       /* nullable; who is the same client */
} VcpLeaseTerms;

/* token_digest: of the token. terms: copied. */
VcpLease *vcp_lease_claim_token(VcpLeases *leases, const char *token_digest,
                                const VcpLeaseTerms *terms, VcpLeaseAnswered answered,
                                gpointer data);

/* console: its name, the same for every token that leads to it. */
VcpLease *vcp_lease_claim_console(VcpLeases *leases, const char *console,
                                  VcpLeaseAnswered answered, gpointer data);

/* Once the claim was answered with OK: the session stands. A single-use token is spent from
 * now on, also where the answer is AWAY (it is repeated until the store hears it). session_id:
 * of SPICE, on console; 0 and NULL for other consoles. */
void vcp_lease_confirm(VcpLease *self, guint32 session_id, const char *console);

/* Once that was answered: the session has these channels too; answered like a confirmation.
 * FALSE and nothing done where there would be more than VCP_STORE_MAX_CHANNELS. Of calls that
 * follow each other before an answer only the last is answered, for all of them. */
gboolean vcp_lease_add_channels(VcpLease *self, const VcpChannel *channels, guint n_channels);

/* A further channel of the session that token opened. */
VcpLease *vcp_lease_attach(VcpLeases *leases, const char *token_digest, guint32 session_id,
                           const char *console, VcpChannel channel, VcpLeaseAnswered answered,
                           gpointer data);

/* No answer comes any more; a claim is given back, a session is over, a channel closed.
 * nullable. */
void vcp_lease_free(VcpLease *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpLease, vcp_lease_free)

/* Why a session is refused that got this answer, which is not OK. full. */
GError *vcp_lease_error(VcpStoreAnswer answer);
