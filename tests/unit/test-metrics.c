/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Counters, histograms, and the text that is made of them. */
#include "common/metrics.h"

#include <string.h>

static void
test_counters(void)
{
    guint64 counter = 0;

    vc_count(&counter, 3);
    vc_count(&counter, (guint64)-1);
    g_assert_cmpuint(vc_counted(&counter), ==, 2);
    vc_count_shared(&counter, 40);
    g_assert_cmpuint(vc_counted(&counter), ==, 42);
}

static void
test_values(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    vc_metrics_one(text, "a_total", "counter", "What a is.", 7);
    vc_metrics_value(text, "b", "x=\"1\"", G_MAXUINT64);
    vc_metrics_real(text, "c", NULL, 0.25);
    g_assert_cmpstr(text->str, ==,
                    "# HELP a_total What a is.\n# TYPE a_total counter\na_total 7\n"
                    "b{x=\"1\"} 18446744073709551615\nc 0.25\n");
}

static void
test_label(void)
{
    g_autofree char *label = vc_metrics_label("uri", "a\"b\\c\nd");

    g_assert_cmpstr(label, ==, "uri=\"a\\\"b\\\\c\\nd\"");
}

static const struct {
    gint64 us;
    const char *bound; /* the first that holds it */
} durations[] = {
    {-5, "0.001"},      {0, "0.001"},
    {1000, "0.001"},    {1001, "0.0025"},
    {999999, "1"},      {1000000, "1"},
    {1000001, "2.5"},   {10000000, "10"},
    {10000001, "+Inf"}, {G_MAXINT64 / 2, "+Inf"},
};

static void
test_buckets(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(durations); i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        g_autofree char *line = g_strdup_printf("h_bucket{le=\"%s\"} 1\n", durations[i].bound);
        VcHistogram histogram = {0};

        vc_histogram_add(&histogram, durations[i].us);
        vc_metrics_histogram(text, "h", "What h is.", &histogram);
        const char *first = strstr(text->str, "} 1\n");
        g_assert_nonnull(first);
        g_assert_nonnull(strstr(text->str, line));
        g_assert_true(strstr(text->str, line) + strlen(line) == first + strlen("} 1\n"));
        g_assert_true(g_str_has_suffix(text->str, "\nh_count 1\n"));
    }
}

static void
test_merge(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    VcHistogram one = {0}, other = {0}, sum = {0};

    vc_histogram_add(&one, 500);
    vc_histogram_add(&one, 20000000);
    vc_histogram_add(&other, 500);
    vc_histogram_merge(&sum, &one);
    vc_histogram_merge(&sum, &other);
    vc_metrics_histogram(text, "h", "What h is.", &sum);
    g_assert_nonnull(strstr(text->str, "h_bucket{le=\"0.001\"} 2\n"));
    g_assert_nonnull(strstr(text->str, "h_bucket{le=\"10\"} 2\n"));
    g_assert_nonnull(strstr(text->str, "h_bucket{le=\"+Inf\"} 3\nh_sum 20.001000000000001\n"));
}

static guint64
value_of(const char *text, const char *name)
{
    g_autofree char *start = g_strdup_printf("\n%s ", name);
    const char *at = strstr(text, start);

    g_assert_nonnull(at);
    return g_ascii_strtoull(at + strlen(start), NULL, 10);
}

static void
test_process(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    vc_metrics_process(text);
    g_assert_cmpuint(value_of(text->str, "process_resident_memory_bytes"), >, 100000);
    g_assert_cmpuint(value_of(text->str, "process_open_fds"), >=, 3);
    g_assert_cmpuint(value_of(text->str, "process_open_fds"), <,
                     value_of(text->str, "process_max_fds"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/metrics/counters", test_counters);
    g_test_add_func("/metrics/values", test_values);
    g_test_add_func("/metrics/label", test_label);
    g_test_add_func("/metrics/buckets", test_buckets);
    g_test_add_func("/metrics/merge", test_merge);
    g_test_add_func("/metrics/process", test_process);
    return g_test_run();
}
