#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""TLS sessions that clients resume, whichever worker they come to."""
import pathlib
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, rawhttp, renewed, rfb, tap
from lab.case import vnc

VERSIONS = [(version, version) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
HEALTH = rawhttp.request_bytes("/healthz")
CLIENTS = 16
WORKERS = 4


class Resuming:
    """In place of a context: what it wraps resumes this session."""

    def __init__(self, context, session):
        self.context, self.session = context, session

    def wrap_socket(self, sock, server_hostname):
        return self.context.wrap_socket(sock, server_hostname=server_hostname, session=self.session)


class Resumption(case.Case):
    def connect(self, proxy, context, session=None):
        """A connection that has had an answer, so a ticket has come as well."""
        sock = proxy.connect(tls=Resuming(context, session))
        self.addCleanup(sock.close)
        self.assertEqual(rawhttp.exchange(sock, HEALTH).status, 200)
        return sock

    def first(self, proxy, context):
        sock = self.connect(proxy, context)
        self.assertFalse(sock.session_reused)
        return sock.session


class Tickets(Resumption):
    def test_whichever_worker(self):
        """Connections that stay are spread over the workers; one ticket is good on all of them."""
        proxy = self.start_daemon(workers=str(WORKERS))
        for versions in VERSIONS:
            context = proxy.tls_context(versions=versions)
            session = self.first(proxy, context)
            socks = [self.connect(proxy, context, session) for _ in range(CLIENTS)]
            self.assertEqual({sock.session_reused for sock in socks}, {True}, versions)

    def test_chain(self):
        """Each time the session of the time before, as a browser does."""
        proxy = self.start_daemon(workers=str(WORKERS))
        for versions in VERSIONS:
            context = proxy.tls_context(versions=versions)
            session = self.first(proxy, context)
            for _ in range(CLIENTS):
                sock = self.connect(proxy, context, session)
                self.assertTrue(sock.session_reused, versions)
                session = sock.session

    def test_console(self):
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)}, connect_insecure=True,
                                      max_sessions_per_token="0", max_sessions_per_console="0")
            for versions in VERSIONS:
                context = proxy.tls_context(versions=versions)
                session = self.first(proxy, context)
                for _ in range(4):
                    sock = self.websocket(proxy, "tok", tls=Resuming(context, session))
                    self.assertTrue(sock.sock.session_reused)
                    rfb.Client(sock)
                    self.assertEqual(sock.close().code, 1000)

    def test_another_daemon(self):
        """Its keys are its own: what it cannot read it does not resume."""
        one, other = self.start_daemon(), self.start_daemon()
        for versions in VERSIONS:
            context = one.tls_context(versions=versions)
            session = self.first(one, context)
            self.assertFalse(self.connect(other, context, session).session_reused, versions)
            self.assertTrue(self.connect(one, context, session).session_reused, versions)

    def test_client_certificates(self):
        """Each connection is verified."""
        proxy = self.start_daemon(listen_verify_client=True, listen_tls_ca=self.certs.ca)
        for versions in VERSIONS:
            context = proxy.tls_context(versions=versions, cert=self.certs.proxy_client)
            session = self.first(proxy, context)
            for _ in range(4):
                self.assertFalse(self.connect(proxy, context, session).session_reused, versions)


class Reload(Resumption):
    def check(self, new):
        """An old ticket still brings a connection, and who has none is shown the new certificate."""
        files = renewed.Files(case.new_directory("files"))
        old = self.certs.proxy_server
        cert, key = files.put("server-cert.pem", old.cert), files.put("server-key.pem", old.key)
        proxy = self.start_daemon(listen_tls_cert=cert, listen_tls_key=key, workers=str(WORKERS))
        contexts = [proxy.tls_context(versions=versions) for versions in VERSIONS]
        sessions = [self.first(proxy, context) for context in contexts]
        mark = proxy.mark()
        files.replace("server-cert.pem", new.cert)
        files.replace("server-key.pem", new.key)
        proxy.reload()
        proxy.wait_line("reload complete", after=mark)
        for context, session in zip(contexts, sessions):
            socks = [self.connect(proxy, context, session) for _ in range(WORKERS * 2)]
            fresh = [self.connect(proxy, context) for _ in range(WORKERS * 2)]
            self.assertEqual({sock.session_reused for sock in fresh}, {False})
            self.assertEqual({sock.getpeercert(binary_form=True) for sock in fresh}, {renewed.shown(new)})
            again = [self.connect(proxy, context, sock.session) for sock in socks + fresh]
            self.assertEqual({sock.session_reused for sock in again}, {True})

    def test_renewed_certificate(self):
        self.check(self.certs.issue("renewed-server", purposes=("server",)))

    def test_another_kind_of_key(self):
        self.check(self.certs.issue("renewed-rsa", purposes=("server",), rsa=True))


if __name__ == "__main__":
    tap.main()
