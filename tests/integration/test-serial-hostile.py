#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Serial consoles that are not as they should be, and what a service may not ask for."""
import pathlib
import select
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, guest, tap, ws
from lab.case import serial, vnc

GREETING = bytes.fromhex("fffb01 fffb03 fffb00 fffd00")
DOMAIN = {"uuid": "0f8fad5b-d9cb-469f-a165-70867728950e"}
SILENCE = 0.5             # seconds in which nothing may come
TAIL = bytes(range(256)) * 4096


class Hostile(case.Case):
    def start(self, handler, tokens=None, fields=None, **flags):
        """A server with this handler and a daemon that knows it as "tok"."""
        self.server = fakes.Server(handler)
        self.addCleanup(self.server.close)
        service = serial(self.server.address, **({"insecure": True} if fields is None else fields))
        self.proxy = self.start_daemon({"tok": service, **(tokens or {})}, connect_insecure=True, **flags)
        return self.proxy

    def close_of(self, token="tok"):
        close = self.websocket(self.proxy, token).wait_close()
        self.assert_plain(close.reason)
        return close.code


def is_silent(sock, seconds=SILENCE):
    return not select.select([sock], [], [], seconds)[0]


def fake_echo(stream):
    while data := stream.sock.recv(65536):
        stream.write(data)


class BeforeItIsAlive(Hostile):
    """Nothing of the client goes to a console that may not be ours."""

    def test_clear_raw(self):
        silent = []

        def handler(stream):
            silent.append(is_silent(stream.sock))
            stream.write(b"!")
            fake_echo(stream)

        self.start(handler, serial_grace="60000")
        sock = self.websocket(self.proxy, "tok")
        sock.write(b"typed at once")
        self.assertEqual(sock.read(14), b"!typed at once")
        self.assertEqual(silent, [True])

    def test_clear_raw_after_the_grace(self):
        self.start(fake_echo, serial_grace="1")
        sock = self.websocket(self.proxy, "tok")
        sock.write(b"x")
        self.assertEqual(sock.read(1), b"x")
        self.proxy.wait_line("joined after")

    def test_end_within_the_grace(self):
        received = []

        def handler(stream):
            is_silent(stream.sock, 0.05)
            stream.sock.shutdown(socket.SHUT_WR)
            try:
                received.append(stream.sock.recv(1))
            except ConnectionResetError:
                received.append(b"")

        self.start(handler, serial_grace="60000")
        sock = self.websocket(self.proxy, "tok")
        sock.write(b"never to be seen")
        self.assertEqual(sock.wait_close().code, 4502)
        guest.wait_until(lambda: received, "the handler's end")
        self.assertEqual(received, [b""])

    def test_telnet(self):
        silent = []

        def handler(stream):
            silent.append(is_silent(stream.sock))
            for byte in GREETING[:-1]:
                stream.write(bytes([byte]))
            silent.append(is_silent(stream.sock, 0.1))
            stream.write(GREETING[-1:])
            fake_echo(stream)

        self.start(handler, fields={"insecure": True, "telnet": True})
        sock = self.websocket(self.proxy, "tok")
        sock.write(b"a\xffb")
        self.assertEqual(sock.read(4), b"a\xff\xffb")
        self.assertEqual(silent, [True, True])

    def test_tls_of_nobody(self):
        """A console that another client has: TCP connects and nothing happens."""
        self.start(fakes.silent, fields={}, connect_timeout="1")
        self.assertEqual(self.close_of(), 4504)


