#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tokens of real guests: they work while the guest runs and has them, and are dead right after."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import case, libvirtd, resolverd, tap

AT_ONCE = 3         # seconds; the promise is one, the machine may be slow


class Guests(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = cls.start_class_libvirtd()
        cls.resolver = cls.start_class_resolver(cls.daemon)

    def guest(self, name, start=True, **options):
        """A guest with VNC and one token for it -> resolverd.Console."""
        options.setdefault("vnc", True)
        self.daemon.define(name, **options)
        self.addCleanup(self.remove, name)
        console, = resolverd.grant(self.daemon, name, [resolverd.Console("vnc")])
        if start:
            self.daemon.start_guest(name)
            self.resolver.wait_status(console.token, 200)
        return console

    def remove(self, name):
        for command in ("destroy", "undefine"):
            try:
                self.daemon.virsh(command, name)
            except libvirtd.Failed:
                pass

    def assert_dead(self, token):
        self.assertLess(self.resolver.wait_status(token, 404), AT_ONCE)

    def test_start_and_stop(self):
        console = self.guest("plain", start=False)
        self.assertEqual(self.resolver.query(console.token).status, 404)
        self.daemon.start_guest("plain")
        self.assertLess(self.resolver.wait_status(console.token, 200), AT_ONCE)
        service = self.resolver.service(console.token)
        self.assertEqual((service["type"], service["insecure"]), ("vnc", False))
        self.assertEqual(service["domain"], {"uuid": self.daemon.uuid("plain"), "name": "plain",
                                             "host": self.daemon.virsh("hostname")})
        self.assertEqual(service["console"], {"type": "vnc", "index": 0})
        self.daemon.destroy("plain")
        self.assert_dead(console.token)

    def test_qemu_dies(self):
        console = self.guest("killed")
        self.daemon.kill_guest("killed")
        self.resolver.wait_status(console.token, 404)       # libvirt itself takes a second or two

    def test_paused_is_running(self):
        console = self.guest("paused")
        mark = self.resolver.mark()
        self.daemon.virsh("suspend", "paused")
        self.assertEqual(self.resolver.query(console.token).status, 200)
        self.daemon.virsh("resume", "paused")
        self.assertEqual(self.resolver.query(console.token).status, 200)
        self.assertEqual(self.resolver.count_lines("paused.*no longer"), 0, self.resolver.tail(mark))

    def test_another_guest_takes_the_port(self):
        port = self.daemon.free_port()
        graphics = {"port": str(port), "autoport": "no"}
        one = self.guest("before", vnc=graphics)
        address = self.resolver.service(one.token)["address"]
        self.daemon.destroy("before")
        other = self.guest("after", vnc=graphics)
        self.assertEqual(self.resolver.service(other.token)["address"], address)
        self.assertEqual(self.resolver.query(one.token).status, 404)

    def test_metadata_comes_and_goes_while_it_runs(self):
        first = self.guest("changing")
        second = resolverd.Console("vnc")
        resolverd.grant(self.daemon, "changing", [second], live=True)
        self.assertLess(self.resolver.wait_status(second.token, 200), AT_ONCE)
        self.assert_dead(first.token)
        self.daemon.virsh("metadata", "changing", resolverd.NAMESPACE, "--live", "--remove")
        self.assert_dead(second.token)

    def test_configuration_alone_changes_nothing(self):
        console = self.guest("configured")
        resolverd.grant(self.daemon, "configured", [resolverd.Console("vnc")])
        self.assertEqual(self.resolver.query(console.token).status, 200)

    def test_secret_rotates(self):
        console = self.guest("rotating")
        resolverd.set_token(self.daemon, console.secret, "another-token")
        self.assertLess(self.resolver.wait_status("another-token", 200), AT_ONCE)
        self.assert_dead(console.token)

    def test_secret_is_undefined(self):
        console = self.guest("undefined")
        self.daemon.virsh("secret-undefine", console.secret)
        self.assert_dead(console.token)

    def test_values_of_secrets(self):
        console = self.guest("values")
        resolverd.set_token(self.daemon, console.secret, "with-newline\n")
        self.resolver.wait_status("with-newline", 200)
        for bad in (b"two-newlines\n\n", b"with space", b"with/slash", b"nul\0inside", b"..", b"x" * 257,
                    "umlaut-ä".encode()):
            resolverd.set_token(self.daemon, console.secret, "good-again")
            self.resolver.wait_status("good-again", 200)
            mark = self.resolver.mark()
            resolverd.set_token(self.daemon, console.secret, bad)
            self.resolver.wait_status("good-again", 404)
            self.resolver.wait_line("vnc 0: the secret's value is no token", after=mark)

    def test_private_secret(self):
        console = resolverd.Console("vnc")
        self.guest("private")
        resolverd.define_secret(self.daemon, console.secret, private="yes")
        resolverd.set_token(self.daemon, console.secret, console.token)
        mark = self.resolver.mark()
        resolverd.set_metadata(self.daemon, "private", [console], live=True)
        self.resolver.wait_line("vnc 0: secret: .*private", after=mark)
        self.assertEqual(self.resolver.query(console.token).status, 404)

    def test_device_is_unplugged(self):
        # QEMU's monitor can plug no serial port, so the entry of one that is not there stands for it
        port = self.daemon.free_port()
        self.daemon.define("plug", vnc=True, consoles=[libvirtd.Tcp(port)])
        self.addCleanup(self.remove, "plug")
        virtio = resolverd.Console("console")
        resolverd.grant(self.daemon, "plug", [virtio])
        self.daemon.start_guest("plug")
        self.resolver.wait_status(virtio.token, 200)
        path = os.path.join(self.daemon.directory, "device.xml")
        with open(path, "w", encoding="ascii") as out:
            out.write(f"<console type='tcp'><source mode='bind' host='127.0.0.1' service='{port}'/>"
                      "<protocol type='raw'/><target type='virtio' port='0'/><alias name='console0'/></console>")
        self.daemon.virsh("detach-device", "plug", path, "--live")
        self.assert_dead(virtio.token)

    def test_one_bad_entry_among_good_ones(self):
        self.guest("mixed")
        good = resolverd.Console("vnc")
        bad = [resolverd.Console("vnc", port=7), resolverd.Console("telepathy"),
               resolverd.Console("vnc", attributes={"insecure": "maybe"}),
               resolverd.Console("vnc", secret="no-uuid"), resolverd.Console("serial")]
        resolverd.define_secret(self.daemon, good.secret)
        resolverd.set_token(self.daemon, good.secret, good.token)
        for console in bad:
            if console.secret != "no-uuid":
                resolverd.define_secret(self.daemon, console.secret)
                resolverd.set_token(self.daemon, console.secret, console.token)
        mark = self.resolver.mark()
        resolverd.set_metadata(self.daemon, "mixed", [*bad, good], live=True)
        self.resolver.wait_status(good.token, 200)
        for console in bad:
            self.assertEqual(self.resolver.query(console.token).status, 404, console)
        self.resolver.wait_line("vnc 7: the guest has no such device", after=mark)
        self.resolver.wait_line("metadata: .*type", after=mark)

    def test_foreign_metadata_and_prefixes(self):
        console = self.guest("prefix")
        self.daemon.destroy("prefix")
        self.daemon.virsh("metadata", "prefix", resolverd.NAMESPACE, "--config", "--key", "x", "--set",
                          f"<consoles><console token='{console.secret}' type='vnc' index='0'/></consoles>")
        self.daemon.virsh("metadata", "prefix", "http://other.example/", "--config", "--key", "o", "--set",
                          "<consoles><console token='zzz' type='vnc'/></consoles>")
        self.daemon.start_guest("prefix")
        self.resolver.wait_status(console.token, 200)

    def test_same_token_on_two_guests(self):
        one = self.guest("twin-a")
        other = self.guest("twin-b")
        mark = self.resolver.mark()
        resolverd.set_token(self.daemon, other.secret, one.token)
        self.resolver.wait_status(one.token, 404)
        self.resolver.wait_line("neither is served: vnc 0 of guest twin-[ab] .* and vnc 0 of guest twin-[ab] ",
                                after=mark)
        self.daemon.destroy("twin-b")
        self.resolver.wait_status(one.token, 200)

    def test_expired(self):
        self.guest("expiring")
        console = resolverd.Console("vnc", attributes={"expires": "2001-01-01T00:00:00Z"})
        later = resolverd.Console("vnc", attributes={"expires": "2901-01-01T00:00:00Z", "single-use": "yes",
                                                     "power-control": "yes", "tls-server-name": "other.example"})
        resolverd.grant(self.daemon, "expiring", [console, later], live=True)
        self.resolver.wait_status(later.token, 200)
        self.assertEqual(self.resolver.query(console.token).status, 404)
        service = self.resolver.service(later.token)
        self.assertEqual((service["expires"], service["singleUse"], service["powerControl"], service["tlsServerName"]),
                         ("2901-01-01T00:00:00Z", True, True, "other.example"))

    def test_transient_guest(self):
        self.daemon.create("transient", vnc=True)
        self.addCleanup(self.remove, "transient")
        console, = resolverd.grant(self.daemon, "transient", [resolverd.Console("vnc")], live=True)
        self.resolver.wait_status(console.token, 200)
        self.daemon.destroy("transient")
        self.assert_dead(console.token)


class Log(case.Case):
    def test_no_token_and_no_password(self):
        daemon = self.start_libvirtd()
        daemon.define("canary", vnc={"passwd": "canary-p"})
        console, = resolverd.grant(daemon, "canary", [resolverd.Console("vnc", token="canary-token-1")])
        daemon.start_guest("canary")
        resolver = self.start_resolver(daemon)
        self.assertEqual(resolver.service(console.token)["password"], "canary-p")
        for token in ("canary-token-2", "canary%2ftoken", "canary-token-3?token=canary", "canary token"):
            resolver.query(token.replace(" ", "%20"))
        resolverd.set_token(daemon, console.secret, "canary token not valid")
        resolver.wait_line("no token")
        for text in (resolver.log(), resolver.arguments().decode(), resolver.environment().decode()):
            self.assertNotIn("canary-", text)
            self.assertNotIn("canary token", text)


if __name__ == "__main__":
    tap.main()
