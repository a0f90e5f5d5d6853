/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Limits of each kind, and counts that come back to nothing. */
#include "proxy/session-limits.h"

#include <string.h>

#include "common/error.h"

#define N_THREADS 4
#define N_ROUNDS  20000

static VcpSlot *
must_enter(VcpLimits *limits, const char *address, const char *token)
{
    g_autoptr(GError) error = NULL;
    VcpSlot *slot = vcp_limits_enter(limits, address, token, &error);

    g_assert_no_error(error);
    g_assert_nonnull(slot);
    return slot;
}

static void
assert_refused(VcpLimits *limits, const char *address, const char *token, VcError code,
               const char *limit)
{
    g_autoptr(GError) error = NULL;
    guint before = vcp_limits_count(limits);

    g_assert_null(vcp_limits_enter(limits, address, token, &error));
    g_assert_error(error, VC_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, limit));
    g_assert_cmpuint(vcp_limits_count(limits), ==, before);
}

static void
test_total(void)
{
    g_autoptr(VcpLimits) limits = vcp_limits_new((VcpLimitValues){.total = 2});
    VcpSlot *one = must_enter(limits, "a", "t");
    VcpSlot *two = must_enter(limits, NULL, "u");

    g_assert_cmpuint(vcp_limits_count(limits), ==, 2);
    assert_refused(limits, "b", "v", VC_ERROR_FULL, "--max-sessions is");
    vcp_slot_free(one);
    g_assert_cmpuint(vcp_limits_count(limits), ==, 1);
    one = must_enter(limits, "b", "v");
    vcp_slot_free(one);
    vcp_slot_free(two);
    g_assert_cmpuint(vcp_limits_count(limits), ==, 0);
}

/* Those that are there stay and count, also where nothing was limited when they came. */
static void
test_set(void)
{
    g_autoptr(VcpLimits) limits = vcp_limits_new((VcpLimitValues){0});
    VcpSlot *one = must_enter(limits, "a", "t");
    VcpSlot *two = must_enter(limits, "a", "t");

    vcp_limits_set(limits, (VcpLimitValues){.per_address = 2});
    assert_refused(limits, "a", "u", VC_ERROR_TOO_MANY, "--max-sessions-per-address");
    vcp_limits_set(limits, (VcpLimitValues){.per_token = 1});
    assert_refused(limits, "b", "t", VC_ERROR_TOO_MANY, "--max-sessions-per-token");
    vcp_limits_set(limits, (VcpLimitValues){.total = 1});
    vcp_slot_free(one);
    assert_refused(limits, "b", "u", VC_ERROR_FULL, "--max-sessions is");
    vcp_slot_free(two);
    vcp_slot_free(must_enter(limits, "b", "u"));
    g_assert_cmpuint(vcp_limits_count(limits), ==, 0);
}

static void
test_per_address(void)
{
    g_autoptr(VcpLimits) limits = vcp_limits_new((VcpLimitValues){.per_address = 2});
    VcpSlot *slots[] = {
        must_enter(limits, "a", "t"),
        must_enter(limits, "a", "u"),
        must_enter(limits, "b", "t"),
        /* Behind a unix socket nobody has an address. */
        must_enter(limits, NULL, "t"),
        must_enter(limits, NULL, "t"),
        must_enter(limits, NULL, "t"),
    };

    assert_refused(limits, "a", "v", VC_ERROR_TOO_MANY, "--max-sessions-per-address");
    vcp_slot_free(slots[1]);
    slots[1] = must_enter(limits, "a", "v");
    assert_refused(limits, "a", "w", VC_ERROR_TOO_MANY, "--max-sessions-per-address");
    for (gsize i = 0; i < G_N_ELEMENTS(slots); i++)
        vcp_slot_free(slots[i]);
    g_assert_cmpuint(vcp_limits_count(limits), ==, 0);
}

static void
test_per_token(void)
{
    g_autoptr(VcpLimits) limits =
        vcp_limits_new((VcpLimitValues){.per_token = 1, .per_address = 2});
    VcpSlot *one = must_enter(limits, "a", "t");

    /* A refusal for the token must not use the address up. */
    for (int i = 0; i < 5; i++)
        assert_refused(limits, "a", "t", VC_ERROR_TOO_MANY, "--max-sessions-per-token");
    VcpSlot *two = must_enter(limits, "a", "u");
    assert_refused(limits, "a", "v", VC_ERROR_TOO_MANY, "--max-sessions-per-address");
    assert_refused(limits, NULL, "t", VC_ERROR_TOO_MANY, "--max-sessions-per-token");
    vcp_slot_free(one);
    one = must_enter(limits, "b", "t");
    vcp_slot_free(one);
    vcp_slot_free(two);
}

