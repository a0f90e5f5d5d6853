/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A client's connection, accepted by us: libwebsockets has it for TLS and HTTP, up to the
 * answer to the upgrade; its tenant end from there. All on the worker's thread. */
#pragma once

#include <libwebsockets.h>

#include "proxy/worker.h"

/* The protocol for a vhost's table: HTTP answers and the upgrade. */
extern const struct lws_protocols vcp_connection_protocol;

/* Takes over an accepted connection. fd, client (its address as text): full. */
void vcp_connection_adopt(VcpWorker *worker, int fd, char *client);

/* Cuts one that has no session yet, from the loop's next turn. connection: the data of a link
 * that it has put into the worker's list. */
void vcp_connection_kill(gpointer connection);
