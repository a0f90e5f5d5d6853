/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The client side of TLS: names, verification, records. */
#include "proxy/tls-client.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/socket.h>

#include "common/address.h"
#include "common/error.h"
#include "proxy/read-ahead.h"
#include "proxy/tls-subject.h"

struct VcpTlsClient {
    gnutls_session_t session;
    VcTlsCredentials *credentials;
    char *name;    /* as verified; gnutls keeps pointers to it and to verify */
    char *subject; /* nullable: in place of the name */
    gnutls_typed_vdata_st
        verify[2];   /* purpose and name; without the name where there is a subject */
    unsigned fault;  /* what gnutls has against the peer's certificate */
    gsize in_flight; /* bytes of a record that gnutls has encrypted and not yet got rid of */
    gboolean is_up;

    VcpReadAhead ahead;
    gboolean reads_ahead; /* from the first byte that is asked for: see take_clear_greeting() */
    gboolean more_follows; /* the record that is being sent is not the last of its bytes */
};

/* --- the socket --- */

static ssize_t
pull(gnutls_transport_ptr_t data, void *to, size_t length)
{
    VcpTlsClient *self = data;

    return self->reads_ahead ? vcp_read_ahead_take(&self->ahead, to, length)
                             : recv(self->ahead.fd, to, length, 0);
}

/* With MSG_MORE the kernel waits for the next record before it sends a segment that is not
 * full: the four of 64 KiB go their way together. */
static ssize_t
push(gnutls_transport_ptr_t data, const giovec_t *parts, int n_parts)
{
    const VcpTlsClient *self = data;
    const struct msghdr message = {.msg_iov = (struct iovec *)parts,
                                   .msg_iovlen = (size_t)n_parts};

    return sendmsg(self->ahead.fd, &message,
                   MSG_NOSIGNAL | (self->more_follows ? MSG_MORE : 0));
}

/* --- names --- */

/* gnutls compares an address with the certificate's addresses only if it parses as one: no
 * brackets, no zone; and a name only without the dot at its end. */
static char *
clean_name(const char *name)
{
    g_autofree char *clean = g_strdup(name);
    gsize length = strlen(clean);

    if (vc_address_is_literal(clean)) {
        clean[strcspn(clean, "%")] = '\0';
    } else if (length > 1 && clean[length - 1] == '.') {
        clean[length - 1] = '\0';
    }
    return g_steal_pointer(&clean);
}

/* --- verification --- */

static unsigned
n_verify(const VcpTlsClient *self)
{
    return self->subject != NULL ? 1 : 2;
}

static void
add(gnutls_hash_hd_t hash, const gnutls_datum_t *bytes)
{
    gnutls_hash(hash, &bytes->size, sizeof bytes->size);
    gnutls_hash(hash, bytes->data, bytes->size);
}

/* A digest of everything that the verdict on a chain depends on, but for the credentials, which
 * keep it, and the time. */
static void
make_question(const VcpTlsClient *self, guint8 question[VC_VERDICT_SIZE])
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(self->session, &count);
    const char *name = self->subject != NULL ? "" : self->name;
    gnutls_datum_t ocsp;
    gnutls_hash_hd_t hash;

    gnutls_hash_init(&hash, GNUTLS_DIG_SHA256);
    gnutls_hash(hash, name, strlen(name) + 1);
    for (unsigned i = 0; i < count; i++)
        add(hash, &chain[i]);
    /* What the server has brought of its CA's about its revocation. */
    if (gnutls_ocsp_status_request_get(self->session, &ocsp) >= 0)
        add(hash, &ocsp);
    gnutls_hash_deinit(hash, question);
}

static int
verify(gnutls_session_t session)
{
    VcpTlsClient *self = gnutls_session_get_ptr(session);
    VcVerdicts *verdicts = self->credentials->verdicts;
    guint8 question[VC_VERDICT_SIZE];

    make_question(self, question);
    if (vc_verdicts_know(verdicts, question, g_get_monotonic_time()))
        return 0;
    if (gnutls_certificate_verify_peers(session, self->verify, n_verify(self), &self->fault) <
        0)
        self->fault |= GNUTLS_CERT_INVALID;
    if (self->fault != 0)
        return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
    vc_verdicts_add(verdicts, question, g_get_monotonic_time());
    return 0;
}

