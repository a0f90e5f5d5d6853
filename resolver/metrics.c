/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Counters, and the names that they have outside. */
#include "resolver/metrics.h"

#include "common/metrics.h"
#include "vc-build.h"

#define PREFIX "virtconsoleresolver_"

static const unsigned statuses[] = {200, 400, 401, 403, 404, 503};

static guint64 queries[G_N_ELEMENTS(statuses)];
static VcHistogram query_time, event_lag;

void
vcr_metrics_query(unsigned status, gint64 us)
{
    for (gsize i = 0; i < G_N_ELEMENTS(statuses); i++) {
        if (statuses[i] == status)
            vc_count_shared(&queries[i], 1);
    }
    vc_histogram_add(&query_time, us);
}

void
vcr_metrics_event(gint64 us)
{
    vc_histogram_add(&event_lag, us);
}

/* --- the text --- */

typedef guint (*Figure)(const VcrHostFigures *figures);

static guint
is_connected(const VcrHostFigures *figures)
{
    return figures->is_connected;
}

static guint
is_listed(const VcrHostFigures *figures)
{
    return figures->is_listed;
}

static guint
count_guests(const VcrHostFigures *figures)
{
    return figures->guests;
}

static guint
count_consoles(const VcrHostFigures *figures)
{
    return figures->consoles;
}

static const struct {
    const char *name, *help;
    Figure figure;
} rows[] = {
    {PREFIX "host_connected", "Whether the libvirtd is connected.", is_connected},
    {PREFIX "host_listed", "Whether all of its guests are known, so that it is answered for.",
     is_listed},
    {PREFIX "domains", "Guests that have a console with a token.", count_guests},
    {PREFIX "consoles", "Consoles that have a token.", count_consoles},
};

static void
write_hosts(GString *text, char **hosts, VcrRegistry *registry)
{
    guint n = g_strv_length(hosts);
    g_autofree VcrHostFigures *figures = g_new0(VcrHostFigures, n);

    for (guint i = 0; i < n; i++)
        vcr_registry_count_host(registry, i, &figures[i]);
    for (gsize row = 0; row < G_N_ELEMENTS(rows); row++) {
        vc_metrics_head(text, rows[row].name, "gauge", rows[row].help);
        for (guint i = 0; i < n; i++) {
            g_autofree char *label = vc_metrics_label("host", hosts[i]);
            vc_metrics_value(text, rows[row].name, label, rows[row].figure(&figures[i]));
        }
    }
}

static void
write_queries(GString *text)
{
    vc_metrics_head(text, PREFIX "queries_total", "counter",
                    "Questions for tokens, by HTTP status of the answer.");
    for (gsize i = 0; i < G_N_ELEMENTS(statuses); i++) {
        g_autofree char *label = g_strdup_printf("status=\"%u\"", statuses[i]);
        vc_metrics_value(text, PREFIX "queries_total", label, vc_counted(&queries[i]));
    }
    vc_metrics_histogram(text, PREFIX "query_seconds",
                         "How long questions for tokens took to answer.", &query_time);
    vc_metrics_histogram(text, PREFIX "event_lag_seconds",
                         "From libvirt's word that a guest has changed to the token table.",
                         &event_lag);
}

char *
vcr_metrics_text(char **hosts, VcrRegistry *registry)
{
    GString *text = g_string_new(NULL);
    g_autofree char *version = vc_metrics_label("version", VC_VERSION);

    vc_metrics_head(text, PREFIX "build_info", "gauge",
                    "Always 1; the label tells the version.");
    vc_metrics_value(text, PREFIX "build_info", version, 1);
    vc_metrics_one(text, PREFIX "ready", "gauge", "Whether every libvirtd is answered for.",
                   vcr_registry_is_ready(registry));
    write_hosts(text, hosts, registry);
    write_queries(text);
    vc_metrics_process(text);
    return g_string_free(text, FALSE);
}
