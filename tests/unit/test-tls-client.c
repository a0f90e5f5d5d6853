/* SPDX-License-Identifier: LGPL-2.1-or-later
 * TLS towards a server in the same process: whose certificate is accepted, what comes out when
 * the peer is none, and bytes in both directions. */
#include "proxy/tls-client.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "certs.h"
#include "common/error.h"
#include "tls-connection.h"

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define TLS11 "NORMAL:-VERS-ALL:+VERS-TLS1.1:+SHA1"

static char *directory;

static void
start(TlsConnection *self, PeerFunc func, gpointer data, const char *cert, const char *name)
{
    g_autoptr(VcTlsCredentials) credentials = tls_connection_load(directory, cert, "ca.pem");

    tls_connection_start(self, func, data, credentials, name);
}

/* --- certificates --- */

typedef struct {
    const char *name;
    const char *server;
    const char *verify; /* the name */
    const char *client;
    const char *priority;
    int code; /* -1: accepted */
} Row;

#define NAME "hypervisor.example"

static const Row rows[] = {
    {"name", "hypervisor", NAME, "client", TLS13, -1},
    {"name-tls-1.2", "hypervisor", NAME, "client", TLS12, -1},
    {"capitals", "hypervisor", "Hypervisor.EXAMPLE", "client", TLS13, -1},
    {"dot-at-end", "hypervisor", NAME ".", "client", TLS13, -1},
    {"v4", "hypervisor", "127.0.0.1", "client", TLS13, -1},
    {"v6", "hypervisor", "::1", "client", TLS13, -1},
    {"v6-other-spelling", "hypervisor", "0:0::0:1", "client", TLS13, -1},
    {"v6-with-zone", "hypervisor", "::1%lo", "client", TLS13, -1},
    {"wildcard", "wildcard", "a.wild.example", "client", TLS13, -1},
    {"cn-without-san", "cn-only", NAME, "client", TLS13, -1},
    {"any-purpose", "any-purpose", NAME, "client", TLS13, -1},

    {"other-host", "other", NAME, "client", TLS13, VC_ERROR_CERTIFICATE},
    {"other-host-tls-1.2", "other", NAME, "client", TLS12, VC_ERROR_CERTIFICATE},
    {"other-v4", "other", "127.0.0.1", "client", TLS13, VC_ERROR_CERTIFICATE},
    {"other-v6", "hypervisor", "::2", "client", TLS13, VC_ERROR_CERTIFICATE},
    {"name-of-subject", "hypervisor", "hypervisor", "client", TLS13, VC_ERROR_CERTIFICATE},
    {"longer-name", "hypervisor", "x." NAME, "client", TLS13, VC_ERROR_CERTIFICATE},
    {"shorter-name", "hypervisor", "example", "client", TLS13, VC_ERROR_CERTIFICATE},
    {"dot-alone", "hypervisor", ".", "client", TLS13, VC_ERROR_CERTIFICATE},
    {"wildcard-two-labels", "wildcard", "a.b.wild.example", "client", TLS13,
     VC_ERROR_CERTIFICATE},
    {"wildcard-no-label", "wildcard", "wild.example", "client", TLS13, VC_ERROR_CERTIFICATE},
    {"cn-besides-san", "cn-besides", NAME, "client", TLS13, VC_ERROR_CERTIFICATE},
    {"v4-as-name", "ip-as-name", "127.0.0.1", "client", TLS13, VC_ERROR_CERTIFICATE},
    {"v4-almost", "hypervisor", "127.1", "client", TLS13, VC_ERROR_CERTIFICATE},
    {"expired", "expired", NAME, "client", TLS13, VC_ERROR_CERTIFICATE},
    {"not-yet-valid", "future", NAME, "client", TLS13, VC_ERROR_CERTIFICATE},
    {"wrong-purpose", "wrong-purpose", NAME, "client", TLS13, VC_ERROR_CERTIFICATE},
    {"other-ca", "stranger", NAME, "client", TLS13, VC_ERROR_CERTIFICATE},
    {"ours-refused-tls-1.2", "hypervisor", NAME, "strange-client", TLS12, VC_ERROR_CERTIFICATE},
    {"old-version", "hypervisor", NAME, "client", TLS11, VC_ERROR_PROTOCOL},
};

