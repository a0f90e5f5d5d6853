/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Syntax and digests of tokens. */
#include "common/token.h"

#include <gnutls/crypto.h>
#include <string.h>

gboolean
vc_token_is_valid(const char *token)
{
    gsize length = strlen(token);

    if (length == 0 || length > VC_TOKEN_MAX_LENGTH)
        return FALSE;
    if (strcmp(token, ".") == 0 || strcmp(token, "..") == 0)
        return FALSE;
    for (const char *at = token; *at != '\0'; at++) {
        if (!g_ascii_isgraph(*at) || strchr("/\\?#", *at) != NULL)
            return FALSE;
    }
    return TRUE;
}

void
vc_token_digest(const char *token, char digest[VC_TOKEN_DIGEST_SIZE])
{
    guint8 raw[VC_TOKEN_DIGEST_SIZE / 2];

    /* Not GChecksum: that leaves the token in the memory it frees. */
    int failure = gnutls_hash_fast(GNUTLS_DIG_SHA256, token, strlen(token), raw);
    g_assert(failure == 0);
    for (gsize i = 0; i < sizeof raw; i++)
        g_snprintf(digest + 2 * i, 3, "%02x", raw[i]);
}

void
vc_token_id(const char *token, char id[VC_TOKEN_ID_SIZE])
{
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(token, digest);
    g_strlcpy(id, digest, VC_TOKEN_ID_SIZE);
}

void
vc_secret_free(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}
