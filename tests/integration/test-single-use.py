#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tokens that open one session: races, replays, sessions that never were, and who may come back."""
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, rfb, tap, ws
from lab.case import SERIAL_KINDS, serial, vnc

CLIENTS = 100
NO_LIMITS = {"max_sessions_per_token": "0", "max_sessions_per_console": "0", "max_sessions_per_address": "0"}


class SingleUse(case.Case):
    def start(self, tokens, **flags):
        self.proxy = self.start_daemon(tokens, connect_insecure=True, **flags)

    def start_vnc(self, **flags):
        self.vm = self.start_guest()
        self.start({"tok": vnc(self.vm.address, singleUse=True)}, **flags)

    def assert_spent(self, token="tok", **options):
        close = self.websocket(self.proxy, token, **options).wait_close()
        self.assertEqual(close.code, 4401, close)
        self.assert_plain(close.reason)

    def use(self, token="tok", **options):
        """One session, from its beginning to its end."""
        sock, client = self.open(self.proxy, token, **options)
        client.update()
        sock.close()
        self.proxy.wait_idle()


class Race(SingleUse):
    def race(self, try_one):
        """Each in a thread, all at once -> what they say, sorted."""
        results = []
        begin = threading.Barrier(CLIENTS)

        def run():
            begin.wait()
            results.append(try_one())

        threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def check(self, results):
        """One has got it; the others were told that it is in use, or spent."""
        self.assertEqual(len(results), CLIENTS)
        self.assertEqual(results.count("in"), 1, results)
        self.assertLessEqual(set(results) - {"in"}, {4401, 4409})
        self.assertEqual(self.proxy.settled_count("joined after", 1), 1)
        self.assert_spent()

    def test_vnc(self):
        self.start_vnc(**NO_LIMITS)

        def try_one():
            sock = self.proxy.websocket("tok")
            self.addCleanup(sock.drop)
            try:
                rfb.login(sock, "3.8")
                return "in"
            except rfb.Failed:
                return sock.wait_close().code
            except ws.Closed as closed:
                return closed.code

        self.check(self.race(try_one))

    def test_serial(self):
        vm = self.start_guest(serial="tls raw")
        self.start({"tok": serial(vm.serial_address, singleUse=True)}, **NO_LIMITS)

        def try_one():
            sock = self.proxy.websocket("tok")
            self.addCleanup(sock.drop)
            try:
                sock.write(b"x")
                return "in" if sock.read(1) == b"x" else "odd"
            except ws.Closed as closed:
                return closed.code
            except OSError:
                return 4409          # closed while the byte was on its way

        self.check(self.race(try_one))


class Replay(SingleUse):
    def test_while_it_runs_and_afterwards(self):
        self.start_vnc()
        sock, client = self.open(self.proxy, "tok")
        client.update()
        self.assert_spent()
        self.assertEqual(client.update(), self.vm.screendump())
        sock.close()
        self.proxy.wait_idle()
        self.assert_spent()

    def test_serial_is_told_that_it_is_spent(self):
        """And not that somebody else has the console."""
        vm = self.start_guest(serial="tls raw")
        self.start({"tok": serial(vm.serial_address, singleUse=True), "other": serial(vm.serial_address)})
        sock = self.websocket(self.proxy, "tok")
        sock.write(b"x")
        self.assertEqual(sock.read(1), b"x")
        self.assert_spent()
        self.assertEqual(self.websocket(self.proxy, "other").wait_close().code, 4409)

    def test_default(self):
        vm = self.start_guest()
        self.start({"tok": vnc(vm.address), "many": vnc(vm.address, singleUse=False)}, token_use="single")
        self.use()
        self.assert_spent()
        self.use("many")
        self.use("many")

    def test_multi_is_the_default(self):
        vm = self.start_guest()
        self.start({"tok": vnc(vm.address)})
        self.use()
        self.use()


class NeverWas(SingleUse):
    """Where no session came about, the token is as good as before."""

    def point_to(self, address, **fields):
        mark = self.proxy.mark()
        self.proxy.write_tokens({"tok": {"singleUse": True, "address": address, **fields}})
        self.proxy.reload()
        self.proxy.wait_line("1 tokens from", after=mark)

    def test_nobody_there(self):
        with fakes.Server(fakes.silent) as server:
            address = server.address
        self.start({"tok": vnc(address, singleUse=True)})
        for _ in range(3):
            self.assertEqual(self.outcome(self.proxy, "tok").code, 4404)
        vm = self.start_guest()
        self.point_to(vm.address, type="vnc")
        self.use()
        self.assert_spent()

    def test_password_refused(self):
        vm = self.start_guest(password="right")
        self.start({"tok": vnc(vm.address, password="wrong", singleUse=True)})
        self.assertEqual(self.outcome(self.proxy, "tok").code, 4502)
        self.point_to(vm.address, type="vnc", password="right")
        self.use()
        self.assert_spent()

    def test_serial_in_use(self):
        vm = self.start_guest(serial="tls raw")
        self.start({"tok": serial(vm.serial_address, singleUse=True), "first": serial(vm.serial_address)})
        first = self.websocket(self.proxy, "first")
        first.write(b"x")
        self.assertEqual(first.read(1), b"x")
        self.assertEqual(self.websocket(self.proxy, "tok").wait_close().code, 4409)
        first.close()
        self.proxy.wait_idle()
        sock = self.websocket(self.proxy, "tok")
        sock.write(b"y")
        self.assertEqual(sock.read(1), b"y")

    def test_client_leaves_before_it_stands(self):
        """A serial console that is still waited for when the client goes."""
        vm = self.start_guest(serial="raw")
        self.start({"tok": serial(vm.serial_address, singleUse=True, **SERIAL_KINDS["raw"])},
                   serial_grace="60000")
        sock = self.websocket(self.proxy, "tok")
        self.proxy.wait_line("session 1 started")
        sock.close()
        self.proxy.wait_idle()
        again = self.websocket(self.proxy, "tok")
        self.proxy.wait_line("session 2 started")
        again.close()
        self.proxy.wait_idle()
        self.assertEqual(self.proxy.settled_count("code 1000", 2), 2)


class ComeBack(SingleUse):
    def test_same_client(self):
        self.start_vnc(reconnect_window="60")
        self.use()
        self.use()
        self.assert_spent(source="127.0.0.2")
        self.use()

    def test_other_client(self):
        self.start_vnc(reconnect_window="60")
        self.use(source="127.0.0.2")
        self.assert_spent()
        self.use(source="127.0.0.2")

    def test_not_beside_a_session(self):
        self.start_vnc(reconnect_window="60")
        sock, client = self.open(self.proxy, "tok")
        client.update()
        close = self.websocket(self.proxy, "tok").wait_close()
        self.assertIn(close.code, (4401, 4409))
        self.assertEqual(client.update(), self.vm.screendump())
        sock.close()

    def test_window_passes(self):
        self.start_vnc(reconnect_window="1")
        self.use()
        time.sleep(2)                    # nothing tells that a window has passed
        self.assert_spent()


if __name__ == "__main__":
    tap.main()
