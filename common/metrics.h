/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Numbers that one thread writes and another reads, and the text that Prometheus wants of them
 * (text format 0.0.4). */
#pragma once

#include <glib.h>

/* A counter with one writer, on its thread; negative n by wrapping around. */
static inline void
vc_count(guint64 *counter, guint64 n)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/* A counter with several writers. */
static inline void
vc_count_shared(guint64 *counter, guint64 n)
{
    __atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

/* Any thread. */
static inline guint64
vc_counted(const guint64 *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#define VC_HISTOGRAM_BOUNDS 13

/* Of durations. */
typedef struct {
    guint64 counts[VC_HISTOGRAM_BOUNDS + 1]; /* by bound; the last: above all */
    guint64 sum_us;
} VcHistogram;

/* us: microseconds; below 0 counts as 0. Any thread. */
void vc_histogram_add(VcHistogram *self, gint64 us);

/* Adds what from has counted; self: of the caller alone. */
void vc_histogram_merge(VcHistogram *self, const VcHistogram *from);

/* The lines ahead of a metric's values. type: "counter" or "gauge". */
void vc_metrics_head(GString *text, const char *name, const char *type, const char *help);

/* A value; labels: nullable, such as type="vnc"; values that are not ours go through
 * vc_metrics_label(). */
void vc_metrics_value(GString *text, const char *name, const char *labels, guint64 value);
void vc_metrics_real(GString *text, const char *name, const char *labels, double value);

/* Head and value of a metric that has but one. */
void vc_metrics_one(GString *text, const char *name, const char *type, const char *help,
                    guint64 value);

/* All of a histogram, in seconds. */
void vc_metrics_histogram(GString *text, const char *name, const char *help,
                          const VcHistogram *histogram);

/* name="value" (full), with what must be escaped. */
char *vc_metrics_label(const char *name, const char *value);

/* The process itself, by the names that are usual: process_cpu_seconds_total and so on. */
void vc_metrics_process(GString *text);
