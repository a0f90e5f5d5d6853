/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Records that are read ahead: all that has come is had before the socket is waited for.
 * Segments that records share, and the group of the key exchange. */
#include "proxy/tls-client.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "certs.h"
#include "tls-connection.h"

#define NAME  "hypervisor.example"
#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

static char *directory;

static void
start(TlsConnection *self, PeerFunc func, gpointer data)
{
    g_autoptr(VcTlsCredentials) credentials =
        tls_connection_load(directory, "client", "ca.pem");

    tls_connection_start(self, func, data, credentials, NAME);
    tls_connection_must_shake_hands(self);
}

/* --- a server that sends at once what others send in pieces --- */

/* As spice-server, by OpenSSL, which sends tickets to whoever did not ask for any. All that it
 * writes is gathered. */
typedef struct {
    SSL_CTX *tls;
    SSL *session;
    BIO *in, *out;
    int fd;
} Gatherer;

static void
gatherer_flush(Gatherer *self)
{
    char *bytes;
    long n = BIO_get_mem_data(self->out, &bytes);

    if (n > 0)
        peer_write(self->fd, bytes, (gsize)n);
    BIO_reset(self->out);
}

static void
gatherer_shake_hands(Gatherer *self)
{
    char bytes[4096];

    while (SSL_accept(self->session) != 1) {
        gatherer_flush(self);
        gssize n = recv(self->fd, bytes, sizeof bytes, 0);
        g_assert_cmpint(n, >, 0);
        BIO_write(self->in, bytes, (int)n);
    }
}

static void
gatherer_init(Gatherer *self, int fd, int version)
{
    g_autofree char *cert = certs_cert(directory, "hypervisor");
    g_autofree char *key = certs_key(directory, "hypervisor");

    self->fd = fd;
    self->tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(self->tls, version);
    SSL_CTX_set_max_proto_version(self->tls, version);
    g_assert_cmpint(SSL_CTX_use_certificate_chain_file(self->tls, cert), ==, 1);
    g_assert_cmpint(SSL_CTX_use_PrivateKey_file(self->tls, key, SSL_FILETYPE_PEM), ==, 1);
    self->session = SSL_new(self->tls);
    self->in = BIO_new(BIO_s_mem());
    self->out = BIO_new(BIO_s_mem());
    SSL_set_bio(self->session, self->in, self->out);
    gatherer_shake_hands(self);
}

static void
gatherer_clear(Gatherer *self)
{
    SSL_free(self->session);
    SSL_CTX_free(self->tls);
}

/* --- all before the first VCP_TLS_AGAIN --- */

typedef struct {
    const char *name;
    int version;
    gsize n_records, size; /* in one segment, so not too many */
    gsize room;
} Burst;

static const Burst bursts[] = {
    {"one", TLS1_3_VERSION, 1, 5, 16384},
    {"one-tls-1.2", TLS1_2_VERSION, 1, 5, 16384},
    {"small", TLS1_3_VERSION, 300, 3, 16384},
    {"small-tls-1.2", TLS1_2_VERSION, 300, 3, 16384},
    {"byte-by-byte", TLS1_3_VERSION, 300, 3, 1},
    {"byte-by-byte-tls-1.2", TLS1_2_VERSION, 300, 3, 1},
    {"small-room", TLS1_3_VERSION, 60, 250, 100},
    {"small-room-tls-1.2", TLS1_2_VERSION, 60, 250, 100},
    {"full-record", TLS1_3_VERSION, 1, 16384, 16384},
    {"full-record-small-room", TLS1_3_VERSION, 1, 16384, 100},
    {"full-record-byte-by-byte", TLS1_3_VERSION, 1, 16384, 1},
};

/* The n-th byte of what a server sends. */
static char
nth(gsize n)
{
    return (char)(n * 31 + n / 251);
}

static void
fill(char *bytes, gsize from, gsize length)
{
    for (gsize i = 0; i < length; i++)
        bytes[i] = nth(from + i);
}

static void
burst(int fd, gpointer data)
{
    const Burst *row = data;
    g_autofree char *bytes = g_malloc(row->size);
    Gatherer server;

    gatherer_init(&server, fd, row->version);
    /* Tickets of TLS 1.3; in TLS 1.2 the end of the handshake. */
    g_assert_cmpuint(BIO_pending(server.out), >, 0);
    if (row->version == TLS1_2_VERSION)
        gatherer_flush(&server);
    for (gsize i = 0; i < row->n_records; i++) {
        fill(bytes, i * row->size, row->size);
        g_assert_cmpint(SSL_write(server.session, bytes, (int)row->size), ==, row->size);
    }
    gatherer_flush(&server);
    peer_wait_for_end(fd);
    gatherer_clear(&server);
}

