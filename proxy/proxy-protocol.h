/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The header that a balancer sends ahead of a connection's own bytes: the PROXY protocol,
 * versions 1 and 2 (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt). Pure. */
#pragma once

#include "common/network.h"

/* The longest one that is read. Its senders are to keep it below what fits any TCP segment. */
#define VCP_PROXY_MAX 536

typedef enum {
    VCP_PROXY_WAIT,   /* the beginning of a header */
    VCP_PROXY_NONE,   /* no header: it does not begin with the signature of either version */
    VCP_PROXY_HEADER, /* a whole one */
    VCP_PROXY_WRONG,  /* has the signature, and the rest makes no sense or is too long */
} VcpProxyStep;

typedef struct {
    gsize length;        /* of the header; what follows is the connection's own */
    gboolean has_source; /* FALSE: the balancer speaks for itself, or does not know */
    VcIp source;
    guint16 port;
} VcpProxyHeader;

/* data: all that came so far. header is set with HEADER only. */
VcpProxyStep vcp_proxy_protocol_parse(const guint8 *data, gsize length, VcpProxyHeader *header);