VcpTlsClient *
vcp_tls_client_new(VcTlsCredentials *credentials, const char *name, int fd)
{
    VcpTlsClient *self = g_new0(VcpTlsClient, 1);

    /* An empty name would switch the check of the name off without a word. */
    g_assert(name[0] != '\0');
    self->credentials = vc_tls_credentials_ref(credentials);
    self->name = clean_name(name);
    self->verify[0] = (gnutls_typed_vdata_st){GNUTLS_DT_KEY_PURPOSE_OID,
                                              (guchar *)GNUTLS_KP_TLS_WWW_SERVER, 0};
    self->verify[1] = (gnutls_typed_vdata_st){GNUTLS_DT_DNS_HOSTNAME, (guchar *)self->name, 0};

    /* Neither QEMU nor spice-server resumes sessions in a way that would be worth keeping their
     * tickets. A certificate that the server would not accept is shown all the same: its alert
     * then says what is wrong, even in TLS 1.2. One key share, not one of each kind: making the
     * second is 4 % of what a connection costs. */
    gnutls_init(&self->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
                                    GNUTLS_NO_TICKETS | GNUTLS_FORCE_CLIENT_CERT |
                                    GNUTLS_KEY_SHARE_TOP);
    gnutls_priority_set(self->session, credentials->priority);
    gnutls_credentials_set(self->session, GNUTLS_CRD_CERTIFICATE, credentials->certificate);
    gnutls_session_set_ptr(self->session, self);
    gnutls_session_set_verify_function(self->session, verify);
    if (!vc_address_is_literal(self->name))
        gnutls_server_name_set(self->session, GNUTLS_NAME_DNS, self->name, strlen(self->name));
    self->ahead.fd = fd;
    gnutls_transport_set_ptr(self->session, self);
    gnutls_transport_set_pull_function(self->session, pull);
    gnutls_transport_set_vec_push_function(self->session, push);
    return self;
}

void
vcp_tls_client_expect_subject(VcpTlsClient *self, const char *subject)
{
    self->subject = g_strdup(subject);
}

void
vcp_tls_client_free(VcpTlsClient *self)
{
    if (self == NULL)
        return;
    if (self->is_up)
        gnutls_bye(self->session, GNUTLS_SHUT_WR);
    gnutls_deinit(self->session);
    vc_tls_credentials_unref(self->credentials);
    vcp_read_ahead_clear(&self->ahead);
    g_free(self->name);
    g_free(self->subject);
    g_free(self);
}

/* --- errors --- */

static gboolean
is_certificate_alert(gnutls_alert_description_t alert)
{
    switch ((int)alert) {
    case GNUTLS_A_BAD_CERTIFICATE:
    case GNUTLS_A_UNSUPPORTED_CERTIFICATE:
    case GNUTLS_A_CERTIFICATE_REVOKED:
    case GNUTLS_A_CERTIFICATE_EXPIRED:
    case GNUTLS_A_CERTIFICATE_UNKNOWN:
    case GNUTLS_A_CERTIFICATE_REQUIRED:
    case GNUTLS_A_UNKNOWN_CA:
    case GNUTLS_A_ACCESS_DENIED:
        return TRUE;
    default:
        return FALSE;
    }
}

static void
set_verification_error(VcpTlsClient *self, GError **error)
{
    gnutls_datum_t text = {0};

    gnutls_certificate_verification_status_print(self->fault, GNUTLS_CRT_X509, &text, 0);
    g_set_error(error, VC_ERROR, VC_ERROR_CERTIFICATE,
                "certificate for \"%s\" not accepted: %s", self->name,
                text.data != NULL ? (const char *)text.data : "unknown reason");
    gnutls_free(text.data);
}

