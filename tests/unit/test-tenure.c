/* SPDX-License-Identifier: LGPL-2.1-or-later
 * How long sessions may last, by the service and by the proxy's settings. */
#include "proxy/tenure.h"

#define WALL_S G_GINT64_CONSTANT(2000000000)
#define NEVER  G_MAXUINT64

/* A session that began at 10 s by the loop's clock, when it was WALL_S by the wall's. */
static const struct {
    const char *name;
    guint idle_s, limit_s; /* of the proxy */
    guint service_idle_s, service_limit_s;
    gint64 expires_s;
    guint64 used_ms, now_ms;
    guint64 due_ms;
    VcpTenureEnd end;
} rows[] = {
    {"none", 0, 0, 0, 0, 0, 10000, 999999999, NEVER, VCP_TENURE_RUNS},
    {"idle", 60, 0, 0, 0, 0, 12000, 71999, 72000, VCP_TENURE_RUNS},
    {"idle-over", 60, 0, 0, 0, 0, 12000, 72000, 72000, VCP_TENURE_IDLE},
    {"idle-of-service", 60, 0, 5, 0, 0, 12000, 17000, 17000, VCP_TENURE_IDLE},
    {"idle-of-service-is-longer", 5, 0, 60, 0, 0, 12000, 17000, 72000, VCP_TENURE_RUNS},
    {"limit", 0, 30, 0, 0, 0, 39000, 39999, 40000, VCP_TENURE_RUNS},
    {"limit-over", 0, 30, 0, 0, 0, 39000, 40000, 40000, VCP_TENURE_OVER},
    {"limit-of-service", 0, 30, 0, 2, 0, 10000, 12000, 12000, VCP_TENURE_OVER},
    {"both", 60, 30, 0, 0, 0, 10000, 10000, 40000, VCP_TENURE_RUNS},
    {"expires", 0, 0, 0, 0, WALL_S + 3, 10000, 12999, 13000, VCP_TENURE_RUNS},
    {"expired", 0, 0, 0, 0, WALL_S + 3, 10000, 13000, 13000, VCP_TENURE_EXPIRED},
    {"expired-long-ago", 0, 0, 0, 0, 1, 10000, 13000, 13000, VCP_TENURE_EXPIRED},
    {"never-in-this-life", 0, 0, 0, 0, G_GINT64_CONSTANT(253402300799), 10000, 13000,
     10000 + (G_GUINT64_CONSTANT(253402300799) - WALL_S) * 1000, VCP_TENURE_RUNS},
    {"expired-first", 1, 1, 0, 0, WALL_S, 10000, 99000, 11000, VCP_TENURE_EXPIRED},
    {"all-the-longest", G_MAXUINT, G_MAXUINT, 0, 0, 0, 10000, 10000,
     10000 + G_MAXUINT *G_GUINT64_CONSTANT(1000), VCP_TENURE_RUNS},
};

static void
test_row(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    VcService service = {.idle_timeout_s = rows[i].service_idle_s,
                         .session_limit_s = rows[i].service_limit_s,
                         .expires_s = rows[i].expires_s};
    VcpTenure tenure = {.started_ms = 10000};
    VcpTenureTimes times = {
        .used_ms = rows[i].used_ms,
        .now_ms = rows[i].now_ms,
        .wall_ms = WALL_S * 1000 + (gint64)rows[i].now_ms - 10000,
    };

    vcp_tenure_set(&tenure, &service, rows[i].idle_s, rows[i].limit_s);
    g_assert_cmpint(vcp_tenure_check(&tenure, &times), ==, rows[i].end);
    guint64 due_ms = vcp_tenure_due(&tenure, &times);
    if (rows[i].end == VCP_TENURE_EXPIRED)
        g_assert_cmpuint(due_ms, <=, times.now_ms);
    else
        g_assert_cmpuint(due_ms, ==, rows[i].due_ms);
}

/* The wall's clock is set on: the token expires by that clock. */
static void
test_clock_is_set(void)
{
    VcService service = {.expires_s = WALL_S + 3600};
    VcpTenure tenure = {.started_ms = 0};
    VcpTenureTimes times = {.now_ms = 1000, .wall_ms = WALL_S * 1000};

    vcp_tenure_set(&tenure, &service, 0, 0);
    g_assert_cmpuint(vcp_tenure_due(&tenure, &times), ==, 3601000);
    times.wall_ms += 3599 * 1000;
    g_assert_cmpuint(vcp_tenure_due(&tenure, &times), ==, 2000);
    times.wall_ms += 3600 * 1000;
    g_assert_cmpint(vcp_tenure_check(&tenure, &times), ==, VCP_TENURE_EXPIRED);
}

/* What the service says later counts from then on. */
static void
test_set_anew(void)
{
    VcService service = {.session_limit_s = 10};
    VcpTenure tenure = {.started_ms = 5000};
    VcpTenureTimes times = {.now_ms = 16000};

    vcp_tenure_set(&tenure, &service, 0, 0);
    g_assert_cmpint(vcp_tenure_check(&tenure, &times), ==, VCP_TENURE_OVER);
    service.session_limit_s = 20;
    vcp_tenure_set(&tenure, &service, 0, 0);
    g_assert_cmpint(vcp_tenure_check(&tenure, &times), ==, VCP_TENURE_RUNS);
    g_assert_cmpuint(vcp_tenure_due(&tenure, &times), ==, 25000);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strconcat("/tenure/", rows[i].name, NULL);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_row);
    }
    g_test_add_func("/tenure/clock-is-set", test_clock_is_set);
    g_test_add_func("/tenure/set-anew", test_set_anew);
    return g_test_run();
}
