#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""virtconsoleresolveradm against a real libvirtd: each command, on running, shut-off and transient guests,
and what is left where it fails."""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
from lab import adm, resolverd, tap  # noqa: E402
from lab.adm import UUID, AdmCase  # noqa: E402
from lab.libvirtd import PTY  # noqa: E402

OTHER = "http://example.org/other/1.0"
OTHER_METADATA = "<owner>\n  <name>tess</name>\n</owner>"
class Words(AdmCase):
    def test_output(self):
        name = self.define()
        self.assertEqual(self.done("enable", name), f"Enabled access to domain '{name}'\n")
        self.assertEqual(self.done("enable", name), f"Access to domain '{name}' already enabled\n")
        self.assertEqual(self.done("disable", name), f"Disabled access to domain '{name}'\n")
        self.assertEqual(self.done("disable", name), f"Access to domain '{name}' already disabled\n")

    def test_metadata(self):
        """As in the issue, line by line."""
        name = self.define(vnc=False, spice=True, serials=[self.tcp()], consoles=[self.tcp(), self.tcp()])
        self.enable(name)
        lines = self.daemon.virsh("metadata", name, resolverd.NAMESPACE).splitlines()
        self.assertEqual((lines[0], lines[-1]), ("<consoles>", "</consoles>"))
        kinds = [("spice", 0), ("serial", 0), ("console", 1), ("console", 2)]
        self.assertEqual(len(lines), len(kinds) + 2)
        for line, (kind, port) in zip(lines[1:], kinds):
            self.assertRegex(line, f'^  <console token="[0-9a-f-]{{36}}" type="{kind}" port="{port}" insecure="no"/>$')
        self.assertIn(f'<lcp:consoles xmlns:lcp="{resolverd.NAMESPACE}">', self.daemon.virsh("dumpxml", name))
        self.disable(name)

    def test_secrets(self):
        name = self.define()
        self.enable(name)
        (secret, value), = self.secrets(name).items()
        xml = self.daemon.virsh("secret-dumpxml", secret)
        self.assertIn("<secret ephemeral='no' private='no'>", xml)
        self.assertIn(f"<description>Token for vnc console proxy domain {self.daemon.uuid(name)}</description>", xml)
        self.assertNotIn("<usage", xml)
        self.assertRegex(value.decode(), f"^{UUID}$")
        self.assertNotEqual(value.decode(), secret)
        self.disable(name)

    def test_how_a_domain_is_called(self):
        one, other = self.define(), self.running()
        number = self.daemon.virsh("domid", other)
        self.done("enable", self.daemon.uuid(one))
        self.assertTrue(self.entries(one))
        self.done("enable", number)
        self.assertTrue(self.entries(other, live=True))
        # a name counts before an id and a UUID
        for name in (number, self.daemon.uuid(other)):
            self.define(name, vnc=True)
            self.assertEqual(self.done("enable", name), f"Enabled access to domain '{name}'\n")
            self.assertEqual(self.done("disable", name), f"Disabled access to domain '{name}'\n")
        self.assertTrue(self.entries(other, live=True))
        self.disable(one)

    def test_wrong_usage(self):
        name = self.define()
        for arguments in ([], ["frobnicate"], ["enable"], ["disable"], ["rotate"], ["url"], ["enable", name, "x"],
                          ["prune", name], ["enable", name, "--colour"], ["--colour", "enable", name],
                          ["enable", name, "--type", "rdp"], ["enable", name, "--type", ""],
                          ["enable", name, "--expires", "tomorrow"], ["enable", name, "--host", "a b"],
                          ["enable", name, "--host"], ["enable", name, "--tls-server-name", ""],
                          ["enable", name, "--insecure=no"], ["url", name], ["url", name, "--proxy", "console"],
                          ["url", name, "--proxy", "https://h", "--type", "rdp"],
                          ["url", name, "--proxy", "https://h", "--port", "-1"], ["status", name, "--dry-run"]):
            with self.subTest(arguments):
                said = self.failed(*arguments, status=2)
                self.assertRegex(said, r"^virtconsoleresolveradm: .*\nUsage: virtconsoleresolveradm \[-c URI\] \w")
                if arguments and arguments[0] in ("enable", "url", "status", "prune"):
                    self.assertIn(f"[-c URI] {arguments[0]}", said)
        self.assertIsNone(self.entries(name))

    def test_help(self):
        for arguments in ([], ["enable"], ["disable"], ["status"], ["rotate"], ["url"], ["prune"]):
            with self.subTest(arguments):
                self.assertRegex(self.done(*arguments, "--help"), r"^Usage:\n  virtconsoleresolveradm \[OPTION")
        self.assertRegex(self.done("--version"), r"^virtconsoleresolveradm \d")

    def test_connection(self):
        """The flag may stand on either side of the command; a libvirtd that is not there is a failure."""
        ran = self.adm("status", "-c", self.daemon.uri, connect=False)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        ran = self.adm("--connect=qemu+unix:///system?socket=/nonexistent", "status", connect=False)
        self.assertEqual(ran.returncode, 1)
        self.assertRegex(ran.stderr, r"^virtconsoleresolveradm: connecting to .*/nonexistent.*No such file")
        self.assertEqual(ran.stderr.count("\n"), 1)

    def test_unknown_domain(self):
        for command in ("enable", "disable", "status", "rotate"):
            said = self.failed(command, "nobody")
            self.assertRegex(said, r"^virtconsoleresolveradm: domain 'nobody': Domain not found.*\n$")

    def test_full_disk(self):
        self.enable(self.running())
        with open("/dev/full", "wb") as full:
            ran = subprocess.run([adm.program(), "-c", self.daemon.uri, "status"], stdin=subprocess.DEVNULL,
                                 stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("standard output", ran.stderr)


class Places(AdmCase):
    """Running, shut-off and transient guests; live and persistent configuration."""

    def test_shut_off(self):
        name = self.define()
        self.enable(name)
        self.assert_enabled(name, live=False, config=True)
        self.start(name)
        self.assert_enabled(name, live=True, config=True)
        self.disable(name)
        self.assert_disabled(name, live=True, config=True)

    def test_running(self):
        name = self.running()
        self.enable(name)
        self.assert_enabled(name, live=True, config=True)
        self.disable(name)
        self.assert_disabled(name, live=True, config=True)

    def test_transient(self):
        name = self.create()
        self.enable(name)
        self.assert_enabled(name, live=True, config=False)
        self.assertEqual(self.done("enable", name), f"Access to domain '{name}' already enabled\n")
        self.disable(name)
        self.assert_disabled(name, live=True, config=False)

    def test_one_place_alone(self):
        """What another tool or an interrupted one left at one of two places."""
        for live in (True, False):
            with self.subTest(live=live):
                name = self.running()
                self.enable(name)
                secrets = self.secrets(name)
                self.daemon.virsh("metadata", name, resolverd.NAMESPACE, "--config" if live else "--live", "--remove")
                self.assertIn("differ", self.adm("status", name).stderr)
                self.enable(name)
                self.assert_enabled(name, live=True, config=True)
                self.assertEqual(self.secrets(name), secrets)
                self.daemon.virsh("metadata", name, resolverd.NAMESPACE, "--config" if live else "--live", "--remove")
                self.disable(name)
                self.assert_disabled(name, live=True, config=True)

    def test_foreign_metadata(self):
        for name, places in ((self.define(), ["--config"]), (self.running(), ["--config", "--live"])):
            for place in places:
                self.daemon.virsh("metadata", name, OTHER, place, "--key", "o", "--set", OTHER_METADATA)
                self.daemon.virsh("desc", name, place, "--title", "a title")
            for command in ("enable", "disable"):
                for place in places:
                    with self.subTest(command, place=place):
                        self.done(command, name)
                        self.assertEqual(self.daemon.virsh("metadata", name, OTHER, place), OTHER_METADATA)
                        self.assertEqual(self.daemon.virsh("desc", name, place, "--title"), "a title")


class Consoles(AdmCase):
    def test_all_types(self):
        name = self.running()
        self.enable(name)
        self.assertEqual(self.consoles(name), [("vnc", "0"), ("spice", "0"), ("serial", "0"), ("console", "1")])
        self.disable(name)

    def test_types(self):
        name = self.define(serials=[self.tcp()])
        self.enable(name, "--type", "serial")
        self.assertEqual(self.consoles(name), [("serial", "0")])
        secrets = self.secrets(name)
        self.enable(name, "--type=vnc,serial")
        self.assertEqual(self.consoles(name), [("serial", "0"), ("vnc", "0")])
        self.assertLess(secrets.items(), self.secrets(name).items())
        self.disable(name)

    def test_flags(self):
        name = self.define(serials=[self.tcp()])
        self.enable(name, "--insecure", "--host", "hv1.example.org", "--single-use", "--power-control",
                    "--expires", "2030-01-31T13:00:00+01:00", "--tls-server-name", "hv1")
        for entry in self.entries(name):
            entry = {key: value for key, value in entry.items() if key not in ("token", "type", "port")}
            self.assertEqual(entry, {"insecure": "yes", "host": "hv1.example.org", "single-use": "yes",
                                     "power-control": "yes", "expires": "2030-01-31T12:00:00Z",
                                     "tls-server-name": "hv1"})
        before = self.entries(name)
        # without flags nothing changes; a flag changes what it names, where it is asked to
        self.assertEqual(self.done("enable", name), f"Access to domain '{name}' already enabled\n")
        self.enable(name, "--host", "hv2", "--type", "vnc")
        self.assertEqual(self.entries(name), [{**before[0], "host": "hv2"}, before[1]])
        self.disable(name)

    def test_what_no_proxy_can_reach(self):
        name = self.define(serials=[PTY, self.tcp()])
        ran = self.adm("enable", name)
        self.assertEqual((ran.returncode, ran.stdout), (0, f"Enabled access to domain '{name}'\n"))
        self.assertEqual(ran.stderr, "virtconsoleresolveradm: serial 0 is left out: it does not listen on TCP\n")
        self.assertEqual(self.consoles(name), [("vnc", "0"), ("serial", "1")])
        self.disable(name)

    def test_nothing_to_reach(self):
        for options in ({"vnc": False}, {"vnc": False, "serials": [PTY]}):
            name = self.define(**options)
            self.assertIn("no console that a proxy can reach", self.failed("enable", name))
            self.assert_disabled(name, live=False, config=True)
        self.assertIn("no console that a proxy can reach", self.failed("enable", self.define(), "--type", "spice"))

    def test_clear_text(self):
        """A running guest's serial port without TLS is enabled, with a word about it."""
        name = self.define(start=True, serials=[self.tcp(tls=False)])
        self.assertIn("serial 0 has no TLS", self.adm("enable", name).stderr)
        self.enable(name, "--insecure", "--type", "serial")
        self.disable(name)

    def test_new_device(self):
        """Enabling again takes in what was plugged in since."""
        name = self.define()
        self.enable(name)
        port = self.daemon.free_port()
        path = os.path.join(self.daemon.directory, "console.xml")
        pathlib.Path(path).write_text(
            f"<console type='tcp'><source mode='bind' host='127.0.0.1' service='{port}'/>"
            "<target type='virtio' port='1'/></console>", encoding="utf-8")
        self.daemon.virsh("attach-device", name, path, "--config")
        self.enable(name)
        self.assertEqual([kind for kind, _ in self.consoles(name)], ["vnc", "console"])
        self.assert_enabled(name, live=False, config=True)
        self.disable(name)


