/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A worker's connection to a Redis or Valkey: commands go out in order, replies come back in
 * order, each within a time; it is made anew when it breaks. hiredis forms the bytes, the
 * sockets and TLS are ours. On the worker's thread. */
#pragma once

#include <hiredis/hiredis.h>
#include <uv.h>

#include "common/tls.h"
#include "proxy/store-address.h"

typedef struct VcpRedis VcpRedis;
typedef struct VcpRedisCall VcpRedisCall;

/* reply: not owned; NULL where none came: in time, or before the connection broke. */
typedef void (*VcpRedisReplied)(const redisReply *reply, gpointer data);

/* address: not owned. credentials: not owned; needed for TLS. timeout_ms: for each answer, and
 * for the connection. */
VcpRedis *vcp_redis_new(uv_loop_t *loop, const VcpStoreAddress *address,
                        VcTlsCredentials *credentials, guint64 timeout_ms);

/* For connections from now on, where the address has TLS; not owned. */
void vcp_redis_use(VcpRedis *self, VcTlsCredentials *credentials);

/* What can be sent at once still is; every call is answered with NULL. */
void vcp_redis_free(VcpRedis *self);

/* Never calls back before it has returned. replied: NULL where nobody waits. */
VcpRedisCall *vcp_redis_call(VcpRedis *self, int argc, const char **argv, const gsize *lengths,
                             VcpRedisReplied replied, gpointer data);

/* No call back; the command may be carried out all the same. */
void vcp_redis_cancel(VcpRedis *self, VcpRedisCall *call);

/* The server said that it cannot do its work now: starts again with a new connection, after a
 * while. Not from within a call back's reply where that is still needed. */
void vcp_redis_give_up(VcpRedis *self, const char *why);
