#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virtconsoleresolverd's configuration file; SIGHUP; certificates that are renewed under it."""
import os
import pathlib
import signal
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, program, rawhttp, renewed, resolverd, tap

PROMISE = 10              # seconds until a renewal is in use without a signal
SLOW = 30                 # a machine that is busy with other tests
NOWHERE = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"
WHAT = "certificate for proxies"


class Reload(case.Case):
    def setUp(self):
        self.files = renewed.Files(case.new_directory("files"))
        self.new = self.certs.issue("renewed-server", purposes=("server",))

    def start(self, **flags):
        """With files that can be renewed."""
        return self.start_resolver(NOWHERE, wait=False, **{
            "listen_tls_cert": self.files.put("cert.pem", self.certs.resolver_server.cert),
            "listen_tls_key": self.files.put("key.pem", self.certs.resolver_server.key),
            "listen_tls_ca": self.files.put("ca.pem", self.certs.ca), **flags})

    def assert_shows(self, resolver, pair):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with resolver.connect(tls=resolver.tls_context(versions=(version, version))) as sock:
                self.assertEqual(sock.getpeercert(binary_form=True), renewed.shown(pair))

    def hup(self, resolver):
        """-> the log's lines of this reload."""
        mark = resolver.mark()
        resolver.process.send_signal(signal.SIGHUP)
        resolver.wait_line("reload complete", after=mark)
        return "\n".join(resolver.lines[mark:])

    def replace(self, pair):
        self.files.replace("cert.pem", pair.cert)
        self.files.replace("key.pem", pair.key)

    def assert_noticed(self, resolver, mark, began):
        resolver.wait_line(f"reloaded: {WHAT}", after=mark, timeout=SLOW)
        self.assertLess(time.monotonic() - began, PROMISE)

    def status(self, resolver, pair):
        """Of a query: 503, as its libvirtd is away; 401 or 403 where the client may not ask."""
        return resolver.query("tok", tls=resolver.tls_context(cert=pair)).status


class Server(Reload):
    def test_signal(self):
        """The connection that was there stays."""
        resolver = self.start()
        with resolver.connect() as sock:
            ask = rawhttp.request_bytes("/healthz")
            self.assertEqual(rawhttp.exchange(sock, ask).status, 200)
            self.replace(self.new)
            self.assertIn(f"reloaded: {WHAT}", self.hup(resolver))
            self.assertEqual(rawhttp.exchange(sock, ask).status, 200)
        self.assert_shows(resolver, self.new)

    def test_rename(self):
        resolver = self.start()
        self.assert_shows(resolver, self.certs.resolver_server)
        mark, began = resolver.mark(), time.monotonic()
        self.replace(self.new)
        self.assert_noticed(resolver, mark, began)
        self.assert_shows(resolver, self.new)

    def test_half_written(self):
        resolver = self.start()
        mark = resolver.mark()
        self.files.overwrite("cert.pem", self.new.cert)
        line = resolver.wait_line(f"not reloaded, the old {WHAT} stays", after=mark).string
        self.assertIn("key.pem: is not the key of the certificate", line)
        self.assertIn("not reloaded", self.hup(resolver))
        self.assert_shows(resolver, self.certs.resolver_server)
        mark = resolver.mark()
        self.files.overwrite("key.pem", self.new.key)
        resolver.wait_line(f"reloaded: {WHAT}", after=mark)
        self.assert_shows(resolver, self.new)

    def test_chain_and_another_kind_of_key(self):
        resolver = self.start()
        for pair in (self.certs.issue("renewed-chain", purposes=("server",), chain=True),
                     self.certs.issue("renewed-rsa", purposes=("server",), rsa=True)):
            self.replace(pair)
            self.hup(resolver)
            self.assert_shows(resolver, pair)

    def test_clear_text(self):
        """There is nothing to renew, and SIGHUP is no end."""
        resolver = self.start_resolver(NOWHERE, wait=False, listen_insecure=True)
        self.assertNotIn("not reloaded", self.hup(resolver))
        self.assertEqual(resolver.get("/healthz", tls=None).status, 200)


