# SPDX-License-Identifier: LGPL-2.1-or-later
"""The proxies that the bench knows, each started for some consoles and stopped again.

    proxy = Ours("build")                    # what is started how; or HAProxy(), Websockify(), Command("...")
    with proxy.start(place, targets) as running:      # targets: token -> Target
        running.port("tok"), running.cpu(), running.memory()

All of them speak TLS on both sides, with the certificates of `place`.
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections import namedtuple

START_TIMEOUT = 60

# What a token stands for: the console's protocol as the backend has it, and its port.
Target = namedtuple("Target", "protocol port")

# Where a proxy works: a directory of its own, certificates (server, client: cert and key), and how
# many threads it may have on which CPUs.
Place = namedtuple("Place", "directory ca server client workers cpus")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def may_go_first():
    return subprocess.run([*FIRST, "true"], check=False, capture_output=True).returncode == 0


# Where several programs want the same CPU: this one gets it at once, or when no other wants it.
FIRST = ("chrt", "-f", "1")
LAST = ("nice", "-n", "19")


class Process:
    """A program and its children, on some CPUs; ends with this one."""

    def __init__(self, command, cpus, rank=(), **options):
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *rank, "taskset", "-c", cpus, *command],
                                        start_new_session=True, text=True, **options)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.process.wait()

    def pids(self):
        """Of its session: websockify has a process for each connection."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            fields = stat_fields(name)
            if fields and int(fields[3]) == self.pid:
                found.append(int(name))
        return found

    def cpu(self):
        """Seconds of processor time, of all threads, and of children that have ended."""
        total = 0
        for pid in self.pids():
            fields = stat_fields(pid) or ["0"] * 20
            total += sum(int(field) for field in fields[11:15])
        return total / os.sysconf("SC_CLK_TCK")

    def threads_cpu(self):
        """Seconds of each thread."""
        directory = f"/proc/{self.pid}/task"
        fields = [stat_fields(f"{self.pid}/task/{name}") for name in os.listdir(directory)]
        return [(int(one[11]) + int(one[12])) / os.sysconf("SC_CLK_TCK") for one in fields if one]

    def memory(self):
        """KiB, proportional: what it adds to the machine's use."""
        total = 0
        for pid in self.pids():
            try:
                rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            except (FileNotFoundError, ProcessLookupError):
                continue
            total += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1])
        return total


def stat_fields(name):
    """Those behind the program's name: state, parent, group, session and so on."""
    try:
        return pathlib.Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class Running(Process):
    """A proxy that listens; ports: token -> port, or one port for all."""

    def __init__(self, command, place, ports, **options):
        self.log = open(os.path.join(place.directory, "proxy.log"), "ab")
        self._ports = ports
        super().__init__(command, place.cpus, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **options)
        for port in {self.port(token) for token in (ports if isinstance(ports, dict) else [""])}:
            self._wait_for(port)

    def port(self, token):
        return self._ports[token] if isinstance(self._ports, dict) else self._ports

    def _wait_for(self, port):
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{self.log.name}: the proxy does not listen")


class Proxy:
    """raw: it knows no websockets, and the clients leave them out."""
    name = ""
    raw = False
    wrapper = ()            # of the command, such as valgrind

    def __init__(self, wrapper=()):
        self.wrapper = list(wrapper)

    def can(self, case):
        """Whether the proxy has what the case needs."""
        return case.protocol != "vencrypt"


def services(targets):
    """Our token file."""
    table = {}
    for token, target in targets.items():
        table[token] = {"type": "vnc" if target.protocol == "vencrypt" else target.protocol,
                        "address": f"127.0.0.1:{target.port}"}
        if target.protocol == "vnc":
            table[token]["tlsTunnel"] = True
        if target.protocol == "serial":
            table[token]["exclusive"] = False
    return json.dumps(table)


