#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits in numbers and in time: sessions, half-open connections, slow clients, expired tokens."""
import datetime
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, rawhttp, rfb, tap, ws
from lab.case import vnc


class Limits(case.Case):
    def setUp(self):
        self.server = fakes.Server(fakes.hold)
        self.addCleanup(self.server.close)
        other = fakes.Server(fakes.hold)
        self.addCleanup(other.close)
        self.tokens = {"a": vnc(self.server.address, insecure=True),
                       "a2": vnc(self.server.address, insecure=True),
                       "b": vnc(other.address, insecure=True)}

    def start(self, **flags):
        self.proxy = self.start_daemon(self.tokens, connect_insecure=True, **flags)

    def hold(self, token, **options):
        """A session that stays."""
        sock = self.websocket(self.proxy, token, **options)
        rfb.Client(sock)
        return sock

    def refused(self, token, status):
        with self.assertRaises(ws.Refused) as caught:
            self.proxy.websocket(token)
        response = caught.exception.response
        self.assertEqual(response.status, status)
        self.assertLess(len(response.body), 1024)

    def free_again(self, sock, token):
        """Room is there again when a session has ended; it is a moment later than its last word."""
        sock.close()
        case.guest.wait_until(lambda: self.has_room(token), "room for a session")

    def has_room(self, token):
        try:
            self.hold(token)
        except (ws.Refused, rfb.Failed, ws.Closed):
            return False
        return True


class Sessions(Limits):
    def test_in_total(self):
        self.start(max_sessions="2")
        first = self.hold("a")
        self.hold("b")
        self.refused("a2", 503)
        self.free_again(first, "a2")

    def test_by_token(self):
        self.start(max_sessions_per_token="2")
        first = self.hold("a")
        self.hold("a")
        self.refused("a", 429)
        self.hold("a2")
        self.free_again(first, "a")

    def test_by_address(self):
        self.start(max_sessions_per_address="2")
        first = self.hold("a")
        self.hold("b")
        self.refused("a2", 429)
        sock = self.from_address("127.0.0.2", "/websockify?token=a2")   # somebody else
        rfb.Client(sock)
        self.free_again(first, "a2")

    def test_by_console(self):
        """Which console it is comes from the resolver: refused behind the upgrade."""
        self.start(max_sessions_per_console="2")
        first = self.hold("a")
        self.hold("a2")
        before = self.server.connections
        outcome = self.outcome(self.proxy, "a")
        self.assert_refused(outcome, 4409)
        self.assertEqual(self.server.connections, before, "the hypervisor was connected to")
        self.hold("b")
        self.free_again(first, "a2")

    def test_zero_is_no_limit(self):
        self.start(max_sessions="0", max_sessions_per_token="0", max_sessions_per_console="0",
                   max_sessions_per_address="0")
        for _ in range(300):
            self.hold("a")

    def test_defaults(self):
        self.start()
        for _ in range(32):
            self.hold("a")
        self.refused("a", 429)
        self.assert_refused(self.outcome(self.proxy, "a2"), 4409)

    def test_refused_sessions_do_not_count(self):
        self.start(max_sessions="1")
        for _ in range(20):
            case.guest.wait_until(self.is_unknown, "room for a token to be refused")
        case.guest.wait_until(lambda: self.has_room("a"), "room for a session")
        for _ in range(20):
            self.refused("b", 503)

    def is_unknown(self):
        try:
            return self.outcome(self.proxy, "unknown").code == 4401
        except ws.Refused:
            return False

    def test_health_is_no_session(self):
        self.start(max_sessions="1", max_sessions_per_address="1")
        self.hold("a")
        self.assertEqual(self.proxy.request("/healthz").status, 200)

    def from_address(self, source, target):
        sock = socket.create_connection(self.proxy.address, source_address=(source, 0), timeout=30)
        sock = self.proxy.tls_context().wrap_socket(sock, server_hostname="localhost")
        key = ws.new_key()
        response = rawhttp.exchange(sock, ws.upgrade_request(target, key=key))
        ws.check_upgrade(response, key)
        self.addCleanup(sock.close)
        return ws.WebSocket(sock, response, response.rest)