class Telnet(Hostile):
    def start_greeting(self, greeting):
        def handler(stream):
            stream.write(greeting)
            fakes.drain(stream)

        self.start(handler, fields={"insecure": True, "telnet": True})

    def test_no_greeting(self):
        self.start(fakes.silent, fields={"insecure": True, "telnet": True})
        self.assertEqual(self.close_of(), 4504)
        self.proxy.wait_line("no telnet greeting within 2000 ms")

    def test_half_a_greeting(self):
        self.start_greeting(GREETING[:11])
        self.assertEqual(self.close_of(), 4504)

    def test_another_greeting(self):
        self.start_greeting(b"\xff\xfb\x01\xff\xfb\x18")
        self.assertEqual(self.close_of(), 4502)
        self.proxy.wait_line("does not greet as telnet does")

    def test_no_telnet_at_all(self):
        self.start_greeting(b"login: ")
        self.assertEqual(self.close_of(), 4502)

    def test_tn3270(self):
        vm = self.start_guest(serial="tn3270")
        self.proxy = self.start_daemon(
            {"tok": serial(vm.serial_address, insecure=True, telnet=True)}, connect_insecure=True)
        self.assertEqual(self.close_of(), 4502)
        self.proxy.wait_line("tn3270")

    def test_the_guest_sends_ff(self):
        """What follows the greeting is the guest's, also where it looks like telnet."""
        def handler(stream):
            stream.write(GREETING + b"\xff\xfb\x01\xff\xff\xffend")
            fakes.drain(stream)

        self.start(handler, fields={"insecure": True, "telnet": True})
        self.assertEqual(self.websocket(self.proxy, "tok").read(9), b"\xff\xfb\x01\xff\xff\xffend")


class Certificates(Hostile):
    def test_secure_service_in_clear_text(self):
        self.start(fake_echo, fields={})
        self.assertEqual(self.close_of(), 4502)

    def test_clear_text_needs_the_flag(self):
        with fakes.Server(fake_echo) as server:
            self.proxy = self.start_daemon({"tok": serial(server.address, insecure=True)})
            self.assertEqual(self.close_of(), 4403)
            self.assertEqual(server.connections, 0)

    def test_our_certificate_is_not_accepted(self):
        """QEMU looks at it after the handshake; a serial line says nothing that would show it."""
        vm = self.start_guest(serial="tls raw", tls=self.certs.qemu_dir("strict", client_ca="other"),
                              sanity_check=False)
        self.proxy = self.start_daemon({"tok": serial(vm.serial_address)})
        self.assertEqual(self.close_of(), 4502)
        self.proxy.wait_line("reason certificate")

    def test_name_of_another(self):
        vm = self.start_guest(serial="tls raw")
        self.proxy = self.start_daemon({"tok": serial(vm.serial_address, tlsServerName="other.example")})
        self.assertEqual(self.close_of(), 4502)
        self.proxy.wait_line("reason certificate")


class Targets(Hostile):
    def listen(self, backlog=8):
        path = case.new_directory("socket") + "/console"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(backlog)
        self.addCleanup(listener.close)
        return path, listener

    def test_socket_that_nobody_named(self):
        path, listener = self.listen()
        for targets in (None, f"unix:{path}2", f"unix:{path[:-1]}"):
            self.proxy = self.start_daemon({"tok": serial(f"unix:{path}")}, allowed_target=targets)
            self.assertEqual(self.close_of(), 4403)
        self.assertTrue(is_silent(listener, 0))

    def test_no_socket(self):
        path = case.new_directory("socket") + "/nothing"
        self.proxy = self.start_daemon({"tok": serial(f"unix:{path}")}, allowed_target=f"unix:{path}")
        self.assertEqual(self.close_of(), 4404)

    def test_full_queue(self):
        path, _ = self.listen(backlog=0)
        waiting = socket.socket(socket.AF_UNIX)
        self.addCleanup(waiting.close)
        waiting.connect(path)
        self.proxy = self.start_daemon({"tok": serial(f"unix:{path}")}, allowed_target=f"unix:{path}")
        self.assertEqual(self.close_of(), 4409)


