#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What bash offers for the daemons; virtconsoleresolveradm's is tested with the tool."""
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, program, tap

BUILT = pathlib.Path(os.environ["VC_BUILD_DIR"]) / "completion"
DAEMONS = {"virtconsoleproxyd": "VCP_BINARY", "virtconsoleresolverd": "VCR_BINARY"}
SCRIPT = '. "$1"; COMP_LINE=$2; COMP_POINT=${#2}; "_$3"; printf "%s\\n" "${COMPREPLY[@]}"'


class Completion(case.Case):
    def offers(self, name, rest, command=None):
        line = f"{command or program.path_from(DAEMONS[name])} {rest}"
        done = subprocess.run(["bash", "-euc", SCRIPT, "bash", str(BUILT / name), line, name], timeout=60,
                              stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []

    def help_flags(self, name):
        shown = program.run(program.path_from(DAEMONS[name]), "--help").stdout
        return re.findall(r"^  (?:-\w, )?(--[\w-]+=?)", shown, re.MULTILINE)

    def test_flags(self):
        for name in DAEMONS:
            flags = self.help_flags(name)
            self.assertGreater(len(flags), 10)
            for rest in ("", "-", "--log-level=info ", "--version --"):
                with self.subTest(name, rest=rest):
                    self.assertEqual(self.offers(name, rest), flags)
            self.assertEqual(self.offers(name, "--listen-tls-"),
                             [flag for flag in flags if flag.startswith("--listen-tls-")])
            self.assertEqual(self.offers(name, "--no-such"), [])

    def test_values(self):
        levels = ["error", "warning", "message", "info", "debug"]
        for name in DAEMONS:
            with self.subTest(name):
                self.assertEqual(self.offers(name, "--log-level="), levels)
                self.assertEqual(self.offers(name, "--log-level "), levels)
                self.assertEqual(self.offers(name, "--log-level=d"), ["debug"])
                self.assertEqual(self.offers(name, "--listen-addr="), [])
                self.assertEqual(self.offers(name, "--no-such="), [])
        self.assertEqual(self.offers("virtconsoleproxyd", "--resolver-mode e"), ["external"])
        self.assertEqual(self.offers("virtconsoleproxyd", "--token-use="), ["single", "multi"])
        self.assertEqual(self.offers("virtconsoleproxyd", "--listen-min-tls="), ["VersionTLS12", "VersionTLS13"])

    def test_files(self):
        directory = pathlib.Path(case.new_directory("files"))
        (directory / "a.pem").touch()
        (directory / "web").mkdir()
        for name in DAEMONS:
            with self.subTest(name):
                self.assertEqual(sorted(self.offers(name, f"--listen-tls-key={directory}/")),
                                 [f"{directory}/a.pem", f"{directory}/web"])
        self.assertEqual(self.offers("virtconsoleproxyd", f"--web-dir {directory}/"), [f"{directory}/web"])

    def test_program_that_is_not_there(self):
        for name in DAEMONS:
            self.assertEqual(self.offers(name, "--", command="/nonexistent/program"), [])


if __name__ == "__main__":
    tap.main()
