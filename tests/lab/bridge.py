# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TCP port of this machine whose every connection becomes a websocket of its own, for clients that
know no websockets.

    with bridge.Bridge(proxy, "token") as port: ...
"""
import asyncio
import threading

from . import ws


class Bridge:
    def __init__(self, proxy, token):
        self.proxy = proxy
        self.token = token
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        sock = await ws.AsyncWebSocket.open(self.proxy.address,
                                            f"/websockify?token={self.token}",
                                            tls=self.proxy.tls_context())
        tasks = [asyncio.create_task(one) for one in (self._up(reader, sock),
                                                      self._down(sock, writer))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        sock.drop()
        writer.close()

    @staticmethod
    async def _up(reader, sock):
        while data := await reader.read(65536):
            sock.write(data)

    @staticmethod
    async def _down(sock, writer):
        try:
            while True:
                writer.write(await sock.read_some())
                await writer.drain()
        except (ws.Closed, OSError):
            pass
