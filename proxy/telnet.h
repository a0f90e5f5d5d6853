/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What QEMU's telnet chardev (7.2, chardev/char-socket.c) needs of a client, which is less than
 * RFC 854 says: it sends 12 bytes of negotiation once and waits for no answer; it doubles no FF
 * that the guest sends, so nothing after the greeting can be told from data; and what it reads
 * is data but for FF, which two of make one. */
#pragma once

#include "common/buffer.h"

#define VCP_TELNET_GREETING_SIZE 12
#define VCP_TELNET_IAC           0xff /* its first byte, and that of no TLS record */

typedef struct {
    gsize seen; /* bytes of the greeting */
} VcpTelnet;

typedef enum {
    VCP_TELNET_WAIT, /* for more of it */
    VCP_TELNET_DONE, /* what is left in from is the guest's */
    VCP_TELNET_FAILED,
} VcpTelnetStep;

/* Takes the greeting, and nothing behind it, off from. self begins all zero. Errors:
 * VC_ERROR_PROTOCOL. */
VcpTelnetStep vcp_telnet_greet(VcpTelnet *self, VcBuffer *from, GError **error);

/* Moves as much of from as fits, each FF doubled; never half a pair. */
void vcp_telnet_escape(VcBuffer *from, VcBuffer *to);
