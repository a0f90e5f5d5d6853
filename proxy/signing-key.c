/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What gnutls asks of a key that is kept elsewhere, answered by OpenSSL. */
#include "proxy/signing-key.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "common/error.h"

#define MAX_CHAIN 16

static gboolean
is_rsa(EVP_PKEY *key)
{
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
}

static gboolean
is_p256(EVP_PKEY *key)
{
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == 256;
}

/* --- signing --- */

static const EVP_MD *
pss_digest(gnutls_sign_algorithm_t algorithm)
{
    switch ((int)algorithm) {
    case GNUTLS_SIGN_RSA_PSS_RSAE_SHA256:
        return EVP_sha256();
    case GNUTLS_SIGN_RSA_PSS_RSAE_SHA384:
        return EVP_sha384();
    case GNUTLS_SIGN_RSA_PSS_RSAE_SHA512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

/* An RSA key has its padding to be told; a P-256 one signs the hash as it is. */
static gboolean
set_padding(EVP_PKEY_CTX *context, gnutls_sign_algorithm_t algorithm)
{
    const EVP_MD *digest = pss_digest(algorithm);

    /* gnutls has put the digest's name in front of it. */
    if (algorithm == GNUTLS_SIGN_RSA_RAW)
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    return digest != NULL &&
           EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(context, digest) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static int
sign_with(EVP_PKEY_CTX *context, gnutls_sign_algorithm_t algorithm, const gnutls_datum_t *hash,
          gnutls_datum_t *signature)
{
    size_t size;

    if (EVP_PKEY_sign_init(context) != 1 ||
        (is_rsa(EVP_PKEY_CTX_get0_pkey(context)) && !set_padding(context, algorithm)) ||
        EVP_PKEY_sign(context, NULL, &size, hash->data, hash->size) != 1)
        return GNUTLS_E_PK_SIGN_FAILED;
    signature->data = gnutls_malloc(size);
    if (EVP_PKEY_sign(context, signature->data, &size, hash->data, hash->size) != 1) {
        gnutls_free(signature->data);
        return GNUTLS_E_PK_SIGN_FAILED;
    }
    signature->size = (unsigned)size;
    return 0;
}

static int
sign_hash(gnutls_privkey_t key G_GNUC_UNUSED, gnutls_sign_algorithm_t algorithm, void *data,
          unsigned flags G_GNUC_UNUSED, const gnutls_datum_t *hash, gnutls_datum_t *signature)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(data, NULL);
    int code = sign_with(context, algorithm, hash, signature);

    EVP_PKEY_CTX_free(context);
    return code;
}

/* --- the key --- */

static gboolean
can_sign(EVP_PKEY *key, gnutls_sign_algorithm_t algorithm)
{
    if (!is_rsa(key))
        return gnutls_sign_supports_pk_algorithm(algorithm, GNUTLS_PK_ECDSA) != 0;
    return pss_digest(algorithm) != NULL ||
           gnutls_sign_get_pk_algorithm(algorithm) == GNUTLS_PK_RSA;
}

static int
tell(gnutls_privkey_t key G_GNUC_UNUSED, unsigned flags, void *data)
{
    if ((flags & GNUTLS_PRIVKEY_INFO_PK_ALGO) != 0)
        return is_rsa(data) ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA;
    if ((flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS) != 0)
        return EVP_PKEY_get_bits(data);
    if ((flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO) != 0)
        return can_sign(data, GNUTLS_FLAGS_TO_SIGN_ALGO(flags));
    return -1;
}

static void
release(gnutls_privkey_t key G_GNUC_UNUSED, void *data)
{
    EVP_PKEY_free(data);
}

/* Nullable: a key of another kind. */
static EVP_PKEY *
read_key(FILE *file)
{
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, (void *)"");

    if (key != NULL && !is_rsa(key) && !is_p256(key))
        g_clear_pointer(&key, EVP_PKEY_free);
    return key;
}

static int
replace_key(gnutls_certificate_credentials_t credentials, const char *cert,
            gnutls_privkey_t key)
{
    gnutls_pcert_st chain[MAX_CHAIN];
    unsigned length = G_N_ELEMENTS(chain);
    int code = gnutls_pcert_list_import_x509_file(chain, &length, cert, GNUTLS_X509_FMT_PEM,
                                                  NULL, NULL, 0);

    if (code < 0)
        return code;
    gnutls_certificate_free_keys(credentials);
    code = gnutls_certificate_set_key(credentials, NULL, 0, chain, (int)length, key);
    for (unsigned i = 0; code < 0 && i < length; i++)
        gnutls_pcert_deinit(&chain[i]);
    return code;
}

static gboolean
wrong(GError **error, const char *cert, const char *path, const char *why)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s and %s: %s", cert, path, why);
    return FALSE;
}

gboolean
vcp_signing_key_use(VcTlsCredentials *credentials, const char *cert, const char *path,
                    GError **error)
{
    FILE *file = fopen(path, "re");
    gnutls_privkey_t key;

    if (file == NULL)
        return wrong(error, cert, path, g_strerror(errno));
    EVP_PKEY *signer = read_key(file);
    fclose(file);
    if (signer == NULL)
        return TRUE;
    gnutls_privkey_init(&key);
    int code = gnutls_privkey_import_ext4(key, signer, NULL, sign_hash, NULL, release, tell, 0);
    if (code >= 0)
        code = replace_key(credentials->certificate, cert, key);
    if (code >= 0)
        return TRUE;
    gnutls_privkey_deinit(key);
    return wrong(error, cert, path, gnutls_strerror(code));
}
