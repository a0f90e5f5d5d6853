/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Who waits, how long, for whom it is forgotten, and how much is remembered. */
#include "proxy/guesses.h"

#define FREE 3

static guint64 clock_ms;

static guint64
now(void)
{
    return clock_ms;
}

static VcpGuesses *
make(guint free)
{
    clock_ms = 1000;
    return vcp_guesses_new(free, now);
}

static void
fail_times(VcpGuesses *guesses, const char *client, guint n)
{
    for (guint i = 0; i < n; i++)
        vcp_guesses_failed(guesses, client);
}

static void
test_free(void)
{
    g_autoptr(VcpGuesses) guesses = make(FREE);

    for (guint i = 0; i < FREE; i++) {
        g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1:1"), ==, 0);
        vcp_guesses_failed(guesses, "192.0.2.1:1");
    }
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1:2"), ==, 1);
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.2:1"), ==, 0);
}

/* 1, 2, 4 … 256, 300, 300. */
static void
test_growing(void)
{
    g_autoptr(VcpGuesses) guesses = make(FREE);
    guint expected = 1;

    fail_times(guesses, "192.0.2.1", FREE);
    for (guint i = 0; i < 12; i++) {
        g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, expected);
        clock_ms += expected * 1000 - 1;
        g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 1);
        clock_ms += 1;
        g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 0);
        vcp_guesses_failed(guesses, "192.0.2.1");
        expected = MIN(expected * 2, VCP_GUESSES_MAX_WAIT_S);
    }
}

/* Whoever may try again may do so once, not with a hundred connections. */
static void
test_one_at_a_time(void)
{
    g_autoptr(VcpGuesses) guesses = make(FREE);

    fail_times(guesses, "192.0.2.1", FREE + 2);
    clock_ms += 4000;
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 0);
    for (guint i = 0; i < 100; i++)
        g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 4);
    /* Its token was no guess, or was never answered. */
    clock_ms += 4000;
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 0);
}

static void
test_success(void)
{
    g_autoptr(VcpGuesses) guesses = make(FREE);

    fail_times(guesses, "192.0.2.1", 50);
    vcp_guesses_succeeded(guesses, "192.0.2.1:7");
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 0);
    g_assert_cmpuint(vcp_guesses_count(guesses), ==, 0);
    vcp_guesses_succeeded(guesses, "192.0.2.9");
    fail_times(guesses, "192.0.2.1", FREE - 1);
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 0);
}

static void
test_forgotten(void)
{
    g_autoptr(VcpGuesses) guesses = make(FREE);

    fail_times(guesses, "192.0.2.1", FREE - 1);
    clock_ms += VCP_GUESSES_MEMORY_S * 1000 - 1;
    fail_times(guesses, "192.0.2.1", 1);
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 1);
    clock_ms += VCP_GUESSES_MEMORY_S * 1000;
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 0);
    g_assert_cmpuint(vcp_guesses_count(guesses), ==, 0);
}

static void
test_same_client(void)
{
    static const struct {
        const char *one, *other;
        gboolean are_same;
    } rows[] = {
        {"192.0.2.1:1", "192.0.2.1:2", TRUE},
        {"192.0.2.1:1", "192.0.2.1", TRUE},
        {"192.0.2.1:1", "[::ffff:192.0.2.1]:1", TRUE},
        {"192.0.2.1:1", "192.0.2.2:1", FALSE},
        {"[2001:db8::1]:1", "[2001:db8::ffff:ffff:ffff:ffff]:1", TRUE},
        {"[2001:db8::1]:1", "[2001:db8:0:0:1::]", TRUE},
        {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", FALSE},
        {"[::1]:1", "192.0.2.1", FALSE},
        {"unix", "unix", FALSE},
        {"unix:/run/x", "unix:/run/x", FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(VcpGuesses) guesses = make(1);
        g_test_message("%s and %s", rows[i].one, rows[i].other);
        vcp_guesses_failed(guesses, rows[i].one);
        g_assert_true((vcp_guesses_try(guesses, rows[i].other) != 0) == rows[i].are_same);
    }
}

static void
test_no_limit(void)
{
    g_autoptr(VcpGuesses) guesses = make(0);

    fail_times(guesses, "192.0.2.1", 1000);
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, 0);
    g_assert_cmpuint(vcp_guesses_count(guesses), ==, 0);
}

/* A flood of addresses: those that failed longest ago go, and no more than so many are kept. */
static void
test_flood(void)
{
    g_autoptr(VcpGuesses) guesses = make(1);

    for (guint i = 0; i < 100000; i++) {
        g_autofree char *client = g_strdup_printf("[2001:db8:%x:%x::1]:1", i >> 16, i & 0xffff);
        vcp_guesses_failed(guesses, client);
        if (i % 1000 == 0)
            vcp_guesses_failed(guesses, "192.0.2.1");
        g_assert_cmpuint(vcp_guesses_count(guesses), <=, VCP_GUESSES_MAX_CLIENTS);
    }
    g_assert_cmpuint(vcp_guesses_count(guesses), ==, VCP_GUESSES_MAX_CLIENTS);
    /* One that goes on failing is not washed out. */
    g_assert_cmpuint(vcp_guesses_try(guesses, "192.0.2.1"), ==, VCP_GUESSES_MAX_WAIT_S);
}

static gpointer
hammer(gpointer data)
{
    VcpGuesses *guesses = data;

    for (guint i = 0; i < 20000; i++) {
        g_autofree char *client = g_strdup_printf("192.0.2.%u", i % 7);
        if (vcp_guesses_try(guesses, client) == 0)
            vcp_guesses_failed(guesses, client);
        if (i % 100 == 0)
            vcp_guesses_succeeded(guesses, client);
    }
    return NULL;
}

static void
test_threads(void)
{
    g_autoptr(VcpGuesses) guesses = make(FREE);
    GThread *threads[4];

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("worker", hammer, guesses);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(vcp_guesses_count(guesses), <=, 7);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guesses/free", test_free);
    g_test_add_func("/guesses/growing", test_growing);
    g_test_add_func("/guesses/one-at-a-time", test_one_at_a_time);
    g_test_add_func("/guesses/success", test_success);
    g_test_add_func("/guesses/forgotten", test_forgotten);
    g_test_add_func("/guesses/same-client", test_same_client);
    g_test_add_func("/guesses/no-limit", test_no_limit);
    g_test_add_func("/guesses/flood", test_flood);
    g_test_add_func("/guesses/threads", test_threads);
    return g_test_run();
}
