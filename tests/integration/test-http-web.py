#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--web-dir: files on the same port, never one from outside the directory."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, rawhttp, tap

GAVE_UP = None            # the HTTP layer closed without an answer

FILES = {
    "console.html": (b"<!doctype html><title>x</title>", "text/html"),
    "app/ui.js": (b"export const x = 1;", "text/javascript|application/javascript"),
    "app/style.css": (b"body { }", "text/css"),
    "app/image.svg": (b"<svg/>", "image/svg\\+xml"),
    "app/image.png": (b"\x89PNG", "image/png"),
    "app/data.json": (b"{}", "application/json"),
    "a b.html": (b"space", "text/html"),
    "empty.html": (b"", "text/html"),
    "big.js": (os.urandom(5_000_000), "text/javascript|application/javascript"),
}


class Web(case.Case):
    @classmethod
    def setUpClass(cls):
        top = case.new_directory("web")
        cls.root = os.path.join(top, "root")
        for name, (content, _) in FILES.items():
            path = os.path.join(cls.root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pathlib.Path(path).write_bytes(content)
        cls.secret = b"SECRET outside"
        pathlib.Path(top, "secret.html").write_bytes(cls.secret)
        os.makedirs(os.path.join(top, "root-sibling"))
        pathlib.Path(top, "root-sibling", "secret.html").write_bytes(cls.secret)
        os.symlink("../secret.html", os.path.join(cls.root, "link.html"))
        os.symlink(os.path.join(top, "secret.html"), os.path.join(cls.root, "absolute.html"))
        os.symlink(top, os.path.join(cls.root, "up"))
        os.mkfifo(os.path.join(cls.root, "fifo.html"))

    def setUp(self):
        self.proxy = self.start_daemon(web_dir=self.root)

    def test_files(self):
        for name, (content, kind) in FILES.items():
            with self.subTest(name):
                response = self.proxy.request("/" + name.replace(" ", "%20"))
                self.assertEqual(response.status, 200)
                self.assertRegex(response.headers["content-type"], f"^({kind})(;|$)")
                self.assertEqual(response.body, content)

    def test_query_is_no_part_of_the_name(self):
        self.assertEqual(self.proxy.request("/console.html?x=y").status, 200)

    def test_absent(self):
        for path in ("/nothing.html", "/app/nothing.js", "/console.html/x", "/console.htm",
                     "/x%00.html", "/console.html%00", "/" + "x" * 300, "/" + "x/" * 200):
            with self.subTest(path):
                self.assertIn(self.proxy.request(path).status,
                              (404,) if "%00" not in path else (400, 404, GAVE_UP))

    def test_no_listing(self):
        for path in ("/app", "/app/", "/app/.", "/up", "/up/"):
            with self.subTest(path):
                response = self.proxy.request(path)
                self.assertEqual(response.status, 404)
                self.assertNotIn(b"ui.js", response.body)

    def test_outside(self):
        for path in ("/../secret.html", "/app/../../secret.html", "/%2e%2e/secret.html",
                     "/..%2fsecret.html", "/app/..%2f..%2fsecret.html", "/%2e%2e%2fsecret.html",
                     "/..%5csecret.html", "/..\\secret.html", "/....//secret.html",
                     "/../root-sibling/secret.html", "/%252e%252e/secret.html",
                     "/app/%c0%ae%c0%ae/%c0%ae%c0%ae/secret.html", "//etc/passwd", "/%2fetc/passwd",
                     "//..//secret.html", "/..;/secret.html", "/up/secret.html"):
            with self.subTest(path):
                response = self.proxy.request(path)
                self.assertIn(response.status, (400, 404))
                self.assertNotIn(self.secret, response.body)
                self.assertNotIn(b"root:", response.body)

    def test_symbolic_links_out(self):
        for path in ("/link.html", "/absolute.html", "/up/secret.html"):
            with self.subTest(path):
                self.assertEqual(self.proxy.request(path).status, 404)

    def test_what_is_no_file(self):
        self.assertEqual(self.proxy.request("/fifo.html").status, 404)
        self.assertEqual(self.proxy.request("/console.html").status, 200)

    def test_websocket_only_at_its_place(self):
        self.assertEqual(self.proxy.upgrade("/console.html?token=x").status, 404)
        self.assertEqual(self.proxy.upgrade("/websockify?token=x").status, 101)
        self.assertEqual(self.proxy.request("/healthz").status, 200)

    def test_methods(self):
        for method in ("POST", "PUT", "DELETE"):
            with self.subTest(method):
                status = self.proxy.request("/console.html", [("Content-Length", "0")],
                                            method=method).status
                self.assertTrue(400 <= status < 500, status)
        self.assertEqual(pathlib.Path(self.root, "console.html").read_bytes(),
                         FILES["console.html"][0])

    def test_slow_reader_is_not_in_the_way(self):
        """A download that nobody reads, beside other requests and sessions."""
        sock = self.proxy.connect(receive_buffer=4096)
        sock.sendall(rawhttp.request_bytes("/big.js"))
        sock.recv(1)
        for _ in range(20):
            self.assertEqual(self.proxy.request("/app/ui.js").status, 200)
        sock.close()

    def test_none_without_the_flag(self):
        proxy = self.start_daemon()
        for path in ("/", "/console.html", "/app/ui.js"):
            self.assertEqual(proxy.request(path).status, 404)


if __name__ == "__main__":
    tap.main()
