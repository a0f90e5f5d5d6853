/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What virtconsoleresolverd was told: one validated struct. */
#pragma once

#include "common/daemon-options.h"

/* Immutable, counted; a reload makes another one. */
typedef struct {
    int refs; /* atomic */
    char **listen_addr;
    gboolean listen_insecure;
    char *listen_tls_cert, *listen_tls_key, *listen_tls_ca;
    char *listen_tls_crl; /* nullable */
    gboolean listen_no_verify_client;
    char **allowed_client; /* subjects or alternative names; empty: every verified client */
    char **connect;        /* URIs of libvirtd, each once */
    char **domain_address; /* as given: URI=HOST */
    VcDaemonOptions common;

    /* Derived */
    GHashTable *addresses; /* URI → host */
} VcrConfig;

/* Reads the command line, and the file that it names, and checks whatever needs no other file.
 * Errors: VC_ERROR_CONFIG, one line that names the flag, or file, line and key. Main thread. */
VcrConfig *vcr_config_parse(int argc, char **argv, GError **error);

/* Reads the same once more, and logs which options have changed that count at the start only.
 */
VcrConfig *vcr_config_reload(const VcrConfig *started, GError **error);

VcrConfig *vcr_config_ref(VcrConfig *self);
void vcr_config_unref(VcrConfig *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrConfig, vcr_config_unref)
