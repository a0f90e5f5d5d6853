/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What there is of certificates, a row for each purpose: which files, and how they are loaded.
 */
#include "proxy/certificates.h"

#include <string.h>

#include "common/renewal.h"
#include "proxy/front.h"
#include "proxy/signing-key.h"

typedef enum { FRONT, CONNECT, RESOLVER, STORE, N_RENEWALS } Renewal;

struct VcpCertificates {
    const VcpConfig *started;
    VcpShared *shared;
    VcRenewal *renewals[N_RENEWALS];
};

/* --- what is loaded --- */

static gboolean
is_default_missing(const VcpConfig *config)
{
    return g_str_has_prefix(config->connect_tls_cert, "/etc/pki/libvirt-console-proxy/") &&
           !g_file_test(config->connect_tls_cert, G_FILE_TEST_EXISTS) &&
           !g_file_test(config->connect_tls_key, G_FILE_TEST_EXISTS) &&
           !g_file_test(config->connect_tls_ca, G_FILE_TEST_EXISTS);
}

static gboolean
load_front(gpointer data, GError **error)
{
    VcpCertificates *self = data;

    if (self->started->listen_insecure)
        return TRUE;
    SSL_CTX *fresh = vcp_front_load(self->shared->config, error);
    if (fresh == NULL)
        return FALSE;
    vcp_tickets_use(self->shared->tickets, fresh);
    SSL_CTX_free(self->shared->front_certificates);
    self->shared->front_certificates = fresh;
    return TRUE;
}

static VcTlsCredentials *
make_credentials(const VcpConfig *config, GError **error)
{
    g_autoptr(VcTlsCredentials) fresh =
        vc_tls_credentials_load(config->connect_tls_cert, config->connect_tls_key,
                                config->connect_tls_ca, "--connect-tls", error);

    if (fresh == NULL ||
        !vcp_signing_key_use(fresh, config->connect_tls_cert, config->connect_tls_key, error) ||
        (config->connect_tls_crl != NULL &&
         !vc_tls_credentials_add_crl(fresh, config->connect_tls_crl, "--connect-tls-crl",
                                     error)))
        return NULL;
    return g_steal_pointer(&fresh);
}

static gboolean
load_credentials(gpointer data, GError **error)
{
    VcpCertificates *self = data;
    const VcpConfig *config = self->shared->config;

    /* Somebody who reaches consoles in clear text only needs no certificates; services that
     * want TLS are refused then. */
    if (config->connect_insecure && self->shared->credentials == NULL &&
        is_default_missing(config)) {
        g_warning("no client certificate at %s: only services that are marked insecure can be "
                  "reached",
                  config->connect_tls_cert);
        return TRUE;
    }
    VcTlsCredentials *fresh = make_credentials(config, error);
    if (fresh == NULL)
        return FALSE;
    vc_tls_credentials_unref(self->shared->credentials);
    self->shared->credentials = fresh;
    return TRUE;
}

static gboolean
has_resolver_tls(const VcpCertificates *self)
{
    return !vcp_config_has_token_file(self->started) &&
           g_str_has_prefix(self->shared->config->resolver_uri, "https://");
}

/* libcurl reads the files itself, for each new connection; that they fit is better known now.
 */
static gboolean
load_resolver_credentials(gpointer data, GError **error)
{
    VcpCertificates *self = data;
    const VcpConfig *config = self->shared->config;

    if (has_resolver_tls(self)) {
        g_autoptr(VcTlsCredentials) probe =
            vc_tls_credentials_load(config->resolver_tls_cert, config->resolver_tls_key,
                                    config->resolver_tls_ca, "--resolver-tls", error);
        if (probe == NULL)
            return FALSE;
    }
    self->shared->resolver_renewals++;
    return TRUE;
}

static gboolean
has_store_tls(const VcpCertificates *self)
{
    return self->started->store_address != NULL && self->started->store_address->tls;
}

