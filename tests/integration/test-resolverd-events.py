#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The resolver's stream of events over TLS: what a real libvirtd makes it say, and its life with the daemon's."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import case, events, rawhttp, resolverd, tap

NOWHERE = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"
BACK_OFF = 60


class Life(case.Case):
    def test_end_with_streams(self):
        """Suspended, in the middle, not read at all: check_end() wants status 0 within five seconds."""
        resolver = self.start_resolver(NOWHERE, wait=False)
        streams = [events.Stream(resolver) for _ in range(50)]
        for stream in streams[:25]:
            self.assertEqual(stream.next()[:2], ("recheck", "all"))
        deaf = resolver.connect()
        self.addCleanup(deaf.close)
        deaf.sendall(rawhttp.request_bytes(events.PATH))
        case.check_end(resolver)
        for stream in streams:
            with self.assertRaises(events.Ended):
                while stream.next():
                    pass
            stream.close()


class Libvirt(case.Case):
    def test_guest(self):
        """All that happens to one guest's token, and that nothing else is said."""
        daemon = self.start_libvirtd()
        daemon.define("demo", vnc=True)
        console, = resolverd.grant(daemon, "demo", [resolverd.Console("vnc")])
        daemon.kill()
        resolver = self.start_resolver(daemon, wait=False)
        with events.Stream(resolver) as stream:
            daemon.start()
            self.listen(daemon, resolver, stream, console)

    def listen(self, daemon, resolver, stream, console):
        digest = events.digest(console.token)
        self.assertEqual(stream.next()[:2], ("recheck", "all"))       # the stream is new
        resolver.wait_ready()
        self.assertEqual(stream.next()[:2], ("recheck", "all"))       # unknown tokens are dead from now on
        daemon.start_guest("demo")
        resolver.wait_status(console.token, 200)
        daemon.virsh("suspend", "demo")
        daemon.virsh("resume", "demo")
        console.attributes["host"] = "localhost"
        resolverd.set_metadata(daemon, "demo", [console], live=True)
        self.assertEqual(stream.next()[:2], ("changed", digest))
        daemon.kill()
        resolver.wait_status(console.token, 503)
        daemon.start()
        resolver.wait_status(console.token, 200, BACK_OFF)
        daemon.destroy("demo")
        self.assertEqual(stream.next()[:2], ("dead", digest))
        # the same token is good again, and dies while its libvirtd is away
        daemon.start_guest("demo")
        resolver.wait_status(console.token, 200)
        daemon.kill()
        resolver.wait_status(console.token, 503)
        daemon.kill_guest("demo")
        daemon.start()
        self.assertEqual(stream.next()[:2], ("dead", digest))
        self.assertGreater(stream.wait_beat(), 0)     # all of this takes about as long as one

    def test_two_libvirtd(self):
        """While one has never been listed, unknown tokens are not dead; a proxy is told when that changes."""
        up, down = self.start_libvirtd(), self.start_libvirtd()
        down.kill()
        resolver = self.start_resolver(up, down, wait=False)
        with events.Stream(resolver) as stream:
            self.assertEqual(stream.next()[:2], ("recheck", "all"))
            resolver.wait_line("listed, 0 guests")
            heard = []
            thread = threading.Thread(target=lambda: heard.append(stream.next()))
            thread.start()
            self.assertEqual(resolver.query("unknown").status, 503)
            self.assertEqual(heard, [])
            down.start()
            thread.join(BACK_OFF)
            self.assertEqual(heard[0][:2], ("recheck", "all"))
            self.assertEqual(resolver.query("unknown").status, 404)


if __name__ == "__main__":
    tap.main()
