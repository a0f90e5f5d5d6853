#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a session costs the proxy: its own CPU time from /proc, its memory from smaps_rollup.

    VCP_BINARY=build/src/virtconsoleproxyd tests/bench/measure.py [--sessions N]

Client and hypervisor are this process, TLS to both sides (VeNCrypt X509None towards the hypervisor). They are slower
than the proxy, so the rate in MB/s is theirs; the CPU figures are the proxy's. Prints a table; asserts nothing.
"""
import argparse
import asyncio
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import daemon, fakes, pki, rfb, ws

DOWNLOAD = 1 << 30
CHUNK = bytes(65536)
ECHOES = 4000
KEYS = b"\4\1\0\0\0\0\0a" * 8            # 64 bytes, eight key events


class Console:
    """A VNC server behind VeNCrypt: a client's first key decides whether it gets a flood or its bytes back."""

    def __init__(self, context):
        self.context = context

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1024)
        self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            await self.login(reader, writer)
            while data := await reader.read(65536):
                if data[:8] == b"\4\1\0\0\0\0\0F":
                    await self.flood(writer)
                else:
                    writer.write(data)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def login(self, reader, writer):
        for data, answer in ((rfb.VERSIONS["3.8"], 12), (b"\1\x13", 1), (b"\0\2", 2), (b"\0\1\0\0\1\4", 4)):
            writer.write(data)
            await reader.readexactly(answer)
        writer.write(b"\1")
        await writer.drain()
        await writer.start_tls(self.context)
        writer.write(b"\0\0\0\0")
        await reader.readexactly(1)
        writer.write(fakes.SERVER_INIT)

    async def flood(self, writer):
        for _ in range(DOWNLOAD // len(CHUNK)):
            writer.write(CHUNK)
            await writer.drain()


async def viewer(proxy, context):
    sock = await ws.AsyncWebSocket.open(proxy.address, "/websockify?token=tok", tls=context)
    await sock.read(12)
    sock.write(rfb.VERSIONS["3.8"])
    await sock.read(2)
    sock.write(b"\1")
    await sock.read(4)
    sock.write(b"\1")
    await sock.read(len(fakes.SERVER_INIT))
    return sock


async def open_idle(proxy, context, count):
    gate = asyncio.Semaphore(50)

    async def one():
        async with gate:
            return await viewer(proxy, context)
    return await asyncio.gather(*(one() for _ in range(count)))


async def measure_echo(proxy, sock):
    before = proxy.cpu()
    for _ in range(ECHOES):
        sock.write(KEYS)
        await sock.read(len(KEYS))
    return (proxy.cpu() - before) / ECHOES * 1e6


async def measure_download(proxy, sock):
    loop = asyncio.get_running_loop()
    before, start = proxy.cpu(), loop.time()
    sock.write(b"\4\1\0\0\0\0\0F")
    left = DOWNLOAD
    while left > 0:
        left -= len(await sock.read(min(left, 1 << 20)))
    seconds = loop.time() - start
    return (proxy.cpu() - before) / (DOWNLOAD / (1 << 30)), DOWNLOAD / seconds / 1e6


async def run(proxy, context, idle):
    first = await open_idle(proxy, context, 10)
    memory = proxy.memory()
    few = await measure_echo(proxy, first[0])
    cpu, rate = await measure_download(proxy, first[1])
    more = await open_idle(proxy, context, 1000)
    each = (proxy.memory() - memory) / 1000
    rest = await open_idle(proxy, context, max(idle - 1010, 0))
    await asyncio.sleep(1)              # the last handshakes' own work is no part of the echoes'
    many = await measure_echo(proxy, first[0])
    print(f"VNC download through VeNCrypt, 1 session   {cpu:6.2f} CPU s/GiB   ({rate:.0f} MB/s, the driver's limit)")
    print(f"resident memory per idle session, 1,000    {each / 1024:6.1f} KiB")
    print(f"64-byte echo, 10 sessions open             {few:6.1f} µs CPU")
    print(f"64-byte echo, {idle} sessions open{'':11}{many:6.1f} µs CPU")
    for sock in first + more + rest:
        sock.drop()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=4000, help="idle sessions of the last row (4000)")
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vcp-bench-") as directory:
        certs = pki.make(directory + "/pki")
        console = Console(fakes.server_tls(certs.qemu_dir()))
        await console.start()
        flags = {"--workers": options.workers, "--log-level": "message"}
        for kind in ("", "-per-token", "-per-console", "-per-address"):
            flags["--max-sessions" + kind] = "0"
        tokens = {"tok": {"type": "vnc", "address": console.address}}
        with daemon.Daemon(directory + "/daemon", certs, tokens, flags) as proxy:
            await run(proxy, proxy.tls_context(), options.sessions)


if __name__ == "__main__":
    asyncio.run(main())
