#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VNC servers that offer the wrong thing, inject, hang or listen in; what QEMU never does."""
import hashlib
import os
import pathlib
import random
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, rfb, tap
from lab.case import vnc

SHORT = {"connect_timeout": "1", "handshake_timeout": "30"}
PATIENCE = 15             # seconds: far above the short limit, far below the long one


class Fake(case.Case):
    def serve(self, handler, **options):
        server = fakes.Server(handler, **options)
        self.addCleanup(server.close)
        return server

    def refused(self, handler, code, flags=None, **service):
        server = self.serve(handler)
        proxy = self.start_daemon({"tok": vnc(server.address, **service)}, **(flags or {}))
        outcome = self.outcome(proxy, "tok")
        self.assert_refused(outcome, code)
        self.assertEqual(server.errors, [])
        return outcome


class Offers(Fake):
    """A secure service takes VeNCrypt with X509 or nothing, wherever in the list it stands."""

    def test_nothing_secure(self):
        for types in ((1,), (2,), (1, 2), (16,), (18,), (20,), (30, 2), (255,)):
            with self.subTest(types):
                handler = fakes.offer(*types)
                self.refused(handler, 4403, password="pw")
                self.assertEqual(handler.chosen, b"")

    def test_vencrypt_anywhere(self):
        context = fakes.server_tls(self.certs.qemu_dir())
        for types in ((19, 1), (1, 19), (30, 19), (2, 1, 19, 16)):
            with self.subTest(types):
                handler = fakes.vencrypt_login(context, types=types)
                self.logs_in(handler)
                self.assertEqual(handler.chosen, [(19, 260)])

    def test_subtype_anywhere(self):
        context = fakes.server_tls(self.certs.qemu_dir())
        for subtypes in ((999, 260), (256, 257, 260), (260, 257), (263, 260)):
            with self.subTest(subtypes):
                handler = fakes.vencrypt_login(context, *subtypes)
                self.logs_in(handler)
                self.assertEqual(handler.chosen, [(19, 260)])

    def test_no_secure_subtype(self):
        for subtypes in ((256,), (257,), (258,), (259,), (262,), (263, 264), (257, 258), (999,)):
            with self.subTest(subtypes):
                chosen = []

                def handler(stream):
                    chosen.append(fakes.vencrypt_offer(stream, *subtypes))

                self.refused(handler, 4403, password="pw")
                self.assertEqual(chosen, [])

    def test_no_subtype_at_all(self):
        def handler(stream):
            fakes.vencrypt_offer(stream)
        server = self.serve(handler)
        proxy = self.start_daemon({"tok": vnc(server.address)})
        self.assertIn(self.outcome(proxy, "tok").code, (4403, 4502))   # left open by the issue

    def test_strongest_wins_for_an_insecure_service(self):
        context = fakes.server_tls(self.certs.qemu_dir())
        for types in ((1, 2, 19), (19, 2, 1)):
            with self.subTest(types):
                handler = fakes.vencrypt_login(context, types=types)
                self.logs_in(handler, {"connect_insecure": True}, insecure=True)
                self.assertEqual(handler.chosen, [(19, 260)])

    def test_password_beats_none(self):
        handler = fakes.offer(1, 2)
        server = self.serve(handler)
        proxy = self.start_daemon({"tok": vnc(server.address, insecure=True, password="pw")},
                                  connect_insecure=True, handshake_timeout="2")
        self.outcome(proxy, "tok")
        self.assertEqual(handler.chosen[:1], b"\2")

    def logs_in(self, handler, flags=None, **service):
        server = self.serve(handler)
        proxy = self.start_daemon({"tok": vnc(server.address, **service)}, **(flags or {}))
        sock, client = self.open(proxy, "tok")
        self.assertEqual(client.name, "fake")
        sock.close()


