/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What no proxy can do without on this machine: CPU time of receiving and sending TLS records
 * with the libraries that the proxy uses, OpenSSL towards clients and GnuTLS towards
 * hypervisors, system calls and the kernel's TCP among it, and of a handshake on either side.
 *
 *     bench-limit --ca FILE --server DIR --client-cert FILE --client-key FILE
 *
 * One thread plays both ends of a connection over loopback and counts the time of the proxy's
 * end alone. Prints a JSON object: "receive" and "send" by library and size of a message, in µs
 * a message; "accept" and "connect", in µs. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define RECORD     16384
#define MAX_SIZE   65536
#define BULK       (G_GINT64_CONSTANT(32) << 20) /* bytes a measurement */
#define MESSAGES   4000                          /* at the most */
#define HANDSHAKES 50

static char *ca, *server, *client_cert, *client_key;
static guint8 bytes[MAX_SIZE];

/* --- clocks --- */

static double
thread_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* What looking at the clock costs by itself. */
static double
clock_us(void)
{
    double begin = thread_us();

    for (int i = 0; i < 10000; i++)
        thread_us();
    return (thread_us() - begin) / 10000;
}

/* --- a connection within this process --- */

static void
connect_pair(int pair[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &length) != 0 ||
        connect(pair[0], (struct sockaddr *)&at, sizeof at) != 0 ||
        (pair[1] = accept(listener, NULL, NULL)) < 0)
        g_error("no connection over loopback");
    close(listener);
    for (int i = 0; i < 2; i++) {
        setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        fcntl(pair[i], F_SETFL, O_NONBLOCK);
    }
}

/* --- the two libraries as the proxy's end; the other end is OpenSSL's --- */

typedef struct {
    SSL *front;            /* NULL: */
    gnutls_session_t back; /* is there */
    SSL *peer;
    int pair[2];
} Link;

static gboolean
step_own(Link *self)
{
    if (self->front != NULL)
        return SSL_do_handshake(self->front) == 1;
    int code = gnutls_handshake(self->back);
    if (code < 0 && gnutls_error_is_fatal(code))
        g_error("handshake: %s", gnutls_strerror(code));
    return code == 0;
}

static gssize
own_receive(Link *self, gsize length)
{
    return self->front != NULL ? SSL_read(self->front, bytes, (int)length)
                               : gnutls_record_recv(self->back, bytes, length);
}

static gssize
own_send(Link *self, gsize length)
{
    return self->front != NULL ? SSL_write(self->front, bytes, (int)length)
                               : gnutls_record_send(self->back, bytes, length);
}

/* Returns the time of the proxy's end. */
static double
shake_hands(Link *self)
{
    gboolean own_done = FALSE, peer_done = FALSE;
    double total = 0, lost = clock_us();

    while (!own_done || !peer_done) {
        peer_done = peer_done || SSL_do_handshake(self->peer) == 1;
        double begin = thread_us();
        own_done = own_done || step_own(self);
        total += thread_us() - begin - lost;
    }
    return total;
}

static Link
link_front(SSL_CTX *server_tls, SSL_CTX *client_tls, SSL_SESSION *resumed)
{
    Link self = {.front = SSL_new(server_tls), .peer = SSL_new(client_tls)};

    connect_pair(self.pair);
    SSL_set_fd(self.front, self.pair[0]);
    SSL_set_fd(self.peer, self.pair[1]);
    SSL_set_accept_state(self.front);
    SSL_set_connect_state(self.peer);
    if (resumed != NULL)
        SSL_set_session(self.peer, resumed);
    return self;
}

static Link
link_back(gnutls_certificate_credentials_t credentials, SSL_CTX *server_tls)
{
    Link self = {.peer = SSL_new(server_tls)};

    connect_pair(self.pair);
    gnutls_init(&self.back, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS);
    gnutls_priority_set_direct(self.back, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);
    gnutls_credentials_set(self.back, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_session_set_verify_cert(self.back, "localhost", 0);
    gnutls_transport_set_int(self.back, self.pair[0]);
    SSL_set_fd(self.peer, self.pair[1]);
    SSL_set_accept_state(self.peer);
    return self;
}

static void
unlink_both(Link *self)
{
    SSL_free(self->front);
    if (self->back != NULL)
        gnutls_deinit(self->back);
    SSL_free(self->peer);
    close(self->pair[0]);
    close(self->pair[1]);
}

/* --- records --- */

static void
peer_drain(Link *self)
{
    while (SSL_read(self->peer, bytes, sizeof bytes) > 0)
        ;
}

static double
time_send(Link *self, gsize size)
{
    double begin = thread_us();

    for (gsize sent = 0; sent < size; sent += MIN(RECORD, size)) {
        if (own_send(self, MIN(RECORD, size)) <= 0)
            g_error("cannot send");
    }
    return thread_us() - begin;
}

static double
time_receive(Link *self, gsize size)
{
    for (gsize sent = 0; sent < size; sent += MIN(RECORD, size)) {
        if (SSL_write(self->peer, bytes, (int)MIN(RECORD, size)) <= 0)
            g_error("the peer cannot send");
    }
    double begin = thread_us();
    for (gsize got = 0; got < size;) {
        gssize n = own_receive(self, size - got);
        got += n > 0 ? (gsize)n : 0;
    }
    return thread_us() - begin;
}

static double
measure(Link *self, gsize size, gboolean sends)
{
    int count = (int)MIN(MESSAGES, BULK / (gint64)size);
    double total = 0, lost = clock_us();

    for (int i = 0; i < count; i++) {
        total += (sends ? time_send(self, size) : time_receive(self, size)) - lost;
        peer_drain(self);
    }
    return total / count;
}

static void
print_records(const char *name, Link *self, gboolean sends)
{
    static const gsize sizes[] = {64, 1024, RECORD, 65536};

    printf("\"%s\": {", name);
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++)
        printf("%s\"%" G_GSIZE_FORMAT "\": %.3f", i > 0 ? ", " : "", sizes[i],
               measure(self, sizes[i], sends));
    printf("}");
}

