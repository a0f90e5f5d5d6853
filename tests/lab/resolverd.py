# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts virtconsoleresolverd (environment VCR_BINARY names the program), and asks it.

    with resolverd.Resolverd(directory, certs, [daemon.uri]) as resolver:
        resolver.query(token)                      # -> rawhttp.Response
        resolver.service(token)                    # -> the service, of a 200
        resolver.wait_status(token, 404)           # asks until it is so
        resolver.wait_ready()                      # every libvirtd is connected and listed

Guests listen on loopback addresses, so every libvirtd gets a --domain-address of 127.0.0.1.

grant() gives a guest's consoles tokens by virsh alone, without our own tool:

    resolverd.grant(daemon, "demo", [resolverd.Console("vnc")])      # -> [Console with .token, .secret]
"""
import json
import os
import time
import uuid
from dataclasses import dataclass, field
from xml.sax.saxutils import quoteattr

from . import program as _program, rawhttp
from .program import Program, path_from

NAMESPACE = "http://libvirt.org/schemas/console-proxy/1.0"


def program():
    return path_from("VCR_BINARY")


def run(*arguments, **options):
    return _program.run(program(), *arguments, **options)


class Resolverd(Program):
    def __init__(self, directory, certs, uris, flags=None, environment=None, wait=True, passed=()):
        self.directory = directory
        self.certs = certs
        self.client = certs.proxy_client
        self.flags = {
            "--listen-addr": "127.0.0.1:0",
            "--listen-tls-cert": certs.resolver_server.cert,
            "--listen-tls-key": certs.resolver_server.key,
            "--listen-tls-ca": certs.ca,
            "--connect": list(uris),
            "--domain-address": [f"{uri}=127.0.0.1" for uri in uris],
            "--log-level": "debug",
        }
        self.flags.update(flags or {})
        environment = {**_sanitizer_options(), **(environment or {})}
        super().__init__(program(), self.flags, environment, passed)
        if wait:
            self.wait_ready()

    @property
    def uri(self):
        """For the proxy's --resolver-uri."""
        return f"https://localhost:{self.port}/consoleresolver/"

    def tls_context(self, **options):
        options.setdefault("cert", self.client)
        return rawhttp.tls_context(self.certs.ca, **options)

    def get(self, path, method="GET", headers=(), **connection):
        return self.exchange(rawhttp.request_bytes(path, headers, method=method), **connection)

    def query(self, token, **connection):
        return self.get(f"/consoleresolver/token/{token}", **connection)

    def service(self, token):
        response = self.query(token)
        if response.status != 200:
            raise AssertionError(f"no service: {response}; the log:\n{self.tail()}")
        return json.loads(response.body)

    def wait_status(self, token, status, timeout=20):
        """Asks until the answer has this status; seconds that it took."""
        begin = time.monotonic()
        while True:
            response = self.query(token)
            took = time.monotonic() - begin
            if response.status == status:
                return took
            if took > timeout:
                raise AssertionError(f"{response.status} and not {status} after {timeout} s; the log:\n"
                                     + self.tail())
            time.sleep(0.01)

    def wait_ready(self, timeout=30):
        deadline = time.monotonic() + timeout
        while self.get("/readyz").status != 200:
            if time.monotonic() > deadline:
                raise AssertionError(f"not ready after {timeout} s; the log:\n{self.tail()}")
            time.sleep(0.02)


def _sanitizer_options():
    """libvirt's own leaks are known by functions that only whole stacks show (tests/lsan.supp)."""
    suppressions = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lsan.supp")
    return {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":fast_unwind_on_malloc=0",
            "LSAN_OPTIONS": os.environ.get("LSAN_OPTIONS", "") + f":suppressions={suppressions}:print_suppressions=0"}


@dataclass
class Console:
    """One entry of the metadata, and the secret behind it."""
    type: str
    port: int = 0
    insecure: bool = False
    attributes: dict = field(default_factory=dict)
    token: str = field(default_factory=lambda: str(uuid.uuid4()))
    secret: str = field(default_factory=lambda: str(uuid.uuid4()))

    def xml(self):
        values = {"token": self.secret, "type": self.type, "port": str(self.port),
                  "insecure": "yes" if self.insecure else "no", **self.attributes}
        return f"<console {' '.join(f'{name}={quoteattr(value)}' for name, value in values.items())}/>"


def grant(daemon, name, consoles, live=False):
    """Secrets and metadata for a guest, live or in its configuration -> consoles."""
    for console in consoles:
        define_secret(daemon, console.secret)
        set_token(daemon, console.secret, console.token)
    set_metadata(daemon, name, consoles, live)
    return consoles


def set_metadata(daemon, name, consoles, live=False):
    text = "".join(console.xml() for console in consoles)
    daemon.virsh("metadata", name, NAMESPACE, "--live" if live else "--config", "--key", "lcp",
                 "--set", f"<consoles>{text}</consoles>")


def define_secret(daemon, secret, private="no"):
    path = os.path.join(daemon.directory, f"{secret}.xml")
    with open(path, "w", encoding="ascii") as out:
        out.write(f"<secret ephemeral='no' private='{private}'><uuid>{secret}</uuid></secret>")
    daemon.virsh("secret-define", path)


def set_token(daemon, secret, value):
    """value: text or bytes, as it is."""
    path = os.path.join(daemon.directory, f"{secret}.value")
    with open(path, "wb") as out:
        out.write(value if isinstance(value, bytes) else value.encode())
    daemon.virsh("secret-set-value", secret, "--file", path, "--plain")


