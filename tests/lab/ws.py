# SPDX-License-Identifier: LGPL-2.1-or-later
"""Websocket clients that do exactly what they are told, right or wrong.

    sock = ws.WebSocket.open(("127.0.0.1", port), "/websockify?token=abc", tls=context)
    sock.write(b"...")                # one binary frame
    sock.read(12)                     # 12 bytes of the byte stream in the binary frames
    sock.send_frame(b"", opcode=3)    # anything; send_raw() for what is no frame at all
    sock.wait_close()                 # -> Close(code, reason)

open() raises Refused with the HTTP answer when that is not 101. read() raises Closed with code and
reason when the peer closes. AsyncWebSocket is the same in a few lines for thousands of connections.
"""
import asyncio
import base64
import hashlib
import os
import struct
import time
from collections import namedtuple

from . import rawhttp

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Frame = namedtuple("Frame", "opcode payload fin rsv")
# code is None when the connection ended without a close frame, 1005 when the frame had no code
Close = namedtuple("Close", "code reason")


class Refused(Exception):
    def __init__(self, response):
        super().__init__(repr(response))
        self.response = response


class Closed(Exception):
    def __init__(self, close):
        super().__init__(f"closed with {close.code} {close.reason!r}")
        self.close = close
        self.code = close.code


def upgrade_request(target, headers=(), subprotocols=None, host="localhost", origin=None,
                    key=None, version="13", upgrade="websocket", connection="Upgrade",
                    method="GET"):
    """The bytes of an opening handshake; None leaves a header out."""
    fields = [("Upgrade", upgrade), ("Connection", connection),
              ("Sec-WebSocket-Key", new_key() if key is None else key),
              ("Sec-WebSocket-Version", version), ("Sec-WebSocket-Protocol", subprotocols),
              ("Origin", origin)]
    fields = [(name, value) for name, value in fields if value not in (None, "absent")]
    return rawhttp.request_bytes(target, fields + list(headers), method=method, host=host)


def new_key():
    return base64.b64encode(os.urandom(16)).decode()


