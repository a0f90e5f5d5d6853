/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A client of the bench: websocket frames or, for proxies that know none, plain bytes; and the
 * greetings of the consoles' protocols, which block. It answers pings where it is read. */
#pragma once

#include "wire.h"

/* There were only headers, or frames without data. */
#define CLIENT_NOTHING (-3)

#define CLIENT_MAX_HEADER 10

typedef enum { CLIENT_VNC, CLIENT_SPICE, CLIENT_SERIAL } ClientProtocol;

typedef struct {
    Wire wire;
    gboolean is_raw;
    guint8 header[CLIENT_MAX_HEADER]; /* of the frame that is being read */
    gsize n_header;
    guint64 left; /* of its payload */
    guint pings;  /* that were not answered yet */
} Client;

typedef struct {
    guint16 port;
    gboolean is_raw;
    const char *token;
    ClientProtocol protocol;
    SSL_CTX *tls;         /* nullable: in the clear */
    SSL_SESSION *resumed; /* nullable */
} ClientTarget;

/* A channel of SPICE: a display where the session is known, else the main one, which tells it.
 */
typedef struct {
    guint32 session;
    guint8 display;
} ClientChannel;

/* Connects and greets; blocks, and does not from then on. channel: nullable but for SPICE.
 * FALSE: it is closed. */
gboolean client_open(Client *self, const ClientTarget *target, ClientChannel *channel);
void client_close(Client *self);

/* The bytes that carry these as one message. */
GByteArray *client_message(const Client *self, const void *payload, gsize length);

/* Reads what is there; returns bytes of payload, at *payload until the next call on this
 * thread, CLIENT_NOTHING, WIRE_AGAIN, or 0 at the end. */
gssize client_read(Client *self, const guint8 **payload);
