#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The front's TLS: versions, suites, ALPN, renegotiation, client certificates, early bytes."""
import pathlib
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, rawhttp, tap
from lab.rawhttp import request_bytes

V = ssl.TLSVersion
HEALTH = request_bytes("/healthz")


class Tls(case.Case):
    def health(self, proxy, **tls):
        """Status of /healthz; None where TLS refused or nothing was answered."""
        try:
            with proxy.connect(tls=proxy.tls_context(**tls)) as sock:
                return rawhttp.exchange(sock, HEALTH).status
        except OSError:          # ssl.SSLError is one
            return None

    def negotiated(self, proxy, **tls):
        with proxy.connect(tls=proxy.tls_context(**tls)) as sock:
            return sock.version(), sock.cipher()[0], sock.selected_alpn_protocol()


class Versions(Tls):
    def test_default(self):
        proxy = self.start_daemon()
        for version in (V.TLSv1, V.TLSv1_1):
            self.assertIsNone(self.health(proxy, versions=(version, version)))
        for version in (V.TLSv1_2, V.TLSv1_3):
            self.assertEqual(self.health(proxy, versions=(version, version)), 200)

    def test_minimum_1_3(self):
        for value in ("1.3", "VersionTLS13"):
            with self.subTest(value):
                proxy = self.start_daemon(listen_min_tls=value)
                self.assertIsNone(self.health(proxy, versions=(V.TLSv1_2, V.TLSv1_2)))
                self.assertEqual(self.health(proxy, versions=(V.TLSv1_3, V.TLSv1_3)), 200)

    def test_minimum_1_2_by_both_names(self):
        for value in ("1.2", "VersionTLS12"):
            proxy = self.start_daemon(listen_min_tls=value)
            self.assertEqual(self.health(proxy, versions=(V.TLSv1_2, V.TLSv1_2)), 200)

    def test_cipher_suites(self):
        proxy = self.start_daemon(
            listen_cipher_suites="TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")
        self.assertEqual(self.negotiated(proxy, versions=(V.TLSv1_2, V.TLSv1_2))[1],
                         "ECDHE-ECDSA-CHACHA20-POLY1305")

    def test_cipher_suites_of_1_3(self):
        proxy = self.start_daemon(listen_cipher_suites="TLS_AES_128_GCM_SHA256,"
                                  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
        self.assertEqual(self.negotiated(proxy)[1], "TLS_AES_128_GCM_SHA256")

    def test_alpn(self):
        proxy = self.start_daemon()
        self.assertEqual(self.negotiated(proxy, alpn=["h2", "http/1.1"])[2], "http/1.1")
        self.assertEqual(self.negotiated(proxy, alpn=["http/1.1"])[2], "http/1.1")
        try:
            chosen = self.negotiated(proxy, alpn=["h2"])[2]
        except ssl.SSLError:
            chosen = None
        self.assertIsNone(chosen)

    def test_certificate_is_the_given_one(self):
        """And whole: a client that knows the root alone verifies a chain."""
        pair = self.certs.issue("front-chain", purposes=("server",), chain=True)
        proxy = self.start_daemon(listen_tls_cert=pair.cert, listen_tls_key=pair.key)
        self.assertEqual(self.health(proxy), 200)


class Abuse(Tls):
    def test_renegotiation(self):
        """The client asks for it by "R"; what follows is its end, not a second handshake."""
        proxy = self.start_daemon()
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_2",
             "-CAfile", self.certs.ca, "-no_ign_eof"],
            input=b"R\n", capture_output=True, timeout=60)
        output = done.stdout + done.stderr
        self.assertIn(b"Verify return code: 0 (ok)", output)
        self.assertIn(b"RENEGOTIATING", output)
        self.assertIn(b"no renegotiation", output)
        self.assertEqual(output.count(b"verify return:1\ndepth=0"), 1, "a second handshake")
        self.assertEqual(self.health(proxy), 200)

    def test_early_data_is_not_offered(self):
        proxy = self.start_daemon()
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_3",
             "-CAfile", self.certs.ca, "-quiet", "-msg"],
            input=HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
            capture_output=True, timeout=60)
        self.assertIn(b"200", done.stdout)
        self.assertNotRegex(done.stdout + done.stderr, rb"Max Early Data: [1-9]")

    def test_clear_text_on_the_tls_port(self):
        proxy = self.start_daemon()
        with proxy.connect(tls=None) as sock:
            self.assertNotEqual(rawhttp.exchange(sock, HEALTH).status, 200)

    def test_garbage(self):
        proxy = self.start_daemon(handshake_timeout="2")
        for data in (b"\0" * 1000, b"\xff" * 5, b"\x16\x03\x01\xff\xff" + b"\1" * 70000,
                     b"\x16\x03\x01\0\1\1", b"\x15\x03\x01\0\2\2\0", b"RFB 003.008\n"):
            with self.subTest(data[:8]):
                with proxy.connect(tls=None) as sock:
                    try:
                        sock.sendall(data)
                        sock.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass
                    rawhttp.read_to_end(sock)
        self.assertEqual(self.health(proxy), 200)


class ClientCertificates(Tls):
    def setUp(self):
        self.proxy = self.start_daemon(listen_verify_client=True, listen_tls_ca=self.certs.ca)

    def test_good(self):
        self.assertEqual(self.health(self.proxy, cert=self.certs.proxy_client), 200)
        sock = self.websocket(self.proxy, "x",
                              tls=self.proxy.tls_context(cert=self.certs.proxy_client))
        self.assertEqual(sock.wait_close().code, 4401)

    def test_refused(self):
        rows = {
            "none": None,
            "another authority": self.certs.other_client,
            "expired": self.certs.issue("old", purposes=("client",), expired=True),
            "not yet valid": self.certs.issue("new", purposes=("client",), future=True),
            "for servers only": self.certs.issue("srv", purposes=("server",)),
        }
        for version in (V.TLSv1_2, V.TLSv1_3):
            for name, pair in rows.items():
                with self.subTest(name, version=version.name):
                    self.assertIsNone(self.health(self.proxy, cert=pair,
                                                  versions=(version, version)))

    def test_not_asked_for_without_the_flag(self):
        proxy = self.start_daemon(listen_tls_ca=self.certs.ca)
        self.assertEqual(self.health(proxy), 200)
        self.assertEqual(self.health(proxy, cert=self.certs.other_client), 200)


if __name__ == "__main__":
    tap.main()
