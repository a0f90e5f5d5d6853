/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The end towards the hypervisor against a server in the same process, with a session that only
 * moves bytes in place of the proxy's own. */
#pragma once

#include "common/service.h"
#include "common/tls.h"
#include "peer.h"
#include "proxy/session.h"

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

/* Of certs_make(), while tests run. */
extern char *compute_lab_directory;

struct VcpSession {
    guint n_fds;
    uv_loop_t loop;
    VcPool *pool;
    VcTlsCredentials *credentials;
    Peer *peer;
    VcpEndpoint *end;

    GByteArray *to_send;
    gsize sent;
    GByteArray *received;
    gsize expected; /* bytes */
    gsize piece;    /* so many at a time */
    gboolean is_paused;
    gboolean is_moving;
};

typedef VcpSession Fixture;
typedef gboolean (*Until)(const Fixture *self);

/* The loop turns until then. */
void compute_lab_run_until(Fixture *self, Until done);
gboolean compute_lab_is_ready(const Fixture *self);
gboolean compute_lab_has_ended(const Fixture *self);
gboolean compute_lab_has_all(const Fixture *self);
gboolean compute_lab_is_full(const Fixture *self);
gboolean compute_lab_has_sent_all(const Fixture *self);

/* full; server_name: nullable. */
VcService *compute_lab_make_service(guint16 port, const char *server_name);

/* The certificate of this name, full. */
VcTlsCredentials *compute_lab_load(const char *name);

/* server_name: nullable. tls: from the first byte. */
void compute_lab_connect_port(Fixture *self, guint16 port, gboolean tls,
                              const char *server_name);
void compute_lab_connect_peer(Fixture *self, PeerFunc func, gconstpointer data, gboolean tls);

/* Closes the end, and the peer's after it. */
void compute_lab_hang_up(Fixture *self);

void compute_lab_assert_received(const Fixture *self, const char *expected);

/* To be sent by the session from now on. */
void compute_lab_queue(Fixture *self, const char *text);

/* Peers; echo's data: a priority string. */
void compute_lab_wait_for_end(int fd, gpointer data);
void compute_lab_echo(int fd, gpointer priority);

typedef struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
    const char *data;
} ComputeLabTest;

/* main() of a test program. */
int compute_lab_run(int argc, char **argv, const ComputeLabTest *tests, gsize n_tests);
