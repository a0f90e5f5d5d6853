#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""SPICE consoles of a real QEMU over TLS: sessions, their channels, and who is kept out of them."""
import datetime
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakeresolver, guest, redisserver, spice, tap

SCANCODE_A = 0x1e
ENDED, TOKEN, POLICY, IN_USE, MOVED = 1000, 4401, 4403, 4409, 4410
MAIN, DISPLAY, INPUTS, CURSOR = ((kind, 0) for kind in (spice.MAIN, spice.DISPLAY, spice.INPUTS,
                                                        spice.CURSOR))
PASSWORD = "CANARYspicepassword"


def in_seconds(seconds):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class SpiceCase(case.Case):
    def service(self, vm, **fields):
        return {"type": "spice", "address": f"localhost:{vm.spice_port}", **fields}

    def main(self, proxy, token, **options):
        """A session -> (Channel, session id, channels)."""
        return spice.open_main(self.websocket(proxy, token), **options)

    def channel(self, proxy, token, session, kind, **options):
        channel = spice.Channel(self.websocket(proxy, token))
        channel.login(session, *kind, **options)
        return channel

    def refusal(self, proxy, token, session=0, kind=MAIN, **options):
        """A link that must be refused by the proxy -> (SPICE error, close code)."""
        channel = spice.Channel(self.websocket(proxy, token))
        with self.assertRaises(spice.Refused) as refused:
            channel.link(session, *kind, **options)
        self.assertEqual(refused.exception.where, "reply")
        close = channel.sock.wait_close()
        self.assert_plain(close.reason)
        return refused.exception.error, close.code

    def end(self, main, channels):
        """Closes the main channel; the others hear of it."""
        main.sock.close()
        for channel in channels.values():
            self.assertEqual(channel.sock.wait_close().code, ENDED)

    def assert_types(self, vm, inputs):
        """A key that is pressed on this channel arrives in the guest."""
        spice.type_key(inputs, SCANCODE_A)
        vm.expect_serial(b"Ka")

    def assert_shows(self, display):
        """The guest's screen comes: its surface, and an image for it."""
        spice.init_display(display)
        surface = display.expect(spice.SURFACE_CREATE).body
        self.assertEqual(int.from_bytes(surface[4:8], "little"), 720)
        self.assertGreater(len(display.expect(spice.DRAW_COPY).body), 1000)

    def whole_session(self, proxy, vm, token, **options):
        """All four channels, used -> (main, session id, {kind: Channel})."""
        main, session, listed = self.main(proxy, token, **options)
        self.assertEqual(listed, {DISPLAY, INPUTS, CURSOR})
        channels = {kind: self.channel(proxy, token, session, kind) for kind in sorted(listed)}
        self.assert_shows(channels[DISPLAY])
        self.assert_types(vm, channels[INPUTS])
        return main, session, channels


