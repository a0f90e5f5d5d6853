#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Serial consoles that print without end, and what that costs the proxy and the others."""
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, guest, tap
from lab.case import serial

ECHOES = 200
P95 = 0.05                # seconds
MEMORY = 2 << 20
SMALL = 1000
GATHERED = 0.005          # seconds for which small pieces wait for more
BLOCK = b"." * 65536


class Flood(case.Case):
    def start(self, tokens, **flags):
        self.proxy = self.start_daemon(tokens, connect_insecure=True, **flags)

    def echo_times(self, sock, count):
        times = []
        for i in range(count):
            begin = time.monotonic()
            sock.write(b"%d" % (i % 10))
            self.assertEqual(sock.read(1), b"%d" % (i % 10))
            times.append(time.monotonic() - begin)
        return sorted(times)

    def measure(self, reader, other):
        """Echoes on `other` while a thread reads `reader`; p95 in seconds, and bytes read."""
        stop = threading.Event()
        count = [0]

        def read():
            while not stop.is_set():
                count[0] += len(reader.read_some())

        thread = threading.Thread(target=read)
        thread.start()
        try:
            times = self.echo_times(other, ECHOES)
        finally:
            stop.set()
            thread.join()
        return times[int(ECHOES * 0.95)], count[0]

    def test_guest_that_prints_without_end(self):
        loud, quiet = self.start_guest(serial="tls raw"), self.start_guest(serial="tls raw")
        self.start({"loud": serial(loud.serial_address), "quiet": serial(quiet.serial_address)}, workers="1")
        sock, other = self.websocket(self.proxy, "loud"), self.websocket(self.proxy, "quiet")
        self.assertEqual(len(self.echo_times(other, 1)), 1)
        sock.write(guest.FLOOD_ENDLESS)
        sock.read(50000)
        before, frames = self.proxy.memory(), sock.frames
        p95, count = self.measure(sock, other)
        tap.diagnose(f"QEMU: {count} bytes in {sock.frames - frames} frames, p95 of an echo {p95 * 1000:.1f} ms")
        self.assertLess(p95, P95)
        self.assertGreater(count, (sock.frames - frames) * 4, "single bytes are not gathered")
        if not self.sanitized():
            self.assertLess(self.proxy.memory() - before, MEMORY)
        sock.write(b" ")
        data = b""
        while not data.endswith(guest.BANNER):
            data = (data + sock.read_some())[-100:]

    def test_as_fast_as_it_can(self):
        def handler(stream):
            while True:
                stream.write(BLOCK)

        quiet = self.start_guest(serial="tls raw")
        with fakes.Server(handler) as server:
            self.start({"loud": serial(server.address, insecure=True),
                        "quiet": serial(quiet.serial_address)}, workers="1")
            sock, other = self.websocket(self.proxy, "loud"), self.websocket(self.proxy, "quiet")
            self.echo_times(other, 1)
            sock.read(1 << 20)
            begin = time.monotonic()
            p95, count = self.measure(sock, other)
            rate = count / (time.monotonic() - begin) / 1e6
            tap.diagnose(f"fake: {rate:.0f} MB/s, p95 of an echo {p95 * 1000:.1f} ms")
            self.assertLess(p95, P95)

    def test_single_bytes_are_gathered(self):
        """One at a time, as a slow line has them: a frame for each few milliseconds, none for each byte."""
        took = []

        def handler(stream):
            begin = time.monotonic()
            for _ in range(SMALL):
                stream.write(b".")
                time.sleep(0.001)        # the line's own pace
            took.append(time.monotonic() - begin)

        with fakes.Server(handler) as server:
            self.start({"tok": serial(server.address, insecure=True)})
            sock = self.websocket(self.proxy, "tok")
            sock.read(SMALL)
            sock.wait_close()
        tap.diagnose(f"{SMALL} bytes within {took[0]:.2f} s in {sock.frames} frames")
        self.assertLess(sock.frames, took[0] / GATHERED * 1.2 + 20)

    def test_nobody_reads(self):
        """A browser that does not read, and a console that prints: bounded, and it ends well."""
        written = [0, -1]

        def handler(stream):
            while True:
                stream.write(BLOCK)
                written[0] += len(BLOCK)

        def is_stalled():
            stalled = written[0] == written[1] > 0
            written[1] = written[0]
            time.sleep(0.2)              # nothing tells that a socket goes on being full
            return stalled

        with fakes.Server(handler) as server:
            self.start({"loud": serial(server.address, insecure=True)})
            before = self.proxy.memory()
            sock = self.websocket(self.proxy, "loud", receive_buffer=4096)
            guest.wait_until(is_stalled, "a server that has to wait")
            if not self.sanitized():
                self.assertLess(self.proxy.memory() - before, MEMORY)
            self.assertEqual(sock.read(1 << 20), b"." * (1 << 20))

    def test_paste_into_tls_is_fair(self):
        """64 KiB one byte a record, and somebody else types meanwhile."""
        one, two = self.start_guest(serial="tls raw"), self.start_guest(serial="tls raw")
        self.start({"one": serial(one.serial_address), "two": serial(two.serial_address)}, workers="1")
        sock, other = self.websocket(self.proxy, "one"), self.websocket(self.proxy, "two")
        self.echo_times(other, 1)
        begin = self.proxy.cpu()
        sock.write(b"p" * 32768)
        p95, _ = self.measure(sock, other)
        tap.diagnose(f"paste: p95 of an echo {p95 * 1000:.1f} ms, CPU {self.proxy.cpu() - begin:.2f} s")
        self.assertLess(p95, P95)

    def test_small_messages(self):
        """For the figures: CPU time for 1000 keys and their echoes."""
        vm = self.start_guest(serial="tls raw")
        self.start({"tok": serial(vm.serial_address)})
        sock = self.websocket(self.proxy, "tok")
        self.echo_times(sock, 10)
        frames, begin = sock.frames, self.proxy.cpu()
        times = self.echo_times(sock, SMALL)
        tap.diagnose(f"{SMALL} keys: CPU {self.proxy.cpu() - begin:.2f} s, median {times[SMALL // 2] * 1000:.2f} ms")
        self.assertEqual(sock.frames - frames, SMALL)

    def sanitized(self):
        return daemon.is_sanitized()


if __name__ == "__main__":
    tap.main()
