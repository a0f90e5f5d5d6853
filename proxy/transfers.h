/* SPDX-License-Identifier: LGPL-2.1-or-later
 * HTTP requests to the resolver: libcurl's multi interface on a libuv loop. On the loop's
 * thread only. */
#pragma once

#include <curl/curl.h>
#include <uv.h>

#include "proxy/config.h"

typedef struct VcpTransfers VcpTransfers;

/* The transfer is over; it is still the caller's, who may remove and clean up it or any other
 * one, and add new ones. */
typedef void (*VcpTransferEnded)(CURL *transfer, CURLcode result, gpointer data);

/* max_connections: to one host at the same time; 0: any number. */
VcpTransfers *vcp_transfers_new(uv_loop_t *loop, long max_connections, VcpTransferEnded ended,
                                gpointer data);
void vcp_transfers_free(VcpTransfers *self); /* every transfer is removed */

void vcp_transfers_add(VcpTransfers *self, CURL *transfer);
void vcp_transfers_remove(VcpTransfers *self, CURL *transfer);

/* A transfer (full) that goes to the resolver and nowhere else, with the certificates that are
 * for it. */
CURL *vcp_transfer_new(const VcpConfig *config, const char *uri);

/* What is asked for, below --resolver-uri; full. */
char *vcp_transfer_uri(const VcpConfig *config, const char *prefix, const char *rest);