static void
set_error(VcpTlsClient *self, int code, GError **error)
{
    gnutls_alert_description_t alert = gnutls_alert_get(self->session);

    switch (code) {
    case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
    case GNUTLS_E_CERTIFICATE_ERROR:
        set_verification_error(self, error);
        break;
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        g_set_error(error, VC_ERROR,
                    is_certificate_alert(alert) ? VC_ERROR_CERTIFICATE : VC_ERROR_PROTOCOL,
                    "TLS alert from the peer: %s", gnutls_alert_get_name(alert));
        break;
    case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
    case GNUTLS_E_UNEXPECTED_PACKET:
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
        g_set_error_literal(error, VC_ERROR, VC_ERROR_PROTOCOL, "the peer does not speak TLS");
        break;
    case GNUTLS_E_PULL_ERROR:
    case GNUTLS_E_PUSH_ERROR:
        g_set_error_literal(error, VC_ERROR, VC_ERROR_UNREACHABLE, g_strerror(errno));
        break;
    case GNUTLS_E_REHANDSHAKE:
        g_set_error_literal(error, VC_ERROR, VC_ERROR_PROTOCOL,
                            "the peer asks for renegotiation, which is refused");
        break;
    default:
        g_set_error(error, VC_ERROR, VC_ERROR_PROTOCOL, "TLS: %s", gnutls_strerror(code));
        break;
    }
}

/* --- bytes --- */

static gboolean
has_subject(VcpTlsClient *self)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(self->session, &count);
    gnutls_x509_crt_t certificate;

    if (count == 0 || gnutls_x509_crt_init(&certificate) < 0)
        return FALSE;
    gboolean has = gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) >= 0 &&
                   vcp_tls_subject_matches(self->subject, certificate);
    gnutls_x509_crt_deinit(certificate);
    return has;
}

VcpTlsStep
vcp_tls_client_handshake(VcpTlsClient *self, GError **error)
{
    int code;

    do {
        code = gnutls_handshake(self->session);
        if (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED)
            return gnutls_record_get_direction(self->session) ? VCP_TLS_WANTS_WRITE
                                                              : VCP_TLS_WANTS_READ;
    } while (code < 0 && !gnutls_error_is_fatal(code));

    if (code < 0) {
        set_error(self, code, error);
        return VCP_TLS_FAILED;
    }
    self->is_up = TRUE;
    if (self->subject != NULL && !has_subject(self)) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_CERTIFICATE,
                            "the certificate's subject is not the service's tlsSubject");
        return VCP_TLS_FAILED;
    }
    return VCP_TLS_DONE;
}

gssize
vcp_tls_client_receive(VcpTlsClient *self, guint8 *to, gsize room, GError **error)
{
    gssize n;

    /* After a ticket, say, gnutls has nothing either; but what follows was read with it, and
     * the socket will not tell. */
    self->reads_ahead = TRUE;
    do
        n = gnutls_record_recv(self->session, to, room);
    while (n == GNUTLS_E_WARNING_ALERT_RECEIVED || n == GNUTLS_E_INTERRUPTED ||
           (n == GNUTLS_E_AGAIN && vcp_read_ahead_has(&self->ahead)));

    if (n >= 0)
        return n;
    if (n == GNUTLS_E_AGAIN) {
        vcp_read_ahead_rest(&self->ahead);
        return VCP_TLS_AGAIN;
    }
    if (n == GNUTLS_E_PREMATURE_TERMINATION ||
        (n == GNUTLS_E_PULL_ERROR && errno == ECONNRESET))
        return 0;
    set_error(self, (int)n, error);
    return -1;
}

gssize
vcp_tls_client_send(VcpTlsClient *self, const guint8 *from, gsize length, GError **error)
{
    gsize part = MIN(length, VCP_TLS_RECORD_SIZE);
    gssize n;

    self->more_follows = length > part;
    do
        n = self->in_flight > 0 ? gnutls_record_send(self->session, NULL, 0)
                                : gnutls_record_send(self->session, from, part);
    while (n == GNUTLS_E_INTERRUPTED && self->in_flight > 0);

    if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
        if (self->in_flight == 0)
            self->in_flight = part;
        return VCP_TLS_AGAIN;
    }
    if (n >= 0) {
        self->in_flight = 0;
        return n;
    }
    set_error(self, (int)n, error);
    return -1;
}
