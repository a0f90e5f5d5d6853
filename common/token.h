/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Tokens: what one may look like, its id for logs, its digest for tables. A token itself is
 * never logged. */
#pragma once

#include <glib.h>

#define VC_TOKEN_MAX_LENGTH  256
#define VC_TOKEN_ID_SIZE     9  /* 8 hex digits and a NUL */
#define VC_TOKEN_DIGEST_SIZE 65 /* 64 hex digits and a NUL */

/* 1 to 256 printable ASCII characters without space, / \ ? #, and neither "." nor "..": nothing
 * that could change the path of a resolver's URL. Any thread. */
gboolean vc_token_is_valid(const char *token);

/* SHA-256 in hex: the key of every table. Two tokens are compared by it, never directly. */
void vc_token_digest(const char *token, char digest[VC_TOKEN_DIGEST_SIZE]);

/* The first 8 digits of the digest: what logs show. */
void vc_token_id(const char *token, char id[VC_TOKEN_ID_SIZE]);

/* Overwrites and frees a token or a password; nullable. */
void vc_secret_free(char *secret);
