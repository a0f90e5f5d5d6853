# SPDX-License-Identifier: LGPL-2.1-or-later
"""VNC servers that lie, hang or listen, for what QEMU never does.

    with fakes.Server(handler) as server:         # handler(stream) runs in a thread a connection
        server.address, server.connections

`stream` is an rfb.SocketStream. When the handler returns, the connection is closed; what it raised,
apart from a connection that ended, is in server.errors. The functions below are parts of handlers.
"""
import socket
import ssl
import struct
import threading

from . import rfb

SERVER_INIT = (struct.pack(">HH", 16, 16) + rfb.PIXEL_FORMAT
               + struct.pack(">I", 4) + b"fake")


class Server:
    def __init__(self, handler, backlog=16):
        self._handler = handler
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(backlog)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.connections = 0
        self.errors = []
        self._open = set()
        self._accepted = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait_connections(self, count, timeout=30):
        with self._accepted:
            if not self._accepted.wait_for(lambda: self.connections >= count, timeout):
                raise TimeoutError(f"{self.connections} connections, not {count}")

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._accepted:
                self.connections += 1
                self._accepted.notify_all()
            threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, sock):
        self._open.add(sock)
        stream = rfb.SocketStream(sock)
        try:
            self._handler(stream)
        except (EOFError, OSError):
            pass
        except Exception as error:      # a test looks at it
            self.errors.append(error)
        finally:
            self._open.discard(sock)
            stream.sock.close()         # the TLS one where the handler started TLS
            sock.close()


def server_tls(directory):
    """The server's TLS context of a QEMU certificate directory, client certificates required."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/server-cert.pem", f"{directory}/server-key.pem")
    context.load_verify_locations(f"{directory}/ca-cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def silent(stream):
    """Accepts, and never says anything."""
    drain(stream)


def drain(stream):
    while stream.sock.recv(65536):
        pass


def version(stream):
    stream.write(rfb.VERSIONS["3.8"])
    return stream.read(12)


def offer(*types):
    """A handler: offers security types, then waits for the end; choices are kept in .chosen."""
    def handler(stream):
        version(stream)
        stream.write(bytes([len(types), *types]))
        handler.chosen += stream.read(1)
        drain(stream)
    handler.chosen = b""
    return handler


def plain_login(stream):
    """Security type None up to ServerInit."""
    version(stream)
    stream.write(b"\1\1")
    stream.read(1)
    stream.write(b"\0\0\0\0")
    stream.read(1)
    stream.write(SERVER_INIT)


def hold(stream):
    """A console without TLS that says nothing more once it is logged in to."""
    plain_login(stream)
    drain(stream)


def vencrypt_offer(stream, *subtypes, types=(rfb.VENCRYPT,)):
    """VeNCrypt up to the client's choice of a sub-type; returns (type, sub-type)."""
    version(stream)
    stream.write(bytes([len(types), *types]))
    chosen = stream.read(1)[0]
    if chosen != rfb.VENCRYPT:
        return chosen, None
    stream.write(b"\0\2")
    if stream.read(2) != b"\0\2":
        raise ValueError("the client wants another VeNCrypt")
    stream.write(b"\0" + bytes([len(subtypes)]) + struct.pack(f">{len(subtypes)}I", *subtypes))
    return chosen, rfb.number(stream)


def start_tls(stream, context):
    """The stream goes on inside TLS."""
    stream.sock = context.wrap_socket(stream.sock, server_side=True)


def vencrypt_login(context, *subtypes, types=(rfb.VENCRYPT,)):
    """A handler: a good VeNCrypt X509None server, up to ServerInit; then echoes nothing.

    What the client chose is kept in .chosen, a list of (type, sub-type).
    """
    def handler(stream):
        choice = vencrypt_offer(stream, *(subtypes or (rfb.X509_NONE,)), types=types)
        handler.chosen.append(choice)
        if choice != (rfb.VENCRYPT, rfb.X509_NONE):
            return
        stream.write(b"\1")
        start_tls(stream, context)
        stream.write(b"\0\0\0\0")
        stream.read(1)
        stream.write(SERVER_INIT)
        drain(stream)
    handler.chosen = []
    return handler
