#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who the client is behind a balancer: PROXY headers and X-Forwarded-*, believed and refused."""
import os
import pathlib
import socket
import ssl
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, rawhttp, rfb, tap, ws
from lab.case import vnc

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "203.0.113.7:56324"
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n"
CLOSED = None


def v2(command=0x21, family=0x11, body=bytes.fromhex("cb007107c6336401dc0401bb")):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body)) + body


class Balanced(case.Case):
    """127.0.0.1 is the trusted balancer; 127.0.0.2 is anybody."""

    FLAGS = {"trusted_proxy": "127.0.0.1", "connect_insecure": True}

    @classmethod
    def setUpClass(cls):
        cls.server = fakes.Server(fakes.hold)
        cls.addClassCleanup(cls.server.close)
        cls.proxy = cls.start_class_daemon({"tok": vnc(cls.server.address, insecure=True)}, **cls.FLAGS)

    def connect(self, prefix=b"", source="127.0.0.1", pieces=None):
        """A connection whose first bytes are those."""
        sock = rawhttp.connect(self.proxy.address, source=source)
        self.addCleanup(sock.close)
        size = pieces or len(prefix) or 1
        for at in range(0, len(prefix), size):
            sock.sendall(prefix[at:at + size])
        return sock

    def upgrade(self, sock, headers=(), tls=True, **request):
        """The opening handshake on it -> websocket, or the response where it is refused."""
        if tls:
            sock = self.proxy.tls_context().wrap_socket(sock, server_hostname="localhost")
        self.addCleanup(sock.close)
        key = ws.new_key()
        response = rawhttp.exchange(
            sock, ws.upgrade_request("/websockify?token=tok", headers=headers, key=key, **request))
        if response.status != 101:
            return response
        return ws.WebSocket(sock, response, response.rest)

    def serves(self, sock, client, **options):
        """A session on the connection, whose client is that for the log."""
        mark = self.proxy.mark()
        websocket = self.upgrade(sock, **options)
        rfb.Client(websocket)
        found = self.proxy.wait_line(r"session \d+ started: .* client (\S+)", after=mark)[1]
        self.assertRegex(found, client)
        websocket.close()
        self.proxy.wait_line(rf"session \d+ ended: .* client {client} ", after=mark)

    def is_closed(self, sock):
        """No answer to what was sent but the end, and no session of it."""
        sock.settimeout(30)
        return rawhttp.receive(sock) == b""