class Clients(Reload):
    def test_ca(self):
        """A client of the new CA shows its certificate, though the library knows the old one only."""
        good, other = self.certs.proxy_client, self.certs.other_client
        resolver = self.start()
        self.assertEqual((self.status(resolver, good), self.status(resolver, other)), (503, 403))
        self.files.write("ca.pem", "nothing")
        self.assertIn("--listen-tls-ca", self.hup(resolver))
        self.assertEqual(self.status(resolver, good), 503)
        self.files.replace("ca.pem", self.certs.other_ca)
        self.hup(resolver)
        self.assertEqual((self.status(resolver, good), self.status(resolver, other)), (403, 503))
        self.assertEqual(self.status(resolver, None), 401)

    def test_crl(self):
        """It counts on the connection that is there, too."""
        good, bad = self.certs.proxy_client, self.certs.issue("revoked-client", purposes=("client",))
        resolver = self.start(listen_tls_crl=self.files.put("crl.pem", self.certs.crl("resolverd-empty")))
        ask = rawhttp.request_bytes("/consoleresolver/token/tok")
        with resolver.connect(tls=resolver.tls_context(cert=bad)) as sock:
            self.assertEqual(rawhttp.exchange(sock, ask).status, 503)
            mark, began = resolver.mark(), time.monotonic()
            self.files.replace("crl.pem", self.certs.crl("resolverd-revoked", bad))
            self.assert_noticed(resolver, mark, began)
            self.assertEqual(rawhttp.exchange(sock, ask).status, 403)
        self.assertEqual((self.status(resolver, good), self.status(resolver, bad)), (503, 403))
        self.files.write("crl.pem", "nothing")
        said = self.hup(resolver)
        self.assertIn("--listen-tls-crl", said)
        self.assertEqual((self.status(resolver, good), self.status(resolver, bad)), (503, 403))
        self.files.replace("crl.pem", self.certs.crl("resolverd-old", bad, expired=True))
        self.assertIn("out of date", self.hup(resolver))
        self.assertEqual((self.status(resolver, good), self.status(resolver, bad)), (503, 403))


class Configuration(Reload):
    def configure(self, *lines):
        return self.files.write("resolver.conf", "[resolver]\n" + "".join(f"{line}\n" for line in lines))

    def test_allowed_clients(self):
        good, lacking = self.certs.proxy_client, self.certs.issue("another", purposes=("client",))
        resolver = self.start(config=self.configure("allowed-client=localhost"))
        self.assertEqual((self.status(resolver, good), self.status(resolver, lacking)), (403, 503))
        self.configure("allowed-client=a.example;proxy.example")
        self.assertIn("reloaded: configuration", self.hup(resolver))
        self.assertEqual((self.status(resolver, good), self.status(resolver, lacking)), (503, 403))
        self.configure("allowed-clients=localhost")
        said = self.hup(resolver)
        self.assertIn("not reloaded, the old configuration stays", said)
        self.assertIn(self.files.path("resolver.conf") + ":2: allowed-clients ", said)
        self.assertEqual((self.status(resolver, good), self.status(resolver, lacking)), (503, 403))

    def test_what_needs_a_restart_says_so(self):
        resolver = self.start(config=self.configure(), log_level=None)
        self.configure("listen-no-verify-client=true", "log-level=info")
        self.assertEqual(self.hup(resolver).count("warning: listen-no-verify-client has changed"), 1)
        self.assertEqual(self.status(resolver, None), 401)
        resolver.wait_line("info: client")

    def check(self, *lines, **flags):
        given = {"--listen-tls-cert": self.certs.resolver_server.cert,
                 "--listen-tls-key": self.certs.resolver_server.key, "--listen-tls-ca": self.certs.ca,
                 "--config": self.configure(*lines), "--check-config": True}
        given.update({"--" + name.replace("_", "-"): value for name, value in flags.items()})
        return resolverd.run(*program.command_line(given))

    def test_check(self):
        done = self.check("listen-addr=127.0.0.1:443", "connect=a:///b;c:///d", "domain-address=c:///d=host")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("good", done.stdout)
        for line, *words in (
                ("domain-adress=x", "domain-adress"),
                ("domain-address=x:///y=host", "domain-address x:///y=host", "no --connect"),
                ("connect=a:///b;a:///b", "connect a:///b", "twice"),
                ("listen-addr=nowhere", "listen-addr", "nowhere"),
                ("listen-tls-crl=/nonexistent.pem", "listen-tls-crl", "No such file"),
                ("log-level=loud", "log-level loud")):
            with self.subTest(line):
                done = self.check("", line)
                self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
                for word in ("resolver.conf:3: ", *words):
                    self.assertIn(word, done.stderr)
        done = self.check(f"listen-tls-ca={os.devnull}", listen_tls_ca=None)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"resolver.conf:2: {os.devnull}: ", done.stderr)


if __name__ == "__main__":
    tap.main()
