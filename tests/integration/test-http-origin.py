#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which pages may open a console: the Origin check and its flags."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, tap

TARGET = "/websockify?token=x"


class Origin(case.Case):
    def status(self, origin, host="localhost:1234", cookie=None, target=TARGET):
        headers = [("Cookie", cookie)] if cookie else []
        return self.proxy.upgrade(target, host=host, origin=origin, headers=headers).status

    def rows(self, rows, **options):
        for origin, wanted in rows:
            with self.subTest(origin, **options):
                self.assertEqual(self.status(origin, **options), wanted)

    def start(self, **flags):
        self.proxy = self.start_daemon(**flags)


class Default(Origin):
    def test_rows(self):
        self.start()
        self.rows([
            ("https://localhost:1234", 101),
            (None, 101),
            ("https://evil.example", 403),
            ("https://evil.example:1234", 403),
            ("null", 403),
            ("https://localhost.evil.example:1234", 403),
            ("https://evil-localhost:1234", 403),
            ("https://localhost:1234.evil.example", 403),
            ("https://localhost:1234@evil.example", 403),
            ("https://evil.example@localhost:1234", 403),
            ("https://localhost:1234/page", 403),
            ("https://localhost:1235", 403),
            ("https://localhost:12345", 403),
            ("https://localhost", 403),
            ("https://localhost:443", 403),
            ("http://localhost:1234", 403),
            ("file://", 403),
            ("localhost:1234", 403),
            ("//localhost:1234", 403),
            ("https:localhost:1234", 403),
            ("https://", 403),
            ("https://localhost:1234 https://evil.example", 403),
            ("https://[::1]:1234", 403),
            ("*", 403),
            ("x" * 3000, 403),
        ])

    def test_default_port(self):
        self.start()
        for host in ("console.example", "console.example:443"):
            self.rows([("https://console.example", 101), ("https://console.example:443", 101),
                       ("http://console.example", 403), ("https://console.example:80", 403)],
                      host=host)

    def test_ipv6_literal(self):
        self.start()
        self.rows([("https://[::1]:1234", 101), ("https://[::2]:1234", 403),
                   ("https://[::1]:1235", 403), ("https://[::1]", 403), ("https://::1:1234", 403)],
                  host="[::1]:1234")
        self.rows([("https://[::1]", 101), ("https://[::1]:443", 101)], host="[::1]")

    def test_two_origins(self):
        self.start()
        response = self.proxy.upgrade(TARGET, host="localhost:1234", origin="https://localhost:1234",
                                      headers=[("Origin", "https://evil.example")])
        self.assertIn(response.status, (400, 403))

    def test_cookie_needs_an_origin(self):
        self.start()
        self.rows([(None, 403), ("https://localhost:1234", 101), ("https://evil.example", 403),
                   ("null", 403), ("", 403)], cookie="token=x", target="/websockify")

    def test_clear_text(self):
        self.start(listen_insecure=True, listen_tls_cert=None, listen_tls_key=None)
        self.proxy.tls_context = lambda **_: None
        self.rows([("http://localhost:1234", 101), ("https://localhost:1234", 403), (None, 101),
                   ("http://evil.example", 403)])
        self.rows([("http://console.example", 101), ("http://console.example:80", 101)],
                  host="console.example")

    def test_judged_before_the_token(self):
        self.start()
        self.assertEqual(self.status("https://evil.example", target="/websockify"), 403)

    def test_many_hosts_change_nothing(self):
        """CVE-like: an allow-list that grew with each Host header."""
        self.start(log_level="message")
        self.ask_many(range(200))
        before = self.proxy.memory()
        self.ask_many(range(200, 2200))
        self.assertEqual(self.status("https://h7.example"), 403)
        if not case.daemon.is_sanitized():
            self.assertLess(self.proxy.memory() - before, 256 * 1024)

    def ask_many(self, numbers):
        for i in numbers:
            self.assertEqual(self.status(f"https://g{i}.example", host=f"h{i}.example"), 403)


class Flags(Origin):
    def test_allowed_origins(self):
        self.start(allowed_origin=["https://portal.example", "https://other.example:8443"])
        self.rows([("https://portal.example", 101), ("https://portal.example:443", 101),
                   ("https://other.example:8443", 101), ("https://other.example", 403),
                   ("http://portal.example", 403), ("https://portal.example.evil", 403),
                   ("https://evil.example", 403), ("null", 403), (None, 101)])
        self.rows([("https://portal.example", 101), ("https://evil.example", 403)],
                  cookie="token=x", target="/websockify")

    def test_star(self):
        self.start(allowed_origin="*")
        self.rows([("https://evil.example", 101), ("null", 101), (None, 101)])

    def test_star_takes_no_cookies(self):
        self.start(allowed_origin="*")
        for origin in ("https://evil.example", "https://localhost:1234", None):
            with self.subTest(origin):
                status = self.status(origin, cookie="token=x", target="/websockify")
                self.assertIn(status, (400, 401, 403))       # which of them is left open

    def test_require_origin(self):
        self.start(require_origin=True)
        self.rows([(None, 403), ("https://localhost:1234", 101), ("https://evil.example", 403)])


if __name__ == "__main__":
    tap.main()
