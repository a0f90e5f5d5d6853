/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Which pieces wait, and for how long. */
#include "proxy/gather.h"

#define START_MS 1000

static gboolean
waits(const VcpGather *self, guint64 now_ms)
{
    guint64 due = vcp_gather_due(self, now_ms);

    g_assert_cmpuint(due, >=, now_ms);
    g_assert_cmpuint(due, <=, now_ms + VCP_GATHER_MS);
    return due > now_ms;
}

/* Keys and their echoes, at any speed. */
static void
test_typing(void)
{
    VcpGather gather = {0};

    for (guint64 now = START_MS; now < START_MS + 1000; now += 20) {
        for (int piece = 0; piece < 4; piece++) {
            g_assert_false(waits(&gather, now));
            vcp_gather_took(&gather, now, 1);
        }
    }
}

static void
test_echoes(void)
{
    VcpGather gather = {0};

    for (int i = 0; i < 1000; i++) {
        vcp_gather_asked(&gather);
        g_assert_false(waits(&gather, START_MS));
        vcp_gather_took(&gather, START_MS, 1);
    }
}

static void
test_flood(void)
{
    VcpGather gather = {0};
    guint taken = 0;

    for (guint64 now = START_MS; now < START_MS + 1000; now++) {
        if (waits(&gather, now))
            continue;
        vcp_gather_took(&gather, now, 1);
        taken++;
    }
    g_assert_cmpuint(taken, <=, 1000 / VCP_GATHER_MS + 4);
    g_assert_cmpuint(taken, >=, 1000 / VCP_GATHER_MS);

    /* Over: the next piece is as good as the first. */
    g_assert_false(waits(&gather, START_MS + 2000));
    vcp_gather_took(&gather, START_MS + 2000, 1);
    g_assert_false(waits(&gather, START_MS + 2000));
}

static void
test_large_pieces(void)
{
    VcpGather gather = {0};

    for (int i = 0; i < 1000; i++) {
        g_assert_false(waits(&gather, START_MS));
        vcp_gather_took(&gather, START_MS, 65536);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gather/typing", test_typing);
    g_test_add_func("/gather/echoes", test_echoes);
    g_test_add_func("/gather/flood", test_flood);
    g_test_add_func("/gather/large", test_large_pieces);
    return g_test_run();
}
