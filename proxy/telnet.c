/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The greeting of a telnet chardev, byte for byte, and the escaping of FF. */
#include "proxy/telnet.h"

#include <string.h>

#include "common/error.h"

#define IAC VCP_TELNET_IAC

/* WILL ECHO, WILL SUPPRESS-GO-AHEAD, WILL BINARY, DO BINARY */
static const guint8 greeting[VCP_TELNET_GREETING_SIZE] = {IAC, 0xfb, 1, IAC, 0xfb, 3,
                                                          IAC, 0xfb, 0, IAC, 0xfd, 0};

/* DO TERMINAL-TYPE: where tn3270's greeting of 21 bytes begins to be another. */
#define TN3270_AT   1
#define TN3270_BYTE 0xfd

VcpTelnetStep
vcp_telnet_greet(VcpTelnet *self, VcBuffer *from, GError **error)
{
    guint8 byte;

    while (self->seen < sizeof greeting) {
        if (!vc_buffer_take(from, &byte, 1))
            return VCP_TELNET_WAIT;
        if (byte != greeting[self->seen]) {
            gboolean is_tn3270 = self->seen == TN3270_AT && byte == TN3270_BYTE;
            g_set_error_literal(error, VC_ERROR, VC_ERROR_PROTOCOL,
                                is_tn3270 ? "the serial port speaks tn3270, not telnet"
                                          : "the serial port does not greet as telnet does");
            return VCP_TELNET_FAILED;
        }
        self->seen++;
    }
    return VCP_TELNET_DONE;
}

/* Bytes in front of the first FF. */
static gsize
plain_length(const VcBuffer *buffer)
{
    const guint8 *data = vc_buffer_data(buffer);
    gsize length = vc_buffer_length(buffer);
    const guint8 *iac = memchr(data, IAC, length);

    return iac != NULL ? (gsize)(iac - data) : length;
}

void
vcp_telnet_escape(VcBuffer *from, VcBuffer *to)
{
    static const guint8 pair[] = {IAC, IAC};

    while (vc_buffer_length(from) > 0) {
        gsize run = MIN(plain_length(from), vc_buffer_room(to));
        if (run > 0) {
            vc_buffer_append(to, vc_buffer_data(from), run);
            vc_buffer_consume(from, run);
        } else if (vc_buffer_append(to, pair, sizeof pair)) {
            vc_buffer_consume(from, 1);
        } else {
            return;
        }
    }
}
