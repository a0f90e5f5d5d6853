#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several libvirtd that die, hang and come back: nobody's tokens change because of another's."""
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import case, resolverd, tap

AT_ONCE = 3             # seconds, for what is promised within one
HANG_NOTICED = 60       # keep-alives take some 20 s
BACK_OFF = 60           # it tries again after 30 s at the latest


class Case(case.Case):
    def start_guest(self, daemon, name, **options):
        """A running guest with VNC and a token for it -> resolverd.Console."""
        options.setdefault("vnc", True)
        daemon.define(name, **options)
        console, = resolverd.grant(daemon, name, [resolverd.Console("vnc")])
        daemon.start_guest(name)
        return console


class One(Case):
    def setUp(self):
        self.daemon = self.start_libvirtd()
        self.console = self.start_guest(self.daemon, "demo")
        self.resolver = self.start_resolver(self.daemon)
        self.assertEqual(self.resolver.query(self.console.token).status, 200)

    def test_killed_and_restarted(self):
        self.daemon.kill()
        self.assertLess(self.resolver.wait_status(self.console.token, 503), AT_ONCE)
        response = self.resolver.query(self.console.token)
        self.assertGreater(int(response.headers["retry-after"]), 0)
        self.assertEqual(self.resolver.get("/readyz").status, 503)
        self.assertEqual(self.resolver.get("/healthz").status, 200)
        self.assertEqual(self.resolver.query("never-seen").status, 404)
        self.daemon.start()
        self.resolver.wait_status(self.console.token, 200, BACK_OFF)
        self.assertEqual(self.resolver.get("/readyz").status, 200)
        self.daemon.destroy("demo")         # events are watched again
        self.assertLess(self.resolver.wait_status(self.console.token, 404), AT_ONCE)

    def test_guest_ends_while_it_is_away(self):
        self.daemon.kill()
        self.resolver.wait_status(self.console.token, 503)
        self.daemon.kill_guest("demo")
        self.daemon.start()
        self.resolver.wait_status(self.console.token, 404, BACK_OFF)

    def test_secret_changes_while_it_is_away(self):
        self.daemon.kill()
        self.resolver.wait_status(self.console.token, 503)
        os.unlink(os.path.join(self.daemon.directory, "etc", "secrets", f"{self.console.secret}.base64"))
        self.daemon.start()
        self.resolver.wait_status(self.console.token, 404, BACK_OFF)

    def test_guest_that_cannot_be_read(self):
        """Its XML is too long for libvirt's own protocol; the others do not wait for it for ever."""
        console = resolverd.Console("vnc")
        self.daemon.define("huge", metadata=f"<lcp:consoles xmlns:lcp='{resolverd.NAMESPACE}'>{console.xml()}"
                                            "</lcp:consoles><b:big xmlns:b='urn:big'>" + ">" * 1_200_000 + "</b:big>")
        self.daemon.start_guest("huge")
        resolver = self.start_resolver(self.daemon)
        resolver.wait_line("guests that cannot be read.*: 1$")
        self.assertEqual(resolver.query(self.console.token).status, 200)

    def test_guest_that_cannot_be_read_any_more(self):
        """Nobody knows whether its token is still good, so it is neither served nor dead."""
        big = "<big>" + ">" * 100_000 + "</big>"        # four times that in XML
        uris = [f"urn:big{i}" for i in range(11)]
        for uri in uris:
            self.daemon.virsh("metadata", "demo", uri, "--live", "--key", "b", "--set", big)
        self.resolver.wait_status(self.console.token, 503)
        resolverd.set_token(self.daemon, self.console.secret, "another")
        self.assertEqual(self.resolver.get("/readyz").status, 200)
        self.daemon.virsh("metadata", "demo", uris[0], "--live", "--remove")
        self.resolver.wait_status("another", 200)
        self.assertEqual(self.resolver.query(self.console.token).status, 404)

    def test_terminated_goes_down_in_time(self):
        self.daemon.terminate()
        self.resolver.wait_status(self.console.token, 503)


