/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Verdicts on client certificates, after real handshakes with a server that asks for one and
 * lets everybody in, as libmicrohttpd's does. */
#include "resolver/client.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs.h"

#define TIMEOUT_S 20
#define TLS_1_2   "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS_1_3   "NORMAL:-VERS-ALL:+VERS-TLS1.3"

static char *directory;

static const struct {
    const char *name;
    const char *cert;       /* nullable: the client shows none */
    const char *allowed[3]; /* empty: everybody */
    VcrClientVerdict verdict;
    const char *subject; /* nullable */
} rows[] = {
    {"none", NULL, {NULL}, VCR_CLIENT_NO_CERTIFICATE, NULL},
    {"none-list", NULL, {"CN=client"}, VCR_CLIENT_NO_CERTIFICATE, NULL},
    {"good", "client", {NULL}, VCR_CLIENT_ALLOWED, "CN=client"},
    {"any-purpose", "client-any", {NULL}, VCR_CLIENT_ALLOWED, "CN=client"},
    {"other-ca", "strange-client", {NULL}, VCR_CLIENT_UNTRUSTED, NULL},
    {"other-ca-listed", "strange-client", {"CN=client"}, VCR_CLIENT_UNTRUSTED, NULL},
    {"expired", "client-expired", {NULL}, VCR_CLIENT_UNTRUSTED, NULL},
    {"expired-listed", "client-expired", {"CN=client"}, VCR_CLIENT_UNTRUSTED, NULL},
    {"future", "client-future", {NULL}, VCR_CLIENT_UNTRUSTED, NULL},
    {"for-servers", "hypervisor", {NULL}, VCR_CLIENT_UNTRUSTED, NULL},
    {"for-servers-listed", "hypervisor", {"hypervisor.example"}, VCR_CLIENT_UNTRUSTED, NULL},

    {"subject", "client", {"CN=client"}, VCR_CLIENT_ALLOWED, "CN=client"},
    {"subject-second", "client", {"CN=a", "CN=client"}, VCR_CLIENT_ALLOWED, "CN=client"},
    {"subject-other", "client", {"CN=a", "CN=b"}, VCR_CLIENT_NOT_ALLOWED, "CN=client"},
    {"subject-case", "client", {"CN=Client"}, VCR_CLIENT_NOT_ALLOWED, "CN=client"},
    {"subject-part", "client", {"CN=clien"}, VCR_CLIENT_NOT_ALLOWED, "CN=client"},
    {"subject-name-only", "client", {"client"}, VCR_CLIENT_NOT_ALLOWED, "CN=client"},
    {"subject-empty", "client", {""}, VCR_CLIENT_NOT_ALLOWED, "CN=client"},
    {"subject-long",
     "client-names",
     {"O=lab,CN=proxy\\, 1"},
     VCR_CLIENT_ALLOWED,
     "O=lab,CN=proxy\\, 1"},
    {"subject-half",
     "client-names",
     {"CN=proxy\\, 1"},
     VCR_CLIENT_NOT_ALLOWED,
     "O=lab,CN=proxy\\, 1"},
    {"subject-nul",
     "client-nul-subject",
     {"CN=client,O=lab", "O=lab", "O=lab,CN=client"},
     VCR_CLIENT_NOT_ALLOWED,
     "O=#0c086c6162006576696c,CN=client"},

    {"dns", "client-names", {"proxy.example"}, VCR_CLIENT_ALLOWED, "O=lab,CN=proxy\\, 1"},
    {"dns-other", "client-names", {"example"}, VCR_CLIENT_NOT_ALLOWED, "O=lab,CN=proxy\\, 1"},
    {"ip", "client-names", {"192.0.2.1"}, VCR_CLIENT_ALLOWED, "O=lab,CN=proxy\\, 1"},
    {"ip-v6", "client-names", {"2001:db8::1"}, VCR_CLIENT_ALLOWED, "O=lab,CN=proxy\\, 1"},
    {"ip-other", "client-names", {"192.0.2.2"}, VCR_CLIENT_NOT_ALLOWED, "O=lab,CN=proxy\\, 1"},
    {"uri", "client-names", {"spiffe://lab/proxy"}, VCR_CLIENT_ALLOWED, "O=lab,CN=proxy\\, 1"},
    {"email", "client-names", {"proxy@lab.example"}, VCR_CLIENT_ALLOWED, "O=lab,CN=proxy\\, 1"},
    {"dns-nul",
     "client-nul",
     {"proxy.example", "proxy.example.evil"},
     VCR_CLIENT_NOT_ALLOWED,
     "CN=client"},
    {"no-names", "client", {"proxy.example"}, VCR_CLIENT_NOT_ALLOWED, "CN=client"},
};