class Session(SpiceCase):
    @classmethod
    def setUpClass(cls):
        cls.vm = case.make_guest(spice="tls", spice_password=PASSWORD)
        cls.addClassCleanup(cls.vm.stop)
        service = {"type": "spice", "address": f"localhost:{cls.vm.spice_port}",
                   "password": PASSWORD}
        cls.proxy = cls.start_class_daemon({
            "multi": service, "other": service, "single": {**service, "singleUse": True},
            "single2": {**service, "singleUse": True}})

    def test_single_use(self):
        main, session, channels = self.whole_session(self.proxy, self.vm, "single")
        # nobody else gets in with the token while it lives, and the session goes on
        self.assertEqual(self.refusal(self.proxy, "single"), (spice.PERMISSION_DENIED, TOKEN))
        self.assert_types(self.vm, channels[INPUTS])
        self.end(main, channels)
        # nor after it
        self.assertEqual(self.refusal(self.proxy, "single"), (spice.PERMISSION_DENIED, TOKEN))
        self.assertEqual(self.refusal(self.proxy, "single", session, INPUTS),
                         (spice.PERMISSION_DENIED, TOKEN))
        self.assert_password_is_secret()

    def assert_password_is_secret(self):
        self.assertNotIn("CANARY", self.proxy.log())
        self.assertNotIn(b"CANARY", self.proxy.arguments())

    def test_multi_use(self):
        main, _, channels = self.whole_session(self.proxy, self.vm, "multi")
        # one main channel at a time: a second one would end the first in QEMU
        self.assertEqual(self.refusal(self.proxy, "multi"), (spice.PERMISSION_DENIED, IN_USE))
        self.assert_types(self.vm, channels[INPUTS])
        self.end(main, channels)
        main, _, channels = self.whole_session(self.proxy, self.vm, "multi")
        self.end(main, channels)

    def test_clients_password_does_not_matter(self):
        main, session, _ = self.main(self.proxy, "multi", password="whatever the page has")
        inputs = self.channel(self.proxy, "multi", session, INPUTS, password="")
        self.end(main, {INPUTS: inputs})

    def test_guessed_id(self):
        main, session, _ = self.main(self.proxy, "multi")
        before = self.vm.spice_channels()
        for wrong in (0, 1, session - 1, session + 1, session ^ 0x80000000, 0xffffffff):
            self.assertEqual(self.refusal(self.proxy, "multi", wrong % 2**32, INPUTS),
                             (spice.BAD_CONNECTION_ID, POLICY))
        # the right one with another token
        self.assertEqual(self.refusal(self.proxy, "other", session, INPUTS),
                         (spice.BAD_CONNECTION_ID, POLICY))
        self.assertEqual(self.vm.spice_channels(), before)
        inputs = self.channel(self.proxy, "multi", session, INPUTS)
        self.assert_types(self.vm, inputs)
        self.end(main, {INPUTS: inputs})

    def test_before_the_main_channel(self):
        self.assertEqual(self.refusal(self.proxy, "multi", 1234, INPUTS),
                         (spice.BAD_CONNECTION_ID, POLICY))

    def test_after_the_main_channel(self):
        main, session, _ = self.main(self.proxy, "multi")
        main.sock.close()
        self.assertEqual(self.refusal(self.proxy, "multi", session, INPUTS),
                         (spice.BAD_CONNECTION_ID, POLICY))

    def test_not_listed(self):
        main, session, _ = self.main(self.proxy, "multi")
        for kind in ((spice.DISPLAY, 7), (spice.USBREDIR, 0), (spice.PORT, 0), (0, 0), (255, 255)):
            self.assertEqual(self.refusal(self.proxy, "multi", session, kind),
                             (spice.CHANNEL_NOT_AVAILABLE, POLICY), kind)
        main.sock.close()

    def test_before_the_list(self):
        main = spice.Channel(self.websocket(self.proxy, "multi"))
        main.login()
        session = main.init()
        self.assertEqual(self.refusal(self.proxy, "multi", session, INPUTS),
                         (spice.CHANNEL_NOT_AVAILABLE, POLICY))
        main.sock.close()

    def test_open_already(self):
        main, session, _ = self.main(self.proxy, "multi")
        inputs = self.channel(self.proxy, "multi", session, INPUTS)
        self.assertEqual(self.refusal(self.proxy, "multi", session, INPUTS),
                         (spice.CHANNEL_NOT_AVAILABLE, POLICY))
        self.assert_types(self.vm, inputs)
        # closed, it can be opened again
        inputs.sock.close()
        guest.wait_until(lambda: INPUTS not in self.vm.spice_channels(), "QEMU noticed")
        inputs = self.channel(self.proxy, "multi", session, INPUTS)
        self.assert_types(self.vm, inputs)
        self.end(main, {INPUTS: inputs})

    def test_main_with_an_id(self):
        main, session, channels = self.whole_session(self.proxy, self.vm, "multi")
        self.assertEqual(self.refusal(self.proxy, "multi", session),
                         (spice.BAD_CONNECTION_ID, POLICY))
        self.assertEqual(self.refusal(self.proxy, "other", 1), (spice.BAD_CONNECTION_ID, POLICY))
        self.assertEqual(self.refusal(self.proxy, "other", 0, (spice.MAIN, 1)),
                         (spice.CHANNEL_NOT_AVAILABLE, POLICY))
        self.assert_types(self.vm, channels[INPUTS])
        self.end(main, channels)

    def test_channel_that_is_plugged_in_late(self):
        main, session, _ = self.main(self.proxy, "multi")
        self.vm.add_spice_port("org.lab.late")
        self.addCleanup(self.vm.qmp, "chardev-remove", id="org.lab.late")
        [port] = main.channels()
        self.assertEqual(port[0], spice.PORT)
        late = self.channel(self.proxy, "multi", session, port)
        self.assertIn(b"org.lab.late", late.message().body)
        main.sock.close()
        late.sock.wait_close()

    def test_full_headers(self):
        """A client of old: no capabilities at all."""
        main = spice.Channel(self.websocket(self.proxy, "single2"), mini=False)
        reply = main.link(common=(), channel=())
        main.authenticate(reply.key, mechanism=None)
        session = main.init()
        main.attach()
        self.assertEqual(main.channels(), {DISPLAY, INPUTS, CURSOR})
        inputs = self.channel(self.proxy, "single2", session, INPUTS)
        self.assert_types(self.vm, inputs)
        self.end(main, {INPUTS: inputs})

    def test_sasl_and_migration_are_not_offered(self):
        main = spice.Channel(self.websocket(self.proxy, "multi"))
        reply = main.link(common=(spice.AUTH_SELECTION | spice.AUTH_SPICE | spice.AUTH_SASL
                                  | spice.MINI_HEADER,), channel=(spice.SEAMLESS,))
        self.assertEqual(reply.common[0] & spice.AUTH_SASL, 0)
        main.authenticate(reply.key)
        main.init()
        main.sock.close()

    def test_byte_by_byte(self):
        main = spice.Channel(self.websocket(self.proxy, "multi"))
        for byte in spice.link_message():
            main.sock.write(bytes([byte]))
        main.authenticate(main.reply().key)
        main.init()
        main.sock.close()

    def test_ways_to_end(self):
        for end in ("drop", "reset", "close"):
            main, session, _ = self.main(self.proxy, "multi")
            display = self.channel(self.proxy, "multi", session, DISPLAY)
            # spice-server 0.15 dies of a session that ends while a display is being made
            self.assert_shows(display)
            getattr(main.sock, end)()
            self.assertEqual(display.sock.wait_close().code, ENDED, end)
        guest.wait_until(lambda: not self.vm.spice_channels(), "QEMU noticed")


