/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What every store must answer, as rows: the one in memory and the one in Redis are held to the
 * same. */
#pragma once

#include "proxy/store.h"

/* The unit of time in the rows: a lease is ten of them. */
typedef struct {
    VcpStore *store;
    uv_loop_t *loop;
    guint64 unit_ms;
    void (*pass)(guint64 ms); /* lets time pass */
} StoreUnderTest;

/* Runs all cases, each with a key of its own. */
void store_cases_run(const StoreUnderTest *test);

/* One request, and its answer. */
VcpStoreAnswer store_cases_ask(const StoreUnderTest *test, const VcpStoreRequest *request);

/* A claim of key by owner, with leases of the cases' length. */
VcpStoreRequest store_cases_claim(const StoreUnderTest *test, const char *key,
                                  const char *owner);