class Ours(Proxy):
    def __init__(self, build, name="ours", wrapper=()):
        super().__init__(wrapper)
        self.name = name
        self.program = os.path.join(build, "src", "virtconsoleproxyd")

    def can(self, case):
        return True

    def start(self, place, targets, keepalive=3600):
        port = free_port()
        flags = {"listen-addr": f"127.0.0.1:{port}", "listen-tls-cert": place.server.cert,
                 "listen-tls-key": place.server.key, "connect-tls-cert": place.client.cert,
                 "connect-tls-key": place.client.key, "connect-tls-ca": place.ca,
                 "resolver-tokens": write(f"{place.directory}/tokens.json", services(targets)),
                 "workers": place.workers,
                 # figures are of what a case does
                 "keepalive": keepalive}
        for kind in ("", "-per-token", "-per-console", "-per-address"):
            flags["max-sessions" + kind] = 0
        return Running([*self.wrapper, self.program, *(f"--{name}={value}" for name, value in flags.items())], place,
                       port)


class HAProxy(Proxy):
    """In TCP mode: TLS in and out and nothing else, the practical bound."""
    name = "haproxy"
    raw = True
    program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")

    def start(self, place, targets):
        listeners, parts = [], []
        pem = write(f"{place.directory}/server.pem", read(place.server.cert) + read(place.server.key))
        client = write(f"{place.directory}/client.pem", read(place.client.cert) + read(place.client.key))
        for token, target in targets.items():
            listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
            listeners.append((token, listener))
            parts.append(f"listen {token}\n bind fd@{listener.fileno()} ssl crt {pem}\n"
                         f" server console 127.0.0.1:{target.port} ssl verify required ca-file {place.ca}"
                         f" verifyhost localhost crt {client}\n")
        config = (f"global\n nbthread {place.workers}\n maxconn 9500\n"
                  "defaults\n mode tcp\n maxconn 9500\n timeout connect 60s\n timeout client 1h\n timeout server 1h\n")
        path = write(f"{place.directory}/haproxy.cfg", config + "".join(parts))
        running = Running([*self.wrapper, self.program, "-db", "-f", path], place,
                          {token: listener.getsockname()[1] for token, listener in listeners},
                          pass_fds=[listener.fileno() for _, listener in listeners])
        for _, listener in listeners:
            listener.close()
        return running


class Websockify(Proxy):
    name = "websockify"
    program = shutil.which("websockify")

    def start(self, place, targets):
        port = free_port()
        tokens = write(f"{place.directory}/websockify.tokens",
                       "".join(f"{token}: 127.0.0.1:{target.port}\n" for token, target in targets.items()))
        return Running([*self.wrapper, self.program, "--ssl-only", f"--cert={place.server.cert}",
                        f"--key={place.server.key}", "--ssl-target", "--token-plugin=TokenFile",
                        f"--token-source={tokens}", f"127.0.0.1:{port}"], place, port)


class Command(Proxy):
    """Any other: NAME=COMMAND, where {port}, {cert}, {key}, {ca}, {client_cert}, {client_key}, {workers}, {tokens}
    (a token file of ours) and {target} (address of the token tok) are filled in. A NAME that begins with "raw:"
    is of one that knows no websockets."""

    def __init__(self, text, wrapper=()):
        super().__init__(wrapper)
        self.name, self.command = text.split("=", 1)
        self.raw = self.name.startswith("raw:")

    def start(self, place, targets):
        port = free_port()
        tokens = write(f"{place.directory}/tokens.json", services(targets))
        values = {"port": port, "cert": place.server.cert, "key": place.server.key, "ca": place.ca,
                  "client_cert": place.client.cert, "client_key": place.client.key, "workers": place.workers,
                  "tokens": tokens, "target": f"127.0.0.1:{targets['tok'].port}"}
        return Running([*self.wrapper, *(word.format(**values) for word in shlex.split(self.command))], place, port)


def read(path):
    return pathlib.Path(path).read_text(encoding="ascii")
