/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The builtin resolver: a JSON file of tokens, held as a table of their digests. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/resolver.h"

struct VcpTokenFile {
    char *path;
    uv_mutex_t lock;
    GHashTable *services; /* digest → VcService */
};

static void
wrong(GError **error, const char *path, const char *what)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s: %s (see --resolver-tokens)", path, what);
}

static void
warn_if_public(const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & S_IRWXO) != 0)
        g_warning("%s holds tokens and is open to every user of this machine: chmod o= it",
                  path);
}

static gboolean
add(GHashTable *services, const char *path, const char *token, const json_t *json,
    GError **error)
{
    char digest[VC_TOKEN_DIGEST_SIZE], id[VC_TOKEN_ID_SIZE];
    g_autoptr(GError) why = NULL;

    vc_token_id(token, id);
    VcService *service = vc_token_is_valid(token) ? vc_service_from_json(json, &why) : NULL;
    if (service == NULL) {
        g_set_error(
            error, VC_ERROR, VC_ERROR_CONFIG,
            "%s: entry of the token with id %s: %s (see --resolver-tokens)", path, id,
            why != NULL
                ? why->message
                : "not a valid token (1 to 256 printable ASCII characters without / \\ ? #)");
        return FALSE;
    }
    vc_token_digest(token, digest);
    g_hash_table_replace(services, g_strdup(digest), service);
    return TRUE;
}

/* Line and column are enough to find a mistake; the parser's own words may quote the file. */
static json_t *
parse(const char *path, const char *text, gsize length, GError **error)
{
    json_error_t why;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);

    if (root != NULL && json_is_object(root))
        return root;
    if (root != NULL) {
        wrong(error, path, "must be an object {\"TOKEN\": {service}, …}");
    } else {
        g_autofree char *at =
            g_strdup_printf("not valid JSON at line %d, column %d", why.line, why.column);
        wrong(error, path, at);
    }
    json_decref(root);
    return NULL;
}

static json_t *
read_json(const char *path, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, &why)) {
        wrong(error, path, g_strerror(errno));
        return NULL;
    }
    json_t *root = parse(path, text, length, error);
    explicit_bzero(text, length);
    return root;
}

static GHashTable *
load(const char *path, GError **error)
{
    g_autoptr(GHashTable) services = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                           (GDestroyNotify)vc_service_unref);
    json_t *root = read_json(path, error);
    const char *token;
    json_t *json;
    gboolean valid = root != NULL;

    if (root == NULL)
        return NULL;
    json_object_foreach(root, token, json)
    {
        valid = valid && add(services, path, token, json, error);
    }
    json_decref(root);
    return valid ? g_steal_pointer(&services) : NULL;
}

VcpTokenFile *
vcp_token_file_new(const char *path, GError **error)
{
    g_autoptr(VcpTokenFile) self = g_new0(VcpTokenFile, 1);

    uv_mutex_init(&self->lock);
    self->path = g_strdup(path);
    return vcp_token_file_reload(self, error) ? g_steal_pointer(&self) : NULL;
}

gboolean
vcp_token_file_reload(VcpTokenFile *self, GError **error)
{
    GHashTable *fresh = load(self->path, error);

    if (fresh == NULL)
        return FALSE;
    warn_if_public(self->path);
    uv_mutex_lock(&self->lock);
    GHashTable *old = self->services;
    self->services = fresh;
    uv_mutex_unlock(&self->lock);
    g_clear_pointer(&old, g_hash_table_unref);
    return TRUE;
}

guint
vcp_token_file_count(VcpTokenFile *self)
{
    uv_mutex_lock(&self->lock);
    guint count = g_hash_table_size(self->services);
    uv_mutex_unlock(&self->lock);
    return count;
}

VcService *
vcp_token_file_look_up(VcpTokenFile *self, const char *token)
{
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(token, digest);
    uv_mutex_lock(&self->lock);
    VcService *service = g_hash_table_lookup(self->services, digest);
    if (service != NULL)
        vc_service_ref(service);
    uv_mutex_unlock(&self->lock);
    return service;
}

void
vcp_token_file_free(VcpTokenFile *self)
{
    if (self == NULL)
        return;
    g_clear_pointer(&self->services, g_hash_table_unref);
    uv_mutex_destroy(&self->lock);
    g_free(self->path);
    g_free(self);
}

/* --- as a worker's resolver --- */

typedef struct {
    VcpResolver resolver; /* first */
    VcpTokenFile *tokens;
} FileResolver;

static VcpQuery *
query(VcpResolver *resolver, const char *token, VcpResolved resolved, gpointer data)
{
    FileResolver *self = (FileResolver *)resolver;
    g_autoptr(VcService) service = vcp_token_file_look_up(self->tokens, token);
    g_autoptr(GError) error = NULL;

    if (service == NULL)
        error = g_error_new_literal(VC_ERROR, VC_ERROR_TOKEN, "the token is not in the file");
    resolved(service, error, data);
    return NULL;
}

static void
cancel(VcpResolver *resolver, VcpQuery *handle)
{
    (void)resolver;
    (void)handle;
    g_assert_not_reached();
}

static void
use(VcpResolver *resolver, const VcpConfig *config, gboolean renew)
{
    (void)resolver, (void)config, (void)renew;
}

static void
free_resolver(VcpResolver *resolver)
{
    g_free(resolver);
}

VcpResolver *
vcp_resolver_file_new(VcpTokenFile *tokens)
{
    static const VcpResolverOps ops = {
        .query = query, .cancel = cancel, .use = use, .free = free_resolver};
    FileResolver *self = g_new0(FileResolver, 1);

    self->resolver.ops = &ops;
    self->tokens = tokens;
    return &self->resolver;
}
