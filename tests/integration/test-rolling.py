#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two proxies behind HAProxy are restarted one after the other, with 200 sessions at any moment.

No session is lost that the drain time allows: each ends when its user ends it. The users know nothing of
the restart but that, as the console page does, they try again where a proxy says 503.
"""
import asyncio
import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, redisserver, tap, ws
from lab.case import vnc

USERS = 200
SHORTEST, LONGEST = 0.5, 2.0      # a session's seconds
DRAIN = 5                         # the daemon's; longer than any session but those that are meant to be cut
PATIENCE = 60                     # for a slow machine
STAYING = 5                       # sessions at the first proxy that outstay the drain time
KEY = bytes([4, 0, 0, 0, 0, 0, 0, 65])

CONFIGURATION = """
global
    stats socket {directory}/stats
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend consoles
    bind 127.0.0.1:{port}
    default_backend proxies
backend proxies
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter 200ms fall 1 rise 1
    server one {one}
    server two {two}
"""


class HAProxy:
    def __init__(self, directory, addresses):
        self.directory = directory
        self.address = ("127.0.0.1", redisserver.free_port())
        path = os.path.join(directory, "haproxy.cfg")
        one, two = (f"{host}:{port}" for host, port in addresses)
        with open(path, "w", encoding="utf-8") as out:
            out.write(CONFIGURATION.format(directory=directory, port=self.address[1], one=one, two=two))
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "haproxy", "-db", "-f", path],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait()

    async def state(self):
        """Server -> "UP" or "DOWN"."""
        reader, writer = await asyncio.open_unix_connection(os.path.join(self.directory, "stats"))
        writer.write(b"show stat\n")
        rows = [line.split(",") for line in (await reader.read()).decode().splitlines()]
        writer.close()
        return {row[1]: row[17] for row in rows if len(row) > 17 and row[0] == "proxies"}

    async def wait_state(self, server, state):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if (await self.state())[server] == state:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"{server} is never {state}")
            await asyncio.sleep(0.05)


class Crowd:
    """USERS sessions, each ended by its user after a time of its own and followed by the next."""

    def __init__(self, address):
        self.address = address
        self.stop = asyncio.Event()
        self.done = self.live = self.turned_away = 0
        self.lost = []
        self.lengths = itertools.cycle(SHORTEST + (LONGEST - SHORTEST) * (i * 7 % 20) / 20 for i in range(20))

    async def run(self):
        await asyncio.gather(*(self.user() for _ in range(USERS)))

    async def user(self):
        while not self.stop.is_set():
            try:
                sock = await enter(self.address)
            except (ws.Refused, OSError, EOFError):
                self.turned_away += 1
                await asyncio.sleep(0.1)
                continue
            self.live += 1
            await self.use(sock)
            self.live -= 1

    async def use(self, sock):
        try:
            await asyncio.sleep(next(self.lengths))
            sock.write(KEY)
            close = await sock.close()
            if close.code != 1000:
                self.lost.append(close)
            else:
                self.done += 1
        except (ws.Closed, OSError, EOFError) as error:
            self.lost.append(error)


async def enter(address):
    """A session whose bytes flow. The connection may break off before the answer: not a session yet."""
    sock = await ws.AsyncWebSocket.open(address, "/websockify?token=tok")
    await sock.read(12)
    sock.write(b"RFB 003.008\n")
    await sock.read(2)
    sock.write(b"\1")
    await sock.read(4)
    sock.write(b"\1")
    await sock.read(24)
    return sock


class Rolling(case.Case):
    def start(self, address="127.0.0.1:0"):
        return self.start_daemon({"tok": vnc(self.server.address, insecure=True)}, connect_insecure=True,
                                 listen_addr=address, listen_insecure=True, drain_timeout=str(DRAIN), log_level="info",
                                 max_sessions_per_token="0", max_sessions_per_console="0",
                                 max_sessions_per_address="0")

    def setUp(self):
        if not shutil.which("haproxy"):
            self.skipTest("no haproxy on this machine")
        self.server = self.enterContext(fakes.Server(fakes.hold, backlog=512))

    def test_rolling_restart(self):
        asyncio.run(self.roll())

    async def roll(self):
        proxies = [self.start(), self.start()]
        balancer = HAProxy(case.new_directory("haproxy"), [proxy.address for proxy in proxies])
        self.addCleanup(balancer.stop)
        for name in ("one", "two"):
            await balancer.wait_state(name, "UP")
        crowd = Crowd(balancer.address)
        users = asyncio.create_task(crowd.run())
        await self.wait(lambda: crowd.live == USERS)
        staying = [await enter(proxies[0].address) for _ in range(STAYING)]

        begin = time.monotonic()
        for index, name in enumerate(("one", "two")):
            await self.wait(lambda: crowd.live > USERS * 0.9)
            self.assertGreater(len(proxies[index].status()["sessions"]), USERS / 4)
            proxies[index] = await self.restart(proxies[index], balancer, name)
        seconds = time.monotonic() - begin
        for sock in staying:
            self.assertEqual((await sock.wait_close()).code, 1001)
        crowd.stop.set()
        await users
        tap.diagnose(f"{crowd.done} sessions of {USERS} users, {len(crowd.lost)} lost, {crowd.turned_away} attempts "
                     f"turned away, {STAYING} cut at the deadline; both restarted in {seconds:.1f} s")
        self.assertEqual(crowd.lost, [])
        self.assertGreater(crowd.done, USERS * 2)
        self.assertGreater(proxies[0].count_lines(r"session \d+ started"), 0)

    async def restart(self, proxy, balancer, name):
        """Drained, ended by itself, started anew on its port, and back in the balancer."""
        loop = asyncio.get_running_loop()
        begin = time.monotonic()
        proxy.terminate()
        await balancer.wait_state(name, "DOWN")
        self.assertEqual(await loop.run_in_executor(None, proxy.process.wait, PATIENCE), 0)
        staying = STAYING if name == "one" else 0
        self.assertEqual(proxy.settled_count(r"session \d+ ended.* code 1001 ", staying), staying)
        if name == "one":
            self.assertGreaterEqual(time.monotonic() - begin, DRAIN - 0.1)
        else:
            proxy.wait_line("no session is left")
        again = self.start("127.0.0.1:%u" % proxy.port)     # by this thread: the daemon dies with it
        await balancer.wait_state(name, "UP")
        return again

    async def wait(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    tap.main()