static void
test_per_console(void)
{
    g_autoptr(VcpLimits) limits = vcp_limits_new((VcpLimitValues){.per_console = 1});
    g_autoptr(GError) error = NULL;
    VcpSlot *one = must_enter(limits, "a", "t");
    VcpSlot *two = must_enter(limits, "a", "t");

    g_assert_true(vcp_slot_enter_console(one, "host:5900", NULL));
    g_assert_false(vcp_slot_enter_console(two, "host:5900", &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_IN_USE);
    g_assert_true(vcp_slot_enter_console(two, "host:5901", NULL));
    vcp_slot_free(one);
    one = must_enter(limits, "a", "t");
    g_assert_true(vcp_slot_enter_console(one, "host:5900", NULL));
    vcp_slot_free(one);
    vcp_slot_free(two);
}

static void
test_unlimited(void)
{
    g_autoptr(VcpLimits) limits = vcp_limits_new((VcpLimitValues){0});
    VcpSlot *slots[1000];

    for (gsize i = 0; i < G_N_ELEMENTS(slots); i++) {
        slots[i] = must_enter(limits, "a", "t");
        g_assert_true(vcp_slot_enter_console(slots[i], "host:5900", NULL));
    }
    g_assert_cmpuint(vcp_limits_count(limits), ==, G_N_ELEMENTS(slots));
    for (gsize i = 0; i < G_N_ELEMENTS(slots); i++)
        vcp_slot_free(slots[i]);
    g_assert_cmpuint(vcp_limits_count(limits), ==, 0);
    vcp_slot_free(NULL);
}

/* --- many threads at once --- */

typedef struct {
    VcpLimits *limits;
    int index;
    guint entered;
    guint refused;
} Hammer;

static const char *const keys[] = {"a", "b", "c"};

static gpointer
hammer(gpointer data)
{
    Hammer *self = data;
    GRand *random = g_rand_new_with_seed((guint32)self->index);

    for (int i = 0; i < N_ROUNDS; i++) {
        const char *address = keys[g_rand_int_range(random, 0, 3)];
        const char *token = keys[g_rand_int_range(random, 0, 3)];
        VcpSlot *slot = vcp_limits_enter(self->limits, address, token, NULL);
        if (slot != NULL && vcp_slot_enter_console(slot, keys[i % 3], NULL))
            self->entered++;
        else
            self->refused++;
        g_assert_cmpuint(vcp_limits_count(self->limits), <=, 3);
        vcp_slot_free(slot);
    }
    g_rand_free(random);
    return NULL;
}

static void
test_threads(void)
{
    VcpLimitValues values = {.total = 3, .per_address = 2, .per_token = 2, .per_console = 1};
    g_autoptr(VcpLimits) limits = vcp_limits_new(values);
    Hammer hammers[N_THREADS];
    GThread *threads[N_THREADS];
    guint entered = 0;

    for (int i = 0; i < N_THREADS; i++) {
        hammers[i] = (Hammer){.limits = limits, .index = i};
        threads[i] = g_thread_new("hammer", hammer, &hammers[i]);
    }
    for (int i = 0; i < N_THREADS; i++) {
        g_thread_join(threads[i]);
        g_assert_cmpuint(hammers[i].entered + hammers[i].refused, ==, N_ROUNDS);
        entered += hammers[i].entered;
    }
    /* One alone may have been kept out by another that had no processor to leave with. */
    g_assert_cmpuint(entered, >, 0);
    g_assert_cmpuint(vcp_limits_count(limits), ==, 0);

    /* No count was left behind: every place is free again. */
    VcpSlot *slots[] = {must_enter(limits, "a", "b"), must_enter(limits, "a", "c"),
                        must_enter(limits, "b", "b")};
    for (gsize i = 0; i < G_N_ELEMENTS(slots); i++) {
        g_assert_true(vcp_slot_enter_console(slots[i], keys[i], NULL));
        g_assert_null(vcp_limits_enter(limits, "c", "a", NULL));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(slots); i++)
        vcp_slot_free(slots[i]);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-limits/total", test_total);
    g_test_add_func("/session-limits/set", test_set);
    g_test_add_func("/session-limits/per-address", test_per_address);
    g_test_add_func("/session-limits/per-token", test_per_token);
    g_test_add_func("/session-limits/per-console", test_per_console);
    g_test_add_func("/session-limits/unlimited", test_unlimited);
    g_test_add_func("/session-limits/threads", test_threads);
    return g_test_run();
}
