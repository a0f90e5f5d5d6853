/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPICE sessions that are live, and their further websockets. */
#include "proxy/spice-live.h"

#include "proxy/session-limits.h"

static void
test_session(void)
{
    g_autoptr(VcpSpiceLive) live = vcp_spice_live_new();

    g_assert_false(vcp_spice_live_enter(live, "t"));
    vcp_spice_live_begin(live, "t");
    g_assert_false(vcp_spice_live_enter(live, "u"));

    /* A websocket may outlive the session, and is none of the next one's. */
    g_assert_true(vcp_spice_live_enter(live, "t"));
    vcp_spice_live_end(live, "t");
    g_assert_false(vcp_spice_live_enter(live, "t"));
    vcp_spice_live_begin(live, "t");
    g_assert_true(vcp_spice_live_enter(live, "t"));
    vcp_spice_live_leave(live, "t");
    vcp_spice_live_end(live, "t");
    vcp_spice_live_leave(live, "t");
}

/* A store that began anew may let a second session in before it hears of the first. */
static void
test_two_sessions(void)
{
    g_autoptr(VcpSpiceLive) live = vcp_spice_live_new();

    vcp_spice_live_begin(live, "t");
    vcp_spice_live_begin(live, "t");
    vcp_spice_live_end(live, "t");
    g_assert_true(vcp_spice_live_enter(live, "t"));
    vcp_spice_live_leave(live, "t");
    vcp_spice_live_end(live, "t");
    g_assert_false(vcp_spice_live_enter(live, "t"));
}

static void
test_extra_slots(void)
{
    g_autoptr(VcpSpiceLive) live = vcp_spice_live_new();
    g_autoptr(VcpLimits) limits = vcp_limits_new((VcpLimitValues){.total = 1, .per_token = 1});
    VcpSlot *main = vcp_limits_enter(limits, "a", "t", NULL);
    VcpSlot *extra[64];

    g_assert_false(vcp_slot_is_extra(main));
    g_assert_null(vcp_slot_new_extra(live, "t"));
    vcp_spice_live_begin(live, "t");
    for (gsize i = 0; i < G_N_ELEMENTS(extra); i++) {
        extra[i] = vcp_slot_new_extra(live, "t");
        g_assert_true(vcp_slot_is_extra(extra[i]));
    }
    g_assert_cmpuint(vcp_limits_count(limits), ==, 1);
    g_assert_null(vcp_slot_new_extra(live, "t"));
    vcp_slot_free(extra[0]);
    extra[0] = vcp_slot_new_extra(live, "t");
    g_assert_nonnull(extra[0]);
    for (gsize i = 0; i < G_N_ELEMENTS(extra); i++)
        vcp_slot_free(extra[i]);
    vcp_spice_live_end(live, "t");
    vcp_slot_free(main);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spice-live/session", test_session);
    g_test_add_func("/spice-live/two-sessions", test_two_sessions);
    g_test_add_func("/spice-live/extra-slots", test_extra_slots);
    return g_test_run();
}
