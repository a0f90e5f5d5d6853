#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a resolver may send the proxy, and where it may not, whatever it says."""
import http.server
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, rfb, tap
from lab.case import serial, vnc


class Resolver:
    """Sends every token to .address."""

    def __init__(self):
        outer = self
        self.address = None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                body = json.dumps(outer.service).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.uri = f"http://127.0.0.1:{self.server.server_port}/"

    @property
    def service(self):
        if self.address.startswith("unix:"):
            return serial(self.address, insecure=True)
        return vnc(self.address, insecure=True)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Targets(case.Case):
    def setUp(self):
        self.resolver = Resolver()
        self.addCleanup(self.resolver.close)
        self.server = fakes.Server(fakes.hold)
        self.addCleanup(self.server.close)

    def start(self, **flags):
        self.proxy = self.start_daemon(resolver_mode="external", resolver_uri=self.resolver.uri,
                                       resolver_insecure=True, connect_insecure=True, **flags)

    def assert_allowed(self, address):
        with self.subTest(address):
            self.resolver.address = address
            sock = self.websocket(self.proxy, "tok")
            rfb.login(sock)
            sock.close()

    def assert_forbidden(self, *addresses):
        """Refused with 4403, and nobody is connected to."""
        before = self.server.connections
        for address in addresses:
            with self.subTest(address):
                self.resolver.address = address
                mark = self.proxy.mark()
                self.assert_refused(self.outcome(self.proxy, "tok"), 4403)
                self.proxy.wait_line(r"code 4403 reason policy", after=mark)
        self.assertEqual(self.server.connections, before)

    def test_own_listener(self):
        self.start()
        port = self.proxy.port
        self.assert_forbidden(f"127.0.0.1:{port}", f"[::ffff:127.0.0.1]:{port}", f"[::ffff:7f00:1]:{port}",
                              f"localhost:{port}", f"127.1:{port}", f"2130706433:{port}", f"0x7f.0.0.1:{port}")
        self.assert_allowed(self.server.address)

    def test_own_listener_at_any_address(self):
        self.start(listen_addr=["127.0.0.1:0", "[::]:0"])
        port = self.proxy.listeners[1][1]
        self.assert_forbidden(f"127.0.0.1:{port}", f"127.9.9.9:{port}", f"[::1]:{port}", f"localhost:{port}",
                              f"[::ffff:127.0.0.1]:{port}")
        self.assert_allowed(self.server.address)

    def test_nobodys(self):
        self.start()
        port = self.server.port
        self.assert_forbidden("169.254.169.254:80", "[fe80::1%lo]:80", "[::ffff:a9fe:a9fe]:80", f"0.0.0.0:{port}",
                              f"[::]:{port}", f"0:{port}", f"0x0:{port}", "2852039166:80", "unix:/run/x")

    def test_networks(self):
        self.start(allowed_target=["127.0.0.0/8", "192.0.2.0/24"])
        port = self.server.port
        self.assert_allowed(self.server.address)
        self.assert_allowed(f"localhost:{port}")
        self.assert_allowed(f"[::ffff:127.0.0.1]:{port}")
        self.assert_forbidden("198.51.100.1:5900", "[2001:db8::1]:5900", f"[::1]:{port}", "unix:/run/x",
                              f"127.0.0.1:{self.proxy.port}")

    def test_name_outside_the_networks(self):
        """Known only once it is looked up."""
        self.start(allowed_target="192.0.2.0/24")
        self.assert_forbidden(f"localhost:{self.server.port}", f"127.1:{self.server.port}", self.server.address)

    def test_names(self):
        self.start(allowed_target="localhost")
        self.assert_allowed(f"localhost:{self.server.port}")
        self.assert_allowed(f"LOCALHOST:{self.server.port}")
        self.assert_forbidden(self.server.address, f"127.1:{self.server.port}", f"localhost.example:{self.server.port}",
                              f"localhost:{self.proxy.port}")

    def test_a_resolver_that_changes_its_mind(self):
        self.start()
        for _ in range(3):
            self.assert_allowed(self.server.address)
            self.assert_forbidden(f"127.0.0.1:{self.proxy.port}")


if __name__ == "__main__":
    tap.main()
