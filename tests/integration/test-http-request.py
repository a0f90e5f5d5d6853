#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is refused before the upgrade: paths, tokens, subprotocols, broken and smuggled requests."""
import base64
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, rawhttp, tap, ws
from lab.case import vnc

KNOWN, UNKNOWN = 4404, 4401     # what a session of the token "good" and of any other ends with
GAVE_UP = None                  # the HTTP layer closed without an answer


class Shared(case.Case):
    """One daemon for all tests of a class; its token "good" leads to a port that refuses."""

    FLAGS = {}

    @classmethod
    def setUpClass(cls):
        cls.port, address = rawhttp.closed_port()
        cls.addClassCleanup(cls.port.close)
        cls.proxy = cls.start_class_daemon(
            {"good": vnc(address), "a%b&c=d+e": vnc(address), "x" * 256: vnc(address)}, **cls.FLAGS)

    def status(self, target, **options):
        response = self.proxy.upgrade(target, **options)
        if response.status not in (101, None):
            self.assertLess(len(response.body), 1024, "a short body")
        return response.status

    def judged(self, target, **options):
        """The close code of a session that was upgraded."""
        return self.outcome(self.proxy, None, target=target, **options).code

    def tearDown(self):
        self.assertTrue(self.proxy.is_alive())


class Paths(Shared):
    def test_websockify_and_below(self):
        for path in ("/websockify", "/websockify/", "/websockify/x", "/websockify/x/y/z"):
            with self.subTest(path):
                self.assertEqual(self.judged(path + "?token=good"), KNOWN)

    def test_other_paths(self):
        for path in ("/", "/websockifyx", "/websock", "/Websockify", "/x/websockify", "/index.html",
                     "/token/good", "/metrics", "/status"):
            with self.subTest(path):
                self.assertEqual(self.status(path + "?token=good"), 404)
                self.assertEqual(self.proxy.request(path).status, 404)

    def test_plain_get_is_no_session(self):
        status = self.proxy.request("/websockify?token=good").status
        self.assertTrue(400 <= status < 500, status)

    def test_health(self):
        self.assertEqual(self.proxy.request("/healthz").status, 200)

    def test_never_a_redirect(self):
        """CVE-2021-3654: a path that a server made a redirect to another host of."""
        for path in ("//evil.example/%2F..", "//evil.example/..", "//evil.example", "/\\evil.example",
                     "//evil.example/%2e%2e", "/%2Fevil.example/..", "///evil.example/%2f%2e%2e",
                     "/websockify//evil.example/%2F.."):
            for method in ("GET", "HEAD"):
                with self.subTest(path, method=method):
                    response = self.proxy.request(path, method=method)
                    self.assertIn(response.status, (400, 401, 404))
                    self.assertNotIn("location", response.headers)

    def test_absolute_and_odd_targets(self):
        for target in ("*", "websockify?token=good", "http://evil.example/websockify?token=good", ""):
            with self.subTest(target):
                self.assertIn(self.status(target), (400, 404, GAVE_UP))

    def test_version_headers_tell_nothing(self):
        headers = self.proxy.request("/healthz").headers
        self.assertNotIn("0.1", headers.get("server", ""))


