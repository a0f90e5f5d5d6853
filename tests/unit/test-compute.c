/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The end towards the hypervisor against a server in the same process, with a session that only
 * moves bytes. */
#include "proxy/compute.h"

#include <string.h>
#include <unistd.h>

#include "certs.h"
#include "common/error.h"
#include "peer.h"
#include "proxy/session.h"

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

static char *directory;

/* --- a session --- */

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

static gsize
send_piece(Fixture *self)
{
    gsize length = MIN(self->to_send->len - self->sent, self->piece);

    length = MIN(length, vc_buffer_room(&self->end->out));
    vc_buffer_append(&self->end->out, self->to_send->data + self->sent, length);
    self->sent += length;
    return length;
}

static gsize
receive_piece(Fixture *self)
{
    gsize length = MIN(vc_buffer_length(&self->end->in), self->piece);

    if (length == 0 || self->is_paused)
        return 0;
    g_byte_array_append(self->received, vc_buffer_data(&self->end->in), (guint)length);
    vc_buffer_consume(&self->end->in, length);
    return length;
}

static gboolean
move_some(Fixture *self)
{
    VcpEndpoint *end = self->end;
    guint64 before = end->bytes_in + end->bytes_out;

    end->ops->fill(end);
    gsize moved = receive_piece(self);
    if (self->is_moving)
        moved += send_piece(self);
    end->ops->flush(end);
    return moved > 0 || end->bytes_in + end->bytes_out != before;
}

/* Stands for the proxy's own. */
void
vcp_session_pump(VcpSession *self)
{
    VcpEndpoint *end = self->end;

    while (move_some(self))
        continue;
    end->ops->want(end, vc_buffer_room(&end->in) > 0, vc_buffer_length(&end->out) > 0);
    g_assert_true(end->error == NULL || end->eof);
}

static void
run_until(Fixture *self, Until done)
{
    while (!done(self)) {
        gboolean goes_on = uv_run(&self->loop, UV_RUN_ONCE) != 0;
        g_assert_true(goes_on || done(self));
    }
}

static gboolean
is_ready(const Fixture *self)
{
    return self->end->ready;
}

static gboolean
has_ended(const Fixture *self)
{
    return self->end->eof && vc_buffer_length(&self->end->in) == 0;
}

static gboolean
has_all(const Fixture *self)
{
    return self->received->len >= self->expected;
}

static gboolean
is_full(const Fixture *self)
{
    return vc_buffer_room(&self->end->in) == 0;
}

static gboolean
has_sent_all(const Fixture *self)
{
    return self->sent == self->to_send->len && vc_buffer_length(&self->end->out) == 0;
}

/* --- set-up --- */

static VcTlsCredentials *
load(const char *name)
{
    g_autofree char *cert = certs_cert(directory, name);
    g_autofree char *key = certs_key(directory, name);
    g_autofree char *ca = certs_path(directory, "ca.pem");
    VcTlsCredentials *credentials = vc_tls_credentials_load(cert, key, ca, "--x", NULL);

    g_assert_nonnull(credentials);
    return credentials;
}

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    uv_loop_init(&self->loop);
    self->n_fds = peer_count_fds();
    self->pool = vc_pool_new();
    self->credentials = load("client");
    self->to_send = g_byte_array_new();
    self->received = g_byte_array_new();
    self->piece = VC_BUFFER_SIZE;
}

static void
hang_up(Fixture *self)
{
    g_clear_pointer(&self->end, vcp_compute_close);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 0);
    g_clear_pointer(&self->peer, peer_free);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    hang_up(self);
    g_assert_cmpuint(peer_count_fds(), ==, self->n_fds);
    g_assert_cmpint(uv_loop_close(&self->loop), ==, 0);
    vc_pool_free(self->pool);
    vc_tls_credentials_unref(self->credentials);
    g_byte_array_unref(self->to_send);
    g_byte_array_unref(self->received);
}

static VcService *
make_service(guint16 port, const char *server_name)
{
    g_autofree char *address = g_strdup_printf("127.0.0.1:%u", port);
    json_t *json = json_pack("{s:s, s:s, s:s?}", "type", "vnc", "address", address,
                             "tlsServerName", server_name);
    VcService *service = vc_service_from_json(json, NULL);

    g_assert_nonnull(service);
    json_decref(json);
    return service;
}

