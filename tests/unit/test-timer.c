/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Timers on a loop of their own, which must be empty at the end. */
#include "proxy/timer.h"

typedef struct {
    uv_loop_t loop;
    VcpTimer *timer;
    guint fired;
    void (*on_fire)(gpointer self);
} Fixture;

static void
on_fire(gpointer data)
{
    Fixture *self = data;

    self->fired++;
    if (self->on_fire != NULL)
        self->on_fire(self);
}

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    uv_loop_init(&self->loop);
    self->timer = vcp_timer_new(&self->loop, on_fire, self);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_timer_free(self->timer);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpint(uv_loop_close(&self->loop), ==, 0);
}

static void
run(Fixture *self)
{
    uv_run(&self->loop, UV_RUN_DEFAULT);
}

static void
free_timer(gpointer data)
{
    Fixture *self = data;

    g_clear_pointer(&self->timer, vcp_timer_free);
}

static void
restart(gpointer data)
{
    Fixture *self = data;

    if (self->fired < 3)
        vcp_timer_start(self->timer, 1);
}

static void
test_fires_once(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gint64 before = g_get_monotonic_time();

    vcp_timer_start(self->timer, 20);
    run(self);
    g_assert_cmpuint(self->fired, ==, 1);
    g_assert_cmpint(g_get_monotonic_time() - before, >=, 19000);
    run(self);
    g_assert_cmpuint(self->fired, ==, 1);
}

static void
test_at_once(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_timer_start(self->timer, 0);
    g_assert_cmpuint(self->fired, ==, 0);
    run(self);
    g_assert_cmpuint(self->fired, ==, 1);
}

static void
test_never_started(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    run(self);
    g_assert_cmpuint(self->fired, ==, 0);
    vcp_timer_free(NULL);
}

static void
test_stop(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_timer_stop(self->timer);
    vcp_timer_start(self->timer, 1);
    vcp_timer_stop(self->timer);
    run(self);
    g_assert_cmpuint(self->fired, ==, 0);
    vcp_timer_start(self->timer, 1);
    run(self);
    g_assert_cmpuint(self->fired, ==, 1);
}

/* The last start counts, be it later or earlier than the one before. */
static void
test_start_again(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    gint64 before = g_get_monotonic_time();

    vcp_timer_start(self->timer, 60 * 60 * 1000);
    vcp_timer_start(self->timer, 1);
    vcp_timer_start(self->timer, 20);
    run(self);
    g_assert_cmpuint(self->fired, ==, 1);
    g_assert_cmpint(g_get_monotonic_time() - before, >=, 19000);
}

static void
test_start_within(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->on_fire = restart;
    vcp_timer_start(self->timer, 1);
    run(self);
    g_assert_cmpuint(self->fired, ==, 3);
}

static void
test_free_within(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->on_fire = free_timer;
    vcp_timer_start(self->timer, 1);
    run(self);
    g_assert_cmpuint(self->fired, ==, 1);
}

static void
test_free_running(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_timer_start(self->timer, 1);
    free_timer(self);
    run(self);
    g_assert_cmpuint(self->fired, ==, 0);
}

/* A callback that takes its time must not use up the time given. */
static void
test_after_long_work(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    uv_update_time(&self->loop);
    g_usleep(30000);
    gint64 before = g_get_monotonic_time();
    vcp_timer_start(self->timer, 20);
    run(self);
    g_assert_cmpint(g_get_monotonic_time() - before, >=, 19000);
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/timer/fires-once", test_fires_once},
    {"/timer/at-once", test_at_once},
    {"/timer/never-started", test_never_started},
    {"/timer/stop", test_stop},
    {"/timer/start-again", test_start_again},
    {"/timer/start-within", test_start_within},
    {"/timer/free-within", test_free_within},
    {"/timer/free-running", test_free_running},
    {"/timer/after-long-work", test_after_long_work},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
