/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Who was at which console, and when: one record at a session's start and one at its end, in a
 * file of JSON lines or in the journal. A start always gets its end, be it by the next process
 * where this one is killed. Never a token. */
#pragma once

#include "common/error.h"
#include "proxy/session.h"

typedef struct VcpAudit VcpAudit;

/* file: nullable; then it is the journal where standard error leads there, else nowhere: NULL
 * without an error. Records the ends that a process before this one left out. Errors:
 * VC_ERROR_CONFIG. Main thread. */
VcpAudit *vcp_audit_new(const char *file, GError **error);

/* Opens the file anew, which may have been moved away; where that fails the old one stays. */
gboolean vcp_audit_reopen(VcpAudit *self /* nullable */, GError **error);

void vcp_audit_free(VcpAudit *self); /* nullable */

/* The session has begun; what is returned is for vcp_audit_end(). self: nullable. Any thread,
 * as the next. */
guint vcp_audit_start(VcpAudit *self, const VcpSessionInfo *info);

void vcp_audit_end(VcpAudit *self, guint ticket, const VcpSessionInfo *info, double seconds,
                   VcError code);