class SlowClients(Limits):
    """Whoever takes too long before bytes flow is closed; others do not notice."""

    LIMIT, PATIENCE = 2, 12

    def setUp(self):
        super().setUp()
        self.start(handshake_timeout=str(self.LIMIT))

    def closed_in_time(self, sock, drip=b""):
        """Sends a byte of drip a quarter of a second until the daemon closes."""
        self.addCleanup(sock.close)
        sock.settimeout(0.25)
        begin = time.monotonic()
        for i in range(int(self.PATIENCE / 0.25)):
            try:
                if i < len(drip):
                    sock.sendall(drip[i:i + 1])
                if not rawhttp.receive(sock):
                    break
            except TimeoutError:
                pass
            except OSError:
                break
        self.assertLess(time.monotonic() - begin, self.PATIENCE, "still open")

    def test_says_nothing(self):
        self.closed_in_time(self.proxy.connect(tls=None))

    def test_tls_drips(self):
        self.closed_in_time(self.proxy.connect(tls=None), b"\x16\x03\x01\x02\x00\x01\x00" + b"\0" * 200)

    def test_silent_after_tls(self):
        self.closed_in_time(self.proxy.connect())

    def test_http_drips(self):
        self.closed_in_time(self.proxy.connect(), b"GET /websockify?token=a HTTP/1.1\r\n" * 10)

    def test_headers_drip(self):
        sock = self.proxy.connect()
        sock.sendall(b"GET /websockify?token=a HTTP/1.1\r\nHost: localhost\r\n")
        self.closed_in_time(sock, b"X-A: b\r\n" * 100)

    def test_frames_drip(self):
        """Upgraded, and then the RFB version a byte at a time."""
        sock = self.websocket(self.proxy, "a")
        for i in range(11):
            sock.write(rfb.VERSIONS["3.8"][i:i + 1])
            try:
                close = sock.wait_close(0.5)
                break
            except TimeoutError:
                pass
        else:
            close = sock.wait_close(self.PATIENCE)
        self.assertEqual(close.code, 4504)


class HalfOpen(Limits):
    def test_a_thousand_do_not_keep_a_user_out(self):
        """From another address: some say nothing, some stop amid their request."""
        self.start(handshake_timeout="60")
        attackers = []
        self.addCleanup(lambda: [sock.close() for sock in attackers])
        for i in range(1000):
            sock = socket.create_connection(self.proxy.address, source_address=("127.0.0.9", 0))
            attackers.append(sock)
            if i % 4 == 0:
                sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        context = self.proxy.tls_context()
        for i in range(200):
            sock = socket.create_connection(self.proxy.address, source_address=("127.0.0.9", 0))
            sock.settimeout(30)
            try:
                sock = context.wrap_socket(sock, server_hostname="localhost")
                sock.sendall(b"GET /websockify?token=a HTTP/1.1\r\nHost: x\r\n")
            except OSError:
                pass                        # refused by a limit: as good
            attackers.append(sock)
        begin = time.monotonic()
        self.assertEqual(self.proxy.request("/healthz").status, 200)
        self.hold("a")
        self.assertLess(time.monotonic() - begin, 5)

    def test_they_are_gone_in_the_end(self):
        self.start(handshake_timeout="2")
        before = self.proxy.descriptors()
        socks = [self.proxy.connect(tls=None) for _ in range(200)]
        self.addCleanup(lambda: [sock.close() for sock in socks])
        case.guest.wait_until(lambda: self.proxy.descriptors() <= before,
                              "descriptors of silent clients freed", 30)


class Tokens(case.Case):
    def moment(self, seconds, zone="Z"):
        when = datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds)
        return when.strftime("%Y-%m-%dT%H:%M:%S") + zone

    def test_unknown(self):
        proxy = self.start_daemon({"a": vnc("127.0.0.1:1")})
        for token in ("b", "A", "aa", "a."):
            with self.subTest(token):
                self.assert_refused(self.outcome(proxy, token), 4401)

    def test_expired(self):
        with fakes.Server(fakes.silent) as server:
            proxy = self.start_daemon({
                "old": vnc(server.address, expires="2001-02-03T04:05:06Z"),
                "zone": vnc(server.address, expires="2001-02-03T04:05:06.789+05:30"),
                "just": vnc(server.address, expires=self.moment(-1))})
            for token in ("old", "zone", "just"):
                with self.subTest(token):
                    self.assert_refused(self.outcome(proxy, token), 4401)
            self.assertEqual(server.connections, 0)

    def test_not_yet_expired(self):
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon({
                "new": vnc(server.address, insecure=True, expires=self.moment(3600)),
                "zone": vnc(server.address, insecure=True, expires="2090-01-01T00:00:00-08:00")},
                connect_insecure=True)
            for token in ("new", "zone"):
                sock, _ = self.open(proxy, token)
                sock.close()

    def test_expires_while_the_daemon_runs(self):
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon(
                {"tok": vnc(server.address, insecure=True, expires=self.moment(3))},
                connect_insecure=True)
            sock, _ = self.open(proxy, "tok")
            case.guest.wait_until(lambda: self.is_expired(proxy), "the token's end", 15)
            sock.drop()

    def is_expired(self, proxy):
        sock = proxy.websocket("tok")
        try:
            rfb.login(sock)
            return False
        except (ws.Closed, rfb.Failed):
            return sock.wait_close().code == 4401
        finally:
            sock.drop()


if __name__ == "__main__":
    tap.main()
