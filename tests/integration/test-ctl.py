#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virtconsoleproxyctl against a real proxy."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
from lab import case, fakes, program, rawhttp, tap, ws
from lab.case import vnc

TOKEN = "CANARY-token-8813"
HEAD = ["ID", "TYPE", "STATE", "TOKEN", "CLIENT", "CONSOLE", "SINCE", "IN", "OUT"]


def binary():
    return program.path_from("VCP_CTL_BINARY")


class CtlCase(case.Case):
    def setUp(self):
        self.server = self.enterContext(fakes.Server(fakes.hold))

    def start(self, **flags):
        return self.start_daemon({TOKEN: vnc(self.server.address, insecure=True)}, connect_insecure=True, **flags)

    def run_ctl(self, proxy, *arguments):
        done = program.run(binary(), "-s", proxy.admin_path, *arguments)
        self.assertNotIn(TOKEN, done.stdout + done.stderr)
        return done

    def done(self, proxy, *arguments):
        done = self.run_ctl(proxy, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def fails(self, proxy, status, *arguments):
        done = self.run_ctl(proxy, *arguments)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertTrue(done.stderr.startswith("virtconsoleproxyctl: "))
        return done.stderr


class Show(CtlCase):
    def test_status(self):
        proxy = self.start()
        sock, _ = self.open(proxy, TOKEN)
        text = self.done(proxy, "status")
        self.assertRegex(text, r"(?m)^state +ready$")
        self.assertRegex(text, r"(?m)^sessions +1 now, 1 started, 0 ended$")
        self.assertEqual(json.loads(self.done(proxy, "status", "--json"))["sessions"], proxy.status()["sessions"])
        self.done(proxy, "drain", "--timeout=600")
        self.assertRegex(self.done(proxy, "status"), r"(?m)^state +draining$")
        sock.close()
        self.assertEqual(proxy.process.wait(30), 0)

    def test_sessions(self):
        proxy = self.start()
        socks = [self.open(proxy, TOKEN)[0] for _ in range(3)]
        head, *rows = [line.split() for line in self.done(proxy, "sessions").splitlines()]
        self.assertEqual(head, HEAD)
        self.assertEqual([row[0] for row in rows], ["1", "2", "3"])
        for row, sock in zip(rows, socks):
            self.assertEqual(row[1:3], ["vnc", "spliced"])
            self.assertEqual(row[4:6], ["%s:%u" % sock.sock.getsockname()[:2], self.server.address])
            self.assertRegex(row[6], r"^\d+s$")
            self.assertEqual(len(row), len(HEAD))
        self.assertEqual(json.loads(self.done(proxy, "sessions", "--json")), proxy.status()["sessions"])

    def test_no_sessions(self):
        proxy = self.start()
        self.assertEqual(self.done(proxy, "sessions").split(), HEAD)
        self.assertEqual(json.loads(self.done(proxy, "sessions", "--json")), [])

    def test_nothing_for_the_terminal(self):
        """A client on a unix socket names itself; a terminal must not obey that."""
        directory = case.new_directory("evil")
        proxy = self.start(listen_addr=f"unix:{directory}/s", listen_insecure=True)
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind(f"{directory}/\x1b[2J\x1b[31m\nroot")
        sock.settimeout(30)
        sock.connect(f"{directory}/s")
        key = ws.new_key()
        response = rawhttp.exchange(sock, ws.upgrade_request(f"/websockify?token={TOKEN}", key=key))
        self.assertEqual(response.status, 101)
        proxy.wait_line("session 1 started")
        text = self.done(proxy, "sessions")
        self.assertNotIn("\x1b", text)
        self.assertEqual(len(text.splitlines()), 2)
        self.assertIn("?[2J?[31m?root", text)

    def test_watch(self):
        proxy = self.start()
        self.open(proxy, TOKEN)
        with subprocess.Popen([binary(), "-s", proxy.admin_path, "sessions", "--watch", "--json"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as watch:
            decoder, text, seen = json.JSONDecoder(), "", 0
            while seen < 2:
                text += watch.stdout.readline()
                try:
                    value, end = decoder.raw_decode(text.lstrip())
                except json.JSONDecodeError:
                    continue
                self.assertEqual([one["id"] for one in value], [1])
                text, seen = text.lstrip()[end:], seen + 1
            watch.send_signal(signal.SIGINT)
            self.assertEqual(watch.wait(30), -signal.SIGINT)

    def test_watch_ends_with_the_proxy(self):
        proxy = self.start()
        with subprocess.Popen([binary(), "-s", proxy.admin_path, "sessions", "--watch"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
            self.assertEqual(watch.stdout.readline().split(), HEAD)
            proxy.stop()
            self.assertEqual(watch.wait(30), 1)
            self.assertIn("no proxy answers", watch.stderr.read())


class Control(CtlCase):
    def test_kill(self):
        proxy = self.start()
        socks = [self.open(proxy, TOKEN)[0] for _ in range(3)]
        self.assertEqual(self.done(proxy, "kill", "1", "3"), "")
        for sock in (socks[0], socks[2]):
            self.assertEqual(sock.wait_close(10).code, 1008)
        proxy.wait_line("session 1 ended")
        proxy.wait_line("session 3 ended")
        self.assertIn("session 3: there is no such session", self.fails(proxy, 3, "kill", "3"))
        self.fails(proxy, 3, "kill", "3", "2")
        self.assertEqual(socks[1].wait_close(10).code, 1008)
        self.fails(proxy, 3, "kill", "../status")

    def test_drain(self):
        proxy = self.start()
        sock, _ = self.open(proxy, TOKEN)
        self.assertIn("whole number", self.fails(proxy, 1, "drain", "--timeout=soon"))
        self.assertEqual(self.done(proxy, "drain", "--timeout", "600"), "")
        self.assertEqual(proxy.request("/readyz").status, 503)
        self.assertEqual(self.done(proxy, "drain", "--timeout=0"), "")
        self.assertEqual(sock.wait_close(30).code, 1001)
        self.assertEqual(proxy.process.wait(30), 0)

    def test_nobody_there(self):
        path = os.path.join(case.new_directory("nobody"), "s")
        for command in (["status"], ["sessions"], ["kill", "1"], ["drain"]):
            done = program.run(binary(), "-s", path, *command)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(path, done.stderr)

    def test_usage(self):
        for arguments in ([], ["frobnicate"], ["kill"], ["status", "x"], ["drain", "1"], ["--nonsense"],
                          ["sessions", "--interval=0"], ["status", "--watch"]):
            with self.subTest(arguments):
                self.assertEqual(program.run(binary(), *arguments).returncode, 2)
        self.assertRegex(program.run(binary(), "--version").stdout, r"^virtconsoleproxyctl \d")


class Completion(CtlCase):
    def offers(self, line):
        line = line.replace("ctl", binary(), 1)
        script = '. "$1"; COMP_LINE=$2; COMP_POINT=${#2}; _virtconsoleproxyctl; printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-euc", script, "bash", str(TESTS.parent / "completion/virtconsoleproxyctl"),
                               line], stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []

    def help_flags(self, *command):
        return set(re.findall(r"^  (?:-\w, )?(--[\w-]+=?)", program.run(binary(), *command, "--help").stdout,
                              re.MULTILINE))

    def test_commands_and_flags(self):
        self.assertEqual(self.offers("ctl "), ["status", "sessions", "kill", "drain"])
        self.assertEqual(set(self.offers("ctl -")), self.help_flags())
        for command in self.offers("ctl "):
            with self.subTest(command):
                self.assertEqual(set(self.offers(f"ctl {command} -")), self.help_flags(command))

    def test_numbers(self):
        proxy = self.start()
        for _ in range(2):
            self.open(proxy, TOKEN)
        self.assertEqual(self.offers(f"ctl -s {proxy.admin_path} kill "), ["1", "2"])
        self.assertEqual(self.offers(f"ctl kill --socket={proxy.admin_path} 2"), ["2"])
        self.assertEqual(self.offers("ctl -s /nonexistent kill "), [])


if __name__ == "__main__":
    tap.main()
