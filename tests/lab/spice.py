# SPDX-License-Identifier: LGPL-2.1-or-later
"""A SPICE client that does what it is told, channel by channel.

    main = spice.Channel(sock)             # anything with read(n) and write(data)
    main.login()                           # link, ticket, result; raises Refused with the error
    session = main.init()                  # the session id of INIT
    main.attach(); main.channels()         # -> {(2, 0), (3, 0), (4, 0)}
    display = spice.Channel(other_sock)
    display.login(session, spice.DISPLAY, 0)
    display.message()                      # -> Message(type, body)

Messages on the way to the one that is waited for are read and pings are answered.
"""
import hashlib
import os
import struct
from collections import namedtuple

MAIN, DISPLAY, INPUTS, CURSOR, PLAYBACK, RECORD, USBREDIR, PORT = 1, 2, 3, 4, 5, 6, 9, 10

OK, ERROR, INVALID_MAGIC, INVALID_DATA, VERSION_MISMATCH, NEED_SECURED, NEED_UNSECURED, \
    PERMISSION_DENIED, BAD_CONNECTION_ID, CHANNEL_NOT_AVAILABLE = range(10)

AUTH_SELECTION, AUTH_SPICE, AUTH_SASL, MINI_HEADER = 1, 2, 4, 8
SEAMLESS = 9                      # both ways of migrating, of the main channel

SET_ACK, PING, INIT, LIST, MOUSE_MODE = 3, 4, 103, 104, 105
ACK_SYNC, ACK, PONG, ATTACH_CHANNELS = 1, 2, 3, 104
DISPLAY_INIT = 101                # of the client
KEY_DOWN, KEY_UP = 101, 102       # likewise, on inputs
SURFACE_CREATE, DRAW_COPY = 314, 304

KEY_BYTES, TICKET_BYTES = 162, 128

Reply = namedtuple("Reply", "error key common channel")
Message = namedtuple("Message", "type body")


class Refused(Exception):
    """The error of a reply (where="reply") or of the result (where="result")."""

    def __init__(self, where, error):
        super().__init__(f"SPICE error {error} in the {where}")
        self.where, self.error = where, error


def link_message(session=0, type=MAIN, id=0, common=(AUTH_SELECTION | AUTH_SPICE | MINI_HEADER,),
                 channel=(0,), magic=b"REDQ", version=(2, 2), size=None, offset=18, counts=None):
    """The bytes of a link message; size, offset and counts as they may be wrong."""
    counts = counts or (len(common), len(channel))
    words = b"".join(struct.pack("<I", word) for word in (*common, *channel))
    body = struct.pack("<IBBIII", session, type, id, *counts, offset) + words
    return magic + struct.pack("<III", *version, len(body) if size is None else size) + body


def refusal(error):
    """The reply with which a server, or the proxy, refuses."""
    return b"REDQ" + struct.pack("<IIII", 2, 2, 178, error) + bytes(174)


class Channel:
    def __init__(self, sock, mini=True):
        self.sock = sock
        self.mini = mini
        self.acks = None         # messages until the next acknowledgement, and how many each time

    def link(self, session=0, type=MAIN, id=0, **options):
        """Sends a link message and reads its reply; raises Refused."""
        self.sock.write(link_message(session, type, id, **options))
        return self.reply()

    def reply(self):
        magic, major, minor, size = struct.unpack("<4sIII", self.sock.read(16))
        assert (magic, major, minor) == (b"REDQ", 2, 2), (magic, major, minor)
        body = self.sock.read(size)
        error, = struct.unpack_from("<I", body)
        if error != OK:
            raise Refused("reply", error)
        n_common, n_channel, offset = struct.unpack_from("<III", body, 166)
        words = struct.unpack_from(f"<{n_common + n_channel}I", body, offset)
        return Reply(error, body[4:166], words[:n_common], words[n_common:])

    def authenticate(self, key, password="", ticket=None, mechanism=1):
        """Chooses a ticket, sends it and reads the result; raises Refused."""
        choice = b"" if mechanism is None else struct.pack("<I", mechanism)
        self.sock.write(choice + (ticket or encrypt(key, password)))
        result, = struct.unpack("<I", self.sock.read(4))
        if result != OK:
            raise Refused("result", result)

    def login(self, session=0, type=MAIN, id=0, password="", **options):
        reply = self.link(session, type, id, **options)
        self.authenticate(reply.key, password)
        return reply

    def send(self, type, body=b""):
        if self.mini:
            self.sock.write(struct.pack("<HI", type, len(body)) + body)
        else:
            self.sock.write(struct.pack("<QHII", 1, type, len(body), 0) + body)

    def message(self):
        """The next message; pings are answered and acknowledgements sent."""
        if self.mini:
            type, size = struct.unpack("<HI", self.sock.read(6))
        else:
            _, type, size, _ = struct.unpack("<QHII", self.sock.read(18))
        body = self.sock.read(size)
        if type == PING:
            self.send(PONG, body[:12])
        if type == SET_ACK:
            generation, window = struct.unpack("<II", body)
            self.send(ACK_SYNC, struct.pack("<I", generation))
            self.acks = [window, window]
        elif self.acks:
            self.acks[0] -= 1
            if self.acks[0] == 0:
                self.send(ACK)
                self.acks[0] = self.acks[1]
        return Message(type, body)

    def expect(self, *types):
        """The next message of one of the types."""
        while (message := self.message()).type not in types:
            pass
        return message

    def init(self):
        """Waits for INIT; the session id."""
        body = self.expect(INIT).body
        assert len(body) == 32, body
        return struct.unpack_from("<I", body)[0]

    def attach(self):
        self.send(ATTACH_CHANNELS)

    def channels(self):
        """Waits for a list of channels; a set of (type, id)."""
        body = self.expect(LIST).body
        count, = struct.unpack_from("<I", body)
        assert len(body) == 4 + 2 * count, body
        return {(body[4 + 2 * i], body[5 + 2 * i]) for i in range(count)}


def open_main(sock, **options):
    """Logs in on a main channel -> (Channel, session id, channels)."""
    main = Channel(sock)
    main.login(**options)
    session = main.init()
    main.attach()
    return main, session, main.channels()


def init_display(channel):
    """What a client says first on a display channel: no caches."""
    channel.send(DISPLAY_INIT, struct.pack("<BqBI", 1, 0, 1, 0))


def type_key(inputs, scancode):
    for type, code in ((KEY_DOWN, scancode), (KEY_UP, scancode | 0x80)):
        inputs.send(type, struct.pack("<I", code))


def encrypt(key, password):
    """RSA-OAEP (SHA-1, no label) of the password and a NUL, as RFC 8017, 7.1.1 has it."""
    modulus = int.from_bytes(key[29:157], "big")
    exponent = int.from_bytes(key[159:162], "big")
    text = password.encode() + b"\0"
    seed = os.urandom(20)
    block = hashlib.sha1(b"").digest() + bytes(TICKET_BYTES - len(text) - 42) + b"\1" + text
    masked = _xor(block, _mask(seed, len(block)))
    whole = b"\0" + _xor(seed, _mask(masked, 20)) + masked
    return pow(int.from_bytes(whole, "big"), exponent, modulus).to_bytes(TICKET_BYTES, "big")


def _mask(seed, length):
    parts = [hashlib.sha1(seed + struct.pack(">I", i)).digest() for i in range(length // 20 + 1)]
    return b"".join(parts)[:length]


def _xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other))
