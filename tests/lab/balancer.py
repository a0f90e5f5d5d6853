# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's HAProxy and nginx, with the configurations that stand in docs/deployment.md.

    configuration = balancer.from_document("haproxy", "send-proxy-v2")
    one = balancer.HAProxy(directory, configuration, [proxy.address, ...], certs)
    one.address                                       # where it listens
    one.log()

Only addresses, files and times are replaced; each text that is must be there. It dies with the test.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess

from . import redisserver

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/deployment.md"
IDLE = 3                # seconds, in place of the document's 60
STOP_TIMEOUT = 30


def from_document(language, mark):
    """The one block of that language that has the mark in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"),
                        re.MULTILINE | re.DOTALL)
    found = [block for block in blocks if mark in block]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} {language} blocks with {mark!r}")
    return found[0]


def replace(text, pairs):
    for old, new in pairs:
        if old not in text:
            raise AssertionError(f"the document's configuration has no {old!r}")
        text = text.replace(old, new)
    return text


def missing(program):
    """Why it cannot run here, or None."""
    return None if shutil.which(program) else f"no {program} on this machine"


class Balancer:
    def __init__(self, directory, configuration, proxies, certs):
        self.directory = directory
        self.certs = certs
        self.port = redisserver.free_port()
        self.address = ("127.0.0.1", self.port)
        self.path = os.path.join(directory, "configuration")
        self.log_path = os.path.join(directory, "log")
        with open(self.path, "w", encoding="utf-8") as out:
            out.write(self._adapt(configuration, [f"{host}:{port}" for host, port in proxies]))
        with open(self.log_path, "wb") as log:
            # setpriv: a test that is killed must not leave its balancer behind
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self._command()],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
        redisserver.wait_until(self._is_up, "a balancer that accepts connections")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError("the balancer did not start:\n" + self.log())
        with socket.socket() as sock:
            return sock.connect_ex(self.address) == 0


class HAProxy(Balancer):
    def _adapt(self, text, proxies):
        pair = self.certs.issue("console", names=("localhost",))
        pem = os.path.join(self.directory, "console.pem")
        with open(pem, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            for part in pair:
                with open(part, encoding="ascii") as source:
                    out.write(source.read())
        text = replace(text, [("bind :443", f"bind {self.address[0]}:{self.port}"),
                              ("192.0.2.11:443", proxies[0]), ("192.0.2.12:443", proxies[1]),
                              ("/dev/log local0", "stdout format raw local0"),
                              ("/etc/haproxy/proxies-ca.pem", self.certs.ca),
                              ("console.example.org", "localhost"), ("timeout client 60s", f"timeout client {IDLE}s"),
                              ("timeout server 60s", f"timeout server {IDLE}s"),
                              ("maxconn 40000", "maxconn 1000"), ("inter 2s", "inter 500ms")])
        if "timeout tunnel" in text:
            text = replace(text, [("timeout tunnel 60s", f"timeout tunnel {IDLE}s"),
                                  ("/etc/haproxy/console.pem", pem)])
        return text

    def _command(self):
        return ["haproxy", "-db", "-f", self.path]


class Nginx(Balancer):
    def _adapt(self, text, proxies):
        os.symlink("/usr/lib/nginx/modules", os.path.join(self.directory, "modules"))
        text = replace(text, [("listen 443", f"listen {self.address[0]}:{self.port}"),
                              ("192.0.2.11:443", proxies[0]), ("192.0.2.12:443", proxies[1]),
                              ("worker_rlimit_nofile 100000;\n", ""),
                              ("worker_connections 40000", "worker_connections 500")])
        if "stream {" in text:
            return replace(text, [("proxy_timeout 60s", f"proxy_timeout {IDLE}s")])
        pair = self.certs.issue("console", names=("localhost",))
        temporary = "".join(f"    {name}_temp_path {self.directory}/{name};\n"
                            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return replace(text, [("http {\n", "http {\n" + temporary),
                              ("/var/log/nginx/console.log", os.path.join(self.directory, "access.log")),
                              ("/var/log/nginx/console-error.log", os.path.join(self.directory, "error.log")),
                              ("/etc/nginx/console-cert.pem", pair.cert), ("/etc/nginx/console-key.pem", pair.key),
                              ("/etc/nginx/proxies-ca.pem", self.certs.ca), ("console.example.org", "localhost"),
                              ("proxy_read_timeout 60s", f"proxy_read_timeout {IDLE}s"),
                              ("proxy_send_timeout 60s", f"proxy_send_timeout {IDLE}s")])

    def _command(self):
        return ["nginx", "-p", self.directory, "-c", self.path, "-e", "stderr",
                "-g", f"daemon off; pid {self.directory}/pid;"]

    def log(self):
        text = super().log()
        for name in ("access.log", "error.log"):
            path = os.path.join(self.directory, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as log:
                    text += log.read()
        return text