static void
connect_port(Fixture *self, guint16 port, gboolean tls, const char *server_name)
{
    VcpComputeSetup setup = {.loop = &self->loop,
                             .pool = self->pool,
                             .credentials = self->credentials,
                             .connect_timeout_s = 20};
    g_autoptr(VcService) service = make_service(port, server_name);

    self->end = vcp_compute_connect(&setup, self, service, tls);
    g_assert_nonnull(self->end);
    g_assert_false(self->end->ready);
}

static void
connect_peer(Fixture *self, PeerFunc func, gconstpointer data, gboolean tls)
{
    self->peer = peer_new(func, (gpointer)data);
    connect_port(self, peer_port(self->peer), tls, NULL);
}

static void
assert_received(const Fixture *self, const char *expected)
{
    g_assert_cmpmem(self->received->data, self->received->len, expected, strlen(expected));
}

static void
queue(Fixture *self, const char *text)
{
    g_byte_array_append(self->to_send, (const guint8 *)text, (guint)strlen(text));
    self->is_moving = TRUE;
}

/* --- peers --- */

static void
wait_for_end(int fd, gpointer data G_GNUC_UNUSED)
{
    peer_wait_for_end(fd);
}

static void
echo(int fd, gpointer priority)
{
    const PeerTls tls = {directory, "hypervisor", priority, TRUE};
    PeerSession *session = peer_tls_accept(fd, &tls);

    g_assert_nonnull(session);
    peer_tls_echo(session);
    peer_tls_free(session);
}

static void
echo_after_hello(int fd, gpointer priority)
{
    char hello[5];

    peer_read(fd, hello, sizeof hello);
    g_assert_cmpmem(hello, sizeof hello, "hello", 5);
    echo(fd, priority);
}

static void
echo_plain(int fd, gpointer data G_GNUC_UNUSED)
{
    char text[5];

    peer_write(fd, "greetings", 9);
    peer_read(fd, text, sizeof text);
    peer_write(fd, text, sizeof text);
}

static void
greet(int fd, gpointer data G_GNUC_UNUSED)
{
    peer_write(fd, "RFB 003.008\n", 12);
    peer_wait_for_end(fd);
}

/* data: the certificate that it shows; nobody need like it. */
static void
shake_hands(int fd, gpointer data)
{
    const PeerTls tls = {directory, data, TLS13, TRUE};
    PeerSession *session = peer_tls_accept(fd, &tls);

    if (session == NULL)
        return;
    gnutls_record_send(peer_tls_session(session), "hello", 5);
    peer_tls_free(session);
}

/* Takes the connection and drops it as QEMU does where it does not like our certificate. */
static void
accept_and_close(int fd, gpointer data G_GNUC_UNUSED)
{
    const PeerTls tls = {directory, "hypervisor", TLS13, FALSE};
    PeerSession *session = peer_tls_accept(fd, &tls);

    g_assert_nonnull(session);
    peer_tls_free(session);
}

static void
reset(int fd, gpointer data G_GNUC_UNUSED)
{
    char byte;

    peer_write(fd, "hello", 5);
    peer_read(fd, &byte, 1);
    peer_will_reset(fd);
}

/* --- TCP --- */

static void
test_plain(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_peer(self, echo_plain, NULL, FALSE);
    run_until(self, is_ready);
    queue(self, "world");
    vcp_session_pump(self);
    run_until(self, has_ended);
    g_assert_no_error(self->end->error);
    assert_received(self, "greetingsworld");
    g_assert_cmpuint(self->end->bytes_in, ==, 14);
    g_assert_cmpuint(self->end->bytes_out, ==, 5);
}

static void
test_refused(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_port(self, peer_unused_port(), FALSE, NULL);
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_REFUSED);
    g_assert_nonnull(strstr(self->end->error->message, "127.0.0.1"));
}

static void
be_reset(Fixture *self)
{
    self->expected = 5;
    connect_peer(self, reset, NULL, FALSE);
    run_until(self, has_all);
    queue(self, "x");
    vcp_session_pump(self);
    run_until(self, has_ended);
}

