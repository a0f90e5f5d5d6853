#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the proxy makes of a resolver's answers while sessions run, and of its stream of events."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, events, fakeresolver, fakes, tap
from lab.case import vnc
from lab.fakeresolver import found

TOKEN, MOVED = 4401, 4410
SESSIONS = 100


class Fake(case.Case):
    def setUp(self):
        self.resolver = fakeresolver.Resolver(self.certs.resolver_server, self.certs.ca)
        self.addCleanup(self.resolver.stop)
        self.console = fakes.Server(fakes.hold)
        self.addCleanup(self.console.close)
        self.service = vnc(self.console.address, insecure=True)
        for token in ("a", "b"):
            self.resolver.answers[token] = found(self.service)

    def start(self, **flags):
        flags.setdefault("recheck", "1")
        self.proxy = self.start_daemon(connect_insecure=True, resolver_mode="external", resolver_tokens=None,
                                       resolver_uri=self.resolver.base, resolver_timeout="2", **flags)

    def start_with_stream(self):
        """Nothing is asked for but what the stream says."""
        self.start(recheck="0")
        self.resolver.wait_streams(1)

    def session(self, token):
        sock, _ = self.open(self.proxy, token)
        return sock

    def assert_code(self, sock, code):
        close = sock.wait_close(30)
        self.assertEqual(close.code, code)
        self.assert_plain(close.reason)

    def assert_lives(self, *socks):
        """A ping of ours is answered: the websocket is there and not about to close."""
        for sock in socks:
            sock.send_frame(b"alive?", opcode=9)
            frame = sock.receive_frame()
            while frame.opcode == 9:
                frame = sock.receive_frame()
            self.assertEqual((frame.opcode, frame.payload), (10, b"alive?"))

    def say(self, name, data):
        self.resolver.send(f"event: {name}\ndata: {data}\n\n".encode())


class Asked(Fake):
    def test_answers(self):
        """A clear no, and an answer that leads elsewhere; each of the others leaves the session alone."""
        self.resolver.stream_status = 404
        moved = vnc("127.0.0.1:1", insecure=True)
        other = {**self.service, "domain": {"uuid": "0f8fad5b-d9cb-469f-a165-70867728950e"}, "console": {"type": "vnc"}}
        ends = {"404": ((404, b"{}"), TOKEN), "410": ((410, b""), TOKEN), "address": (found(moved), MOVED),
                "console": (found(other), MOVED), "type": (found({**self.service, "type": "serial"}), MOVED)}
        lives = {"200": found(self.service), "password": found({**self.service, "password": "new"}),
                 "500": (500, b"{}"), "503": (503, b"{}"), "403": (403, b"{}"), "301": (301, b""),
                 "garbage": (200, b"\0garbage"), "wrong": (200, b'{"type": "vnc"}'), "long": (200, bytes(70000))}
        for token in (*ends, *lives):
            self.resolver.answers[token] = found(self.service)
        self.start()
        socks = {token: self.session(token) for token in (*ends, *lives)}
        for token, (answer, _) in ends.items():
            self.resolver.answers[token] = answer
        self.resolver.answers.update(lives)
        for token, (_, code) in ends.items():
            with self.subTest(token):
                self.assert_code(socks[token], code)
        for token in lives:
            self.resolver.wait_asked(token, 4)
            self.assert_lives(socks[token])
        self.proxy.wait_line("the resolver has no events for us: HTTP status 404")

    def test_one_query_for_all_sessions(self):
        """A hundred sessions on two workers: they are asked for as one, and end as one."""
        self.resolver.stream_status = 404
        self.start(max_sessions_per_token=SESSIONS, max_sessions_per_console=SESSIONS)
        socks = [self.session("a") for _ in range(SESSIONS)]
        before = len(self.resolver.asked)
        self.resolver.wait_asked("a", before + 3)
        self.assert_lives(*socks)
        self.assertLessEqual(self.resolver.asked.count("a"), before + 8)
        del self.resolver.answers["a"]
        for sock in socks:
            self.assert_code(sock, TOKEN)

    def test_off(self):
        self.resolver.stream_status = 404
        self.start(recheck="0")
        sock = self.session("a")
        self.resolver.default = 200, b"{}"
        # another session's life shows that time has passed
        self.session("b").close()
        self.assertEqual(self.resolver.asked.count("a"), 1)
        self.assert_lives(sock)

    def test_away(self):
        self.start()
        sock = self.session("a")
        self.resolver.wait_asked("a", 2)
        self.resolver.answers["a"] = None
        self.resolver.end_streams()
        mark = self.proxy.mark()
        self.proxy.wait_line("its sessions go on: the resolver did not answer", after=mark)
        self.assert_lives(sock)

    def test_terms_are_taken_over(self):
        self.resolver.stream_status = 404
        self.start()
        sock = self.session("a")
        self.resolver.answers["a"] = found({**self.service, "sessionLimit": 1})
        self.assert_code(sock, 4408)