class Headers(Balanced):
    def test_v1(self):
        self.serves(self.connect(V1), CLIENT)

    def test_v1_v6(self):
        self.serves(self.connect(b"PROXY TCP6 2001:db8::7 2001:db8::1 5 443\r\n"), r"\[2001:db8::7\]:5")

    def test_v2(self):
        self.serves(self.connect(v2()), CLIENT)

    def test_v2_v6(self):
        body = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + b"\0\5\1\xbb"
        self.serves(self.connect(v2(family=0x21, body=body)), r"\[2001:db8::7\]:5")

    def test_byte_by_byte(self):
        for header in (V1, v2()):
            with self.subTest(header):
                self.serves(self.connect(header, pieces=1), CLIENT)

    def test_tls_in_the_same_packet(self):
        """Not a byte of what follows is eaten."""
        for header in (V1, v2()):
            with self.subTest(header):
                incoming, outgoing, tls = self.memory_tls()
                try:
                    tls.do_handshake()
                except OSError:
                    pass
                sock = self.connect(header + outgoing.read())
                self.finish_handshake(sock, incoming, outgoing, tls)

    def memory_tls(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return incoming, outgoing, self.proxy.tls_context().wrap_bio(incoming, outgoing,
                                                                      server_hostname="localhost")

    def finish_handshake(self, sock, incoming, outgoing, tls):
        while True:
            incoming.write(rawhttp.receive(sock))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        self.assertEqual(tls.version()[:5], "TLSv1")
        sock.sendall(outgoing.read())

    def test_without_a_source(self):
        """The balancer speaks for itself: its own address counts."""
        for header in (v2(command=0x20, family=0, body=b""), v2(family=0, body=b""), b"PROXY UNKNOWN\r\n",
                       v2(family=0x31, body=b"\0" * 216)):
            with self.subTest(header):
                self.serves(self.connect(header), r"127\.0\.0\.1:\d+")

    def test_tlvs(self):
        body = bytes.fromhex("cb007107c6336401dc0401bb") + b"\x04\0\3abc" + b"\x02\0\x11console.example.x"
        self.serves(self.connect(v2(body=body)), CLIENT)

    def test_none(self):
        self.serves(self.connect(), r"127\.0\.0\.1:\d+")

    def test_untrusted(self):
        """Spoofed: neither believed nor skipped."""
        for header in (V1, v2()):
            with self.subTest(header):
                sock = self.connect(header, source="127.0.0.2")
                with self.assertRaises(OSError):
                    self.proxy.tls_context().wrap_socket(sock, server_hostname="localhost")
        self.serves(self.connect(source="127.0.0.2"), r"127\.0\.0\.2:\d+")
        self.assertEqual(self.proxy.count_lines(r"203\.0\.113\.7.*through 127\.0\.0\.2"), 0)

    def test_wrong(self):
        for header in (b"PROXY TCP4 203.0.113.7 198.51.100.1 56324\r\n", b"PROXY nonsense\r\n",
                       b"PROXY UNKNOWN " + b"x" * 100, b"POST / HTTP/1.1\r\n\r\n", v2(family=0x12),
                       v2(command=0x2f), v2(body=b"x"), SIGNATURE + b"\x21\x11\xff\xff", b"\r\n\r\n\0\r\nQUIX\n"):
            with self.subTest(header):
                self.assertTrue(self.is_closed(self.connect(header)))
        self.serves(self.connect(V1), CLIENT)

    def test_truncated(self):
        """Closed after a few seconds, or with the peer's end."""
        begin = time.monotonic()
        waiting = [self.connect(header) for header in (V1[:-1], v2()[:-1], b"P", SIGNATURE, b"")]
        gone = self.connect(V1[:20])
        gone.shutdown(socket.SHUT_WR)
        self.assertTrue(self.is_closed(gone))
        for sock in waiting:
            self.assertTrue(self.is_closed(sock))
        self.assertLess(time.monotonic() - begin, 15)

    def test_two_headers(self):
        """One balancer behind another: the second header is the first one's client's bytes."""
        sock = self.connect(V1 + b"PROXY TCP4 192.0.2.1 198.51.100.1 1 443\r\n")
        with self.assertRaises(OSError):
            self.proxy.tls_context().wrap_socket(sock, server_hostname="localhost")

    def test_thousands_that_wait(self):
        """Keep nobody out, and are gone in the end."""
        before = self.proxy.descriptors()
        socks = [self.connect(b"PROXY " if i % 2 else b"") for i in range(600)]
        begin = time.monotonic()
        self.serves(self.connect(V1), CLIENT)
        self.serves(self.connect(source="127.0.0.2"), r"127\.0\.0\.2:\d+")
        self.assertLess(time.monotonic() - begin, 10)
        for sock in socks:
            self.assertTrue(self.is_closed(sock))
        case.guest.wait_until(lambda: self.proxy.descriptors() <= before + 1, "descriptors freed", 30)


class ForwardedOverTls(Balanced):
    """A balancer that ends TLS and begins it anew."""

    def named(self, *values):
        return [("X-Forwarded-For", value) for value in values]

    def test_believed(self):
        for lines, client in ((["203.0.113.7"], "203.0.113.7"),
                              (["198.51.100.9, 203.0.113.7"], "203.0.113.7"),
                              (["198.51.100.9", "203.0.113.7"], "203.0.113.7"),
                              (["203.0.113.7, 127.0.0.1"], "203.0.113.7"),
                              (["garbage, 203.0.113.7"], "203.0.113.7"),
                              (["203.0.113.7:99"], "203.0.113.7:99"),
                              (["2001:db8::7"], r"\[2001:db8::7\]")):
            with self.subTest(lines):
                self.serves(self.connect(), client, headers=self.named(*lines))

    def test_untrusted(self):
        self.serves(self.connect(source="127.0.0.2"), r"127\.0\.0\.2:\d+", headers=self.named("203.0.113.7"))
        self.serves(self.connect(source="127.0.0.2"), r"127\.0\.0\.2:\d+", headers=self.named("not an address"))

    def test_client_of_a_proxy_header(self):
        """Whom the header names is not the balancer, and is not believed."""
        self.serves(self.connect(V1), CLIENT, headers=self.named("192.0.2.55"))

    def test_wrong(self):
        for lines in (["x"], ["203.0.113.7, x"], [""], ["203.0.113.7,"], ["203.0.113.7", "x"]):
            with self.subTest(lines):
                self.assertEqual(self.upgrade(self.connect(), headers=self.named(*lines)).status, 400)

    def test_scheme(self):
        for headers, origin, status in (((), "https://localhost", 101), ((), "http://localhost", 403),
                                        (("http",), "http://localhost", 101), (("http",), "https://localhost", 403),
                                        (("https",), "https://localhost", 101), (("ftp",), "https://localhost", 400)):
            with self.subTest(headers=headers, origin=origin):
                named = [("X-Forwarded-Proto", value) for value in headers]
                self.assertEqual(status_of(self.upgrade(self.connect(), headers=named, origin=origin)), status)

    def test_scheme_of_anybody(self):
        answer = self.upgrade(self.connect(source="127.0.0.2"), origin="http://localhost",
                              headers=[("X-Forwarded-Proto", "http")])
        self.assertEqual(status_of(answer), 403)


class ForwardedInClear(Balanced):
    """TLS ends at the balancer: a page of https is the request's own where it says so."""

    FLAGS = {**Balanced.FLAGS, "listen_insecure": True, "listen_tls_cert": None, "listen_tls_key": None}

    def test_scheme(self):
        for headers, origin, status in (((), "https://localhost", 403), ((), "http://localhost", 101),
                                        (("https",), "https://localhost", 101), (("https",), "http://localhost", 403),
                                        (("HTTPS",), "https://localhost", 101)):
            with self.subTest(headers=headers, origin=origin):
                named = [("X-Forwarded-Proto", value) for value in headers]
                self.assertEqual(status_of(self.upgrade(self.connect(), headers=named, origin=origin, tls=False)),
                                 status)

    def test_proxy_header(self):
        self.serves(self.connect(V1), CLIENT, tls=False)
        self.serves(self.connect(v2(), pieces=1), CLIENT, tls=False)

    def test_untrusted(self):
        for header in (V1, v2()):
            with self.subTest(header):
                sock = self.connect(header, source="127.0.0.2")
                self.assertIs(rawhttp.exchange(sock, rawhttp.request_bytes("/healthz")).status, CLOSED)
        self.proxy.wait_line(r"peer 127\.0\.0\.2:\d+ closed: a PROXY header")

    def test_other_requests(self):
        """What only begins with the same letter is answered as ever."""
        for source in ("127.0.0.1", "127.0.0.2"):
            for method, status in (("POST", 405), ("PUT", 405), ("GET", 200), ("HEAD", 200)):
                with self.subTest(source, method=method):
                    request = rawhttp.request_bytes("/healthz", method=method)
                    self.assertEqual(rawhttp.exchange(self.connect(source=source), request).status, status)


class Required(Balanced):
    FLAGS = {**Balanced.FLAGS, "proxy_protocol": "required"}

    def test_with(self):
        self.serves(self.connect(V1), CLIENT)

    def test_without(self):
        self.assertTrue(self.is_closed(self.connect(b"\x16\x03\x01\x02\x00\x01\x00")))

    def test_from_others(self):
        for header in (b"", V1):
            with self.subTest(header):
                self.assertTrue(self.is_closed(self.connect(header, source="127.0.0.2")))


class Off(Balanced):
    FLAGS = {**Balanced.FLAGS, "proxy_protocol": "off"}

    def test_header(self):
        with self.assertRaises(OSError):
            self.proxy.tls_context().wrap_socket(self.connect(V1), server_hostname="localhost")

    def test_forwarded(self):
        self.serves(self.connect(), "203.0.113.7", headers=[("X-Forwarded-For", "203.0.113.7")])


class UnixSocket(Balanced):
    """A balancer on the same machine, whose socket only it can open."""

    @classmethod
    def setUpClass(cls):
        cls.path = os.path.join(case.new_directory("socket"), "front.sock")
        cls.FLAGS = {"trusted_proxy": "unix", "connect_insecure": True, "listen_addr": f"unix:{cls.path}"}
        super().setUpClass()

    def connect(self, prefix=b"", source=None, pieces=None):
        return super().connect(prefix, None, pieces)

    def test_headers(self):
        for header in (V1, v2()):
            self.serves(self.connect(header), CLIENT)
            self.serves(self.connect(header, pieces=1), CLIENT)

    def test_forwarded(self):
        self.serves(self.connect(), "203.0.113.7", headers=[("X-Forwarded-For", "203.0.113.7")])

    def test_neither(self):
        self.serves(self.connect(), "unix")


class Counted(Balanced):
    """Limits go by the client, not by the balancer."""

    FLAGS = {**Balanced.FLAGS, "max_sessions_per_address": "1"}

    def test_limit(self):
        one = self.upgrade(self.connect(V1))
        rfb.Client(one)
        self.assertEqual(status_of(self.upgrade(self.connect(V1))), 429)
        forwarded = [("X-Forwarded-For", "203.0.113.7")]
        self.assertEqual(status_of(self.upgrade(self.connect(), headers=forwarded)), 429)
        rfb.Client(self.upgrade(self.connect(), headers=[("X-Forwarded-For", "203.0.113.8")]))
        rfb.Client(self.upgrade(self.connect()))
        one.close()


def status_of(answer):
    return answer.response.status if isinstance(answer, ws.WebSocket) else answer.status


if __name__ == "__main__":
    tap.main()