/* A guest that is killed is an end, not a failure. */
static void
test_reset(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    be_reset(self);
    g_assert_no_error(self->end->error);
}

static void
test_connect_timeout(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpComputeSetup setup = {.loop = &self->loop, .pool = self->pool, .connect_timeout_s = 1};
    PeerFull full;

    peer_full_init(&full);
    g_autoptr(VcService) service = make_service(full.port, NULL);
    self->end = vcp_compute_connect(&setup, self, service, FALSE);
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_TIMEOUT);
    peer_full_clear(&full);
}

/* --- TLS --- */

static void
test_tls(Fixture *self, gconstpointer priority)
{
    self->expected = 5;
    connect_peer(self, echo, priority, TRUE);
    run_until(self, is_ready);
    queue(self, "world");
    vcp_session_pump(self);
    run_until(self, has_all);
    assert_received(self, "world");
}

static void
test_server_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->expected = 5;
    self->peer = peer_new(echo, (gpointer)TLS13);
    connect_port(self, peer_port(self->peer), TRUE, "hypervisor.example");
    run_until(self, is_ready);
    queue(self, "world");
    vcp_session_pump(self);
    run_until(self, has_all);
    assert_received(self, "world");
}

static void
test_wrong_server_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->peer = peer_new(shake_hands, (gpointer) "hypervisor");
    connect_port(self, peer_port(self->peer), TRUE, "other.example");
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_CERTIFICATE);
    g_assert_nonnull(strstr(self->end->error->message, "other.example"));
    assert_received(self, "");
}

static void
test_wrong_address(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_peer(self, shake_hands, "other", TRUE);
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_CERTIFICATE);
    assert_received(self, "");
}

static void
test_ours_refused(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_clear_pointer(&self->credentials, vc_tls_credentials_unref);
    self->credentials = load("strange-client");
    connect_peer(self, shake_hands, "hypervisor", TRUE);
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_CERTIFICATE);
    assert_received(self, "");
}

static void
test_early_end(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_peer(self, accept_and_close, NULL, TRUE);
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_CERTIFICATE);
}

static void
test_no_tls(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_peer(self, greet, NULL, TRUE);
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_PROTOCOL);
}

static void
test_no_credentials(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_clear_pointer(&self->credentials, vc_tls_credentials_unref);
    connect_peer(self, wait_for_end, NULL, TRUE);
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_POLICY);
}

static void
test_tls_timeout(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpComputeSetup setup = {.loop = &self->loop,
                             .pool = self->pool,
                             .credentials = self->credentials,
                             .connect_timeout_s = 1};

    self->peer = peer_new(wait_for_end, NULL);
    g_autoptr(VcService) service = make_service(peer_port(self->peer), NULL);
    self->end = vcp_compute_connect(&setup, self, service, TRUE);
    run_until(self, has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_TIMEOUT);
}

/* --- TLS after plain bytes --- */

static void
test_start_tls(Fixture *self, gconstpointer priority)
{
    self->expected = 5;
    connect_peer(self, echo_after_hello, priority, FALSE);
    run_until(self, is_ready);
    vc_buffer_append(&self->end->out, "hello", 5);
    vcp_compute_start_tls(self->end);
    g_assert_false(self->end->ready);
    run_until(self, is_ready);
    queue(self, "world");
    vcp_session_pump(self);
    run_until(self, has_all);
    assert_received(self, "world");
}

static void
test_start_tls_without_credentials(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_clear_pointer(&self->credentials, vc_tls_credentials_unref);
    connect_peer(self, wait_for_end, NULL, FALSE);
    run_until(self, is_ready);
    vcp_compute_start_tls(self->end);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_POLICY);
    g_assert_true(self->end->eof);
}

/* The peer had gone already: nothing is started, and the end is told. */
static void
test_start_tls_too_late(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    be_reset(self);
    vcp_compute_start_tls(self->end);
    g_assert_false(self->end->ready);
    g_assert_true(self->end->eof);
}

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
    connect_peer(self, echo, priority, TRUE);
    run_until(self, has_all);
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
    connect_peer(self, flood, NULL, FALSE);
    run_until(self, is_full);
    for (int i = 0; i < 20; i++)
        uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_cmpuint(self->end->bytes_in, ==, VC_BUFFER_SIZE);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 1);
    self->is_paused = FALSE;
    vcp_session_pump(self);
    run_until(self, has_all);
    run_until(self, has_ended);
    g_assert_cmpuint(self->received->len, ==, 8 * N_BYTES);
    g_assert_no_error(self->end->error);
}

