# SPDX-License-Identifier: LGPL-2.1-or-later
"""One of our daemons as a process of the test: its log, its end, what it uses.

A Program is started by its maker, which waits until the log says that it is ready. stop() ends it with
SIGTERM and gives the exit status. It dies with the test.
"""
import fcntl
import os
import re
import signal
import subprocess
import threading
import time

from . import rawhttp

START_TIMEOUT = 60
STOP_TIMEOUT = 5          # the promise
GRACE = 55                # longer than that is not slow but hung

started = []              # all of this process, for the log tails in test reports


class StartFailed(Exception):
    pass


def path_from(variable):
    path = os.environ.get(variable)
    if not path:
        raise RuntimeError(f"set {variable} to the program to test")
    return path


def is_sanitized(path):
    """Built with a sanitizer: figures about memory mean nothing then."""
    with open(path, "rb") as binary:
        content = binary.read()
    return b"__asan_init" in content or b"__tsan_init" in content


FIRST_PASSED = 3          # as in sd_listen_fds(3)
OUT_OF_THE_WAY = 200      # above what bash and the program open themselves


def run(path, *arguments, timeout=START_TIMEOUT, passed=()):
    """Runs a program to its end (for --help and failing starts); the CompletedProcess."""
    with _Passing(passed) as passing:
        return subprocess.run([*passing.command, path, *arguments], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=timeout, pass_fds=passing.fds)


class _Passing:
    """Passes sockets to a program as a service manager does, by the command before its own."""

    def __init__(self, sockets):
        self.fds = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY) for one in sockets]
        moves = " ".join(f"{FIRST_PASSED + i}<&{fd} {fd}<&-" for i, fd in enumerate(self.fds))
        self.command = ["bash", "-c", f'exec {moves}; LISTEN_PID=$$ LISTEN_FDS={len(self.fds)} exec "$@"',
                        "bash"] if self.fds else []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in self.fds:
            os.close(fd)


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


class Program:
    def __init__(self, path, flags, environment=None, passed=()):
        """passed: listening sockets, as a service manager's."""
        self.lines = []
        self._changed = threading.Condition()
        self._ended = False
        self._terminated = False
        # setpriv: a test that is killed must not leave its daemon behind
        with _Passing(passed) as passing:
            self.process = subprocess.Popen(
                [*passing.command, "setpriv", "--pdeathsig", "KILL", path, *command_line(flags)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env={**os.environ, **(environment or {})}, pass_fds=passing.fds)
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()
        started.append(self)
        self._wait_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

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

    def exchange(self, data, **options):
        sock = self.connect(**options)
        try:
            return rawhttp.exchange(sock, data)
        finally:
            sock.close()

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

    def settled_count(self, pattern, wanted, timeout=30):
        """As count_lines(), once there are so many: the log comes a little later than what it tells."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while (count := self.count_lines(pattern)) < wanted:
                if self._ended or not self._changed.wait(max(0, deadline - time.monotonic())):
                    break
        return count

    def tail(self, count=40):
        with self._changed:
            return "\n".join(self.lines[-count:])

    def log(self):
        with self._changed:
            return "\n".join(self.lines)

    def is_alive(self):
        return self.process.poll() is None

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


def _listener(text):
    if text.startswith("unix:"):
        return text[len("unix:"):]
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)
