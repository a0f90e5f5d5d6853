#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virtconsoleresolveradm, killed before each step that changes anything and after the last: nothing that
matters is left, and the next run repairs the rest."""
import os
import pathlib
import re
import shutil
import sys
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
from lab import adm, case, tap  # noqa: E402
from lab.adm import AdmCase  # noqa: E402
from lab.libvirtd import Tcp  # noqa: E402

# remote_protocol.x: the calls that change something
CHANGES = {142: "define", 144: "set value", 146: "undefine", 264: "set metadata"}
REMOTE_PROGRAM = bytes.fromhex("20008086")


class Killed(AdmCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("strace"):
            raise unittest.SkipTest("no strace on this machine")
        super().setUpClass()
        cls.name = "victim"
        cls.daemon.define(cls.name, vnc=True, serials=[Tcp(cls.daemon.free_port())])
        cls.daemon.start_guest(cls.name)

    def calls(self, command):
        """Runs it -> (number of the write, call) for each call to libvirtd that it makes."""
        path = os.path.join(case.new_directory("strace"), "trace")
        ran = self.adm(command, self.name, wrapper=["strace", "-o", path, "-e", "trace=write", "-xx", "-s", "16"])
        self.assertEqual(ran.returncode, 0, ran.stderr)
        with open(path, encoding="ascii") as trace:
            heads = [bytes.fromhex(text.replace("\\x", ""))
                     for text in re.findall(r'^write\(\d+, "((?:\\x[0-9a-f]{2})*)"', trace.read(), re.MULTILINE)]
        return [(number, int.from_bytes(head[12:16], "big")) for number, head in enumerate(heads, start=1)
                if head[4:8] == REMOTE_PROGRAM]

    def moments(self, command, changes):
        """Numbers of the writes at which to kill it; changes: the calls that it is known to make."""
        calls = self.calls(command)
        at = [index for index, (_, call) in enumerate(calls) if call in CHANGES]
        self.assertEqual([CHANGES[calls[index][1]] for index in at], changes)
        return [calls[index][0] for index in [*at, at[-1] + 1]]

    def kill(self, command, moment):
        ran = self.adm(command, self.name, wrapper=["strace", "-qq", "-o", os.devnull, "-e", "trace=write",
                                                    "-e", f"inject=write:signal=SIGKILL:when={moment}"])
        self.assertEqual(ran.returncode, -9, "it was not killed")

    def again(self, command):
        self.assertEqual(self.adm(command, self.name).returncode, 0)
        check = self.assert_disabled if command == "disable" else self.assert_enabled
        check(self.name, live=True, config=True)

    def check_tokens(self):
        """No entry without its secret, and live as in the configuration."""
        live = self.entries(self.name, live=True)
        self.assertEqual(live, self.entries(self.name))
        for entry in live or []:
            self.assertTrue(self.secrets(self.name)[entry["token"]])

    def kill_everywhere(self, command, changes, prepare, repair):
        """prepare: the command before; repair: what the next run is."""
        self.again(prepare)
        for moment in self.moments(command, changes):
            with self.subTest(command, moment=moment):
                self.again(prepare)
                self.kill(command, moment)
                self.check_tokens()
                self.again(repair)

    def test_enable(self):
        changes = ["define", "set value"] * 2 + ["set metadata"]
        self.kill_everywhere("enable", changes, prepare="disable", repair="enable")

    def test_enable_then_disable(self):
        changes = ["define", "set value"] * 2 + ["set metadata"]
        self.kill_everywhere("enable", changes, prepare="disable", repair="disable")

    def test_disable(self):
        self.kill_everywhere("disable", ["set metadata"] + ["undefine"] * 2, prepare="enable", repair="disable")

    def test_disable_then_enable(self):
        self.kill_everywhere("disable", ["set metadata"] + ["undefine"] * 2, prepare="enable", repair="enable")

    def test_rotate(self):
        self.again("enable")
        before, metadata = self.secrets(self.name), self.entries(self.name)
        for rotated, moment in enumerate(self.moments("rotate", ["set value"] * 2)):
            with self.subTest(moment=moment):
                before = self.secrets(self.name)
                self.kill("rotate", moment)
                after = self.secrets(self.name)
                self.assertEqual(self.entries(self.name), metadata)
                self.assertEqual(set(after), set(before))
                self.assertEqual(len(set(after.values()) - set(before.values())), rotated)


if __name__ == "__main__":
    tap.main()