class OneAtATime(Hostile):
    def test_other_token_other_address(self):
        """The console is its guest's UUID and device, whatever leads to it."""
        other = fakes.Server(fake_echo)
        self.addCleanup(other.close)
        console = {"domain": DOMAIN, "console": {"type": "serial", "index": 0}, "insecure": True}
        second = {"domain": DOMAIN, "console": {"type": "serial", "index": 1}, "insecure": True}
        self.start(fake_echo, fields=console, tokens={
            "again": serial(other.address, **console), "second": serial(other.address, **second)})
        first = self.websocket(self.proxy, "tok")
        self.server.wait_connections(1)
        self.assertEqual(self.close_of("again"), 4409)
        self.assertEqual(other.connections, 0)
        self.websocket(self.proxy, "second").write(b"x")
        other.wait_connections(1)
        first.write(b"y")
        self.assertEqual(first.read(1), b"y")

    def test_same_address_without_a_name(self):
        self.start(fake_echo)
        first = self.websocket(self.proxy, "tok")
        self.server.wait_connections(1)
        self.assertEqual(self.close_of(), 4409)
        self.assertEqual(self.server.connections, 1)
        first.close()

    def test_not_exclusive(self):
        self.start(fake_echo, fields={"insecure": True, "exclusive": False})
        socks = [self.websocket(self.proxy, "tok") for _ in range(3)]
        for i, sock in enumerate(socks):
            sock.write(b"%d" % i)
        self.assertEqual([sock.read(1) for sock in socks], [b"0", b"1", b"2"])
        self.assertEqual(self.server.connections, 3)

    def test_free_after_a_failure(self):
        """A console that was not there keeps nobody out of it."""
        with fakes.Server(fake_echo) as server:
            address = server.address
        self.proxy = self.start_daemon({"tok": serial(address, insecure=True)}, connect_insecure=True)
        for _ in range(3):
            self.assertEqual(self.close_of(), 4404)


class Endings(Hostile):
    def test_reset_and_not_only_an_end(self):
        """A console that does not read would never see an end of ours."""
        ended = []

        def handler(stream):
            poll = select.poll()
            poll.register(stream.sock, 0)
            poll.poll()
            ended.append(stream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

        self.start(handler, serial_grace="0")
        sock = self.websocket(self.proxy, "tok")
        self.proxy.wait_line("joined after")
        sock.write(b"not read")
        sock.close()
        guest.wait_until(lambda: ended, "a reset")
        self.assertNotEqual(ended, [0])

    def test_tail(self):
        """A megabyte and the end behind it, for a client that reads only then."""
        context = fakes.server_tls(self.certs.qemu_dir())
        for fields in ({"insecure": True}, {}):
            def handler(stream):
                if "insecure" not in fields:
                    fakes.start_tls(stream, context)
                stream.write(TAIL)

            with self.subTest(fields):
                self.start(handler, fields=fields)
                sock = self.websocket(self.proxy, "tok", receive_buffer=4096)
                self.proxy.wait_line("joined after")
                self.assertEqual(sock.read(len(TAIL)), TAIL)
                self.assertEqual(sock.wait_close().code, 1000)

    def test_tail_within_the_grace(self):
        self.start(lambda stream: stream.write(b"last words"), serial_grace="60000")
        sock = self.websocket(self.proxy, "tok")
        self.assertEqual(sock.read(10), b"last words")
        self.assertEqual(sock.wait_close().code, 1000)

    def test_reset(self):
        def handler(stream):
            stream.write(b"x")
            stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.read(1)

        self.start(handler)
        sock = self.websocket(self.proxy, "tok")
        self.assertEqual(sock.read(1), b"x")
        sock.write(b"y")
        self.assertEqual(sock.wait_close().code, 1000)

    def test_stopped_while_it_runs(self):
        """The end of the daemon does not wait for a console that does not read."""
        self.start(fakes.silent, serial_grace="0")
        sock = self.websocket(self.proxy, "tok")
        self.proxy.wait_line("joined after")
        self.proxy.terminate()
        self.assertEqual(sock.wait_close().code, 1001)


class Frames(Hostile):
    def test_text_for_another_console(self):
        """Text frames are for serial lines alone."""
        self.start(fake_echo, tokens={"vnc": vnc(fakes.Server(fakes.hold).address, insecure=True)})
        sock = self.websocket(self.proxy, "vnc")
        sock.send_frame(b"text", opcode=ws.TEXT)
        self.assertEqual(sock.wait_close().code, 1002)


if __name__ == "__main__":
    tap.main()