static void
test_burst(gconstpointer data)
{
    Burst row = *(const Burst *)data;
    gsize expected = row.n_records * row.size;
    g_autofree char *bytes = g_malloc(row.room);
    TlsConnection connection;
    gsize received = 0;
    gssize n;

    start(&connection, burst, &row);
    tls_connection_wait(&connection, POLLIN);
    while ((n = vcp_tls_client_receive(connection.client, (guint8 *)bytes, row.room, NULL)) >
           0) {
        g_assert_cmpint(n, <=, row.room);
        for (gsize i = 0; i < (gsize)n; i++)
            g_assert_cmpint(bytes[i], ==, nth(received + i));
        received += (gsize)n;
    }
    g_assert_cmpint(n, ==, VCP_TLS_AGAIN);
    g_assert_cmpuint(received, ==, expected);
    tls_connection_stop(&connection);
}

/* --- more than is read ahead at once --- */

#define N_BYTES 500000

static void
flood(int fd, gpointer data)
{
    const PeerTls tls = {directory, "hypervisor", data, FALSE};
    PeerSession *session = peer_tls_accept(fd, &tls);
    char bytes[16384];

    g_assert_nonnull(session);
    for (gsize sent = 0; sent < N_BYTES;) {
        gsize part = MIN(1 + sent * 7 % sizeof bytes, N_BYTES - sent);
        fill(bytes, sent, part);
        g_assert_cmpint(gnutls_record_send(peer_tls_session(session), bytes, part), ==, part);
        sent += part;
    }
    /* Silent: whoever has left something behind is told of no more. */
    peer_wait_for_end(fd);
    peer_tls_free(session);
}

/* Whoever stops in between, as the session does where the other side is slow, goes on later
 * without a word from the socket. */
static void
test_flood(gconstpointer priority)
{
    g_autofree char *data = g_strdup(priority);
    TlsConnection connection;
    gsize received = 0;
    char bytes[1000];

    start(&connection, flood, data);
    while (received < N_BYTES) {
        gsize room = 1 + received % sizeof bytes;
        gssize n = tls_connection_receive(&connection, bytes, room, NULL);
        g_assert_cmpint(n, >, 0);
        for (gsize i = 0; i < (gsize)n; i++)
            g_assert_cmpint(bytes[i], ==, nth(received + i));
        received += (gsize)n;
    }
    g_assert_cmpuint(received, ==, N_BYTES);
    g_assert_cmpint(vcp_tls_client_receive(connection.client, (guint8 *)bytes, 1, NULL), ==,
                    VCP_TLS_AGAIN);
    tls_connection_stop(&connection);
}

/* The end is behind the bytes that were read with it. */
static void
say_and_go(int fd, gpointer data)
{
    const int *version = data;
    Gatherer server;

    gatherer_init(&server, fd, *version);
    for (int i = 0; i < 50; i++)
        g_assert_cmpint(SSL_write(server.session, "word", 4), ==, 4);
    SSL_shutdown(server.session);
    gatherer_flush(&server);
    gatherer_clear(&server);
}

static void
test_end(void)
{
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (gsize i = 0; i < G_N_ELEMENTS(versions); i++) {
        g_autoptr(GError) error = NULL;
        TlsConnection connection;
        char byte;

        start(&connection, say_and_go, &versions[i]);
        for (int k = 0; k < 50; k++)
            tls_connection_must_receive(&connection, "word");
        g_assert_cmpint(tls_connection_receive(&connection, &byte, 1, &error), ==, 0);
        g_assert_no_error(error);
        tls_connection_stop(&connection);
    }
}

/* --- sending --- */

#define N_ROUNDS 8

/* Three full records and one that is not. */
#define ROUND_SIZE (3 * VCP_TLS_RECORD_SIZE + 100)

static guint
count_segments(const TlsConnection *connection)
{
    struct tcp_info info;
    socklen_t length = sizeof info;

    g_assert_cmpint(getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &length), ==, 0);
    return info.tcpi_data_segs_out;
}

static void
swallow(int fd, gpointer data)
{
    const PeerTls tls = {directory, "hypervisor", data, FALSE};
    PeerSession *session = peer_tls_accept(fd, &tls);
    char bytes[VCP_TLS_RECORD_SIZE];

    g_assert_nonnull(session);
    for (guint i = 0; i < N_ROUNDS; i++) {
        for (gsize received = 0; received < ROUND_SIZE;) {
            gssize n = gnutls_record_recv(peer_tls_session(session), bytes, sizeof bytes);
            g_assert_cmpint(n, >, 0);
            received += (gsize)n;
        }
        gnutls_record_send(peer_tls_session(session), "!", 1);
    }
    peer_tls_free(session);
}

static void
send_round(TlsConnection *connection)
{
    static const guint8 bytes[ROUND_SIZE];

    for (gsize sent = 0; sent < ROUND_SIZE;) {
        gssize n =
            vcp_tls_client_send(connection->client, bytes + sent, ROUND_SIZE - sent, NULL);
        if (n == VCP_TLS_AGAIN) {
            tls_connection_wait(connection, POLLOUT);
        } else {
            g_assert_cmpint(n, >, 0);
            sent += (gsize)n;
        }
    }
}

