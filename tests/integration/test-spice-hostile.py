#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""SPICE peers that lie, hang and vanish: clients of a server that is never reached, and servers of
which there is no real one."""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, guest, spice, tap, ws

CLIENT, POLICY, MOVED, PROTOCOL, TIMEOUT = 1002, 4403, 4410, 4502, 4504
SESSION = 0x1234
SERVER_CAPS = struct.pack("<II", 0x0b, 0x0f)

reply_bytes = (b"REDQ" + struct.pack("<III", 2, 2, 186) + struct.pack("<I", 0)
               + bytes(spice.KEY_BYTES) + struct.pack("<III", 1, 1, 178) + SERVER_CAPS)
init_bytes = struct.pack("<HIII", spice.INIT, 32, SESSION, 0) + bytes(24)


def list_bytes(*kinds):
    return (struct.pack("<HII", spice.LIST, 4 + 2 * len(kinds), len(kinds))
            + b"".join(bytes(kind) for kind in kinds))


def read_link(stream):
    """The client's message -> its connection id and type."""
    *_, size = struct.unpack("<4sIII", stream.read(16))
    session, kind = struct.unpack_from("<IB", stream.read(size))
    return session, kind


def accept(stream):
    """The link phase up to the result."""
    link = read_link(stream)
    stream.write(reply_bytes)
    stream.read(4 + spice.TICKET_BYTES)
    stream.write(struct.pack("<I", 0))
    return link


def server_that_sends(data):
    def handler(stream):
        accept(stream)
        stream.write(data)
        fakes.drain(stream)
    return handler


class HostileCase(case.Case):
    def start(self, handler, **flags):
        """A proxy in front of a fake server -> the proxy; the token is t."""
        self.server = fakes.Server(handler)
        self.addCleanup(self.server.close)
        service = {"type": "spice", "address": self.server.address, "insecure": True}
        return self.start_daemon({"t": service, "single": {**service, "singleUse": True, "exclusive": False}},
                                 connect_insecure=True, **flags)

    def login(self, proxy, token="t"):
        main = spice.Channel(self.websocket(proxy, token))
        main.link()
        main.authenticate(None, ticket=bytes(spice.TICKET_BYTES))
        return main


class Clients(HostileCase):
    def setUp(self):
        self.proxy = self.start(fakes.silent, handshake_timeout=2)

    def check(self, data, error, code):
        sock = self.websocket(self.proxy, "t")
        sock.write(data)
        self.assertEqual(sock.read(194), spice.refusal(error))
        close = sock.wait_close()
        self.assertEqual(close.code, code)
        self.assert_plain(close.reason)

    def test_link_messages(self):
        """At every limit; transcripts have more of them."""
        message = spice.link_message
        for data, error in (
                (b"GET / HTTP/1.1\r\n\r\n", spice.INVALID_MAGIC),
                (message(magic=b"QDER"), spice.INVALID_MAGIC),
                (message(version=(1, 2)), spice.VERSION_MISMATCH),
                (message(version=(3, 0)), spice.VERSION_MISMATCH),
                *((message(size=size), spice.INVALID_DATA)
                  for size in (0, 1, 17, 4097, 65536, 2**31, 2**32 - 1)),
                *((message(offset=offset), spice.INVALID_DATA)
                  for offset in (0, 17, 19, 4096, 2**31, 2**32 - 1, 2**32 - 8)),
                *((message(counts=counts), spice.INVALID_DATA)
                  for counts in ((2, 1), (1, 2), (1025, 0), (0, 1025), (2**30 + 1, 1),
                                 (2**32 - 1, 2**32 - 1)))):
            self.check(data, error, CLIENT)
        self.check(message(session=1), spice.BAD_CONNECTION_ID, POLICY)
        self.check(message(id=1), spice.CHANNEL_NOT_AVAILABLE, POLICY)
        self.check(message(session=1, type=spice.INPUTS), spice.BAD_CONNECTION_ID, POLICY)
        self.assertEqual(self.server.connections, 0)
        self.assertTrue(self.proxy.is_alive())

    def test_link_that_never_ends(self):
        socks = [self.websocket(self.proxy, "t") for _ in range(5)]
        for sock, length in zip(socks, (0, 1, 15, 16, 41)):
            sock.write(spice.link_message()[:length])
        for sock in socks:
            self.assertEqual(sock.wait_close().code, TIMEOUT)
        self.assertEqual(self.server.connections, 0)

    def test_vanishes_at_every_byte(self):
        begin = self.proxy.descriptors()
        message = spice.link_message()
        for length in range(len(message) + 1):
            sock = self.websocket(self.proxy, "t")
            sock.write(message[:length])
            (sock.reset if length % 2 else sock.drop)()
        guest.wait_until(lambda: self.proxy.descriptors() <= begin, "descriptors are back")


