/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Certificates for tests, made when they are needed. */
#pragma once

#include <glib.h>

/* A new temporary directory with ca.pem and, for each row of the table in certs.c,
 * NAME-cert.pem and NAME-key.pem. */
char *certs_make(void);

/* Removes the directory with all that is in it, and frees its name. */
void certs_remove(char *directory);

char *certs_path(const char *directory, const char *file);
char *certs_cert(const char *directory, const char *name);
char *certs_key(const char *directory, const char *name);
