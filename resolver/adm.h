/* SPDX-License-Identifier: LGPL-2.1-or-later
 * virtconsoleresolveradm: its commands, and what they are told. */
#pragma once

#include <libvirt/libvirt.h>

#include "resolver/adm-plan.h"

typedef struct {
    char *connect; /* URI of the libvirtd */
    gboolean version;

    /* enable */
    gboolean insecure;
    char *host;
    gboolean single_use;
    gboolean power_control;
    char *expires;
    char *tls_server_name;
    /* enable, url */
    char *type;
    /* url */
    char *proxy;
    guint port;
    /* status */
    gboolean json;
    /* prune */
    gboolean dry_run;
} VcrAdmOptions;

/* The exit statuses. */
#define VCR_ADM_DONE   0
#define VCR_ADM_FAILED 1
#define VCR_ADM_USAGE  2

/* The whole program; returns its exit status. */
int vcr_adm_main(int argc, char **argv);

/* A command. domain: as given, NULL where it was not. check looks at options alone, errors are
 * wrong usage; run does it. Results go to standard output, notes to standard error. */
gboolean vcr_adm_enable_check(const VcrAdmOptions *options, GError **error);
gboolean vcr_adm_enable(virConnectPtr connection, const VcrAdmOptions *options,
                        const char *domain, GError **error);
gboolean vcr_adm_disable(virConnectPtr connection, const VcrAdmOptions *options,
                         const char *domain, GError **error);
gboolean vcr_adm_rotate(virConnectPtr connection, const VcrAdmOptions *options,
                        const char *domain, GError **error);
gboolean vcr_adm_status(virConnectPtr connection, const VcrAdmOptions *options,
                        const char *domain, GError **error);
gboolean vcr_adm_url_check(const VcrAdmOptions *options, GError **error);
gboolean vcr_adm_url(virConnectPtr connection, const VcrAdmOptions *options, const char *domain,
                     GError **error);
gboolean vcr_adm_prune(virConnectPtr connection, const VcrAdmOptions *options,
                       const char *domain, GError **error);

/* A line on standard error. */
void vcr_adm_note(const char *format, ...) G_GNUC_PRINTF(1, 2);
