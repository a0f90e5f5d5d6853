#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/resolver-api.yaml against what virtconsoleresolverd really answers, over a real libvirtd."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import unittest
from urllib.parse import quote

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = yaml = None

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
from lab import case, events, libvirtd, resolverd, tap  # noqa: E402

DOCUMENT = TESTS.parent / "docs/resolver-api.yaml"
TRANSPORT = {"date", "content-length", "transfer-encoding", "connection", "content-type"}     # headers of HTTP itself
OPERATIONS = ("get", "head")
TOKEN = "/consoleresolver/token/{token}"
EVENTS = "/consoleresolver/events"
MAX_STREAMS = 256
UNKNOWN = "8d3f6b0c-6d60-4ab4-9f0e-9f2f63d2b4f5"
LATER = "2099-01-31T12:00:00+01:00"
BEFORE = "2001-01-31T12:00:00Z"
TOO_LONG = "x" * 40000


class Document:
    def __init__(self, text):
        self.root = yaml.safe_load(text)

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            place = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                place = place[part.replace("%7B", "{").replace("%7D", "}").replace("~1", "/").replace("~0", "~")]
            node = place
        return node

    def references(self, node=None):
        node = self.root if node is None else node
        if isinstance(node, dict):
            if "$ref" in node:
                yield node
            for value in node.values():
                yield from self.references(value)
        elif isinstance(node, list):
            for value in node:
                yield from self.references(value)

    @property
    def paths(self):
        return {path: self.resolve(item) for path, item in self.root["paths"].items()}

    def responses(self, path, method="get"):
        return {status: self.resolve(one) for status, one in self.paths[path][method]["responses"].items()}

    def schema(self, name):
        return self.root["components"]["schemas"][name]

    def errors(self, instance, schema):
        """What is wrong with it, as texts."""
        resolver = jsonschema.RefResolver("", self.root)
        validator = jsonschema.Draft202012Validator(schema, resolver=resolver)
        return [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(instance)]


def load():
    if yaml is None:
        raise unittest.SkipTest("no yaml or jsonschema module here (packages python3-yaml, python3-jsonschema)")
    return Document(DOCUMENT.read_text(encoding="utf-8"))


class Text(unittest.TestCase):
    """The document by itself."""

    def setUp(self):
        self.document = load()

    def test_references(self):
        references = list(self.document.references())
        self.assertGreater(len(references), 10)
        for node in references:
            self.document.resolve(node)

    def test_operations(self):
        identifiers = []
        for path, item in self.document.root["paths"].items():
            if "$ref" in item:
                continue
            for method in OPERATIONS:
                with self.subTest(path, method=method):
                    identifiers.append(item[method]["operationId"])
            named = {self.document.resolve(one)["name"] for one in item.get("parameters", ())}
            self.assertEqual(named, set(re.findall(r"\{(\w+)\}", path)))
        self.assertEqual(len(identifiers), len(set(identifiers)))

    def test_schemas(self):
        for name, schema in self.document.root["components"]["schemas"].items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_example(self):
        media = self.document.responses(TOKEN)["200"]["content"]["application/json"]
        self.assertEqual(self.document.errors(media["example"], media["schema"]), [])

    def test_service(self):
        """The schema takes the complete service of docs/service.md, and no field of another type."""
        page = (TESTS.parent / "docs/service.md").read_text(encoding="utf-8")
        found = [block for block in re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
                 if '"tlsTunnel"' in block]
        service = json.loads(found[0])
        schema = self.document.schema("Service")
        self.assertEqual(self.document.errors(service, schema), [])
        for field in service:
            with self.subTest(field):
                self.assertNotEqual(self.document.errors({**service, field: []}, schema), [])
        self.assertEqual(self.document.errors({**service, "of-tomorrow": 1}, schema), [])

    def test_the_answer_is_closed(self):
        """A field that the document has not, or that is never sent, is an error of an answer."""
        media = self.document.responses(TOKEN)["200"]["content"]["application/json"]
        good = media["example"]
        for field, value in (("of-tomorrow", 1), ("exclusive", True), ("tlsSubject", "CN=x"), ("telnet", False)):
            with self.subTest(field):
                self.assertNotEqual(self.document.errors({**good, field: value}, media["schema"]), [])
        for field in ("domain", "console"):
            with self.subTest(field):
                bad = {**good, field: {**good[field], "of-tomorrow": 1}}
                self.assertNotEqual(self.document.errors(bad, media["schema"]), [])


