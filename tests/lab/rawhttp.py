# SPDX-License-Identifier: LGPL-2.1-or-later
"""Connections and raw HTTP: every byte of a request is the caller's, nothing is corrected.

    sock = rawhttp.connect(("127.0.0.1", port), tls=rawhttp.tls_context(certs.ca))
    response = rawhttp.exchange(sock, b"GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    response.status, response.headers["content-type"], response.body
"""
import socket
import ssl
import struct

TIMEOUT = 30


class Response:
    def __init__(self, status, headers, body, rest=b""):
        self.status = status        # None: closed without an answer
        self.headers = headers      # lower-case names; a repeated one is joined with ", "
        self.body = body
        self.rest = rest            # bytes after the answer, not part of it

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"


def tls_context(ca=None, cert=None, versions=None, alpn=None):
    """A client context that verifies with ca (None: verifies nothing).

    cert is a Pair with .cert and .key; versions a (minimum, maximum) of ssl.TLSVersion;
    alpn a list of protocol names to offer.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(cert.cert, cert.key)
    if versions:
        # this library's own default refuses the old versions that a test wants refused by the daemon
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = versions
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def connect(address, tls=None, server_name="localhost", timeout=TIMEOUT, receive_buffer=None,
            source=None):
    """Connects to a (host, port) or to a unix socket's path; returns the socket. source: our own host."""
    family = socket.AF_UNIX if isinstance(address, str) else (
        socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.bind((source, 0))
        sock.settimeout(timeout)
        sock.connect(address)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return tls.wrap_socket(sock, server_hostname=server_name) if tls else sock
    except BaseException:
        sock.close()
        raise


def request_bytes(target, headers=(), method="GET", version="HTTP/1.1", host="localhost"):
    """A request head; headers are (name, value) pairs; strings go out as latin-1."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def exchange(sock, request):
    """Sends request and reads one answer; a connection closed without one gives status None."""
    try:
        sock.sendall(request)
    except OSError:
        pass                        # refused before it was all sent: the answer may still be there
    return read_response(sock, has_body=not request.startswith(b"HEAD "))


def read_response(sock, has_body=True):
    head, rest = _read_head(sock)
    if head is None:
        return Response(None, {}, b"", rest)
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {}
    for line in lines[1:]:
        name, value = line.split(":", 1)
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if status == 101 or not has_body:
        return Response(status, headers, b"", rest)
    body, rest = _read_body(sock, headers, rest)
    return Response(status, headers, body, rest)


def _read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        more = receive(sock)
        if not more:
            return None, data
        data += more
    return data.split(b"\r\n\r\n", 1)


def _read_body(sock, headers, data):
    if "chunked" in headers.get("transfer-encoding", ""):
        raise ValueError("a chunked answer: not expected from this daemon")
    if "content-length" not in headers:
        return data + read_to_end(sock), b""
    length = int(headers["content-length"])
    while len(data) < length:
        more = receive(sock)
        if not more:
            break
        data += more
    return data[:length], data[length:]


def receive(sock, size=65536):
    """As recv(), but every kind of end is b""; a timeout stays an exception."""
    try:
        return sock.recv(size)
    except TimeoutError:
        raise
    except OSError:                 # reset, or TLS ended without its closing alert
        return b""


def read_to_end(sock):
    data = b""
    while more := receive(sock):
        data += more
    return data


def reset(sock):
    """Closes with RST instead of FIN."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    sock.close()


def closed_port():
    """A socket that keeps a port without listening: connecting to it is refused, surely.

    Returns (socket, "127.0.0.1:PORT"); the port is kept as long as the socket is open.
    """
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, f"127.0.0.1:{sock.getsockname()[1]}"
