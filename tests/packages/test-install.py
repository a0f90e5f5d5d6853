#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `meson install` lays down, and that the packages' lists of it are in step."""
import fnmatch
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, tap

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ["VC_BUILD_DIR"]
UNITS = "/lib/systemd/system"
EVERY = """bin/virtconsoleresolveradm sbin/virtconsoleproxyd sbin/virtconsoleresolverd
    lib/systemd/system/virtconsoleproxyd.service lib/systemd/system/virtconsoleproxyd.socket
    lib/systemd/system/virtconsoleresolverd.service lib/systemd/system/virtconsoleresolverd.socket
    lib/sysusers.d/virtconsoleproxy.conf lib/sysusers.d/virtconsoleresolver.conf
    lib/tmpfiles.d/virtconsoleproxy.conf lib/tmpfiles.d/virtconsoleresolver.conf
    share/man/man8/virtconsoleproxyd.8 share/man/man8/virtconsoleresolverd.8 share/man/man1/virtconsoleresolveradm.1
    share/man/man5/virtconsoleproxy.conf.5 share/man/man5/virtconsoleproxy-tokens.5
    share/bash-completion/completions/virtconsoleproxyd share/bash-completion/completions/virtconsoleresolverd
    share/bash-completion/completions/virtconsoleresolveradm share/virtconsoleproxy/web/console.html
    share/virtconsoleproxy/web/novnc/core/rfb.js share/virtconsoleproxy/web/spice-html5/main.js
    share/virtconsoleproxy/web/xterm/xterm.js etc/virtconsoleproxy/virtconsoleproxyd.conf
    etc/virtconsoleproxy/virtconsoleresolverd.conf
    share/doc/virtconsoleproxy/examples/50-virtconsoleresolver.rules""".split()
MACROS = {"_sbindir": "sbin", "_bindir": "bin", "_unitdir": "lib/systemd/system", "_sysusersdir": "lib/sysusers.d",
          "_tmpfilesdir": "lib/tmpfiles.d", "_datadir": "share", "_mandir": "share/man", "_sysconfdir": "etc"}


def run(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False, timeout=200,
                          **options)


class Install(case.Case):
    @classmethod
    def setUpClass(cls):
        """Below the prefix of this build, whatever it is."""
        target = case.new_directory("install")
        done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", target)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        options = run("meson", "introspect", "--buildoptions", BUILD).stdout
        prefix = re.search(r'"name": "prefix", "value": "([^"]*)"', options)[1]
        cls.place = pathlib.Path(target + prefix)
        cls.installed = {str(path.relative_to(cls.place)) for path in cls.place.rglob("*") if not path.is_dir()}

    def version(self):
        return re.search(r"version: '([\d.]+)'", (TOP / "meson.build").read_text())[1]

    def test_everything_is_there(self):
        self.assertEqual([path for path in EVERY if path not in self.installed], [])

    def test_paths_in_units(self):
        for name in ("virtconsoleproxyd", "virtconsoleresolverd"):
            text = (self.place / f"lib/systemd/system/{name}.service").read_text()
            path, conf = re.search(r"^ExecStart=(\S+) --config=(\S+)$", text, re.MULTILINE).groups()
            with self.subTest(name):
                self.assertNotRegex(text, r"@\w+@")
                self.assertTrue(str(self.place).endswith(path.removesuffix(f"/sbin/{name}")))
                self.assertTrue(conf.endswith(f"/virtconsoleproxy/{name}.conf"))

    def assert_lists(self, patterns):
        """Each file is in one list, and each line of the lists stands for a file."""
        unused = set(patterns)
        for path in sorted(self.installed):
            found = [one for one in patterns if fnmatch.fnmatch(path, one) or path.startswith(one.rstrip("/") + "/")]
            with self.subTest(path):
                self.assertEqual(len(found), 1, found)
            unused -= set(found)
        self.assertEqual(unused, set())

    def test_debian_lists(self):
        patterns = []
        for name in ("virtconsoleproxy", "virtconsoleresolver"):
            for line in (TOP / f"debian/{name}.install").read_text().splitlines():
                patterns.append(line.split()[0].removeprefix("usr/"))
        self.assert_lists(patterns)

    def test_rpm_lists(self):
        spec = (TOP / "virtconsoleproxy.spec").read_text()
        files = spec.split("\n%files\n")[1].split("\n%changelog")[0]
        lines = re.findall(r"^(?:%config\(noreplace\) )?%\{(\w+)\}/(\S+)$", files, re.MULTILINE)
        self.assert_lists([f"{MACROS[macro]}/{path}" for macro, path in lines])

    def test_versions(self):
        spec = (TOP / "virtconsoleproxy.spec").read_text()
        self.assertEqual(re.search(r"^Version: +(\S+)$", spec, re.MULTILINE)[1], self.version())
        self.assertIn(f"- {self.version()}-1\n", spec)
        changelog = (TOP / "debian/changelog").read_text()
        self.assertEqual(re.match(r"virtconsoleproxy \(([\d.]+)\)", changelog)[1], self.version())

    def test_rpm_needs_what_is_built_with(self):
        """Each library of meson.build, in the same version."""
        spec = dict(re.findall(r"^BuildRequires: +pkgconfig\(([\w.-]+)\)(?: >= (\S+))?$",
                               (TOP / "virtconsoleproxy.spec").read_text(), re.MULTILINE))
        built = re.findall(r"= dependency\('([\w.-]+)', version: '>=([\d.]+)'\)", (TOP / "meson.build").read_text())
        self.assertGreater(len(built), 10)
        for name, version in built:
            if name == "libcrypto":         # of openssl
                continue
            with self.subTest(name):
                self.assertIn(name, spec)
                if spec[name]:
                    self.assertEqual(spec[name], version)

    def test_rpm_reads_it(self):
        if not shutil.which("rpmspec"):
            self.skipTest("no rpmspec on this machine (package rpm)")
        done = run("rpmspec", "--parse", str(TOP / "virtconsoleproxy.spec"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        names = run("rpmspec", "-q", "--qf", "%{name} %{version}\n", str(TOP / "virtconsoleproxy.spec")).stdout
        self.assertEqual(set(names.splitlines()) - {""},
                         {f"virtconsoleproxy {self.version()}", f"virtconsoleresolver {self.version()}"})


if __name__ == "__main__":
    tap.main()
