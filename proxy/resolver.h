/* SPDX-License-Identifier: LGPL-2.1-or-later
 * From a token to a service, by asking whoever knows: a file, or a resolver over HTTPS. */
#pragma once

#include <uv.h>

#include "common/service.h"
#include "proxy/config.h"

/* --- the file, shared by all workers, locked --- */

typedef struct VcpTokenFile VcpTokenFile;

/* Reads path: {"TOKEN": {service}, …}. NULL with VC_ERROR_CONFIG, which names tokens by their
 * ids only. */
VcpTokenFile *vcp_token_file_new(const char *path, GError **error);

/* Reads it again; where that fails the old table stays. Any thread. */
gboolean vcp_token_file_reload(VcpTokenFile *self, GError **error);

guint vcp_token_file_count(VcpTokenFile *self);

/* The token's service (full), or NULL where it has none. Any thread. */
VcService *vcp_token_file_look_up(VcpTokenFile *self, const char *token);

void vcp_token_file_free(VcpTokenFile *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcpTokenFile, vcp_token_file_free)

/* --- a worker's resolver --- */

typedef struct VcpResolver VcpResolver;
typedef struct VcpQuery VcpQuery;

/* service: not owned; NULL where error (not owned) says why: VC_ERROR_TOKEN or
 * VC_ERROR_RESOLVER. */
typedef void (*VcpResolved)(VcService *service, const GError *error, gpointer data);

typedef struct {
    /* The query's handle, or NULL where resolved was called before this returned. */
    VcpQuery *(*query)(VcpResolver *self, const char *token, VcpResolved resolved,
                       gpointer data);
    void (*cancel)(VcpResolver *self, VcpQuery *query);
    /* Another configuration from now on; renew: its certificates are others, so new queries go
     * over new connections. config: not owned. Not from within resolved. */
    void (*use)(VcpResolver *self, const VcpConfig *config, gboolean renew);
    void (*free)(VcpResolver *self);
} VcpResolverOps;

struct VcpResolver {
    const VcpResolverOps *ops;
};

/* Both: on the worker's thread. tokens, config: not owned. */
VcpResolver *vcp_resolver_file_new(VcpTokenFile *tokens);
VcpResolver *vcp_resolver_https_new(uv_loop_t *loop, const VcpConfig *config);
