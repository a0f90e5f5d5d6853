#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What SPICE costs: the proxy's CPU time from /proc, and how long a session takes to set up.

    VCP_BINARY=build/src/virtconsoleproxyd tests/bench/spice.py

The floods come from a server of this process, over TLS, and go to a client of this process, over TLS; both are slower
than the proxy, so the rate in MB/s is theirs; the CPU figures are the proxy's. Sessions are set up with a real QEMU.
Prints a table; asserts nothing.
"""
import argparse
import asyncio
import pathlib
import socket
import ssl
import statistics
import struct
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import daemon, fakes, guest, pki, redisserver, spice, ws

DOWNLOAD = 1 << 30
SESSION = 7
ROUNDS = 30
SIZES = (100, 1000, 65526)          # of message bodies on the main channel

REPLY = (b"REDQ" + struct.pack("<III", 2, 2, 186) + struct.pack("<I", 0) + bytes(spice.KEY_BYTES)
         + struct.pack("<III", 1, 1, 178) + struct.pack("<II", 0x0b, 0x0f))
INIT = struct.pack("<HIII", spice.INIT, 32, SESSION, 0) + bytes(24)
LIST = struct.pack("<HII", spice.LIST, 6, 1) + bytes((spice.DISPLAY, 0))


class Server:
    """Floods whoever sends a byte after the link: on main with messages of a size, else with anything."""

    def __init__(self, context):
        self.context = context
        self.size = SIZES[0]

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            size, = struct.unpack("<I", (await reader.readexactly(16))[12:])
            kind = (await reader.readexactly(size))[4]
            writer.write(REPLY)
            await reader.readexactly(4 + spice.TICKET_BYTES)
            writer.write(bytes(4))
            if kind == spice.MAIN:
                writer.write(INIT + LIST)
            await reader.readexactly(1)
            await self.flood(writer, kind)
            await reader.read()
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    async def flood(self, writer, kind):
        one = struct.pack("<HI", 109, self.size) + bytes(self.size)
        chunk = one * max(1, 65536 // len(one)) if kind == spice.MAIN else bytes(65536)
        for _ in range(DOWNLOAD // len(chunk) + 1):
            writer.write(chunk)
            await writer.drain()


async def link(proxy, context, kind):
    sock = await ws.AsyncWebSocket.open(proxy.address, "/websockify?token=flood", tls=context)
    session = 0 if kind == spice.MAIN else SESSION
    sock.write(spice.link_message(session, kind) + struct.pack("<I", 1) + bytes(spice.TICKET_BYTES))
    await sock.read(len(REPLY) + 4 + (len(INIT + LIST) if kind == spice.MAIN else 0))
    return sock


async def download(proxy, sock):
    loop = asyncio.get_running_loop()
    before, start = proxy.cpu(), loop.time()
    sock.write(b"F")
    left = DOWNLOAD
    while left > 0:
        left -= len(await sock.read(min(left, 1 << 20)))
    seconds = loop.time() - start
    return proxy.cpu() - before, DOWNLOAD / seconds / 1e6


async def floods(proxy, server):
    context = proxy.tls_context()
    main = await link(proxy, context, spice.MAIN)
    display = await link(proxy, context, spice.DISPLAY)
    cpu, rate = await download(proxy, display)
    print(f"display channel                            {cpu:6.2f} CPU s/GiB   ({rate:.0f} MB/s, the driver's limit)")
    display.drop()
    main.drop()
    for server.size in SIZES:
        await asyncio.to_thread(proxy.wait_idle)
        main = await link(proxy, context, spice.MAIN)
        cpu, rate = await download(proxy, main)
        print(f"main channel, bodies of {server.size:5} bytes       {cpu:6.2f} CPU s/GiB   ({rate:.0f} MB/s)")
        main.drop()


class Direct:
    """A TLS connection without a proxy, as spice.Channel wants it."""

    def __init__(self, port, certs):
        context = ssl.create_default_context(cafile=certs.ca)
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                        server_hostname="localhost")
        self.write = self.sock.sendall

    def read(self, count):
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data


def set_up(vm, connect):
    """One session -> milliseconds to INIT, to all channels linked; messages of the main channel."""
    begin = time.monotonic()
    main = spice.Channel(connect())
    main.login()
    session = main.init()
    init = time.monotonic()
    main.attach()
    messages = 1
    while (message := main.message()).type != spice.LIST:
        messages += 1
    kinds = [(message.body[4 + 2 * i], message.body[5 + 2 * i]) for i in range(message.body[0])]
    channels = []
    for kind in kinds:
        channels.append(spice.Channel(connect()))
        channels[-1].login(session, *kind)
    end = time.monotonic()
    for channel, kind in zip(channels, kinds):
        if kind[0] == spice.DISPLAY:
            spice.init_display(channel)
            channel.expect(spice.DRAW_COPY)
    for channel in (main, *channels):
        channel.sock.sock.close()
    guest.wait_until(lambda: not vm.spice_channels(), "QEMU noticed")
    return (init - begin) * 1e3, (end - begin) * 1e3, messages + 1, len(kinds)


def sessions(vm, name, connect):
    results = [set_up(vm, connect) for _ in range(ROUNDS)]
    init, whole = (statistics.median(column) for column in list(zip(*results))[:2])
    print(f"{name:42} {init:6.1f} ms to INIT, {whole:6.1f} ms to {results[0][3] + 1} channels, one after the other")
    return results[0]


def tap_share(messages, channels):
    """What the tap reads of a main channel up to its list: headers, INIT, the list."""
    read = 6 * messages + 32 + 4 + 2 * channels
    print(f"tap, a real session up to its list         {read / messages:6.1f} bytes looked at for each of {messages} messages")


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vcp-bench-") as directory:
        certs = pki.make(directory + "/pki")
        context = fakes.server_tls(certs.qemu_dir())
        context.verify_mode = ssl.CERT_NONE
        server = Server(context)
        await server.start()
        with guest.Guest(directory + "/vm", tls=certs.qemu_dir(), spice="tls") as vm:
            store = redisserver.RedisServer(directory + "/redis", tls=certs)
            tokens = {"flood": {"type": "spice", "address": f"localhost:{server.port}"},
                      "vm": {"type": "spice", "address": f"localhost:{vm.spice_port}"}}
            flags = {"--workers": options.workers, "--log-level": "info"}
            try:
                with daemon.Daemon(directory + "/daemon", certs, tokens, flags) as proxy:
                    await floods(proxy, server)
                    result = sessions(vm, "set-up without a proxy", lambda: Direct(vm.spice_port, certs))
                    sessions(vm, "set-up through the proxy", lambda: proxy.websocket("vm"))
                    tap_share(*result[2:])
                flags["--store"] = store.uri
                with daemon.Daemon(directory + "/shared", certs, tokens, flags) as proxy:
                    sessions(vm, "set-up through the proxy, store in Redis", lambda: proxy.websocket("vm"))
            finally:
                store.stop()


if __name__ == "__main__":
    asyncio.run(main())