static void
greet(int fd, gpointer data)
{
    const Row *row = data;
    const PeerTls tls = {directory, row->server, row->priority, TRUE};
    PeerSession *session = peer_tls_accept(fd, &tls);

    if (session == NULL)
        return;
    gnutls_record_send(peer_tls_session(session), "hello", 5);
    gnutls_bye(peer_tls_session(session), GNUTLS_SHUT_WR);
    peer_tls_free(session);
}

static void
test_certificate(gconstpointer data)
{
    Row row = *(const Row *)data;
    g_autoptr(GError) error = NULL;
    TlsConnection connection;

    start(&connection, greet, &row, row.client, row.verify);
    VcpTlsStep step = tls_connection_shake_hands(&connection, &error);
    if (row.code < 0) {
        g_assert_no_error(error);
        g_assert_cmpint(step, ==, VCP_TLS_DONE);
        tls_connection_must_receive(&connection, "hello");
    } else {
        g_assert_cmpint(step, ==, VCP_TLS_FAILED);
        g_assert_error(error, VC_ERROR, row.code);
        g_test_message("%s", error->message);
    }
    tls_connection_stop(&connection);
}

/* TLS 1.3's server judges us when we believe that all is done. */
static void
test_ours_refused(void)
{
    Row row = {.server = "hypervisor", .priority = TLS13};
    g_autoptr(GError) error = NULL;
    TlsConnection connection;
    char byte;

    start(&connection, greet, &row, "strange-client", NAME);
    tls_connection_must_shake_hands(&connection);
    g_assert_cmpint(tls_connection_receive(&connection, &byte, 1, &error), ==, -1);
    g_assert_error(error, VC_ERROR, VC_ERROR_CERTIFICATE);
    tls_connection_stop(&connection);
}

/* --- server name --- */

static char seen_name[64];

static void
look_at_name(int fd, gpointer data G_GNUC_UNUSED)
{
    const PeerTls tls = {directory, "hypervisor", NULL, FALSE};
    PeerSession *session = peer_tls_accept(fd, &tls);
    gsize length = sizeof seen_name;
    unsigned type = 0;

    g_assert_nonnull(session);
    if (gnutls_server_name_get(peer_tls_session(session), seen_name, &length, &type, 0) != 0)
        seen_name[0] = '\0';
    peer_tls_free(session);
}

/* An address is no server name (RFC 6066, 3). */
static void
test_server_name(void)
{
    static const struct {
        const char *verify;
        const char *seen;
    } names[] = {
        {NAME, NAME}, {NAME ".", NAME}, {"127.0.0.1", ""}, {"::1", ""}, {"::1%lo", ""}};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        TlsConnection connection;
        start(&connection, look_at_name, NULL, "client", names[i].verify);
        tls_connection_must_shake_hands(&connection);
        tls_connection_stop(&connection);
        g_assert_cmpstr(seen_name, ==, names[i].seen);
    }
}

/* --- peers that speak no TLS --- */

