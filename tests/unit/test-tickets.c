/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Which sessions are resumed, at which worker, and for how long: handshakes in memory with a
 * client of OpenSSL. */
#include "proxy/tickets.h"

#include <string.h>

#include "certs.h"

#define HOUR_S    3600
#define NAME_SIZE 16 /* of a key, in front of its tickets */

static char *directory;

typedef struct {
    int version;
    gboolean is_front; /* the certificate comes with another SSL_CTX: see proxy/front.c */
} Setup;

static const struct {
    const char *name;
    Setup setup;
} setups[] = {
    {"tls-1.2", {TLS1_2_VERSION, FALSE}},
    {"tls-1.3", {TLS1_3_VERSION, FALSE}},
    {"front-tls-1.2", {TLS1_2_VERSION, TRUE}},
    {"front-tls-1.3", {TLS1_3_VERSION, TRUE}},
};

/* Two workers, and their client. */
typedef struct {
    VcpTickets *tickets;
    SSL_CTX *workers[2];
    SSL_CTX *certificates; /* nullable; of both */
    SSL_CTX *client;
} Fixture;

/* --- both sides --- */

static void
load_certificate(SSL_CTX *tls)
{
    g_autofree char *cert = certs_cert(directory, "hypervisor");
    g_autofree char *key = certs_key(directory, "hypervisor");

    g_assert_cmpint(SSL_CTX_use_certificate_chain_file(tls, cert), ==, 1);
    g_assert_cmpint(SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM), ==, 1);
}

static SSL_CTX *
make_certificates(VcpTickets *tickets)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    load_certificate(tls);
    vcp_tickets_use(tickets, tls);
    return tls;
}

static int
on_certificate_wanted(SSL *session, void *data)
{
    const Fixture *self = data;

    return SSL_set_SSL_CTX(session, self->certificates) != NULL;
}

static SSL_CTX *
make_worker(Fixture *self, VcpTickets *tickets)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    if (self->certificates != NULL)
        SSL_CTX_set_cert_cb(tls, on_certificate_wanted, self);
    else
        load_certificate(tls);
    vcp_tickets_use(tickets, tls);
    return tls;
}

static guint64 clock_ms = 1; /* atomic: two workers look at it */

static guint64
now_ms(void)
{
    return __atomic_load_n(&clock_ms, __ATOMIC_RELAXED);
}

static void
pass(guint seconds)
{
    __atomic_add_fetch(&clock_ms, seconds * G_GUINT64_CONSTANT(1000), __ATOMIC_RELAXED);
}

static void
set_up(Fixture *self, gconstpointer data)
{
    const Setup *setup = data;
    g_autofree char *ca = certs_path(directory, "ca.pem");

    self->tickets = vcp_tickets_new(now_ms);
    if (setup->is_front)
        self->certificates = make_certificates(self->tickets);
    for (gsize i = 0; i < G_N_ELEMENTS(self->workers); i++)
        self->workers[i] = make_worker(self, self->tickets);
    self->client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(self->client, setup->version);
    SSL_CTX_set_max_proto_version(self->client, setup->version);
    g_assert_cmpint(SSL_CTX_load_verify_locations(self->client, ca, NULL), ==, 1);
    SSL_CTX_set_verify(self->client, SSL_VERIFY_PEER, NULL);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    SSL_CTX_free(self->client);
    for (gsize i = 0; i < G_N_ELEMENTS(self->workers); i++)
        SSL_CTX_free(self->workers[i]);
    SSL_CTX_free(self->certificates);
    vcp_tickets_free(self->tickets);
}

/* --- a connection --- */

static void
shake_hands(SSL *client, SSL *server)
{
    gboolean is_up = FALSE;

    for (int i = 0; i < 20 && !is_up; i++) {
        gboolean client_is_up = SSL_do_handshake(client) == 1;
        gboolean server_is_up = SSL_do_handshake(server) == 1;
        is_up = client_is_up && server_is_up;
    }
    g_assert_true(is_up);
}

static void
say(SSL *from, SSL *to)
{
    char bytes[8];

    g_assert_cmpint(SSL_write(from, "hello", 5), ==, 5);
    g_assert_cmpint(SSL_read(to, bytes, sizeof bytes), ==, 5);
    g_assert_cmpmem(bytes, 5, "hello", 5);
}

/* session: nullable, to be resumed. Returns: full, what the client could resume the next time.
 */
static SSL_SESSION *
connect_to(Fixture *self, SSL_CTX *worker, SSL_SESSION *session, gboolean *is_resumed)
{
    SSL *client = SSL_new(self->client), *server = SSL_new(worker);
    BIO *ends[2];

    g_assert_cmpint(BIO_new_bio_pair(&ends[0], 0, &ends[1], 0), ==, 1);
    SSL_set_bio(client, ends[0], ends[0]);
    SSL_set_bio(server, ends[1], ends[1]);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    if (session != NULL)
        g_assert_cmpint(SSL_set_session(client, session), ==, 1);
    shake_hands(client, server);
    /* In TLS 1.3 the ticket comes with the first bytes. */
    say(server, client);
    say(client, server);
    *is_resumed = SSL_session_reused(server) != 0;
    g_assert_cmpint(SSL_session_reused(client), ==, *is_resumed);
    g_assert_cmpint(SSL_get_verify_result(client), ==, X509_V_OK);
    SSL_SESSION *got = SSL_get1_session(client);
    g_assert_true(SSL_SESSION_has_ticket(got));
    SSL_shutdown(client);
    SSL_free(client);
    SSL_free(server);
    return got;
}

