#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration file of virtconsoleproxyd; SIGHUP; certificates that are renewed under it."""
import os
import pathlib
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, rawhttp, redisserver, renewed, tap
from lab.case import vnc

PROMISE = 10              # seconds until a renewal is in use without a signal
SLOW = 30                 # a machine that is busy with other tests
CLIENTS = "certificate for clients"
HYPERVISORS = "certificate for hypervisors"
NOWHERE = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"


class Reload(case.Case):
    def setUp(self):
        self.files = renewed.Files(case.new_directory("files"))
        self.new = self.certs.issue("renewed-server", purposes=("server",))

    def assert_shows(self, proxy, pair, **connection):
        """The front's certificate is this one, on every worker."""
        for _ in range(4):
            with proxy.connect(**connection) as sock:
                self.assertEqual(sock.getpeercert(binary_form=True), renewed.shown(pair))
                self.assertEqual(rawhttp.exchange(sock, rawhttp.request_bytes("/healthz")).status, 200)

    def hup(self, proxy):
        """-> the log's lines of this reload."""
        mark = proxy.mark()
        proxy.reload()
        proxy.wait_line("reload complete", after=mark)
        return "\n".join(proxy.lines[mark:])

    def assert_noticed(self, proxy, mark, began, what=CLIENTS):
        proxy.wait_line(f"reloaded: {what}", after=mark, timeout=SLOW)
        self.assertLess(time.monotonic() - began, PROMISE)

    def start(self, tokens=None, **flags):
        """With a certificate for clients that can be renewed."""
        cert = self.files.put("server-cert.pem", self.certs.proxy_server.cert)
        key = self.files.put("server-key.pem", self.certs.proxy_server.key)
        return self.start_daemon(tokens, **{"listen_tls_cert": cert, "listen_tls_key": key, **flags})


class Front(Reload):
    def replace(self, pair):
        self.files.replace("server-cert.pem", pair.cert)
        self.files.replace("server-key.pem", pair.key)

    def test_signal(self):
        """The session that was there stays, on the certificate that it began with."""
        with fakes.Server(fakes.hold) as server:
            proxy = self.start({"tok": vnc(server.address, insecure=True)}, connect_insecure=True)
            sock, _ = self.open(proxy, "tok")
            self.replace(self.new)
            self.assertIn(f"reloaded: {CLIENTS}", self.hup(proxy))
            self.assert_shows(proxy, self.new)
            self.assertEqual(sock.close().code, 1000)

    def test_rename(self):
        proxy = self.start()
        self.assert_shows(proxy, self.certs.proxy_server)
        mark, began = proxy.mark(), time.monotonic()
        self.replace(self.new)
        self.assert_noticed(proxy, mark, began)
        self.assert_shows(proxy, self.new)

    def test_switched_link(self):
        def sources(pair):
            return {"tls.crt": pair.cert, "tls.key": pair.key}
        volume = renewed.Volume(case.new_directory("volume"), sources(self.certs.proxy_server))
        proxy = self.start(listen_tls_cert=volume.path("tls.crt"), listen_tls_key=volume.path("tls.key"))
        mark, began = proxy.mark(), time.monotonic()
        volume.switch(sources(self.new))
        self.assert_noticed(proxy, mark, began)
        self.assert_shows(proxy, self.new)

    def test_half_written(self):
        """Until certificate and key fit, the old pair stays; then no signal is needed."""
        proxy = self.start()
        self.files.overwrite("server-cert.pem", self.new.cert)
        self.assertRegex(self.hup(proxy), f"not reloaded, the old {CLIENTS} stays: .*server-key.pem.*--listen-tls-key")
        self.assert_shows(proxy, self.certs.proxy_server)
        mark = proxy.mark()
        self.files.overwrite("server-key.pem", self.new.key)
        proxy.wait_line(f"reloaded: {CLIENTS}", after=mark)
        self.assert_shows(proxy, self.new)

    def test_garbage_and_nothing(self):
        proxy = self.start()
        for text in ("no key", ""):
            self.files.write("server-key.pem", text)
            self.assertIn(f"not reloaded, the old {CLIENTS} stays", self.hup(proxy))
        os.unlink(self.files.path("server-cert.pem"))
        self.assertIn("No such file", self.hup(proxy))
        self.assert_shows(proxy, self.certs.proxy_server)

    def test_another_kind_of_key(self):
        """The old certificate does not stay for those who prefer its kind."""
        proxy = self.start()
        rsa = self.certs.issue("renewed-rsa", purposes=("server",), rsa=True)
        self.replace(rsa)
        self.hup(proxy)
        self.assert_shows(proxy, rsa)
        only_ecdsa = proxy.tls_context(versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))
        only_ecdsa.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        with self.assertRaises(ssl.SSLError):
            proxy.connect(tls=only_ecdsa)

    def test_chain(self):
        """What follows in the file is shown too: the client knows the root alone."""
        proxy = self.start()
        chain = self.certs.issue("renewed-chain", purposes=("server",), chain=True)
        self.replace(chain)
        self.hup(proxy)
        self.assert_shows(proxy, chain)


