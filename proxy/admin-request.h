/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One request of an administrator. On the main thread. */
#pragma once

#include <gnutls/x509.h>
#include <microhttpd.h>

#include "proxy/admin.h"

/* What requests share. */
typedef struct {
    VcpAdminSetup setup;
    uv_async_t wake;                /* workers have answered */
    GQueue waiting;                 /* of requests that wait for them */
    gint64 began_us;                /* since 1970 */
    gnutls_x509_trust_list_t trust; /* the administrators' CA; NULL: unix sockets only */
} VcpAdminContext;

/* For MHD_start_daemon(); cls: the VcpAdminContext. */
enum MHD_Result vcp_admin_handle(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *body,
                                 size_t *body_size, void **request);
void vcp_admin_completed(void *cls, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code);

/* Lets the requests go on whose workers have answered, or that waited for too long; all: the
 * others too. The servers must run afterwards. */
void vcp_admin_resume(VcpAdminContext *context, gboolean all);

/* When one of them has waited for too long, in loop time; 0: none waits. */
guint64 vcp_admin_deadline_ms(const VcpAdminContext *context);
