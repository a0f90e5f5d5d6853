#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hostile websocket frames: the session ends, the daemon and its other sessions do not."""
import pathlib
import queue
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, rawhttp, rfb, tap, ws
from lab.case import serial, vnc
from lab.ws import encode_frame

KEY = struct.pack(">BBxxI", 4, 1, 0x61)
MEGABYTE = 1 << 20


class Frames(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.server = fakes.Server(fakes.hold)
        cls.addClassCleanup(cls.server.close)
        cls.proxy = cls.start_class_daemon(
            {"tok": vnc(cls.server.address, insecure=True)}, connect_insecure=True,
            max_sessions_per_token="0", max_sessions_per_console="0", log_level="info")

    def session(self, **options):
        sock = self.websocket(self.proxy, "tok", **options)
        rfb.Client(sock)
        return sock

    def setUp(self):
        self.bystander = self.session()

    def tearDown(self):
        """The daemon lives, the bystander is unhurt, and only its session is left."""
        self.assertTrue(self.proxy.is_alive())
        self.bystander.write(KEY)
        self.assertEqual(self.bystander.close().code, 1000)
        self.proxy.wait_idle()

    def rows(self, rows):
        """Each at two moments: in a running session, and amid its handshake."""
        for name, data in rows.items():
            with self.subTest(name, moment="session"):
                self.ends(self.session(), data)
            with self.subTest(name, moment="handshake"):
                sock = self.websocket(self.proxy, "tok")
                sock.write(b"RFB")
                self.ends(sock, data)

    def ends(self, sock, data):
        try:
            sock.send_raw(data)
        except OSError:
            pass
        sock.wait_close(20)


class Malformed(Frames):
    def test_reserved_bits(self):
        self.rows({f"rsv {bits}": encode_frame(KEY, rsv=bits) for bits in range(1, 8)})

    def test_reserved_opcodes(self):
        self.rows({f"opcode {code}": encode_frame(KEY, opcode=code)
                   for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)})

    def test_control_frames(self):
        self.rows({
            "ping of 126": encode_frame(b"x" * 126, opcode=ws.PING),
            "pong of 126": encode_frame(b"x" * 126, opcode=ws.PONG),
            "close of 126": encode_frame(b"\3\xe8" + b"x" * 124, opcode=ws.CLOSE),
            "ping of 70000": encode_frame(b"x" * 70000, opcode=ws.PING),
            "ping of 2^63": encode_frame(b"", opcode=ws.PING, length=1 << 63),
            "ping in fragments": encode_frame(b"x", opcode=ws.PING, fin=False),
            "close in fragments": encode_frame(b"\3\xe8", opcode=ws.CLOSE, fin=False)})

    def test_fragments(self):
        self.rows({
            "continuation of nothing": encode_frame(KEY, opcode=ws.CONTINUATION),
            "a new message amid another": encode_frame(KEY, fin=False) + encode_frame(KEY),
            "text amid binary": encode_frame(KEY, fin=False) + encode_frame(KEY, opcode=ws.TEXT)})

    def test_close_frames(self):
        rows = {"one byte": b"\3", "bad UTF-8": b"\3\xe8\xff\xfe", "empty": b""}
        for code in (0, 1, 999, 1000, 1004, 1005, 1006, 1012, 1015, 1016, 2999, 3000, 4999, 5000, 65535):
            rows[f"code {code}"] = struct.pack(">H", code)
        self.rows({name: encode_frame(data, opcode=ws.CLOSE) for name, data in rows.items()})

    def test_text_that_is_no_utf_8(self):
        self.rows({"text": encode_frame(b"\xff\xfe\xfd", opcode=ws.TEXT)})

    def test_no_frames_at_all(self):
        self.rows({"HTTP": rawhttp.request_bytes("/healthz"), "0xff": b"\xff" * 1000,
                   "RFB": b"RFB 003.008\n" * 20})


