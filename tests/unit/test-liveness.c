/* SPDX-License-Identifier: LGPL-2.1-or-later
 * When a client is pinged, given up, or left alone. */
#include "proxy/liveness.h"

#define KEEPALIVE_S 25
#define WRITE_S     120
#define START_MS    1000

static VcpLiveness
fresh(void)
{
    VcpLiveness life;

    vcp_liveness_init(&life, KEEPALIVE_S, WRITE_S, START_MS);
    return life;
}

static void
test_mute(void)
{
    VcpLiveness life = fresh();

    g_assert_cmpuint(vcp_liveness_due(&life), ==, START_MS + 25000);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 24999), ==, VCP_LIFE_FINE);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 25000), ==, VCP_LIFE_PING);
    g_assert_cmpuint(vcp_liveness_due(&life), ==, START_MS + 50000);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 49999), ==, VCP_LIFE_FINE);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 50000), ==, VCP_LIFE_PING);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 75000), ==, VCP_LIFE_MUTE);
}

static void
test_answers(void)
{
    VcpLiveness life = fresh();
    guint64 now = START_MS;

    for (int i = 0; i < 100; i++) {
        now += 25000;
        g_assert_cmpint(vcp_liveness_check(&life, now), ==, VCP_LIFE_PING);
        vcp_liveness_heard(&life, now);
    }
    /* A late answer counts, and so does anything else it sends. */
    g_assert_cmpint(vcp_liveness_check(&life, now + 25000), ==, VCP_LIFE_PING);
    g_assert_cmpint(vcp_liveness_check(&life, now + 50000), ==, VCP_LIFE_PING);
    vcp_liveness_heard(&life, now + 74999);
    g_assert_cmpint(vcp_liveness_check(&life, now + 75000), ==, VCP_LIFE_FINE);
}

static void
test_paused_is_not_mute(void)
{
    VcpLiveness life = fresh();

    vcp_liveness_set(&life, START_MS, TRUE, FALSE, 0);
    for (guint64 now = START_MS; now < START_MS + 1000000; now += 25000) {
        while (vcp_liveness_check(&life, now) == VCP_LIFE_PEEK)
            continue;
        g_assert_cmpint(vcp_liveness_check(&life, now), ==, VCP_LIFE_FINE);
    }
    vcp_liveness_set(&life, START_MS + 1000000, FALSE, FALSE, 0);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 1000000), ==, VCP_LIFE_PING);
}

/* Nothing but a look at it tells when it has gone. */
static void
test_paused_is_looked_at(void)
{
    VcpLiveness life = fresh();

    vcp_liveness_set(&life, START_MS + 500, TRUE, FALSE, 0);
    vcp_liveness_set(&life, START_MS + 900, TRUE, FALSE, 0);
    g_assert_cmpuint(vcp_liveness_due(&life), ==, START_MS + 2500);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 2499), ==, VCP_LIFE_FINE);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 2500), ==, VCP_LIFE_PEEK);
    g_assert_cmpuint(vcp_liveness_due(&life), ==, START_MS + 4500);
    vcp_liveness_set(&life, START_MS + 3000, FALSE, FALSE, 0);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 4500), ==, VCP_LIFE_FINE);
}

static void
test_stuck(void)
{
    VcpLiveness life = fresh();
    guint64 since = START_MS + 10;

    vcp_liveness_set(&life, since, FALSE, TRUE, 100);
    g_assert_cmpuint(vcp_liveness_due(&life), <=, since + 120000);
    /* Waiting on does not begin anew; nor is it pinged behind bytes that it does not take. */
    vcp_liveness_set(&life, since + 5000, FALSE, TRUE, 100);
    g_assert_cmpint(vcp_liveness_check(&life, since + 29999), ==, VCP_LIFE_FINE);
    g_assert_cmpint(vcp_liveness_check(&life, since + 30000), ==, VCP_LIFE_LOOK);
    g_assert_cmpuint(vcp_liveness_due(&life), <=, since + 60000);
    g_assert_false(vcp_liveness_is_stuck(&life, since + 119999));
    g_assert_true(vcp_liveness_is_stuck(&life, since + 120000));
    /* A look that shows progress gives it the whole time again. */
    vcp_liveness_progress(&life, since + 90000);
    g_assert_false(vcp_liveness_is_stuck(&life, since + 209999));
    g_assert_true(vcp_liveness_is_stuck(&life, since + 210000));
}

static void
test_slow_is_not_stuck(void)
{
    VcpLiveness life = fresh();
    guint64 taken = 0;

    for (guint64 now = START_MS; now < START_MS + 10000000; now += 119000) {
        vcp_liveness_set(&life, now, FALSE, TRUE, ++taken);
        vcp_liveness_check(&life, now + 118000);
        g_assert_false(vcp_liveness_is_stuck(&life, now + 118000));
    }
    /* All taken: nothing to wait for any more, and the next ping is due as ever. */
    vcp_liveness_set(&life, START_MS + 20000000, FALSE, FALSE, taken);
    g_assert_cmpint(vcp_liveness_check(&life, START_MS + 20000000), ==, VCP_LIFE_PING);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/liveness/mute", test_mute);
    g_test_add_func("/liveness/answers", test_answers);
    g_test_add_func("/liveness/paused", test_paused_is_not_mute);
    g_test_add_func("/liveness/peek", test_paused_is_looked_at);
    g_test_add_func("/liveness/stuck", test_stuck);
    g_test_add_func("/liveness/slow", test_slow_is_not_stuck);
    return g_test_run();
}