class Told(Fake):
    def test_events(self):
        self.start_with_stream()
        socks = {token: [self.session(token) for _ in range(4)] for token in ("a", "b")}
        self.say("dead", events.digest("a"))
        for sock in socks["a"]:
            self.assert_code(sock, TOKEN)
        self.assert_lives(*socks["b"])
        self.assertEqual(self.resolver.asked.count("a") + self.resolver.asked.count("b"), 8)
        self.say("changed", events.digest("b"))
        self.resolver.wait_asked("b", 5)
        self.assert_lives(*socks["b"])
        self.resolver.answers["b"] = found(vnc("127.0.0.1:1", insecure=True))
        self.say("changed", events.digest("b"))
        for sock in socks["b"]:
            self.assert_code(sock, MOVED)

    def test_recheck(self):
        self.start_with_stream()
        socks = [self.session(token) for token in ("a", "b")]
        del self.resolver.answers["a"]
        self.say("recheck", "all")
        self.assert_code(socks[0], TOKEN)
        self.resolver.wait_asked("b", 2)
        self.assert_lives(socks[1])

    def test_what_is_no_news(self):
        self.start_with_stream()
        sock, last = self.session("a"), self.session("b")
        digest = events.digest("a")
        for name, data in (("dead", "all"), ("dead", digest[:-1]), ("dead", digest + "0"), ("dead", digest.upper()),
                           ("deadly", digest), ("message", digest), ("dead", events.digest("nobody")),
                           ("changed", "x"), ("dead", "")):
            self.say(name, data)
        self.resolver.send(f": dead\n\ndata: {digest}\n\ndead: {digest}\n\n".encode())
        self.say("dead", events.digest("b"))
        self.assert_code(last, TOKEN)
        self.assert_lives(sock)
        self.assertEqual(self.resolver.asked.count("a"), 1)

    def test_comes_back(self):
        """With the id that it has seen last; its end ends nothing."""
        self.start_with_stream()
        sock = self.session("a")
        self.assertNotIn("Last-Event-ID", self.resolver.stream_headers[0])
        self.assertEqual(self.resolver.stream_headers[0]["Accept"], "text/event-stream")
        self.resolver.send(b"id: life-17\n\nid: life-18\nevent: dead\ndata: half of ")
        self.resolver.end_streams()
        self.resolver.wait_streams(2)
        self.assertEqual(self.resolver.stream_headers[1]["Last-Event-ID"], "life-17")
        self.assert_lives(sock)
        self.say("dead", events.digest("a"))
        self.assert_code(sock, TOKEN)

    def test_stream_that_makes_no_sense(self):
        """Endless lines are cut off, and it is tried again."""
        self.start_with_stream()
        sock = self.session("a")
        self.resolver.send(b"x" * 100000)
        self.resolver.wait_streams(2)
        self.assert_lives(sock)
        self.say("dead", events.digest("a"))
        self.assert_code(sock, TOKEN)

    def test_no_stream(self):
        """A page where the stream should be is as none."""
        self.resolver.stream_type = "text/html"
        self.resolver.greeting = b"event: dead\ndata: " + events.digest("a").encode() + b"\n\n"
        self.start(recheck="0")
        sock = self.session("a")
        self.proxy.wait_line("the resolver has no events for us: HTTP status 200")
        self.assert_lives(sock)

    def test_error_is_tried_again(self):
        self.resolver.stream_status = 503
        self.start(recheck="0")
        self.resolver.wait_streams(1)
        sock = self.session("a")
        self.resolver.stream_status = 200
        self.resolver.wait_streams(2)
        self.say("dead", events.digest("a"))
        self.assert_code(sock, TOKEN)


if __name__ == "__main__":
    tap.main()
