/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A store for a test to talk to: store-probe URI [CERT KEY CA]. Each line on stdin is a request
 * and each line on stdout its answer.
 *
 *     cases UNIT_MS                          all of store-cases.c, with a lease of 10 units
 *     claim|confirm|release KEY OWNER        -> ok 0.4 (what the store says, milliseconds)
 *     burst COUNT KEY OWNER                  -> ok taken: answers of claims that are under way
 *                                               together, by different owners */
#include "tests/unit/store-cases.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "proxy/store-redis.h"
#include "proxy/timer.h"

#define TIMEOUT_MS 1000

static uv_loop_t loop;
static gboolean is_over;

static const char *const words[] = {"ok", "taken", "spent", "unknown", "not-listed", "away"};

static void
on_passed(gpointer data G_GNUC_UNUSED)
{
    is_over = TRUE;
}

static void
pass(guint64 ms)
{
    VcpTimer *timer = vcp_timer_new(&loop, on_passed, NULL);

    is_over = FALSE;
    vcp_timer_start(timer, ms);
    while (!is_over)
        uv_run(&loop, UV_RUN_ONCE);
    vcp_timer_free(timer);
}

static void
run_one(const StoreUnderTest *test, VcpStoreVerb verb, const char *key, const char *owner)
{
    VcpStoreRequest request = store_cases_claim(test, key, owner);
    gint64 begin = g_get_monotonic_time();

    request.verb = verb;
    request.is_single = verb != VCP_STORE_CLAIM;
    request.spent_ms = 100000;
    VcpStoreAnswer answer = store_cases_ask(test, &request);
    printf("%s %.1f\n", words[answer], (double)(g_get_monotonic_time() - begin) / 1000);
}

static void
count_answer(VcpStoreAnswer answer, gpointer data)
{
    guint *counts = data;

    counts[answer]++;
    counts[G_N_ELEMENTS(words)]++;
}

static void
run_burst(const StoreUnderTest *test, guint count, const char *key, const char *owner)
{
    guint counts[G_N_ELEMENTS(words) + 1] = {0};

    for (guint i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("%s%u", owner, i);
        VcpStoreRequest request = store_cases_claim(test, key, name);
        test->store->ops->ask(test->store, &request, count_answer, counts);
    }
    while (counts[G_N_ELEMENTS(words)] < count)
        uv_run(&loop, UV_RUN_ONCE);
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        printf("%s %u%s", words[i], counts[i], i + 1 < G_N_ELEMENTS(words) ? " " : "\n");
}

static void
run_line(StoreUnderTest *test, char **parts)
{
    if (strcmp(parts[0], "cases") == 0) {
        test->unit_ms = (guint64)g_ascii_strtoull(parts[1], NULL, 10);
        store_cases_run(test);
        printf("ok\n");
    } else if (strcmp(parts[0], "burst") == 0) {
        run_burst(test, (guint)g_ascii_strtoull(parts[1], NULL, 10), parts[2], parts[3]);
    } else {
        run_one(test,
                parts[0][0] == 'r'               ? VCP_STORE_RELEASE
                : strcmp(parts[0], "claim") == 0 ? VCP_STORE_CLAIM
                                                 : VCP_STORE_CONFIRM,
                parts[1], parts[2]);
    }
    fflush(stdout);
}

/* The loop goes on while nobody asks: a connection that breaks must be noticed. */
static void
on_input(uv_poll_t *poll, int status G_GNUC_UNUSED, int events G_GNUC_UNUSED)
{
    char line[256];

    if (fgets(line, sizeof line, stdin) == NULL) {
        uv_close((uv_handle_t *)poll, NULL);
        uv_stop(&loop);
        return;
    }
    g_auto(GStrv) parts = g_strsplit(g_strstrip(line), " ", -1);
    run_line(poll->data, parts);
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VcpStoreAddress) address = vcp_store_address_parse(argv[1], &error);
    g_autoptr(VcTlsCredentials) credentials = NULL;
    uv_poll_t input;

    g_assert_no_error(error);
    vc_log_init(G_LOG_LEVEL_DEBUG);
    if (argc == 5)
        credentials = vc_tls_credentials_load(argv[2], argv[3], argv[4], "--store-tls", &error);
    g_assert_no_error(error);
    uv_loop_init(&loop);
    StoreUnderTest test = {vcp_store_redis_new(&loop, address, credentials, TIMEOUT_MS), &loop,
                           1000, pass};
    setvbuf(stdin, NULL, _IONBF, 0);
    input.data = &test;
    uv_poll_init(&loop, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_input);
    uv_run(&loop, UV_RUN_DEFAULT);
    test.store->ops->free(test.store);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