class Hanging(Case):
    def test_stopped_and_continued(self):
        """Nothing else waits for it, queries and another libvirtd the least."""
        hanging, asked, other = self.start_libvirtd(), self.start_libvirtd(), self.start_libvirtd()
        one = self.start_guest(hanging, "one", vnc={"passwd": "password"})
        three = self.start_guest(asked, "three")
        two = self.start_guest(other, "two")
        resolver = self.start_resolver(hanging, asked, other)
        resolver.wait_status(one.token, 200)
        hanging.pause()
        asked.pause()
        # a secret that nobody has: the thread of each libvirtd asks its own, and waits
        resolverd.set_metadata(other, "two", [two, resolverd.Console("vnc")], live=True)
        begin = time.monotonic()
        self.assertEqual(resolver.query(one.token).status, 503)         # its password is not told in time
        self.assertLess(time.monotonic() - begin, 10)
        waiting = [threading.Thread(target=resolver.query, args=(one.token,)) for _ in range(20)]
        for thread in waiting:
            thread.start()
        begin = time.monotonic()
        for _ in range(20):
            self.assertEqual(resolver.query(two.token).status, 200)
        self.assertLess(time.monotonic() - begin, 2)
        other.destroy("two")
        self.assertLess(resolver.wait_status(two.token, 404), AT_ONCE)
        for thread in waiting:
            thread.join()
        self.assertEqual(resolver.query(three.token).status, 200)       # as far as anybody knows
        for one_of_them in (hanging, asked):
            resolver.wait_line(f"{re.escape(one_of_them.uri)}: (no answer|the connection is lost)", HANG_NOTICED)
        for console in (one, three):
            self.assertEqual(resolver.query(console.token).status, 503)
        asked.kill_guest("three")
        for one_of_them in (hanging, asked):
            one_of_them.resume()
        resolver.wait_status(one.token, 200, BACK_OFF)
        resolver.wait_status(three.token, 404, BACK_OFF)

    def test_end_while_one_hangs(self):
        """check_end() wants it gone within five seconds."""
        hanging = self.start_libvirtd()
        self.addCleanup(hanging.resume)
        resolver = self.start_resolver(hanging)
        hanging.pause()
        hanging_too = self.start_resolver(hanging, wait=False)
        self.assertEqual(hanging_too.query("any").status, 503)
        case.check_end(resolver)