/* What the peer said before it went is heard, even where our own bytes fail first. */
static void
speak_and_go(int fd, gpointer data)
{
    const PeerTls tls = {directory, "hypervisor", TLS13, FALSE};
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
    connect_peer(self, speak_and_go, tls, tls != NULL);
    run_until(self, has_all);
    send_now(self, "x");
    g_clear_pointer(&self->peer, peer_free);
    for (int i = 0; i < 3; i++)
        send_now(self, "into the void");
    vcp_session_pump(self);
    run_until(self, has_ended);
    g_assert_no_error(self->end->error);
    /* Or the session would take it for a TLS handshake that never came to its end. */
    g_assert_true(self->end->ready);
    assert_received(self, "hello, last words");
}

/* --- given up --- */

static void
test_close_at_once(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_port(self, 1, FALSE, NULL);
    hang_up(self);
    vcp_compute_close(NULL);
}

static void
test_close_connecting(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    PeerFull full;

    peer_full_init(&full);
    connect_port(self, full.port, FALSE, NULL);
    /* The connection is begun, and then nothing happens any more. */
    uv_run(&self->loop, UV_RUN_NOWAIT);
    uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_false(self->end->ready || self->end->eof);
    hang_up(self);
    peer_full_clear(&full);
}

static void
test_close_plain(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_peer(self, wait_for_end, NULL, FALSE);
    run_until(self, is_ready);
    hang_up(self);
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
    connect_port(self, port, FALSE, NULL);
    run_until(self, is_ready);
    self->is_moving = TRUE;
    vcp_session_pump(self);
    run_until(self, is_stuck);
    vcp_compute_start_tls(self->end);
    g_assert_false(self->end->ready);
    g_assert_cmpuint(vc_buffer_length(&self->end->out), >, 0);
    hang_up(self);
    close(listener);
}

static void
test_close_in_handshake(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_peer(self, wait_for_end, NULL, FALSE);
    run_until(self, is_ready);
    vcp_compute_start_tls(self->end);
    uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_false(self->end->ready || self->end->eof);
    hang_up(self);
}

static void
test_close_open(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_peer(self, echo, TLS13, TRUE);
    run_until(self, is_ready);
    queue(self, "world");
    vcp_session_pump(self);
    run_until(self, has_sent_all);
    hang_up(self);
}

static void
test_close_broken(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    connect_port(self, peer_unused_port(), FALSE, NULL);
    run_until(self, has_ended);
    hang_up(self);
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
    const char *data;
} tests[] = {
    {"/compute/plain", test_plain, NULL},
    {"/compute/refused", test_refused, NULL},
    {"/compute/reset", test_reset, NULL},
    {"/compute/connect-timeout", test_connect_timeout, NULL},
    {"/compute/tls-1.2", test_tls, TLS12},
    {"/compute/tls-1.3", test_tls, TLS13},
    {"/compute/server-name", test_server_name, NULL},
    {"/compute/wrong-server-name", test_wrong_server_name, NULL},
    {"/compute/wrong-address", test_wrong_address, NULL},
    {"/compute/ours-refused", test_ours_refused, NULL},
    {"/compute/early-end", test_early_end, NULL},
    {"/compute/no-tls", test_no_tls, NULL},
    {"/compute/no-credentials", test_no_credentials, NULL},
    {"/compute/tls-timeout", test_tls_timeout, NULL},
    {"/compute/start-tls-1.2", test_start_tls, TLS12},
    {"/compute/start-tls-1.3", test_start_tls, TLS13},
    {"/compute/start-tls-without-credentials", test_start_tls_without_credentials, NULL},
    {"/compute/start-tls-too-late", test_start_tls_too_late, NULL},
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
    g_test_init(&argc, &argv, NULL);
    directory = certs_make();
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, tests[i].data, set_up, tests[i].run, tear_down);
    int failed = g_test_run();
    certs_remove(directory);
    return failed;
}
