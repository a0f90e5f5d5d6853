#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sides that stall, mute clients, and connections that break at every byte of a handshake."""
import pathlib
import ssl
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, rawhttp, rfb, tap, ws
from lab.case import vnc
from lab.guest import wait_until

MEGABYTE = 1 << 20


class NeverReads(case.Case):
    """A client that reads nothing while the guest repaints."""

    def stalled(self, proxy, token="tok"):
        """Goes on asking for screens, one every 30 ms, and reads none."""
        sock = self.websocket(proxy, token, receive_buffer=65536)
        client = rfb.Client(sock)
        ended = threading.Event()
        self.addCleanup(ended.set)

        def ask():
            try:
                while not ended.wait(0.03):
                    client.request()
            except OSError:
                pass
        threading.Thread(target=ask, daemon=True).start()

    def test_real_guest(self):
        """Memory bounded, somebody else's echo unhurt, and --write-timeout ends them."""
        vm, other_vm = self.start_guest(), self.start_guest()
        proxy = self.start_daemon({"tok": vnc(vm.address), "other": vnc(other_vm.address)},
                                  workers="1", write_timeout="5")
        bystander, other = self.open(proxy, "other")
        other.update()
        before = proxy.memory()
        vm.flood_screen()
        for _ in range(3):
            self.stalled(proxy)
        delays, most = [], 0
        while proxy.count_lines(r"session \d+ ended") < 3:
            delays.append(self.echo(other, other_vm))
            most = max(most, proxy.memory())
        self.assertEqual(proxy.count_lines(r"session \d+ ended.* 4408 "), 3)
        if not daemon.is_sanitized():
            self.assertLess(most - before, 2 * MEGABYTE)
            self.assertLess(statistics.quantiles(delays, n=20)[-1], 0.1, delays)
        wait_until(lambda: not vm.vnc_clients(), "the hypervisor's clients gone")
        bystander.close()

    def echo(self, client, vm):
        """Seconds from a key until the guest has it."""
        begin = time.monotonic()
        client.type("e")
        vm.expect_serial(b"Ke")
        return time.monotonic() - begin

    def test_a_gigabyte_waits(self):
        """A console with no end of data: bounded memory, and the sender is stopped."""
        sent = [0]

        def endless(stream):
            fakes.plain_login(stream)
            chunk = bytes(65536)
            while True:
                stream.write(chunk)
                sent[0] += len(chunk)
        with fakes.Server(endless) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True, write_timeout="600")
            before = proxy.memory()
            sock = self.websocket(proxy, "tok", receive_buffer=65536)
            rfb.login(sock)
            sock.write(b"\1")
            self.wait_standstill(sent)
            stood = sent[0]
            self.assertLess(stood, 32 * MEGABYTE)         # what kernels and buffers take
            if not daemon.is_sanitized():
                self.assertLess(proxy.memory() - before, 2 * MEGABYTE)
            idle = proxy.cpu()
            self.assert_no_bytes(sent, 1.0)
            self.assertLess(proxy.cpu() - idle, 0.2, "busy while nothing moves")
            for _ in range(2000):                         # and it goes on where it stopped
                sock.read(65536)
            self.assertGreater(sent[0], stood + 50 * MEGABYTE)

    def wait_standstill(self, counter):
        while True:
            seen = counter[0]
            if seen and self.same_for(counter, seen, 0.5):
                return

    def same_for(self, counter, seen, seconds):
        """Time itself is what this waits for."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if counter[0] != seen:
                return False
            time.sleep(0.02)
        return True

    def assert_no_bytes(self, counter, seconds):
        self.assertTrue(self.same_for(counter, counter[0], seconds), "the sender was let on")

    def test_write_timeout(self):
        """The close cannot be written either: the session ends all the same, and soon."""
        with fakes.Server(self.endless) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True, write_timeout="2")
            begin = time.monotonic()
            sock = self.websocket(proxy, "tok", receive_buffer=65536)
            rfb.login(sock)
            sock.write(b"\1")
            proxy.wait_line(r"session \d+ ended.* 4408 ", timeout=15)
            self.assertGreater(time.monotonic() - begin, 1.9)

    def endless(self, stream):
        fakes.plain_login(stream)
        while True:
            stream.write(bytes(65536))

    def test_slow_reader_is_no_stalled_one(self):
        """Whoever takes a little all the time stays, however much is waiting for him."""
        with fakes.Server(self.endless) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True, write_timeout="2", keepalive="1")
            sock = self.websocket(proxy, "tok", receive_buffer=65536)
            rfb.login(sock)
            sock.write(b"\1")
            deadline = time.monotonic() + 7
            while time.monotonic() < deadline:
                sock.read(65536)
                time.sleep(0.05)
            self.assertEqual(proxy.running_sessions(), 1)


class Tail(case.Case):
    """What the console said last reaches a client that is slow to read it, and the close frame behind it."""
    PAUSE = 5                 # longer than a client may take to answer a close frame
    STEP = 40000              # less than the proxy's buffer, which is to hold the end of one of them

    def test_slow_readers(self):
        """How much the kernel takes is its own matter: with these lengths some ends lie with the proxy."""
        lengths = range(int(2.4 * MEGABYTE), int(3.2 * MEGABYTE), self.STEP)
        servers = [fakes.Server(self.flood_and_leave(length)) for length in lengths]
        for server in servers:
            self.addCleanup(server.close)
        proxy = self.start_daemon({f"tok{i}": vnc(server.address, insecure=True)
                                   for i, server in enumerate(servers)}, connect_insecure=True)
        socks = [self.begin(proxy, f"tok{i}") for i in range(len(servers))]
        time.sleep(self.PAUSE)
        for sock, length in zip(socks, lengths):
            with self.subTest(length):
                while length > 0:
                    length -= len(sock.read_some())
                self.assertEqual(sock.wait_close(10).code, 1000)

    def flood_and_leave(self, length):
        def handler(stream):
            fakes.plain_login(stream)
            stream.write(b"x" * length)
        return handler

    def begin(self, proxy, token):
        sock = self.websocket(proxy, token, receive_buffer=65536)
        rfb.login(sock)
        sock.write(b"\1")
        sock.read(len(fakes.SERVER_INIT))
        return sock


class Keepalive(case.Case):
    def test_mute_client(self):
        """Two pings unanswered: 4408."""
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True, keepalive="1")
            sock, _ = self.open(proxy, "tok")
            sock.answer_pings = False
            begin = time.monotonic()
            close = sock.wait_close(10)
            seconds = time.monotonic() - begin
            self.assertEqual(close.code, 4408)
            self.assert_plain(close.reason)
            self.assertEqual(sock.pings, 2)
            self.assertTrue(1.5 < seconds < 5, seconds)

    def test_answering_client_stays(self):
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True, keepalive="1")
            sock, _ = self.open(proxy, "tok")
            with self.assertRaises(TimeoutError):
                sock.wait_close(5)
            self.assertGreaterEqual(sock.pings, 3)
            sock.sock.settimeout(30)
            self.assertEqual(sock.close().code, 1000)

    def test_mute_connection(self):
        """The peer's machine is gone: no FIN, nothing read, nothing answered."""
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True, keepalive="1")
            sock, _ = self.open(proxy, "tok")
            proxy.wait_line(r"session \d+ ended", timeout=10)
            proxy.wait_idle()
            sock.drop()

    def test_client_that_we_paused(self):
        """The console reads nothing, so we read nothing of the client: its pongs wait with us."""
        go_on = threading.Event()

        def deaf(stream):
            fakes.plain_login(stream)
            go_on.wait(120)
            fakes.drain(stream)
        with fakes.Server(deaf) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)},
                                      connect_insecure=True, keepalive="1")
            sock, _ = self.open(proxy, "tok")
            before = proxy.memory()
            taken = self.fill(sock)
            self.assertLess(taken, 32 * MEGABYTE)
            if not daemon.is_sanitized():
                self.assertLess(proxy.memory() - before, 2 * MEGABYTE)
            with self.assertRaises(TimeoutError):
                proxy.wait_line(r"session \d+ ended", timeout=6)
            go_on.set()
            sock.sock.settimeout(30)
            self.finish(sock)

    def fill(self, sock):
        """Sends cut text until nothing more is taken; how many bytes were."""
        chunk = ws.encode_frame(b"\6\0\0\0\0\1\0\0" + b"x" * 65536)
        plain = sock.sock
        plain.settimeout(1)
        sent = 0
        try:
            while True:
                plain.sendall(chunk)
                sent += len(chunk)
        except TimeoutError:
            return sent

    def finish(self, sock):
        """How much of the last frame went is not known: only that the connection lives is."""
        frame = sock.receive_frame()
        self.assertEqual(frame.opcode, ws.PING)
        sock.drop()

    def test_frozen_guest_is_no_mute_client(self):
        vm = self.start_guest()
        proxy = self.start_daemon({"tok": vnc(vm.address)}, keepalive="1")
        sock, client = self.open(proxy, "tok")
        before = client.update()
        vm.freeze()
        client.request(incremental=True)
        with self.assertRaises(TimeoutError):
            sock.wait_close(5)
        vm.thaw()
        sock.sock.settimeout(30)
        client.type("f")
        self.assertEqual(client.wait_change(before), vm.screendump())
        sock.close()