class Secrets(AdmCase):
    def test_missing(self):
        """Metadata without its secret, or with one that has no value, gets it back."""
        name = self.running()
        self.enable(name, "--type", "vnc")
        (secret, value), = self.secrets(name).items()
        before = self.entries(name)
        self.daemon.virsh("secret-undefine", secret)
        self.assertIn("missing", self.adm("status", name).stdout)
        self.enable(name, "--type", "vnc")
        self.assertEqual(self.entries(name), before)
        self.assert_enabled(name, live=True, config=True)
        self.assertNotEqual(self.secrets(name)[secret], value)
        resolverd.set_token(self.daemon, secret, "no token")
        self.assertIn("missing", self.adm("status", name).stdout)
        self.enable(name, "--type", "vnc")
        self.assert_enabled(name, live=True, config=True)
        self.disable(name)

    def test_clone(self):
        """A copy of a guest, metadata included: it gets tokens of its own, the other keeps its."""
        name = self.define()
        self.enable(name)
        secrets = self.secrets(name)
        (secret, value), = secrets.items()
        copy = self.define(metadata=f'<lcp:consoles xmlns:lcp="{resolverd.NAMESPACE}"><lcp:console token="{secret}" '
                           'type="vnc"/></lcp:consoles>')
        self.assertIn("unusable", self.adm("status", copy).stdout)
        self.assertIn("no tokens to rotate", self.adm("rotate", copy).stderr)
        self.enable(copy)
        self.assert_enabled(copy, live=False, config=True)
        self.assertNotIn(secret, self.secrets(copy))
        self.disable(copy)
        self.assertEqual(self.secrets(name), secrets)
        self.set_metadata(copy, [resolverd.Console("vnc", secret=secret)])
        self.disable(copy)
        self.assertEqual(self.secrets(name), {secret: value})
        self.disable(name)

    def test_somebody_elses(self):
        """Metadata may name any secret; what was not made for this guest is neither written nor removed."""
        for value in (b"\0 a disk's key", b"chosen-by-hand"):
            with self.subTest(value):
                name = self.define()
                secret = self.make_secret(value, "Ceph client.admin")
                self.set_metadata(name, [resolverd.Console("vnc", secret=secret)])
                self.adm("rotate", name)
                self.adm("enable", name)
                self.assertEqual(self.consoles(name), [("vnc", "0")])
                # the one that is a token may well have been put there by the operator
                self.assertEqual(self.entries(name)[0]["token"] == secret, value == b"chosen-by-hand")
                self.disable(name)
                self.assertEqual(adm.all_secrets(self.daemon)[secret], ("Ceph client.admin", value))

    def test_strays(self):
        """Secrets that an interrupted run left are gone after the next, whichever it is."""
        for command in ("enable", "disable"):
            with self.subTest(command):
                name = self.define()
                self.enable(name)
                description = f"Token for serial console proxy domain {self.daemon.uuid(name)}"
                self.make_secret("a", description)
                self.make_secret(None, description)
                self.done(command, name)
                self.assertEqual(len(self.secrets(name)), 1 if command == "enable" else 0)
                self.done("disable", name)

    def test_rotate(self):
        name = self.running()
        self.enable(name, "--type", "vnc,serial")
        before, metadata = self.secrets(name), self.entries(name)
        self.assertEqual(self.done("rotate", name), f"Rotated tokens of domain '{name}': 2\n")
        after = self.secrets(name)
        self.assertEqual(set(after), set(before))
        self.assertEqual(len({*before.values(), *after.values()}), 4)
        self.assertEqual(self.entries(name), metadata)
        self.disable(name)
        self.assertIn("no tokens to rotate", self.failed("rotate", name))