/* --- all of it --- */

static SSL_SESSION *ticket;

/* A copy of the first: OpenSSL spoils a session of TLS 1.3 that has a successor. */
static int
keep_ticket(SSL *ssl G_GNUC_UNUSED, SSL_SESSION *session)
{
    if (ticket == NULL)
        ticket = SSL_SESSION_dup(session);
    return 0;
}

static double
measure_accept(SSL_CTX *server_tls, SSL_CTX *client_tls, SSL_SESSION *resumed)
{
    double total = 0;

    for (int i = 0; i < HANDSHAKES; i++) {
        SSL_SESSION *copy = resumed != NULL ? SSL_SESSION_dup(resumed) : NULL;
        Link self = link_front(server_tls, client_tls, copy);
        total += shake_hands(&self);
        peer_drain(&self);
        g_assert(SSL_session_reused(self.front) == (resumed != NULL));
        unlink_both(&self);
        SSL_SESSION_free(copy);
    }
    return total / HANDSHAKES;
}

static double
measure_connect(gnutls_certificate_credentials_t credentials, SSL_CTX *server_tls)
{
    double total = 0;

    for (int i = 0; i < HANDSHAKES; i++) {
        Link self = link_back(credentials, server_tls);
        total += shake_hands(&self);
        unlink_both(&self);
    }
    return total / HANDSHAKES;
}

static void
print_all(void)
{
    SSL_CTX *client_tls = wire_client_tls(ca), *backend_tls = wire_server_tls(server);
    SSL_CTX *front_tls = wire_server_tls(server);
    gnutls_certificate_credentials_t credentials;

    SSL_CTX_set_verify(front_tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_num_tickets(front_tls, 2);
    SSL_CTX_sess_set_new_cb(client_tls, keep_ticket);
    gnutls_certificate_allocate_credentials(&credentials);
    gnutls_certificate_set_x509_trust_file(credentials, ca, GNUTLS_X509_FMT_PEM);
    if (gnutls_certificate_set_x509_key_file(credentials, client_cert, client_key,
                                             GNUTLS_X509_FMT_PEM) < 0)
        g_error("%s", client_cert);

    printf("{\"accept\": %.1f, ", measure_accept(front_tls, client_tls, NULL));
    printf("\"accept-resumed\": %.1f, ", measure_accept(front_tls, client_tls, ticket));
    printf("\"connect\": %.1f, ", measure_connect(credentials, backend_tls));

    Link front = link_front(front_tls, client_tls, NULL),
         back = link_back(credentials, backend_tls);
    shake_hands(&front);
    peer_drain(&front);
    shake_hands(&back);
    print_records("openssl-send", &front, TRUE);
    printf(", ");
    print_records("openssl-receive", &front, FALSE);
    printf(", ");
    print_records("gnutls-send", &back, TRUE);
    printf(", ");
    print_records("gnutls-receive", &back, FALSE);
    puts("}");
}

int
main(int argc, char **argv)
{
    const GOptionEntry entries[] = {
        {"ca", 0, 0, G_OPTION_ARG_FILENAME, &ca, "CA of all certificates", "FILE"},
        {"server", 0, 0, G_OPTION_ARG_FILENAME, &server, "Server's, by QEMU's names", "DIR"},
        {"client-cert", 0, 0, G_OPTION_ARG_FILENAME, &client_cert, "Client's", "FILE"},
        {"client-key", 0, 0, G_OPTION_ARG_FILENAME, &client_key, "Its key", "FILE"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || ca == NULL ||
        server == NULL || client_cert == NULL || client_key == NULL) {
        g_printerr("%s\n", error != NULL ? error->message : "see --help");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    print_all();
    return 0;
}
