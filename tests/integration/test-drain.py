#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draining: SIGTERM with --drain-timeout, /readyz, and what happens to sessions meanwhile."""
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, spice, tap
from lab.case import vnc
from lab.ws import PING, PONG

LONG = "600"


class Drain(case.Case):
    def setUp(self):
        self.server = self.enterContext(fakes.Server(fakes.hold))

    def start(self, timeout=LONG, **flags):
        return self.start_daemon({"tok": vnc(self.server.address, insecure=True)}, connect_insecure=True,
                                 drain_timeout=timeout, **flags)

    def drain(self, proxy):
        proxy.terminate()
        proxy.wait_line(r"draining: \d+ sessions")

    def echo(self, sock):
        """Bytes still go through."""
        sock.write(bytes([4, 0, 0, 0, 0, 0, 0, 65]))          # a key press
        sock.send_frame(b"still there", opcode=PING)
        while sock.receive_frame().opcode != PONG:
            pass

    def test_ready_until_it_drains(self):
        proxy = self.start()
        answer = proxy.request("/readyz")
        self.assertEqual((answer.status, answer.body), (200, b"ready\n"))
        sock, _ = self.open(proxy, "tok")
        self.drain(proxy)
        answer = proxy.request("/readyz")
        self.assertEqual((answer.status, answer.body), (503, b"not ready\n"))
        self.assertEqual(answer.headers["retry-after"], "5")
        self.assertEqual(proxy.request("/healthz").status, 200)
        sock.close()

    def test_new_websockets_are_turned_away(self):
        proxy = self.start()
        sock, _ = self.open(proxy, "tok")
        self.drain(proxy)
        for _ in range(3):
            answer = proxy.upgrade("/websockify?token=tok")
            self.assertEqual(answer.status, 503)
            self.assertEqual(answer.headers["retry-after"], "5")
            self.assert_plain(answer.body.decode().strip())
        self.echo(sock)
        self.assertTrue(proxy.is_alive())
        self.assertEqual(sock.close().code, 1000)

    def test_ends_with_the_last_session(self):
        proxy = self.start()
        socks = [self.open(proxy, "tok")[0] for _ in range(5)]
        self.drain(proxy)
        for sock in socks:
            self.assertTrue(proxy.is_alive())
            self.assertEqual(sock.close().code, 1000)
        self.assertEqual(proxy.process.wait(30), 0)
        proxy.wait_line("no session is left")

    def test_without_sessions_it_ends_at_once(self):
        proxy = self.start()
        self.assertEqual(proxy.stop(), 0)
        proxy.wait_line("no session is left")

    def test_deadline(self):
        proxy = self.start("1")
        sock, _ = self.open(proxy, "tok")
        begin = time.monotonic()
        self.drain(proxy)
        self.assertEqual(sock.wait_close(30).code, 1001)
        self.assertGreater(time.monotonic() - begin, 0.9)
        self.assertEqual(proxy.process.wait(30), 0)
        proxy.wait_line("the time to drain is over")

    def test_second_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                proxy = self.start()
                sock, _ = self.open(proxy, "tok")
                self.drain(proxy)
                self.echo(sock)
                proxy.process.send_signal(number)
                self.assertEqual(sock.wait_close(5).code, 1001)
                self.assertEqual(proxy.process.wait(5), 0)

    def test_sigint_alone_does_not_wait(self):
        proxy = self.start()
        sock, _ = self.open(proxy, "tok")
        proxy.process.send_signal(signal.SIGINT)
        self.assertEqual(sock.wait_close(5).code, 1001)
        self.assertEqual(proxy.process.wait(5), 0)

    def test_session_amid_its_handshake_goes_on(self):
        """It was let in before; it gets its console."""
        with fakes.Server(fakes.silent) as server:
            proxy = self.start_daemon({"tok": vnc(server.address)}, drain_timeout=LONG)
            sock = self.websocket(proxy, "tok")
            server.wait_connections(1)
            self.drain(proxy)
            self.assertTrue(proxy.is_alive())
            sock.drop()
            self.assertEqual(proxy.process.wait(30), 0)

    def test_spice_session_opens_further_channels(self):
        """They are parts of a session that is; a main channel would be one more."""
        vm = self.start_guest(spice="tls")
        service = {"type": "spice", "address": f"localhost:{vm.spice_port}"}
        proxy = self.start_daemon({"spice": service}, drain_timeout=LONG)
        main, session, listed = spice.open_main(self.websocket(proxy, "spice"))
        self.drain(proxy)
        for kind, number in sorted(listed):
            channel = spice.Channel(self.websocket(proxy, "spice"))
            channel.login(session, kind, number)
        with self.assertRaises(spice.Refused):
            spice.open_main(self.websocket(proxy, "spice"))
        main.sock.close()
        self.assertEqual(proxy.process.wait(30), 0)

    def test_reload_while_draining(self):
        proxy = self.start()
        sock, _ = self.open(proxy, "tok")
        self.drain(proxy)
        mark = proxy.mark()
        proxy.reload()
        proxy.wait_line("reloaded: 1 tokens", after=mark)
        self.echo(sock)
        sock.close()


if __name__ == "__main__":
    tap.main()
