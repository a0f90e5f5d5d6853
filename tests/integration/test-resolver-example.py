#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The resolver that docs/resolver.md shows, as it stands there, with the real proxy and a guest."""
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
from lab import case, rawhttp, tap
from lab.case import vnc

PAGE = TESTS.parent / "docs" / "resolver.md"
TOKEN, RESOLVER = 4401, 4503
LINES = 60              # the page promises something small


def example():
    """The page's one program."""
    found = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if len(found) != 1:
        raise AssertionError(f"{PAGE}: {len(found)} programs in Python")
    return found[0]


class Example(case.Case):
    def setUp(self):
        self.directory = pathlib.Path(case.new_directory("example"))
        self.services = self.directory / "services.json"
        self.write({})
        program = self.directory / "resolver.py"
        program.write_text(example(), encoding="utf-8")
        pair = self.certs.resolver_server
        self.log = open(self.directory / "stderr", "w+", encoding="utf-8")
        self.addCleanup(self.log.close)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, program, "127.0.0.1", "0", pair.cert, pair.key,
             self.certs.ca, self.services],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.addCleanup(self.stop)
        line = self.process.stdout.readline()
        self.assertRegex(line, r"^answering on port \d+$", self.said())
        self.port = int(line.split()[-1])

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def write(self, services):
        """In one step, as the page says. A text is a broken file."""
        fresh = self.directory / "fresh.json"
        fresh.write_text(services if isinstance(services, str) else json.dumps(services), encoding="utf-8")
        os.replace(fresh, self.services)

    def start(self):
        return self.start_daemon(resolver_mode="external", resolver_tokens=None, recheck="1",
                                 resolver_uri=f"https://127.0.0.1:{self.port}/consoleresolver")

    def ask(self, target, pair=None):
        """A question of our own -> rawhttp.Response."""
        context = ssl.create_default_context(cafile=self.certs.ca)
        if pair:
            context.load_cert_chain(pair.cert, pair.key)
        sock = rawhttp.connect(("127.0.0.1", self.port), tls=context)
        self.addCleanup(sock.close)
        return rawhttp.exchange(sock, rawhttp.request_bytes(target))

    def test_it_is_small(self):
        self.assertLess(len(example().splitlines()), LINES)

    def test_sessions(self):
        """They begin, go on while the resolver does not know, and end with their token."""
        vm = self.start_guest()
        table = {"secret~%": vnc(vm.address), "other": vnc(vm.address)}
        self.write(table)
        proxy = self.start()
        self.assert_serves(proxy, "secret~%25", vm)
        self.assert_refused(self.outcome(proxy, "unknown"), TOKEN)
        sock, client = self.open(proxy, "other")

        self.write("broken")
        mark = proxy.mark()
        proxy.wait_line("its sessions go on: ", after=mark)
        self.assert_refused(self.outcome(proxy, "other"), RESOLVER)
        self.assertEqual(client.update(), vm.screendump())

        del table["other"]
        self.write(table)
        self.assertEqual(sock.wait_close(30).code, TOKEN)
        for word in ("secret", "unknown", "other"):
            self.assertNotIn(word, self.said())

    def test_answers(self):
        service = vnc("192.0.2.1:5900")
        self.write({"good": service})
        proxy = self.certs.proxy_client
        found = self.ask("/consoleresolver/token/good", proxy)
        self.assertEqual((found.status, json.loads(found.body)), (200, service))
        for target in ("/consoleresolver/token/bad", "/consoleresolver/token/", "/consoleresolver/events", "/"):
            with self.subTest(target):
                self.assertEqual(self.ask(target, proxy).status, 404)

    def test_certificates(self):
        """Nobody asks without one of the CA."""
        self.write({"good": vnc("192.0.2.1:5900")})
        for pair in (None, self.certs.other_client):
            with self.subTest(pair):
                self.assertIsNone(self.ask("/consoleresolver/token/good", pair).status)
        self.assertEqual(self.ask("/consoleresolver/token/good", self.certs.proxy_client).status, 200)


if __name__ == "__main__":
    tap.main()
