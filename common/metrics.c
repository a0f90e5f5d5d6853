/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Histograms, and the text format. */
#include "common/metrics.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
    gint64 us;
    const char *seconds;
} bounds[VC_HISTOGRAM_BOUNDS] = {
    {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"}, {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"}, {1000000, "1"},
    {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
};

void
vc_histogram_add(VcHistogram *self, gint64 us)
{
    gsize i = 0;

    us = MAX(us, 0);
    while (i < VC_HISTOGRAM_BOUNDS && us > bounds[i].us)
        i++;
    vc_count_shared(&self->counts[i], 1);
    vc_count_shared(&self->sum_us, (guint64)us);
}

void
vc_histogram_merge(VcHistogram *self, const VcHistogram *from)
{
    for (gsize i = 0; i < G_N_ELEMENTS(self->counts); i++)
        self->counts[i] += vc_counted(&from->counts[i]);
    self->sum_us += vc_counted(&from->sum_us);
}

void
vc_metrics_head(GString *text, const char *name, const char *type, const char *help)
{
    g_string_append_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
append_name(GString *text, const char *name, const char *labels)
{
    if (labels != NULL)
        g_string_append_printf(text, "%s{%s} ", name, labels);
    else
        g_string_append_printf(text, "%s ", name);
}

void
vc_metrics_value(GString *text, const char *name, const char *labels, guint64 value)
{
    append_name(text, name, labels);
    g_string_append_printf(text, "%" G_GUINT64_FORMAT "\n", value);
}

void
vc_metrics_real(GString *text, const char *name, const char *labels, double value)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];

    append_name(text, name, labels);
    g_string_append_printf(text, "%s\n", g_ascii_dtostr(number, sizeof number, value));
}

void
vc_metrics_one(GString *text, const char *name, const char *type, const char *help,
               guint64 value)
{
    vc_metrics_head(text, name, type, help);
    vc_metrics_value(text, name, NULL, value);
}

void
vc_metrics_histogram(GString *text, const char *name, const char *help,
                     const VcHistogram *histogram)
{
    g_autofree char *bucket = g_strconcat(name, "_bucket", NULL);
    g_autofree char *sum = g_strconcat(name, "_sum", NULL);
    g_autofree char *count = g_strconcat(name, "_count", NULL);
    guint64 total = 0;

    vc_metrics_head(text, name, "histogram", help);
    for (gsize i = 0; i <= VC_HISTOGRAM_BOUNDS; i++) {
        g_autofree char *labels =
            g_strdup_printf("le=\"%s\"", i < VC_HISTOGRAM_BOUNDS ? bounds[i].seconds : "+Inf");
        total += vc_counted(&histogram->counts[i]);
        vc_metrics_value(text, bucket, labels, total);
    }
    vc_metrics_real(text, sum, NULL, (double)vc_counted(&histogram->sum_us) / 1e6);
    vc_metrics_value(text, count, NULL, total);
}

char *
vc_metrics_label(const char *name, const char *value)
{
    GString *text = g_string_new(name);

    g_string_append(text, "=\"");
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '\n')
            g_string_append(text, "\\n");
        else if (*at == '"' || *at == '\\')
            g_string_append_printf(text, "\\%c", *at);
        else
            g_string_append_c(text, *at);
    }
    g_string_append_c(text, '"');
    return g_string_free(text, FALSE);
}

/* --- the process --- */

static double
seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static guint64
resident_bytes(void)
{
    g_autofree char *text = NULL;
    unsigned long size, resident;

    if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL) ||
        sscanf(text, "%lu %lu", &size, &resident) != 2)
        return 0;
    return (guint64)resident * (guint64)sysconf(_SC_PAGESIZE);
}

static guint64
open_descriptors(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint64 n = 0;

    while (dir != NULL && g_dir_read_name(dir) != NULL)
        n++;
    return n > 0 ? n - 1 : 0; /* without the directory's own */
}

void
vc_metrics_process(GString *text)
{
    struct rusage usage = {0};
    struct rlimit limit = {0};

    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &limit);
    vc_metrics_head(text, "process_cpu_seconds_total", "counter",
                    "Processor time, user and system.");
    vc_metrics_real(text, "process_cpu_seconds_total", NULL,
                    seconds(usage.ru_utime) + seconds(usage.ru_stime));
    vc_metrics_one(text, "process_resident_memory_bytes", "gauge", "Memory in use.",
                   resident_bytes());
    vc_metrics_one(text, "process_open_fds", "gauge", "Open descriptors.", open_descriptors());
    vc_metrics_one(text, "process_max_fds", "gauge", "Descriptors that may be open.",
                   (guint64)limit.rlim_cur);
}