static const struct {
    const char *name;
    const char *bytes;
    gsize length;
    int code;
} strangers[] = {
    {"closes", "", 0, VC_ERROR_PROTOCOL},
    {"rfb", "RFB 003.008\n", 12, VC_ERROR_PROTOCOL},
    {"http", "HTTP/1.1 400 Bad Request\r\n\r\n", 28, VC_ERROR_PROTOCOL},
    {"zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, VC_ERROR_PROTOCOL},
    {"half-record", "\x16\x03\x03\x00\x50\x02\x00", 7, VC_ERROR_PROTOCOL},
    {"huge-record", "\x16\x03\x03\xff\xff\x02\x00\x00\x00\x00", 10, VC_ERROR_PROTOCOL},
    {"application-data", "\x17\x03\x03\x00\x02hi", 7, VC_ERROR_PROTOCOL},
    {"handshake-failure", "\x15\x03\x03\x00\x02\x02\x28", 7, VC_ERROR_PROTOCOL},
    {"unknown-ca", "\x15\x03\x03\x00\x02\x02\x30", 7, VC_ERROR_CERTIFICATE},
};

static void
say_something(int fd, gpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    guint8 hello[5];

    peer_read(fd, hello, sizeof hello);
    if (strangers[i].length > 0)
        peer_write(fd, strangers[i].bytes, strangers[i].length);
    /* Whatever is unread now would turn the end into a reset. */
    gsize rest = (gsize)hello[3] << 8 | hello[4];
    g_autofree guint8 *body = g_malloc(rest);
    peer_read(fd, body, rest);
}

static void
test_stranger(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    TlsConnection connection;

    start(&connection, say_something, GSIZE_TO_POINTER(i), "client", NAME);
    g_assert_cmpint(tls_connection_shake_hands(&connection, &error), ==, VCP_TLS_FAILED);
    g_assert_error(error, VC_ERROR, strangers[i].code);
    g_test_message("%s", error->message);
    tls_connection_stop(&connection);
}

static void
read_and_reset(int fd, gpointer data G_GNUC_UNUSED)
{
    guint8 hello[5];

    peer_read(fd, hello, sizeof hello);
    peer_will_reset(fd);
}

static void
test_reset(void)
{
    g_autoptr(GError) error = NULL;
    TlsConnection connection;

    start(&connection, read_and_reset, NULL, "client", NAME);
    g_assert_cmpint(tls_connection_shake_hands(&connection, &error), ==, VCP_TLS_FAILED);
    g_assert_error(error, VC_ERROR, VC_ERROR_UNREACHABLE);
    tls_connection_stop(&connection);
}

/* --- ends --- */

typedef enum { CLOSE_NOTIFY, CLOSE, RESET, GARBAGE, RENEGOTIATE, N_ENDS } End;

static void
end(int fd, gpointer data)
{
    End how = (End)GPOINTER_TO_SIZE(data);
    const PeerTls tls = {directory, "hypervisor", how == RENEGOTIATE ? TLS12 : TLS13, FALSE};
    PeerSession *session = peer_tls_accept(fd, &tls);
    char byte;

    g_assert_nonnull(session);
    gnutls_record_send(peer_tls_session(session), "last words", 10);
    if (how == CLOSE_NOTIFY)
        gnutls_bye(peer_tls_session(session), GNUTLS_SHUT_WR);
    if (how == GARBAGE)
        peer_write(fd, "\x17\x03\x03\x00\x14nothing that decrypts", 25);
    if (how == RENEGOTIATE)
        gnutls_rehandshake(peer_tls_session(session));
    if (how == RESET) {
        g_assert_cmpint(gnutls_record_recv(peer_tls_session(session), &byte, 1), ==, 1);
        peer_will_reset(fd);
    }
    peer_tls_free(session);
}

static void
assert_ends(TlsConnection *connection, End how)
{
    g_autoptr(GError) error = NULL;
    gssize expected = how == GARBAGE || how == RENEGOTIATE ? -1 : 0;
    char byte;

    g_assert_cmpint(tls_connection_receive(connection, &byte, 1, &error), ==, expected);
    if (expected == 0)
        g_assert_no_error(error);
    else
        g_assert_error(error, VC_ERROR, VC_ERROR_PROTOCOL);
}

static void
test_ends(void)
{
    for (End how = CLOSE_NOTIFY; how < N_ENDS; how++) {
        TlsConnection connection;
        start(&connection, end, GSIZE_TO_POINTER(how), "client", NAME);
        tls_connection_must_shake_hands(&connection);
        tls_connection_must_receive(&connection, "last words");
        if (how == RESET)
            g_assert_cmpint(
                vcp_tls_client_send(connection.client, (const guint8 *)"x", 1, NULL), ==, 1);
        assert_ends(&connection, how);
        tls_connection_stop(&connection);
    }
}

/* --- bytes --- */

#define N_BYTES (1 << 20)

typedef struct {
    guint8 *sent;
    guint8 *received;
    gsize n_sent;
    gsize n_received;
    GRand *random;
} Flow;

static void
echo(int fd, gpointer data)
{
    const PeerTls tls = {directory, "hypervisor", data, FALSE};
    PeerSession *session = peer_tls_accept(fd, &tls);

    g_assert_nonnull(session);
    gnutls_session_key_update(peer_tls_session(session), 0);
    peer_tls_echo(session);
    peer_tls_free(session);
}

static gsize
any_up_to(Flow *flow, gint32 most, gsize left)
{
    gsize any = (gsize)g_rand_int_range(flow->random, 1, most);

    return MIN(any, left);
}

/* FALSE: the socket must be waited for. */
static gboolean
send_some(TlsConnection *connection, Flow *flow)
{
    gsize length = any_up_to(flow, 40000, N_BYTES - flow->n_sent);
    gssize n = vcp_tls_client_send(connection->client, flow->sent + flow->n_sent, length, NULL);

    if (n == VCP_TLS_AGAIN)
        return FALSE;
    g_assert_cmpint(n, >, 0);
    g_assert_cmpint(n, <=, VCP_TLS_RECORD_SIZE);
    flow->n_sent += (gsize)n;
    return TRUE;
}

static gboolean
receive_some(TlsConnection *connection, Flow *flow)
{
    gsize room = any_up_to(flow, 20000, N_BYTES - flow->n_received);
    guint8 *to = flow->received + flow->n_received;
    gssize n = vcp_tls_client_receive(connection->client, to, room, NULL);

    if (n == VCP_TLS_AGAIN)
        return FALSE;
    g_assert_cmpint(n, >, 0);
    flow->n_received += (gsize)n;
    return TRUE;
}

static void
run(TlsConnection *connection, Flow *flow)
{
    while (flow->n_received < N_BYTES) {
        gboolean is_sending = flow->n_sent < N_BYTES;
        gboolean sent = is_sending && send_some(connection, flow);
        gboolean received = receive_some(connection, flow);
        if (!sent && !received)
            tls_connection_wait(connection, POLLIN | (is_sending ? POLLOUT : 0));
    }
}

/* Both directions at once through small socket buffers, so that records get stuck half sent. */
static void
test_flow(gconstpointer priority)
{
    Flow flow = {.sent = g_malloc(N_BYTES), .received = g_malloc(N_BYTES)};
    g_autofree char *data = g_strdup(priority);
    TlsConnection connection;
    int small = 4096;

    flow.random = g_rand_new_with_seed(1);
    for (gsize i = 0; i < N_BYTES; i++)
        flow.sent[i] = (guint8)g_rand_int(flow.random);
    start(&connection, echo, data, "client", NAME);
    setsockopt(connection.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    tls_connection_must_shake_hands(&connection);
    run(&connection, &flow);
    g_assert_cmpmem(flow.received, N_BYTES, flow.sent, N_BYTES);
    tls_connection_stop(&connection);
    g_rand_free(flow.random);
    g_free(flow.sent);
    g_free(flow.received);
}

/* --- life --- */

static void
wait_for_end(int fd, gpointer data G_GNUC_UNUSED)
{
    peer_wait_for_end(fd);
}

/* Given up before and in the handshake; the credentials may go before the client does. */
static void
test_given_up(void)
{
    for (int handshake = 0; handshake < 2; handshake++) {
        TlsConnection connection;
        start(&connection, wait_for_end, NULL, "client", NAME);
        g_clear_pointer(&connection.credentials, vc_tls_credentials_unref);
        if (handshake != 0)
            g_assert_cmpint(vcp_tls_client_handshake(connection.client, NULL), ==,
                            VCP_TLS_WANTS_READ);
        tls_connection_stop(&connection);
    }
    vcp_tls_client_free(NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = certs_make();
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/tls-client/certificate/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_certificate);
    }
    g_test_add_func("/tls-client/ours-refused", test_ours_refused);
    g_test_add_func("/tls-client/server-name", test_server_name);
    for (gsize i = 0; i < G_N_ELEMENTS(strangers); i++) {
        g_autofree char *path = g_strdup_printf("/tls-client/stranger/%s", strangers[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_stranger);
    }
    g_test_add_func("/tls-client/reset", test_reset);
    g_test_add_func("/tls-client/ends", test_ends);
    g_test_add_data_func("/tls-client/flow-tls-1.2", TLS12, test_flow);
    g_test_add_data_func("/tls-client/flow-tls-1.3", TLS13, test_flow);
    g_test_add_func("/tls-client/given-up", test_given_up);
    int failed = g_test_run();
    certs_remove(directory);
    return failed;
}
