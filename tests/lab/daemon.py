# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts virtconsoleproxyd (environment VCP_BINARY names the program) and watches it.

    with daemon.Daemon(directory, certs, {"tok": {"type": "vnc", "address": "127.0.0.1:5900"}}) as d:
        sock = d.websocket("tok")
        d.wait_line("session .* started")
        d.memory(), d.descriptors(), d.cpu()

Files go into directory. Arguments that a test gives take the place of the default ones; None as the
value of a flag leaves it out. stop() ends it with SIGTERM and gives the exit status.
"""
import json
import os
import re
import signal
import subprocess
import threading
import time

from . import rawhttp, ws

START_TIMEOUT = 60
STOP_TIMEOUT = 5          # the promise
GRACE = 55                # longer than that is not slow but hung

started = []              # all of this process, for the log tails in test reports


class StartFailed(Exception):
    pass


def program():
    path = os.environ.get("VCP_BINARY")
    if not path:
        raise RuntimeError("set VCP_BINARY to the virtconsoleproxyd to test")
    return path


def is_sanitized():
    """Built with a sanitizer: figures about memory mean nothing then."""
    with open(program(), "rb") as binary:
        content = binary.read()
    return b"__asan_init" in content or b"__tsan_init" in content


def run(*arguments, timeout=START_TIMEOUT):
    """Runs the program to its end (for --help and failing starts); the CompletedProcess."""
    return subprocess.run([program(), *arguments], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=timeout)


def default_flags(directory, certs):
    """What every start needs, flag by flag; more of one flag by a list."""
    return {
        "--listen-addr": "127.0.0.1:0",
        "--listen-tls-cert": certs.proxy_server.cert,
        "--listen-tls-key": certs.proxy_server.key,
        "--connect-tls-cert": certs.proxy_client.cert,
        "--connect-tls-key": certs.proxy_client.key,
        "--connect-tls-ca": certs.ca,
        "--resolver-tokens": os.path.join(directory, "tokens.json"),
        "--workers": "2",
        "--log-level": "debug",
    }


def command_line(flags):
    """A flag's value: text, True (a switch), None (left out), or a list of values."""
    arguments = []
    for flag, value in flags.items():
        if value is True:
            arguments.append(flag)
        elif value is not None:
            for one in value if isinstance(value, (list, tuple)) else [value]:
                arguments.append(f"{flag}={one}")
    return arguments


