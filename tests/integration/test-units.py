#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd's units: what systemd's tools say of them, and the daemons with what the units leave them."""
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, confine, daemon, fakes, program, resolverd, tap
from lab.case import vnc

TESTS = pathlib.Path(__file__).resolve().parents[1]
TOP = TESTS.parent
BUILT = pathlib.Path(os.environ["VC_BUILD_DIR"]) / "systemd"
DAEMONS = {"virtconsoleproxyd": "VCP_BINARY", "virtconsoleresolverd": "VCR_BINARY"}
MAX_EXPOSURE = {"virtconsoleproxyd": 2.0, "virtconsoleresolverd": 5.0}
SHOWN = {"RootDirectory=/RootImage=": "RootDirectory="}        # name of the tool -> of the unit


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False, timeout=120)


def service(name):
    return BUILT / f"{name}.service"


def socket_unit(name):
    return TOP / "systemd" / f"{name}.socket"


class Units(case.Case):
    def test_systemd_accepts_them(self):
        """Users, paths of programs and man pages are not of this machine."""
        for name, variable in DAEMONS.items():
            directory = pathlib.Path(case.new_directory("units"))
            text = re.sub(r"^ExecStart=\S+", f"ExecStart={program.path_from(variable)}",
                          service(name).read_text(), flags=re.MULTILINE)
            (directory / f"{name}.service").write_text(text)
            (directory / f"{name}.socket").write_text(socket_unit(name).read_text())
            for kind in ("service", "socket"):
                with self.subTest(name, kind=kind):
                    done = run("systemd-analyze", "verify", "--man=no", str(directory / f"{name}.{kind}"))
                    self.assertEqual([line for line in done.stderr.splitlines() if name in line], [])
                    self.assertEqual(done.returncode, 0, done.stderr)

    def test_exposure(self):
        for name, limit in MAX_EXPOSURE.items():
            with self.subTest(name):
                done = run("systemd-analyze", "security", "--offline=yes", "--no-pager",
                           f"--threshold={int(limit * 10) - 1}", str(service(name)))
                level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
                self.assertIsNotNone(level, done.stdout + done.stderr)
                self.assertLess(float(level[1]), limit)
                self.assertEqual(done.returncode, 0)

    def test_what_is_not_restricted_is_explained(self):
        for name in DAEMONS:
            done = run("systemd-analyze", "security", "--offline=yes", "--json=short", str(service(name)))
            comments = "\n".join(re.findall(r"^# .*", service(name).read_text(), re.MULTILINE))
            rows = [row for row in json.loads(done.stdout) if row["set"] is False and float(row["exposure"] or 0) > 0]
            self.assertGreater(len(rows), 3)
            for row in rows:
                setting = SHOWN.get(row["name"], re.match(r"\w+=", row["name"])[0])
                with self.subTest(name, setting=row["name"]):
                    if "SystemCallFilter" in setting:
                        self.assertIn(row["name"].split("~")[1], comments)
                    else:
                        self.assertIn(setting, comments)

    def test_ports(self):
        """The socket unit's is the daemon's default."""
        for name, variable in DAEMONS.items():
            shown = program.run(program.path_from(variable), "--help").stdout
            default = re.search(r"--listen-addr.*\((\S+)\)$", shown, re.MULTILINE)[1]
            with self.subTest(name):
                self.assertEqual(confine.settings(socket_unit(name))["ListenStream"], [default])

    def test_flags(self):
        for name, variable in DAEMONS.items():
            shown = program.run(program.path_from(variable), "--help").stdout
            path, *flags = confine.settings(service(name))["ExecStart"][0].split()
            self.assertTrue(path.endswith(f"/sbin/{name}"), path)
            for flag in flags:
                with self.subTest(name, flag=flag):
                    self.assertIn(f" {flag.split('=')[0]}", shown)

    def test_polkit_rules(self):
        """The example grants what the manual page lists."""
        page = (TOP / "docs/man/virtconsoleresolverd.8.rst").read_text()
        rules = (TOP / "systemd/50-virtconsoleresolver.rules").read_text()
        listed = re.findall(r"^    (org\.libvirt\.api\.\S+)$", page, re.MULTILINE)
        self.assertEqual(re.findall(r'"(org\.libvirt\.api\.[\w.-]+)"', rules), listed)

    def test_users_and_directories(self):
        """systemd's tools, in a root of their own."""
        if os.geteuid() != 0:
            self.skipTest("only root may make files of other users")
        root = pathlib.Path(case.new_directory("root"))
        (root / "etc").mkdir()
        users = [str(TOP / "systemd" / f"virtconsole{name}.sysusers") for name in ("proxy", "resolver")]
        done = run("systemd-sysusers", f"--root={root}", *users)
        self.assertEqual(done.returncode, 0, done.stderr)
        passwd, group = (root / "etc/passwd").read_text(), (root / "etc/group").read_text()
        for name in ("virtconsoleproxy", "virtconsoleresolver"):
            self.assertRegex(passwd, rf"(?m)^{name}:x:\d+:\d+:[\w ]+:/var/lib/{name}:/usr/sbin/nologin$")
            self.assertRegex(group, rf"(?m)^{name}:x:")
        self.assertRegex(group, r"(?m)^libvirt:x:\d+:virtconsoleresolver$")
        self.assertNotRegex(group, r"(?m)^\w+:x:\d+:.*virtconsoleproxy")

        directories = [str(TOP / "systemd" / f"virtconsole{name}.tmpfiles") for name in ("proxy", "resolver")]
        done = run("systemd-tmpfiles", f"--root={root}", "--create", *directories)
        self.assertEqual(done.returncode, 0, done.stderr)
        tokens = (root / "etc/libvirt/consoleproxy").stat()
        gid = int(re.search(r"(?m)^virtconsoleproxy:x:(\d+):", group)[1])
        self.assertEqual((tokens.st_mode & 0o7777, tokens.st_uid, tokens.st_gid), (0o750, 0, gid))
        self.assertEqual((root / "etc/pki/libvirt-console-proxy").stat().st_mode & 0o7777, 0o755)


