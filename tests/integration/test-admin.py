#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The admin listener: who may ask, what is answered, kill and drain."""
import json
import os
import pathlib
import re
import ssl
import stat
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, rawhttp, tap
from lab.case import vnc

FIELDS = {"id", "tokenId", "type", "client", "console", "state", "startedAt", "bytesIn", "bytesOut"}
TOKEN = "CANARY-token-5512"


class Console(case.Case):
    """With a console that takes everybody."""

    def setUp(self):
        self.server = self.enterContext(fakes.Server(fakes.hold))

    def start(self, **flags):
        return self.start_daemon({TOKEN: vnc(self.server.address, insecure=True)}, connect_insecure=True, **flags)

    def wait_sessions(self, proxy, count):
        deadline = time.monotonic() + 30
        while len(proxy.status()["sessions"]) != count:
            self.assertLess(time.monotonic(), deadline)


class Status(Console):
    def test_empty(self):
        status = self.start().status()
        self.assertEqual(status["sessions"], [])
        self.assertEqual(status["totals"], {"sessions": 0, "connections": 0, "started": 0, "ended": 0,
                                            "bytesIn": 0, "bytesOut": 0})
        self.assertEqual((status["draining"], status["workers"]), (False, 2))

    def test_sessions(self):
        proxy = self.start(workers="3")
        socks = [self.open(proxy, TOKEN)[0] for _ in range(7)]
        socks[0].write(bytes([4, 0, 0, 0, 0, 0, 0, 65]))
        status = proxy.status()
        self.assertEqual([one["id"] for one in status["sessions"]], [1, 2, 3, 4, 5, 6, 7])
        for one, sock in zip(status["sessions"], socks):
            self.assertEqual(set(one), FIELDS)
            self.assertEqual((one["type"], one["console"], one["state"]), ("vnc", self.server.address, "spliced"))
            self.assertRegex(one["tokenId"], "^[0-9a-f]{8}$")
            self.assertRegex(one["startedAt"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertGreater(one["bytesIn"], 0)
            self.assertGreater(one["bytesOut"], 0)
            self.assertEqual(one["client"], "%s:%u" % sock.sock.getsockname()[:2])
        self.assertEqual(status["totals"]["sessions"], 7)
        for sock in socks:
            sock.close()
        self.wait_sessions(proxy, 0)
        self.assertEqual(proxy.status()["totals"]["ended"], 7)

    def test_session_amid_its_handshake(self):
        with fakes.Server(fakes.silent) as server:
            proxy = self.start_daemon({"tok": vnc(server.address)})
            self.websocket(proxy, "tok")
            server.wait_connections(1)
            self.assertEqual(proxy.status()["sessions"][0]["state"], "handshake")

    def test_no_secrets(self):
        proxy = self.start()
        self.open(proxy, TOKEN)
        self.outcome(proxy, TOKEN + "-bad")
        for target in ("/status", "/metrics"):
            self.assertNotIn(TOKEN.encode(), proxy.admin(target).body)

    def test_head_and_keep_alive(self):
        proxy = self.start()
        sock = rawhttp.connect(proxy.admin_path)
        self.addCleanup(sock.close)
        for method in ("GET", "HEAD", "GET"):
            answer = rawhttp.exchange(sock, rawhttp.request_bytes("/status", method=method))
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["content-type"], "application/json")
            self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_a_client_that_does_not_wait(self):
        """It leaves while the workers are asked; nothing is left of it."""
        proxy = self.start()
        for _ in range(50):
            sock = rawhttp.connect(proxy.admin_path)
            sock.sendall(rawhttp.request_bytes("/status"))
            rawhttp.reset(sock)
        self.assertEqual(proxy.admin("/status").status, 200)

    def test_pipelined_and_parallel(self):
        proxy = self.start()
        socks = [rawhttp.connect(proxy.admin_path) for _ in range(30)]
        for sock in socks:
            self.addCleanup(sock.close)
            sock.sendall(rawhttp.request_bytes("/status"))
        for sock in socks:
            self.assertEqual(rawhttp.read_response(sock).status, 200)


class Refusals(Console):
    def test_paths_and_methods(self):
        proxy = self.start()
        for method, target, status in (
                ("GET", "/", 404), ("GET", "/statusx", 404), ("GET", "/sessions/", 405), ("GET", "/sessions/1", 405),
                ("POST", "/status", 405), ("DELETE", "/metrics", 405), ("GET", "/drain", 405),
                ("DELETE", "/sessions/", 404), ("DELETE", "/sessions/0", 404), ("DELETE", "/sessions/-1", 404),
                ("DELETE", "/sessions/1x", 404), ("DELETE", "/sessions/99999999999999999999", 404),
                ("DELETE", "/sessions/7", 404), ("POST", "/drain?timeout=x", 400), ("POST", "/drain?timeout=-1", 400),
                ("POST", "/drain?timeout=86401", 400)):
            with self.subTest(method=method, target=target):
                self.assertEqual(proxy.admin(target, method).status, status)
        self.assertFalse(proxy.status()["draining"])

    def test_pages_of_a_browser(self):
        proxy = self.start()
        for method, target in (("POST", "/drain"), ("GET", "/status"), ("DELETE", "/sessions/1")):
            answer = proxy.admin(target, method, headers=[("Origin", "https://evil.example")])
            self.assertEqual(answer.status, 403)
        self.assertFalse(proxy.status()["draining"])

    def test_large_body(self):
        proxy = self.start()
        sock = rawhttp.connect(proxy.admin_path)
        self.addCleanup(sock.close)
        body = bytes(1 << 20)
        head = rawhttp.request_bytes("/drain", [("Content-Length", str(len(body)))], method="POST")
        self.assertNotEqual(rawhttp.exchange(sock, head + body).status, 202)
        self.assertFalse(proxy.status()["draining"])

    def test_not_on_the_public_port(self):
        proxy = self.start()
        for target in ("/status", "/metrics", "/sessions/1", "/drain"):
            self.assertEqual(proxy.request(target).status, 404)


class Kill(Console):
    def test_one_of_many(self):
        proxy = self.start(workers="3")
        socks = [self.open(proxy, TOKEN)[0] for _ in range(5)]
        ids = {one["client"]: one["id"] for one in proxy.status()["sessions"]}
        victim = ids["%s:%u" % socks[2].sock.getsockname()[:2]]
        self.assertEqual(proxy.admin(f"/sessions/{victim}", "DELETE").status, 200)
        close = socks[2].wait_close(10)
        self.assertEqual(close.code, 1008)
        self.assert_plain(close.reason)
        proxy.wait_line(rf"session {victim} ended.* code 1008 reason killed")
        self.wait_sessions(proxy, 4)
        self.assertEqual(proxy.admin(f"/sessions/{victim}", "DELETE").status, 404)
        for sock in socks[:2] + socks[3:]:
            self.assertEqual(sock.close().code, 1000)

    def test_amid_its_handshake(self):
        with fakes.Server(fakes.silent) as server:
            proxy = self.start_daemon({"tok": vnc(server.address)})
            sock = self.websocket(proxy, "tok")
            server.wait_connections(1)
            self.assertEqual(proxy.admin("/sessions/1", "DELETE").status, 200)
            self.assertEqual(sock.wait_close(10).code, 1008)


class Drain(Console):
    def test_with_a_time_of_its_own(self):
        proxy = self.start()
        sock, _ = self.open(proxy, TOKEN)
        answer = proxy.admin("/drain?timeout=600", "POST")
        self.assertEqual((answer.status, answer.body), (202, b"draining\n"))
        self.assertTrue(proxy.status()["draining"])
        self.assertEqual(proxy.request("/readyz").status, 503)
        self.assertEqual(proxy.upgrade(f"/websockify?token={TOKEN}").status, 503)
        sock.close()
        self.assertEqual(proxy.process.wait(30), 0)

    def test_configured_time(self):
        proxy = self.start(drain_timeout="1")
        sock, _ = self.open(proxy, TOKEN)
        self.assertEqual(proxy.admin("/drain", "POST").status, 202)
        self.assertEqual(sock.wait_close(30).code, 1001)
        self.assertEqual(proxy.process.wait(30), 0)

    def test_a_second_one_sets_the_time_anew(self):
        proxy = self.start()
        sock, _ = self.open(proxy, TOKEN)
        self.assertEqual(proxy.admin("/drain?timeout=600", "POST").status, 202)
        self.assertEqual(proxy.admin("/drain?timeout=0", "POST").status, 202)
        self.assertEqual(sock.wait_close(30).code, 1001)
        self.assertEqual(proxy.process.wait(30), 0)


class Listener(case.Case):
    def fails(self, *flags):
        done = daemon.run(*daemon.command_line(daemon.default_flags(self.directory(), self.certs)), *flags)
        self.assertEqual(done.returncode, 2, done.stderr)
        return done.stderr.splitlines()[-1]

    def directory(self):
        path = case.new_directory("admin")
        with open(os.path.join(path, "tokens.json"), "w", encoding="utf-8") as out:
            out.write("{}")
        return path

    def test_mode_of_the_socket(self):
        proxy = self.start_daemon()
        self.assertEqual(stat.S_IMODE(os.stat(proxy.admin_path).st_mode), 0o660)
        proxy.stop()
        self.assertFalse(os.path.exists(proxy.admin_path))

    def test_none(self):
        proxy = self.start_daemon(admin_addr="none")
        self.assertEqual(proxy.count_lines("administrators"), 0)
        self.assertIn("stands alone", self.fails("--admin-addr=none", "--admin-addr=unix:/nonexistent/s"))

    def test_explicit_one_that_cannot_be_had(self):
        self.assertRegex(self.fails("--admin-addr=unix:/nonexistent/admin.sock"), r"--admin-addr.*/nonexistent")

    def test_default_one(self):
        """Without its directory the start does not fail."""
        if os.path.exists("/run/virtconsoleproxy"):
            self.skipTest("this machine runs a proxy of its own")
        proxy = self.start_daemon(admin_addr=None)
        proxy.wait_line(r"warning: administrators are not answered.*/run/virtconsoleproxy")

    def test_tcp_needs_certificates(self):
        self.assertIn("--admin-tls-cert", self.fails("--admin-addr=127.0.0.1:0"))

    def test_broken_certificates(self):
        broken = os.path.join(self.directory(), "tokens.json")
        line = self.fails("--admin-addr=127.0.0.1:0", f"--admin-tls-cert={broken}",
                          f"--admin-tls-key={self.certs.proxy_server.key}", f"--admin-tls-ca={self.certs.ca}")
        self.assertIn(broken, line)

    def test_tcp(self):
        """Who has a certificate of that CA is answered, in whatever way nobody else."""
        proxy = self.start_daemon(admin_addr=["127.0.0.1:0", f"unix:{case.new_directory('admin')}/s"],
                                  admin_tls_cert=self.certs.proxy_server.cert,
                                  admin_tls_key=self.certs.proxy_server.key, admin_tls_ca=self.certs.ca)
        port = int(proxy.wait_line(r"answered at 127.0.0.1:(\d+) \(TLS")[1])

        def ask(cert, **options):
            sock = rawhttp.connect(("127.0.0.1", port), tls=rawhttp.tls_context(self.certs.ca, cert=cert, **options))
            with sock:
                return rawhttp.exchange(sock, rawhttp.request_bytes("/status"))
        answer = ask(self.certs.proxy_client)
        self.assertEqual(answer.status, 200)
        self.assertEqual(json.loads(answer.body)["sessions"], [])
        self.assertEqual(ask(None).status, 403)
        self.assertEqual(ask(self.certs.other_client).status, 403)
        self.assertEqual(ask(self.certs.issue("late", purposes=("client",), expired=True)).status, 403)
        self.assertEqual(ask(self.certs.resolver_server).status, 403)     # for servers only
        with self.assertRaises((ssl.SSLError, OSError)):
            old = (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)
            ask(self.certs.proxy_client, versions=old)
        with rawhttp.connect(("127.0.0.1", port)) as plain:
            self.assertIsNone(rawhttp.exchange(plain, rawhttp.request_bytes("/status")).status)


class Descriptors(Console):
    def test_nothing_is_left(self):
        proxy = self.start()
        proxy.status()
        before = proxy.descriptors()
        for _ in range(200):
            self.assertEqual(proxy.admin("/status").status, 200)
            self.assertEqual(proxy.admin("/metrics").status, 200)
        deadline = time.monotonic() + 30
        while proxy.descriptors() > before:
            self.assertLess(time.monotonic(), deadline)
        self.assertIsNone(re.search("critical|assert", proxy.log(), re.IGNORECASE))


if __name__ == "__main__":
    tap.main()
