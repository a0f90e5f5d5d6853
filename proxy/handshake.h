/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A console's protocol between its two peers, as a pure state machine: no descriptor, no clock,
 * no log. */
#pragma once

#include "common/buffer.h"
#include "common/service.h"
#include "proxy/note.h"

typedef enum {
    VCP_TENANT,  /* the browser */
    VCP_COMPUTE, /* the hypervisor */
} VcpSide;

typedef enum {
    VCP_STEP_WAIT,      /* more bytes are needed; what is in the to buffers may be sent */
    VCP_STEP_START_TLS, /* send what is in to[VCP_COMPUTE], then TLS there, then advance again
                         */
    VCP_STEP_SPLICE,    /* both sides are joined: from now on relay */
    VCP_STEP_FAILED,    /* error is set */
} VcpStep;

typedef struct VcpHandshake VcpHandshake;

typedef struct {
    /* The client may send text frames too, where a text is bytes like others. */
    gboolean takes_text;

    /* The connection to the hypervisor stands, with TLS where it begins with it; comes once and
     * before bytes do. grace_ms: how long a hypervisor that cannot show that it is there is
     * given to show that it is not. Returns after how many ms time_is_up comes, if the
     * handshake is not over by then; 0: never. NULL: the bytes tell. */
    guint (*connected)(VcpHandshake *self, guint grace_ms);
    void (*time_is_up)(VcpHandshake *self);

    /* Reads from[side], writes to[side] and says what is next. The same bytes give the same
     * output however they are cut. Failures: VC_ERROR_CLIENT, _POLICY, _PROTOCOL,
     * _AUTHENTICATION, _CERTIFICATE. */
    VcpStep (*advance)(VcpHandshake *self, VcBuffer *from[2], VcBuffer *to[2], GError **error);

    /* The session failed, here or elsewhere, before the splice: tells the client in the
     * protocol's own words, as far as it has words for it. Returns FALSE where that has to wait
     * for bytes of the client: call again when some came. reason: ASCII, for the user. */
    gboolean (*refuse)(VcpHandshake *self, const char *reason, VcBuffer *from, VcBuffer *to);

    /* After the splice: moves what may pass from side's buffer into the other side's. FALSE
     * with VC_ERROR_CLIENT where the peer's bytes make no sense. NULL: everything passes. */
    gboolean (*relay)(VcpHandshake *self, VcpSide side, VcBuffer *from, VcBuffer *to,
                      GError **error);

    /* What the store must know and agree to before anything goes on behind it: bytes wait,
     * whichever of advance and relay holds them. Before VCP_NOTE_MAIN or _CHANNEL was agreed to
     * the hypervisor is not connected to. NULL: nothing now. NULL itself: nothing ever. */
    const VcpNote *(*note)(VcpHandshake *self);

    /* The store's answer to it. Where that is not VCP_STORE_OK the session fails; refuse then
     * has the protocol's own word for it. */
    void (*noted)(VcpHandshake *self, VcpStoreAnswer answer);

    /* Why the hypervisor has ended a session that was spliced, where that is more than an end;
     * nullable. NULL itself: never. */
    GError *(*ended)(VcpHandshake *self);

    void (*free)(VcpHandshake *self);
} VcpHandshakeOps;

struct VcpHandshake {
    const VcpHandshakeOps *ops;
};

/* service: the handshake takes a reference. has_credentials: TLS can be started towards the
 * hypervisor. A secure service comes here with TLS running only where it is tunnelled. NULL
 * with VC_ERROR_POLICY for a console type that this proxy does not speak. */
VcpHandshake *vcp_handshake_new(VcService *service, gboolean has_credentials, GError **error);

void vcp_handshake_free(VcpHandshake *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpHandshake, vcp_handshake_free)
