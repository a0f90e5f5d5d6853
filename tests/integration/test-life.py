#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals, reload and end of the daemon; and that no secret ever leaves it."""
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, rawhttp, rfb, tap
from lab.case import vnc


class Life(case.Case):
    def test_sigterm_with_sessions(self):
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True, workers="3")
            socks = [self.open(proxy, "tok")[0] for _ in range(20)]
            early = proxy.connect()                 # amid its request
            early.sendall(b"GET /websockify?tok")
            self.addCleanup(early.close)
            proxy.terminate()
            for sock in socks:
                close = sock.wait_close(5)
                self.assertEqual(close.code, 1001)
                self.assert_plain(close.reason)
            self.assertEqual(proxy.stop(), 0)

    def test_sigterm_amid_a_handshake(self):
        with fakes.Server(fakes.silent) as server:
            proxy = self.start_daemon({"tok": vnc(server.address)})
            sock = self.websocket(proxy, "tok")
            server.wait_connections(1)
            proxy.terminate()
            self.assertEqual(sock.wait_close(5).code, 1001)
            self.assertEqual(proxy.stop(), 0)

    def test_sigterm_with_clients_that_do_not_read(self):
        """They cannot get their 1001; the daemon goes down in time all the same."""
        def flood(stream):
            fakes.plain_login(stream)
            while True:
                stream.write(bytes(65536))
        with fakes.Server(flood) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True)
            for _ in range(5):
                sock = self.websocket(proxy, "tok", receive_buffer=4096)
                rfb.login(sock)
                sock.write(b"\1")
                sock.read(1)
            begin = time.monotonic()
            self.assertEqual(proxy.stop(), 0)
            self.assertLess(time.monotonic() - begin, 5)

    def test_sigint_is_an_end_too(self):
        proxy = self.start_daemon()
        proxy.process.send_signal(daemon.signal.SIGINT)
        self.assertEqual(proxy.process.wait(5), 0)

    def test_no_new_sessions_while_going_down(self):
        proxy = self.start_daemon()
        address = proxy.address
        proxy.stop()
        with self.assertRaises(OSError):
            rawhttp.connect(address)

    def test_unix_socket_goes_with_it(self):
        path = os.path.join(case.new_directory("unix"), "s")
        proxy = self.start_daemon(listen_addr=f"unix:{path}")
        proxy.stop()
        self.assertFalse(os.path.exists(path))

    def test_restart_on_the_same_port(self):
        """Connections of the old one in TIME-WAIT do not keep the port."""
        proxy = self.start_daemon()
        self.assertEqual(proxy.request("/healthz").status, 200)
        proxy.stop()
        again = self.start_daemon(listen_addr=f"127.0.0.1:{proxy.port}")
        self.assertEqual(again.request("/healthz").status, 200)