class Clients(Reload):
    """--listen-verify-client, whose CA and CRL change."""

    def setUp(self):
        super().setUp()
        self.good = self.certs.proxy_client
        self.bad = self.certs.issue("revoked-client", purposes=("client",))

    def is_let_in(self, proxy, pair, **options):
        """TLS 1.3 lets a client find out only when it reads."""
        try:
            with proxy.connect(tls=proxy.tls_context(cert=pair, **options)) as sock:
                return rawhttp.exchange(sock, rawhttp.request_bytes("/healthz")).status == 200
        except OSError:
            return False

    def test_crl(self):
        crl = self.files.put("crl.pem", self.certs.crl("front-empty"))
        proxy = self.start(listen_verify_client=True, listen_tls_ca=self.certs.ca, listen_tls_crl=crl)
        self.assertTrue(self.is_let_in(proxy, self.bad))
        mark, began = proxy.mark(), time.monotonic()
        self.files.replace("crl.pem", self.certs.crl("front-revoked", self.bad))
        self.assert_noticed(proxy, mark, began)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertFalse(self.is_let_in(proxy, self.bad, versions=(version, version)))
            self.assertTrue(self.is_let_in(proxy, self.good, versions=(version, version)))
        self.files.replace("crl.pem", self.certs.crl("front-old", expired=True))
        self.hup(proxy)
        self.assertFalse(self.is_let_in(proxy, self.good))
        self.assertRegex(proxy.log(), r"warning: \S+crl.pem: .*out of date")

    def test_no_resumption(self):
        """A session of before would not be checked again."""
        proxy = self.start(listen_verify_client=True, listen_tls_ca=self.certs.ca)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            tls = proxy.tls_context(cert=self.good, versions=(version, version))
            with proxy.connect(tls=tls) as sock:
                rawhttp.exchange(sock, rawhttp.request_bytes("/healthz"))
                session = sock.session
            if session is not None and session.has_ticket:
                self.fail("a ticket was given")
            with rawhttp.connect(proxy.address) as sock, \
                    tls.wrap_socket(sock, server_hostname="localhost", session=session) as again:
                self.assertFalse(again.session_reused)

    def test_ca(self):
        other = self.certs.other_client
        ca = self.files.put("ca.pem", self.certs.ca)
        proxy = self.start(listen_verify_client=True, listen_tls_ca=ca)
        self.assertFalse(self.is_let_in(proxy, other))
        self.files.write("ca.pem", "nothing")
        self.assertIn("--listen-tls-ca", self.hup(proxy))
        self.assertTrue(self.is_let_in(proxy, self.good))
        self.files.replace("ca.pem", self.certs.other_ca)
        self.hup(proxy)
        self.assertTrue(self.is_let_in(proxy, other))
        self.assertFalse(self.is_let_in(proxy, self.good))


