/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The texts of RFB: version lines, and the reasons that peers give each other. */
#pragma once

#include "common/buffer.h"

/* The version that the proxy speaks to both sides (RFC 6143, 7.1.1). */
#define VCP_RFB_VERSION        "RFB 003.008\n"
#define VCP_RFB_VERSION_LENGTH 12

/* What is read of a reason at the most: its length is the peer's word. */
#define VCP_RFB_REASON_MAX 1024

/* FALSE where the text is not exactly "RFB ", three digits, ".", three digits, line feed. */
gboolean vcp_rfb_version_parse(const guint8 text[VCP_RFB_VERSION_LENGTH], guint *major,
                               guint *minor);

/* A peer's bytes made fit for a log line: one line of printable ASCII. NULs vanish (QEMU counts
 * the terminating one as text), whatever else is not printable becomes a space. Returns: full.
 */
char *vcp_rfb_printable(const guint8 *text, gsize length);

/* A count and a text, as both SecurityResult and an empty offer carry it. */
void vcp_rfb_put_reason(VcBuffer *to, const char *reason);

/* Appends what a handshake has to say. Its messages are so short that a full buffer means a
 * mistake in the caller. */
void vcp_rfb_put(VcBuffer *to, const void *data, gsize length);
void vcp_rfb_put_u8(VcBuffer *to, guint8 value);
void vcp_rfb_put_u32(VcBuffer *to, guint32 value);
