/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The admin listener: who reaches it may see every session and end it. On the main thread's
 * loop; nothing of it is on the workers' way. */
#pragma once

#include "proxy/worker.h"

typedef struct {
    const VcpShared *shared;
    uv_loop_t *loop;
    VcpWorker **workers;
    guint n_workers;
    void (*listening)(int fd, gpointer data);      /* at one more socket, before this returns */
    void (*drain)(guint timeout_s, gpointer data); /* called once or more often */
    gpointer data;
} VcpAdminSetup;

typedef struct VcpAdmin VcpAdmin;

/* Whether its addresses and files will do, without listening. Errors: VC_ERROR_CONFIG. */
gboolean vcp_admin_check(const VcpConfig *config, GError **error);

/* Listens at --admin-addr. A default address that cannot be had is a warning, all else is
 * VC_ERROR_CONFIG. What setup points to: not owned. */
VcpAdmin *vcp_admin_new(const VcpAdminSetup *setup, GError **error);

/* Closes it; before vcp_worker_stop(). nullable, and harmless the second time. */
void vcp_admin_stop(VcpAdmin *self);

/* After the workers are freed; the loop must run once more. nullable */
void vcp_admin_free(VcpAdmin *self);
