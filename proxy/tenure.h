/* SPDX-License-Identifier: LGPL-2.1-or-later
 * How long a session may last: until its token expires, while its client does something, for so
 * long at the most. Pure: the caller brings the time. */
#pragma once

#include "common/service.h"

typedef enum {
    VCP_TENURE_RUNS,
    VCP_TENURE_EXPIRED, /* the token has */
    VCP_TENURE_IDLE,    /* nothing came from the client for too long */
    VCP_TENURE_OVER,    /* it has lasted as long as it may */
} VcpTenureEnd;

typedef struct {
    guint64 started_ms;        /* when the session began; of the caller's monotonic clock */
    guint64 idle_ms, limit_ms; /* 0: no limit */
    gint64 expires_s;          /* seconds since 1970; 0: never */
} VcpTenure;

typedef struct {
    guint64 used_ms; /* when the client last sent something */
    guint64 now_ms;
    gint64 wall_ms; /* since 1970 */
} VcpTenureTimes;

/* What the service says, and where it says nothing these (0: no limit). */
void vcp_tenure_set(VcpTenure *self, const VcService *service, guint idle_s, guint limit_s);

/* When to check next, of the monotonic clock; G_MAXUINT64: never. What the client sends only
 * moves it on. */
guint64 vcp_tenure_due(const VcpTenure *self, const VcpTenureTimes *times);

VcpTenureEnd vcp_tenure_check(const VcpTenure *self, const VcpTenureTimes *times);
