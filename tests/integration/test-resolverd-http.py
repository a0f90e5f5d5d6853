#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virtconsoleresolverd's start, and who gets which answer."""
import os
import resource
import signal
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import case, program, rawhttp, resolverd, tap

NOWHERE = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"


class Start(case.Case):
    def run_with(self, **flags):
        """Starts it to fail -> (status, the line that it said)."""
        given = {"--listen-addr": "127.0.0.1:0", "--listen-tls-cert": self.certs.resolver_server.cert,
                 "--listen-tls-key": self.certs.resolver_server.key, "--listen-tls-ca": self.certs.ca,
                 "--connect": NOWHERE}
        given.update({"--" + name.replace("_", "-"): value for name, value in flags.items()})
        done = resolverd.run(*program.command_line(given))
        return done.returncode, done.stderr

    def assert_refused(self, *words, **flags):
        status, said = self.run_with(**flags)
        self.assertEqual(status, 2, said)
        self.assertEqual(said.count("\n"), 1, said)
        for word in words:
            self.assertIn(word, said)

    def test_files(self):
        broken = os.path.join(case.new_directory("broken"), "broken.pem")
        with open(broken, "w", encoding="ascii") as out:
            out.write("no certificate\n")
        for flag in ("listen_tls_cert", "listen_tls_key", "listen_tls_ca"):
            name = "--" + flag.replace("_", "-")
            self.assert_refused("/nonexistent.pem", name, **{flag: "/nonexistent.pem"})
            self.assert_refused(broken, name, **{flag: broken})
        self.assert_refused("not the key", listen_tls_key=self.certs.proxy_client.key)

    def test_ca_is_needed_only_to_verify(self):
        self.start_resolver(NOWHERE, wait=False, listen_tls_ca="/nonexistent.pem", listen_no_verify_client=True)

    def test_flags(self):
        self.assert_refused("given twice", connect=[NOWHERE, NOWHERE])
        self.assert_refused("no --connect", domain_address="qemu:///system=host")
        self.assert_refused("URI=HOST", domain_address="host")
        self.assert_refused("host name", domain_address=f"{NOWHERE}=ho st")
        self.assert_refused("has an address already", domain_address=[f"{NOWHERE}=a", f"{NOWHERE}=b"])
        self.assert_refused("--allowed-client", allowed_client="CN=x", listen_insecure=True)
        self.assert_refused("--allowed-client", allowed_client="CN=x", listen_no_verify_client=True)
        self.assert_refused("--log-level", log_level="loud")
        self.assert_refused("must be host:port", listen_addr="somewhere")
        done = resolverd.run("argument")
        self.assertEqual((done.returncode, "unexpected argument" in done.stderr), (2, True))

    def test_port_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.assert_refused("in use", listen_addr=f"127.0.0.1:{taken.getsockname()[1]}")

    def test_help_and_version(self):
        done = resolverd.run("--help")
        self.assertEqual((done.returncode, "--domain-address" in done.stdout), (0, True))
        done = resolverd.run("--version")
        self.assertRegex(done.stdout, r"^virtconsoleresolverd \d+\.\d+")

    def test_signals_end_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            resolver = self.start_resolver(NOWHERE, wait=False)
            resolver.process.send_signal(number)
            self.assertEqual(resolver.process.wait(program.STOP_TIMEOUT), 0)

    def test_several_listeners(self):
        path = os.path.join(case.new_directory("socket"), "resolver.sock")
        resolver = self.start_resolver(NOWHERE, wait=False, listen_addr=["127.0.0.1:0", "[::1]:0", f"unix:{path}"])
        for address in resolver.listeners:
            sock = rawhttp.connect(address, tls=resolver.tls_context())
            self.assertEqual(rawhttp.exchange(sock, rawhttp.request_bytes("/healthz")).status, 200)
            sock.close()
        self.assertEqual(resolver.listeners[2], path)


