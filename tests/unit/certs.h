/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Certificates for tests, made when they are needed. */
#pragma once

#include <glib.h>
#include <gnutls/gnutls.h>

/* A new temporary directory with ca.pem, other-ca.pem, which has signed only what a stranger
 * has, and, for each row of the table in certs.c, NAME-cert.pem and NAME-key.pem. */
char *certs_make(void);

/* One more client certificate by ca.pem, with a key of this kind: bits, or a curve as
 * GNUTLS_CURVE_TO_BITS(). Those in the table have P-256. */
void certs_add_client(const char *directory, const char *name, gnutls_pk_algorithm_t kind,
                      unsigned bits);

/* ca.pem's list of revoked certificates, in file, has this one. */
void certs_revoke(const char *directory, const char *name, const char *file);

/* Removes the directory with all that is in it, and frees its name. */
void certs_remove(char *directory);

char *certs_path(const char *directory, const char *file);
char *certs_cert(const char *directory, const char *name);
char *certs_key(const char *directory, const char *name);
