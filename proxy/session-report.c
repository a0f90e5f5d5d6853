/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What the log, the audit log, administrators and metrics are told of a session. */
#include "proxy/session-parts.h"

gboolean
vcp_session_describe(const VcpSession *self, VcpSessionInfo *info)
{
    if (self->id == 0)
        return FALSE;
    *info = (VcpSessionInfo){
        .id = self->id,
        .token_id = self->token_id,
        .client = self->client,
        .console = self->service->address,
        .state = vcp_metrics_state_name(self->state),
        .type = self->service->type,
        .began_us = self->began_us,
        .bytes_in = self->ends[VCP_TENANT]->bytes_in,
        .bytes_out = self->ends[VCP_TENANT]->bytes_out,
    };
    return TRUE;
}

void
vcp_session_log_start(VcpSession *self)
{
    VcpSessionInfo info;

    vcp_session_describe(self, &info);
    self->audit_ticket = vcp_audit_start(vcp_worker_shared(self->worker)->audit, &info);
    g_info("session %" G_GUINT64_FORMAT " started: token %s client %s console %s %s", self->id,
           self->token_id, self->client, vc_console_type_name(self->service->type),
           self->service->address);
}

void
vcp_session_log_end(const VcpSession *self)
{
    VcError code = vc_error_code(self->reason);

    if (self->id == 0) {
        g_log(G_LOG_DOMAIN, vc_error_log_level(code),
              "refused: token %s client %s code %u reason %s: %s", self->token_id, self->client,
              vc_error_close_code(code), vc_error_name(code), self->reason->message);
        return;
    }
    VcpSessionInfo info;
    double seconds = (double)(now_ms(self) - self->started_ms) / 1000;
    vcp_session_describe(self, &info);
    vcp_audit_end(vcp_worker_shared(self->worker)->audit, self->audit_ticket, &info, seconds,
                  code);
    g_log(G_LOG_DOMAIN, vc_error_log_level(code),
          "session %" G_GUINT64_FORMAT
          " ended: token %s client %s console %s %s seconds %.1f received %" G_GUINT64_FORMAT
          " sent %" G_GUINT64_FORMAT " code %u reason %s: %s",
          self->id, self->token_id, self->client, vc_console_type_name(self->service->type),
          self->service->address, seconds, self->ends[VCP_TENANT]->bytes_in,
          self->ends[VCP_TENANT]->bytes_out, vc_error_close_code(code), vc_error_name(code),
          self->reason->message);
}

void
vcp_session_count_end(VcpSession *self)
{
    VcError code = vc_error_code(self->reason);

    vcp_metrics_session_gone(&self->place);
    if (self->id != 0)
        vcp_metrics_ended(code);
    if (!self->was_spliced)
        vcp_metrics_failed(code);
}