class Clients(case.Case):
    """Nothing is connected, so a client that may ask gets 503 for every token."""

    def ask(self, resolver, cert):
        return resolver.get("/consoleresolver/token/any", tls=rawhttp.tls_context(self.certs.ca, cert=cert)).status

    def test_certificates(self):
        resolver = self.start_resolver(NOWHERE, wait=False)
        self.assertEqual(self.ask(resolver, self.certs.proxy_client), 503)
        self.assertEqual(self.ask(resolver, None), 401)
        self.assertEqual(self.ask(resolver, self.certs.other_client), 403)
        self.assertEqual(self.ask(resolver, self.certs.issue("old", expired=True)), 403)
        self.assertEqual(self.ask(resolver, self.certs.issue("young", future=True)), 403)
        self.assertEqual(self.ask(resolver, self.certs.issue("server-only", purposes=("server",))), 403)
        for path in ("/healthz", "/readyz"):
            context = rawhttp.tls_context(self.certs.ca)
            self.assertIn(resolver.get(path, tls=context).status, (200, 503))

    def test_verdict_holds_for_the_connection(self):
        resolver = self.start_resolver(NOWHERE, wait=False)
        for cert, status in ((None, 401), (self.certs.proxy_client, 503)):
            sock = resolver.connect(tls=rawhttp.tls_context(self.certs.ca, cert=cert))
            for _ in range(3):
                self.assertEqual(rawhttp.exchange(sock, rawhttp.request_bytes("/consoleresolver/token/a")).status,
                                 status)
            sock.close()

    def test_allowed_clients(self):
        resolver = self.start_resolver(NOWHERE, wait=False,
                                       allowed_client=["proxy.example", "CN=named,O=console lab"])
        self.assertEqual(self.ask(resolver, self.certs.proxy_client), 503)
        named = self.certs.issue("named", names=("elsewhere.example",), purposes=("client",), cn="named")
        self.assertEqual(self.ask(resolver, named), 503)
        other = self.certs.issue("another", names=("elsewhere.example",), purposes=("client",), cn="proxy.example")
        self.assertEqual(self.ask(resolver, other), 403)
        resolver.wait_line("CN=proxy.example,O=console lab token -: 403")

    def test_without_verification(self):
        resolver = self.start_resolver(NOWHERE, wait=False, listen_no_verify_client=True)
        self.assertEqual(self.ask(resolver, None), 503)
        resolver.wait_line("warning: .*--listen-no-verify-client")

    def test_clear_text(self):
        resolver = self.start_resolver(NOWHERE, wait=False, listen_insecure=True)
        self.assertEqual(resolver.get("/consoleresolver/token/any", tls=None).status, 503)
        resolver.wait_line("warning: .*--listen-insecure")

    def test_old_tls(self):
        resolver = self.start_resolver(NOWHERE, wait=False)
        old = rawhttp.tls_context(self.certs.ca, cert=self.certs.proxy_client,
                                  versions=(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            resolver.connect(tls=old)


class Requests(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.resolver = cls.start_class_resolver(NOWHERE, wait=False)

    def test_malformed_tokens(self):
        for token in ("", ".", "..", "%2e%2e", "%2E", "a%2fb", "a/b", "a%5Cb", "a%3Fb", "a%23b", "a%00b", "%00", "a%0d%0ab",
                      "a%20b", "%C3%A4", "%zz", "%4", "x" * 257, "a/../b"):
            self.assertEqual(self.resolver.query(token).status, 400, token)

    def test_endless_token(self):
        self.assertIn(self.resolver.query("x" * 70000).status, (400, 414, 431, None))
        self.assertEqual(self.resolver.get("/healthz").status, 200)

    def test_good_tokens(self):
        for token in ("a", "x" * 256, "!$&'()*+,;=:@-._~", "%41bc", "a%3D"):
            self.assertEqual(self.resolver.query(token).status, 503, token)
        self.assertEqual(self.resolver.get("/consoleresolver//token/a").status, 503)
        self.assertEqual(self.resolver.query("a?b=c").status, 503)

    def test_other_paths(self):
        for path in ("/", "/consoleresolver", "/consoleresolver/", "/consoleresolver/tokens/a", "/token/a",
                     "/consoleresolver///token/a", "/Consoleresolver/token/a", "/healthz/", "/%68ealthz"):
            self.assertEqual(self.resolver.get(path).status, 404, path)

    def test_methods(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"):
            response = self.resolver.get("/consoleresolver/token/a", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD"), method)
        sock = self.resolver.connect()
        sock.sendall(rawhttp.request_bytes("/healthz", method="HEAD"))
        response = rawhttp.read_response(sock, has_body=False)
        self.assertEqual((response.status, response.headers["content-length"], response.rest), (200, "3", b""))
        sock.close()

    def test_answers_are_not_kept(self):
        for path in ("/healthz", "/readyz", "/consoleresolver/token/a", "/nothing"):
            headers = self.resolver.get(path).headers
            self.assertEqual((headers["cache-control"], headers["x-content-type-options"]), ("no-store", "nosniff"))

    def test_bodies(self):
        small = rawhttp.request_bytes("/healthz", [("Content-Length", "5")]) + b"hello"
        self.assertEqual(self.resolver.exchange(small).status, 200)
        large = rawhttp.request_bytes("/healthz", [("Content-Length", "10000000")])
        self.assertIsNone(self.resolver.exchange(large + bytes(200000)).status)

    def test_many_connections_leave_nothing(self):
        def round_of(count):
            socks = [self.resolver.connect() for _ in range(count)]
            for sock in socks:
                sock.sendall(rawhttp.request_bytes("/consoleresolver/token/a"))
            for sock in socks:
                self.assertEqual(rawhttp.read_response(sock).status, 503)
                sock.close()
        round_of(20)
        before = self.resolver.descriptors()
        for _ in range(5):
            round_of(100)
        deadline = time.monotonic() + 20
        while self.resolver.descriptors() > before + 5:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)


class Crowd(case.Case):
    def test_one_address_does_not_keep_others_out(self):
        """Connections that say nothing, more than there may be in all."""
        hard = max(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 8192)
        resource.setrlimit(resource.RLIMIT_NOFILE, (8192, hard))
        resolver = self.start_resolver(NOWHERE, wait=False)
        resolver.wait_line("ready$")
        crowd = [socket.create_connection(("127.0.0.1", resolver.port), source_address=("127.0.0.2", 0))
                 for _ in range(4200)]
        self.assertEqual(resolver.query("any").status, 503)
        for sock in crowd:
            sock.close()


if __name__ == "__main__":
    tap.main()