static gboolean
load_store_credentials(gpointer data, GError **error)
{
    VcpCertificates *self = data;
    const VcpConfig *config = self->shared->config;

    if (!has_store_tls(self))
        return TRUE;
    VcTlsCredentials *fresh =
        vc_tls_credentials_load(config->store_tls_cert, config->store_tls_key,
                                config->store_tls_ca, "--store-tls", error);
    if (fresh == NULL)
        return FALSE;
    vc_tls_credentials_unref(self->shared->store_credentials);
    self->shared->store_credentials = fresh;
    return TRUE;
}

/* --- what is renewed --- */

#define MAX_PATHS 4

static const struct {
    const char *what;
    VcRenewalLoad load;
} renewals[N_RENEWALS] = {
    [FRONT] = {"certificate for clients", load_front},
    [CONNECT] = {"certificate for hypervisors", load_credentials},
    [RESOLVER] = {"certificate for the resolver", load_resolver_credentials},
    [STORE] = {"certificate for the store", load_store_credentials},
};

/* The files of a renewal; none where it is not in use. */
static void
list_paths(const VcpCertificates *self, Renewal which, const char *paths[MAX_PATHS + 1])
{
    const VcpConfig *config = self->shared->config;
    gboolean verify = self->started->listen_verify_client;
    const char *every[N_RENEWALS][MAX_PATHS + 1] = {
        [FRONT] = {config->listen_tls_cert, config->listen_tls_key,
                   verify ? config->listen_tls_ca : NULL,
                   verify ? config->listen_tls_crl : NULL},
        [CONNECT] = {config->connect_tls_cert, config->connect_tls_key, config->connect_tls_ca,
                     config->connect_tls_crl},
        [RESOLVER] = {config->resolver_tls_cert, config->resolver_tls_key,
                      config->resolver_tls_ca},
        [STORE] = {config->store_tls_cert, config->store_tls_key, config->store_tls_ca},
    };
    const gboolean is_used[N_RENEWALS] = {
        [FRONT] = !self->started->listen_insecure,
        [CONNECT] = TRUE,
        [RESOLVER] = has_resolver_tls(self),
        [STORE] = has_store_tls(self),
    };

    memset(paths, 0, sizeof *paths * (MAX_PATHS + 1));
    if (is_used[which])
        memcpy(paths, every[which], sizeof every[which]);
}

VcpCertificates *
vcp_certificates_new(VcpConfig *started, VcpShared *shared)
{
    VcpCertificates *self = g_new0(VcpCertificates, 1);

    self->started = started;
    self->shared = shared;
    for (Renewal which = 0; which < N_RENEWALS; which++)
        self->renewals[which] =
            vc_renewal_new(renewals[which].what, renewals[which].load, self);
    return self;
}

void
vcp_certificates_free(VcpCertificates *self)
{
    if (self == NULL)
        return;
    for (Renewal which = 0; which < N_RENEWALS; which++)
        vc_renewal_free(self->renewals[which]);
    g_free(self);
}

gboolean
vcp_certificates_load(VcpCertificates *self, GError **error)
{
    for (Renewal which = 0; which < N_RENEWALS; which++) {
        const char *paths[MAX_PATHS + 1];
        list_paths(self, which, paths);
        if (!vc_renewal_start(self->renewals[which], paths, error))
            return FALSE;
    }
    return TRUE;
}

void
vcp_certificates_reload(VcpCertificates *self)
{
    for (Renewal which = 0; which < N_RENEWALS; which++) {
        const char *paths[MAX_PATHS + 1];
        list_paths(self, which, paths);
        if (paths[0] != NULL)
            vc_renewal_reload(self->renewals[which], paths);
    }
}

gboolean
vcp_certificates_look(VcpCertificates *self)
{
    gboolean has_changed = FALSE;

    for (Renewal which = 0; which < N_RENEWALS; which++)
        has_changed = vc_renewal_look(self->renewals[which]) || has_changed;
    return has_changed;
}
