#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sessions that end by the clock, and by a token file that is read again."""
import datetime
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, spice, tap
from lab.case import serial, vnc

TOKEN, TIME_OVER, MOVED = 4401, 4408, 4410
INPUTS = (spice.INPUTS, 0)
SCANCODE_A = 0x1e
SLACK = 20               # seconds that a slow machine may take longer


def in_seconds(seconds):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Terms(case.Case):
    def setUp(self):
        self.console = fakes.Server(fakes.hold)
        self.addCleanup(self.console.close)

    def service(self, **fields):
        return vnc(self.console.address, insecure=True, **fields)

    def start(self, tokens, **flags):
        self.proxy = self.start_daemon(tokens, connect_insecure=True, **flags)

    def session(self, token):
        sock, _ = self.open(self.proxy, token)
        return sock

    def assert_ends(self, sock, code, word, after, began):
        """Not before that many seconds, and not much later."""
        close = sock.wait_close(after + SLACK)
        took = time.monotonic() - began
        self.assertEqual(close.code, code)
        self.assert_plain(close.reason)
        self.assertGreaterEqual(took, after - 0.05)
        self.assertLess(took, after + SLACK)
        self.proxy.wait_line(f"ended: .* code {code} reason {word}: ")


class Clock(Terms):
    def test_expires(self):
        self.start({"t": self.service(expires=in_seconds(3))}, recheck="0")
        sock = self.session("t")
        self.assert_ends(sock, TOKEN, "token", 0, time.monotonic())
        self.proxy.wait_line("the token has expired")

    def test_session_limit(self):
        self.start({"t": self.service(), "short": self.service(sessionLimit=1),
                    "long": self.service(sessionLimit=3600)}, session_limit="2")
        began = time.monotonic()
        socks = {token: self.session(token) for token in ("t", "short", "long")}
        self.assert_ends(socks["short"], TIME_OVER, "limit", 1, began)
        # it does not help to be busy
        while time.monotonic() < began + 1.5:
            socks["t"].write(b"\3\1\0\0\0\1\0\1\0\1")
            time.sleep(0.05)
        self.assert_ends(socks["t"], TIME_OVER, "limit", 2, began)
        socks["long"].write(b"\3\1\0\0\0\1\0\1\0\1")
        self.assertEqual(socks["long"].close().code, 1000)

    def test_idle(self):
        """A client that answers pings is idle all the same; one byte is enough not to be."""
        self.start({"t": self.service(), "short": self.service(idleTimeout=1)}, idle_timeout="2", keepalive="1")
        socks = {token: self.session(token) for token in ("t", "short")}
        began = time.monotonic()
        self.assert_ends(socks["short"], TIME_OVER, "idle", 0.5, began)
        time.sleep(0.5)                       # so that the byte is later than the session
        last = time.monotonic()
        socks["t"].write(b"\4")               # no whole message even
        self.assert_ends(socks["t"], TIME_OVER, "idle", 2, last)
        self.assertGreater(socks["t"].pings, 0)

    def test_own_output_is_no_activity(self):
        """The console talks all the time, and nobody answers."""
        def chatter(stream):
            while True:
                stream.write(b"tick\r\n")
                time.sleep(0.1)
        console = fakes.Server(chatter)
        self.addCleanup(console.close)
        self.start({"t": serial(console.address, insecure=True)}, idle_timeout="1")
        began = time.monotonic()
        sock = self.websocket(self.proxy, "t")
        self.assert_ends(sock, TIME_OVER, "idle", 1, began)

    def test_none(self):
        """The service may allow more than the proxy does by itself."""
        self.start({"t": self.service(idleTimeout=3600)}, idle_timeout="1", session_limit="0", keepalive="1")
        sock = self.session("t")
        while sock.pings < 3:
            frame = sock.receive_frame()
            self.assertEqual(frame.opcode, 9)
            sock.pings += 1
            sock.send_frame(frame.payload, opcode=10)
        self.assertEqual(sock.close().code, 1000)


class Spice(case.Case):
    def test_idle_over_all_channels(self):
        """Keys on the inputs channel keep the main channel, until they end."""
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": {"type": "spice", "address": f"localhost:{vm.spice_port}", "idleTimeout": 3}})
        main, session, _ = spice.open_main(self.websocket(proxy, "t"))
        inputs = spice.Channel(self.websocket(proxy, "t"))
        inputs.login(session, *INPUTS)
        began = time.monotonic()
        while time.monotonic() < began + 5:
            last = time.monotonic()
            spice.type_key(inputs, SCANCODE_A)
            time.sleep(0.2)
        self.assertEqual(proxy.running_sessions(), 2)
        for channel in (main, inputs):
            self.assertEqual(channel.sock.wait_close(3 + SLACK).code, TIME_OVER)
        self.assertGreaterEqual(time.monotonic() - last, 2.9)


class Reload(Terms):
    def test_token_file(self):
        """Dropped, moved, changed otherwise, and as before."""
        other = fakes.Server(fakes.hold)
        self.addCleanup(other.close)
        tokens = {token: self.service() for token in ("dropped", "moved", "short", "same")}
        self.start(tokens, workers="2", recheck="0")
        socks = {token: [self.session(token) for _ in range(4)] for token in tokens}
        del tokens["dropped"]
        tokens["moved"] = vnc(other.address, insecure=True)
        tokens["short"] = self.service(sessionLimit=1)
        self.proxy.write_tokens("{broken")
        self.proxy.reload()
        self.proxy.wait_line("not reloaded")
        self.assertEqual(self.proxy.running_sessions(), 16)
        self.proxy.write_tokens(tokens)
        self.proxy.reload()
        for token, code in (("dropped", TOKEN), ("moved", MOVED), ("short", TIME_OVER)):
            for sock in socks[token]:
                self.assertEqual(sock.wait_close(SLACK).code, code, token)
        for sock in socks["same"]:
            self.assertEqual(sock.close().code, 1000)


if __name__ == "__main__":
    tap.main()
