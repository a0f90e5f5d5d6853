# SPDX-License-Identifier: LGPL-2.1-or-later
"""What has to hold behind every balancer: two proxies, one Redis, and the balancer before them.

A test program has a class for each way, with KIND, LANGUAGE and MARK of its configuration.
"""
import time
import unittest

from . import balancer, case, fakes, redisserver, rfb, spice, ws
from .case import vnc

CLIENT = "127.0.0.5"
SCANCODE_A = 0x1e


class Behind(case.Case):
    KIND = None               # balancer.HAProxy or balancer.Nginx
    PROGRAM = LANGUAGE = MARK = None

    def setUp(self):
        lacking = balancer.missing(self.PROGRAM)
        if lacking:
            raise unittest.SkipTest(lacking)
        self.server = fakes.Server(fakes.hold)
        self.addCleanup(self.server.close)

    def start(self, tokens=None, each=({}, {}), **flags):
        """each: flags of one proxy and of the other."""
        self.redis = redisserver.RedisServer(case.new_directory("redis"))
        self.addCleanup(self.redis.stop)
        tokens = tokens or {"tok": vnc(self.server.address, insecure=True),
                            "one": vnc(self.server.address, insecure=True, singleUse=True)}
        self.proxies = [case.make_daemon(tokens, store=self.redis.uri, trusted_proxy="127.0.0.1",
                                         connect_insecure=True, **flags, **own) for own in each]
        for proxy in self.proxies:
            self.addCleanup(proxy.stop)
        self.front = self.KIND(case.new_directory("balancer"), balancer.from_document(self.LANGUAGE, self.MARK),
                               [proxy.address for proxy in self.proxies], self.certs)
        self.addCleanup(self.front.stop)

    def connect(self, token, source=CLIENT, **options):
        options.setdefault("tls", self.proxies[0].tls_context())
        sock = ws.WebSocket.open(self.front.address, f"/websockify?token={token}", source=source,
                                 origin="https://localhost", host="localhost", **options)
        self.addCleanup(sock.drop)
        return sock

    def session(self, token="tok", **options):
        """-> (websocket, the proxy that has it)"""
        before = [proxy.count_lines(r"session \d+ started") for proxy in self.proxies]
        sock = self.connect(token, **options)
        rfb.login(sock)
        found = []

        def has_begun():
            found.extend(proxy for proxy, count in zip(self.proxies, before)
                         if proxy.count_lines(r"session \d+ started") > count)
            return found
        redisserver.wait_until(has_begun, "the start of a session in a log")
        return sock, found[0]

    def one_at_each(self):
        """A session at each proxy, in their order: which one a balancer takes is its business."""
        held = {}
        for _ in range(20):
            sock, proxy = self.session()
            held.setdefault(proxy, sock)
            if len(held) == 2:
                return [held[proxy] for proxy in self.proxies]
        raise AssertionError("all sessions at one proxy")

    def is_alive(self, sock):
        """It answers a ping of ours."""
        sock.send_frame(b"?", opcode=ws.PING)
        while True:
            frame = sock.receive_frame()
            if frame.opcode == ws.PONG:
                return True
            if frame.opcode == ws.PING:
                sock.send_frame(frame.payload, opcode=ws.PONG)

    def test_address_of_the_client(self):
        """In the log stands who it is, whatever the client itself says."""
        self.start()
        _, proxy = self.session(headers=[("X-Forwarded-For", "203.0.113.66"), ("X-Forwarded-Proto", "http")])
        self.assertRegex(proxy.wait_line(r"session \d+ started: .* client (\S+)")[1], rf"^{CLIENT}(:\d+)?$")
        self.assertNotIn("203.0.113.66", "".join(line for line in proxy.log().splitlines() if "started" in line))

    def test_limits_count_clients(self):
        """One a proxy for each client, and the balancer's own address is nobody's."""
        self.start(max_sessions_per_address="1")
        opened = 0
        for _ in range(4):
            try:
                self.session()
                opened += 1
            except ws.Refused as refused:
                self.assertEqual(refused.response.status, 429)
        self.assertIn(opened, (1, 2))
        self.session(source="127.0.0.6")

    def test_both_get_sessions_and_share_tokens(self):
        self.start()
        held = self.one_at_each()
        held.append(self.session("one")[0])
        for _ in range(4):         # spent, whichever proxy is asked
            self.assertEqual(self.connect("one").wait_close().code, 4401)
        for sock in held:
            self.assertTrue(self.is_alive(sock))

    def test_guest(self):
        """A real one: its picture through all of it, and SPICE, whose channels are at both proxies."""
        vm = self.start_guest(spice="tls")
        self.start({"vnc": vnc(vm.address),
                    "spice": {"type": "spice", "address": f"localhost:{vm.spice_port}", "singleUse": True}})
        sock = self.connect("vnc")
        self.assertEqual(rfb.Client(sock).update(), vm.screendump())
        sock.close()

        main, session, listed = spice.open_main(self.connect("spice"))
        channels = {}
        for type, id in sorted(listed):
            channels[type] = spice.Channel(self.connect("spice"))
            channels[type].login(session, type, id)
        for proxy in self.proxies:
            self.assertGreater(proxy.count_lines("started: .* console spice"), 0, "all channels at one proxy")
        spice.type_key(channels[spice.INPUTS], SCANCODE_A)
        vm.expect_serial(b"Ka")
        main.sock.close()

    def test_killed_proxy(self):
        """Its sessions are gone; those of the other stay, and all new ones go there."""
        self.start()
        (lost, kept), (dead, alive) = self.one_at_each(), self.proxies
        dead.process.kill()
        dead.process.wait()
        self.assertIsNone(lost.wait_close().code)
        begin = time.monotonic()
        for _ in range(4):
            self.assertIs(self.session()[1], alive)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertTrue(self.is_alive(kept))

    def test_idle(self):
        """The proxy's pings keep a console open that says nothing; one without them is cut."""
        self.start(each=({"keepalive": "1"}, {"keepalive": "3600"}))
        pinged, silent = self.one_at_each()
        end = time.monotonic() + balancer.IDLE * 1.5
        while time.monotonic() < end:
            frame = pinged.receive_frame()
            self.assertEqual(frame.opcode, ws.PING)
            pinged.send_frame(frame.payload, opcode=ws.PONG)
        self.assertTrue(self.is_alive(pinged))
        self.assertIsNone(silent.wait_close().code)

    def test_no_token_in_the_log(self):
        self.start({"canary-of-the-log": vnc(self.server.address, insecure=True)})
        self.session("canary-of-the-log")[0].close()
        for proxy in self.proxies:
            proxy.wait_idle()
            proxy.process.kill()
            proxy.process.wait()
        try:                       # nobody is there: an error, which is logged
            self.connect("canary-of-the-log")
        except (ws.Refused, OSError):
            pass
        self.front.stop()
        self.assertNotIn("canary", self.front.log())
