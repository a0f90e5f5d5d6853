# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private redis-server on a free port of loopback, or on a unix socket.

    server = redisserver.RedisServer(directory)               # plain TCP
    server = redisserver.RedisServer(directory, tls=certs)    # TLS, its certificate from lab.pki
    server.uri                                                # for --store
    server.command("KEYS", "*")                               # as the administrator
    server.freeze(); server.thaw(); server.kill(); server.start()

The port stays the same when it is started again. acl is a line of an ACL file, such as
"user proxy on >secret ~vcp:* -@all +evalsha"; user and password then go into the uri.
"""
import os
import signal
import socket
import ssl
import subprocess
import time

START_TIMEOUT = 60


class RedisServer:
    def __init__(self, directory, tls=None, unix=False, acl=None, login="", password=None):
        self.directory = os.path.abspath(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.certs = tls
        self.path = os.path.join(self.directory, "redis.sock")
        self.port = None if unix else free_port()
        self.login = login
        self.password = password
        self.acl = acl
        self.process = None
        self.start()

    @property
    def uri(self):
        if self.port is None:
            return f"redis+unix://{self.path}"
        at = f"{self.login}@" if self.login else ""
        return f"redis{'s' if self.certs else ''}://{at}127.0.0.1:{self.port}"

    def start(self):
        # setpriv: a test that is killed must not leave its server behind
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "redis-server", *self._options()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "ready to accept connections" in line.lower():
                # nobody reads what follows: it is a few lines
                return
        raise RuntimeError("redis-server did not start:\n" + "".join(said))

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.kill()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words):
        """Runs one command; a list, a text, a number or None. Raises on an error."""
        with self._connect() as sock:
            reader = sock.makefile("rb")
            if self.password is not None:
                _send(sock, ("AUTH", self.password))
                _read(reader)
            _send(sock, words)
            return _read(reader)

    def _options(self):
        options = ["--save", "", "--appendonly", "no", "--dir", self.directory]
        if self.port is None:
            options += ["--port", "0", "--unixsocket", self.path]
        elif self.certs:
            pair = self.certs.issue("redis")
            options += ["--port", "0", "--bind", "127.0.0.1", "--tls-port", str(self.port),
                        "--tls-cert-file", pair.cert, "--tls-key-file", pair.key,
                        "--tls-ca-cert-file", self.certs.ca, "--tls-auth-clients", "yes"]
        else:
            options += ["--port", str(self.port), "--bind", "127.0.0.1"]
        if self.password is not None:
            options += ["--requirepass", self.password]
        if self.acl:
            options += ["--user", *self.acl.split()]
        return options

    def _connect(self):
        if self.port is None:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(START_TIMEOUT)
            sock.connect(self.path)
            return sock
        sock = socket.create_connection(("127.0.0.1", self.port), START_TIMEOUT)
        if self.certs:
            pair = self.certs.proxy_client
            context = ssl.create_default_context(cafile=self.certs.ca)
            context.load_cert_chain(pair.cert, pair.key)
            return context.wrap_socket(sock, server_hostname="127.0.0.1")
        return sock


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until(condition, what, timeout=30):
    """For what sends no event: asks until it is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(0.02)


def _send(sock, words):
    parts = [str(word).encode() for word in words]
    sock.sendall(b"*%d\r\n" % len(parts)
                 + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))


def _read(reader):
    line = reader.readline()
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else reader.read(int(rest) + 2)[:-2].decode()
    if kind == b"*":
        return [_read(reader) for _ in range(int(rest))]
    raise ValueError(f"not a reply: {line!r}")
