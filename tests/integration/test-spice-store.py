#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""SPICE through two proxies that share a Redis, each connection by the next of them; and what is
left of it when the Redis, or a proxy, is not there any more."""
import asyncio
import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, guest, redisserver, spice, tap, ws

SCANCODE_A = 0x1e
ENDED, TOKEN, POLICY, IN_USE, AWAY = 1000, 4401, 4403, 4409, 4503
DISPLAY, INPUTS, CURSOR = (spice.DISPLAY, 0), (spice.INPUTS, 0), (spice.CURSOR, 0)
N_CLIENTS = 100


class SharedCase(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.vm = case.make_guest(spice="tls")
        cls.addClassCleanup(cls.vm.stop)

    def setUp(self):
        self.redis = redisserver.RedisServer(case.new_directory("redis"), tls=self.certs)
        self.addCleanup(self.redis.stop)
        service = {"type": "spice", "address": f"localhost:{self.vm.spice_port}"}
        self.tokens = {"multi": service, "single": {**service, "singleUse": True},
                       "single2": {**service, "singleUse": True}}
        self.proxies = [self.start_daemon(self.tokens, store=self.redis.uri) for _ in range(2)]
        self.next = itertools.cycle(self.proxies)

    def channel(self, token, session=0, type=spice.MAIN, id=0):
        """The next proxy's; logged in."""
        channel = spice.Channel(self.websocket(next(self.next), token))
        channel.login(session, type, id)
        return channel

    def main(self, token):
        main = self.channel(token)
        session = main.init()
        main.attach()
        return main, session, main.channels()

    def refusal(self, token, session=0, type=spice.MAIN, id=0, proxy=None):
        channel = spice.Channel(self.websocket(proxy or next(self.next), token))
        with self.assertRaises(spice.Refused) as refused:
            channel.link(session, type, id)
        return refused.exception.error, channel.sock.wait_close().code

    def assert_types(self, inputs):
        spice.type_key(inputs, SCANCODE_A)
        self.vm.expect_serial(b"Ka")


class Shared(SharedCase):
    def test_session_across_both(self):
        main, session, listed = self.main("single")
        channels = {kind: self.channel("single", session, *kind) for kind in sorted(listed)}
        self.assertEqual(set(channels), {DISPLAY, INPUTS, CURSOR})
        spice.init_display(channels[DISPLAY])
        channels[DISPLAY].expect(spice.DRAW_COPY)
        self.assert_types(channels[INPUTS])
        for proxy in self.proxies:
            self.assertEqual(proxy.settled_count("session .* started", 2), 2)
            # no new main channel, no guess, no channel twice, whichever proxy is asked
            self.assertEqual(self.refusal("single", proxy=proxy), (spice.PERMISSION_DENIED, TOKEN))
            self.assertEqual(self.refusal("single", session + 1, *INPUTS, proxy=proxy),
                             (spice.BAD_CONNECTION_ID, POLICY))
            self.assertEqual(self.refusal("single", session, *INPUTS, proxy=proxy),
                             (spice.CHANNEL_NOT_AVAILABLE, POLICY))
        self.assert_types(channels[INPUTS])
        main.sock.close()
        for channel in channels.values():
            self.assertEqual(channel.sock.wait_close().code, ENDED)
        for proxy in self.proxies:
            self.assertEqual(self.refusal("single", proxy=proxy), (spice.PERMISSION_DENIED, TOKEN))
        self.check_keys()

    def check_keys(self):
        """Digests, no tokens, and all of it for a time only."""
        keys = self.redis.command("KEYS", "*")
        self.assertTrue(keys)
        for key in keys:
            self.assertRegex(key, "^vcp:(tok|con):[0-9a-f]{64}$")
            self.assertGreater(self.redis.command("PTTL", key), 0)
            self.assertNotIn("single", str(self.redis.command("HGETALL", key)))

    def test_hundred_clients_one_session(self):
        """Single use in a race: everybody asks at once, one gets in."""
        async def ask(proxy, go):
            sock = await ws.AsyncWebSocket.open(proxy.address, "/websockify?token=single2",
                                                tls=proxy.tls_context())
            await go.wait()
            sock.write(spice.link_message())
            head = await sock.read(20)
            error = int.from_bytes(head[16:], "little")
            return sock, error

        async def race():
            go = asyncio.Event()
            tasks = [asyncio.create_task(ask(next(self.next), go)) for _ in range(N_CLIENTS)]
            await asyncio.sleep(0)
            go.set()
            return await asyncio.gather(*tasks)
        proxy_flags = {"max_sessions_per_token": 0, "store": self.redis.uri}
        self.proxies = [self.start_daemon(self.tokens, **proxy_flags) for _ in range(2)]
        self.next = itertools.cycle(self.proxies)
        answers = asyncio.run(race())
        errors = [error for _, error in answers]
        self.assertEqual(errors.count(spice.OK), 1, errors)
        self.assertEqual(errors.count(spice.PERMISSION_DENIED), N_CLIENTS - 1, errors)

    def test_one_main_channel(self):
        main, session, _ = self.main("multi")
        for proxy in self.proxies:
            self.assertEqual(self.refusal("multi", proxy=proxy),
                             (spice.PERMISSION_DENIED, IN_USE))
        inputs = self.channel("multi", session, *INPUTS)
        self.assert_types(inputs)
        main.sock.close()
        inputs.sock.wait_close()
        main, _, _ = self.main("multi")
        main.sock.close()


