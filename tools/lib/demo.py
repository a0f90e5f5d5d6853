# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the demo once it is built: certificates, libvirtd with a guest, resolver, proxy; until Ctrl-C or until
one of them ends.

    demo.py PROGRAMS LISTEN-ADDRESS PORT      PROGRAMS: directory; PORT "": 6443, or a free one if that is taken
"""
import errno
import ipaddress
import json
import os
import re
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

from lab import libvirtd, pki  # noqa: E402

USUAL_PORT = 6443
START_TIMEOUT = 30
STOP_TIMEOUT = 10
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GUEST = "demo"

TEXT = """
Open this in a browser:

    {url}

It asks about the certificate, because the demo has just made it. Accept the warning, or trust the
demo's CA first: {ca}
{remote}
The page has a tab for each console of the guest:
{consoles}.
Keys that you type there appear on its screen. On the screens F1 prints without end, on the serial port
Ctrl-E does, and any key ends that.

In another terminal, look at the guest or take the consoles away, give them back, with new tokens:

    export LIBVIRT_DEFAULT_URI='{uri}'
    virsh metadata {guest} http://libvirt.org/schemas/console-proxy/1.0
    {adm} status
    {adm} disable {guest}
    {adm} enable {guest}
    {adm} url {guest} --proxy {base}