class Guests(SpiceCase):
    def test_killed(self):
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": self.service(vm)})
        main, _, channels = self.whole_session(proxy, vm, "t")
        vm.kill()
        for channel in (main, *channels.values()):
            self.assertEqual(channel.sock.wait_close().code, ENDED)
        proxy.wait_idle()

    def test_left_at_once(self):
        """spice-server 0.15 does not survive a display that goes as soon as it has come."""
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": self.service(vm)})
        for _ in range(5):
            main, session, _ = self.main(proxy, "t")
            display = self.channel(proxy, "t", session, DISPLAY)
            display.sock.drop()
            main.sock.drop()
            proxy.wait_idle()
        main, _, _ = self.whole_session(proxy, vm, "t")
        self.assertEqual(vm.status(), "running")

    def test_two_stay_apart(self):
        """One session each, at once; the id of one is no key to the other."""
        vms = [self.start_guest(spice="tls") for _ in range(2)]
        proxy = self.start_daemon({f"t{i}": self.service(vm) for i, vm in enumerate(vms)})
        sessions = [self.main(proxy, f"t{i}") for i in range(2)]
        for i in range(2):
            _, foreign, _ = sessions[1 - i]
            self.assertEqual(self.refusal(proxy, f"t{i}", foreign, INPUTS),
                             (spice.BAD_CONNECTION_ID, POLICY))
        for i, vm in enumerate(vms):
            _, own, _ = sessions[i]
            self.assert_types(vm, self.channel(proxy, f"t{i}", own, INPUTS))

    def test_wrong_password_spends_nothing(self):
        vm = self.start_guest(spice="tls", spice_password="right")
        service = self.service(vm, password="wrongCANARY", singleUse=True)
        proxy = self.start_daemon({"t": service})
        main = spice.Channel(self.websocket(proxy, "t"))
        with self.assertRaises(spice.Refused) as refused:
            main.login(password="right")
        self.assertEqual(refused.exception.error, spice.PERMISSION_DENIED)
        self.assertEqual(main.sock.wait_close().code, 4502)
        mark = proxy.mark()
        proxy.write_tokens({"t": {**service, "password": "right"}})
        proxy.reload()
        proxy.wait_line("reloaded", after=mark)
        self.whole_session(proxy, vm, "t")
        self.assertNotIn("CANARY", proxy.log())

    def test_clients_own_password(self):
        """Without a password in the service the client must know it."""
        vm = self.start_guest(spice="tls", spice_password="right")
        proxy = self.start_daemon({"t": self.service(vm)})
        with self.assertRaises(spice.Refused):
            self.main(proxy, "t", password="wrong")
        main, session, _ = self.main(proxy, "t", password="right")
        self.channel(proxy, "t", session, INPUTS, password="right")
        main.sock.close()

    def test_not_there_spends_nothing(self):
        vm = self.start_guest(spice="tls")
        service = self.service(vm, singleUse=True)
        nowhere = {**service, "address": f"localhost:{redisserver.free_port()}"}
        proxy = self.start_daemon({"t": nowhere})
        self.assertEqual(self.refusal(proxy, "t"), (spice.ERROR, 4404))
        mark = proxy.mark()
        proxy.write_tokens({"t": service})
        proxy.reload()
        proxy.wait_line("reloaded", after=mark)
        self.whole_session(proxy, vm, "t")

    def test_clear_text(self):
        vm = self.start_guest(spice="clear")
        service = self.service(vm)
        proxy = self.start_daemon({"t": {**service, "insecure": True}, "secure": service},
                                  connect_insecure=True)
        main, _, channels = self.whole_session(proxy, vm, "t")
        self.end(main, channels)
        proxy.wait_idle()
        self.assertEqual(self.refusal(proxy, "secure")[1], 4502)

    def test_channels_that_want_tls(self):
        """A guest with both ports, which lets nobody in at the wrong one."""
        reserved, port = guest.reserve_port()
        vm = self.start_guest(arguments=(
            "-spice", f"addr=127.0.0.1,port={port},tls-port={redisserver.free_port()},tls-channel=default,"
            f"x509-dir={self.certs.qemu_dir()},disable-ticketing=on"))
        reserved.close()
        proxy = self.start_daemon({"t": {"type": "spice", "address": f"localhost:{port}",
                                         "insecure": True}}, connect_insecure=True)
        self.assertEqual(self.refusal(proxy, "t"), (spice.NEED_SECURED, POLICY))