class Tokens(Shared):
    def test_from_the_query(self):
        for target, code in (("/websockify?token=good", KNOWN),
                             ("/websockify?a=b&token=good&c=d", KNOWN),
                             ("/websockify?token=%67ood", KNOWN),
                             ("/websockify?token=other", UNKNOWN),
                             ("/websockify?token=a%25b%26c%3Dd%2Be", KNOWN),
                             ("/websockify?token=" + "x" * 256, KNOWN)):
            with self.subTest(target):
                self.assertEqual(self.judged(target), code)

    def test_from_the_path(self):
        for target, code in (("/websockify/good", KNOWN), ("/websockify/good/more", KNOWN),
                             ("/websockify/good/", KNOWN), ("/websockify/%67ood", KNOWN),
                             ("/websockify/good?a=b", KNOWN), ("/websockify/other", UNKNOWN)):
            with self.subTest(target):
                self.assertEqual(self.judged(target), code)

    def test_query_goes_before_path(self):
        self.assertEqual(self.judged("/websockify/other?token=good"), KNOWN)
        self.assertEqual(self.judged("/websockify/good?token=other"), UNKNOWN)

    def test_cookie_goes_before_path(self):
        self.assertEqual(self.judged("/websockify/other", **self.cookie("token=good")), KNOWN)

    def test_from_the_cookie(self):
        for text, code in (("token=good", KNOWN), ("a=b; token=good; c=d", KNOWN),
                           ("a=b;token=good", KNOWN), ("token=other", UNKNOWN)):
            with self.subTest(text):
                self.assertEqual(self.judged("/websockify", **self.cookie(text)), code)

    def test_cookies_that_are_not_ours(self):
        for text in ("xtoken=good", "token2=good", "a=token=good", "token", "a=b"):
            with self.subTest(text):
                self.assertEqual(self.status("/websockify", **self.cookie(text)), 401)

    def test_two_sources(self):
        target = "/websockify?token=good"
        self.assertEqual(self.judged(target, **self.cookie("token=good")), KNOWN)
        self.assertEqual(self.status(target, **self.cookie("token=other")), 400)

    def test_twice(self):
        for target in ("/websockify?token=good&token=good", "/websockify?token=good&token=other",
                       "/websockify?token=good&a=b&token=good", "/websockify?token=&token=good"):
            with self.subTest(target):
                self.assertEqual(self.status(target), 400)

    def test_cookie_twice_and_different(self):
        self.assertEqual(self.status("/websockify", **self.cookie("token=good; token=other")), 400)

    def test_none(self):
        for target in ("/websockify", "/websockify/", "/websockify?", "/websockify?tok=good",
                       "/websockify?xtoken=good"):
            with self.subTest(target):
                self.assertEqual(self.status(target), 401)

    BAD = {
        "empty": "", "257 characters": "x" * 257, "parent": "..", "parent, encoded": "%2e%2e",
        "here": ".", "here, encoded": "%2E", "slash": "a/b", "slash, encoded": "a%2Fb",
        "backslash": "a%5Cb", "question mark": "a%3Fb", "hash, encoded": "a%23b", "NUL": "a%00b",
        "NUL first": "%00", "CR LF": "a%0d%0aX-Evil:%20yes", "LF": "a%0ab", "tab": "a%09b",
        "DEL": "a%7f", "UTF-8": "%c3%a9", "latin-1": "%e9", "overlong slash": "a%c0%afb",
    }

    def test_bad_in_the_query(self):
        for name, text in self.BAD.items():
            with self.subTest(name):
                wanted = (400, GAVE_UP) if "%00" in text else (400,)
                self.assertIn(self.status(f"/websockify?token={text}"), wanted)

    def test_raw_bytes_in_the_query(self):
        for text in ("a\\b", "a?b", "\xe9", "\x01", "a\x00b"):
            with self.subTest(text):
                self.assertIn(self.status(f"/websockify?token={text}"), (400, GAVE_UP))

    def test_bad_in_the_cookie(self):
        for text in ("", "x" * 257, "..", ".", "a/b", "a\\b", "a?b", "a#b", "\xe9"):
            with self.subTest(text):
                self.assertEqual(self.status("/websockify", **self.cookie(f"token={text}")), 400)

    def test_bad_in_the_path(self):
        for text in ("x" * 257, "a%5Cb", "a%3Fb", "a%23b", "a%00b", "a%0d%0ab", "%c3%a9"):
            with self.subTest(text):
                wanted = (400, GAVE_UP) if "%00" in text else (400,)
                self.assertIn(self.status(f"/websockify/{text}"), wanted)

    def test_encoded_slash_in_the_path(self):
        """The path is decoded before it is cut into segments: no token has a slash in it."""
        self.assertEqual(self.judged("/websockify/good%2Fmore"), KNOWN)

    def test_dots_in_the_path(self):
        """RFC 3986 may take them away before we see them: then it is another path."""
        for text in ("..", ".", "%2e%2e", "%2E", "../good", "%2e%2e/good", "good/../.."):
            with self.subTest(text):
                self.assertIn(self.status(f"/websockify/{text}"), (400, 401, 404))

    def test_broken_escapes(self):
        for text in ("%", "a%", "a%2", "%zz", "a%2x", "%u0041"):
            with self.subTest(text):
                self.assertIn(self.status(f"/websockify?token={text}"), (400, 403, GAVE_UP))

    def test_64_kilobytes(self):
        for target, headers in ((f"/websockify?token={'x' * 65536}", []),
                                (f"/websockify/{'x' * 65536}", []),
                                ("/websockify", [("Cookie", "token=" + "x" * 65536)])):
            self.assertIn(self.status(target, headers=headers), (400, 403, 413, 414, 431, GAVE_UP))

    def test_log_has_no_token_line_break(self):
        """A token cannot write lines into the log."""
        self.status("/websockify?token=a%0d%0aFORGED")
        self.assertEqual(self.proxy.count_lines("FORGED"), 0)

    def cookie(self, text):
        """A cookie comes from browsers, which say where their page is from."""
        return {"headers": [("Cookie", text)], "origin": "https://localhost"}