class Lengths(Frames):
    def test_beyond_everything(self):
        """2^63 and more is not even legal; the data behind it is no console protocol either."""
        for length in ((1 << 63), (1 << 64) - 1, (1 << 63) + 5):
            self.rows({f"{length:#x}": encode_frame(b"\x63" * 64, length=length)})

    def test_legal_but_absurd(self):
        """A frame of 2^62 bytes is legal: its payload is streamed, nothing is set aside for it."""
        before = self.proxy.memory()
        socks = []
        for length in ((1 << 62), (1 << 40), (1 << 32) - 1, (1 << 31)):
            sock = self.session()
            sock.send_raw(encode_frame(KEY * 1000, length=length))
            socks.append(sock)
        if not daemon.is_sanitized():
            self.assertLess(self.proxy.memory() - before, MEGABYTE)
        for sock in socks:
            sock.drop()

    def test_not_minimal_and_not_masked(self):
        """RFC 6455 forbids both."""
        for options in ({"length_bytes": 3}, {"length_bytes": 9}, {"mask": False}):
            with self.subTest(options):
                sock = self.session()
                sock.send_raw(encode_frame(KEY, **options))
                self.assertEqual(sock.wait_close(20).code, 1002)

    def test_one_byte_segments(self):
        sock = self.session()
        for byte in encode_frame(KEY) + encode_frame(b"\3\xe8bye", opcode=ws.CLOSE):
            sock.send_raw(bytes([byte]))
        self.assertEqual(sock.wait_close().code, 1000)

    def test_one_byte_segments_from_the_first(self):
        """TCP segments of one byte, from the request line on."""
        with self.proxy.connect() as sock:
            key = ws.new_key()
            for byte in ws.upgrade_request("/websockify?token=tok", key=key):
                sock.sendall(bytes([byte]))
            response = rawhttp.read_response(sock)
            ws.check_upgrade(response, key)
            rfb.Client(ws.WebSocket(sock, response, response.rest))

    def test_fragments_of_a_message(self):
        """A console message may come in any number of frames and fragments, empty ones too."""
        sock = self.session()
        sock.send_frame(KEY[:3], fin=False)
        sock.send_frame(b"", opcode=ws.CONTINUATION, fin=False)
        sock.send_frame(b"ping", opcode=ws.PING)
        sock.send_frame(KEY[3:], opcode=ws.CONTINUATION)
        sock.send_frame(b"")
        self.assertEqual(sock.close().code, 1000)


class Control(Frames):
    def test_close_codes(self):
        """The client's own code comes back; a frame without one for a frame without one."""
        for payload in (b"\3\xe8", b"\3\xe8bye", b"\3\xe9", b"\x0b\xb8", b""):
            with self.subTest(payload):
                sock = self.session()
                sock.send_frame(payload, opcode=ws.CLOSE)
                self.assertEqual(self.next(sock, ws.CLOSE).payload, payload[:2])
                self.assertIsNone(sock.wait_close().code)

    def next(self, sock, opcode):
        while (frame := sock.receive_frame()).opcode != opcode:
            pass
        return frame

    def test_ping(self):
        sock = self.session()
        for payload in (b"", b"hello", bytes(range(125))):
            sock.send_frame(payload, opcode=ws.PING)
            self.assertEqual(sock.receive_frame(), ws.Frame(ws.PONG, payload, True, 0))
        self.assertEqual(sock.close().code, 1000)

    def test_pings_at_once(self):
        """At least the last one is answered, and those that are in their order."""
        sock = self.session()
        sock.send_raw(b"".join(encode_frame(b"%03d" % i, opcode=ws.PING) for i in range(200)))
        answers = [self.next(sock, ws.PONG).payload]
        while answers[-1] != b"199":
            answers.append(self.next(sock, ws.PONG).payload)
        self.assertEqual(answers, sorted(answers))
        self.assertEqual(sock.close().code, 1000)