/* Records share segments, and the last one does not wait for another. */
static void
test_segments(gconstpointer priority)
{
    g_autofree char *data = g_strdup(priority);
    const int on = 1;
    TlsConnection connection;
    int unsent = -1;

    start(&connection, swallow, data);
    setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    guint before = count_segments(&connection);
    for (guint i = 0; i < N_ROUNDS; i++) {
        send_round(&connection);
        if (i == 0) {
            g_assert_cmpint(ioctl(connection.fd, SIOCOUTQNSD, &unsent), ==, 0);
            g_assert_cmpint(unsent, ==, 0);
        }
        tls_connection_must_receive(&connection, "!");
    }
    g_assert_cmpuint(count_segments(&connection) - before, <, 3 * N_ROUNDS);
    tls_connection_stop(&connection);
}

/* --- groups --- */

#define X25519    29
#define KEY_SHARE 51

typedef struct {
    const char *priority; /* of the server */
    gnutls_group_t group;
    guint n_shares; /* seen in the first ClientHello */
} Group;

static int
on_extension(void *data, unsigned type, const unsigned char *bytes, unsigned size)
{
    Group *group = data;

    if (type != KEY_SHARE)
        return 0;
    /* The length of all; then group, length and value of each. */
    for (gsize at = 2; at + 4 <= size; at += 4 + (gsize)(bytes[at + 2] << 8 | bytes[at + 3])) {
        g_assert_cmpint(bytes[at] << 8 | bytes[at + 1], ==, X25519);
        group->n_shares++;
    }
    return 0;
}

static void
look_at_hello(int fd, Group *group)
{
    guint8 bytes[4096];
    gssize n = recv(fd, bytes, sizeof bytes, MSG_PEEK);

    g_assert_cmpint(n, >, 9);
    g_assert_cmpint(n, ==, 5 + (bytes[3] << 8 | bytes[4]));
    /* Behind the headers of the record and the message. */
    const gnutls_datum_t hello = {bytes + 9, (unsigned)n - 9};
    g_assert_cmpint(
        gnutls_ext_raw_parse(group, on_extension, &hello, GNUTLS_EXT_RAW_FLAG_TLS_CLIENT_HELLO),
        ==, 0);
}

static void
greet_with_group(int fd, gpointer data)
{
    Group *group = data;
    const PeerTls tls = {directory, "hypervisor", group->priority, TRUE};

    look_at_hello(fd, group);
    PeerSession *session = peer_tls_accept(fd, &tls);
    g_assert_nonnull(session);
    g_assert_cmpint(gnutls_group_get(peer_tls_session(session)), ==, group->group);
    gnutls_record_send(peer_tls_session(session), "hello", 5);
    gnutls_bye(peer_tls_session(session), GNUTLS_SHUT_WR);
    peer_tls_free(session);
}

/* The client has sent a share of X25519 only: any other group takes a HelloRetryRequest. */
static void
test_groups(void)
{
    Group groups[] = {
        {TLS13, GNUTLS_GROUP_X25519, 0},
        {TLS13 ":-GROUP-ALL:+GROUP-X25519", GNUTLS_GROUP_X25519, 0},
        {TLS13 ":-GROUP-ALL:+GROUP-SECP256R1", GNUTLS_GROUP_SECP256R1, 0},
        {TLS13 ":-GROUP-ALL:+GROUP-SECP384R1", GNUTLS_GROUP_SECP384R1, 0},
        {TLS12 ":-GROUP-ALL:+GROUP-SECP256R1", GNUTLS_GROUP_SECP256R1, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(groups); i++) {
        TlsConnection connection;
        start(&connection, greet_with_group, &groups[i]);
        tls_connection_must_receive(&connection, "hello");
        tls_connection_stop(&connection);
        g_assert_cmpuint(groups[i].n_shares, ==, 1);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = certs_make();
    for (gsize i = 0; i < G_N_ELEMENTS(bursts); i++) {
        g_autofree char *path = g_strdup_printf("/tls-records/burst/%s", bursts[i].name);
        g_test_add_data_func(path, &bursts[i], test_burst);
    }
    g_test_add_data_func("/tls-records/flood-tls-1.2", TLS12, test_flood);
    g_test_add_data_func("/tls-records/flood-tls-1.3", TLS13, test_flood);
    g_test_add_func("/tls-records/end", test_end);
    g_test_add_data_func("/tls-records/segments-tls-1.2", TLS12, test_segments);
    g_test_add_data_func("/tls-records/segments-tls-1.3", TLS13, test_segments);
    g_test_add_func("/tls-records/groups", test_groups);
    int failed = g_test_run();
    certs_remove(directory);
    return failed;
}
