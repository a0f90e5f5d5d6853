#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""spice-gtk through the proxy, with a bridge from TCP to websockets between them."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import bridge, case, tap

PROGRAM = str(pathlib.Path(__file__).resolve().parents[1] / "lab" / "gtkclient.py")
SCANCODE_A = 0x1e
PASSWORD = "CANARYsecret"


class Gtk:
    def __init__(self, port, password=None):
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, PROGRAM, str(port),
             *([password] if password else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            bufsize=1, env={**os.environ, "HOME": case.new_directory("home")})
        self.lines = []

    def wait(self, *wanted):
        """Reads lines until all of wanted have come."""
        missing = set(wanted) - set(self.lines)
        while missing:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"{missing} never came, but {self.lines}")
            self.lines.append(line.strip())
            missing.discard(self.lines[-1])

    def press(self, scancode):
        self.process.stdin.write(f"{scancode}\n")

    def end(self):
        self.process.stdin.close()
        self.wait("closed")
        self.process.wait()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class SpiceGtk(case.Case):
    def start(self, **fields):
        self.vm = self.start_guest(spice="tls", spice_password=PASSWORD)
        self.proxy = self.start_daemon({"t": {
            "type": "spice", "address": f"localhost:{self.vm.spice_port}", "singleUse": True,
            **fields}})
        self.bridge = bridge.Bridge(self.proxy, "t")
        self.addCleanup(self.bridge.stop)

    def client(self, password=None):
        one = Gtk(self.bridge.port, password)
        self.addCleanup(one.stop)
        return one

    def check_session(self, client):
        client.wait("open 1 0", "open 2 0", "open 3 0", "open 4 0", "screen 720 400")
        client.press(SCANCODE_A)
        self.vm.expect_serial(b"Ka")
        self.assertEqual(self.bridge.connections, 4)
        self.assertEqual([line for line in client.lines if line.startswith("error")], [])

    def test_single_use_with_the_proxys_password(self):
        self.start(password=PASSWORD)
        client = self.client()
        self.check_session(client)
        # a second one does not get in, and the first goes on
        other = self.client()
        other.wait("closed")
        self.assertTrue(any(line.startswith("error 1 0") for line in other.lines), other.lines)
        client.press(SCANCODE_A)
        self.vm.expect_serial(b"Ka")
        client.end()
        self.proxy.wait_idle()
        replay = self.client()
        replay.wait("closed")
        self.assertTrue(any(line.startswith("error 1 0") for line in replay.lines), replay.lines)
        self.assertNotIn("CANARY", self.proxy.log())

    def test_clients_own_password(self):
        self.start()
        client = self.client(PASSWORD)
        self.check_session(client)
        client.end()

    def test_guest_killed(self):
        self.start(password=PASSWORD)
        client = self.client()
        self.check_session(client)
        self.vm.kill()
        client.wait("closed")
        self.proxy.wait_idle()


if __name__ == "__main__":
    tap.main()