class Subprotocols(Shared):
    def offered(self, value, headers=()):
        return self.proxy.upgrade("/websockify?token=good", subprotocols=value, headers=headers)

    def test_none(self):
        response = self.offered(None)
        self.assertEqual(response.status, 101)
        self.assertNotIn("sec-websocket-protocol", response.headers)

    def test_binary_anywhere(self):
        for value in ("binary", "base64, binary", "binary, base64", "a,b,binary,c", "base64,  binary"):
            with self.subTest(value):
                response = self.offered(value)
                self.assertEqual(response.status, 101)
                self.assertEqual(response.headers["sec-websocket-protocol"], "binary")

    def test_binary_in_a_second_header(self):
        response = self.offered("base64", [("Sec-WebSocket-Protocol", "binary")])
        self.assertEqual(response.status, 101)
        self.assertEqual(response.headers["sec-websocket-protocol"], "binary")

    def test_only_others(self):
        for value in ("base64", "binaryx", "xbinary", "binar", "base64, binaryx", "Binary", "chat",
                      "binary.v1", "x" * 300):
            with self.subTest(value):
                self.assertEqual(self.offered(value).status, 400)

    def test_no_extension_is_accepted(self):
        response = self.proxy.upgrade("/websockify?token=good", headers=[
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")])
        self.assertEqual(response.status, 101)
        self.assertNotIn("sec-websocket-extensions", response.headers)


class Requests(Shared):
    """Broken, smuggled and unusual requests."""

    TARGET = "/websockify?token=good"

    def refused(self, data, closes=True):
        """The answer is a 4xx, and unless the request was whole nothing follows it but the end."""
        sock = self.proxy.connect()
        try:
            response = rawhttp.exchange(sock, data)
            self.assertIsNotNone(response.status, "closed without an answer")
            self.assertTrue(400 <= response.status < 500, response)
            if closes:
                self.assertEqual(response.rest + rawhttp.read_to_end(sock), b"", "a second answer")
        finally:
            sock.close()

    def test_upgrade_values(self):
        for value in ("h2c", "h2c, websocket", "websocket, h2c", "websocketx", "tls/1.2", "x" * 300):
            with self.subTest(value):
                self.refused(ws.upgrade_request(self.TARGET, upgrade=value))

    def test_h2c(self):
        self.refused(rawhttp.request_bytes("/healthz", [
            ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")]))
        self.assertEqual(self.proxy.request("/healthz").status, 200)

    def test_http2_preface(self):
        response = self.proxy.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        self.assertIn(response.status, (400, 403, 404, 405, 505, GAVE_UP))

    def test_versions(self):
        for value in ("12", "8", "0", "14", "13, 8", "x", "", None):
            with self.subTest(value):
                self.refused(ws.upgrade_request(self.TARGET, version=value))

    def test_keys(self):
        def encoded(count):
            return base64.b64encode(b"k" * count).decode()
        for key in ("absent", "", "x", encoded(15), encoded(17), encoded(64), "!" * 24, "x" * 24,
                    "x" * 500):
            with self.subTest(key):
                self.refused(ws.upgrade_request(self.TARGET, key=key))

    def test_missing_headers(self):
        self.refused(ws.upgrade_request(self.TARGET, upgrade=None), closes=False)
        self.refused(ws.upgrade_request(self.TARGET, connection=None), closes=False)
        self.refused(ws.upgrade_request(self.TARGET, connection="keep-alive"), closes=False)
        self.refused(ws.upgrade_request(self.TARGET, host=None))

    def test_methods(self):
        for method in ("POST", "PUT", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO"):
            with self.subTest(method):
                self.refused(ws.upgrade_request(self.TARGET, method=method))

    def test_methods_elsewhere(self):
        for method in ("POST", "PUT", "DELETE"):
            with self.subTest(method):
                self.refused(rawhttp.request_bytes("/healthz", [("Content-Length", "0")], method),
                             closes=False)
                self.refused(rawhttp.request_bytes("/healthz", [("Content-Length", "5")], method)
                             + b"hello")

    def test_http_1_0(self):
        data = ws.upgrade_request(self.TARGET).replace(b"HTTP/1.1", b"HTTP/1.0")
        self.refused(data)

    def test_body(self):
        for headers, body in (([("Content-Length", "5")], b"hello"), ([("Content-Length", "5")], b""),
                              ([("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\n\r\n"),
                              ([("Content-Length", "1"), ("Content-Length", "2")], b"hi"),
                              ([("Content-Length", "-1")], b""),
                              ([("Content-Length", "99999999999999999999")], b"")):
            with self.subTest(headers):
                self.refused(ws.upgrade_request(self.TARGET, headers=headers) + body)

    def test_body_of_a_plain_get(self):
        self.refused(rawhttp.request_bytes("/healthz", [("Content-Length", "5")]) + b"hello")

    def test_pipelined_behind_an_upgrade(self):
        """libwebsockets upgrades before it looks at what follows: that is no frame, and the end."""
        for second in (rawhttp.request_bytes("/healthz"), ws.upgrade_request(self.TARGET)):
            with self.subTest(second[:40]):
                with self.proxy.connect() as sock:
                    response = rawhttp.exchange(sock, ws.upgrade_request(self.TARGET) + second)
                    self.assertIn(response.status, (101, 400))
                    rest = response.rest + rawhttp.read_to_end(sock)
                    self.assertNotIn(b"HTTP/1", rest, "a second answer")

    def test_no_http(self):
        for data in (b"RFB 003.008\n\r\n\r\n", b"\r\n\r\n", b"GET\r\n\r\n", b"\0" * 100 + b"\r\n\r\n",
                     b"GET / HTTP/9.9\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01" + b"\r\n\r\n"):
            with self.subTest(data):
                response = self.proxy.exchange(data)
                if response.status is not None:
                    self.assertTrue(400 <= response.status < 506, response)

    def test_headers_without_end(self):
        sock = self.proxy.connect()
        before = self.proxy.memory()
        try:
            sock.sendall(b"GET /healthz HTTP/1.1\r\n")
            for i in range(2000):
                sock.sendall(b"X-%d: %s\r\n" % (i, b"y" * 1000))
        except OSError:
            pass
        else:
            response = rawhttp.read_response(sock)
            self.assertIn(response.status, (400, 413, 431, GAVE_UP))
        finally:
            sock.close()
        if not daemon.is_sanitized():
            self.assertLess(self.proxy.memory() - before, 1 << 20)


class ClearText(Requests):
    """The same over plain TCP."""

    FLAGS = {"listen_insecure": True, "listen_tls_cert": None, "listen_tls_key": None}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxy.tls_context = lambda **_: None


if __name__ == "__main__":
    tap.main()
