/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What virtconsoleresolverd was told: one validated struct. */
#pragma once

#include <glib.h>

typedef struct {
    char **listen_addr;
    gboolean listen_insecure;
    char *listen_tls_cert, *listen_tls_key, *listen_tls_ca;
    gboolean listen_no_verify_client;
    char **allowed_client; /* subjects or alternative names; empty: every verified client */
    char **connect;        /* URIs of libvirtd, each once */
    char **domain_address; /* as given: URI=HOST */
    gboolean verbose;
    char *log_level;
    gboolean version;

    /* Derived */
    GHashTable *addresses; /* URI → host */
    GLogLevelFlags shown;  /* level of the log */
} VcrConfig;

/* Parses the command line and checks whatever needs no file. Errors: VC_ERROR_CONFIG, one line
 * that names the flag. Main thread. */
VcrConfig *vcr_config_parse(int argc, char **argv, GError **error);

void vcr_config_free(VcrConfig *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrConfig, vcr_config_free)
