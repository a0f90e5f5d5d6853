# SPDX-License-Identifier: LGPL-2.1-or-later
"""An RFB (VNC) client over any byte stream that has read(count) and write(bytes).

    vnc = rfb.Client(stream)          # version, security None, ClientInit, ServerInit
    vnc.update()                      # whole screen, raw encoding -> lab.picture.Picture
    vnc.type("a")                     # key down and up

Client(stream, version="3.3") speaks an older version. Failed carries the server's reason. For a
connection straight to QEMU: rfb.SocketStream(sock), rfb.vencrypt(stream, context).
"""
import struct

from . import picture, rawhttp

VERSIONS = {"3.3": b"RFB 003.003\n", "3.7": b"RFB 003.007\n", "3.8": b"RFB 003.008\n"}
NONE, VNC_AUTH, VENCRYPT = 1, 2, 19
X509_NONE, X509_VNC = 260, 261
RAW, DESKTOP_SIZE, XVP, EXTENDED_MOUSE = 0, -223, -309, -316
XVP_SHUTDOWN, XVP_REBOOT, XVP_RESET = 2, 3, 4
KEYS = {"\r": 0xff0d, "\n": 0xff0d, "F1": 0xffbe}
# 32 bits a pixel, little-endian, bytes blue green red unused: QEMU's own format
PIXEL_FORMAT = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


class Failed(Exception):
    """The server refused: its reason, None where the version has no room for one."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class SocketStream:
    def __init__(self, sock):
        self.sock = sock

    def read(self, count):
        data = b""
        while len(data) < count:
            more = rawhttp.receive(self.sock, count - len(data))
            if not more:
                raise EOFError(f"connection ended after {data!r}")
            data += more
        return data

    def write(self, data):
        self.sock.sendall(data)


class OneByteFrames:
    """A websocket stream whose every byte travels in a frame of its own."""

    def __init__(self, websocket):
        self.websocket = websocket

    def read(self, count):
        return self.websocket.read(count)

    def write(self, data):
        for i in range(len(data)):
            self.websocket.write(data[i:i + 1])


def vencrypt(stream, context, server_name="localhost"):
    """Logs into QEMU with VeNCrypt X509None; returns the stream to go on with, past the result."""
    server_version(stream)
    stream.write(VERSIONS["3.8"])
    if security_types(stream) != [VENCRYPT]:
        raise ValueError("not VeNCrypt alone")
    stream.write(bytes([VENCRYPT]))
    if stream.read(2) != b"\0\2":
        raise ValueError("not VeNCrypt 0.2")
    stream.write(b"\0\2")
    if stream.read(6) != b"\0\1" + struct.pack(">I", X509_NONE):
        raise ValueError("not X509None alone")
    stream.write(struct.pack(">I", X509_NONE))
    if stream.read(1) != b"\1":
        raise ValueError("X509None refused")
    secure = SocketStream(context.wrap_socket(stream.sock, server_hostname=server_name))
    security_result(secure)
    return secure


def server_version(stream):
    version = stream.read(12)
    if version not in VERSIONS.values():
        raise ValueError(f"version {version!r}")
    return version


def security_types(stream):
    count = stream.read(1)[0]
    if count == 0:
        raise Failed(read_text(stream))
    return list(stream.read(count))


def security_result(stream):
    if stream.read(4) != b"\0\0\0\0":
        raise Failed(read_text(stream))


def read_text(stream):
    return stream.read(number(stream)).decode("utf-8")


def number(stream):
    return int.from_bytes(stream.read(4), "big")


def login(stream, version="3.8"):
    """Up to ClientInit with security type None. Raises Failed with the server's reason."""
    if server_version(stream) != VERSIONS["3.8"]:
        raise ValueError("the server speaks less than 3.8")
    stream.write(VERSIONS[version])
    if version == "3.3":
        security_type = number(stream)
        if security_type == 0:
            raise Failed(read_text(stream))
        if security_type != NONE:
            raise ValueError(f"security type {security_type}")
        return
    types = security_types(stream)
    if types != [NONE]:
        raise ValueError(f"security types {types}: only None was expected")
    stream.write(bytes([NONE]))
    if version == "3.8":
        security_result(stream)


class Client:
    def __init__(self, stream, version="3.8", logged_in=False, encodings=(RAW, DESKTOP_SIZE)):
        self.stream = stream
        if not logged_in:
            login(stream, version)
        stream.write(b"\1")                     # ClientInit: shared
        self.width, self.height = struct.unpack(">HH", stream.read(4))
        stream.read(16)                         # pixel format: we set our own
        self.name = read_text(stream)
        self._pixels = bytearray(self.width * self.height * 4)
        stream.write(b"\0\0\0\0" + PIXEL_FORMAT)
        self.set_encodings(*encodings)

    def set_encodings(self, *encodings):
        self.stream.write(struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings))

    def type(self, *keys):
        """Key down and up for each: a character or a name of KEYS."""
        for key in keys:
            self.key(key, True)
            self.key(key, False)

    def key(self, key, down):
        self.stream.write(struct.pack(">BBxxI", 4, down, KEYS.get(key) or ord(key)))

    def pointer(self, x, y, buttons=0):
        self.stream.write(struct.pack(">BBHH", 5, buttons, x, y))

    def cut_text(self, data):
        self.stream.write(struct.pack(">BxxxI", 6, len(data)) + data)

    def xvp(self, action):
        self.stream.write(struct.pack(">BxBB", 250, 1, action))

    def request(self, incremental=False):
        self.stream.write(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def update(self):
        """Asks for the whole screen and waits for it; returns the picture."""
        size = None
        while size != (self.width, self.height):
            size = self.width, self.height
            self.request()
            while not self.message():
                pass
        return self.picture()

    def wait_change(self, before):
        """Waits until the screen differs from before; returns the new picture."""
        while True:
            self.request(incremental=True)
            while not self.message():
                pass
            now = self.picture()
            if now != before:
                return now

    def picture(self):
        pixels = self._pixels
        rgb = bytearray(self.width * self.height * 3)
        rgb[0::3], rgb[1::3], rgb[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
        return picture.Picture(self.width, self.height, rgb)

    def message(self):
        """Reads one message of the server; True if it was a FramebufferUpdate."""
        kind = self.stream.read(1)[0]
        if kind == 0:
            rectangles = struct.unpack(">xH", self.stream.read(3))[0]
            for _ in range(rectangles):
                self._rectangle()
            return True
        if kind == 3:
            self.stream.read(3)
            self.stream.read(number(self.stream))
        elif kind == 250:
            self.stream.read(3)
        elif kind != 2:
            raise ValueError(f"message {kind} from the server")
        return False

    def _rectangle(self):
        x, y, width, height, encoding = struct.unpack(">HHHHi", self.stream.read(12))
        if encoding == DESKTOP_SIZE:
            self.width, self.height = width, height
            self._pixels = bytearray(width * height * 4)
        elif encoding == RAW:
            data = self.stream.read(width * height * 4)
            for row in range(height):
                at = ((y + row) * self.width + x) * 4
                self._pixels[at:at + width * 4] = data[row * width * 4:(row + 1) * width * 4]
        else:
            raise ValueError(f"encoding {encoding} was not asked for")
