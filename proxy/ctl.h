/* SPDX-License-Identifier: LGPL-2.1-or-later
 * virtconsoleproxyctl: its commands, and what they are told. */
#pragma once

#include <jansson.h>

#include "common/options.h"

typedef struct {
    char *socket; /* nullable: the usual one */
    gboolean version;

    /* status, sessions */
    gboolean json;
    /* sessions */
    gboolean watch;
    guint interval_s;
    /* drain */
    char *timeout; /* nullable: as the daemon is set */
} VcpCtlOptions;

/* The exit statuses. */
#define VCP_CTL_DONE    0
#define VCP_CTL_FAILED  1
#define VCP_CTL_USAGE   2
#define VCP_CTL_MISSING 3 /* there is no such session */

/* The whole program; returns its exit status. */
int vcp_ctl_main(int argc, char **argv);

/* --- the daemon --- */

typedef struct {
    long status;
    char *body; /* full, NUL-terminated */
} VcpCtlAnswer;

/* One request on the socket. FALSE: nobody answered, or what came is no answer. */
gboolean vcp_ctl_ask(const char *socket, const char *method, const char *path,
                     VcpCtlAnswer *answer, GError **error);

/* GET /status, parsed; NULL with an error. */
json_t *vcp_ctl_status(const char *socket, GError **error);

/* --- what people read --- */

/* status: the daemon's; now_s: since 1970. The text (full) shows nothing that a terminal would
 * take for a command. */
char *vcp_ctl_summary(const json_t *status, gint64 now_s);

/* The sessions as a table with a head. rows: lines that there is room for, 0: any number. */
char *vcp_ctl_table(const json_t *status, gint64 now_s, guint rows);
