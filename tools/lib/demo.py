# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the demo once it is built: certificates, a guest, the proxy; until Ctrl-C or until one of them ends.

    demo.py PROGRAM LISTEN-ADDRESS PORT       PORT "": 6443, or a free one if that is taken
"""
import errno
import ipaddress
import json
import os
import re
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests"))

from lab import guest, pki  # noqa: E402

USUAL_PORT = 6443
START_TIMEOUT = 30
STOP_TIMEOUT = 10
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

TEXT = """
Open this in a browser:

    {url}

It asks about the certificate, because the demo has just made it. Accept the warning, or trust the
demo's CA first: {ca}
{remote}
The page has a tab for each console of the guest: {consoles}. What you type in either
appears on the guest's screen. On the screen F1 floods it, and any key ends that; on the serial port
Ctrl-E prints without end, and any key ends that.
The proxy's log: {log}
Ctrl-C takes everything down.
"""
CONSOLES = {"vnc": "its screen by VNC", "serial": "its serial port"}
FROM_ELSEWHERE = "From another computer: ssh -L {port}:127.0.0.1:{port} {host}, then the same URL there.\n"


class Failed(Exception):
    """The demo can't go on; the text says why."""


class Stopped(Exception):
    """The user asked for the end."""


class Step:
    """One line while something goes on, and how long it took."""

    def __init__(self, what):
        self._what = what

    def __enter__(self):
        self._begin = time.monotonic()
        print(f"{self._what} ... ", end="", flush=True)

    def __exit__(self, kind, *_):
        verdict = "done" if kind is None else "stopped" if kind is Stopped else "FAILED"
        print(f"{verdict} ({time.monotonic() - self._begin:.0f} s)", flush=True)


class Proxy:
    """virtconsoleproxyd, its log in a file."""

    def __init__(self, command, log):
        self.log = log
        with open(log, "wb") as out:
            # setpriv: nothing stays behind even if the demo itself is killed
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def wait_ready(self):
        """Until it listens; the port it listens on."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            text = read(self.log)
            address = re.search(r"listening on \S+:(\d+)\b", text)
            if address and re.search(r"(^|\W)ready\W*$", text, re.MULTILINE):
                return int(address[1])
            if ended:
                raise Failed(f"virtconsoleproxyd ended with status {self.process.returncode}:\n{tail(self.log)}")
            time.sleep(0.05)
        raise Failed(f"virtconsoleproxyd is not ready after {START_TIMEOUT} s:\n{tail(self.log)}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Demo:
    def __init__(self, program, address, port):
        self.program, self.address, self.port = program, address, port
        self.directory = tempfile.mkdtemp(prefix="virtconsoleproxy-demo-")
        self.guest = None
        self.proxy = None

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def start(self):
        with Step("Making a CA and certificates"):
            certs = pki.make(self.path("pki"))
            server = certs.issue("demo", names=self._names(), purposes=("server",))
        with Step("Assembling the console page"):
            run([os.path.join(TOP, "tools", "make-web-root"), self.path("web")])
        with Step("Starting the guest"):
            self.guest = guest.Guest(self.path("guest"), tls=certs.qemu_dir(), name="demo guest", serial="tls raw")
        with Step("Starting the proxy"):
            services = self._services()
            self._write_tokens(services)
            self.proxy = Proxy(self._command(certs, server), self.path("proxy.log"))
            port = self.proxy.wait_ready()
        host = self._url_host()
        remote = FROM_ELSEWHERE.format(port=port, host=socket.gethostname()) if host == "localhost" else ""
        consoles = "&".join(f"type={service['type']}&token={token}" for token, service in services.items())
        print(TEXT.format(url=f"https://{host}:{port}/console.html#{consoles}", ca=certs.ca, remote=remote,
                          consoles=" and ".join(CONSOLES[service["type"]] for service in services.values()),
                          log=self.proxy.log), flush=True)

    def watch(self):
        """Returns never: the user's signal and a child's end are exceptions."""
        with selectors.DefaultSelector() as selector:
            children = (("the guest (qemu-system-x86_64)", self.guest.process, self.path("guest", "qemu.log")),
                        ("virtconsoleproxyd", self.proxy.process, self.proxy.log))
            for child in children:
                selector.register(os.pidfd_open(child[1].pid), selectors.EVENT_READ, child)
            # what the guest says on its serial port is read, or it would block there one day
            selector.register(self.guest.serial, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.data:
                        name, process, log = key.data
                        raise Failed(f"{name} ended by itself, with status {process.wait()}; its last words:\n{tail(log)}")
                    if not self.guest.serial.recv(65536):
                        selector.unregister(self.guest.serial)

    def stop(self):
        for one in STOP_SIGNALS:        # nothing stops the stopping
            signal.signal(one, signal.SIG_IGN)
        if self.proxy:
            self.proxy.stop()
        if self.guest:
            self.guest.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _services(self):
        """A random token → its service, for each console of the guest."""
        return {secrets.token_urlsafe(24): service for service in (
            {"type": "vnc", "address": self.guest.address},
            {"type": "serial", "address": self.guest.serial_address})}

    def _command(self, certs, server):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return [self.program, f"--listen-addr={host}:{self.port}",
                f"--listen-tls-cert={server.cert}", f"--listen-tls-key={server.key}",
                f"--connect-tls-cert={certs.proxy_client.cert}", f"--connect-tls-key={certs.proxy_client.key}",
                f"--connect-tls-ca={certs.ca}", f"--resolver-tokens={self.path('tokens.json')}",
                f"--web-dir={self.path('web')}", "--log-level=info"]

    def _write_tokens(self, tokens):
        with open(self.path("tokens.json"), "w", encoding="ascii",
                  opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            json.dump(tokens, out, indent=2)

    def _is_loopback(self):
        return ipaddress.ip_address(self.address).is_loopback

    def _url_host(self):
        """The name that a browser can use for the address."""
        address = ipaddress.ip_address(self.address)
        if address.is_loopback:
            return "localhost" if self.address in ("127.0.0.1", "::1") else self.address
        if address.is_unspecified:
            return socket.gethostname()
        return f"[{address}]" if address.version == 6 else str(address)

    def _names(self):
        names = [*pki.LOCALHOST, socket.gethostname()]
        if self.address not in names and not ipaddress.ip_address(self.address).is_unspecified:
            names.append(self.address)
        return tuple(names)


def choose_port(address, wanted):
    """The wanted port if it is free; where the user named none, the usual one or else any (0)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, int(wanted or USUAL_PORT)))
            return int(wanted or USUAL_PORT)
        except OSError as error:
            if wanted or error.errno != errno.EADDRINUSE:
                raise Failed(f"cannot listen on {address} port {wanted or USUAL_PORT}: {error.strerror}") from None
    print(f"Port {USUAL_PORT} is taken; using a free one.")
    return 0


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])} failed:\n{done.stdout}")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as source:
        return source.read()


def tail(path, count=15):
    return "\n".join(f"    {line}" for line in read(path).splitlines()[-count:])


def on_signal(*_):
    raise Stopped


def main():
    program, address, wanted_port = sys.argv[1:]
    for one in STOP_SIGNALS:
        signal.signal(one, on_signal)
    demo = None
    try:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise Failed(f"--listen: {address} is no IP address") from None
        port = choose_port(address, wanted_port)
        demo = Demo(program, address, port)
        demo.start()
        demo.watch()
    except Stopped:
        print()
        if demo:
            with Step("Taking everything down"):
                demo.stop()
            demo = None
        return 0
    except (Failed, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        if demo:
            demo.stop()


if __name__ == "__main__":
    sys.exit(main())
