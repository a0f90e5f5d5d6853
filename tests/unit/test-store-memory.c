/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The store in memory: the cases of every store, threads that race, and what it forgets. */
#include "tests/unit/store-cases.h"

#include <string.h>

#define N_THREADS 4
#define N_ROUNDS  2000

static guint64 clock_ms = 1000000;

static guint64
now_ms(void)
{
    return clock_ms;
}

static void
pass(guint64 ms)
{
    clock_ms += ms;
}

typedef struct {
    VcpMemory *memory;
    uv_loop_t loop;
    StoreUnderTest test;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->memory = vcp_memory_new(now_ms);
    uv_loop_init(&self->loop);
    self->test = (StoreUnderTest){vcp_store_memory_new(self->memory, &self->loop), &self->loop,
                                  1000, pass};
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->test.store->ops->free(self->test.store);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpint(uv_loop_close(&self->loop), ==, 0);
    vcp_memory_free(self->memory);
}

static void
test_cases(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    store_cases_run(&self->test);
}

static void
test_forgets(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    for (guint i = 0; i < 100000; i++) {
        g_autofree char *key = g_strdup_printf("tok:%u", i);
        VcpStoreRequest request = store_cases_claim(&self->test, key, "a");
        self->test.store->ops->ask(self->test.store, &request, NULL, NULL);
        if (i % 10 == 0)
            pass(1000);
    }
    /* A lease is 10 s: 100 claims live at a time. */
    g_assert_cmpuint(vcp_memory_count(self->memory), <=, 1024);
}

static void
test_void_at_once(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpStoreRequest request = store_cases_claim(&self->test, "tok:1", "a");

    g_assert_cmpint(store_cases_ask(&self->test, &request), ==, VCP_STORE_OK);
    g_assert_cmpuint(vcp_memory_count(self->memory), ==, 1);
    request.verb = VCP_STORE_RELEASE;
    g_assert_cmpint(store_cases_ask(&self->test, &request), ==, VCP_STORE_OK);
    g_assert_cmpuint(vcp_memory_count(self->memory), ==, 0);
}

static void
never(VcpStoreAnswer answer G_GNUC_UNUSED, gpointer data G_GNUC_UNUSED)
{
    g_assert_not_reached();
}

static void
test_cancel(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpStore *store = self->test.store;
    VcpStoreRequest request = store_cases_claim(&self->test, "tok:1", "a");
    VcpStoreOp *op = store->ops->ask(store, &request, never, NULL);

    store->ops->cancel(store, op);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    /* What was asked was done all the same. */
    VcpStoreRequest other = store_cases_claim(&self->test, "tok:1", "b");
    g_assert_cmpint(store_cases_ask(&self->test, &other), ==, VCP_STORE_TAKEN);
}

typedef struct {
    VcpMemory *memory;
    const char *owner;
    int *winners; /* atomic; of each round */
} Racer;

static gpointer
race(gpointer data)
{
    Racer *racer = data;
    uv_loop_t loop;
    StoreUnderTest test = {NULL, &loop, 1000, pass};

    uv_loop_init(&loop);
    test.store = vcp_store_memory_new(racer->memory, &loop);
    for (guint round = 0; round < N_ROUNDS; round++) {
        g_autofree char *key = g_strdup_printf("tok:%u", round);
        VcpStoreRequest request = store_cases_claim(&test, key, racer->owner);
        VcpStoreAnswer answer = store_cases_ask(&test, &request);
        if (answer == VCP_STORE_OK)
            g_atomic_int_inc(&racer->winners[round]);
        else
            g_assert_cmpint(answer, ==, VCP_STORE_TAKEN);
    }
    test.store->ops->free(test.store);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return NULL;
}

static void
test_race(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const owners[N_THREADS] = {"a", "b", "c", "d"};
    int winners[N_ROUNDS] = {0};
    GThread *threads[N_THREADS];
    Racer racers[N_THREADS];

    for (guint i = 0; i < N_THREADS; i++) {
        racers[i] = (Racer){self->memory, owners[i], winners};
        threads[i] = g_thread_new("racer", race, &racers[i]);
    }
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    for (guint i = 0; i < N_ROUNDS; i++)
        g_assert_cmpint(winners[i], ==, 1);
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/store-memory/cases", test_cases);
    ADD("/store-memory/forgets", test_forgets);
    ADD("/store-memory/void-at-once", test_void_at_once);
    ADD("/store-memory/cancel", test_cancel);
    ADD("/store-memory/race", test_race);
    return g_test_run();
}