class Hypervisors(Reload):
    def test_ca_and_crl(self):
        """Against QEMU, whose certificate is good only when the CA is renewed, and then revoked."""
        vm = self.start_guest(tls=self.certs.qemu_dir("reload"))
        revoked = self.certs.issue("server-reload")             # that of qemu_dir()
        ca = self.files.put("ca.pem", self.certs.other_ca)
        crl = self.files.put("crl.pem", self.certs.crl("connect-empty"))
        proxy = self.start_daemon({"tok": vnc(vm.address)}, connect_tls_ca=ca, connect_tls_crl=crl)
        self.assertEqual(self.outcome(proxy, "tok").code, 4502)
        mark, began = proxy.mark(), time.monotonic()
        self.files.replace("ca.pem", self.certs.ca)
        self.assert_noticed(proxy, mark, began, HYPERVISORS)
        sock, client = self.open(proxy, "tok")
        self.assertEqual(client.update(), vm.screendump())
        self.files.replace("crl.pem", self.certs.crl("connect-revoked", revoked))
        self.hup(proxy)
        self.assertEqual(self.outcome(proxy, "tok").code, 4502)
        proxy.wait_line("(?i)certificate .*revoked")
        self.assertEqual(client.update(), vm.screendump())
        sock.close()
        self.files.replace("crl.pem", self.certs.crl("connect-old", expired=True))
        self.hup(proxy)
        self.assert_serves(proxy, "tok", vm)        # its date says nothing of the certificate

    def test_broken_crl(self):
        crl = self.files.put("crl.pem", self.certs.crl("connect-empty"))
        proxy = self.start_daemon(connect_tls_crl=crl)
        self.files.write("crl.pem", "nothing")
        said = self.hup(proxy)
        self.assertIn(f"not reloaded, the old {HYPERVISORS} stays", said)
        self.assertIn("--connect-tls-crl", said)


class Resolver(Reload):
    def test_connections_are_renewed(self):
        """The resolver sees the new certificate, though a connection to it was open, and a stream."""
        resolver = self.start_resolver(NOWHERE, wait=False)
        cert = self.files.put("cert.pem", self.certs.proxy_client.cert)
        key = self.files.put("key.pem", self.certs.proxy_client.key)
        proxy = self.start_daemon(resolver_mode="external", resolver_uri=resolver.uri, resolver_tls_cert=cert,
                                  resolver_tls_key=key, workers="1")
        fresh = self.certs.issue("renewed-client", names=("renewed.example",), purposes=("client",))
        self.ask(proxy, resolver, "CN=proxy.example,")
        resolver.wait_line("CN=proxy.example,.* 200 stream of events")
        mark, asked, began = proxy.mark(), resolver.mark(), time.monotonic()
        self.files.replace("key.pem", fresh.key)
        self.files.replace("cert.pem", fresh.cert)
        self.assert_noticed(proxy, mark, began, "certificate for the resolver")
        resolver.wait_line("CN=renewed.example,.* 200 stream of events", after=asked)
        self.ask(proxy, resolver, "CN=renewed.example,")

    def test_queries_go_on(self):
        """Those that are on old connections: one is given up by its client, one is in time over."""
        with fakes.Server(fakes.silent) as server:
            proxy = self.start_daemon(resolver_mode="external", resolver_uri=f"https://{server.address}/",
                                      resolver_timeout="2", workers="1")
            given_up, waiting = self.websocket(proxy, "a"), self.websocket(proxy, "b")
            server.wait_connections(3)      # the stream of events is one
            self.assertIn("reloaded: certificate for the resolver", self.hup(proxy))
            given_up.drop()
            self.assertEqual(waiting.wait_close()[0], 4503)
            self.websocket(proxy, "c").drop()       # one that is under way at the end
            server.wait_connections(5)

    def ask(self, proxy, resolver, subject):
        mark = resolver.mark()
        self.assertEqual(self.outcome(proxy, "tok").code, 4503)
        self.assertIn(subject, resolver.wait_line("token [0-9a-f]{8}: 503", after=mark).string)


class Store(Reload):
    def test_ca(self):
        """A store that the old CA kept from being used is there with the new one."""
        server = redisserver.RedisServer(case.new_directory("redis"), tls=self.certs)
        self.addCleanup(server.kill)
        ca = self.files.put("ca.pem", self.certs.other_ca)
        with fakes.Server(fakes.hold) as console:
            proxy = self.start_daemon({"tok": vnc(console.address, insecure=True, singleUse=True)},
                                      connect_insecure=True, store=server.uri, store_tls_ca=ca, workers="1")
            self.assertEqual(self.outcome(proxy, "tok").code, 4503)
            mark = proxy.mark()
            self.files.replace("ca.pem", self.certs.ca)
            self.assertIn("reloaded: certificate for the store", self.hup(proxy))
            proxy.wait_line("store .* answers again", after=mark)
            sock, _ = self.open(proxy, "tok")
            self.assertEqual(sock.close().code, 1000)