class Broken(AdmCase):
    def test_metadata(self):
        """Metadata that makes no sense is replaced by enable, removed by disable."""
        for text in ("<consoles><console token='x' type='vnc'/></consoles>", "<viewers/>"):
            for command in ("enable", "disable"):
                with self.subTest(text, command=command):
                    name = self.running()
                    for place in ("--live", "--config"):
                        self.daemon.virsh("metadata", name, resolverd.NAMESPACE, place, "--key", "lcp", "--set", text)
                    ran = self.adm(command, name)
                    self.assertEqual(ran.returncode, 0)
                    if command == "enable":
                        self.assertIn("virtconsoleresolveradm: ", ran.stderr)
                        self.assert_enabled(name, live=True, config=True)
                        self.disable(name)
                    self.assert_disabled(name, live=True, config=True)

    def read_only(self, directory):
        """The libvirtd can't write there until it is undone -> a function that undoes it."""
        self.daemon.inside(f"mount --bind /etc/libvirt/{directory} /etc/libvirt/{directory}"
                           f" && mount -o remount,ro,bind /etc/libvirt/{directory}")
        return lambda: self.daemon.inside(f"umount /etc/libvirt/{directory}")

    def fails(self, command, name, directory):
        undo = self.read_only(directory)
        try:
            return self.failed(command, name)
        finally:
            undo()

    def test_metadata_can_not_be_written(self):
        """libvirt has changed the live guest by the time that its configuration fails."""
        name = self.running()
        said = self.fails("enable", name, "qemu")
        self.assertRegex(said, r"^virtconsoleresolveradm: writing metadata: .*Read-only file system\n$")
        self.assert_disabled(name, live=True, config=True)
        self.enable(name)
        before = self.entries(name), self.secrets(name)
        self.assertIn("Read-only", self.fails("disable", name, "qemu"))
        self.assertEqual((self.entries(name, live=True), self.secrets(name)), before)
        self.disable(name)
        self.assert_disabled(name, live=True, config=True)

    def test_secrets_can_not_be_written(self):
        name = self.running()
        other = self.define()
        self.enable(other)                     # so that the directory is there
        self.disable(other)
        said = self.fails("enable", name, "secrets")
        self.assertRegex(said, r"^virtconsoleresolveradm: (making a secret|writing a secret's value): .*Read-only")
        self.assert_disabled(name, live=True, config=True)
        self.enable(name)
        self.assertIn("Read-only", self.fails("disable", name, "secrets"))
        self.assertIsNone(self.entries(name, live=True))     # the tokens are dead already
        self.disable(name)
        self.assert_disabled(name, live=True, config=True)

    def test_guest_vanishes(self):
        self.daemon.create("transient", vnc=True)
        self.enable("transient")
        self.daemon.destroy("transient")
        self.assertIn("Domain not found", self.failed("disable", "transient"))
        self.assertIn("its domain is gone", self.done("prune"))

    def test_several_at_once(self):
        name = self.running()
        for command, check in (("enable", self.assert_enabled), ("disable", self.assert_disabled)):
            for _ in range(3):
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    ran = list(pool.map(lambda _, command=command: self.adm(command, name), range(4)))
                self.assertIn(0, [one.returncode for one in ran])
            self.assertEqual(self.adm(command, name).returncode, 0)
            check(name, live=True, config=True)