class Confined(case.Case):
    """With the unit's filters, and without capabilities, the daemons do all that they should."""

    def confined(self, name):
        """A program that is the daemon so."""
        path = pathlib.Path(case.new_directory("confined")) / name
        path.write_text("#!/bin/sh\n"
                        f"exec /usr/bin/python3 -B '{TESTS}/lab/confine.py' '{service(name)}' "
                        f"'{program.path_from(DAEMONS[name])}' \"$@\"\n")
        path.chmod(0o755)
        variable, real = DAEMONS[name], os.environ[DAEMONS[name]]
        os.environ[variable] = str(path)
        self.addCleanup(os.environ.__setitem__, variable, real)

    def assert_is_confined(self, one):
        status = dict(re.findall(r"^(\w+):\t(.*)$", pathlib.Path(f"/proc/{one.process.pid}/status").read_text(),
                                 re.MULTILINE))
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
        self.assertEqual(int(status["CapEff"], 16), 0)

    def test_proxy(self):
        if daemon.is_sanitized():
            self.skipTest("a sanitizer needs what the unit forbids")
        self.confined("virtconsoleproxyd")
        path = os.path.join(case.new_directory("front"), "front.sock")
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)}, connect_insecure=True,
                                      web_dir=str(TOP / "web"), listen_addr=["127.0.0.1:0", f"unix:{path}"])
            self.assert_is_confined(proxy)
            self.open(proxy, "tok")
            self.assertEqual(proxy.request("/console.html").status, 200)
            proxy.reload()
            proxy.wait_line("reloaded")
        vm = self.start_guest()
        proxy = self.start_daemon({"tok": vnc(vm.address)})
        self.assert_serves(proxy, "tok", vm)

    def test_resolver(self):
        if program.is_sanitized(resolverd.program()):
            self.skipTest("a sanitizer needs what the unit forbids")
        libvirt = self.start_libvirtd()
        libvirt.define("demo", vnc=True)
        (console,) = resolverd.grant(libvirt, "demo", [resolverd.Console("vnc")])
        libvirt.start_guest("demo")
        self.confined("virtconsoleresolverd")
        resolver = self.start_resolver(libvirt)
        self.assert_is_confined(resolver)
        resolver.wait_status(console.token, 200)


if __name__ == "__main__":
    tap.main()
