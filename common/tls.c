/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Loading of client certificates for gnutls. */
#include "common/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <unistd.h>

#include "common/error.h"

/* TLS 1.2 and 1.3 with the library's own choice of ciphers; never anonymous key exchange. */
#define VERSIONS "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* X25519 first: in gnutls it costs half of what P-256 does. */
#define PRIORITY VERSIONS ":-GROUP-ALL:+GROUP-X25519:+GROUP-ALL"

static gboolean
wrong(GError **error, const char *path, const char *why, const char *flag_prefix,
      const char *flag_end)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s: %s (see %s%s)", path, why, flag_prefix,
                flag_end);
    return FALSE;
}

gboolean
vc_tls_check_file(const char *path, const char *flag, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char byte;

    /* A directory can be opened, and fails only here. */
    if (fd < 0 || read(fd, &byte, 1) < 0) {
        wrong(error, path, g_strerror(errno), flag, "");
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    close(fd);
    return TRUE;
}

static gboolean
check_files(const char *cert, const char *key, const char *ca, const char *prefix,
            GError **error)
{
    g_autofree char *cert_flag = g_strconcat(prefix, "-cert", NULL);
    g_autofree char *key_flag = g_strconcat(prefix, "-key", NULL);
    g_autofree char *ca_flag = g_strconcat(prefix, "-ca", NULL);

    return vc_tls_check_file(cert, cert_flag, error) &&
           vc_tls_check_file(key, key_flag, error) &&
           (ca == NULL || vc_tls_check_file(ca, ca_flag, error));
}

/* Certificate and key are parsed on their own first, so that one is not blamed for the other;
 * and gnutls leaks memory where it meets a broken certificate while loading both. */
static gboolean
check_certificate(const char *path, const char *prefix, GError **error)
{
    gnutls_datum_t text = {0};
    gnutls_x509_crt_t *chain = NULL;
    unsigned size = 0;
    int n = gnutls_load_file(path, &text);

    if (n >= 0)
        n = gnutls_x509_crt_list_import2(&chain, &size, &text, GNUTLS_X509_FMT_PEM, 0);
    for (unsigned i = 0; i < size; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free(chain);
    gnutls_free(text.data);
    return n >= 0 || wrong(error, path, gnutls_strerror(n), prefix, "-cert");
}

static gboolean
check_key(const char *path, const char *prefix, GError **error)
{
    gnutls_datum_t text = {0};
    gnutls_x509_privkey_t key;
    int n = gnutls_load_file(path, &text);

    if (n < 0)
        return wrong(error, path, gnutls_strerror(n), prefix, "-key");
    gnutls_x509_privkey_init(&key);
    n = gnutls_x509_privkey_import2(key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_x509_privkey_deinit(key);
    gnutls_memset(text.data, 0, text.size);
    gnutls_free(text.data);
    return n >= 0 ||
           wrong(error, path, "is not a private key in PEM, or has a password", prefix, "-key");
}

static gboolean
load(VcTlsCredentials *self, const char *cert, const char *key, const char *ca,
     const char *prefix, GError **error)
{
    if (!check_files(cert, key, ca, prefix, error) || !check_certificate(cert, prefix, error) ||
        !check_key(key, prefix, error))
        return FALSE;

    int n = ca == NULL ? 1
                       : gnutls_certificate_set_x509_trust_file(self->certificate, ca,
                                                                GNUTLS_X509_FMT_PEM);
    if (n <= 0)
        return wrong(error, ca, n == 0 ? "contains no certificate" : gnutls_strerror(n), prefix,
                     "-ca");

    n = gnutls_certificate_set_x509_key_file(self->certificate, cert, key, GNUTLS_X509_FMT_PEM);
    if (n == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return wrong(error, key, "is not the key of the certificate", prefix, "-key");
    return n >= 0 || wrong(error, cert, gnutls_strerror(n), prefix, "-cert");
}

VcTlsCredentials *
vc_tls_credentials_load(const char *cert, const char *key, const char *ca,
                        const char *flag_prefix, GError **error)
{
    g_autoptr(VcTlsCredentials) self = g_new0(VcTlsCredentials, 1);

    self->refs = 1;
    self->verdicts = vc_verdicts_new();
    if (gnutls_certificate_allocate_credentials(&self->certificate) < 0 ||
        gnutls_priority_init(&self->priority, PRIORITY, NULL) < 0) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG, "gnutls cannot be initialised");
        return NULL;
    }
    return load(self, cert, key, ca, flag_prefix, error) ? g_steal_pointer(&self) : NULL;
}

gboolean
vc_tls_credentials_add_crl(VcTlsCredentials *self, const char *path, const char *flag,
                           GError **error)
{
    if (!vc_tls_check_file(path, flag, error))
        return FALSE;
    int n = gnutls_certificate_set_x509_crl_file(self->certificate, path, GNUTLS_X509_FMT_PEM);
    if (n <= 0)
        return wrong(error, path, n == 0 ? "contains no CRL" : gnutls_strerror(n), flag, "");
    vc_tls_warn_of_old_crl(path);
    return TRUE;
}

void
vc_tls_warn_of_old_crl(const char *path)
{
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    gnutls_datum_t text = {0};
    gnutls_x509_crl_t *lists = NULL;
    unsigned size = 0;
    gboolean is_old = FALSE;

    if (gnutls_load_file(path, &text) >= 0)
        gnutls_x509_crl_list_import2(&lists, &size, &text, GNUTLS_X509_FMT_PEM, 0);
    for (unsigned i = 0; i < size; i++) {
        time_t next = gnutls_x509_crl_get_next_update(lists[i]);
        is_old = is_old || (next != (time_t)-1 && next < now_s);
        gnutls_x509_crl_deinit(lists[i]);
    }
    gnutls_free(lists);
    gnutls_free(text.data);
    if (is_old)
        g_warning("%s: a revocation list in it is out of date", path);
}

VcTlsCredentials *
vc_tls_credentials_ref(VcTlsCredentials *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

void
vc_tls_credentials_unref(VcTlsCredentials *self)
{
    if (self == NULL || !g_atomic_int_dec_and_test(&self->refs))
        return;
    if (self->certificate != NULL)
        gnutls_certificate_free_credentials(self->certificate);
    if (self->priority != NULL)
        gnutls_priority_deinit(self->priority);
    vc_verdicts_free(self->verdicts);
    g_free(self);
}
