/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A websocket client's frames, and what the reader under test makes of them. */
#pragma once

#include "proxy/websocket.h"

/* In a frame's first byte, beside the opcode. */
#define FIN 0x80

/* Masks. */
#define NO_MASK "\0\0\0\0"
#define MASK    "\x37\xfa\x21\x3d"

/* A literal as two arguments, or members. */
#define BYTES(literal) (const guint8 *)(literal), sizeof(literal) - 1

/* Appends a frame, its length as short as can be. first: the opcode, with FIN or not. */
void add_frame(GByteArray *stream, guint8 first, const char *mask, const guint8 *payload,
               gsize length);

/* Notes a control frame: opcode, length, payload. */
void add_control(GByteArray *controls, guint8 opcode, const guint8 *payload, gsize length);

/* What has come of some bytes. */
typedef struct {
    VcpWsReader reader;
    VcpWsEvent event; /* the last one */
    GByteArray *payload;
    GByteArray *controls; /* see add_control() */
} Outcome;

Outcome *outcome_new(void);
void outcome_free(Outcome *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Outcome, outcome_free)

/* Gives the reader more bytes, and asserts what is true of any. in_place: the payload is left
 * in the bytes' own memory. */
void outcome_feed(Outcome *self, const guint8 *bytes, gsize length, gboolean in_place);

/* All, and the reader's state too. */
void outcome_assert_same(const Outcome *self, const Outcome *other);
