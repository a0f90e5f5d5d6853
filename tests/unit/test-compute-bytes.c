/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The end towards the hypervisor: bytes in both directions, and its close at every moment. */
#include "proxy/compute.h"

#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "compute-lab.h"

/* --- bytes --- */

#define N_BYTES (1 << 20)

static void
flow(Fixture *self, const char *priority, gsize n_bytes, gsize piece)
{
    for (gsize i = 0; i < n_bytes; i++) {
        guint8 byte = (guint8)(i * 7 + (i >> 8));
        g_byte_array_append(self->to_send, &byte, 1);
    }
    self->piece = piece;
    self->expected = n_bytes;
    self->is_moving = TRUE;
    compute_lab_connect_peer(self, compute_lab_echo, priority, TRUE);
    compute_lab_run_until(self, compute_lab_has_all);
    g_assert_cmpmem(self->received->data, self->received->len, self->to_send->data, n_bytes);
    g_assert_cmpuint(self->end->bytes_in, ==, n_bytes);
    g_assert_cmpuint(self->end->bytes_out, ==, n_bytes);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 0);
}

static void
test_flow(Fixture *self, gconstpointer priority)
{
    flow(self, priority, 4 * N_BYTES, VC_BUFFER_SIZE);
}

static void
test_flow_in_pieces(Fixture *self, gconstpointer priority)
{
    flow(self, priority, N_BYTES / 16, 61);
}

static void
flood(int fd, gpointer data G_GNUC_UNUSED)
{
    g_autofree guint8 *bytes = g_malloc(N_BYTES);

    memset(bytes, 'x', N_BYTES);
    for (int i = 0; i < 8; i++)
        peer_write(fd, bytes, N_BYTES);
}

/* Who is not read stands still: one buffer is all that is kept. */
static void
test_paused(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->is_paused = TRUE;
    self->expected = 8 * N_BYTES;
    compute_lab_connect_peer(self, flood, NULL, FALSE);
    compute_lab_run_until(self, compute_lab_is_full);
    for (int i = 0; i < 20; i++)
        uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_cmpuint(self->end->bytes_in, ==, VC_BUFFER_SIZE);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 1);
    self->is_paused = FALSE;
    vcp_session_pump(self);
    compute_lab_run_until(self, compute_lab_has_all);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_cmpuint(self->received->len, ==, 8 * N_BYTES);
    g_assert_no_error(self->end->error);
}

/* What the peer said before it went is heard, even where our own bytes fail first. */
static void
speak_and_go(int fd, gpointer data)
{
    const PeerTls tls = {compute_lab_directory, "hypervisor", TLS13, FALSE};
    PeerSession *session = data != NULL ? peer_tls_accept(fd, &tls) : NULL;
    char byte;

    if (session == NULL) {
        peer_write(fd, "hello", 5);
        peer_read(fd, &byte, 1);
        peer_write(fd, ", last words", 12);
        return;
    }
    gnutls_record_send(peer_tls_session(session), "hello", 5);
    g_assert_cmpint(gnutls_record_recv(peer_tls_session(session), &byte, 1), ==, 1);
    gnutls_record_send(peer_tls_session(session), ", last words", 12);
    peer_tls_free(session);
}

static void
send_now(Fixture *self, const char *text)
{
    vc_buffer_append(&self->end->out, text, strlen(text));
    self->end->ops->flush(self->end);
}

static void
test_last_words(Fixture *self, gconstpointer tls)
{
    self->expected = 5;
    compute_lab_connect_peer(self, speak_and_go, tls, tls != NULL);
    compute_lab_run_until(self, compute_lab_has_all);
    send_now(self, "x");
    g_clear_pointer(&self->peer, peer_free);
    for (int i = 0; i < 3; i++)
        send_now(self, "into the void");
    vcp_session_pump(self);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_no_error(self->end->error);
    /* Or the session would take it for a TLS handshake that never came to its end. */
    g_assert_true(self->end->ready);
    compute_lab_assert_received(self, "hello, last words");
}

/* --- given up --- */

static void
test_close_at_once(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_port(self, 1, FALSE, NULL);
    compute_lab_hang_up(self);
    vcp_compute_close(NULL);
}

static void
test_close_connecting(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    PeerFull full;

    peer_full_init(&full);
    compute_lab_connect_port(self, full.port, FALSE, NULL);
    /* The connection is begun, and then nothing happens any more. */
    uv_run(&self->loop, UV_RUN_NOWAIT);
    uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_false(self->end->ready || self->end->eof);
    compute_lab_hang_up(self);
    peer_full_clear(&full);
}

static void
test_close_plain(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_peer(self, compute_lab_wait_for_end, NULL, FALSE);
    compute_lab_run_until(self, compute_lab_is_ready);
    compute_lab_hang_up(self);
}

static gboolean
is_stuck(const Fixture *self)
{
    return vc_buffer_length(&self->end->out) == VC_BUFFER_SIZE;
}

/* Plain bytes wait for a peer that takes none, and TLS waits behind them. */
static void
test_close_before_tls(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    guint16 port;
    int listener = peer_listen(&port);

    g_byte_array_set_size(self->to_send, 64 * N_BYTES);
    memset(self->to_send->data, 'x', self->to_send->len);
    compute_lab_connect_port(self, port, FALSE, NULL);
    compute_lab_run_until(self, compute_lab_is_ready);
    self->is_moving = TRUE;
    vcp_session_pump(self);
    compute_lab_run_until(self, is_stuck);
    vcp_compute_start_tls(self->end);
    g_assert_false(self->end->ready);
    g_assert_cmpuint(vc_buffer_length(&self->end->out), >, 0);
    compute_lab_hang_up(self);
    close(listener);
}

static void
test_close_in_handshake(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_peer(self, compute_lab_wait_for_end, NULL, FALSE);
    compute_lab_run_until(self, compute_lab_is_ready);
    vcp_compute_start_tls(self->end);
    uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_false(self->end->ready || self->end->eof);
    compute_lab_hang_up(self);
}

static void
test_close_open(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_peer(self, compute_lab_echo, TLS13, TRUE);
    compute_lab_run_until(self, compute_lab_is_ready);
    compute_lab_queue(self, "world");
    vcp_session_pump(self);
    compute_lab_run_until(self, compute_lab_has_sent_all);
    compute_lab_hang_up(self);
}

static void
test_close_broken(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_port(self, peer_unused_port(), FALSE, NULL);
    compute_lab_run_until(self, compute_lab_has_ended);
    compute_lab_hang_up(self);
}

static const ComputeLabTest tests[] = {
    {"/compute/flow-tls-1.2", test_flow, TLS12},
    {"/compute/flow-tls-1.3", test_flow, TLS13},
    {"/compute/flow-in-pieces-tls-1.2", test_flow_in_pieces, TLS12},
    {"/compute/flow-in-pieces-tls-1.3", test_flow_in_pieces, TLS13},
    {"/compute/paused", test_paused, NULL},
    {"/compute/last-words", test_last_words, NULL},
    {"/compute/last-words-tls", test_last_words, TLS13},
    {"/compute/close/at-once", test_close_at_once, NULL},
    {"/compute/close/connecting", test_close_connecting, NULL},
    {"/compute/close/plain", test_close_plain, NULL},
    {"/compute/close/before-tls", test_close_before_tls, NULL},
    {"/compute/close/in-handshake", test_close_in_handshake, NULL},
    {"/compute/close/open", test_close_open, NULL},
    {"/compute/close/broken", test_close_broken, NULL},
};

int
main(int argc, char **argv)
{
    return compute_lab_run(argc, argv, tests, G_N_ELEMENTS(tests));
}
