# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stream of events from virtconsoleresolverd.

    with events.Stream(resolver) as stream:        # resolver: a lab.resolverd.Resolverd
        stream.next()                              # -> Event(name, data, id)
        stream.wait("dead", digest)                # skips others; seconds that it took
        stream.last_id                             # for Stream(resolver, last_id=...)

A stream without last_id begins with Event("recheck", "all", ...).
"""
import hashlib
import time
from collections import namedtuple

from . import rawhttp

PATH = "/consoleresolver/events"
Event = namedtuple("Event", "name data id")


class Ended(Exception):
    pass


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


class Stream:
    def __init__(self, resolver, last_id=None, path=PATH, **connection):
        headers = [("Last-Event-ID", last_id)] if last_id else []
        self.last_id = last_id
        self.beats = 0
        self._sock = resolver.connect(**connection)
        self._text = b""
        # HTTP/1.0, so that the body has no chunks
        self._sock.sendall(rawhttp.request_bytes(path, headers).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        self.response = rawhttp.Response(int(head[0].split()[1]),
                                         {name.lower(): value for name, value in fields.items()}, b"")
        if self.response.status == 200:
            self._take(self._until(b"\n\n"))         # the greeting

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._sock.close()

    def next(self, timeout=60):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:            # signs of life come all the time
            fields = self._take(self._until(b"\n\n"))
            if "event" in fields:
                return Event(fields["event"], fields["data"], self.last_id)
        raise TimeoutError(f"no event within {timeout} s")

    def wait(self, name, data):
        begin = time.monotonic()
        while self.next()[:2] != (name, data):
            pass
        return time.monotonic() - begin

    def wait_beat(self):
        """Waits for a sign of life; how many there have been."""
        while not self.beats:
            self._take(self._until(b"\n\n"))
        return self.beats

    def _take(self, text):
        fields = {}
        for line in text.decode("ascii").splitlines():
            name, _, value = line.partition(": ")
            fields[name] = value
            self.beats += line == ": beat"
        self.last_id = fields.get("id", self.last_id)
        return fields

    def _until(self, end):
        while end not in self._text:
            data = self._sock.recv(65536)
            if not data:
                raise Ended()
            self._text += data
        found, self._text = self._text.split(end, 1)
        return found + end
