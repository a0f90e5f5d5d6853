# SPDX-License-Identifier: LGPL-2.1-or-later
"""noVNC's own pages, as people use them today: virtconsoleproxyd takes the place of their proxy."""
import functools
import http.server
import ssl
import threading

from browsing import NOVNC, BrowserCase, typed
from lab import case, tap

TOKEN = "novnc-token"
PATH = f"path=websockify%3Ftoken%3D{TOKEN}"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class TestNovnc(BrowserCase):
    def setUp(self):
        super().setUp()
        self.vm = self.start_guest()

    def assert_works(self, page):
        page.wait("document.querySelector('canvas')?.width > 300", "a canvas")
        self.wait_same_picture(page, self.vm)
        page.click("canvas")
        page.type("hello from novnc\n")
        self.vm.expect_serial(typed("hello from novnc\n"))
        self.wait_same_picture(page, self.vm)

    def test_vnc_html_from_web_dir(self):
        proxy = self.start_proxy({TOKEN: case.vnc(self.vm.address)}, web_dir=NOVNC)
        self.assert_works(self.browse(self.url(proxy, f"vnc.html?autoconnect=1&{PATH}")))

    def test_vnc_lite_from_another_server(self):
        """Its script stands in the page, which our policy for files forbids; dashboards serve it themselves."""
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(QuietHandler, directory=NOVNC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certs.issue("dashboard"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        origin = f"https://localhost:{server.server_address[1]}"
        proxy = self.start_daemon({TOKEN: case.vnc(self.vm.address)}, allowed_origin=origin)
        query = f"host=localhost&port={proxy.port}&{PATH}"
        self.assert_works(self.browse(f"{origin}/vnc_lite.html?{query}"))


if __name__ == "__main__":
    tap.main()
