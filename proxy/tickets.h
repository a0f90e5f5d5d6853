/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Session tickets of the front: a client that comes back resumes its TLS session, which saves
 * the signature and the certificate. One key for all workers, since whoever accepts the client
 * next may be another; a new one each hour, and what it replaces is good for one more. Any
 * thread. */
#pragma once

#include <glib.h>
#include <openssl/ssl.h>

typedef struct VcpTickets VcpTickets;

/* now_ms: a monotonic clock. */
VcpTickets *vcp_tickets_new(guint64 (*now_ms)(void));
void vcp_tickets_free(VcpTickets *self); /* nullable */

/* Has sessions of tls use them; and of another SSL_CTX that these may change to, which must be
 * told too. self must outlive both. */
void vcp_tickets_use(VcpTickets *self, SSL_CTX *tls);
