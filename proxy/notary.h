/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Brings a handshake's notes before the store: what a SPICE channel asks for, and what its main
 * channel is. Holds the lease that follows from them. On the worker's thread. */
#pragma once

#include "common/error.h"
#include "common/service.h"
#include "proxy/lease.h"
#include "proxy/note.h"
#include "proxy/spice-live.h"

typedef struct VcpNotary VcpNotary;

/* The answer to a note; and later, unasked for, why the session must end: is_lost is set then.
 * Freeing the notary is allowed in it. */
typedef void (*VcpNotaryAnswered)(VcpStoreAnswer answer, gboolean is_lost, gpointer data);

/* leases, live: not owned. service: a reference is kept. terms: copied; its client too. */
VcpNotary *vcp_notary_new(VcpLeases *leases, VcpSpiceLive *live, const char *token_digest,
                          VcService *service, const VcpLeaseTerms *terms,
                          VcpNotaryAnswered answered, gpointer data);

/* One note at a time, answered later. FALSE with VC_ERROR_PROTOCOL, and no answer, where the
 * hypervisor lists more channels than a session may have. */
gboolean vcp_notary_ask(VcpNotary *self, const VcpNote *note, GError **error);

/* Whether an answer is awaited. */
gboolean vcp_notary_is_asked(const VcpNotary *self);

/* Gives back what it holds: a main channel's session is over, a channel closed. nullable. */
void vcp_notary_free(VcpNotary *self);

/* What an answer that is not VCP_STORE_OK means for the session that asked this kind of note,
 * or has lost what it held. full. */
GError *vcp_notary_error(VcpNoteKind kind, VcpStoreAnswer answer, gboolean is_lost);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpNotary, vcp_notary_free)