class Status(AdmCase):
    def rows(self, *arguments):
        return [re.split(r" {2,}", line) for line in self.done("status", *arguments).splitlines()]

    def test_table(self):
        serial = self.tcp()
        name = self.define(serials=[serial])
        self.enable(name, "--type", "serial", "--insecure", "--host", "hv1")
        self.enable(name, "--type", "vnc")
        self.assertEqual(self.rows(name), [["DOMAIN", "CONSOLE", "ACCESS", "HOST", "TOKEN", "ADDRESS"],
                                           [name, "serial 0", "insecure", "hv1", "present", "off"],
                                           [name, "vnc 0", "secure", "-", "present", "off"]])
        self.assertEqual(self.rows(), self.rows(name))
        self.start(name)
        port = re.search(r"graphics type='vnc' port='(\d+)'", self.daemon.virsh("dumpxml", name))[1]
        self.assertEqual([row[-1] for row in self.rows(name)[1:]],
                         [f"127.0.0.1:{serial.port}", f"127.0.0.1:{port}"])
        self.set_metadata(name, [resolverd.Console("spice")], live=True)
        ran = self.adm("status", name)
        self.assertEqual(re.split(r" {2,}", ran.stdout.splitlines()[1])[1:],
                         ["spice 0", "secure", "-", "missing", "no such console"])
        self.assertIn("differ", ran.stderr)
        self.disable(name)

    def test_disabled(self):
        ran = self.adm("status", self.define())
        self.assertEqual((ran.returncode, ran.stdout), (0, ""))
        self.assertIn("is disabled", ran.stderr)

    def test_json(self):
        name, other = self.running(), self.define()
        self.enable(name, "--type", "vnc", "--expires", "2030-01-31T12:00:00Z", "--single-use")
        shown, = [one for one in json.loads(self.done("status", "--json")) if one["name"] == name]
        self.assertEqual(shown["uuid"], self.daemon.uuid(name))
        self.assertEqual((shown["running"], shown["enabled"], shown["inStep"]), (True, True, True))
        console, = shown["consoles"]
        secret, = self.secrets(name)
        self.assertRegex(console.pop("address"), r"^127\.0\.0\.1:\d+$")
        self.assertEqual(console, {"type": "vnc", "index": 0, "insecure": False, "secret": secret, "token": "present",
                                   "singleUse": True, "powerControl": False, "host": None, "tlsServerName": None,
                                   "expires": "2030-01-31T12:00:00Z"})
        shown, = json.loads(self.done("status", other, "--json"))
        self.assertEqual((shown["enabled"], shown["consoles"]), (False, []))
        self.disable(name)