class Configuration(Reload):
    """--config, and what SIGHUP does with it."""

    def start_with(self, lines, tokens=None, **flags):
        self.configure(lines)
        return self.start_daemon(tokens, config=self.files.path("proxy.conf"), log_level=None, **flags)

    def configure(self, lines):
        self.files.write("proxy.conf", "[proxy]\n" + "".join(f"{line}\n" for line in lines))

    def test_limits(self):
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_with(["max-sessions-per-token=1", "connect-insecure=true", "log-level=debug"],
                                    {"tok": vnc(server.address, insecure=True)})
            first, _ = self.open(proxy, "tok")
            self.assertEqual(proxy.upgrade("/websockify?token=tok").status, 429)
            self.configure(["max-sessions-per-token=2", "connect-insecure=true", "log-level=debug"])
            self.assertIn("reloaded: configuration", self.hup(proxy))
            second, _ = self.open(proxy, "tok")
            self.assertEqual(proxy.upgrade("/websockify?token=tok").status, 429)
            for sock in (first, second):
                self.assertEqual(sock.close().code, 1000)

    def test_limit_that_was_none(self):
        """Who was there before is counted."""
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_with(["max-sessions-per-address=0", "connect-insecure=true"],
                                    {"tok": vnc(server.address, insecure=True)})
            self.open(proxy, "tok")
            self.configure(["max-sessions-per-address=1", "connect-insecure=true"])
            self.hup(proxy)
            self.assertEqual(proxy.upgrade("/websockify?token=tok").status, 429)

    def test_session_limit(self):
        """It is for sessions that begin afterwards."""
        lines = ["connect-insecure=true", "log-level=debug"]
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_with(lines, {"tok": vnc(server.address, insecure=True)})
            old, _ = self.open(proxy, "tok")
            self.configure([*lines, "session-limit=1"])
            self.hup(proxy)
            new, _ = self.open(proxy, "tok")
            self.assertEqual(new.wait_close(30).code, 4408)
            self.assertEqual(old.close().code, 1000)

    def test_targets_and_trust(self):
        """Where consoles may be, but never at our own listener; and who is a balancer."""
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_with(["connect-insecure=true", "allowed-target=192.0.2.0/24"],
                                    {"tok": vnc(server.address, insecure=True)})
            forwarded = [("X-Forwarded-For", "203.0.113.7")]
            self.assertEqual(self.outcome(proxy, "tok").code, 4403)
            self.configure(["connect-insecure=true", "allowed-target=127.0.0.0/8", "trusted-proxy=127.0.0.1", "log-level=info"])
            self.hup(proxy)
            mark = proxy.mark()
            self.open(proxy, "tok", headers=forwarded)
            proxy.wait_line(r"started: .* client 203\.0\.113\.7 ", after=mark)
            proxy.write_tokens({"tok": vnc(f"127.0.0.1:{proxy.port}", insecure=True)})
            self.hup(proxy)
            self.assertEqual(self.outcome(proxy, "tok").code, 4403)

    def test_token_failures(self):
        proxy = self.start_with(["token-failures=0"], token_failures=None)
        for _ in range(3):
            self.assertEqual(self.outcome(proxy, "guess").code, 4401)
        self.configure(["token-failures=1"])
        self.hup(proxy)
        self.assertEqual(self.outcome(proxy, "guess").code, 4401)
        self.assertEqual(proxy.upgrade("/websockify?token=guess").status, 429)

    def test_origins_and_log_level(self):
        proxy = self.start_with(["allowed-origin=https://a.example;https://b.example"])
        origin = (("Origin", "https://c.example"),)
        self.assertEqual(proxy.upgrade("/websockify?token=none", headers=origin).status, 403)
        self.configure(["allowed-origin=https://c.example", "log-level=info"])
        self.hup(proxy)
        mark = proxy.mark()
        self.assertEqual(proxy.upgrade("/websockify?token=none", headers=origin).status, 101)
        proxy.wait_line("info: refused", after=mark)

    def test_other_files(self):
        """Paths may change too."""
        proxy = self.start_with([f"listen-tls-cert={self.certs.proxy_server.cert}",
                                 f"listen-tls-key={self.certs.proxy_server.key}"],
                                listen_tls_cert=None, listen_tls_key=None)
        self.configure([f"listen-tls-cert={self.new.cert}", f"listen-tls-key={self.new.key}"])
        self.hup(proxy)
        self.assert_shows(proxy, self.new)

    def test_broken_file_keeps_the_old(self):
        proxy = self.start_with(["max-sessions=1"])
        self.configure(["max-sessions=1", "max-session=2"])
        said = self.hup(proxy)
        self.assertIn("not reloaded, the old configuration stays", said)
        self.assertIn(self.files.path("proxy.conf") + ":3: max-session ", said)
        self.assertIn(f"reloaded: {CLIENTS}", said)             # the other pieces are not held up

    def test_what_needs_a_restart_says_so(self):
        proxy = self.start_with([])
        self.configure(["listen-min-tls=VersionTLS13", "store-insecure=true"])
        said = self.hup(proxy)
        for key in ("listen-min-tls", "store-insecure"):
            self.assertIn(f"warning: {key} has changed", said)
        self.assertEqual(said.count("has changed"), 2)
        self.assertIn("has changed", self.hup(proxy))           # and says so until it is done


