/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What the resolver counts, one set for the process. Any thread. */
#pragma once

#include "resolver/registry.h"

/* A question for a token was answered with this HTTP status after so many microseconds. */
void vcr_metrics_query(unsigned status, gint64 us);

/* So long after libvirt told of a change the registry knew of it. */
void vcr_metrics_event(gint64 us);

/* Prometheus's text (full). hosts: URIs of libvirtd, by their numbers. */
char *vcr_metrics_text(char **hosts, VcrRegistry *registry);
