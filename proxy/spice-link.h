/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The messages with which a SPICE channel begins, as bytes: read, checked, and edited in place.
 * Pure. */
#pragma once

#include <glib.h>

/* Of either link message: magic, version, size of what follows. */
#define VCP_SPICE_HEADER 16

/* What follows, with as many capabilities as anybody may have. */
#define VCP_SPICE_LINK_MIN  18
#define VCP_SPICE_REPLY_MIN 178
#define VCP_SPICE_LINK_MAX  4096

#define VCP_SPICE_KEY    162 /* DER of an RSA key of 1024 bits */
#define VCP_SPICE_TICKET 128 /* what is encrypted with it */

#define VCP_SPICE_CHANNEL_MAIN 1

/* Codes of refusals, in replies and results. */
typedef enum {
    VCP_SPICE_OK = 0,
    VCP_SPICE_ERROR = 1,
    VCP_SPICE_INVALID_MAGIC = 2,
    VCP_SPICE_INVALID_DATA = 3,
    VCP_SPICE_VERSION_MISMATCH = 4,
    VCP_SPICE_NEED_SECURED = 5,
    VCP_SPICE_NEED_UNSECURED = 6,
    VCP_SPICE_PERMISSION_DENIED = 7,
    VCP_SPICE_BAD_CONNECTION_ID = 8,
    VCP_SPICE_CHANNEL_NOT_AVAILABLE = 9,
} VcpSpiceCode;

typedef struct {
    guint32 connection_id;
    guint8 type, id;
    gboolean selects_auth; /* says how it will authenticate */
    gboolean mini_header;
} VcpSpiceLink;

typedef struct {
    guint32 error;
    const guint8 *key; /* VCP_SPICE_KEY bytes in the message */
    gboolean sasl_only;
    gboolean mini_header;
} VcpSpiceReply;

/* *size: of what follows, min to VCP_SPICE_LINK_MAX. Any but VCP_SPICE_OK: what is wrong. */
VcpSpiceCode vcp_spice_read_header(const guint8 header[VCP_SPICE_HEADER], gsize min,
                                   gsize *size);

/* The client's message behind its header; length: at least VCP_SPICE_LINK_MIN. Takes out of it
 * what this proxy does not do: SASL, and migration on the main channel. */
VcpSpiceCode vcp_spice_read_link(guint8 *message, gsize length, VcpSpiceLink *link);

/* The server's, likewise; length: at least VCP_SPICE_REPLY_MIN. */
VcpSpiceCode vcp_spice_read_reply(guint8 *message, gsize length, VcpSpiceReply *reply);

/* A reply that refuses, header and all. */
void vcp_spice_write_refusal(VcpSpiceCode code,
                             guint8 bytes[VCP_SPICE_HEADER + VCP_SPICE_REPLY_MIN]);
