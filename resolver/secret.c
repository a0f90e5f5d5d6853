/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Reading of secrets. */
#include "resolver/secret.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "common/error.h"
#include "common/token.h"

static char *
fail(GError **error)
{
    const virError *why = virGetLastError();
    VcError code = why != NULL && why->code == VIR_ERR_NO_SECRET ? VC_ERROR_NOT_FOUND
                                                                 : VC_ERROR_UNREACHABLE;

    g_set_error(error, VC_ERROR, (int)code, "secret: %s", virGetLastErrorMessage());
    return NULL;
}

/* Takes and wipes the value. */
static char *
to_token(unsigned char *value, size_t size, GError **error)
{
    /* What was set from a file often ends in a newline. */
    size_t length = size > 0 && value[size - 1] == '\n' ? size - 1 : size;
    gboolean has_nul = memchr(value, '\0', length) != NULL;
    char *token = g_strndup((const char *)value, length);

    explicit_bzero(value, size);
    free(value);
    if (!has_nul && vc_token_is_valid(token))
        return token;
    vc_secret_free(token);
    g_set_error_literal(error, VC_ERROR, VC_ERROR_TOKEN,
                        "the secret's value is no token: that is 1 to 256 printable ASCII "
                        "characters without / \\ ? #");
    return NULL;
}

char *
vcr_secret_read(virConnectPtr connection, const char *uuid, GError **error)
{
    virSecretPtr secret = virSecretLookupByUUIDString(connection, uuid);
    size_t size = 0;

    if (secret == NULL)
        return fail(error);
    unsigned char *value = virSecretGetValue(secret, &size, 0);
    /* freeing resets libvirt's last error */
    char *token = value != NULL ? to_token(value, size, error) : fail(error);
    virSecretFree(secret);
    return token;
}