class Reload(case.Case):
    def setUp(self):
        port, self.address = rawhttp.closed_port()
        self.addCleanup(port.close)
        self.proxy = self.start_daemon({"old": vnc(self.address)})

    def known(self, token):
        """4404: the console of a known token refuses; 4401: no such token."""
        return {4404: True, 4401: False}[self.outcome(self.proxy, token).code]

    def reload(self, tokens, pattern):
        self.proxy.write_tokens(tokens)
        mark = self.proxy.mark()
        self.proxy.reload()
        return self.proxy.wait_line(pattern, after=mark)

    def test_new_table(self):
        self.assertTrue(self.known("old"))
        self.reload({"new": vnc(self.address)}, r"(?i)tokens?\b")
        self.assertFalse(self.known("old"))
        self.assertTrue(self.known("new"))

    def test_broken_table_keeps_the_old_one(self):
        for text in ("{", '{"new": {"type": "vnc", "address": "h"}}', "", "[]"):
            with self.subTest(text):
                line = self.reload(text, r"(?i)warning.*tokens\.json|tokens\.json.*").string
                self.assertIn(self.proxy.tokens_path, line)
                self.assertTrue(self.known("old"))
                self.assertFalse(self.known("new"))
        self.reload({"new": vnc(self.address)}, r"(?i)tokens?\b")
        self.assertTrue(self.known("new"))

    def test_missing_table_keeps_the_old_one(self):
        os.unlink(self.proxy.tokens_path)
        mark = self.proxy.mark()
        self.proxy.reload()
        self.proxy.wait_line(r"tokens\.json", after=mark)
        self.assertTrue(self.known("old"))

    def test_sessions_stay(self):
        """But those whose token is gone; see test-rights-terms.py."""
        with fakes.Server(fakes.hold) as server:
            service = vnc(server.address, insecure=True)
            proxy = self.start_daemon({"tok": service, "other": service}, connect_insecure=True)
            sock, _ = self.open(proxy, "other")
            proxy.write_tokens({"other": service})
            mark = proxy.mark()
            proxy.reload()
            proxy.wait_line(r"(?i)tokens?\b", after=mark)
            self.assertEqual(self.outcome(proxy, "tok").code, 4401)
            self.assertEqual(sock.close().code, 1000)

    def test_many_reloads_leave_nothing(self):
        self.skip_when_sanitized()
        table = {f"token-{i}": vnc(self.address) for i in range(1000)}
        for i in range(60):
            self.reload(table, r"(?i)tokens?\b")
            if i == 10:
                before, descriptors = self.proxy.memory(), self.proxy.descriptors()
        self.assertLess(self.proxy.memory() - before, 1 << 20)
        self.assertEqual(self.proxy.descriptors(), descriptors)


class Secrets(case.Case):
    """A token, a password and a query string go through everything and are found nowhere."""

    TOKEN, PASSWORD, QUERY = "CANARY-token-7261", "CANPASS7", "CANARY-query-9917"

    def test_canaries(self):
        vm = self.start_guest(password=self.PASSWORD)
        proxy = self.start_daemon({
            self.TOKEN: vnc(vm.address, password=self.PASSWORD),
            self.TOKEN + "-bad": vnc(vm.address, password=self.PASSWORD[::-1]),
            self.TOKEN + "-plain": vnc(vm.address, insecure=True, password=self.PASSWORD)})
        query = f"&x={self.QUERY}"
        for token in (self.TOKEN, self.TOKEN + "-bad", self.TOKEN + "-plain", self.TOKEN + "-none"):
            self.try_every_way(proxy, token, query)
        proxy.write_tokens('{"%s": {"password": "%s"}}' % (self.TOKEN, self.PASSWORD))
        proxy.reload()
        proxy.wait_line(r"tokens\.json")
        self.search(proxy.arguments(), "arguments")
        self.search(proxy.environment(), "environment")
        self.assertEqual(proxy.stop(), 0)
        self.search(proxy.log().encode(), "log")
        self.assertGreaterEqual(proxy.count_lines(r"session \d+ started: token [0-9a-f]{8} "), 4)

    def try_every_way(self, proxy, token, query):
        for target, options in ((f"/websockify?token={token}{query}", {}),
                                (f"/websockify/{token}?y{query}", {}),
                                ("/websockify?z" + query, {
                                    "headers": [("Cookie", f"token={token}")],
                                    "origin": "https://localhost"})):
            sock = self.websocket(proxy, target=target, **options)
            try:
                rfb.Client(sock).update()
                sock.close()
            except (rfb.Failed, case.ws.Closed):
                sock.wait_close()
        for target in (f"/websockify?token={token}&token={token}{query}", f"/{token}?{query}",
                       f"/websockify?token={token}/{query}", f"/healthz?token={token}{query}"):
            proxy.upgrade(target)
            proxy.request(target)
        proxy.upgrade(f"/websockify?token={token}{query}", origin=f"https://{self.QUERY}.example")
        proxy.exchange(f"GET /websockify?token={token}{query} BROKEN\r\n\r\n".encode())

    def search(self, data, where):
        for secret in (self.TOKEN, self.PASSWORD, self.PASSWORD[::-1]):
            self.assertNotIn(secret.encode(), data, f"{secret} in the {where}")
        self.assertIsNone(re.search(rb"[?&]x?=?" + self.QUERY.encode(), data), f"query in {where}")


if __name__ == "__main__":
    tap.main()