class Broken(Fake):
    """Every field that is read is looked at: 4502."""

    def test_versions(self):
        for text in (b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 002.008\n", b"HTTP/1.1 400",
                     b"RFB 003.008\r", b"\0" * 12):
            with self.subTest(text):
                def handler(stream):
                    stream.write(text)
                    fakes.drain(stream)
                self.refused(handler, 4502)

    def test_vencrypt_versions(self):
        for pair in (b"\0\1", b"\0\3", b"\1\2", b"\1\0", b"\0\0"):
            with self.subTest(pair):
                def handler(stream):
                    fakes.version(stream)
                    stream.write(b"\1\x13")
                    stream.read(1)
                    stream.write(pair)
                    fakes.drain(stream)
                server = self.serve(handler)
                proxy = self.start_daemon({"tok": vnc(server.address)})
                # nothing as secure, or nothing we understand: the issue leaves open which
                self.assertIn(self.outcome(proxy, "tok").code, (4403, 4502))

    def test_version_not_acknowledged(self):
        def handler(stream):
            fakes.version(stream)
            stream.write(b"\1\x13")
            stream.read(1)
            stream.write(b"\0\2")
            stream.read(2)
            stream.write(b"\1")
            fakes.drain(stream)
        self.refused(handler, 4502)

    def test_subtype_not_acknowledged(self):
        for answer in (b"\0", b"\2", b"\xff"):
            with self.subTest(answer):
                def handler(stream):
                    fakes.vencrypt_offer(stream, rfb.X509_NONE)
                    stream.write(answer)
                    fakes.drain(stream)
                self.refused(handler, 4502)

    def test_bytes_injected_before_tls(self):
        context = fakes.server_tls(self.certs.qemu_dir())

        def handler(stream):
            fakes.vencrypt_offer(stream, rfb.X509_NONE)
            stream.write(b"\1" + b"\0\0\0\0")        # what could be taken for the result in TLS
            fakes.start_tls(stream, context)
        self.refused(handler, 4502)

    def test_refusal_of_the_server(self):
        """Its own words stay in the log: they may say anything."""
        def handler(stream):
            fakes.version(stream)
            text = b"host qemu-17 /etc/passwd <script>\0"
            stream.write(b"\0" + struct.pack(">I", len(text)) + text)
            fakes.drain(stream)
        outcome = self.refused(handler, 4502)
        self.assertNotIn("script", outcome.reason + (outcome.rfb_reason or ""))

    def test_refusal_without_end(self):
        def handler(stream):
            fakes.version(stream)
            stream.write(b"\0" + b"\xff\xff\xff\xff")
            while True:
                stream.write(b"A" * 65536)
        server = self.serve(handler)
        proxy = self.start_daemon({"tok": vnc(server.address)})
        before = proxy.memory()
        self.assert_refused(self.outcome(proxy, "tok"), 4502)
        self.assertLess(proxy.memory() - before, 8 << 20)

    def test_hang_up_at_every_step(self):
        """Each prefix of a good VeNCrypt login, then the end: 4502, never a session."""
        whole = (rfb.VERSIONS["3.8"], b"\1\x13", b"\0\2", b"\0", b"\1" + struct.pack(">I", 260), b"\1")
        replies = (12, 1, 2, 0, 4, 0)
        for count in range(len(whole)):
            for partial in (False, True):
                with self.subTest(count, partial=partial):
                    def handler(stream):
                        for part, reply in list(zip(whole, replies))[:count]:
                            stream.write(part)
                            stream.read(reply)
                        if partial:
                            stream.write(whole[count][:-1])
                    self.refused(handler, 4502)