class Certificates(SpiceCase):
    def setUp(self):
        directory = self.certs.qemu_dir("odd", names=("hypervisor2.example",), cn="hypervisor2")
        self.vm = self.start_guest(spice="tls", tls=directory, sanity_check=False)

    def outcome_of(self, proxy, token):
        return self.refusal(proxy, token)[1]

    def test_subject(self):
        subject = "O=console lab,CN=hypervisor2"
        proxy = self.start_daemon({
            "name": self.service(self.vm),
            "subject": self.service(self.vm, tlsSubject=subject),
            "other": self.service(self.vm, tlsSubject="O=console lab,CN=hypervisor3"),
            "part": self.service(self.vm, tlsSubject="CN=hypervisor2"),
            "both": self.service(self.vm, tlsSubject=subject, tlsServerName="x.example")})
        for token in ("subject", "both"):
            main, _, channels = self.whole_session(proxy, self.vm, token)
            self.end(main, channels)
        for token in ("name", "other", "part"):
            self.assertEqual(self.outcome_of(proxy, token), 4502, token)
        guest.wait_until(lambda: not self.vm.spice_channels(), "QEMU noticed the end of the others")

    def test_subject_of_another_ca(self):
        directory = self.certs.qemu_dir("rogue", names=("hypervisor2.example",), cn="hypervisor2",
                                        authority="other")
        vm = self.start_guest(spice="tls", tls=directory, sanity_check=False)
        proxy = self.start_daemon(
            {"t": self.service(vm, tlsSubject="O=console lab,CN=hypervisor2")})
        self.assertEqual(self.outcome_of(proxy, "t"), 4502)


class Expiry(SpiceCase):
    def test_it_ends_all_channels(self):
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": self.service(vm, expires=in_seconds(5))})
        main, session, _ = self.main(proxy, "t")
        inputs = self.channel(proxy, "t", session, INPUTS)
        self.assert_types(vm, inputs)
        for channel in (main, inputs):
            self.assertEqual(channel.sock.wait_close().code, TOKEN)
        self.assertEqual(self.refusal(proxy, "t"), (spice.PERMISSION_DENIED, TOKEN))

    def test_forgotten_before_its_end(self):
        """That is a revocation: all channels end, and there are no further ones."""
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": self.service(vm)})
        main, session, _ = self.main(proxy, "t")
        inputs = self.channel(proxy, "t", session, INPUTS)
        proxy.write_tokens({})
        proxy.reload()
        for channel in (main, inputs):
            self.assertEqual(channel.sock.wait_close().code, TOKEN)
        self.assertEqual(self.websocket(proxy, "t").wait_close().code, TOKEN)


