/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The server's side of websocket frames (RFC 6455, 5): takes a client's apart, in place, and
 * writes the headers of ours. No extensions. Pure.
 *
 * Why not libwebsockets, which has done the upgrade: docs/architecture.md, "Frames of our own".
 */
#pragma once

#include <glib.h>

typedef enum {
    VCP_WS_CONTINUATION = 0,
    VCP_WS_TEXT = 1,
    VCP_WS_BINARY = 2,
    VCP_WS_CLOSE = 8,
    VCP_WS_PING = 9,
    VCP_WS_PONG = 10,
} VcpWsOpcode;

/* Payload of a control frame. */
#define VCP_WS_MAX_CONTROL 125

/* Header of a client's frame, with its mask; of one of ours. */
#define VCP_WS_MAX_CLIENT_HEADER 14
#define VCP_WS_MAX_HEADER        4

/* Payload of one of our frames, by its header's size. */
#define VCP_WS_MAX_PAYLOAD 65535

/* Stands for a close frame that has no code. */
#define VCP_WS_NO_CODE 1005

typedef enum {
    VCP_WS_MORE,    /* all that there was is taken */
    VCP_WS_CONTROL, /* a whole control frame has come: call again for what follows it */
    VCP_WS_BAD,     /* no client of RFC 6455 sends this; nothing more can be read */
} VcpWsEvent;

/* All zeros is the state at the upgrade. */
typedef struct {
    /* Of the last control frame, while VCP_WS_CONTROL says so. */
    VcpWsOpcode opcode;
    guint8 control[VCP_WS_MAX_CONTROL];
    guint8 control_length;

    gboolean heard_text; /* at least one text frame has begun */
    const char *wrong;   /* what was, after VCP_WS_BAD */

    /* private: */
    guint8 header[VCP_WS_MAX_CLIENT_HEADER];
    guint8 header_length; /* bytes of it that are there */
    gboolean in_payload;  /* of the frame whose header stands above */
    guint64 left;         /* bytes of that */
    guint mask_at;        /* 0..3 */
    gboolean in_message;  /* a message has begun and not ended */
    gboolean is_text;     /* that message */
    guint8 utf8_left;     /* bytes that its last character still needs */
    guint8 utf8_low;      /* least and greatest value of the next of them */
    guint8 utf8_high;
} VcpWsReader;

/* Takes frames apart from *from up to end. The payload of data frames goes to *to, unmasked,
 * which may lie in the same memory, not behind *from. Both are moved on. */
VcpWsEvent vcp_ws_read(VcpWsReader *self, const guint8 **from, const guint8 *end, guint8 **to);

/* The code in a client's close frame, as vcp_ws_read() has left it, or VCP_WS_NO_CODE;
 * 0 where no client may send what it has. */
guint16 vcp_ws_close_code(const VcpWsReader *self);

/* Writes the header of a whole message of ours, with so much payload (at most
 * VCP_WS_MAX_PAYLOAD). Returns its size. */
gsize vcp_ws_write_header(guint8 header[VCP_WS_MAX_HEADER], VcpWsOpcode opcode, gsize length);