Logs: {logs}
Ctrl-C takes everything down.
"""
CONSOLES = {"vnc": "its screen by VNC", "spice": "its screen by SPICE", "serial": "its serial port",
            "console": "a virtio console, to which it does not listen"}
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


class Daemon:
    """One of our daemons, its log in a file."""

    def __init__(self, command, log):
        self.name = os.path.basename(command[0])
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
                raise Failed(f"{self.name} ended with status {self.process.returncode}:\n{tail(self.log)}")
            time.sleep(0.05)
        raise Failed(f"{self.name} is not ready after {START_TIMEOUT} s:\n{tail(self.log)}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Demo:
    def __init__(self, programs, address, port):
        self.programs, self.address, self.port = programs, address, port
        self.directory = tempfile.mkdtemp(prefix="virtconsoleproxy-demo-")
        self.libvirtd = None
        self.resolver = None
        self.proxy = None

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def start(self):
        with Step("Making a CA and certificates"):
            certs = pki.make(self.path("pki"))
            server = certs.issue("demo", names=self._names(), purposes=("server",))
        with Step("Assembling the console page"):
            run([os.path.join(TOP, "tools", "make-web-root"), self.path("web")])
        with Step("Starting libvirtd, which asks QEMU what it can do"):
            kind = libvirtd.Libvirtd if os.geteuid() == 0 else libvirtd.SessionLibvirtd
            self.libvirtd = kind(self.path("libvirtd"), certs)
        with Step("Starting the guest"):
            serial, console = (libvirtd.Tcp(self.libvirtd.free_port()) for _ in range(2))
            self.libvirtd.define(GUEST, vnc=True, spice=True, serials=[serial], consoles=[console])
            self.libvirtd.start_guest(GUEST)
        with Step("Enabling its consoles"):
            self._adm("enable", GUEST)
        with Step("Starting the resolver"):
            self.resolver = Daemon(self._resolver_command(certs), self.path("resolver.log"))
            resolver_port = self.resolver.wait_ready()
        with Step("Starting the proxy"):
            self.proxy = Daemon(self._proxy_command(certs, server, resolver_port), self.path("proxy.log"))
            port = self.proxy.wait_ready()
        print(self._text(certs, self._url_host(), port), flush=True)

    def watch(self):
        """Returns never: the user's signal and a child's end are exceptions."""
        with selectors.DefaultSelector() as selector:
            for daemon in (self.resolver, self.proxy):
                selector.register(os.pidfd_open(daemon.process.pid), selectors.EVENT_READ, daemon)
            is_running = True
            while True:
                event = self._await_guest_event()
                waiter = os.pidfd_open(event.pid)
                selector.register(waiter, selectors.EVENT_READ)
                try:
                    is_running = self._look_at_guest(is_running)    # something may have happened in between
                    while event.poll() is None:
                        for key, _ in selector.select():
                            if key.data:
                                raise Failed(f"{key.data.name} ended by itself, with status {key.data.process.wait()};"
                                             f" its last words:\n{tail(key.data.log)}")
                    is_running = self._look_at_guest(is_running)
                finally:
                    selector.unregister(waiter)
                    os.close(waiter)
                    event.kill()
                    event.wait()

    def _await_guest_event(self):
        """A process that ends when something happens to the guest, or to libvirtd."""
        return subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "virsh", "-q", "-c", self.libvirtd.uri, "event", GUEST,
                                 "--event", "lifecycle"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def _look_at_guest(self, was_running):
        try:
            is_running = self.libvirtd.virsh("domstate", GUEST) not in ("shut off", "crashed")
        except libvirtd.Failed as error:
            raise Failed(f"libvirtd ended by itself: {error}") from None
        if was_running and not is_running:
            print(f"The guest is off, and its consoles with it. To start it again: virsh start {GUEST}", flush=True)
        return is_running

    def stop(self):
        for one in STOP_SIGNALS:        # nothing stops the stopping
            signal.signal(one, signal.SIG_IGN)
        for one in (self.proxy, self.resolver, self.libvirtd):
            if one:
                one.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _program(self, name):
        return os.path.join(self.programs, name)

    def _adm(self, *arguments):
        return run([self._program("virtconsoleresolveradm"), "-c", self.libvirtd.uri, *arguments])

    def _text(self, certs, host, port):
        base = f"https://{host}:{port}"
        enabled = json.loads(self._adm("status", GUEST, "--json"))[0]["consoles"]
        links = [self._adm("url", GUEST, "--proxy", base, "--type", one["type"], "--port", str(one["index"]))
                 for one in enabled]
        fragments = [link.partition("#")[2].split()[0] + ("&name=Virtio%20console" if one["type"] == "console" else "")
                     for link, one in zip(links, enabled)]
        names = [CONSOLES[one["type"]] for one in enabled]
        return TEXT.format(
            url=f"{base}/console.html#{'&'.join(fragments)}", base=base, ca=certs.ca, guest=GUEST,
            consoles=", ".join(names[:-1]) + " and " + names[-1], uri=self.libvirtd.uri,
            adm=self._program("virtconsoleresolveradm"), logs=f"{self.proxy.log} {self.resolver.log}",
            remote=FROM_ELSEWHERE.format(port=port, host=socket.gethostname()) if host == "localhost" else "")

    def _resolver_command(self, certs):
        return [self._program("virtconsoleresolverd"), "--listen-addr=127.0.0.1:0",
                f"--listen-tls-cert={certs.resolver_server.cert}", f"--listen-tls-key={certs.resolver_server.key}",
                f"--listen-tls-ca={certs.ca}", f"--connect={self.libvirtd.uri}",
                f"--domain-address={self.libvirtd.uri}=127.0.0.1", "--log-level=info"]

    def _proxy_command(self, certs, server, resolver_port):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return [self._program("virtconsoleproxyd"), f"--listen-addr={host}:{self.port}",
                f"--listen-tls-cert={server.cert}", f"--listen-tls-key={server.key}",
                f"--connect-tls-cert={certs.proxy_client.cert}", f"--connect-tls-key={certs.proxy_client.key}",
                f"--connect-tls-ca={certs.ca}", "--resolver-mode=external",
                f"--resolver-uri=https://localhost:{resolver_port}/consoleresolver/",
                f"--web-dir={self.path('web')}", f"--admin-addr=unix:{self.path('admin.sock')}", "--log-level=info"]

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
    return done.stdout


def read(path):
    with open(path, encoding="utf-8", errors="replace") as source:
        return source.read()


def tail(path, count=15):
    return "\n".join(f"    {line}" for line in read(path).splitlines()[-count:])


def on_signal(*_):
    raise Stopped


def main():
    programs, address, wanted_port = sys.argv[1:]
    for one in STOP_SIGNALS:
        signal.signal(one, on_signal)
    demo = None
    try:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise Failed(f"--listen: {address} is no IP address") from None
        port = choose_port(address, wanted_port)
        demo = Demo(programs, address, port)
        demo.start()
        demo.watch()
    except Stopped:
        print()
        if demo:
            with Step("Taking everything down"):
                demo.stop()
            demo = None
        return 0
    except (Failed, libvirtd.Failed, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        if demo:
            demo.stop()


if __name__ == "__main__":
    sys.exit(main())
