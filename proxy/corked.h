/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A socket for OpenSSL to write to, that can tell the kernel that more is about to follow. The
 * records of 64 KiB then leave as one segment: see docs/performance.md. */
#pragma once

#include <glib.h>
#include <openssl/bio.h>

/* To write with, not to read. fd: not owned, non-blocking. */
BIO *vcp_corked_new(int fd);

/* Whether what is written from now on is followed by more, at once. */
void vcp_corked_set(BIO *bio, gboolean more_follows);
