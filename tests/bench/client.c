/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Websocket frames and greetings for the load generator. */
#include "client.h"

#include <string.h>

#define OPCODE_BINARY 2
#define OPCODE_PING   9

/* --- frames --- */

/* Of the header whose first two bytes are here; servers do not mask. */
static gsize
header_size(const guint8 *header)
{
    guint8 length = header[1] & 0x7f;

    return length == 127 ? 10 : length == 126 ? 4 : 2;
}

static guint64
payload_length(const guint8 *header)
{
    gsize size = header_size(header);
    guint64 length = 0;

    if (size == 2)
        return header[1] & 0x7f;
    for (gsize i = 2; i < size; i++)
        length = length << 8 | header[i];
    return length;
}

/* Text, binary, and what continues them. */
static gboolean
is_data(const Client *self)
{
    return (self->header[0] & 0xf) <= OPCODE_BINARY;
}

static gboolean
needs_header(const Client *self)
{
    return self->n_header < 2 || self->n_header < header_size(self->header);
}

static void
take_header(Client *self, guint8 byte)
{
    self->header[self->n_header++] = byte;
    if (needs_header(self))
        return;
    self->left = payload_length(self->header);
    self->pings += (self->header[0] & 0xf) == OPCODE_PING;
}

static void
take_payload(Client *self, gsize length)
{
    self->left -= length;
    if (self->left == 0)
        self->n_header = 0;
}

/* Moves the payload of data frames together at the front; returns its length. */
static gsize
decode(Client *self, guint8 *bytes, gsize length)
{
    gsize kept = 0;

    for (gsize at = 0; at < length;) {
        if (needs_header(self)) {
            take_header(self, bytes[at++]);
            if (!needs_header(self) && self->left == 0)
                self->n_header = 0;
            continue;
        }
        gsize part = (gsize)MIN(self->left, length - at);
        if (is_data(self)) {
            memmove(bytes + kept, bytes + at, part);
            kept += part;
        }
        take_payload(self, part);
        at += part;
    }
    return kept;
}

/* Our proxy's pings are empty, and so are the answers. */
static void
answer_pings(Client *self)
{
    static const guint8 pong[] = {0x8a, 0x80, 0x3a, 0xc5, 0x71, 0x9e};

    for (; self->pings > 0; self->pings--)
        wire_write(&self->wire, pong, sizeof pong);
}

gssize
client_read(Client *self, const guint8 **payload)
{
    static _Thread_local guint8 bytes[65536];
    gssize n = wire_read(&self->wire, bytes, sizeof bytes);

    *payload = bytes;
    if (n <= 0 || self->is_raw)
        return n;
    n = (gssize)decode(self, bytes, (gsize)n);
    answer_pings(self);
    return n > 0 ? n : CLIENT_NOTHING;
}

GByteArray *
client_message(const Client *self, const void *payload, gsize length)
{
    static const guint8 mask[4] = {0x3a, 0xc5, 0x71, 0x9e};
    GByteArray *bytes = g_byte_array_new();
    guint8 header[14] = {0x80 | OPCODE_BINARY};
    gsize size = length < 126 ? 2 : length < 65536 ? 4 : 10;

    if (!self->is_raw) {
        header[1] = 0x80 | (guint8)(size == 2 ? length : size == 4 ? 126 : 127);
        for (gsize i = 2; i < size; i++)
            header[i] = (guint8)(length >> 8 * (size - 1 - i));
        memcpy(header + size, mask, sizeof mask);
        g_byte_array_append(bytes, header, (guint)(size + sizeof mask));
    }
    g_byte_array_append(bytes, payload, (guint)length);
    for (gsize i = 0; i < length && !self->is_raw; i++)
        bytes->data[bytes->len - length + i] ^= mask[i % 4];
    return bytes;
}

/* --- while it blocks --- */

