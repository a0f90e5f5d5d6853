# SPDX-License-Identifier: LGPL-2.1-or-later
"""A resolver that says what it is told, with or without a stream of events.

    resolver = fakeresolver.Resolver(certs.resolver_server, certs.ca)
    resolver.answers["token"] = fakeresolver.found({"type": "vnc", ...})   # or (status, body); None: no answer
    resolver.base                                # for --resolver-uri
    resolver.asked                               # tokens, in the order of queries; Counter for counts
    resolver.stream_status = 404                 # in place of a stream
    resolver.send(b"event: dead\\ndata: ...\\n\\n") # to every stream that is open
    resolver.wait_streams(1)                     # until so many have been asked for, in all
    resolver.stream_headers                      # of each of them
    resolver.end_streams()

A token that has no answer gets 404; with resolver.default another one.
"""
import http.server
import json
import ssl
import threading
import urllib.parse


def found(service):
    return 200, json.dumps(service).encode()


class Resolver:
    def __init__(self, pair, ca):
        self.answers = {}
        self.default = 404, b"{}"
        self.asked = []
        self.stream_status = 200
        self.stream_type = "text/event-stream"
        self.stream_headers = []
        self.greeting = b""
        self._streams = []
        self._changed = threading.Condition()
        handler = type("Handler", (_Handler,), {"resolver": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.base = f"https://127.0.0.1:{self.server.server_port}/consoleresolver"
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def stop(self):
        self.end_streams()
        self.server.shutdown()
        self.server.server_close()

    def send(self, data):
        with self._changed:
            for stream in list(self._streams):
                try:
                    stream.wfile.write(data)
                except OSError:               # it was given up
                    stream.ended.set()
                    self._streams.remove(stream)

    def end_streams(self):
        with self._changed:
            for stream in self._streams:
                stream.ended.set()
            self._streams = []

    def wait_streams(self, count, timeout=30):
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.stream_headers) >= count, timeout):
                raise TimeoutError(f"{len(self.stream_headers)} streams and not {count}")

    def wait_asked(self, token, count, timeout=30):
        with self._changed:
            if not self._changed.wait_for(lambda: self.asked.count(token) >= count, timeout):
                raise TimeoutError(f"asked {self.asked.count(token)} times and not {count}")

    def note_query(self, token):
        with self._changed:
            self.asked.append(token)
            self._changed.notify_all()

    def note_stream(self, handler):
        with self._changed:
            if self.stream_status == 200:
                self._streams.append(handler)
            handler.wfile.write(self.greeting)
            self.stream_headers.append(dict(handler.headers))
            self._changed.notify_all()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        if self.path == "/consoleresolver/events":
            self.stream()
            return
        token = urllib.parse.unquote(self.path.rpartition("/")[2])
        self.resolver.note_query(token)
        answer = self.resolver.answers.get(token, self.resolver.default)
        if answer is None:
            self.close_connection = True
            return
        status, body = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.ended = threading.Event()
        self.close_connection = True
        self.send_response(self.resolver.stream_status)
        self.send_header("Content-Type", self.resolver.stream_type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.resolver.note_stream(self)
        if self.resolver.stream_status == 200:
            self.ended.wait()

    def log_message(self, *_):
        pass