class Url(AdmCase):
    def link(self, name, *arguments):
        ran = self.adm("url", name, "--proxy", "https://console.example.org/", *arguments)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("who has it has the console", ran.stderr)
        return ran.stdout.removesuffix("\n")

    def test_links(self):
        name = self.running()
        self.enable(name)
        for arguments, kind, port, page_type in (
                ([], "vnc", 0, "vnc"), (["--type", "vnc"], "vnc", 0, "vnc"), (["--type=spice"], "spice", 0, "spice"),
                (["--type", "serial"], "serial", 0, "serial"), (["--type", "console", "--port", "1"], "console", 1, "serial"),
                (["--type", "console"], "serial", 0, "serial"), (["--port=1"], "console", 1, "serial")):
            with self.subTest(arguments):
                self.assertEqual(self.link(name, *arguments),
                                 f"https://console.example.org/console.html#type={page_type}"
                                 f"&token={adm.token(self.daemon, name, kind, port)}")
        self.disable(name)

    def test_escaped(self):
        name = self.define()
        secret = self.make_secret("a+b&c=%\n")
        self.set_metadata(name, [resolverd.Console("vnc", secret=secret)])
        self.assertTrue(self.link(name).endswith("#type=vnc&token=a%2Bb%26c%3D%25"))

    def test_refused(self):
        name = self.define()
        url = ["url", name, "--proxy", "https://h"]
        self.assertIn("has no console 0 that is enabled", self.failed(*url))
        self.enable(name)
        self.assertIn("has no spice 0 that is enabled", self.failed(*url, "--type", "spice"))
        self.assertIn("has no vnc 1 that is enabled", self.failed(*url, "--type", "vnc", "--port", "1"))
        self.assertIn("is not running", self.adm(*url).stderr)
        secret, = self.secrets(name)
        self.daemon.virsh("secret-undefine", secret)
        self.assertIn("vnc 0: ", self.failed(*url))
        for value in ("no token", "b\0c"):
            resolverd.set_token(self.daemon, self.remake(name, secret), value)
            self.assertIn("vnc 0: ", self.failed(*url))
        self.disable(name)

    def remake(self, name, secret):
        path = os.path.join(self.daemon.directory, "again.xml")
        pathlib.Path(path).write_text(
            f"<secret ephemeral='no' private='no'><uuid>{secret}</uuid><description>Token for vnc console proxy "
            f"domain {self.daemon.uuid(name)}</description></secret>", encoding="utf-8")
        self.daemon.virsh("secret-define", path)
        return secret