def accept_value(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def encode_frame(payload, opcode=BINARY, fin=True, rsv=0, mask=True, length=None, length_bytes=None):
    """A frame. length overrides what its header says, length_bytes (1, 3, 9) the form used."""
    said = len(payload) if length is None else length
    if length_bytes is None:
        length_bytes = 1 if said < 126 else 3 if said < 65536 else 9
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if length_bytes == 1:
        head += bytes([bit | said])
    elif length_bytes == 3:
        head += struct.pack(">BH", bit | 126, said)
    else:
        head += struct.pack(">BQ", bit | 127, said)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + apply_mask(payload, key)


def apply_mask(payload, key):
    repeated = (key * (len(payload) // 4 + 1))[:len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(len(payload), "big")


class FrameParser:
    """Bytes in, frames out; for what a server sends, strictly."""

    def __init__(self):
        self._data = bytearray()

    def feed(self, data):
        self._data += data

    def next(self):
        """The next whole frame, or None."""
        data = self._data
        if len(data) < 2:
            return None
        if data[1] & 0x80:
            raise ValueError("a server must not mask")
        length, at = data[1] & 0x7f, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(data) < 2 + size:
                return None
            length, at = int.from_bytes(data[2:2 + size], "big"), 2 + size
        if len(data) < at + length:
            return None
        frame = Frame(data[0] & 0x0f, bytes(data[at:at + length]), bool(data[0] & 0x80),
                      data[0] >> 4 & 7)
        del data[:at + length]
        return frame


def parse_close(payload):
    if len(payload) < 2:
        return Close(1005, "")
    return Close(int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace"))


class WebSocket:
    """A blocking client. answer_pings=False makes a mute one."""

    def __init__(self, sock, response, first_bytes=b""):
        self.sock = sock
        self.response = response
        self.answer_pings = True
        self.pings = 0
        self.frames = 0
        self.close_info = None
        self._parser = FrameParser()
        self._parser.feed(first_bytes)
        self._stream = bytearray()

    @classmethod
    def open(cls, address, target, tls=None, timeout=rawhttp.TIMEOUT, receive_buffer=None,
             source=None, **request):
        key = request.setdefault("key", new_key())
        sock = rawhttp.connect(address, tls, timeout=timeout, receive_buffer=receive_buffer, source=source)
        try:
            response = rawhttp.exchange(sock, upgrade_request(target, **request))
            check_upgrade(response, key)
            return cls(sock, response, response.rest)
        except BaseException:
            sock.close()
            raise

    def write(self, data):
        """All of data in one binary frame."""
        self.send_frame(data)

    def send_frame(self, payload, **options):
        self.sock.sendall(encode_frame(payload, **options))

    def send_raw(self, data):
        self.sock.sendall(data)

    def receive_frame(self):
        """The next frame of any kind; raises Closed at the end of the connection."""
        while (frame := self._parser.next()) is None:
            data = rawhttp.receive(self.sock)
            if not data:
                self._closed(Close(None, "connection ended without a close frame"))
            self._parser.feed(data)
        self.frames += 1
        return frame

    def read(self, count):
        """Exactly count bytes of the stream."""
        while len(self._stream) < count:
            self._receive_data()
        data = bytes(self._stream[:count])
        del self._stream[:count]
        return data

    def read_some(self):
        """What is there of the stream, at least a byte."""
        while not self._stream:
            self._receive_data()
        data = bytes(self._stream)
        self._stream.clear()
        return data

    def wait_close(self, timeout=None):
        """Reads and forgets until the peer closes; returns the Close."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                if deadline is not None:
                    self.sock.settimeout(max(0.001, deadline - time.monotonic()))
                self._stream.clear()
                self._receive_data()
        except Closed as closed:
            return closed.close

    def close(self, code=1000, reason=""):
        """Says goodbye and waits for the peer's; returns its Close."""
        self.send_frame(struct.pack(">H", code) + reason.encode(), opcode=CLOSE)
        info = self.wait_close()
        self.sock.close()
        return info

    def drop(self):
        """Closes the connection without a word."""
        self.sock.close()

    def reset(self):
        rawhttp.reset(self.sock)

    def _receive_data(self):
        frame = self.receive_frame()
        if frame.opcode in (BINARY, CONTINUATION):
            self._stream += frame.payload
        elif frame.opcode == PING:
            self.pings += 1
            if self.answer_pings:
                self.send_frame(frame.payload, opcode=PONG)
        elif frame.opcode == CLOSE:
            info = parse_close(frame.payload)
            try:
                self.send_frame(frame.payload[:2], opcode=CLOSE)
            except OSError:
                pass
            self._closed(info)
        elif frame.opcode != PONG:
            raise ValueError(f"opcode {frame.opcode} from the server")

    def _closed(self, info):
        if self.close_info is None:
            self.close_info = info
        raise Closed(self.close_info)


def check_upgrade(response, key):
    if response.status != 101:
        raise Refused(response)
    if response.headers.get("sec-websocket-accept") != accept_value(key):
        raise ValueError("wrong Sec-WebSocket-Accept")
    if "sec-websocket-extensions" in response.headers:
        raise ValueError("an extension nobody asked for")


class AsyncWebSocket:
    """As WebSocket, for asyncio; the stream only."""

    def __init__(self, reader, writer, first_bytes):
        self.reader, self.writer = reader, writer
        self._parser = FrameParser()
        self._parser.feed(first_bytes)
        self._stream = bytearray()

    @classmethod
    async def open(cls, address, target, tls=None, **request):
        key = request.setdefault("key", new_key())
        reader, writer = await asyncio.open_connection(
            *address, ssl=tls, server_hostname="localhost" if tls else None)
        writer.write(upgrade_request(target, **request))
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            body = await reader.read()
            writer.close()
            raise Refused(rawhttp.Response(status, {}, body))
        return cls(reader, writer, b"")

    def write(self, data):
        self.writer.write(encode_frame(data))

    async def read(self, count):
        while len(self._stream) < count:
            frame = await self._frame()
            if frame.opcode in (BINARY, CONTINUATION):
                self._stream += frame.payload
        data = bytes(self._stream[:count])
        del self._stream[:count]
        return data

    async def read_some(self):
        """The payload of the next frame of data."""
        while (frame := await self._frame()).opcode not in (BINARY, CONTINUATION):
            pass
        return frame.payload

    async def wait_close(self):
        try:
            while True:
                await self._frame()
        except Closed as closed:
            return closed.close

    async def close(self, code=1000):
        self.writer.write(encode_frame(struct.pack(">H", code), opcode=CLOSE))
        info = await self.wait_close()
        self.drop()
        return info

    def drop(self):
        self.writer.transport.abort()

    async def _frame(self):
        while (frame := self._parser.next()) is None:
            try:
                data = await self.reader.read(65536)
            except OSError:
                data = b""
            if not data:
                raise Closed(Close(None, "connection ended without a close frame"))
            self._parser.feed(data)
        if frame.opcode == PING:
            self.writer.write(encode_frame(frame.payload, opcode=PONG))
        elif frame.opcode == CLOSE:
            raise Closed(parse_close(frame.payload))
        return frame
