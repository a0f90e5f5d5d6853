#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unknown tokens are slowed down per client address, before they cost anything."""
import http.server
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, rfb, tap, ws
from lab.case import vnc

FREE = 3


class Resolver:
    """Knows the token "good", and counts what it is asked."""

    def __init__(self, address):
        outer = self
        self.queries = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                token = self.path.rsplit("/", 1)[1]
                outer.queries.append(token)
                known = token == "good"
                body = json.dumps(vnc(address, insecure=True)).encode() if known else b"{}"
                self.send_response(503 if token == "away" else 200 if known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.uri = f"http://127.0.0.1:{self.server.server_port}/"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Guesses(case.Case):
    def setUp(self):
        server = fakes.Server(fakes.hold)
        self.addCleanup(server.close)
        self.resolver = Resolver(server.address)
        self.addCleanup(self.resolver.close)

    def start(self, **flags):
        flags.setdefault("token_failures", str(FREE))
        self.proxy = self.start_daemon(resolver_mode="external", resolver_uri=self.resolver.uri,
                                       resolver_insecure=True, connect_insecure=True,
                                       trusted_proxy="127.0.0.1", **flags)

    def attempt(self, token, client="203.0.113.7"):
        """The close code, "in", or the HTTP answer that refused it."""
        try:
            sock = self.websocket(self.proxy, token, headers=[("X-Forwarded-For", client)])
        except ws.Refused as refused:
            return refused.response
        try:
            rfb.login(sock)
        except (ws.Closed, rfb.Failed):
            return sock.wait_close().code
        sock.close()
        return "in"

    def fail_freely(self, client="203.0.113.7"):
        for i in range(FREE):
            self.assertEqual(self.attempt(f"guess-{i}", client), 4401)

    def test_refused(self):
        self.start()
        self.fail_freely()
        asked = len(self.resolver.queries)
        for token in ("guess", "good", "away"):
            answer = self.attempt(token)
            self.assertEqual(answer.status, 429)
            self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
            self.assert_plain(answer.body.decode().strip())
        self.assertEqual(len(self.resolver.queries), asked, "the resolver was asked")
        self.assertEqual(self.attempt("good", "203.0.113.8"), "in", "somebody else")
        self.assertEqual(self.proxy.request("/healthz").status, 200)

    def test_waiting(self):
        """After the time that it is told, one more is looked at, and then the time is longer."""
        self.start()
        self.fail_freely()
        first = self.attempt("guess")
        self.assertEqual(first.status, 429)
        self.wait_for_a_try()
        second = int(self.attempt("guess").headers["retry-after"])
        self.assertEqual(second, 2)

    def wait_for_a_try(self):
        case.guest.wait_until(lambda: self.attempt("another-guess") == 4401, "a token that is looked at")

    def test_good_token_forgives(self):
        self.start()
        for _ in range(3):
            for i in range(FREE - 1):
                self.assertEqual(self.attempt(f"guess-{i}"), 4401)
            self.assertEqual(self.attempt("good"), "in")

    def test_good_token_after_the_wait(self):
        self.start()
        self.fail_freely()
        case.guest.wait_until(lambda: self.attempt("good") == "in", "the valid token")
        self.fail_freely()

    def test_network_of_v6(self):
        self.start()
        for i in range(FREE):
            self.assertEqual(self.attempt("guess", f"2001:db8::{i}"), 4401)
        self.assertEqual(self.attempt("guess", "2001:db8::ffff:1").status, 429)
        self.assertEqual(self.attempt("guess", "2001:db8:0:1::1"), 4401)

    def test_a_resolver_that_is_away_is_no_guess(self):
        self.start()
        for _ in range(FREE + 2):
            self.assertEqual(self.attempt("away"), 4503)
        self.assertEqual(self.attempt("good"), "in")

    def test_shared_by_workers(self):
        self.start(workers="4")
        self.fail_freely()
        for _ in range(8):
            self.assertEqual(self.attempt("guess").status, 429)

    def test_zero_is_no_limit(self):
        self.start(token_failures="0")
        for _ in range(50):
            self.assertEqual(self.attempt("guess"), 4401)

    def test_default(self):
        self.start(token_failures=None)
        for _ in range(20):
            self.assertEqual(self.attempt("guess"), 4401)
        self.assertEqual(self.attempt("guess").status, 429)

    def test_flood(self):
        """Neither the resolver nor memory notices."""
        self.start(log_level="message")
        self.fail_freely()
        for _ in range(100):
            self.attempt("guess")
        asked = len(self.resolver.queries)
        before = self.proxy.memory()
        for i in range(400):
            answer = self.attempt(f"guess-{i}")
            self.assertTrue(answer == 4401 or answer.status == 429)
        self.assertLessEqual(len(self.resolver.queries) - asked, 5)
        if not daemon.is_sanitized():
            self.assertLess(self.proxy.memory() - before, 1 << 20)


if __name__ == "__main__":
    tap.main()
