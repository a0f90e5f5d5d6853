/* SPDX-License-Identifier: LGPL-2.1-or-later
 * gnutls objects that one load makes and the next one replaces, under a lock that is held for
 * as long as they are in use. */
#include "resolver/door.h"

#include <string.h>

#include "common/error.h"
#include "common/monitor.h"
#include "common/tls.h"

typedef struct {
    gnutls_x509_crt_t *chain;
    unsigned length;
    gnutls_x509_privkey_t key;
    gnutls_x509_trust_list_t trust; /* nullable: nobody is asked for a certificate */
    char **allowed;
} Content;

struct VcrDoor {
    VcMonitor lock; /* for: */
    Content content;
    guint generation;
};

/* --- files --- */

static gboolean
wrong(GError **error, const char *path, int code, const char *flag)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s: %s (see %s)", path,
                code == 0 ? "contains nothing of the kind" : gnutls_strerror(code), flag);
    return FALSE;
}

static void
clear(Content *content)
{
    for (unsigned i = 0; i < content->length; i++)
        gnutls_x509_crt_deinit(content->chain[i]);
    gnutls_free(content->chain);
    if (content->key != NULL)
        gnutls_x509_privkey_deinit(content->key);
    if (content->trust != NULL)
        gnutls_x509_trust_list_deinit(content->trust, 1);
    g_strfreev(content->allowed);
    *content = (Content){0};
}

static gboolean
load_chain(Content *content, const char *path, GError **error)
{
    gnutls_datum_t text = {0};
    int code = gnutls_load_file(path, &text);

    if (code >= 0)
        code = gnutls_x509_crt_list_import2(&content->chain, &content->length, &text,
                                            GNUTLS_X509_FMT_PEM, 0);
    gnutls_free(text.data);
    return code >= 0 || wrong(error, path, code, "--listen-tls-cert");
}

static gboolean
load_key(Content *content, const char *path, GError **error)
{
    gnutls_datum_t text = {0};
    int code = gnutls_load_file(path, &text);

    if (code < 0)
        return wrong(error, path, code, "--listen-tls-key");
    gnutls_x509_privkey_init(&content->key);
    code = gnutls_x509_privkey_import2(content->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_memset(text.data, 0, text.size);
    gnutls_free(text.data);
    return code >= 0 || wrong(error, path, code, "--listen-tls-key");
}

static gboolean
load_trust(Content *content, const VcrConfig *config, GError **error)
{
    const char *ca = config->listen_tls_ca, *crl = config->listen_tls_crl;

    gnutls_x509_trust_list_init(&content->trust, 0);
    int code = gnutls_x509_trust_list_add_trust_file(content->trust, ca, NULL,
                                                     GNUTLS_X509_FMT_PEM, 0, 0);
    if (code <= 0)
        return wrong(error, ca, code, "--listen-tls-ca");
    if (crl == NULL)
        return TRUE;
    if (!vc_tls_check_file(crl, "--listen-tls-crl", error))
        return FALSE;
    code = gnutls_x509_trust_list_add_trust_file(content->trust, NULL, crl, GNUTLS_X509_FMT_PEM,
                                                 0, 0);
    if (code <= 0)
        return wrong(error, crl, code, "--listen-tls-crl");
    vc_tls_warn_of_old_crl(crl);
    return TRUE;
}

/* Says what is wrong in the words of vc_tls_credentials_load(), which also knows whether
 * certificate and key belong together. */
static gboolean
probe(const VcrConfig *config, GError **error)
{
    g_autoptr(VcTlsCredentials) probe = vc_tls_credentials_load(
        config->listen_tls_cert, config->listen_tls_key,
        config->listen_no_verify_client ? NULL : config->listen_tls_ca, "--listen-tls", error);

    return probe != NULL;
}

/* The files may have been replaced since the probe. */
static gboolean
fits(const Content *content)
{
    guint8 of_chain[64], of_key[64];
    size_t chain_size = sizeof of_chain, key_size = sizeof of_key;

    return gnutls_x509_crt_get_key_id(content->chain[0], 0, of_chain, &chain_size) >= 0 &&
           gnutls_x509_privkey_get_key_id(content->key, 0, of_key, &key_size) >= 0 &&
           chain_size == key_size && memcmp(of_chain, of_key, key_size) == 0;
}

static gboolean
load(Content *content, const VcrConfig *config, GError **error)
{
    if (!probe(config, error) || !load_chain(content, config->listen_tls_cert, error) ||
        !load_key(content, config->listen_tls_key, error) ||
        (!config->listen_no_verify_client && !load_trust(content, config, error)))
        return FALSE;
    if (!fits(content)) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                    "%s: is not the key of the certificate (see --listen-tls-key)",
                    config->listen_tls_key);
        return FALSE;
    }
    content->allowed = g_strdupv(config->allowed_client);
    return TRUE;
}

VcrDoor *
vcr_door_new(const VcrConfig *config, GError **error)
{
    g_autoptr(VcrDoor) self = g_new0(VcrDoor, 1);

    vc_monitor_init(&self->lock);
    return vcr_door_load(self, config, error) ? g_steal_pointer(&self) : NULL;
}

gboolean
vcr_door_load(VcrDoor *self, const VcrConfig *config, GError **error)
{
    Content fresh = {0};

    if (!load(&fresh, config, error)) {
        clear(&fresh);
        return FALSE;
    }
    vc_monitor_enter(&self->lock);
    Content old = self->content;
    self->content = fresh;
    self->generation = MAX(self->generation + 1, 1);
    vc_monitor_leave(&self->lock);
    clear(&old);
    return TRUE;
}

void
vcr_door_free(VcrDoor *self)
{
    if (self == NULL)
        return;
    clear(&self->content);
    vc_monitor_clear(&self->lock);
    g_free(self);
}

/* --- handshakes --- */

static gboolean
copy_chain(const Content *content, gnutls_pcert_st *chain)
{
    for (unsigned i = 0; i < content->length; i++) {
        if (gnutls_pcert_import_x509(&chain[i], content->chain[i], 0) < 0) {
            while (i > 0)
                gnutls_pcert_deinit(&chain[--i]);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
copy(const Content *content, gnutls_pcert_st **chain, unsigned *length, gnutls_privkey_t *key)
{
    gnutls_pcert_st *certificates = gnutls_calloc(content->length, sizeof *certificates);

    if (certificates == NULL || !copy_chain(content, certificates)) {
        gnutls_free(certificates);
        return FALSE;
    }
    gnutls_privkey_init(key);
    gnutls_privkey_import_x509(*key, content->key, GNUTLS_PRIVKEY_IMPORT_COPY);
    *chain = certificates;
    *length = content->length;
    return TRUE;
}

gboolean
vcr_door_show(VcrDoor *self, gnutls_pcert_st **chain, unsigned *length, gnutls_privkey_t *key)
{
    vc_monitor_enter(&self->lock);
    gboolean copied = copy(&self->content, chain, length, key);
    vc_monitor_leave(&self->lock);
    return copied;
}

guint
vcr_door_generation(VcrDoor *self)
{
    vc_monitor_enter(&self->lock);
    guint generation = self->generation;
    vc_monitor_leave(&self->lock);
    return generation;
}

VcrClientVerdict
vcr_door_check(VcrDoor *self, gnutls_session_t session, char **name)
{
    vc_monitor_enter(&self->lock);
    VcrClientVerdict verdict =
        vcr_client_check(session, self->content.trust, self->content.allowed, name);
    vc_monitor_leave(&self->lock);
    return verdict;
}