class Together(Fake):
    """What arrives while the proxy does not look, seen all at once: SIGSTOP makes that certain."""

    def frozen(self, action):
        os.kill(self.proxy.process.pid, signal.SIGSTOP)
        try:
            action()
            time.sleep(0.2)               # for the kernel to deliver it; nothing tells when it has
        finally:
            os.kill(self.proxy.process.pid, signal.SIGCONT)

    def test_refused_password_with_the_end_behind_it(self):
        context = fakes.server_tls(self.certs.qemu_dir())

        def refuse(stream):
            fakes.vencrypt_offer(stream, 261)
            stream.write(b"\1")
            fakes.start_tls(stream, context)
            stream.write(os.urandom(16))
            stream.read(16)
            time.sleep(0.2)               # the proxy waits for the result by then

            def answer():
                stream.write(struct.pack(">II", 1, 2) + b"no")
                stream.sock.shutdown(socket.SHUT_WR)
            self.frozen(answer)
            fakes.drain(stream)
        server = self.serve(refuse)
        self.proxy = self.start_daemon({"tok": vnc(server.address, password="pw")})
        outcome = self.outcome(self.proxy, "tok")
        self.assert_refused(outcome, 4502)
        self.assertIn("password", outcome.reason)

    def test_reset_while_the_client_types(self):
        """Sending fails first, then: the end is noticed at once, not when the client stirs again."""
        leave, gone = threading.Event(), threading.Event()

        def hang_up(stream):
            fakes.plain_login(stream)
            leave.wait(30)
            stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.sock.close()
            gone.set()
        server = self.serve(hang_up)
        self.proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                       connect_insecure=True, workers="1")
        sock = self.websocket(self.proxy, "tok")
        rfb.login(sock)
        sock.write(b"\1")
        sock.read(len(fakes.SERVER_INIT))

        def type_and_reset():
            sock.write(struct.pack(">BBHH", 5, 0, 1, 1))
            time.sleep(0.1)
            leave.set()
            gone.wait(30)
        self.frozen(type_and_reset)
        begin = time.monotonic()
        self.assertEqual(sock.wait_close(20).code, 1000)
        self.assertLess(time.monotonic() - begin, 5)


class Slow(Fake):
    """Somebody who accepts and never speaks: 4504, in the time that the flags give."""

    def timed_out(self, handler, **flags):
        server = self.serve(handler)
        proxy = self.start_daemon({"tok": vnc(server.address)}, **flags)
        begin = time.monotonic()
        outcome = self.outcome(proxy, "tok")
        self.assert_refused(outcome, 4504)
        self.assertLess(time.monotonic() - begin, PATIENCE)
        self.assertEqual(server.connections, 1)

    def test_says_nothing(self):
        self.timed_out(fakes.silent, handshake_timeout="2")

    def test_says_half(self):
        def handler(stream):
            stream.write(b"RFB 003")
            fakes.drain(stream)
        self.timed_out(handler, handshake_timeout="2")

    def test_drips(self):
        """A byte now and then is no progress: the limit is for the whole."""
        def handler(stream):
            stream.write(rfb.VERSIONS["3.8"])
            stream.read(12)
            stream.write(b"\xff")
            stream.sock.settimeout(0.3)
            while True:
                stream.write(b"\x1e")
                try:
                    if not stream.sock.recv(1):
                        return
                except TimeoutError:
                    pass
        self.timed_out(handler, handshake_timeout="2")

    def test_never_starts_tls(self):
        def handler(stream):
            fakes.vencrypt_offer(stream, rfb.X509_NONE)
            stream.write(b"\1")
            fakes.drain(stream)
        self.timed_out(handler, **SHORT)

    def test_silent_after_tls(self):
        context = fakes.server_tls(self.certs.qemu_dir())

        def handler(stream):
            fakes.vencrypt_offer(stream, rfb.X509_NONE)
            stream.write(b"\1")
            fakes.start_tls(stream, context)
            fakes.drain(stream)
        self.timed_out(handler, handshake_timeout="2")

    def test_tcp_connection_hangs(self):
        """A full backlog: the kernel answers no SYN any more."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        self.addCleanup(lambda: [sock.close() for sock in [listener, *fillers]])
        proxy = self.start_daemon({"tok": vnc(f"127.0.0.1:{address[1]}")}, **SHORT)
        begin = time.monotonic()
        self.assert_refused(self.outcome(proxy, "tok"), 4504)
        self.assertLess(time.monotonic() - begin, PATIENCE)

    def test_client_that_never_answers(self):
        """The whole handshake has a limit, on the client's side as well."""
        context = fakes.server_tls(self.certs.qemu_dir())
        server = self.serve(fakes.vencrypt_login(context))
        proxy = self.start_daemon({"tok": vnc(server.address)}, handshake_timeout="2")
        sock = self.websocket(proxy, "tok")
        begin = time.monotonic()
        self.assertEqual(sock.wait_close(PATIENCE).code, 4504)
        self.assertLess(time.monotonic() - begin, PATIENCE)