class Check(Reload):
    """--check-config: file, line and key; exit status 2, or 0."""

    def check(self, text, **flags):
        every = daemon.default_flags(self.files.directory, self.certs)
        every.update({"--" + name.replace("_", "-"): value for name, value in flags.items()})
        every.update({"--config": self.files.write("proxy.conf", text), "--check-config": True,
                      "--log-level": None, "--listen-addr": None, "--workers": None,
                      "--resolver-tokens": self.tokens})
        return daemon.run(*daemon.command_line(every))

    def setUp(self):
        super().setUp()
        self.tokens = self.files.write("tokens.json", "{}")
        os.chmod(self.tokens, 0o600)

    def test_good(self):
        done = self.check("[proxy]\nlisten-addr=127.0.0.1:443;[::1]:443\nmax-sessions=7\n")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("good", done.stdout)

    def test_bad(self):
        other = self.certs.proxy_client.key
        for name, text, line, *words in (
                ("key", "[proxy]\n\nmax-session=1\n", 3, "max-session"),
                ("group", "[proxys]\n", 1, "[proxys]"),
                ("number", "[proxy]\nworkers=257\n", 2, "workers", "256"),
                ("boolean", "[proxy]\nrequire-origin=yes\n", 2, "require-origin"),
                ("level", "[proxy]\nlog-level=loud\n", 2, "log-level", "loud"),
                ("origin", "[proxy]\nallowed-origin=https://a.example;b\n", 2, "allowed-origin"),
                ("address", "[proxy]\nlisten-addr=127.0.0.1:443;nowhere\n", 2, "listen-addr", "nowhere"),
                ("host", "[proxy]\nlisten-addr=host.invalid:443\n", 2, "listen-addr", "host.invalid"),
                ("directory", "[proxy]\nweb-dir=/nonexistent\n", 2, "web-dir", "/nonexistent"),
                ("certificate", "[proxy]\nlisten-tls-cert=/nonexistent.pem\n", 2, "listen-tls-cert", "No such file"),
                ("pair", f"[proxy]\nlisten-tls-key={other}\n", 2, "listen-tls-key", other),
                ("crl", f"[proxy]\nconnect-tls-crl={other}\n", 2, "connect-tls-crl"),
                ("store", "[proxy]\nstore=redis://user:CANARY@host.invalid\n", 2, "store"),
                ("resolver", "[proxy]\nresolver-mode=external\nresolver-tls-ca=/nonexistent.pem\n", 3,
                 "resolver-tls-ca")):
            with self.subTest(name):
                done = self.check(text, **{word.replace("-", "_"): None for word in words if word.startswith("listen-tls")})
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                for word in (f"proxy.conf:{line}: ", *words):
                    self.assertIn(word, done.stderr)
                self.assertNotIn("CANARY", done.stderr)

    def test_flags_win(self):
        """And where a flag is wrong, it is not the file's fault."""
        done = self.check("[proxy]\nlisten-tls-cert=/nonexistent.pem\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.check("[proxy]\nlisten-tls-cert=/nonexistent.pem\n", listen_tls_cert="/other.pem")
        self.assertEqual(done.returncode, 2)
        self.assertIn("/other.pem: No such file or directory (see --listen-tls-cert)", done.stderr)
        self.assertNotIn("proxy.conf", done.stderr)

    def test_start_says_it_too(self):
        every = daemon.default_flags(self.files.directory, self.certs)
        every.update({"--config": self.files.write("proxy.conf", "[proxy]\nlisten-tls-crl=x\nkeepalive=0\n")})
        done = daemon.run(*daemon.command_line(every))
        self.assertEqual(done.returncode, 2)
        self.assertIn("proxy.conf:3: keepalive", done.stderr)


if __name__ == "__main__":
    tap.main()
