#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live sessions whose right ends, from libvirt over the resolver to the client's close frame; and everything that
must not end them. The proxy does not ask again by itself here unless a test says so."""
import pathlib
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import adm, case, events, guest, libvirtd, resolverd, rfb, spice, tap

TOKEN, MOVED = 4401, 4410
AT_ONCE = 1              # second, the promise
SLOW = 5                 # what a slow machine may make of it
BACK_OFF = 40            # the proxy, and the resolver, try again after 30 s at the latest
INPUTS = (spice.INPUTS, 0)


_shared = {}


class Rights(case.Case):
    """One libvirtd, resolver and proxy for all tests of the program."""

    @classmethod
    def setUpClass(cls):
        if not _shared:
            _shared["daemon"] = case.make_libvirtd()
            unittest.addModuleCleanup(_shared["daemon"].stop)
            _shared["resolver"] = case.make_resolver([_shared["daemon"]])
            unittest.addModuleCleanup(case.check_end, _shared["resolver"])
            _shared["proxy"] = case.make_daemon(**cls.proxy_flags(_shared["resolver"].uri))
            unittest.addModuleCleanup(case.check_end, _shared["proxy"])
            _shared["proxy"].wait_line("the resolver tells of tokens that die")
        cls.daemon, cls.resolver, cls.proxy = (_shared[name] for name in ("daemon", "resolver", "proxy"))

    @staticmethod
    def proxy_flags(uri):
        return {"resolver_mode": "external", "resolver_tokens": None, "resolver_uri": uri,
                "recheck": "0"}

    def guest(self, name, *kinds, **options):
        """A running guest, whose consoles of these kinds are enabled by our own tool -> their tokens."""
        self.daemon.define(name, **options)
        self.addCleanup(self.daemon.virsh, "undefine", name)
        self.daemon.start_guest(name)
        self.addCleanup(self.end_guest, name)
        self.run_adm("enable", name)
        tokens = [adm.token(self.daemon, name, kind) for kind in kinds]
        for token in tokens:
            self.resolver.wait_status(token, 200)
        return tokens

    def end_guest(self, name):
        try:
            self.daemon.destroy(name)
        except libvirtd.Failed:
            pass                              # it is off

    def run_adm(self, *arguments):
        done = adm.run(self.daemon, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)

    def vnc(self, token):
        sock, client = self.open(self.proxy, token)
        client.update()
        return sock

    def wait_closes(self, socks, code):
        for sock in socks:
            self.assertEqual(sock.wait_close(30).code, code)


class Libvirt(Rights):
    def test_disable(self):
        """VNC, serial and SPICE with two channels; measured from the command's start, and from its end."""
        port = self.daemon.free_port()
        vnc, serial, spicy = self.guest("demo", "vnc", "serial", "spice", vnc=True, spice=True,
                                        serials=[libvirtd.Tcp(port)])
        socks = [self.vnc(vnc), self.vnc(vnc), self.websocket(self.proxy, serial)]
        main, session, _ = spice.open_main(self.websocket(self.proxy, spicy))
        inputs = spice.Channel(self.websocket(self.proxy, spicy))
        inputs.login(session, *INPUTS)
        socks += [main.sock, inputs.sock]
        closed = {}

        def listen(number, sock):
            close = sock.wait_close()
            closed[number] = (close.code, time.monotonic())
        threads = [threading.Thread(target=listen, args=row) for row in enumerate(socks)]
        for thread in threads:
            thread.start()
        begin = time.monotonic()
        self.run_adm("disable", "demo")
        done = time.monotonic()
        for thread in threads:
            thread.join()
        self.assertEqual({code for code, _ in closed.values()}, {TOKEN})
        last = max(at for _, at in closed.values())
        print(f"# last close frame {1000 * (last - begin):.0f} ms after the start of disable, "
              f"{1000 * (last - done):.0f} ms after its end")
        self.assertLess(last - done, AT_ONCE * SLOW)
        self.proxy.wait_idle()

    def test_stopped(self):
        """QEMU's end and the token's are one; the session does not outlive it whichever comes first."""
        token, = self.guest("stopped", "vnc", vnc=True)
        sock = self.vnc(token)
        self.daemon.destroy("stopped")
        self.assertIn(sock.wait_close(30).code, (1000, TOKEN))

    def test_metadata_removed(self):
        gone, = self.guest("removed", "vnc", vnc=True)
        stays, = self.guest("stays", "vnc", vnc=True)
        sock, other = self.vnc(gone), self.open(self.proxy, stays)
        self.daemon.virsh("metadata", "removed", resolverd.NAMESPACE, "--live", "--remove")
        self.wait_closes([sock], TOKEN)
        other[1].update()

    def test_secret_rotated(self):
        token, = self.guest("rotated", "vnc", vnc=True)
        sock = self.vnc(token)
        self.run_adm("rotate", "rotated")
        self.wait_closes([sock], TOKEN)
        self.vnc(adm.token(self.daemon, "rotated", "vnc"))

    def test_secret_undefined(self):
        token, = self.guest("undefined", "vnc", vnc=True)
        sock = self.vnc(token)
        secret, = adm.secrets(self.daemon, "undefined")
        self.daemon.virsh("secret-undefine", secret)
        self.wait_closes([sock], TOKEN)

    def test_ambiguous(self):
        one, = self.guest("first", "vnc", vnc=True)
        self.guest("second", "vnc", vnc=True)
        sock = self.vnc(one)
        secret, = adm.secrets(self.daemon, "second")
        resolverd.set_token(self.daemon, secret, one)
        self.wait_closes([sock], TOKEN)

    def test_moved(self):
        self.daemon.define("moved", vnc=True)
        self.addCleanup(self.daemon.virsh, "undefine", "moved")
        console, = resolverd.grant(self.daemon, "moved", [resolverd.Console("vnc")])
        self.daemon.start_guest("moved")
        self.addCleanup(self.daemon.destroy, "moved")
        self.resolver.wait_status(console.token, 200)
        sock = self.vnc(console.token)
        console.attributes["host"] = "localhost"
        resolverd.set_metadata(self.daemon, "moved", [console], live=True)
        self.wait_closes([sock], MOVED)
        self.vnc(console.token)

    def test_expires_is_brought_forward(self):
        self.daemon.define("forward", vnc=True)
        self.addCleanup(self.daemon.virsh, "undefine", "forward")
        console, = resolverd.grant(self.daemon, "forward", [resolverd.Console("vnc")])
        self.daemon.start_guest("forward")
        self.addCleanup(self.daemon.destroy, "forward")
        self.resolver.wait_status(console.token, 200)
        sock = self.vnc(console.token)
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        console.attributes["expires"] = soon
        resolverd.set_metadata(self.daemon, "forward", [console], live=True)
        self.wait_closes([sock], TOKEN)
        self.proxy.wait_line("reason token: the token has expired")

    def test_stream(self):
        """What the resolver itself says, and to whom."""
        token, = self.guest("stream", "vnc", vnc=True)
        with events.Stream(self.resolver) as stream:
            self.assertEqual(stream.next()[:2], ("recheck", "all"))
            last_id = stream.last_id
            self.run_adm("disable", "stream")
            self.assertLess(stream.wait("dead", events.digest(token)), AT_ONCE * SLOW)
        with events.Stream(self.resolver, last_id=last_id) as stream:
            self.assertEqual(stream.next()[:2], ("dead", events.digest(token)))
        self.assertNotIn(token, self.resolver.log() + self.proxy.log())


