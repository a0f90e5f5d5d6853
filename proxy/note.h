/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What a console's protocol has to say to the store, and what the store answers. */
#pragma once

#include <glib.h>

typedef enum {
    VCP_STORE_OK,
    VCP_STORE_TAKEN,      /* another holds it; it may be free later */
    VCP_STORE_SPENT,      /* the token is used up */
    VCP_STORE_UNKNOWN,    /* no session with this id on this console */
    VCP_STORE_NOT_LISTED, /* the session has no such channel */
    VCP_STORE_AWAY,       /* no answer, or one without sense; the request may have been heard */
} VcpStoreAnswer;

/* A channel of a SPICE session. */
typedef struct {
    guint8 type;
    guint8 id;
} VcpChannel;

typedef enum {
    VCP_NOTE_MAIN,     /* the client asks for a new session */
    VCP_NOTE_CHANNEL,  /* the client asks for a channel of the session with session_id */
    VCP_NOTE_SESSION,  /* the session stands, and has session_id */
    VCP_NOTE_CHANNELS, /* it has these channels too */
} VcpNoteKind;

typedef struct {
    VcpNoteKind kind;
    guint32 session_id;         /* CHANNEL, SESSION */
    const VcpChannel *channels; /* CHANNEL: the one; CHANNELS */
    guint n_channels;
} VcpNote;
