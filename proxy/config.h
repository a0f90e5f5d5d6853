/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What virtconsoleproxyd was told: one validated struct. */
#pragma once

#include "common/daemon-options.h"
#include "proxy/store-address.h"
#include "proxy/targets.h"
#include "proxy/trust.h"

typedef enum {
    VCP_PROXY_HEADER_OFF,
    VCP_PROXY_HEADER_OPTIONAL, /* read where a trusted proxy sends one */
    VCP_PROXY_HEADER_REQUIRED, /* only trusted proxies are served, and only with one */
} VcpProxyHeaderUse;

/* Immutable, counted; a reload makes another one. */
typedef struct {
    int refs; /* atomic */

    char **listen_addr;
    gboolean listen_insecure;
    char *listen_tls_cert, *listen_tls_key, *listen_tls_ca;
    char *listen_tls_crl; /* nullable */
    gboolean listen_verify_client;
    char *listen_min_tls;       /* as given; see min_tls */
    char *listen_cipher_suites; /* nullable; as given, see ciphers_* */

    char **trusted_proxy; /* as given; see trust */
    char *proxy_protocol; /* as given; see proxy_header */

    gboolean connect_insecure;
    char **allowed_target; /* see targets.h */
    char *connect_tls_cert, *connect_tls_key, *connect_tls_ca;
    char *connect_tls_crl; /* nullable */

    char **admin_addr;                                   /* empty: none */
    char *admin_tls_cert, *admin_tls_key, *admin_tls_ca; /* nullable */

    char *resolver_mode; /* "builtin" or "external" */
    char *resolver_tokens;
    char *resolver_uri;
    gboolean resolver_insecure;
    char *resolver_tls_cert, *resolver_tls_key, *resolver_tls_ca;

    char *token_use; /* "single" or "multi"; see is_single_use */
    guint spent_ttl_s, reconnect_window_s;
    char *store;               /* as given; see store_address */
    char *store_password_file; /* nullable */
    gboolean store_insecure;
    char *store_tls_cert, *store_tls_key, *store_tls_ca;

    char **allowed_origin; /* normalised; empty: the request's own origin */
    gboolean require_origin;
    char *web_dir; /* nullable; resolved to an absolute path without links */

    guint workers;
    guint serial_grace_ms;
    guint connect_timeout_s, handshake_timeout_s, resolver_timeout_s, keepalive_s,
        write_timeout_s;
    guint drain_timeout_s;
    guint recheck_s, idle_timeout_s, session_limit_s; /* 0: never */
    guint max_sessions, max_sessions_per_token, max_sessions_per_console,
        max_sessions_per_address; /* 0: no limit */
    guint token_failures;         /* 0: no limit */

    char *audit_log; /* nullable */
    VcDaemonOptions common;

    /* Derived */
    gboolean admin_is_default;      /* the address is: it may be missing */
    VcpStoreAddress *store_address; /* NULL: in memory; without what is in the password file */
    gboolean is_single_use;
    VcpTrust *trust;
    VcpTargets *targets; /* our own listeners are added once they are known */
    VcpProxyHeaderUse proxy_header;
    gboolean any_origin;  /* --allowed-origin '*' */
    int min_tls, max_tls; /* OpenSSL version numbers */
    char *ciphers_tls12;  /* nullable; OpenSSL's names, for TLS 1.2 */
    char *ciphers_tls13;  /* nullable */
} VcpConfig;

/* Reads the command line, and the file that it names, and checks whatever needs no other file.
 * Errors: VC_ERROR_CONFIG, one line that names the flag, or file, line and key. Main thread. */
VcpConfig *vcp_config_parse(int argc, char **argv, GError **error);

/* Reads the same once more, and logs which options have changed that count at the start only.
 */
VcpConfig *vcp_config_reload(const VcpConfig *started, GError **error);

VcpConfig *vcp_config_ref(VcpConfig *self);
void vcp_config_unref(VcpConfig *self); /* nullable */

/* Whether tokens come from a file, and not from a resolver. */
static inline gboolean
vcp_config_has_token_file(const VcpConfig *self)
{
    return g_strcmp0(self->resolver_mode, "builtin") == 0;
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpConfig, vcp_config_unref)