/* --- both ends --- */

typedef struct {
    int fd;
    const char *cert; /* nullable */
    const char *priority;
} Client;

static void
shake_hands(gnutls_session_t session, int fd, const char *priority,
            gnutls_certificate_credentials_t credentials)
{
    int code;

    g_assert_cmpint(gnutls_priority_set_direct(session, priority, NULL), ==, 0);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_transport_set_int(session, fd);
    do
        code = gnutls_handshake(session);
    while (code < 0 && !gnutls_error_is_fatal(code));
    g_assert_cmpint(code, ==, 0);
}

static void
use_certificate(gnutls_certificate_credentials_t credentials, const char *name)
{
    g_autofree char *cert = certs_cert(directory, name);
    g_autofree char *key = certs_key(directory, name);

    g_assert_cmpint(
        gnutls_certificate_set_x509_key_file(credentials, cert, key, GNUTLS_X509_FMT_PEM), >=,
        0);
}

/* Shows its certificate whomever the server trusts, and stays until the server has gone. */
static gpointer
run_client(gpointer data)
{
    Client *self = data;
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
    char byte;

    gnutls_certificate_allocate_credentials(&credentials);
    if (self->cert != NULL)
        use_certificate(credentials, self->cert);
    gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL | GNUTLS_FORCE_CLIENT_CERT);
    shake_hands(session, self->fd, self->priority, credentials);
    g_assert_cmpint(gnutls_record_recv(session, &byte, 1), <=, 0);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    close(self->fd);
    return NULL;
}

static VcrClientVerdict
judge(int fd, const char *priority, char **allowed, char **name)
{
    g_autofree char *ca = certs_path(directory, "ca.pem");
    gnutls_certificate_credentials_t credentials;
    gnutls_x509_trust_list_t trust;
    gnutls_session_t session;

    gnutls_certificate_allocate_credentials(&credentials);
    use_certificate(credentials, "hypervisor");
    g_assert_cmpint(
        gnutls_certificate_set_x509_trust_file(credentials, ca, GNUTLS_X509_FMT_PEM), ==, 1);
    gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
    shake_hands(session, fd, priority, credentials);
    gnutls_x509_trust_list_init(&trust, 0);
    g_assert_cmpint(
        gnutls_x509_trust_list_add_trust_file(trust, ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0), ==,
        1);
    VcrClientVerdict verdict = vcr_client_check(session, trust, allowed, name);
    gnutls_x509_trust_list_deinit(trust, 1);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    return verdict;
}

static void
check(gsize i, const char *priority)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    const char *allowed[] = {rows[i].allowed[0], rows[i].allowed[1], rows[i].allowed[2], NULL};
    g_autofree char *name = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    for (gsize j = 0; j < G_N_ELEMENTS(fds); j++) {
        setsockopt(fds[j], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        setsockopt(fds[j], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    }
    Client client = {fds[1], rows[i].cert, priority};
    GThread *thread = g_thread_new("client", run_client, &client);
    VcrClientVerdict verdict = judge(fds[0], priority, (char **)allowed, &name);
    close(fds[0]);
    g_thread_join(thread);

    g_assert_cmpint(verdict, ==, rows[i].verdict);
    g_assert_cmpstr(name, ==, rows[i].subject);
}

static void
test_tls_1_2(gconstpointer data)
{
    check(GPOINTER_TO_SIZE(data), TLS_1_2);
}

static void
test_tls_1_3(gconstpointer data)
{
    check(GPOINTER_TO_SIZE(data), TLS_1_3);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = certs_make();
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *old = g_strdup_printf("/client/tls-1.2/%s", rows[i].name);
        g_autofree char *new = g_strdup_printf("/client/tls-1.3/%s", rows[i].name);
        g_test_add_data_func(old, GSIZE_TO_POINTER(i), test_tls_1_2);
        g_test_add_data_func(new, GSIZE_TO_POINTER(i), test_tls_1_3);
    }
    int failed = g_test_run();
    certs_remove(directory);
    return failed;
}