class Two(Case):
    def test_one_is_down_from_the_start(self):
        up = self.start_libvirtd()
        down = self.start_libvirtd()
        known = self.start_guest(up, "up")
        unknown = self.start_guest(down, "down")
        down.kill()
        resolver = self.start_resolver(up, down, wait=False)
        resolver.wait_status(known.token, 200)
        self.assertEqual(resolver.get("/readyz").status, 503)
        # it may be one of those that nobody has told of yet: a 404 would end its sessions
        self.assertEqual(resolver.query(unknown.token).status, 503)
        self.assertEqual(resolver.query("never-seen").status, 503)
        up.destroy("up")
        self.assertLess(resolver.wait_status(known.token, 404), AT_ONCE)
        down.start()
        resolver.wait_status(unknown.token, 200, BACK_OFF)
        resolver.wait_ready()
        self.assertEqual(resolver.query("never-seen").status, 404)
        self.assertEqual(resolver.query(known.token).status, 404)

    def test_secret_of_another_host(self):
        """Migration takes the metadata along and leaves the secrets."""
        here, there = self.start_libvirtd(), self.start_libvirtd()
        console = resolverd.Console("vnc")
        resolverd.define_secret(there, console.secret)
        resolverd.set_token(there, console.secret, console.token)
        here.define("moved", vnc=True)
        resolverd.set_metadata(here, "moved", [console])
        here.start_guest("moved")
        resolver = self.start_resolver(here, there)
        resolver.wait_status(console.token, 200)
        resolverd.set_token(there, console.secret, "rotated")
        resolver.wait_status("rotated", 200)
        self.assertEqual(resolver.query(console.token).status, 404)
        there.kill()                        # its guest's own libvirtd is what counts
        resolver.wait_line(r"the connection is lost")
        self.assertEqual(resolver.query("rotated").status, 200)
        there.start()
        resolver.wait_ready(BACK_OFF)
        there.virsh("secret-undefine", console.secret)
        self.assertLess(resolver.wait_status("rotated", 404), AT_ONCE)
        resolverd.define_secret(here, console.secret)
        resolverd.set_token(here, console.secret, "at-home")
        self.assertLess(resolver.wait_status("at-home", 200), AT_ONCE)

    def test_secret_of_another_host_changes_unheard(self):
        """While nobody here needs it: the old value must not open the guest when it comes back."""
        here, there = self.start_libvirtd(), self.start_libvirtd()
        console = resolverd.Console("vnc")
        resolverd.define_secret(there, console.secret)
        resolverd.set_token(there, console.secret, console.token)
        here.define("moved", vnc=True)
        resolverd.set_metadata(here, "moved", [console])
        here.start_guest("moved")
        resolver = self.start_resolver(here, there)
        resolver.wait_status(console.token, 200)
        here.destroy("moved")
        resolver.wait_status(console.token, 404)
        resolverd.set_token(there, console.secret, "rotated")
        here.start_guest("moved")
        resolver.wait_status("rotated", 200)
        self.assertEqual(resolver.query(console.token).status, 404)

    def test_migrated_guest(self):
        """The same guest on two hosts: the one where it runs counts, then the one that is left."""
        source, target = self.start_libvirtd(), self.start_libvirtd()
        uuid = "6a1f4c1e-8b1f-4d5e-9f0a-3c2b1a000001"
        consoles = []
        for one in (source, target):
            one.define("moving", uuid=uuid, vnc=True)
            console = resolverd.Console("vnc", **({"token": consoles[0].token} if consoles else {}))
            consoles += resolverd.grant(one, "moving", [console])
            one.start_guest("moving")
        target.virsh("suspend", "moving")
        resolver = self.start_resolver(source, target)
        addresses = [self.port(one) for one in (source, target)]
        self.assertEqual(resolver.service(consoles[0].token)["address"], addresses[0])
        source.virsh("suspend", "moving")
        target.virsh("resume", "moving")
        self.wait_address(resolver, consoles[0].token, addresses[1])
        source.destroy("moving")
        self.wait_address(resolver, consoles[0].token, addresses[1])
        target.destroy("moving")
        self.assertLess(resolver.wait_status(consoles[0].token, 404), AT_ONCE)

    def port(self, daemon):
        display = daemon.virsh("vncdisplay", "moving").rsplit(":", 1)[1]
        return f"127.0.0.1:{5900 + int(display)}"

    def wait_address(self, resolver, token, address):
        deadline = time.monotonic() + 20
        while resolver.service(token)["address"] != address:
            self.assertLess(time.monotonic(), deadline, resolver.tail())
            time.sleep(0.01)

    def test_same_token_on_two_hosts(self):
        here, there = self.start_libvirtd(), self.start_libvirtd()
        one, other = self.start_guest(here, "one"), self.start_guest(there, "other")
        resolver = self.start_resolver(here, there)
        resolverd.set_token(there, other.secret, one.token)
        resolver.wait_status(one.token, 404)
        resolver.wait_line("neither is served: .*guest (one|other) .* on .* and .*guest (one|other) ")


class Unreachable(Case):
    def test_complains_once_and_goes_down(self):
        resolver = self.start_resolver("qemu+unix:///system?socket=/nonexistent/libvirt-sock", wait=False)
        resolver.wait_line("warning: .*cannot connect.*trying again")
        resolver.wait_line("debug: .*cannot connect")
        self.assertEqual(resolver.count_lines("warning: .*cannot connect"), 1)
        self.assertEqual(resolver.get("/readyz").status, 503)

    def test_peer_that_says_nothing(self):
        """A libvirtd's port where nobody ever answers: the others are served."""
        up = self.start_libvirtd()
        console = self.start_guest(up, "up")
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        host, port = silent.getsockname()
        resolver = self.start_resolver(up, f"qemu+tcp://{host}:{port}/system", wait=False)
        self.assertLess(resolver.wait_status(console.token, 200), 10)


if __name__ == "__main__":
    tap.main()
