#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Serial consoles of real QEMU: every kind of chardev, what goes through, how it ends."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, guest, tap, ws
from lab.case import SERIAL_KINDS, serial

LINE = b"the quick brown fox jumps over the lazy dog 0123456789 " * 60
COMMANDS = b"\x05\x06\x07"        # what the guest does not echo


class Serial(case.Case):
    def start(self, kind="tls raw"):
        """A guest and a daemon; "tok" is COM1."""
        self.vm = self.start_guest(serial=kind)
        address = self.vm.serial_address
        self.proxy = self.start_daemon(
            {"tok": serial(address, **SERIAL_KINDS[kind])}, connect_insecure=True,
            allowed_target=address if address.startswith("unix:") else None)
        return self.proxy

    def echo(self, sock, text):
        sock.write(text)
        self.assertEqual(sock.read(len(text)), text)


class Kinds(Serial):
    def check(self, kind):
        sock = self.websocket(self.start(kind), "tok")
        self.echo(sock, b"x")
        self.echo(sock, b"hello world")
        self.echo(sock, bytes(set(range(256)) - set(COMMANDS)))
        self.echo(sock, b"\xff\xff\xff")
        self.echo(sock, LINE)
        self.assertEqual(sock.close().code, 1000)

    def test_raw(self):
        self.check("raw")

    def test_telnet(self):
        self.check("telnet")

    def test_tls_raw(self):
        self.check("tls raw")

    def test_tls_telnet(self):
        self.check("tls telnet")

    def test_unix_raw(self):
        self.check("unix raw")

    def test_unix_telnet(self):
        self.check("unix telnet")

    def test_the_greeting_is_not_shown(self):
        """The first thing that a client sees is the first thing that the guest says."""
        self.start("tls telnet")
        for text in (b"a", b"b"):
            sock = self.websocket(self.proxy, "tok")
            sock.write(text)
            self.assertEqual(sock.read_some(), text)
            sock.close()

    def test_text_frames(self):
        sock = self.websocket(self.start(), "tok")
        sock.send_frame("näh".encode(), opcode=ws.TEXT)
        self.assertEqual(sock.read(4), "näh".encode())
        sock.send_frame(b"a", opcode=ws.TEXT, fin=False)
        sock.send_frame(b"b", opcode=ws.CONTINUATION)
        self.assertEqual(sock.read(2), b"ab")

    def test_text_before_the_console_is_known(self):
        """The first bytes may come before the resolver's answer."""
        sock = self.websocket(self.start(), "tok")
        sock.send_frame(b"early", opcode=ws.TEXT)
        self.assertEqual(sock.read(5), b"early")


class OneAtATime(Serial):
    def test_second_client(self):
        self.start()
        first = self.websocket(self.proxy, "tok")
        self.echo(first, b"1")
        close = self.websocket(self.proxy, "tok").wait_close()
        self.assertEqual(close.code, 4409)
        self.assert_plain(close.reason)
        self.echo(first, b"still here")
        first.close()
        self.proxy.wait_idle()
        self.echo(self.websocket(self.proxy, "tok"), b"2")

    def test_reconnect_at_once(self):
        """Nobody waits between leaving and coming back, as when a page is loaded again."""
        self.start()
        for i in range(5):
            sock = self.websocket(self.proxy, "tok")
            self.echo(sock, b"%d" % i)
            sock.close()


class Endings(Serial):
    def test_what_was_typed_arrives_though_the_client_leaves(self):
        for kind in ("tls raw", "raw", "tls telnet"):
            with self.subTest(kind):
                self.start(kind)
                sock = self.websocket(self.proxy, "tok")
                self.echo(sock, b"x")
                sock.write(LINE[:600])
                sock.close()
                guest.wait_until(lambda: LINE[:600] in self.vm.serial_log(), "the whole line")

    def test_tail(self):
        """All that the guest had said before its end reaches a client that begins to read late."""
        sock = self.websocket(self.start(), "tok")
        sock.write(guest.FLOOD_SERIAL)
        said = guest.FLOOD_SERIAL_BYTES
        before = len(self.vm.serial_log())
        guest.wait_until(lambda: len(self.vm.serial_log()) - before >= said - 1, "the flood")
        self.vm.kill()
        data = sock.read(said)
        self.assertEqual(data[-64:], bytes(0x30 + (i & 0x3f) for i in range(64, 0, -1)))
        close = sock.wait_close()
        self.assertEqual(close.code, 1000, close)

    def test_guest_killed(self):
        sock = self.websocket(self.start(), "tok")
        self.echo(sock, b"x")
        self.vm.kill()
        close = sock.wait_close()
        self.assertEqual(close.code, 1000, close)
        self.assert_plain(close.reason)
        after = self.websocket(self.proxy, "tok").wait_close()
        self.assertEqual(after.code, 4404, after)


if __name__ == "__main__":
    tap.main()
