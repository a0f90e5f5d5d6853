/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The session that only moves bytes, and what is common to the tests with it. */
#include "compute-lab.h"

#include <string.h>

#include "certs.h"
#include "proxy/compute.h"

char *compute_lab_directory;

/* --- a session --- */

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

void
compute_lab_run_until(Fixture *self, Until done)
{
    while (!done(self)) {
        gboolean goes_on = uv_run(&self->loop, UV_RUN_ONCE) != 0;
        g_assert_true(goes_on || done(self));
    }
}

gboolean
compute_lab_is_ready(const Fixture *self)
{
    return self->end->ready;
}

gboolean
compute_lab_has_ended(const Fixture *self)
{
    return self->end->eof && vc_buffer_length(&self->end->in) == 0;
}

gboolean
compute_lab_has_all(const Fixture *self)
{
    return self->received->len >= self->expected;
}

gboolean
compute_lab_is_full(const Fixture *self)
{
    return vc_buffer_room(&self->end->in) == 0;
}

gboolean
compute_lab_has_sent_all(const Fixture *self)
{
    return self->sent == self->to_send->len && vc_buffer_length(&self->end->out) == 0;
}

/* --- set-up --- */

VcTlsCredentials *
compute_lab_load(const char *name)
{
    g_autofree char *cert = certs_cert(compute_lab_directory, name);
    g_autofree char *key = certs_key(compute_lab_directory, name);
    g_autofree char *ca = certs_path(compute_lab_directory, "ca.pem");
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
    self->credentials = compute_lab_load("client");
    self->to_send = g_byte_array_new();
    self->received = g_byte_array_new();
    self->piece = VC_BUFFER_SIZE;
}

void
compute_lab_hang_up(Fixture *self)
{
    g_clear_pointer(&self->end, vcp_compute_close);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpuint(vc_pool_in_use(self->pool), ==, 0);
    g_clear_pointer(&self->peer, peer_free);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    compute_lab_hang_up(self);
    g_assert_cmpuint(peer_count_fds(), ==, self->n_fds);
    g_assert_cmpint(uv_loop_close(&self->loop), ==, 0);
    vc_pool_free(self->pool);
    vc_tls_credentials_unref(self->credentials);
    g_byte_array_unref(self->to_send);
    g_byte_array_unref(self->received);
}

VcService *
compute_lab_make_service(guint16 port, const char *server_name)
{
    g_autofree char *address = g_strdup_printf("127.0.0.1:%u", port);
    json_t *json = json_pack("{s:s, s:s, s:s?}", "type", "vnc", "address", address,
                             "tlsServerName", server_name);
    VcService *service = vc_service_from_json(json, NULL);

    g_assert_nonnull(service);
    json_decref(json);
    return service;
}

void
compute_lab_connect_port(Fixture *self, guint16 port, gboolean tls, const char *server_name)
{
    VcpComputeSetup setup = {.loop = &self->loop,
                             .pool = self->pool,
                             .credentials = self->credentials,
                             .connect_timeout_s = 20};
    g_autoptr(VcService) service = compute_lab_make_service(port, server_name);

    self->end = vcp_compute_connect(&setup, self, service, tls);
    g_assert_nonnull(self->end);
    g_assert_false(self->end->ready);
}

void
compute_lab_connect_peer(Fixture *self, PeerFunc func, gconstpointer data, gboolean tls)
{
    self->peer = peer_new(func, (gpointer)data);
    compute_lab_connect_port(self, peer_port(self->peer), tls, NULL);
}

void
compute_lab_assert_received(const Fixture *self, const char *expected)
{
    g_assert_cmpmem(self->received->data, self->received->len, expected, strlen(expected));
}

void
compute_lab_queue(Fixture *self, const char *text)
{
    g_byte_array_append(self->to_send, (const guint8 *)text, (guint)strlen(text));
    self->is_moving = TRUE;
}

/* --- peers --- */

void
compute_lab_wait_for_end(int fd, gpointer data G_GNUC_UNUSED)
{
    peer_wait_for_end(fd);
}

void
compute_lab_echo(int fd, gpointer priority)
{
    const PeerTls tls = {compute_lab_directory, "hypervisor", priority, TRUE};
    PeerSession *session = peer_tls_accept(fd, &tls);

    g_assert_nonnull(session);
    peer_tls_echo(session);
    peer_tls_free(session);
}

/* --- running --- */

int
compute_lab_run(int argc, char **argv, const ComputeLabTest *tests, gsize n_tests)
{
    g_test_init(&argc, &argv, NULL);
    compute_lab_directory = certs_make();
    for (gsize i = 0; i < n_tests; i++)
        g_test_add(tests[i].path, Fixture, tests[i].data, set_up, tests[i].run, tear_down);
    int failed = g_test_run();
    certs_remove(compute_lab_directory);
    return failed;
}