class Breaks(case.Case):
    """Reset or closed at every byte of every handshake: nothing stays behind."""

    def start(self, address, **service):
        self.proxy = self.start_daemon({"tok": vnc(address, **service)}, connect_insecure=True,
                                       max_sessions_per_token="0")

    def nothing_stays(self, what):
        """Does it once to warm up, then again: descriptors and sessions as before."""
        what()
        self.proxy.wait_idle()
        with self.proxy.connect() as sock:
            rawhttp.exchange(sock, rawhttp.request_bytes("/healthz", [("Connection", "close")]))
        before = self.proxy.descriptors()
        what()
        self.proxy.wait_idle()
        wait_until(lambda: self.proxy.descriptors() <= before, "descriptors freed")
        self.assertEqual(self.proxy.request("/healthz").status, 200)

    def test_client_amid_its_request(self):
        self.start("127.0.0.1:1")
        request = ws.upgrade_request("/websockify?token=tok")

        def every_byte():
            for count in range(0, len(request), 3):
                for end in (rawhttp.reset, lambda sock: sock.close()):
                    sock = self.proxy.connect()
                    sock.sendall(request[:count])
                    end(sock)
        self.nothing_stays(every_byte)

    def test_client_amid_tls(self):
        """The bytes of a real ClientHello, cut off everywhere."""
        self.start("127.0.0.1:1")
        hello = client_hello(self.proxy)

        def every_byte():
            for count in range(0, len(hello), 5):
                for end in (rawhttp.reset, lambda sock: sock.close()):
                    sock = self.proxy.connect(tls=None)
                    sock.sendall(hello[:count])
                    end(sock)
        self.nothing_stays(every_byte)

    def test_client_amid_rfb(self):
        server = fakes.Server(fakes.vencrypt_login(fakes.server_tls(self.certs.qemu_dir())))
        self.addCleanup(server.close)
        self.start(server.address)
        data = rfb.VERSIONS["3.8"] + b"\1\1"

        def every_byte():
            for count in range(len(data) + 1):
                for end in ("reset", "drop"):
                    sock = self.proxy.websocket("tok")
                    sock.write(data[:count])
                    getattr(sock, end)()
                    sock = self.proxy.websocket("tok")
                    for byte in data[:count]:
                        sock.write(bytes([byte]))
                    getattr(sock, end)()
        self.nothing_stays(every_byte)

    def test_client_after_what_it_has_read(self):
        """Each step of the login once waited for, then cut."""
        server = fakes.Server(fakes.vencrypt_login(fakes.server_tls(self.certs.qemu_dir())))
        self.addCleanup(server.close)
        self.start(server.address)
        steps = ((0, b""), (12, rfb.VERSIONS["3.8"]), (2, b"\1"), (4, b"\1"),
                 (len(fakes.SERVER_INIT), b"\4\1\0\0"))

        def every_step():
            for count in range(1, len(steps) + 1):
                for end in ("reset", "drop"):
                    sock = self.proxy.websocket("tok")
                    for read, write in steps[:count]:
                        sock.read(read)
                        sock.write(write)
                    getattr(sock, end)()
        self.nothing_stays(every_step)

    def hypervisor(self, parts, end):
        """A server that ends after every byte of parts, (bytes, length of the answer)."""
        state = {"cut": 0}

        def handler(stream):
            left = state["cut"]
            for data, answer in parts:
                stream.write(data[:left])
                left -= len(data)
                if left <= 0:
                    break
                stream.read(answer)
            end(stream.sock)
        server = fakes.Server(handler)
        self.addCleanup(server.close)
        return server, state

    def broken_hypervisor(self, parts, code=4502, **service):
        for end in (rawhttp.reset, lambda sock: sock.close()):
            server, state = self.hypervisor(parts, end)
            self.start(server.address, **service)

            def every_byte():
                for cut in range(sum(len(data) for data, _ in parts)):
                    state["cut"] = cut
                    self.assertEqual(self.outcome(self.proxy, "tok").code, code, cut)
            self.nothing_stays(every_byte)

    def test_hypervisor_amid_vencrypt(self):
        self.broken_hypervisor([(rfb.VERSIONS["3.8"], 12), (b"\1\x13", 1), (b"\0\2", 2),
                                (b"\0\1\0\0\1\4", 4), (b"\1", 0), (b"\x16\3\3\0\x7a\2\0", 0)])

    def test_hypervisor_amid_a_password(self):
        self.broken_hypervisor([(rfb.VERSIONS["3.8"], 12), (b"\1\2", 1), (b"x" * 16, 16),
                                (b"\0\0\0\0", 0)], insecure=True, password="pw")

    def test_hypervisor_amid_its_refusal(self):
        self.broken_hypervisor([(rfb.VERSIONS["3.8"], 12), (b"\0\0\0\0\x0aGo away!!!", 0)])

    def test_running_session_reset_by_the_hypervisor(self):
        def handler(stream):
            fakes.plain_login(stream)
            stream.write(b"x" * 100000)
            rawhttp.reset(stream.sock)
        server = fakes.Server(handler)
        self.addCleanup(server.close)
        self.start(server.address, insecure=True)

        def some():
            for _ in range(10):
                sock = self.websocket(self.proxy, "tok")
                rfb.login(sock)
                sock.write(b"\1")
                self.assertEqual(sock.wait_close().code, 1000)
                sock.drop()
        self.nothing_stays(some)


def client_hello(proxy):
    """What a TLS client says first."""

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = proxy.tls_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


if __name__ == "__main__":
    tap.main()
