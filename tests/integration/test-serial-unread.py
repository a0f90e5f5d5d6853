#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A virtio console of real QEMU that no driver in the guest reads."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, guest, tap
from lab.case import SERIAL_KINDS, serial

ROUNDS = 20


class Unread(case.Case):
    def start(self, kind):
        self.vm = self.start_guest(serial="tls raw", virtio=kind)
        self.proxy = self.start_daemon({
            "tok": serial(self.vm.serial_address),
            "virtio": serial(self.vm.virtio_address, **SERIAL_KINDS[kind])}, connect_insecure=True)
        return self.proxy

    def check_rounds(self, kind):
        self.start(kind)
        for i in range(1, ROUNDS + 1):
            mark = self.proxy.mark()
            sock = self.websocket(self.proxy, "virtio")
            sock.write(b"ten bytes!")
            self.proxy.wait_line("joined after", after=mark)
            guest.wait_until(self.is_connected, f"a connection in QEMU in round {i}")
            if i % 2:
                sock.close()
            else:
                sock.drop()
            self.proxy.wait_line(r"session \d+ ended", after=mark)
        guest.wait_until(lambda: not self.is_connected(), "the end of the last connection")

    def is_connected(self):
        [name] = [one["filename"] for one in self.vm.qmp("query-chardev") if one["label"] == "virtio"]
        return not name.startswith("disconnected:")

    def test_rounds_tls(self):
        self.check_rounds("tls raw")

    def test_rounds_raw(self):
        self.check_rounds("raw")

    def test_rounds_telnet(self):
        self.check_rounds("tls telnet")

    def test_never_read(self):
        self.skip_when_sanitized()
        sock = self.websocket(self.start("raw"), "virtio", timeout=1)
        self.proxy.wait_line("joined after")
        before = self.proxy.memory()
        with self.assertRaises(TimeoutError):
            for _ in range(1000):
                sock.write(bytes(65536))
        self.assertLess(self.proxy.memory() - before, 2 << 20)
        other = self.websocket(self.proxy, "tok")
        other.write(b"x")
        self.assertEqual(other.read(1), b"x")
        sock.reset()
        self.proxy.wait_line("session 1 ended: .* the client has gone")


if __name__ == "__main__":
    tap.main()