class Prune(AdmCase):
    def test_prune(self):
        kept, stripped, gone = self.running(), self.define(), "transient"
        self.daemon.create(gone, vnc=True)
        foreign = self.make_secret("value", "Token for nothing")
        for name in (kept, stripped, gone):
            self.enable(name)
        lost = {**self.secrets(gone), **self.secrets(stripped)}
        lines = {secret: f" secret {secret} (Token for vnc console proxy domain {self.daemon.uuid(name)}): {why}"
                 for name, why in ((gone, "its domain is gone"), (stripped, "its domain does not name it"))
                 for secret in self.secrets(name)}
        self.daemon.destroy(gone)
        self.daemon.virsh("metadata", stripped, resolverd.NAMESPACE, "--config", "--remove")
        before = adm.all_secrets(self.daemon)
        self.assertEqual(set(self.done("prune", "--dry-run").splitlines()),
                         {"Would remove" + line for line in lines.values()})
        self.assertEqual(adm.all_secrets(self.daemon), before)
        self.assertEqual(set(self.done("prune").splitlines()), {"Removed" + line for line in lines.values()})
        after = adm.all_secrets(self.daemon)
        self.assertEqual(set(before) - set(after), set(lost))
        self.assertIn(foreign, after)
        self.assert_enabled(kept, live=True, config=True)
        self.assertEqual(self.done("prune"), "Nothing to remove\n")
        self.disable(kept)

    def test_one_place_is_enough(self):
        """A secret that only live or only persistent metadata names stays, however broken its entry is."""
        name = self.running()
        self.enable(name, "--type", "vnc")
        secret, = self.secrets(name)
        self.daemon.virsh("metadata", name, resolverd.NAMESPACE, "--live", "--remove")
        self.assertEqual(self.done("prune"), "Nothing to remove\n")
        self.set_metadata(name, [resolverd.Console("rdp", secret=secret)])
        self.assertEqual(self.done("prune"), "Nothing to remove\n")
        self.disable(name)
        self.assert_disabled(name, live=True, config=True)