static gboolean
hear(Client *self, void *to, gsize length)
{
    guint8 byte;

    if (self->is_raw)
        return wire_read_all(&self->wire, to, length);
    for (gsize at = 0; at < length;) {
        if (needs_header(self)) {
            if (!wire_read_all(&self->wire, &byte, 1))
                return FALSE;
            take_header(self, byte);
            continue;
        }
        gsize part = (gsize)MIN(self->left, length - at);
        if (!is_data(self) || !wire_read_all(&self->wire, (guint8 *)to + at, part))
            return FALSE;
        take_payload(self, part);
        at += part;
    }
    return TRUE;
}

static gboolean
say(Client *self, const void *payload, gsize length)
{
    g_autoptr(GByteArray) bytes = client_message(self, payload, length);

    return wire_write_all(&self->wire, bytes->data, bytes->len);
}

static gboolean
upgrade(Client *self, const char *token)
{
    g_autofree char *request =
        g_strdup_printf("GET /websockify?token=%s HTTP/1.1\r\nHost: localhost\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n\r\n",
                        token);
    char answer[4096] = "";

    if (!wire_write_all(&self->wire, request, strlen(request)))
        return FALSE;
    for (gsize i = 0; i < sizeof answer - 1 && !g_str_has_suffix(answer, "\r\n\r\n"); i++) {
        if (!wire_read_all(&self->wire, answer + i, 1))
            return FALSE;
    }
    return strstr(answer, " 101 ") != NULL;
}

/* RFB 3.8; what VeNCrypt asks for is the proxy's matter. */
static gboolean
greet_vnc(Client *self)
{
    char version[12];
    guint8 count, types[255], rest[28];

    return hear(self, version, sizeof version) && say(self, "RFB 003.008\n", 12) &&
           hear(self, &count, 1) && hear(self, types, count) && say(self, "\1", 1) &&
           hear(self, rest, 4) && say(self, "\1", 1) && hear(self, rest, sizeof rest);
}

static gboolean
greet_spice_main(Client *self, ClientChannel *channel)
{
    guint8 init[6 + 32], list[6 + 4 + 2 * 256];

    if (!hear(self, init, sizeof init) || !say(self, "\150\0\0\0\0\0", 6) ||
        !hear(self, list, sizeof list))
        return FALSE;
    channel->session = get_u32le(init + 6);
    return TRUE;
}

static gboolean
greet_spice(Client *self, ClientChannel *channel)
{
    guint8 link[16 + 18 + 4] = "REDQ\2\0\0\0\2\0\0\0\26", reply[16 + 178 + 4], result[4];
    static const guint8 ticket[4 + 128] = {1};
    gboolean is_main = channel->session == 0;

    put_u32le(link + 16, channel->session);
    link[20] = is_main ? 1 : 2;
    link[21] = channel->display;
    put_u32le(link + 22, 1);   /* a word of capabilities */
    put_u32le(link + 30, 18);  /* that begins here: */
    put_u32le(link + 34, 0xb); /* chosen authentication, tickets, short headers */
    return say(self, link, sizeof link) && hear(self, reply, sizeof reply) &&
           say(self, ticket, sizeof ticket) && hear(self, result, sizeof result) &&
           get_u32le(result) == 0 && (!is_main || greet_spice_main(self, channel));
}

static gboolean
greet(Client *self, ClientProtocol protocol, ClientChannel *channel)
{
    char prompt;

    switch (protocol) {
    case CLIENT_VNC:
        return greet_vnc(self);
    case CLIENT_SPICE:
        return greet_spice(self, channel);
    case CLIENT_SERIAL:
        return hear(self, &prompt, 1);
    }
    return FALSE;
}

gboolean
client_open(Client *self, const ClientTarget *target, ClientChannel *channel)
{
    *self = (Client){.is_raw = target->is_raw};
    if (!wire_connect(&self->wire, target->port, target->tls, target->resumed))
        return FALSE;
    if ((self->is_raw || upgrade(self, target->token)) &&
        greet(self, target->protocol, channel)) {
        wire_stop_blocking(&self->wire);
        return TRUE;
    }
    client_close(self);
    return FALSE;
}

void
client_close(Client *self)
{
    wire_close(&self->wire);
}
