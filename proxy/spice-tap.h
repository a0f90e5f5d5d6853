/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Follows what a server sends on a SPICE main channel: reads headers, and the bodies of the two
 * messages that say what the session is; everything else goes by unseen. Pure. */
#pragma once

#include "common/buffer.h"
#include "proxy/note.h"

typedef struct {
    gboolean mini_header;
    guint64 left;         /* bytes of the current message that did not go by yet */
    gboolean drops;       /* what becomes of them */
    gboolean was_noted;   /* the message at the front may pass: the store knows */
    gboolean has_session; /* INIT has gone by */
    gboolean is_migrating;

    VcpNote note;         /* where has_note */
    VcpChannel *channels; /* full, nullable; of note */
    gboolean has_note;

    guint64 n_messages, n_parsed; /* bytes that were looked at, for measuring */
} VcpSpiceTap;

void vcp_spice_tap_init(VcpSpiceTap *self, gboolean mini_header);
void vcp_spice_tap_clear(VcpSpiceTap *self);

/* Moves what may pass from one buffer to the other. Stops where has_note is set, before the
 * message that the note is about. FALSE with VC_ERROR_PROTOCOL where a message makes no sense,
 * or VC_ERROR_MOVED where the guest has moved to another host. */
gboolean vcp_spice_tap_run(VcpSpiceTap *self, VcBuffer *from, VcBuffer *to, GError **error);

/* The note has been heard: go on. */
void vcp_spice_tap_noted(VcpSpiceTap *self);
