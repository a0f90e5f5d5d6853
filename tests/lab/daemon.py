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
import signal
import time

from . import program as _program, rawhttp, ws
from .program import START_TIMEOUT, STOP_TIMEOUT, Program, StartFailed, command_line, path_from, started  # noqa: F401


def program():
    return path_from("VCP_BINARY")


def is_sanitized():
    return _program.is_sanitized(program())


def run(*arguments, **options):
    """Runs the program to its end (for --help and failing starts); the CompletedProcess."""
    return _program.run(program(), *arguments, **options)


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
        # many tests bring unknown tokens, all from one address
        "--token-failures": "0",
        "--log-level": "debug",
    }


class Daemon(Program):
    def __init__(self, directory, certs, tokens=None, flags=None, environment=None, passed=()):
        self.directory = directory
        self.certs = certs
        os.makedirs(directory, exist_ok=True)
        self.flags = default_flags(directory, certs)
        self.flags.update(flags or {})
        self.tokens_path = os.path.join(directory, "tokens.json")
        self.write_tokens(tokens or {})
        super().__init__(program(), self.flags, environment, passed)

    def write_tokens(self, tokens):
        """tokens: the table, or text for a broken file."""
        text = tokens if isinstance(tokens, str) else json.dumps(tokens, indent=1)
        with open(self.tokens_path, "w", encoding="utf-8", opener=_private) as out:
            out.write(text)

    def request(self, target, headers=(), connection=None, **options):
        """One plain HTTP request on a connection of its own -> rawhttp.Response."""
        return self.exchange(rawhttp.request_bytes(target, headers, **options),
                             **(connection or {}))

    def websocket(self, token=None, target=None, **options):
        options.setdefault("tls", self.tls_context())
        if target is None:
            target = f"/websockify?token={token}"
        return ws.WebSocket.open(self.address, target, **options)

    def upgrade(self, target, connection=None, **options):
        """An opening handshake whose answer is all that matters -> rawhttp.Response."""
        return self.exchange(ws.upgrade_request(target, **options), **(connection or {}))

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

    def reload(self):
        self.process.send_signal(signal.SIGHUP)


def _private(path, flags):
    return os.open(path, flags, 0o600)
