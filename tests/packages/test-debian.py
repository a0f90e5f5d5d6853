#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's packages: built, installed, upgraded and purged in an overlay over this machine's system."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, manager, rawhttp, root, tap

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = {"virtconsoleproxy": "virtconsoleproxyd", "virtconsoleresolver": "virtconsoleresolverd"}
LEFT_BEHIND = re.compile(
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/etc/\.pwd\.lock$|/var/(lib/dpkg|cache|log)/|/run/|/tmp/"
    r"|/(usr/)?bin/systemctl$|/var/lib/man-db/auto-update$|/usr/sbin/policy-rc\.d$|/var/lib/systemd/deb-systemd-helper-")


def run(*command, cwd=None, **variables):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False, timeout=500,
                          cwd=cwd, env={**os.environ, "LC_ALL": "C", **variables})
    if done.returncode != 0:
        raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def copy_tree(target):
    """What git has or would add, else all but what is built."""
    try:
        listed = run("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
                     cwd=TOP).split("\0")
    except (AssertionError, FileNotFoundError):
        shutil.copytree(TOP, target, symlinks=True, ignore=shutil.ignore_patterns(".git", "build*", "__pycache__"))
        return
    for name in filter(None, listed):
        if (TOP / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, target / name)


class Debian(case.Case):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("installing packages needs root")
        lacking = [one for one in ("dpkg-buildpackage", "dh", "lintian", "unshare") if not shutil.which(one)]
        if lacking:
            raise unittest.SkipTest(f"not on this machine: {' '.join(lacking)}")
        cls.files = pathlib.Path(case.new_directory("debian"))
        copy_tree(cls.files / "tree")
        for variable in ("CC", "CFLAGS", "DESTDIR"):
            os.environ.pop(variable, None)
        run("dpkg-buildpackage", "-us", "-uc", "-b", cwd=cls.files / "tree",
            DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=2")
        cls.version = run("dpkg-parsechangelog", "-S", "Version", cwd=cls.files / "tree").strip()
        cls.old = [cls.deb(name) for name in PACKAGES]
        cls.new = [cls.newer(name) for name in PACKAGES]

    @classmethod
    def deb(cls, name):
        (path,) = cls.files.glob(f"{name}_{cls.version}_*.deb")
        return path

    @classmethod
    def newer(cls, name):
        """The same with a later version, and a line more in the configuration file."""
        content = cls.files / f"{name}-newer"
        run("dpkg-deb", "-R", str(cls.deb(name)), str(content))
        control = content / "DEBIAN/control"
        control.write_text(re.sub(r"^Version: .*", rf"Version: {cls.version}+newer", control.read_text(),
                                  flags=re.MULTILINE))
        with open(content / "etc/virtconsoleproxy" / f"{PACKAGES[name]}.conf", "a", encoding="utf-8") as conf:
            conf.write("\n# a newer comment\n")
        target = cls.files / f"{name}-newer.deb"
        run("dpkg-deb", "--root-owner-group", "-b", str(content), str(target))
        return target

    def system(self):
        """With the packages of this test in /mnt."""
        one = root.Root(case.new_directory("root"), str(self.files))
        self.addCleanup(one.__exit__)
        return one

    def install(self, system, debs):
        system.run("dpkg", "-i", "--force-confold", *(f"/mnt/{deb.name}" for deb in debs))

    def test_lintian(self):
        (changes,) = self.files.glob("*.changes")
        self.assertEqual(run("lintian", "--allow-root", str(changes)), "")

    def test_install_and_purge(self):
        system = self.system()
        self.install(system, self.old)
        for package, program in PACKAGES.items():
            with self.subTest(package):
                uid, gid = system.run("getent", "passwd", package).stdout.split(":")[2:4]
                self.assertEqual(system.run("getent", "group", package).stdout.split(":")[2], gid)
                self.assertLess(int(uid), 1000)
                for kind in ("service", "socket"):
                    self.assertTrue(system.path(f"/lib/systemd/system/{program}.{kind}").exists())
                self.assertEqual(system.run(program, "--version").stdout.split()[0], program)
                self.assertEqual(system.run("dpkg-query", "-W", "-f", "${Conffiles}", package).stdout.split()[0],
                                 f"/etc/virtconsoleproxy/{program}.conf")
                self.assertEqual(system.run("dpkg", "--verify", package).stdout, "")
        self.assertEqual([call for call in system.calls() if "start" in call or "enable" in call], [],
                         "there are no certificates yet, nothing must start")
        self.assertEqual(system.path("/etc/libvirt/consoleproxy").stat().st_mode & 0o7777, 0o750)
        for engine in ("novnc/core/rfb.js", "spice-html5/main.js", "xterm/xterm.js", "console.html"):
            self.assertTrue(system.path(f"/usr/share/virtconsoleproxy/web/{engine}").exists(), engine)
        done = system.run("systemd-analyze", "verify", *(f"/lib/systemd/system/{program}.{kind}" for program
                          in PACKAGES.values() for kind in ("service", "socket")), check=False)
        self.assertEqual([line for line in done.stderr.splitlines() if "virtconsole" in line], [])
        self.check_purge(system)

    def check_purge(self, system):
        """Nothing is left of it."""
        for package in PACKAGES:
            state = system.path(f"/var/lib/{package}")
            state.mkdir()
            (state / "state").touch()
        system.calls()
        system.run("dpkg", "--remove", *PACKAGES)
        calls = system.calls()
        for program in PACKAGES.values():
            self.assertIn(f"stop {program}.socket {program}.service", calls)
            self.assertTrue(system.path(f"/etc/virtconsoleproxy/{program}.conf").exists())
        system.run("dpkg", "--purge", *PACKAGES)
        self.assertEqual({path for path in system.changed() if not LEFT_BEHIND.search(path)}, set())
        for place in ("/etc/virtconsoleproxy", "/etc/libvirt/consoleproxy", "/var/lib/virtconsoleproxy",
                      "/var/lib/virtconsoleresolver", "/usr/share/virtconsoleproxy"):
            self.assertFalse(system.path(place).exists(), place)

    def start_installed(self, system, boss, directory):
        """The proxy of the package, by its user, with its configuration file."""
        wrapper = pathlib.Path(case.new_directory("wrapper")) / "virtconsoleproxyd"
        wrapper.write_text("#!/bin/sh\nexec " + " ".join(system.command(
            "setpriv", "--reuid", "virtconsoleproxy", "--regid", "virtconsoleproxy", "--clear-groups",
            "virtconsoleproxyd", "--config=/etc/virtconsoleproxy/virtconsoleproxyd.conf")) + ' "$@"\n')
        wrapper.chmod(0o755)
        os.environ["VCP_BINARY"] = str(wrapper)
        every = {flag: None for flag in daemon.default_flags(directory, self.certs)}
        one = daemon.Daemon(directory, self.certs, {}, {**every, "--workers": "1"}, passed=boss.sockets)
        self.addCleanup(one.stop)
        return one

    def put_certificates(self, system):
        place = "/etc/pki/libvirt-console-proxy"
        gid = int(system.run("getent", "group", "virtconsoleproxy").stdout.split(":")[2])
        for name, source in (("server-cert", self.certs.proxy_server.cert), ("server-key", self.certs.proxy_server.key),
                             ("client-cert", self.certs.proxy_client.cert), ("client-key", self.certs.proxy_client.key),
                             ("client-ca", self.certs.ca)):
            path = system.path(f"{place}/{name}.pem")
            path.write_text(pathlib.Path(source).read_text())
            os.chown(path, 0, gid)
            path.chmod(0o640)
        tokens = system.path("/etc/libvirt/consoleproxy/tokens.json")
        tokens.write_text("{}")
        os.chown(tokens, 0, gid)
        tokens.chmod(0o640)

    def test_upgrade(self):
        """The service is restarted and nothing is done to the socket, which therefore goes on listening."""
        system = self.system()
        self.install(system, self.old)
        self.put_certificates(system)
        conf = system.path("/etc/virtconsoleproxy/virtconsoleproxyd.conf")
        conf.write_text(conf.read_text() + "\n# ours\n[proxy]\nmax-sessions=7\n")
        real = os.environ["VCP_BINARY"]
        self.addCleanup(os.environ.__setitem__, "VCP_BINARY", real)
        boss = manager.Manager(case.new_directory("manager"))
        self.addCleanup(boss.close)
        address = boss.listen_tcp("127.0.0.1")
        first = self.start_installed(system, boss, case.new_directory("first"))
        self.assertEqual(first.request("/healthz").status, 200)

        system.calls()
        self.install(system, self.new)
        calls = system.calls()
        for program in PACKAGES.values():
            self.assertIn(f"try-restart {program}.service", calls)
        self.assertEqual([call for call in calls if ".socket" in call and not call.startswith("is-")], [])
        self.assertIn("# ours", conf.read_text())
        self.assertEqual(first.request("/healthz").status, 200)

        # what systemd does then
        self.assertEqual(first.stop(), 0)
        with rawhttp.connect(address) as waiting:
            second = self.start_installed(system, boss, case.new_directory("second"))
            with second.tls_context().wrap_socket(waiting, server_hostname="localhost") as client:
                self.assertEqual(rawhttp.exchange(client, rawhttp.request_bytes("/healthz")).status, 200)
        self.assertEqual(second.stop(), 0)

        # keys and tokens are not the package's
        system.run("dpkg", "--purge", *PACKAGES)
        self.assertTrue(system.path("/etc/pki/libvirt-console-proxy/server-key.pem").exists())
        self.assertTrue(system.path("/etc/libvirt/consoleproxy/tokens.json").exists())


if __name__ == "__main__":
    tap.main()
