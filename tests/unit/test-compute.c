/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The end towards the hypervisor: connecting, TLS from the start and later, and what goes
 * wrong. */
#include "proxy/compute.h"

#include <string.h>

#include "common/error.h"
#include "compute-lab.h"

/* --- peers --- */

static void
echo_after_hello(int fd, gpointer priority)
{
    char hello[5];

    peer_read(fd, hello, sizeof hello);
    g_assert_cmpmem(hello, sizeof hello, "hello", 5);
    compute_lab_echo(fd, priority);
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
    const PeerTls tls = {compute_lab_directory, data, TLS13, TRUE};
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
    const PeerTls tls = {compute_lab_directory, "hypervisor", TLS13, FALSE};
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
    compute_lab_connect_peer(self, echo_plain, NULL, FALSE);
    compute_lab_run_until(self, compute_lab_is_ready);
    compute_lab_queue(self, "world");
    vcp_session_pump(self);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_no_error(self->end->error);
    compute_lab_assert_received(self, "greetingsworld");
    g_assert_cmpuint(self->end->bytes_in, ==, 14);
    g_assert_cmpuint(self->end->bytes_out, ==, 5);
}

static void
test_refused(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_port(self, peer_unused_port(), FALSE, NULL);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_REFUSED);
    g_assert_nonnull(strstr(self->end->error->message, "127.0.0.1"));
}

static void
be_reset(Fixture *self)
{
    self->expected = 5;
    compute_lab_connect_peer(self, reset, NULL, FALSE);
    compute_lab_run_until(self, compute_lab_has_all);
    compute_lab_queue(self, "x");
    vcp_session_pump(self);
    compute_lab_run_until(self, compute_lab_has_ended);
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
    g_autoptr(VcService) service = compute_lab_make_service(full.port, NULL);
    self->end = vcp_compute_connect(&setup, self, service, FALSE);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_TIMEOUT);
    peer_full_clear(&full);
}

/* --- TLS --- */

static void
test_tls(Fixture *self, gconstpointer priority)
{
    self->expected = 5;
    compute_lab_connect_peer(self, compute_lab_echo, priority, TRUE);
    compute_lab_run_until(self, compute_lab_is_ready);
    compute_lab_queue(self, "world");
    vcp_session_pump(self);
    compute_lab_run_until(self, compute_lab_has_all);
    compute_lab_assert_received(self, "world");
}

static void
test_server_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->expected = 5;
    self->peer = peer_new(compute_lab_echo, (gpointer)TLS13);
    compute_lab_connect_port(self, peer_port(self->peer), TRUE, "hypervisor.example");
    compute_lab_run_until(self, compute_lab_is_ready);
    compute_lab_queue(self, "world");
    vcp_session_pump(self);
    compute_lab_run_until(self, compute_lab_has_all);
    compute_lab_assert_received(self, "world");
}

static void
test_wrong_server_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->peer = peer_new(shake_hands, (gpointer) "hypervisor");
    compute_lab_connect_port(self, peer_port(self->peer), TRUE, "other.example");
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_CERTIFICATE);
    g_assert_nonnull(strstr(self->end->error->message, "other.example"));
    compute_lab_assert_received(self, "");
}

static void
test_wrong_address(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_peer(self, shake_hands, "other", TRUE);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_CERTIFICATE);
    compute_lab_assert_received(self, "");
}

static void
test_ours_refused(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_clear_pointer(&self->credentials, vc_tls_credentials_unref);
    self->credentials = compute_lab_load("strange-client");
    compute_lab_connect_peer(self, shake_hands, "hypervisor", TRUE);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_CERTIFICATE);
    compute_lab_assert_received(self, "");
}

static void
test_early_end(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_peer(self, accept_and_close, NULL, TRUE);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_CERTIFICATE);
}

static void
test_no_tls(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_connect_peer(self, greet, NULL, TRUE);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_PROTOCOL);
}

static void
test_no_credentials(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_clear_pointer(&self->credentials, vc_tls_credentials_unref);
    compute_lab_connect_peer(self, compute_lab_wait_for_end, NULL, TRUE);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_POLICY);
}

static void
test_tls_timeout(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpComputeSetup setup = {.loop = &self->loop,
                             .pool = self->pool,
                             .credentials = self->credentials,
                             .connect_timeout_s = 1};

    self->peer = peer_new(compute_lab_wait_for_end, NULL);
    g_autoptr(VcService) service = compute_lab_make_service(peer_port(self->peer), NULL);
    self->end = vcp_compute_connect(&setup, self, service, TRUE);
    compute_lab_run_until(self, compute_lab_has_ended);
    g_assert_error(self->end->error, VC_ERROR, VC_ERROR_TIMEOUT);
}

/* --- TLS after plain bytes --- */

static void
test_start_tls(Fixture *self, gconstpointer priority)
{
    self->expected = 5;
    compute_lab_connect_peer(self, echo_after_hello, priority, FALSE);
    compute_lab_run_until(self, compute_lab_is_ready);
    vc_buffer_append(&self->end->out, "hello", 5);
    vcp_compute_start_tls(self->end);
    g_assert_false(self->end->ready);
    compute_lab_run_until(self, compute_lab_is_ready);
    compute_lab_queue(self, "world");
    vcp_session_pump(self);
    compute_lab_run_until(self, compute_lab_has_all);
    compute_lab_assert_received(self, "world");
}

static void
test_start_tls_without_credentials(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_clear_pointer(&self->credentials, vc_tls_credentials_unref);
    compute_lab_connect_peer(self, compute_lab_wait_for_end, NULL, FALSE);
    compute_lab_run_until(self, compute_lab_is_ready);
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

static const ComputeLabTest tests[] = {
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
};

int
main(int argc, char **argv)
{
    return compute_lab_run(argc, argv, tests, G_N_ELEMENTS(tests));
}