class Effect(AdmCase):
    """What virtconsoleresolverd makes of it."""

    def test_resolver(self):
        resolver = self.start_resolver(self.daemon)
        name = self.running()
        self.enable(name, "--power-control", "--expires", "2030-01-31T12:00:00Z", "--tls-server-name", "localhost")
        for kind, port in (("vnc", 0), ("spice", 0), ("serial", 0), ("console", 1)):
            token = adm.token(self.daemon, name, kind, port)
            resolver.wait_status(token, 200)
            service = resolver.service(token)
            self.assertEqual(service["console"], {"type": kind, "index": port})
            self.assertEqual((service["powerControl"], service["expires"], service["tlsServerName"]),
                             (True, "2030-01-31T12:00:00Z", "localhost"))
        old = adm.token(self.daemon, name, "vnc")
        self.done("rotate", name)
        resolver.wait_status(old, 404)
        new = adm.token(self.daemon, name, "vnc")
        resolver.wait_status(new, 200)
        self.disable(name)
        resolver.wait_status(new, 404)
        self.assertNotIn(new, resolver.log())


class Completion(AdmCase):
    """What bash offers."""

    def offers(self, line, uri=True):
        line = line.replace("adm ", f"virtconsoleresolveradm {f'-c {self.daemon.uri} ' if uri else ''}", 1)
        script = ('. "$1"; COMP_LINE=$2; COMP_POINT=${#2}; _virtconsoleresolveradm; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-euc", script, "bash", str(TESTS.parent / "completion/virtconsoleresolveradm"),
                               line], stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []

    def help_flags(self, *command):
        return set(re.findall(r"^  (?:-\w, )?(--[\w-]+=?)", self.done(*command, "--help"), re.MULTILINE))

    def test_commands(self):
        commands = re.findall(r"^  (\w+) ", self.done("--help").split("\nCommands:\n")[1], re.MULTILINE)
        self.assertEqual(self.offers("adm "), commands)
        self.assertEqual(self.offers("adm en"), ["enable"])
        self.assertEqual(self.offers("adm x"), [])

    def test_flags(self):
        self.assertEqual(set(self.offers("adm -")), self.help_flags())
        for command in self.offers("adm "):
            with self.subTest(command):
                self.assertEqual(set(self.offers(f"adm {command} -")), self.help_flags(command))

    def test_domains(self):
        name, other = self.define(name="alpha"), self.define(name="alpha:1 b")
        for command in ("enable", "disable", "status", "rotate", "url"):
            self.assertEqual(self.offers(f"adm {command} alp"), [name, r"alpha:1\ b"])
        self.assertEqual(self.offers("adm enable alpha:"), [r"1\ b"])
        self.assertEqual(self.offers("adm enable --type vnc --host h al")[:1], [name])
        self.assertEqual(self.offers("adm enable alpha "), [])
        self.assertEqual(self.offers("adm prune "), [])
        self.assertEqual(self.offers("adm enable x --host al"), [])
        self.assertEqual(self.offers(f"adm enable --connect={self.daemon.uri} al", uri=False)[:1], [name])
        self.assertEqual(self.offers("adm -c qemu+unix:///system?socket=/nonexistent enable al", uri=False), [])
        self.assertTrue(other)

    def test_values(self):
        self.assertEqual(self.offers("adm enable --type "), ["vnc", "spice", "serial", "console"])
        self.assertEqual(self.offers("adm enable --type=s"), ["spice", "serial"])
        self.assertEqual(self.offers("adm enable --type vnc,s"), ["vnc,spice", "vnc,serial"])
        self.assertEqual(self.offers("adm url x --type c"), ["console"])
        self.assertEqual(self.offers("adm url x --type vnc,"), [])


if __name__ == "__main__":
    tap.main()
