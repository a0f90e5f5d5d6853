/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Certificates of hypervisors that were found good a moment ago. After a restart all clients
 * come back within seconds, to the same few hypervisors; judging a chain again is a quarter of
 * what a connection costs. Only "good" is remembered, for a minute: a certificate that runs out
 * in the meantime is accepted so much longer. Shared by the workers, locked. Any thread. */
#pragma once

#include <glib.h>

typedef struct VcVerdicts VcVerdicts;

VcVerdicts *vc_verdicts_new(void);
void vc_verdicts_free(VcVerdicts *self); /* nullable */

#define VC_VERDICT_SIZE 32

/* question: a SHA-256 of all that the verdict depends on. now_us: monotonic. */
gboolean vc_verdicts_know(VcVerdicts *self, const guint8 question[VC_VERDICT_SIZE],
                          gint64 now_us);
void vc_verdicts_add(VcVerdicts *self, const guint8 question[VC_VERDICT_SIZE], gint64 now_us);
