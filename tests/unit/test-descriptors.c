/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/descriptors.h"

#include <sys/resource.h>

static struct rlimit
limit_of_now(void)
{
    struct rlimit limit;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    return limit;
}

static void
set(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {soft, hard};

    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

/* Each makes the hard limit lower, which nobody can undo: in this order. */
static void
test_raise(void)
{
    set(64, 512);
    g_assert_cmpuint(vc_descriptors_raise(100), ==, 100);
    g_assert_cmpuint(limit_of_now().rlim_cur, ==, 100);
    g_assert_cmpuint(vc_descriptors_raise(80), ==, 100);
    g_assert_cmpuint(vc_descriptors_raise(1000), ==, 512);
    set(64, 256);
    g_assert_cmpuint(vc_descriptors_raise(0), ==, 256);
    g_assert_cmpuint(limit_of_now().rlim_max, ==, 256);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/descriptors/raise", test_raise);
    return g_test_run();
}