class ReconnectWindow(SpiceCase):
    def test_same_client(self):
        """A page that is reloaded; one session at a time all the same, and nobody else."""
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": self.service(vm, singleUse=True)}, reconnect_window=600)
        for _ in range(2):
            main, _, channels = self.whole_session(proxy, vm, "t")
            self.assertEqual(self.refusal(proxy, "t"), (spice.PERMISSION_DENIED, IN_USE))
            self.end(main, channels)
        stranger = spice.Channel(self.websocket(proxy, "t", source="127.0.0.2"))
        with self.assertRaises(spice.Refused):
            stranger.link()
        self.assertEqual(stranger.sock.wait_close().code, TOKEN)


class Changes(SpiceCase):
    def test_token_that_changes_its_type(self):
        """While its session lives, which hears of it late; what comes then is a session of another kind, and
        counts."""
        vm = self.start_guest(spice="tls")
        other = self.start_guest(serial="tls raw")
        resolver = fakeresolver.Resolver(self.certs.resolver_server, self.certs.ca)
        self.addCleanup(resolver.stop)
        resolver.answers["t"] = fakeresolver.found(self.service(vm))
        proxy = self.start_daemon(resolver_mode="external", resolver_tokens=None, resolver_uri=resolver.base,
                                  recheck="0", max_sessions_per_token=2)
        resolver.wait_streams(1)
        main, _, channels = self.whole_session(proxy, vm, "t")
        resolver.answers["t"] = fakeresolver.found(case.serial(other.serial_address))
        sock = self.websocket(proxy, "t")
        sock.write(b"x")
        self.assertEqual(sock.read(1), b"x")
        self.assertEqual(self.websocket(proxy, "t").wait_close().code, 4409)
        self.assert_types(vm, channels[INPUTS])
        resolver.send(b"event: recheck\ndata: all\n\n")
        for channel in (main, *channels.values()):
            self.assertEqual(channel.sock.wait_close().code, MOVED)
        sock.write(b"y")
        self.assertEqual(sock.read(1), b"y")
        sock.close()


class TwoTokens(SpiceCase):
    def test_second_main_channel_of_another_token(self):
        """QEMU would throw out the first user, whatever token the second one has."""
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"a": self.service(vm), "b": self.service(vm, singleUse=True)})
        main, _, channels = self.whole_session(proxy, vm, "a")
        self.assertEqual(self.refusal(proxy, "b"), (spice.PERMISSION_DENIED, IN_USE))
        self.assert_types(vm, channels[INPUTS])
        self.end(main, channels)
        proxy.wait_idle()
        self.whole_session(proxy, vm, "b")      # the refusal has not spent it

    def test_server_for_several(self):
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({token: self.service(vm, exclusive=False) for token in "ab"})
        main, _, _ = self.whole_session(proxy, vm, "a")
        self.whole_session(proxy, vm, "b")
        self.assertEqual(main.sock.wait_close().code, ENDED)        # this one is not such a server


class Limits(SpiceCase):
    def test_all_channels_are_one_session(self):
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": self.service(vm), "u": self.service(vm)},
                                  max_sessions=1, max_sessions_per_token=1,
                                  max_sessions_per_console=1, max_sessions_per_address=1)
        main, session, channels = self.whole_session(proxy, vm, "t")
        # no room for anybody else, and the session's own channels come and go
        self.assertIn(proxy.upgrade("/websockify?token=u").status, (429, 503))
        channels[INPUTS].sock.close()
        guest.wait_until(lambda: INPUTS not in vm.spice_channels(), "QEMU noticed")
        channels[INPUTS] = self.channel(proxy, "t", session, INPUTS)
        self.assert_types(vm, channels[INPUTS])
        self.end(main, channels)
        proxy.wait_idle()
        self.whole_session(proxy, vm, "u")

    def test_console(self):
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": self.service(vm), "u": self.service(vm)},
                                  max_sessions_per_console=1)
        self.whole_session(proxy, vm, "t")
        self.assertEqual(self.refusal(proxy, "u"), (spice.PERMISSION_DENIED, IN_USE))

    def test_websockets_that_never_link(self):
        """A live session's token opens not more of them than any client needs."""
        vm = self.start_guest(spice="tls")
        proxy = self.start_daemon({"t": self.service(vm)}, max_sessions_per_token=1)
        self.main(proxy, "t")
        idle = [self.websocket(proxy, "t") for _ in range(64)]
        self.assertEqual(proxy.upgrade("/websockify?token=t").status, 429)
        idle[0].close()
        proxy.wait_line("session 2 ended|refused")
        self.websocket(proxy, "t")


if __name__ == "__main__":
    tap.main()