class Tickets(HostileCase):
    def test_too_short(self):
        proxy = self.start(accept, handshake_timeout=2)
        main = spice.Channel(self.websocket(proxy, "t"))
        main.link()
        main.sock.write(struct.pack("<I", 1) + bytes(spice.TICKET_BYTES - 1))
        self.assertEqual(main.sock.wait_close().code, TIMEOUT)

    def test_other_mechanism(self):
        proxy = self.start(accept)
        main = spice.Channel(self.websocket(proxy, "t"))
        main.link()
        main.sock.write(struct.pack("<I", 2))
        # a reply has gone: the refusal is a result
        self.assertEqual(main.sock.read(4), struct.pack("<I", spice.ERROR))
        self.assertEqual(main.sock.wait_close().code, CLIENT)


class Servers(HostileCase):
    def check_end(self, data, code, closes=False):
        handler = server_that_sends(data)
        if closes:
            def handler(stream):
                accept(stream)
                stream.write(data)
        proxy = self.start(handler)
        main = self.login(proxy)
        self.assertEqual(main.sock.wait_close().code, code)
        proxy.wait_idle()
        return proxy

    def test_main_channel_without_sense(self):
        for data in (struct.pack("<HI", spice.INIT, 31), struct.pack("<HI", spice.INIT, 2**32 - 1),
                     struct.pack("<HIII", spice.INIT, 32, 0, 0) + bytes(24),
                     init_bytes + init_bytes, list_bytes((2, 0)),
                     init_bytes + struct.pack("<HI", spice.LIST, 2**32 - 1),
                     init_bytes + struct.pack("<HII", spice.LIST, 6, 2**31 + 1) + b"\2\0",
                     # more channels in all lists together than a session may have
                     init_bytes + list_bytes(*((2, i) for i in range(200)))
                     + list_bytes(*((3, i) for i in range(200)))):
            self.check_end(data, PROTOCOL)

    def test_migration(self):
        target = struct.pack("<HHI", 5900, 5901, 8) + b"CANARY\0\0"
        for data, closes in (
                # the address of the target stays inside
                (struct.pack("<HI", 111, len(target)) + target, False),
                (struct.pack("<HI", 101, len(target)) + target, True)):
            self.check_end(init_bytes + data, MOVED, closes)

    def test_migration_target_is_not_shown(self):
        target = b"CANARY" * 10
        proxy = self.start(server_that_sends(
            init_bytes + struct.pack("<HI", 101, len(target)) + target
            + struct.pack("<HI", spice.MOUSE_MODE, 4) + bytes(4)))
        main = self.login(proxy)
        main.init()
        self.assertEqual(main.message().type, spice.MOUSE_MODE)
        self.assertNotIn("CANARY", proxy.log())

    def test_ends_in_the_middle_of_a_message(self):
        for data in (b"\x67", init_bytes[:-1], init_bytes + b"\x68\0\6\0\0"):
            self.check_end(data, 1000, closes=True)

    def test_init_is_held_back_and_the_rest_is_not(self):
        """What comes before INIT passes at once."""
        proxy = self.start(server_that_sends(struct.pack("<HI", spice.MOUSE_MODE, 4) + bytes(4)))
        main = self.login(proxy)
        self.assertEqual(main.message().type, spice.MOUSE_MODE)

    def test_replies_without_sense(self):
        for data, code in ((b"RFB 003.008\n\0\0\0\0", PROTOCOL), (b"", PROTOCOL),
                           (reply_bytes[:100], PROTOCOL),
                           (b"REDQ" + struct.pack("<III", 3, 2, 186) + reply_bytes[16:], PROTOCOL),
                           (b"REDQ" + struct.pack("<III", 2, 2, 2**32 - 1), PROTOCOL)):
            def handler(stream):
                read_link(stream)
                stream.write(data)
            proxy = self.start(handler)
            sock = self.websocket(proxy, "single")
            sock.write(spice.link_message())
            self.assertEqual(sock.read(194), spice.refusal(spice.ERROR))
            self.assertEqual(sock.wait_close().code, code)

    def test_refused_claims_are_free(self):
        """A server that refuses has not spent the token."""
        refusing = [True]

        def handler(stream):
            read_link(stream)
            if refusing.pop() if refusing else False:
                stream.write(spice.refusal(spice.PERMISSION_DENIED))
                return
            stream.write(reply_bytes)
            stream.read(4 + spice.TICKET_BYTES)
            stream.write(struct.pack("<I", 0) + init_bytes)
            fakes.drain(stream)
        proxy = self.start(handler)
        main = spice.Channel(self.websocket(proxy, "single"))
        with self.assertRaises(spice.Refused) as refused:
            main.link()
        self.assertEqual(refused.exception.error, spice.PERMISSION_DENIED)
        self.assertEqual(main.sock.wait_close().code, PROTOCOL)
        self.assertEqual(self.login(proxy, "single").init(), SESSION)

    def test_gone_before_init_is_not_spent(self):
        first = [True]

        def handler(stream):
            accept(stream)
            if first:
                first.pop()
                return
            stream.write(init_bytes)
            fakes.drain(stream)
        proxy = self.start(handler)
        self.assertEqual(self.login(proxy, "single").sock.wait_close().code, 1000)
        proxy.wait_idle()
        self.assertEqual(self.login(proxy, "single").init(), SESSION)

    def test_vanishes_at_every_byte(self):
        whole = reply_bytes + struct.pack("<I", 0) + init_bytes
        sent = []

        def handler(stream):
            read_link(stream)
            length = sent[-1]
            stream.write(whole[:min(length, len(reply_bytes))])
            if length > len(reply_bytes):
                stream.read(4 + spice.TICKET_BYTES)
                stream.write(whole[len(reply_bytes):length])
            if length % 2:
                ws.rawhttp.reset(stream.sock)
        proxy = self.start(handler)
        begin = proxy.descriptors()
        for length in [*range(0, 20), *range(190, len(whole) + 1)]:
            sent.append(length)
            sock = self.websocket(proxy, "t")
            sock.write(spice.link_message() + struct.pack("<I", 1) + bytes(spice.TICKET_BYTES))
            self.assertIn(sock.wait_close().code, (1000, PROTOCOL), length)
        proxy.wait_idle()
        guest.wait_until(lambda: proxy.descriptors() <= begin, "descriptors are back")
        self.assertEqual(self.server.errors, [])

    def test_client_that_never_reads(self):
        """A gigabyte of skipped body stops at the buffers."""
        chunk = bytes(1 << 20)

        def handler(stream):
            accept(stream)
            stream.write(init_bytes + struct.pack("<HI", 4, 1 << 30))
            for _ in range(1 << 10):
                stream.write(chunk)
        self.skip_when_sanitized()
        proxy = self.start(handler)
        main = spice.Channel(self.websocket(proxy, "t", receive_buffer=4096))
        main.link()
        main.authenticate(None, ticket=bytes(spice.TICKET_BYTES))
        begin = proxy.memory()
        proxy.wait_line("joined")
        other = self.login(proxy, "single")
        self.assertEqual(other.init(), SESSION)
        self.assertLess(proxy.memory() - begin, 4 << 20)


