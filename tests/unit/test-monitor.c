/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Waiting: until somebody signals, and until the time is over. */
#include "common/monitor.h"

typedef struct {
    VcMonitor monitor;
    guint count, wanted;
} Shared;

static gpointer
count_up(gpointer data)
{
    Shared *self = data;

    for (guint i = 0; i < self->wanted / 2; i++) {
        vc_monitor_enter(&self->monitor);
        self->count++;
        vc_monitor_signal(&self->monitor);
        vc_monitor_leave(&self->monitor);
    }
    return NULL;
}

static void
test_signal(void)
{
    Shared shared = {.wanted = 2000};
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    vc_monitor_init(&shared.monitor);
    GThread *one = g_thread_new("one", count_up, &shared);
    GThread *other = g_thread_new("other", count_up, &shared);
    vc_monitor_enter(&shared.monitor);
    while (shared.count < shared.wanted)
        g_assert_true(vc_monitor_wait_until(&shared.monitor, until));
    vc_monitor_leave(&shared.monitor);
    g_thread_join(one);
    g_thread_join(other);
    g_assert_cmpuint(shared.count, ==, shared.wanted);
    vc_monitor_clear(&shared.monitor);
}

static void
test_time(void)
{
    VcMonitor monitor;
    gint64 until = g_get_monotonic_time() + 20000;

    vc_monitor_init(&monitor);
    vc_monitor_enter(&monitor);
    while (vc_monitor_wait_until(&monitor, until))
        continue;
    g_assert_cmpint(g_get_monotonic_time(), >=, until);
    g_assert_false(vc_monitor_wait_until(&monitor, 0)); /* long over */
    vc_monitor_leave(&monitor);
    vc_monitor_clear(&monitor);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/monitor/signal", test_signal);
    g_test_add_func("/monitor/time", test_time);
    return g_test_run();
}
