#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--resolver-mode external: good and bad answers of an HTTPS resolver with mutual TLS."""
import http.server
import json
import pathlib
import ssl
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, rawhttp, tap
from lab.case import vnc


class Resolver:
    """Answers by the table `answers`: token -> (status, body, headers) or a function(handler)."""

    def __init__(self, pair, ca, tls=True):
        self.answers = {}
        self.targets = []             # of all requests for tokens, as they came
        self.certificates = []
        handler = type("Handler", (_Handler,), {"resolver": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None       # clients that refuse us are the test
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.cert, pair.key)
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}/consoleresolver"
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self):
        if self.path.endswith("/events"):     # as most resolvers
            self.answer(404, b"{}", {})
            return
        self.resolver.targets.append(self.path)
        if hasattr(self.connection, "getpeercert"):
            self.resolver.certificates.append(self.connection.getpeercert())
        prefix, _, name = self.path.rpartition("/")
        answer = self.resolver.answers.get(urllib.parse.unquote(name))
        if answer is None or prefix != "/consoleresolver/token":
            answer = (404, b"{}", {})
        if callable(answer):
            answer(self)
        else:
            self.answer(*answer)

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)),
                            **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def found(service):
    return 200, json.dumps(service).encode(), {}


class External(case.Case):
    def setUp(self):
        self.resolver = self.start_resolver()
        self.console = fakes.Server(fakes.hold)
        self.addCleanup(self.console.close)
        self.resolver.answers["good"] = found(vnc(self.console.address, insecure=True))

    def start_resolver(self, pair=None, ca=None, tls=True):
        one = Resolver(pair or self.certs.resolver_server, ca or self.certs.ca, tls)
        self.addCleanup(one.stop)
        return one

    def start(self, uri=None, environment=None, **flags):
        self.proxy = self.start_daemon(
            environment=environment, connect_insecure=True, resolver_mode="external",
            resolver_tokens=None, resolver_uri=uri or self.resolver.base, **{
                "resolver_tls_cert": self.certs.proxy_client.cert,
                "resolver_tls_key": self.certs.proxy_client.key,
                "resolver_tls_ca": self.certs.ca, **flags})

    def works(self, token="good"):
        sock, client = self.open(self.proxy, token)
        self.assertEqual(client.name, "fake")
        return sock

    def refused(self, token, code):
        self.assert_refused(self.outcome(self.proxy, token), code, secrets=["consoleresolver"])
        self.assertTrue(self.proxy.is_alive())


class Good(External):
    def test_both_forms_of_the_base(self):
        for uri in (self.resolver.base, self.resolver.base + "/"):
            with self.subTest(uri):
                self.start(uri)
                self.works().close()
                self.assertEqual(self.resolver.targets.pop(), "/consoleresolver/token/good")

    def test_base_at_the_root(self):
        uri = self.resolver.base.replace("/consoleresolver", "")
        for end in ("", "/"):
            self.start(uri + end)
            self.refused("good", 4401)
            self.assertEqual(self.resolver.targets.pop(), "/token/good")

    def test_our_certificate_is_presented(self):
        self.start()
        self.works().close()
        self.assertIn((("commonName", "proxy.example"),), self.resolver.certificates[0]["subject"])

    def test_tokens_arrive_whole(self):
        self.start()
        for token in ("a%b", "a&b=c", "a+b", "a;b", 'a"b', "a%2Fb", "%2e%2e", "<x>", "a:b@c", "...",
                      "x" * 256, "{}|^`~", "a%00b", "[1]"):
            with self.subTest(token):
                self.resolver.answers[token] = self.resolver.answers["good"]
                sock = self.websocket(self.proxy, urllib.parse.quote(token, safe=""))
                case.rfb.Client(sock)
                sock.close()
                path = self.resolver.targets.pop()
                self.assertRegex(path, r"^/consoleresolver/token/[A-Za-z0-9._~%!$&'()*+,;=:@-]+$")
                self.assertEqual(urllib.parse.unquote(path.rsplit("/", 1)[1]), token)

    def test_bad_tokens_are_never_asked_for(self):
        self.start()
        for token in ("..", "%2e%2e", "a%2fb", "a%00b", "a%0d%0ab", "%c3%a9", "x" * 257):
            with self.subTest(token):
                status = self.proxy.upgrade(f"/websockify?token={token}").status
                self.assertIn(status, (400, None) if "%00" in token else (400,))
        self.assertEqual(self.resolver.targets, [])

    def test_answers_by_fields(self):
        address = self.console.address
        rows = {"expired": (found(vnc(address, insecure=True, expires="2001-01-01T00:00:00Z")), 4401),
                "policy": (found(vnc(address)), 4403)}
        self.start()
        for token, (answer, code) in rows.items():
            with self.subTest(token):
                self.resolver.answers[token] = answer
                self.refused(token, code)

    def test_asked_anew_for_each_session(self):
        self.start()
        self.works().close()
        del self.resolver.answers["good"]
        self.refused("good", 4401)

    def test_many_at_once(self):
        self.start()
        socks = [self.websocket(self.proxy, "good") for _ in range(30)]
        for sock in socks:
            self.assertEqual(case.rfb.Client(sock).name, "fake")
        self.assertEqual(len(self.resolver.targets), 30)


