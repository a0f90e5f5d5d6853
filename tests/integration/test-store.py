#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store in Redis, by itself: every way to reach it, and every way in which it fails.

STORE_PROBE names tests/unit/store-probe, which does what a worker does.
"""
import os
import pathlib
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lab import case, redisserver, tap

UNIT_MS = 30          # a lease is ten of them
TIMEOUT_MS = 1000     # of the probe's requests
# what the store's user needs, and nothing else
COMMANDS = ("+evalsha +eval +hmget +hget +hset +hsetnx +del +pexpireat +time "
            "+client|setname +select +auth")


class Probe:
    def __init__(self, uri, certs=None):
        pair = certs.proxy_client if certs else None
        self.lines = []
        self.process = subprocess.Popen(
            [os.environ["STORE_PROBE"], uri, *([pair.cert, pair.key, certs.ca] if pair else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            bufsize=1)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise AssertionError(f"{line!r}: the probe ended: {self.process.stderr.read()}")
        return answer

    def answer(self, line):
        return self.ask(line)[0]

    def end(self):
        """Closes it; all that it logged."""
        _, log = self.process.communicate()
        return log

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class StoreCase(case.Case):
    def server(self, **options):
        one = redisserver.RedisServer(case.new_directory("redis"), **options)
        self.addCleanup(one.stop)
        return one

    def probe(self, uri, certs=None):
        one = Probe(uri, certs)
        self.addCleanup(one.stop)
        return one


class Ways(StoreCase):
    def check(self, server, certs=None):
        probe = self.probe(server.uri, certs)
        self.assertEqual(probe.answer("claim k a"), "ok")
        self.assertEqual(probe.answer("claim k b"), "taken")
        self.assertEqual(probe.answer("release k a"), "ok")
        return probe

    def test_every_case(self):
        server = self.server()
        self.assertEqual(self.probe(server.uri).answer(f"cases {UNIT_MS}"), "ok")
        # nothing is left behind for good
        for key in server.command("KEYS", "*"):
            self.assertRegex(key, r"^vcp:tok:\d+$")
            self.assertGreater(server.command("PTTL", key), 0, key)

    def test_unix_socket(self):
        self.check(self.server(unix=True))

    def test_tls(self):
        self.check(self.server(tls=self.certs), self.certs)

    def test_tls_other_ca(self):
        server = self.server(tls=self.certs)
        other = case.pki.Pki(case.new_directory("other-pki"))
        probe = self.probe(server.uri, other)
        self.assertEqual(probe.answer("claim k a"), "away")
        self.assertRegex(probe.end(), "store rediss://127.0.0.1:.* is away: certificate")

    def test_tls_client_certificate_refused(self):
        server = self.server(tls=self.certs)
        pair = self.certs.other_client
        probe = Probe.__new__(Probe)
        probe.process = subprocess.Popen(
            [os.environ["STORE_PROBE"], server.uri, pair.cert, pair.key, self.certs.ca],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            bufsize=1)
        self.addCleanup(probe.stop)
        self.assertEqual(probe.answer("claim k a"), "away")

    def test_clear_text_to_a_tls_port(self):
        server = self.server(tls=self.certs)
        probe = self.probe(server.uri.replace("rediss:", "redis:"))
        self.assertEqual(probe.answer("claim k a"), "away")

    def test_password(self):
        self.check(self.server(password="s:e/c@ret", login=":s%3ae%2fc%40ret"))

    def test_wrong_password(self):
        server = self.server(password="secret", login=":CANARY")
        probe = self.probe(server.uri)
        self.assertEqual(probe.answer("claim k a"), "away")
        log = probe.end()
        self.assertRegex(log, "is away: WRONGPASS")
        self.assertNotIn("CANARY", log)

    def test_no_password(self):
        probe = self.probe(self.server(password="secret").uri)
        self.assertEqual(probe.answer("claim k a"), "away")
        self.assertRegex(probe.end(), "unauthenticated|NOAUTH")

    def test_database(self):
        server = self.server()
        probe = self.probe(server.uri + "/3")
        self.assertEqual(probe.answer("claim k a"), "ok")
        self.assertEqual(server.command("KEYS", "*"), [])

    def test_restricted_user(self):
        server = self.server(acl=f"proxy on >secret ~vcp:* resetchannels -@all {COMMANDS}",
                             login="proxy:secret")
        self.assertEqual(self.probe(server.uri).answer(f"cases {UNIT_MS}"), "ok")

    def test_user_who_may_not(self):
        server = self.server(acl="proxy on >secret ~vcp:* -@all +evalsha +eval",
                             login="proxy:secret")
        probe = self.probe(server.uri)
        self.assertEqual(probe.answer("claim k a"), "away")
        self.assertRegex(probe.end(), "the store refuses: ")

    def test_nobody_there(self):
        probe = self.probe(f"redis://127.0.0.1:{redisserver.free_port()}")
        answer, ms = probe.ask("claim k a")
        self.assertEqual(answer, "away")
        self.assertGreaterEqual(float(ms), TIMEOUT_MS * 0.9)


class Failures(StoreCase):
    def test_script_is_forgotten(self):
        server = self.server()
        probe = self.probe(server.uri)
        self.assertEqual(probe.answer("claim k a"), "ok")
        server.command("SCRIPT", "FLUSH")
        self.assertEqual(probe.answer("claim k b"), "taken")

    def test_killed_and_restarted(self):
        server = self.server()
        probe = self.probe(server.uri)
        self.assertEqual(probe.answer("claim k a"), "ok")
        server.kill()
        self.assertEqual(probe.answer("claim l a"), "away")
        server.start()
        # it is found again by itself
        redisserver.wait_until(lambda: probe.answer("claim l a") == "ok", "the store is back")
        # it has forgotten, but who holds says so again
        self.assertEqual(probe.answer("confirm k a"), "ok")
        self.assertEqual(probe.answer("claim k b"), "spent")
        log = probe.end()
        self.assertEqual(len(re.findall("is away", log)), 1, log)
        self.assertEqual(len(re.findall("answers again", log)), 1, log)

    def test_restarted_between_two_requests(self):
        server = self.server()
        probe = self.probe(server.uri)
        self.assertEqual(probe.answer("claim k a"), "ok")
        server.kill()
        server.start()
        self.assertEqual(probe.answer("claim k b"), "ok")

    def test_slow(self):
        server = self.server()
        probe = self.probe(server.uri)
        self.assertEqual(probe.answer("claim k a"), "ok")
        server.freeze()
        answer, ms = probe.ask("claim l a")
        self.assertEqual(answer, "away")
        self.assertGreaterEqual(float(ms), TIMEOUT_MS * 0.9)
        self.assertLess(float(ms), TIMEOUT_MS * 3)
        server.thaw()
        # what was asked may have been done: for its owner it is no obstacle
        redisserver.wait_until(lambda: probe.answer("claim l a") == "ok", "the store is back")

    def test_read_only_replica(self):
        master, replica = self.server(), self.server()
        replica.command("REPLICAOF", "127.0.0.1", master.port)
        probe = self.probe(replica.uri)
        self.assertEqual(probe.answer("claim k a"), "away")
        replica.command("REPLICAOF", "NO", "ONE")
        redisserver.wait_until(lambda: probe.answer("claim k a") == "ok", "a master again")


class Races(StoreCase):
    def test_hundred_from_four_proxies(self):
        server = self.server()
        probes = [self.probe(server.uri) for _ in range(4)]
        for number in range(5):
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(
                    lambda pair: pair[1].ask(f"burst 25 k{number} p{pair[0]}-"),
                    enumerate(probes)))
            counts = [dict(zip(words[::2], map(int, words[1::2]))) for words in answers]
            self.assertEqual(sum(one["ok"] for one in counts), 1, counts)
            self.assertEqual(sum(one["taken"] for one in counts), 99, counts)

    def test_cost(self):
        """A request takes one round trip; the figure is for the log."""
        probe = self.probe(self.server(unix=True).uri)
        probe.ask("claim k a")
        begin = time.monotonic()
        words = probe.ask("burst 2000 k p")
        print(f"# {2000 / (time.monotonic() - begin):.0f} requests a second")
        self.assertEqual(int(words[words.index("taken") + 1]), 2000, words)


if __name__ == "__main__":
    tap.main()