class Console(Frames):
    """What reaches a console and comes back from it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.heard = queue.Queue()
        servers = [fakes.Server(cls.listen), fakes.Server(cls.echo), fakes.Server(cls.listen_to_line)]
        for server in servers:
            cls.addClassCleanup(server.close)
        vnc_address, echo_address, line_address = (server.address for server in servers)
        tokens = {"tok": vnc(vnc_address, insecure=True), "echo": serial(echo_address, insecure=True),
                  "line": serial(line_address, insecure=True)}
        options = {"connect_insecure": True, "max_sessions_per_token": "0", "max_sessions_per_console": "0"}
        cls.proxy = cls.start_class_daemon(tokens, **options)
        cls.clear = cls.start_class_daemon(tokens, listen_insecure=True, listen_tls_cert=None,
                                           listen_tls_key=None, **options)

    @classmethod
    def listen(cls, stream):
        fakes.plain_login(stream)
        cls.listen_to_line(stream)

    @classmethod
    def listen_to_line(cls, stream):
        """What was heard, when it ends; a reset ends it as well."""
        data = b""
        try:
            while more := stream.sock.recv(65536):
                data += more
        finally:
            cls.heard.put(data)

    @staticmethod
    def echo(stream):
        while data := stream.sock.recv(65536):
            stream.write(data)

    def setUp(self):
        super().setUp()
        while not self.heard.empty():
            self.heard.get()

    def open_line(self, token):
        """One whose console is known to be there."""
        sock = self.websocket(self.proxy, token)
        sock.write(b"x")
        self.assertEqual(sock.read(1), b"x")
        return sock

    def test_pong_between_data(self):
        """Whole frames: a pong never stands in the middle of one."""
        sock, data = self.open_line("echo"), bytes(range(256)) * 1024
        for i in range(0, len(data), 8192):
            sock.write(data[i:i + 8192])
            sock.send_frame(b"%d" % i, opcode=ws.PING)
        came, pongs = b"", []
        while len(came) < len(data) or not pongs or pongs[-1] != b"%d" % (len(data) - 8192):
            frame = sock.receive_frame()
            if frame.opcode == ws.PONG:
                pongs.append(frame.payload)
            else:
                self.assertEqual(frame.opcode, ws.BINARY)
                came += frame.payload
        self.assertEqual(came, data)
        self.assertEqual(sock.close().code, 1000)

    def test_text_in_fragments(self):
        """Characters of every length, cut at every byte."""
        text = "aä€𝄞".encode()
        sock = self.open_line("echo")
        for cut in range(len(text) + 1):
            sock.send_frame(text[:cut], opcode=ws.TEXT, fin=False)
            sock.send_frame(b"", opcode=ws.PING)
            sock.send_frame(text[cut:], opcode=ws.CONTINUATION)
            self.assertEqual(sock.read(len(text)), text)
        self.assertEqual(sock.close().code, 1000)

    def test_bad_text_in_fragments(self):
        rows = {"cut off": (b"\xe2\x82", b""), "another begins": (b"\xe2", b"\xe2\x82\xac"),
                "surrogate": (b"\xed", b"\xa0\x80"), "too long a form": (b"\xc0", b"\x80"),
                "beyond the last": (b"\xf4", b"\x90\x80\x80"), "goes on": (b"a", b"\x80")}
        for name, (begin, end) in rows.items():
            with self.subTest(name):
                sock = self.open_line("echo")
                sock.send_frame(begin, opcode=ws.TEXT, fin=False)
                sock.send_frame(end, opcode=ws.CONTINUATION)
                self.assertEqual(sock.wait_close(20).code, 1002)

    def test_data_and_close_in_one_record(self):
        """All of what was said before the end is said to the console."""
        for token, data in (("tok", KEY), ("tok", KEY * 1500), ("tok", KEY * 100000), ("line", b"typed" * 100)):
            with self.subTest(token, length=len(data)):
                mark = self.proxy.mark()
                sock = self.websocket(self.proxy, token)
                if token == "tok":
                    rfb.Client(sock)
                self.proxy.wait_line("joined after", after=mark)
                sock.send_raw(encode_frame(data) + encode_frame(b"\3\xe8", opcode=ws.CLOSE))
                self.assertEqual(sock.wait_close(20).code, 1000)
                self.assertTrue(self.heard.get(timeout=20).endswith(data))

    def test_behind_the_request(self):
        """Whoever does not wait for the answer is not served, whatever it is; the daemon goes on."""
        rows = {"data": encode_frame(KEY), "ping": encode_frame(b"hello", opcode=ws.PING),
                "pings": encode_frame(b"hello", opcode=ws.PING) * 50,
                "ping and data": encode_frame(b"", opcode=ws.PING) + encode_frame(KEY),
                "much": encode_frame(KEY * 8000), "close": encode_frame(b"\3\xe8", opcode=ws.CLOSE),
                "pong": encode_frame(b"x", opcode=ws.PONG), "half a frame": encode_frame(KEY)[:7], "a byte": b"\x82"}
        for before in (b"", rawhttp.request_bytes("/healthz")):
            request = before + ws.upgrade_request("/websockify?token=line")
            for name, frames in rows.items():
                for proxy, options in ((self.proxy, {}), (self.clear, {"tls": None})):
                    with self.subTest(name, before=before, **options):
                        with proxy.connect(**options) as sock:
                            try:
                                sock.sendall(request + frames)
                            except OSError:         # it has ended before all of it was sent
                                pass
                            self.assertNotIn(b"\r\n\r\n\x82", rawhttp.read_to_end(sock))
                        self.assertTrue(proxy.is_alive())
        self.assertTrue(self.heard.empty())


class Floods(Frames):
    """Whatever a client sends, the daemon's memory stays flat."""

    def flat(self, what, limit=4 * MEGABYTE):
        before = self.proxy.memory()
        what()
        if not daemon.is_sanitized():
            self.assertLess(self.proxy.memory() - before, limit)

    def send_until_refused(self, sock, data, count):
        """Sends data again and again; stops where the daemon takes no more or has closed."""
        sock.sock.settimeout(2)
        try:
            for _ in range(count):
                sock.send_raw(data)
        except OSError:
            pass

    def test_pings_that_are_answered(self):
        sock = self.session()

        def pings():
            for i in range(5000):
                sock.send_frame(b"p%d" % i, opcode=ws.PING)
                while sock.receive_frame().opcode != ws.PONG:
                    pass
        self.flat(pings)
        self.assertEqual(sock.close().code, 1000)

    def test_pongs_that_nobody_reads(self):
        sock = self.session(receive_buffer=4096)
        ping = encode_frame(b"x" * 125, opcode=ws.PING)
        self.flat(lambda: self.send_until_refused(sock, ping * 100, 2000))
        sock.drop()

    def test_unasked_pongs(self):
        sock = self.session()
        self.flat(lambda: self.send_until_refused(
            sock, encode_frame(b"x" * 125, opcode=ws.PONG) * 100, 1000))
        sock.drop()

    def test_empty_frames(self):
        sock = self.session()
        self.flat(lambda: self.send_until_refused(sock, encode_frame(b"") * 1000, 200))
        sock.drop()

    def test_fragments_without_end(self):
        sock = self.session()
        sock.send_frame(b"", fin=False)
        part = encode_frame(KEY * 100, opcode=ws.CONTINUATION, fin=False)
        self.flat(lambda: self.send_until_refused(sock, part * 10, 2000))
        sock.drop()

    def test_a_hundred_megabytes_in_one_frame(self):
        sock = self.session()
        # a header of its own, with a mask of zeros: the payload can follow piece by piece
        sock.send_raw(struct.pack(">BBQ4x", 0x82, 0xff, 100 * MEGABYTE))
        chunk = KEY * (MEGABYTE // len(KEY))
        self.flat(lambda: [sock.send_raw(chunk) for _ in range(100)])
        self.assertEqual(sock.close().code, 1000)

    def test_upgrades_that_never_go_on(self):
        def storm():
            for _ in range(300):
                sock = self.proxy.websocket("tok")
                sock.reset()
            self.proxy.wait_line(r"session \d+ ended")
        self.flat(storm)

    def test_half_closed(self):
        """FIN from a client that still reads: its session is over."""
        with rawhttp.connect(self.proxy.address) as plain:
            plain.shutdown(socket.SHUT_WR)
            rawhttp.read_to_end(plain)


if __name__ == "__main__":
    tap.main()