class Ids(HostileCase):
    def test_equal_ids_of_two_servers(self):
        """The id alone is no key, even where two sessions have the same."""
        def handler(stream):
            session, kind = accept(stream)
            if kind == spice.MAIN:
                stream.write(init_bytes + list_bytes((spice.INPUTS, 0)))
            else:
                stream.write(struct.pack("<HI", spice.MOUSE_MODE, 4) + stream.name)
            fakes.drain(stream)

        def named(name):
            def one(stream):
                stream.name = name
                handler(stream)
            return one
        servers = [fakes.Server(named(name)) for name in (b"aaaa", b"bbbb")]
        for server in servers:
            self.addCleanup(server.close)
        proxy = self.start_daemon(
            {f"t{i}": {"type": "spice", "address": server.address, "insecure": True}
             for i, server in enumerate(servers)}, connect_insecure=True)
        mains = [self.login(proxy, f"t{i}") for i in range(2)]
        for main in mains:
            self.assertEqual(main.init(), SESSION)
            main.channels()
        channels = []
        for name in (b"aaaa", b"bbbb"):
            inputs = spice.Channel(self.websocket(proxy, f"t{len(channels)}"))
            inputs.link(SESSION, spice.INPUTS)
            inputs.authenticate(None, ticket=bytes(spice.TICKET_BYTES))
            self.assertEqual(inputs.message().body, name)
            channels.append(inputs)
        # one main channel ends: only its own channels do
        mains[0].sock.close()
        self.assertEqual(channels[0].sock.wait_close().code, 1000)
        proxy.wait_line("main channel has ended")
        self.assertEqual(proxy.running_sessions(), 2)
        self.assertEqual(proxy.settled_count("main channel has ended", 1), 1)


if __name__ == "__main__":
    tap.main()