class Away(SharedCase):
    def test_killed_and_restarted(self):
        main, session, _ = self.main("single")
        inputs = self.channel("single", session, *INPUTS)
        self.redis.kill()
        # who has a session keeps it, nobody gets a new one
        self.assert_types(inputs)
        for proxy in self.proxies:
            self.assertEqual(self.refusal("multi", proxy=proxy), (spice.ERROR, AWAY))
            self.assertEqual(self.refusal("single", session, *CURSOR, proxy=proxy),
                             (spice.ERROR, AWAY))
        self.assert_types(inputs)
        self.redis.start()
        self.wait_back()
        # the running session is made known again, and is still the only one
        guest.wait_until(lambda: self.redis.command("KEYS", "vcp:tok:*"), "it is known again")
        cursor = self.channel("single", session, *CURSOR)
        self.assert_types(inputs)
        self.assertEqual(self.refusal("single"), (spice.PERMISSION_DENIED, TOKEN))
        main.sock.close()
        inputs.sock.wait_close()
        cursor.sock.wait_close()
        self.assertEqual(self.refusal("single"), (spice.PERMISSION_DENIED, TOKEN))

    def wait_back(self):
        """Until both proxies have found it again."""
        def answers(proxy):
            channel = spice.Channel(self.websocket(proxy, "multi"))
            try:
                channel.link(1, *INPUTS)
            except spice.Refused as refused:
                return refused.error == spice.BAD_CONNECTION_ID
        for proxy in self.proxies:
            guest.wait_until(lambda: answers(proxy), "the store is back", 60)

    def test_slow(self):
        main, session, _ = self.main("multi")
        inputs = self.channel("multi", session, *INPUTS)
        self.redis.freeze()
        self.assertEqual(self.refusal("single"), (spice.ERROR, AWAY))
        self.assert_types(inputs)
        self.redis.thaw()
        self.wait_back()
        # the request that was given up may have been heard, and was taken back
        guest.wait_until(lambda: len(self.redis.command("KEYS", "vcp:tok:*")) == 1,
                         "the claim is free", 60)
        self.assert_types(inputs)
        main.sock.close()
        inputs.sock.wait_close()

    def test_proxy_killed(self):
        """What it held is free within a minute, and not before it is gone."""
        victim = case.make_daemon(self.tokens, store=self.redis.uri)
        self.addCleanup(victim.process.kill)
        self.next = itertools.cycle([victim, self.proxies[1]])
        main, session, _ = self.main("multi")
        inputs = self.channel("multi", session, *INPUTS)     # by the second proxy
        self.assert_types(inputs)
        keys = self.redis.command("KEYS", "vcp:*")
        self.assertEqual(len(keys), 2)          # the token and the console
        victim.process.kill()
        victim.process.wait()
        for key in keys:
            self.assertLessEqual(self.redis.command("PTTL", key), 30000)
        self.assertEqual(inputs.sock.wait_close().code, ENDED)
        self.assertEqual(self.refusal("multi", proxy=self.proxies[1]),
                         (spice.PERMISSION_DENIED, IN_USE))
        # the rest of this half minute is not waited for
        for key in keys:
            self.redis.command("PEXPIRE", key, 1)
        guest.wait_until(lambda: not self.redis.command("KEYS", "vcp:*"), "the end of its leases")
        self.next = itertools.repeat(self.proxies[1])
        main, _, _ = self.main("multi")
        main.sock.close()


if __name__ == "__main__":
    tap.main()