static SSL_SESSION *
first(Fixture *self, guint worker)
{
    gboolean is_resumed;
    SSL_SESSION *session = connect_to(self, self->workers[worker], NULL, &is_resumed);

    g_assert_false(is_resumed);
    return session;
}

/* Returns the new session; the old one is still good for more. */
static SSL_SESSION *
resume(Fixture *self, guint worker, SSL_SESSION *session)
{
    gboolean is_resumed;
    SSL_SESSION *next = connect_to(self, self->workers[worker], session, &is_resumed);

    g_assert_true(is_resumed);
    return next;
}

/* The handshake is a full one, and what it leaves behind is good. */
static void
must_not_resume(Fixture *self, SSL_SESSION *session)
{
    gboolean is_resumed;
    SSL_SESSION *next = connect_to(self, self->workers[0], session, &is_resumed);

    g_assert_false(is_resumed);
    SSL_SESSION_free(resume(self, 1, next));
    SSL_SESSION_free(next);
}

static gboolean
has_same_key(const SSL_SESSION *one, const SSL_SESSION *other)
{
    const unsigned char *tickets[2];
    gsize lengths[2];

    SSL_SESSION_get0_ticket(one, &tickets[0], &lengths[0]);
    SSL_SESSION_get0_ticket(other, &tickets[1], &lengths[1]);
    g_assert_cmpuint(MIN(lengths[0], lengths[1]), >, NAME_SIZE);
    return memcmp(tickets[0], tickets[1], NAME_SIZE) == 0;
}

/* --- workers --- */