class Away(Rights):
    """Who is away ends nothing."""

    def setUp(self):
        token, = self.guest("away", "vnc", vnc=True)
        self.token = token
        self.sock, self.client = self.open(self.proxy, token)
        self.client.update()

    def test_libvirtd_killed(self):
        self.daemon.kill()
        self.resolver.wait_status(self.token, 503)
        self.client.update()
        self.daemon.start()
        self.resolver.wait_status(self.token, 200, BACK_OFF)
        self.client.update()
        self.run_adm("disable", "away")
        self.wait_closes([self.sock], TOKEN)


class Resolver(Rights):
    """It is killed and comes back; what happened meanwhile is not lost."""

    def test_killed_and_restarted(self):
        kept, = self.guest("kept", "vnc", vnc=True)
        gone, = self.guest("gone", "vnc", vnc=True)
        claim, port = guest.reserve_port()
        self.addCleanup(claim.close)
        first = case.make_resolver([self.daemon], listen_addr=f"127.0.0.1:{port}")
        self.addCleanup(first.process.kill)
        proxy = self.start_daemon(**self.proxy_flags(first.uri))
        proxy.wait_line("the resolver tells")
        kept_sock, kept_client = self.open(proxy, kept)
        gone_sock, gone_client = self.open(proxy, gone)
        first.process.kill()
        first.process.wait()
        proxy.wait_line("no events of the resolver for now")
        self.run_adm("disable", "gone")
        for client in (kept_client, gone_client):
            client.update()
        second = self.start_resolver(self.daemon, listen_addr=f"127.0.0.1:{port}")
        self.wait_closes([gone_sock], TOKEN)
        kept_client.update()
        # and the stream stands again
        proxy.wait_line("info: the resolver tells")
        self.run_adm("disable", "kept")
        self.wait_closes([kept_sock], TOKEN)
        case.check_end(second)


if __name__ == "__main__":
    tap.main()
