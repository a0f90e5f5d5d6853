/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What several workers and proxies must agree on: who uses a token or a console, which tokens
 * are spent, and which channels a SPICE session has. Sessions hold leases (proxy/lease.h); this
 * is what is beneath: requests to a store in memory or in Redis. Every request may be repeated
 * and then means the same; a lease is kept by repeating it. */
#pragma once

#include <uv.h>

#include "proxy/config.h"
#include "proxy/note.h"

/* "tok:" or "con:" and the digest of a token or of a console's name: the store sees neither. */
#define VCP_STORE_KEY_SIZE 69

/* Who asks: random, one for each lease. */
#define VCP_STORE_OWNER_SIZE 33

/* Channels that one session may have. */
#define VCP_STORE_MAX_CHANNELS 256

typedef enum {
    /* owner is about to use key, unless another does. A spent token is free again for the
     * client who spent it, for the time that it was confirmed with. */
    VCP_STORE_CLAIM,
    /* owner's session stands, and has these channels; what was confirmed before stays. */
    VCP_STORE_CONFIRM,
    /* owner opens the first of channels in the session with session_id on console. */
    VCP_STORE_ATTACH,
    /* owner closes it. */
    VCP_STORE_DETACH,
    /* owner uses key no longer. */
    VCP_STORE_RELEASE,
} VcpStoreVerb;

typedef struct {
    VcpStoreVerb verb;
    char key[VCP_STORE_KEY_SIZE];
    char owner[VCP_STORE_OWNER_SIZE];
    const char *client;         /* digest of whoever may come back; "" where nobody may */
    const char *console;        /* digest; "" where there is no SPICE session */
    guint32 session_id;         /* 0: likewise */
    const VcpChannel *channels; /* nullable */
    guint n_channels;
    gboolean is_single;   /* the session, confirmed or over, has spent the token */
    guint64 lease_ms;     /* so long it is held without being repeated */
    guint64 spent_ms;     /* for so long it is remembered */
    guint64 come_back_ms; /* for so long after the session client may come back */
} VcpStoreRequest;

typedef void (*VcpStoreDone)(VcpStoreAnswer answer, gpointer data);

typedef struct VcpStore VcpStore;
typedef struct VcpStoreOp VcpStoreOp;

/* A worker's way to the store; on the worker's thread. */
typedef struct {
    /* Requests are carried out in the order in which they are asked. Never calls done before it
     * has returned; the handle is gone when done is called. done: NULL where nobody waits for
     * the answer; the result is NULL then. */
    VcpStoreOp *(*ask)(VcpStore *self, const VcpStoreRequest *request, VcpStoreDone done,
                       gpointer data);

    /* No call back any more; the request may be carried out all the same. */
    void (*cancel)(VcpStore *self, VcpStoreOp *op);

    /* Every op is done or cancelled. What nobody waits for is still sent where it can be at
     * once. */
    void (*free)(VcpStore *self);
} VcpStoreOps;

struct VcpStore {
    const VcpStoreOps *ops;
};

/* --- in memory: one for the process, locked --- */

typedef struct VcpMemory VcpMemory;

/* now_ms: a clock that only runs forward. */
VcpMemory *vcp_memory_new(guint64 (*now_ms)(void));
void vcp_memory_free(VcpMemory *self); /* nullable */

/* Keys that are remembered. Any thread. */
guint vcp_memory_count(VcpMemory *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpMemory, vcp_memory_free)

/* memory: not owned. */
VcpStore *vcp_store_memory_new(VcpMemory *memory, uv_loop_t *loop);
