/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The end of a connection to a chardev, after its session: what was accepted of the client
 * still goes there, QEMU gets a moment to read it, and then the connection is reset. A FIN
 * alone would leave a chardev whose guest does not read unusable for good: QEMU looks for the
 * end only while the guest has room. */
#pragma once

#include <uv.h>

#include "common/buffer.h"
#include "proxy/tls-client.h"

/* So much of what goes to a chardev may be in one TLS record: QEMU 7.2 takes from a record what
 * the guest has room for and forgets the rest until more comes. */
#define VCP_CHARDEV_RECORD 1

/* Records for one turn of the loop: others want to be served as well. */
#define VCP_CHARDEV_RECORDS_A_TURN 256

/* Takes over all of them. fd: connected. poll: on it, stopped. tls: nullable. out: what is left
 * to send; empty afterwards. It ends by itself, within a second. On the worker's thread. */
void vcp_leave(uv_loop_t *loop, int fd, uv_poll_t *poll, VcpTlsClient *tls, VcBuffer *out);

/* Closing the socket then sends a reset. */
void vcp_leave_by_reset(int fd);