class Daemon:
    def __init__(self, directory, certs, tokens=None, flags=None, environment=None):
        self.directory = directory
        self.certs = certs
        os.makedirs(directory, exist_ok=True)
        self.flags = default_flags(directory, certs)
        self.flags.update(flags or {})
        self.tokens_path = os.path.join(directory, "tokens.json")
        self.write_tokens(tokens or {})
        self.lines = []
        self._changed = threading.Condition()
        self._ended = False
        self._terminated = False
        # setpriv: a test that is killed must not leave its daemon behind
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program(), *command_line(self.flags)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})})
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()
        started.append(self)
        self._wait_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def write_tokens(self, tokens):
        """tokens: the table, or text for a broken file."""
        text = tokens if isinstance(tokens, str) else json.dumps(tokens, indent=1)
        with open(self.tokens_path, "w", encoding="utf-8", opener=_private) as out:
            out.write(text)

    @property
    def address(self):
        """(host, port) of the first listener."""
        return self.listeners[0]

    @property
    def port(self):
        return self.address[1]

    def tls_context(self, **options):
        return rawhttp.tls_context(self.certs.ca, **options)

    def connect(self, **options):
        """A TLS connection to the first listener (plain with tls=None)."""
        options.setdefault("tls", self.tls_context())
        return rawhttp.connect(self.address, **options)

    def request(self, target, headers=(), connection=None, **options):
        """One plain HTTP request on a connection of its own -> rawhttp.Response."""
        return self.exchange(rawhttp.request_bytes(target, headers, **options),
                             **(connection or {}))

    def exchange(self, data, **options):
        sock = self.connect(**options)
        try:
            return rawhttp.exchange(sock, data)
        finally:
            sock.close()

    def websocket(self, token=None, target=None, **options):
        options.setdefault("tls", self.tls_context())
        if target is None:
            target = f"/websockify?token={token}"
        return ws.WebSocket.open(self.address, target, **options)

    def upgrade(self, target, connection=None, **options):
        """An opening handshake whose answer is all that matters -> rawhttp.Response."""
        return self.exchange(ws.upgrade_request(target, **options), **(connection or {}))

    def wait_line(self, pattern, timeout=30, after=0):
        """Waits for a log line (from number `after` on) that contains the pattern; its match."""
        deadline = time.monotonic() + timeout
        at = after
        with self._changed:
            while True:
                while at < len(self.lines):
                    match = re.search(pattern, self.lines[at])
                    if match:
                        return match
                    at += 1
                left = deadline - time.monotonic()
                if self._ended or left <= 0 or not self._changed.wait(left):
                    if at >= len(self.lines):
                        raise TimeoutError(f"no log line like {pattern!r}; the log:\n{self.tail()}")

    def mark(self):
        """The log's length now, for wait_line(after=)."""
        with self._changed:
            return len(self.lines)

    def count_lines(self, pattern):
        with self._changed:
            return sum(bool(re.search(pattern, line)) for line in self.lines)

    def running_sessions(self):
        return (self.count_lines(r"session \d+ started")
                - self.count_lines(r"session \d+ ended"))

    def wait_idle(self, timeout=30):
        """Waits until every session that started has ended."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self.running_sessions() > 0:
                if self._ended or not self._changed.wait(max(0, deadline - time.monotonic())):
                    raise TimeoutError(f"{self.running_sessions()} sessions never ended; the log:\n"
                                       + self.tail())

    def tail(self, count=40):
        with self._changed:
            return "\n".join(self.lines[-count:])

    def log(self):
        with self._changed:
            return "\n".join(self.lines)

    def is_alive(self):
        return self.process.poll() is None

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def terminate(self):
        """SIGTERM, once: a second one may well mean that it is to go at once."""
        if not self._terminated and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._terminated = True

    def stop(self):
        """SIGTERM; the exit status, and in self.stop_seconds how long it took."""
        begin = time.monotonic()
        self.terminate()
        try:
            self.process.wait(STOP_TIMEOUT + GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stop_seconds = time.monotonic() - begin
        self._reader.join()
        return self.process.returncode

    def _proc(self, name):
        with open(f"/proc/{self.process.pid}/{name}", "rb") as source:
            return source.read()

    def memory(self):
        """Anonymous memory in bytes: what it allocated, without the pages of its program."""
        match = re.search(rb"Anonymous:\s+(\d+) kB", self._proc("smaps_rollup"))
        return int(match[1]) * 1024

    def resident(self):
        return int(re.search(rb"VmRSS:\s+(\d+) kB", self._proc("status"))[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu(self):
        """Seconds of processor time, user and system."""
        fields = self._proc("stat").rsplit(b")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def arguments(self):
        return self._proc("cmdline")

    def environment(self):
        return self._proc("environ")

    def _collect(self):
        for raw in self.process.stderr:
            with self._changed:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait_ready(self):
        try:
            self.wait_line(r"(^|\W)ready\W*$", START_TIMEOUT)
        except TimeoutError as error:
            self.process.kill()
            status = self.process.wait()
            raise StartFailed(f"exit status {status}; {error}") from None
        self.listeners = [_listener(match) for match in
                          re.findall(r"listening on (\S+)", self.log())]


def _private(path, flags):
    return os.open(path, flags, 0o600)


def _listener(text):
    if text.startswith("unix:"):
        return text[len("unix:"):]
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)