static void
test_resume(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    SSL_SESSION *session = first(self, 0);

    for (guint i = 0; i < 4; i++) {
        SSL_SESSION *next = resume(self, (i + 1) % 2, session);
        g_assert_true(has_same_key(next, session));
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
}

/* Somebody else's: another proxy, or this one before it was restarted. */
static void
test_stranger(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpTickets *tickets = vcp_tickets_new(now_ms);
    SSL_CTX *certificates = self->certificates;
    gboolean is_resumed;

    if (certificates != NULL)
        self->certificates = make_certificates(tickets);
    SSL_CTX *worker = make_worker(self, tickets);
    SSL_SESSION *session = connect_to(self, worker, NULL, &is_resumed);
    g_assert_false(is_resumed);
    SSL_SESSION_free(connect_to(self, worker, session, &is_resumed));
    g_assert_true(is_resumed);
    SSL_CTX_free(worker);
    if (certificates != NULL)
        SSL_CTX_free(self->certificates);
    self->certificates = certificates;
    vcp_tickets_free(tickets);
    must_not_resume(self, session);
    SSL_SESSION_free(session);
}

/* A reload: sessions from before are resumed, and those that follow have the new certificate.
 */
static void
test_other_certificates(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    if (self->certificates == NULL)
        return;
    SSL_SESSION *session = first(self, 0);
    SSL_CTX_free(self->certificates);
    self->certificates = make_certificates(self->tickets);
    SSL_SESSION_free(resume(self, 0, session));
    SSL_SESSION_free(resume(self, 1, session));
    SSL_SESSION_free(session);
    session = first(self, 1);
    SSL_SESSION_free(resume(self, 0, session));
    SSL_SESSION_free(session);
}

/* --- time --- */

/* One key for an hour. */
static void
test_within_hour(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    SSL_SESSION *session = first(self, 0);

    pass(HOUR_S - 60);
    SSL_SESSION *next = resume(self, 1, session);
    g_assert_true(has_same_key(next, session));
    SSL_SESSION_free(next);
    next = first(self, 1);
    g_assert_true(has_same_key(next, session));
    SSL_SESSION_free(next);
    SSL_SESSION_free(session);
}

/* Then the client gets a ticket by the new one, and so goes on for as long as it likes. */
static void
test_renewed(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    SSL_SESSION *session = first(self, 0);

    for (guint i = 0; i < 4; i++) {
        pass(HOUR_S + 1);
        SSL_SESSION *next = resume(self, i % 2, session);
        g_assert_false(has_same_key(next, session));
        /* The old one once more: it is younger than two hours. */
        SSL_SESSION_free(resume(self, 1 - i % 2, session));
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
}

/* However often the key has changed in the meantime. */
static void
test_too_old(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        guint steps[3];
    } rows[] = {
        {{2 * HOUR_S, 0, 0}},          {{HOUR_S, HOUR_S, 0}},
        {{HOUR_S + 1, HOUR_S + 1, 0}}, {{HOUR_S + HOUR_S / 2, HOUR_S / 2, 0}},
        {{HOUR_S, HOUR_S, HOUR_S}},    {{24 * HOUR_S, 0, 0}},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        SSL_SESSION *session = first(self, 0);
        for (gsize k = 0; k < G_N_ELEMENTS(rows[i].steps) && rows[i].steps[k] != 0; k++) {
            pass(rows[i].steps[k]);
            if (k + 1 < G_N_ELEMENTS(rows[i].steps) && rows[i].steps[k + 1] != 0)
                SSL_SESSION_free(first(self, 1));
        }
        must_not_resume(self, session);
        SSL_SESSION_free(session);
        pass(24 * HOUR_S);
    }
}

/* Nobody has come since: the key is as old as it is, not as long unused. */
static void
test_quiet(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    SSL_SESSION *session = first(self, 0);

    pass(2 * HOUR_S - 60);
    SSL_SESSION_free(resume(self, 1, session));
    pass(60);
    must_not_resume(self, session);
    SSL_SESSION_free(session);
}

/* --- garbage --- */

/* session's with bytes of its ticket changed. Returns: full. */
static SSL_SESSION *
change_ticket(SSL_SESSION *session, gsize from, gsize length)
{
    int size = i2d_SSL_SESSION(session, NULL);
    g_autofree unsigned char *der = g_malloc((gsize)size);
    unsigned char *end = der;
    const unsigned char *begin = der, *ticket;
    gsize ticket_length;

    i2d_SSL_SESSION(session, &end);
    SSL_SESSION_get0_ticket(session, &ticket, &ticket_length);
    guint8 *found = memmem(der, (gsize)size, ticket, ticket_length);
    g_assert_nonnull(found);
    g_assert_cmpuint(from, <, ticket_length);
    for (gsize i = from; i < MIN(from + length, ticket_length); i++)
        found[i] ^= 0x55;
    return d2i_SSL_SESSION(NULL, &begin, size);
}

static void
test_garbage(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    SSL_SESSION *session = first(self, 0);
    const unsigned char *ticket;
    gsize length;

    SSL_SESSION_get0_ticket(session, &ticket, &length);
    const struct {
        gsize from, length;
    } rows[] = {
        {0, length},              /* all of it */
        {0, 1},                   /* the key's name */
        {NAME_SIZE - 1, 1},       /* its last byte */
        {NAME_SIZE, 1},           /* the IV */
        {NAME_SIZE + 16 + 20, 1}, /* what is encrypted */
        {length - 1, 1},          /* the MAC */
        {NAME_SIZE, length},      /* all but the name */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        SSL_SESSION *changed = change_ticket(session, rows[i].from, rows[i].length);
        must_not_resume(self, changed);
        SSL_SESSION_free(changed);
    }
    SSL_SESSION_free(resume(self, 0, session));
    SSL_SESSION_free(session);
}

/* By a name of zeros, which is that of a key that was never made. */
static void
test_zero_name(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    SSL_SESSION *session = first(self, 0);
    int size = i2d_SSL_SESSION(session, NULL);
    g_autofree unsigned char *der = g_malloc((gsize)size);
    unsigned char *end = der;
    const unsigned char *begin = der, *ticket;
    gsize length;

    i2d_SSL_SESSION(session, &end);
    SSL_SESSION_get0_ticket(session, &ticket, &length);
    memset(memmem(der, (gsize)size, ticket, length), 0, NAME_SIZE);
    SSL_SESSION *changed = d2i_SSL_SESSION(NULL, &begin, size);
    must_not_resume(self, changed);
    SSL_SESSION_free(changed);
    SSL_SESSION_free(session);
}

/* --- threads --- */

static gpointer
resume_often(gpointer data)
{
    Fixture *self = data;
    SSL_SESSION *session = first(self, 1);

    for (int i = 0; i < 30; i++) {
        SSL_SESSION *next = resume(self, 1, session);
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
    return NULL;
}

static void
test_threads(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    GThread *thread = g_thread_new("worker", resume_often, self);
    SSL_SESSION *session = first(self, 0);

    for (int i = 0; i < 30; i++) {
        SSL_SESSION *next = resume(self, 0, session);
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
    g_thread_join(thread);
}

static const struct {
    const char *name;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"resume", test_resume},
    {"stranger", test_stranger},
    {"other-certificates", test_other_certificates},
    {"within-hour", test_within_hour},
    {"renewed", test_renewed},
    {"too-old", test_too_old},
    {"quiet", test_quiet},
    {"garbage", test_garbage},
    {"zero-name", test_zero_name},
    {"threads", test_threads},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = certs_make();
    for (gsize i = 0; i < G_N_ELEMENTS(setups) * G_N_ELEMENTS(tests); i++) {
        gsize setup = i / G_N_ELEMENTS(tests), test = i % G_N_ELEMENTS(tests);
        g_autofree char *path =
            g_strdup_printf("/tickets/%s/%s", setups[setup].name, tests[test].name);
        g_test_add(path, Fixture, &setups[setup].setup, set_up, tests[test].run, tear_down);
    }
    vcp_tickets_free(NULL);
    int failed = g_test_run();
    certs_remove(directory);
    return failed;
}
