/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The store of several proxies: a Redis or Valkey. */
#pragma once

#include "proxy/redis.h"
#include "proxy/store.h"

/* Contract: proxy/store.h; the other parameters as for vcp_redis_new(). Where the server does
 * not answer in time, requests are answered with VCP_STORE_AWAY. */
VcpStore *vcp_store_redis_new(uv_loop_t *loop, const VcpStoreAddress *address,
                              VcTlsCredentials *credentials, guint64 timeout_ms);

/* store: one of those. As vcp_redis_use(). */
void vcp_store_redis_use(VcpStore *store, VcTlsCredentials *credentials);