class Bad(External):
    def rows(self, rows, code):
        self.start()
        for name, answer in rows.items():
            with self.subTest(name):
                self.resolver.answers["tok"] = answer
                self.refused("tok", code)
        self.works().close()
        self.assertEqual(self.console.connections, 1)

    def test_unknown(self):
        self.start()
        self.refused("unknown", 4401)

    def test_statuses(self):
        body = found(vnc(self.console.address, insecure=True))[1]
        self.rows({str(status): (status, body, {}) for status in (500, 502, 503, 429, 201)}, 4503)

    def test_redirects_are_not_followed(self):
        body = b""
        self.rows({str(status): (status, body, {
            "Location": self.resolver.base + "/token/good"}) for status in (301, 302, 307, 308)}, 4503)
        self.assertEqual([path for path in self.resolver.targets if path.endswith("good")],
                         ["/consoleresolver/token/good"])

    def test_garbage(self):
        address = self.console.address
        rows = {"empty": b"", "text": b"hello", "a list": b"[]", "half": b'{"type": "vnc"',
                "trailing": json.dumps(vnc(address)).encode() + b"x", "NUL": b"\0" * 100,
                "no address": b'{"type": "vnc"}', "UTF-16": json.dumps(vnc(address)).encode("utf-16"),
                "deep": b"[" * 100000, "bad address": json.dumps(vnc("nowhere")).encode(),
                "wrong types": json.dumps(vnc(address, insecure="yes")).encode(),
                "unknown type": json.dumps({"type": "telepathy", "address": address}).encode()}
        self.rows({name: (200, body, {}) for name, body in rows.items()}, 4503)

    def test_huge_body(self):
        def endless(handler):
            handler.send_response(200)
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(b"{")
            while True:
                handler.wfile.write(b" " * 65536)
        padded = json.dumps(vnc(self.console.address, insecure=True)).encode() + b" " * (10 << 20)
        self.start()
        before = self.proxy.memory()
        for name, answer in (("endless", endless), ("padded", (200, padded, {}))):
            with self.subTest(name):
                self.resolver.answers["tok"] = answer
                self.refused("tok", 4503)
        if not case.daemon.is_sanitized():
            self.assertLess(self.proxy.memory() - before, 4 << 20)

    def test_broken_http(self):
        def raw(data):
            def handler(request):
                request.wfile.write(data)
                request.close_connection = True
            return handler
        self.rows({"nothing": raw(b""), "no HTTP": raw(b"RFB 003.008\n"),
                   "half a head": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
                   "half a body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")}, 4503)

    def test_slow(self):
        ended = threading.Event()
        self.addCleanup(ended.set)

        def silent(_):
            ended.wait(60)

        def dripping(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            while not ended.wait(0.2):
                handler.wfile.write(b" ")
        self.start(resolver_timeout="1")
        for name, answer in (("silent", silent), ("dripping", dripping)):
            with self.subTest(name):
                self.resolver.answers["tok"] = answer
                begin = time.monotonic()
                self.refused("tok", 4503)
                self.assertLess(time.monotonic() - begin, 4)
        self.works().close()

    def test_slow_one_is_not_in_the_way(self):
        ended = threading.Event()
        self.addCleanup(ended.set)
        self.resolver.answers["slow"] = lambda _: ended.wait(60)
        self.start(resolver_timeout="20", workers="1")
        slow = self.websocket(self.proxy, "slow")
        begin = time.monotonic()
        self.works().close()
        self.assertLess(time.monotonic() - begin, 5)
        slow.drop()


class Trust(External):
    def test_connection_refused(self):
        port, address = rawhttp.closed_port()
        self.addCleanup(port.close)
        self.start(f"https://{address}/consoleresolver")
        self.refused("good", 4503)

    def test_certificates_of_the_resolver(self):
        rows = {"other authority": dict(authority="other"), "expired": dict(expired=True),
                "not yet valid": dict(future=True), "wrong name": dict(names=("stranger.example",))}
        for name, options in rows.items():
            with self.subTest(name):
                label = "resolver-" + name.replace(" ", "-")
                resolver = self.start_resolver(self.certs.issue(label, purposes=("server",), **options))
                resolver.answers["good"] = self.resolver.answers["good"]
                self.start(resolver.base)
                self.refused("good", 4503)
                self.assertEqual(resolver.targets, [])

    def test_our_certificate_refused(self):
        pair = self.certs.other_client
        self.start(resolver_tls_cert=pair.cert, resolver_tls_key=pair.key)
        self.refused("good", 4503)
        self.assertEqual(self.resolver.targets, [])

    def test_clear_text_by_its_flag(self):
        plain = self.start_resolver(tls=False)
        plain.answers["good"] = self.resolver.answers["good"]
        self.start(plain.base, resolver_insecure=True)
        self.works().close()

    def test_proxy_variables_are_ignored(self):
        with fakes.Server(fakes.silent) as other:
            self.start(environment={name: f"http://{other.address}" for name in (
                "https_proxy", "HTTPS_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")})
            self.works().close()
            self.assertEqual(other.connections, 0)

    def test_sessions_go_on_without_it(self):
        self.start()
        sock = self.works()
        self.resolver.stop()
        self.refused("good", 4503)
        self.assertEqual(sock.close().code, 1000)


class Secrets(External):
    def test_nothing_in_the_log(self):
        secrets = ["CANARY-token", "CANPASS8", "CANARY-body"]
        service = vnc(self.console.address, insecure=True, password=secrets[1], note=secrets[2])
        self.resolver.answers[secrets[0]] = found(service)
        self.resolver.answers[secrets[0] + "1"] = (500, secrets[2].encode(), {})
        self.resolver.answers[secrets[0] + "2"] = (200, b"[\"" + secrets[2].encode(), {})
        self.resolver.answers[secrets[0] + "3"] = found({**service, "address": secrets[2]})
        self.start()
        self.works(secrets[0]).close()
        for end in "1234":
            self.outcome(self.proxy, secrets[0] + end)
        self.assertEqual(self.proxy.stop(), 0)
        for secret in secrets:
            self.assertNotIn(secret, self.proxy.log())


if __name__ == "__main__":
    tap.main()