class Bytes(Fake):
    """After the handshake no byte is lost, moved or made up."""

    def insecure_session(self, handler, **service):
        server = self.serve(handler)
        proxy = self.start_daemon({"tok": vnc(server.address, insecure=True, **service)},
                                  connect_insecure=True)
        sock = self.websocket(proxy, "tok")
        rfb.login(sock)
        sock.write(b"\1")
        self.assertEqual(sock.read(len(fakes.SERVER_INIT)), fakes.SERVER_INIT)
        return sock, server

    def test_towards_the_client(self):
        data = os.urandom(1 << 20) * 20

        def handler(stream):
            fakes.plain_login(stream)
            stream.write(data)
            fakes.drain(stream)
        sock, _ = self.insecure_session(handler)
        digest = hashlib.sha256()
        left = len(data)
        while left:
            part = sock.read_some()
            digest.update(part)
            left -= len(part)
        self.assertEqual(digest.hexdigest(), hashlib.sha256(data).hexdigest())
        sock.close()

    def test_tail_before_the_end(self):
        """What the console said last arrives before the close frame does."""
        data = os.urandom(3_000_001)

        def handler(stream):
            fakes.plain_login(stream)
            stream.write(data)
        sock, _ = self.insecure_session(handler)
        self.assertEqual(sock.read(len(data)), data)
        self.assertEqual(sock.wait_close().code, 1000)

    def from_client(self, messages, wanted, **service):
        got = bytearray()
        complete = threading.Event()

        def handler(stream):
            fakes.plain_login(stream)
            while data := stream.sock.recv(65536):
                got.extend(data)
                if len(got) >= len(wanted):
                    complete.set()
        sock, _ = self.insecure_session(handler, **service)
        data = b"".join(messages)
        dice = random.Random(1)
        at = 0
        while at < len(data):
            size = dice.choice((1, 2, 3, 7, 50, 1000, 70000))
            sock.write(data[at:at + size])
            at += size
        self.assertTrue(complete.wait(30), f"{len(got)} of {len(wanted)} bytes came")
        self.assertEqual(sock.close().code, 1000)
        self.assertEqual(bytes(got), wanted)

    MESSAGES = [
        b"\0\0\0\0" + rfb.PIXEL_FORMAT,
        struct.pack(">BxH3i", 2, 3, 0, -223, -224),
        struct.pack(">BBHHHH", 3, 0, 0, 0, 16, 16),
        struct.pack(">BBxxI", 4, 1, 0x61),
        struct.pack(">BBHH", 5, 0xff, 3, 4),              # bit 7 set: six bytes all the same
        struct.pack(">BxxxI", 6, 5) + b"hello",
        struct.pack(">BxxxI", 6, 0),
        struct.pack(">Bxxxi", 6, -4) + b"\0\0\0\1",
        b"\xfb\0" + struct.pack(">HHBx", 800, 600, 1) + b"\0" * 16,
        b"\xff\0\0\1" + struct.pack(">II", 0x61, 30),
        b"\xff\1\0\0",
        b"\xff\1\0\2\3\2" + struct.pack(">I", 44100),
        struct.pack(">BxxxI", 6, 300000) + os.urandom(300000),
    ]

    def test_from_the_client(self):
        messages = self.MESSAGES * 5
        self.from_client(messages, b"".join(messages))

    def test_power_control_is_taken_out(self):
        messages = [part for message in self.MESSAGES for part in (message, b"\xfa\0\1\2")]
        self.from_client(messages, b"".join(self.MESSAGES))

    def test_power_control_stays_in_where_allowed(self):
        messages = [part for message in self.MESSAGES for part in (message, b"\xfa\0\1\2")]
        self.from_client(messages, b"".join(messages), powerControl=True)

    def test_extended_mouse_encoding_is_taken_out(self):
        def encodings(*values):
            return struct.pack(f">BxH{len(values)}i", 2, len(values), *values)
        messages = [encodings(0, -316, -223), encodings(-316), encodings(-316, -316, 5),
                    encodings(), self.MESSAGES[3]]
        wanted = [encodings(0, -223), encodings(), encodings(5), encodings(), self.MESSAGES[3]]
        self.from_client(messages, b"".join(wanted))


if __name__ == "__main__":
    tap.main()