class Api(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.document = load()
        cls.libvirtd = cls.start_class_libvirtd()
        serial, telnet, console = (cls.libvirtd.free_port() for _ in range(3))
        cls.libvirtd.define("demo", vnc={"passwd": "geheim"}, spice={"defaultMode": "any"},
                            serials=[libvirtd.Tcp(serial), libvirtd.Tcp(telnet, telnet=True, tls=False)],
                            consoles=[libvirtd.Tcp(console)])
        cls.consoles = resolverd.grant(cls.libvirtd, "demo", [
            resolverd.Console("vnc", attributes={"single-use": "yes", "power-control": "yes", "expires": LATER,
                                                 "tls-server-name": "hypervisor.example"}),
            resolverd.Console("spice"),
            resolverd.Console("spice", insecure=True),
            resolverd.Console("serial"),
            resolverd.Console("serial", 0, insecure=True),
            resolverd.Console("serial", 1, insecure=True),
            resolverd.Console("console", 1),
            resolverd.Console("vnc", attributes={"expires": BEFORE}),
        ])
        *cls.good, cls.expired = cls.consoles
        cls.libvirtd.start_guest("demo")
        cls.resolver = cls.start_class_resolver(cls.libvirtd)
        cls.uuid = cls.libvirtd.uuid("demo")
        cls.ports = {"serial": serial, "telnet": telnet, "console": console}

    # --- one answer against the document ------------------------------------------------------------

    def check(self, path, response, operation="get"):
        """Its status, headers and body are documented ones."""
        responses = self.document.responses(path, operation)
        self.assertIn(str(response.status), responses)
        documented = responses[str(response.status)]
        self.check_headers(documented, response)
        if operation == "head":
            self.assertEqual(response.body, b"")
        elif "content" in documented:
            self.check_body(documented["content"], response)

    def check_headers(self, documented, response):
        headers = {name.lower(): self.document.resolve(one) for name, one in documented.get("headers", {}).items()}
        self.assertLessEqual(set(response.headers), set(headers) | TRANSPORT)
        for name, header in headers.items():
            self.assertIn(name, response.headers)
            self.assertEqual(self.document.errors(response.headers[name], header["schema"]), [], name)

    def check_body(self, content, response):
        kind = response.headers["content-type"]
        self.assertIn(kind, content)
        body = response.body.decode()
        instance = json.loads(body) if kind == "application/json" else body
        self.assertEqual(self.document.errors(instance, content[kind]["schema"]), [])

    def service(self, console):
        response = self.resolver.query(console.token)
        self.assertEqual(response.status, 200, response)
        self.check(TOKEN, response)
        return json.loads(response.body)

    # --- tests --------------------------------------------------------------------------------------

    def test_consoles(self):
        """A console of each type, and with them every field that the document does not rule out."""
        seen = set()
        expected = [
            {"type": "vnc", "insecure": False, "password": "geheim", "singleUse": True, "powerControl": True,
             "expires": "2099-01-31T11:00:00Z", "tlsServerName": "hypervisor.example",
             "console": {"type": "vnc", "index": 0}},
            {"type": "spice", "insecure": False, "console": {"type": "spice", "index": 0}},
            {"type": "spice", "insecure": True, "console": {"type": "spice", "index": 0}},
            {"type": "serial", "insecure": False, "address": f"127.0.0.1:{self.ports['serial']}",
             "console": {"type": "serial", "index": 0}},
            {"type": "serial", "insecure": True, "tlsTunnel": True, "address": f"127.0.0.1:{self.ports['serial']}",
             "console": {"type": "serial", "index": 0}},
            {"type": "serial", "insecure": True, "telnet": True, "address": f"127.0.0.1:{self.ports['telnet']}",
             "console": {"type": "serial", "index": 1}},
            {"type": "serial", "insecure": False, "address": f"127.0.0.1:{self.ports['console']}",
             "console": {"type": "console", "index": 1}},
        ]
        for console, wanted in zip(self.good, expected, strict=True):
            with self.subTest(console.type, port=console.port, insecure=console.insecure):
                service = self.service(console)
                seen |= set(service)
                self.assertEqual((service["domain"]["uuid"], service["domain"]["name"]), (self.uuid, "demo"))
                del service["domain"]
                if "address" not in wanted:         # libvirtd gives these ports out
                    del service["address"]
                self.assertEqual(service, wanted)
        answer = self.document.schema("GuestService")["properties"]
        possible = {name for name in self.document.schema("Service")["properties"] if answer.get(name) is not False}
        self.assertEqual(seen, possible)

    def test_statuses(self):
        """Every status of every path, and none that the document lacks."""
        good = self.good[0].token
        picky = self.start_resolver(self.libvirtd, allowed_client=["CN=proxy.example,O=console lab", "10.0.0.1"])
        seen = set()

        def ask(path, status, token="", method="GET", resolver=self.resolver, **options):
            with self.subTest(path, token=token[:40], method=method, status=status):
                response = resolver.get(path.replace("{token}", token), method=method, **options)
                self.assertEqual(response.status, status)
                operation = method.lower() if method.lower() in OPERATIONS else "get"
                self.check(path, response, operation)
                seen.add((path, operation, str(status)))

        nobody = self.resolver.tls_context(cert=None)
        stranger = self.resolver.tls_context(cert=self.certs.other_client)
        expired = self.resolver.tls_context(cert=self.certs.issue("late", purposes=("client",), expired=True))
        server = self.resolver.tls_context(cert=self.certs.proxy_server)
        other = self.resolver.tls_context(cert=self.certs.issue("friend", names=("b.example",), purposes=("client",)))
        token_paths = [path for path in self.document.paths if "{token}" in path]
        self.assertEqual(len(token_paths), 2)
        for path in token_paths:
            for method in ("GET", "HEAD"):
                ask(path, 200, good, method)
                ask(path, 400, "%2F", method)
                ask(path, 400, "", method)
                ask(path, 401, good, method, tls=nobody)
                ask(path, 401, "%2F", method, tls=nobody)
                for tls in (stranger, expired, server):
                    ask(path, 403, good, method, tls=tls)
                ask(path, 403, good, method, resolver=picky, tls=other)
                ask(path, 404, UNKNOWN, method)
                ask(path, 404, self.expired.token, method)
            ask(path, 200, good, resolver=picky)
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                ask(path, 405, good, method)
        self.ask_for_events(ask, seen, picky, nobody, stranger, other)
        probes = ["/healthz", "/readyz"]
        for path in probes:
            for method in ("GET", "HEAD"):
                ask(path, 200, method=method, tls=nobody)
            ask(path, 405, method="POST", tls=nobody)

        self.libvirtd.kill()
        self.resolver.wait_line("the connection is lost")
        for path in token_paths:
            for method in ("GET", "HEAD"):
                ask(path, 503, good, method)
        for method in ("GET", "HEAD"):
            ask("/readyz", 503, method=method, tls=nobody)
            ask("/healthz", 200, method=method, tls=nobody)
        self.libvirtd.start()
        for resolver in (self.resolver, picky):
            resolver.wait_ready()
        ask(TOKEN, 200, good)

        # for HEAD as for GET, and whatever the path: the library's, before ours is asked
        documented = {(path, operation, status) for path in self.document.paths for operation in OPERATIONS
                      for status in self.document.responses(path, operation)}
        by_any_path = {row for row in documented if row[2] in ("405", "414", "431")}
        self.assertEqual(seen - by_any_path, documented - by_any_path)
        self.assertLessEqual(seen, documented)

    def ask_for_events(self, ask, seen, picky, nobody, stranger, other):
        for path in (EVENTS, EVENTS.replace("/events", "//events")):
            ask(path, 401, tls=nobody)
            ask(path, 403, tls=stranger)
            ask(path, 403, resolver=picky, tls=other)
            ask(path, 401, method="HEAD", tls=nobody)
            ask(path, 403, method="HEAD", tls=stranger)
            ask(path, 200, method="HEAD")
            ask(path, 405, method="POST")
            with events.Stream(picky, path=path) as stream:
                self.check(path, stream.response)
                seen.add((path, "get", str(stream.response.status)))
        streams = [events.Stream(picky) for _ in range(MAX_STREAMS)]
        for path in (EVENTS, EVENTS.replace("/events", "//events")):
            ask(path, 503, resolver=picky)
            ask(path, 503, method="HEAD", resolver=picky)
        for stream in streams:
            stream.close()

    def test_requests_that_are_too_long(self):
        for method in ("GET", "HEAD"):
            operation = method.lower()
            with self.subTest(method):
                response = self.resolver.query(TOO_LONG) if method == "GET" else self.resolver.get(
                    TOKEN.replace("{token}", TOO_LONG), method=method)
                self.assertEqual(response.status, 414)
                self.check(TOKEN, response, operation)
                response = self.resolver.get(TOKEN.replace("{token}", UNKNOWN), method=method,
                                             headers=[("X-Padding", TOO_LONG)])
                self.assertEqual(response.status, 431)
                self.check(TOKEN, response, operation)

    def test_other_paths(self):
        """404, in the form of the others, with and without a certificate."""
        for path in ("/", "/consoleresolver", "/consoleresolver/token", "/consoleresolver///token/x", "/token/x",
                     "/healthz/", "/Readyz"):
            for options in ({}, {"tls": self.resolver.tls_context(cert=None)}):
                with self.subTest(path):
                    response = self.resolver.get(path, **options)
                    self.assertEqual(response.status, 404)
                    self.check(TOKEN, response)

    def test_head_is_get_without_a_body(self):
        for path in (TOKEN.replace("{token}", self.good[0].token), TOKEN.replace("{token}", UNKNOWN), "/healthz"):
            with self.subTest(path):
                get, head = (self.resolver.get(path, method=method) for method in ("GET", "HEAD"))
                for response in (get, head):
                    response.headers.pop("date")
                self.assertEqual((head.status, head.headers), (get.status, get.headers))

    def test_tokens(self):
        """The document's pattern is the line between 400 and 404."""
        pattern = self.document.root["components"]["parameters"]["Token"]["schema"]["pattern"]
        tokens = ["", ".", "..", "...", ".a", "x" * 256, "x" * 257, "ä", "a b", "a\tb", "a\x7fb", "a\0b"]
        tokens += [f"a{chr(code)}b" for code in range(0x21, 0x7f)]
        for token in tokens:
            with self.subTest(token[:20]):
                response = self.resolver.query(quote(token, safe=""))
                self.check(TOKEN, response)
                self.assertEqual(response.status, 404 if re.search(pattern, token) else 400)

    def test_query_string(self):
        response = self.resolver.query(self.good[0].token + "?token=" + UNKNOWN)
        self.assertEqual(response.status, 200)
        self.check(TOKEN, response)

    def test_by_hand(self):
        """The commands of the manual page make a token that works once the guest runs."""
        if not shutil.which("curl"):
            self.skipTest("no curl on this machine")
        page = (TESTS.parent / "docs/man/virtconsoleresolverd.8.rst").read_text(encoding="utf-8")
        setting_up, asking = (self.block(page, mark) for mark in ("virsh secret-define", "curl --config"))
        directory = pathlib.Path(case.new_directory("hand"))
        self.libvirtd.define("hand", vnc=True)
        self.run_shell(directory, setting_up.replace("metadata demo ", "metadata hand "))
        self.libvirtd.start_guest("hand")
        token = (directory / "token").read_text(encoding="ascii")
        self.resolver.wait_status(token.strip(), 200)
        for name, source in (("client-ca", self.certs.ca), ("client-cert", self.certs.proxy_client.cert),
                             ("client-key", self.certs.proxy_client.key)):
            shutil.copy(source, directory / f"{name}.pem")
        asking = asking.replace("resolver.example.org:8081", f"localhost:{self.resolver.port}")
        answer = self.run_shell(directory, asking, input=token)
        self.assertEqual(json.loads(answer)["domain"]["name"], "hand")

    def block(self, page, mark):
        """The literal block that has the mark in it."""
        blocks = re.findall(r"::\n\n((?: {4}.*\n|\n(?= {4}))+)", page)
        return textwrap.dedent(next(block for block in blocks if mark in block))

    def run_shell(self, directory, commands, **options):
        done = subprocess.run(["bash", "-euc", commands], cwd=directory, text=True, check=False, capture_output=True,
                              timeout=60, env={**os.environ, "LIBVIRT_DEFAULT_URI": self.libvirtd.uri}, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_nothing_of_it_is_logged(self):
        self.service(self.good[0])
        log = self.resolver.log()
        self.assertNotIn(self.good[0].token, log)
        self.assertNotIn("geheim", log)


if __name__ == "__main__":
    tap.main()
