#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tokens that work once and consoles for one client, with two proxies and one Redis."""
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, guest, redisserver, rfb, tap, ws
from lab.case import serial, vnc

CLIENTS = 100
NO_LIMITS = {"max_sessions_per_token": "0", "max_sessions_per_console": "0", "max_sessions_per_address": "0"}


class Shared(case.Case):
    def start(self, tokens, **flags):
        self.redis = redisserver.RedisServer(case.new_directory("redis"))
        self.addCleanup(self.redis.kill)
        self.proxies = [self.start_daemon(tokens, store=self.redis.uri, **NO_LIMITS, **flags)
                        for _ in range(2)]

    def code(self, proxy, token):
        return self.websocket(proxy, token).wait_close().code

    def echo(self, sock, text=b"x"):
        sock.write(text)
        self.assertEqual(sock.read(len(text)), text)

    def test_race(self):
        """A hundred clients, at both proxies in turn."""
        vm = self.start_guest()
        self.start({"tok": vnc(vm.address, singleUse=True)})
        begin, results = threading.Barrier(CLIENTS), []

        def try_one(proxy):
            begin.wait()
            sock = proxy.websocket("tok")
            self.addCleanup(sock.drop)
            try:
                rfb.login(sock, "3.8")
                results.append("in")
            except ws.Closed as closed:
                results.append(closed.code)

        threads = [threading.Thread(target=try_one, args=[self.proxies[i % 2]]) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(results), CLIENTS)
        self.assertEqual(results.count("in"), 1, results)
        self.assertLessEqual(set(results) - {"in"}, {4401, 4409})
        joined = lambda: sum(proxy.count_lines("joined after") for proxy in self.proxies)  # noqa: E731
        guest.wait_until(lambda: joined() >= 1, "a session in the log")
        self.assertEqual(joined(), 1)
        for proxy in self.proxies:
            self.assertEqual(self.code(proxy, "tok"), 4401)

    def test_serial_lock(self):
        vm = self.start_guest(serial="tls raw")
        self.start({"tok": serial(vm.serial_address)})
        one, two = self.proxies
        sock = self.websocket(one, "tok")
        self.echo(sock)
        self.assertEqual(self.code(two, "tok"), 4409)
        sock.close()
        one.wait_idle()
        self.echo(self.websocket(two, "tok"))

    def test_store_away(self):
        """No new claims, and what runs goes on; what needs no store is not touched."""
        vm = self.start_guest(serial="tls raw")
        self.start({"tok": serial(vm.serial_address), "one": vnc(vm.address, singleUse=True),
                    "many": vnc(vm.address)})
        proxy, _ = self.proxies
        running = self.websocket(proxy, "tok")
        self.echo(running)
        self.redis.kill()
        outcome = self.outcome(proxy, "one")
        self.assertEqual(outcome.code, 4503)
        self.assert_plain(outcome.reason)
        self.assertEqual(self.code(proxy, "tok"), 4503)
        self.assert_serves(proxy, "many", vm)
        self.echo(running, b"still here")
        self.redis.start()
        guest_code = 4503
        while guest_code == 4503:        # the proxy finds it again by itself
            sock = self.websocket(proxy, "one")
            try:
                rfb.login(sock, "3.8")
                guest_code = None
            except ws.Closed as closed:
                guest_code = closed.code
        self.assertIsNone(guest_code)
        self.echo(running, b"and after it")

    def test_no_token_in_the_store(self):
        vm = self.start_guest()
        token = "canary-of-the-store"
        self.start({token: vnc(vm.address, singleUse=True)})
        sock, client = self.open(self.proxies[0], token)
        client.update()
        keys = self.redis.command("KEYS", "*")
        self.assertTrue(keys)
        self.assertNotIn(token, repr(keys))
        sock.close()


if __name__ == "__main__":
    tap.main()
