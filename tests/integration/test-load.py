#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Thousands of sessions: what they leave behind when they are gone."""
import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, rfb, tap, ws
from lab.case import vnc

SESSIONS = 2000
AT_ONCE = 50              # handshakes in progress
KIB = 1024
NOISE = 1024 * KIB        # of a heap that was in use: what 20 % are taken of is at least this


class Console:
    """VNC servers for thousands, in the test's own event loop; VeNCrypt X509None like QEMU."""

    def __init__(self, context):
        self.context = context
        self.open = 0

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1024)
        self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        self.open += 1
        try:
            await self.login(reader, writer)
            while data := await reader.read(65536):
                writer.write(data)              # echoes, as nothing of RFB does
        except (OSError, EOFError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()

    async def login(self, reader, writer):
        for data, answer in ((rfb.VERSIONS["3.8"], 12), (b"\1\x13", 1), (b"\0\2", 2),
                             (b"\0\1\0\0\1\4", 4)):
            writer.write(data)
            await reader.readexactly(answer)
        writer.write(b"\1")
        await writer.drain()
        await writer.start_tls(self.context)
        writer.write(b"\0\0\0\0")
        await reader.readexactly(1)
        writer.write(fakes.SERVER_INIT)


async def viewer(proxy, context, token="tok"):
    sock = await ws.AsyncWebSocket.open(proxy.address, f"/websockify?token={token}", tls=context)
    await sock.read(12)
    sock.write(rfb.VERSIONS["3.8"])
    await sock.read(2)
    sock.write(b"\1")
    await sock.read(4)
    sock.write(b"\1")
    await sock.read(len(fakes.SERVER_INIT))
    return sock


async def in_groups(count, make):
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(i):
        async with gate:
            return await make(i)
    return await asyncio.gather(*(one(i) for i in range(count)))


class Thousands(case.Case):
    def test_opened_and_closed(self):
        asyncio.run(self.rounds())

    async def rounds(self):
        console = Console(fakes.server_tls(self.certs.qemu_dir()))
        await console.start()
        self.proxy = self.start_daemon(
            {"tok": vnc(console.address)}, log_level="message", max_sessions="0",
            max_sessions_per_token="0", max_sessions_per_console="0",
            max_sessions_per_address="0")
        await self.round(console, 4)                # what is set up once
        memory, descriptors = self.proxy.memory(), self.proxy.descriptors()
        growth = []
        for number in (1, 2):
            idle = await self.round(console, SESSIONS, memory)
            await self.until(lambda: self.proxy.descriptors() <= descriptors,
                             f"descriptors freed after round {number}")
            growth.append(self.proxy.memory() - memory)
            tap.diagnose(f"round {number}: {idle / KIB / SESSIONS:.1f} KiB a session while open, "
                         f"{growth[-1] / KIB / SESSIONS:.2f} KiB a session left")
        if case.daemon.is_sanitized():
            return
        self.assertLessEqual(growth[0], 8 * KIB * SESSIONS)
        self.assertLessEqual(growth[1], max(growth[0], NOISE) * 1.2)

    async def round(self, console, count, base=0):
        """Opens count sessions, uses each, closes all; the growth of memory while all were open."""
        context = self.proxy.tls_context()
        socks = await in_groups(count, lambda _: viewer(self.proxy, context))
        self.assertEqual(console.open, count)
        open_growth = self.proxy.memory() - base
        key = b"\4\1\0\0\0\0\0a"
        for sock in socks:
            sock.write(key)
        for sock in socks:
            self.assertEqual(await sock.read(len(key)), key)
        closes = await in_groups(count, lambda i: self.leave(socks[i], i))
        self.assertEqual({code for code in closes if code}, {1000})
        await self.until(lambda: console.open == 0, "sessions of the console")
        return open_growth

    async def leave(self, sock, i):
        """Every third one leaves without a word."""
        if i % 3 == 0:
            return sock.drop()
        return (await sock.close()).code

    async def until(self, condition, what):
        """The daemon's own end of a session sends nobody an event."""
        for _ in range(3000):
            if condition():
                return
            await asyncio.sleep(0.01)
        self.fail(what)

    def test_refused_ones_leave_nothing(self):
        asyncio.run(self.refused())

    async def refused(self):
        self.proxy = self.start_daemon(log_level="message", max_sessions_per_token="0",
                                       max_sessions_per_address="0")
        context = self.proxy.tls_context()

        async def attempt(_):
            sock = await ws.AsyncWebSocket.open(self.proxy.address, "/websockify?token=bad",
                                                tls=context)
            code = (await sock.wait_close()).code
            sock.drop()
            return code
        descriptors = self.proxy.descriptors()
        self.assertEqual(set(await in_groups(500, attempt)), {4401})
        memory = self.proxy.memory()
        self.assertEqual(set(await in_groups(1000, attempt)), {4401})
        await self.until(lambda: self.proxy.descriptors() <= descriptors, "descriptors freed")
        if not case.daemon.is_sanitized():
            self.assertLess(self.proxy.memory() - memory, 2048 * KIB)


if __name__ == "__main__":
    tap.main()
