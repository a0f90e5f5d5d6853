# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test case of the browser tests: one Chromium for a test class, a tab for each page.

Screenshots and the browser's log go to the directory that VCP_ARTIFACTS names, if it does.
"""
import http.server
import os
import subprocess
import sys
import threading
import time
import urllib.parse

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = os.path.dirname(TESTS)
sys.path.insert(0, TESTS)

import chromium  # noqa: E402
from lab import case, ws  # noqa: E402

NOVNC = os.environ.get("NOVNC_DIR", "/usr/share/novnc")
ENGINES = (("noVNC", os.path.join(NOVNC, "core", "rfb.js")),
           ("spice-html5", os.path.join(os.environ.get("SPICE_HTML5_DIR", "/usr/share/spice-html5"), "main.js")),
           ("xterm.js", os.path.join(os.environ.get("XTERM_DIR", "/usr/share/nodejs/xterm"), "lib", "xterm.css")))
PICTURE_TIMEOUT = 30
_shared = {}


def artifact(name):
    directory = os.environ.get("VCP_ARTIFACTS") or case.new_directory("artifacts")
    os.makedirs(directory, exist_ok=True)
    return os.path.join(directory, name)


def web_root():
    """A directory for --web-dir, assembled once."""
    if "web" not in _shared:
        path = case.new_directory("web")
        subprocess.run([os.path.join(TOP, "tools", "make-web-root"), path], check=True, stdin=subprocess.DEVNULL)
        _shared["web"] = path
    return _shared["web"]


class BrowserCase(case.Case):
    """browser: started when a test first opens a page, ended with the class."""

    @classmethod
    def setUpClass(cls):
        cls.browser = None

    @classmethod
    def tearDownClass(cls):
        if cls.browser:
            cls.browser.close()

    def setUp(self):
        if not chromium.program():
            self.skipTest("no chromium on this machine")
        for name, path in ENGINES:
            if not os.path.exists(path):
                self.skipTest(f"no {name}: {path} is missing")

    def browse(self, url, **options):
        """A tab that shows url; its last sight is kept as a screenshot."""
        cls = type(self)
        if not cls.browser:
            cls.browser = chromium.Browser(case.new_directory("chromium"))
        page = cls.browser.open(url, **options)
        self.addCleanup(page.close)
        name = ".".join(self.id().split(".")[-2:])
        self.addCleanup(lambda: page.screenshot(artifact(f"{name}.png")))
        return page

    def start_proxy(self, tokens, **flags):
        flags.setdefault("web_dir", web_root())
        return self.start_daemon(tokens, **flags)

    def url(self, proxy, path):
        return f"https://localhost:{proxy.port}/{path}"

    def open_console(self, proxy, token, type="vnc", **options):
        return self.browse(self.url(proxy, f"console.html#type={type}&token={token}"), **options)

    def wait_state(self, page, state):
        page.wait(f"document.body.dataset.state === '{state}'", f"state {state}")

    def wait_same_picture(self, page, vm):
        """Until the canvas shows exactly the guest's screen; that picture."""
        deadline = time.monotonic() + PICTURE_TIMEOUT
        while True:
            wanted, seen = vm.screendump(), page.canvas()
            if seen == wanted and not seen.is_blank():
                return seen
            if time.monotonic() > deadline:
                self.fail(f"the canvas ({seen.describe()}, {seen.differing_pixels(wanted)} pixels differ) "
                          f"never showed the guest's screen ({wanted.describe()})")
            time.sleep(0.05)

    def assert_no_violations(self, page):
        """The strict policy of the server let everything pass that the page does."""
        found = [entry["text"] for entry in page.complaints() if "Content Security Policy" in entry["text"]]
        self.assertEqual(found, [])

    def assert_secret(self, page, token):
        """The token is in the address bar and nowhere else that a person or a log sees."""
        self.assertNotIn(token, page.evaluate("document.documentElement.outerHTML"))
        self.assertNotIn(token, page.evaluate("document.title"))
        self.assertNotIn(token, page.evaluate("document.referrer"))
        self.assertEqual([line for line in page.console() if token in line], [])


def typed(text):
    """What the guest says on its serial port for keys it got: K and the character."""
    return "".join("K" + char for char in text.replace("\n", "\r")).encode()


class ClosingServer:
    """Serves a directory, and ends every websocket at once with the next code and reason of `ends`.

    Code None: sends the reason as a console's first bytes and leaves the end to the browser.
    """

    def __init__(self, directory, ends):
        self.ends = list(ends)
        self.targets = []               # of the websockets: path and query fields
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *args):
                super().__init__(*args, directory=directory)

            def do_GET(self):
                if self.headers.get("Upgrade") == "websocket":
                    outer.upgrade(self)
                else:
                    super().do_GET()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def upgrades(self):
        return len(self.targets)

    def upgrade(self, handler):
        path, _, query = handler.path.partition("?")
        self.targets.append((path, urllib.parse.parse_qsl(query)))
        handler.send_response(101)
        handler.send_header("Upgrade", "websocket")
        handler.send_header("Connection", "Upgrade")
        handler.send_header("Sec-WebSocket-Accept", ws.accept_value(handler.headers["Sec-WebSocket-Key"]))
        handler.send_header("Sec-WebSocket-Protocol", "binary")
        handler.end_headers()
        self.talk(handler)
        handler.close_connection = True

    def talk(self, handler):
        code, reason = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if code is None:
            handler.wfile.write(ws.encode_frame(reason.encode(), mask=False))
            handler.rfile.read(1)           # the browser's close frame
            payload = b""
        else:
            payload = code.to_bytes(2, "big") + reason.encode()
        handler.wfile.write(ws.encode_frame(payload, opcode=ws.CLOSE, mask=False))
        handler.rfile.read(1)               # the browser's close frame, or its end

    def url(self, path):
        return f"http://localhost:{self.port}/{path}"

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class SayingServer(ClosingServer):
    """Says what it is given on every websocket, frame by frame, and keeps what comes; then ends it, if told how."""

    def __init__(self, frames, end=None):
        super().__init__(web_root(), [])
        self.frames = frames
        self.end = end
        self.heard = b""

    def talk(self, handler):
        for frame in self.frames:
            handler.wfile.write(ws.encode_frame(frame, mask=False))
        if self.end:
            code, reason = self.end
            handler.wfile.write(ws.encode_frame(code.to_bytes(2, "big") + reason.encode(), opcode=ws.CLOSE, mask=False))
        while True:
            head = handler.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == ws.CLOSE:
                return
            mask = handler.rfile.read(4)
            self.heard += ws.apply_mask(handler.rfile.read(head[1] & 127), mask)
