#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sessions of one worker that has as much to do as it can: each has its turn, and keeps its bytes."""
import os
import pathlib
import select
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, tap, ws
from lab.case import serial
from lab.ws import encode_frame

OTHERS = 9
PATIENCE = 1              # seconds for all of their echoes
ROUNDS = 50
MEGABYTE = 1 << 20
BLOCK = b"." * 65536
CLEAR = {"listen_insecure": True, "listen_tls_cert": None, "listen_tls_key": None}


class Fairness(case.Case):
    """Somebody floods; nine others type."""

    def start(self, loud, **flags):
        servers = [fakes.Server(echo) for _ in range(OTHERS)]
        for server in servers:
            self.addCleanup(server.close)
        tokens = {f"quiet{i}": serial(server.address, insecure=True) for i, server in enumerate(servers)}
        proxy = self.start_daemon({**tokens, "loud": serial(loud.address, insecure=True)},
                                  connect_insecure=True, workers="1", **flags)
        options = {"tls": None} if flags else {}
        others = [self.websocket(proxy, token, **options) for token in tokens]
        self.echo(others, b"0")
        return self.websocket(proxy, "loud", **options), others

    def echo(self, socks, text):
        for sock in socks:
            sock.write(text)
        for sock in socks:
            self.assertEqual(sock.read(len(text)), text)

    def check(self, others, step):
        """Echoes, while a thread does one step after the other."""
        stop, steps, slowest = threading.Event(), [0], 0

        def flood():
            while not stop.is_set():
                step()
                steps[0] += 1

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for i in range(ROUNDS):
                begin = time.monotonic()
                self.echo(others, b"%d" % i)
                slowest = max(slowest, time.monotonic() - begin)
        finally:
            stop.set()
            thread.join()
        tap.diagnose(f"{steps[0]} steps of a flood, the slowest {OTHERS} echoes took {slowest * 1000:.0f} ms")
        self.assertGreater(steps[0], 0)
        self.assertLess(slowest, PATIENCE)

    def test_console_floods(self):
        def handler(stream):
            while True:
                stream.write(BLOCK)

        with fakes.Server(handler) as server:
            loud, others = self.start(server)
            self.check(others, loud.read_some)

    def test_client_floods(self):
        with fakes.Server(fakes.drain) as server:
            loud, others = self.start(server)
            data = encode_frame(BLOCK)
            self.check(others, lambda: loud.send_raw(data))

    def test_client_floods_with_nothing(self):
        """Frames that bring nothing are work all the same."""
        rows = {"empty": encode_frame(b""), "pongs": encode_frame(b"", opcode=ws.PONG)}
        for name, frame in rows.items():
            with self.subTest(name), fakes.Server(fakes.drain) as server:
                loud, others = self.start(server, **CLEAR)
                data = frame * (MEGABYTE // len(frame))
                self.check(others, lambda: loud.send_raw(data))


class BothWays(case.Case):
    """Both ends send as fast as they can; neither loses a byte, nor has one in the wrong place."""

    def check(self, size=24 * MEGABYTE, wrap=lambda sock: sock, clear=False, **service):
        down, up, heard = os.urandom(size), os.urandom(size), []

        def handler(stream):
            stream.sock = wrap(stream.sock)
            stream.write(b"hello")
            stream.read(5)
            heard.append(b"".join(exchange(stream.sock, down, lambda data: [data], size)))
            stream.write(b"heard")
            fakes.drain(stream)

        with fakes.Server(handler) as server:
            flags = CLEAR if clear else {}
            proxy = self.start_daemon({"tok": serial(server.address, **service)}, connect_insecure=True, **flags)
            sock = self.websocket(proxy, "tok", **({"tls": None} if clear else {}))
            self.assertEqual(sock.read(5), b"hello")
            sock.write(b"hello")
            frames = b"".join(encode_frame(up[i:i + 50000]) for i in range(0, size, 50000))
            came = b"".join(exchange(sock.sock, frames, self.payloads(), size + 5))
            self.assertTrue(came == down + b"heard")          # no diff of so much
            self.assertEqual(sock.close().code, 1000)
        self.assertEqual(server.errors, [])
        self.assertTrue(heard == [up])

    def payloads(self):
        parser = ws.FrameParser()

        def feed(data):
            parser.feed(data)
            frames = list(iter(parser.next, None))
            self.assertLessEqual({frame.opcode for frame in frames}, {ws.BINARY})
            return [frame.payload for frame in frames]
        return feed

    def test_clear(self):
        self.check(clear=True, insecure=True)

    def test_tls_of_the_client(self):
        self.check(insecure=True)

    def test_tls_of_both(self):
        """Little: a chardev is sent a few bytes a record."""
        context = fakes.server_tls(self.certs.qemu_dir())
        self.check(256 << 10, lambda sock: context.wrap_socket(sock, server_side=True))


def echo(stream):
    while data := stream.sock.recv(65536):
        stream.write(data)


def exchange(sock, out, parse, count):
    """Sends out, and reads until what parse() makes of it is count bytes; in one thread, which TLS needs."""
    sock.setblocking(False)
    out, parts = memoryview(out), []
    while count > 0 or out:
        moved = False
        try:
            if out:
                sent = sock.send(out[:65536])
                out, moved = out[sent:], True
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        try:
            if count > 0:
                data = sock.recv(65536)
                if not data:
                    raise EOFError(f"{count} bytes are missing")
                new = parse(data)
                parts += new
                count, moved = count - sum(map(len, new)), True
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        if not moved:
            select.select([sock], [sock] if out else [], [], 30)
    sock.setblocking(True)
    sock.settimeout(30)
    return parts


if __name__ == "__main__":
    tap.main()
