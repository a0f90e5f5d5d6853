#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Start: files, token tables, options, listeners; and what it says when it cannot."""
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, rawhttp, tap
from lab.case import vnc


class Start(case.Case):
    def setUp(self):
        self.directory = case.new_directory("start")
        self.tokens = self.file("tokens.json", "{}")

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        pathlib.Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, 0o600)               # it may be a token file, and no warning is wanted
        return path

    def run_with(self, **flags):
        """Runs a start that must fail by itself."""
        every = daemon.default_flags(self.directory, self.certs)
        every.update({"--" + name.replace("_", "-"): value for name, value in flags.items()})
        every["--log-level"] = flags.get("log_level")
        return daemon.run(*daemon.command_line(every))

    def fails(self, *words, lines=1, **flags):
        """Exit status 2 and one line on stderr that has all of the words."""
        done = self.run_with(**flags)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), lines, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(done.stdout, "")


class Files(Start):
    """Missing or broken: exit status 2 and one line that names file, reason and flag."""

    FLAGS = ("listen-tls-cert", "listen-tls-key", "connect-tls-cert", "connect-tls-key",
             "connect-tls-ca", "resolver-tokens")

    def test_missing(self):
        path = os.path.join(self.directory, "no-such-file.pem")
        for flag in self.FLAGS:
            with self.subTest(flag):
                self.fails(path, "--" + flag, "No such file",
                           **{flag.replace("-", "_"): path})

    def test_garbage(self):
        for name, content in (("empty", b""), ("text", b"hello\n"), ("binary", os.urandom(3000)),
                              ("half", b"-----BEGIN CERTIFICATE-----\nMIIB\n")):
            path = self.file(name, content)
            for flag in self.FLAGS:
                with self.subTest(flag, content=name):
                    self.fails(path, "--" + flag, **{flag.replace("-", "_"): path})

    def test_directory(self):
        for flag in self.FLAGS:
            with self.subTest(flag):
                self.fails(self.directory, "--" + flag,
                           **{flag.replace("-", "_"): self.directory})

    def test_key_of_another_certificate(self):
        other = self.certs.other_client.key
        for flag in ("listen-tls-key", "connect-tls-key"):
            with self.subTest(flag):
                self.fails(other, "--" + flag, **{flag.replace("-", "_"): other})

    def test_client_verification_needs_its_authority(self):
        path = os.path.join(self.directory, "none.pem")
        self.fails(path, "--listen-tls-ca", listen_verify_client=True, listen_tls_ca=path)

    def test_authority_does_not_matter_otherwise(self):
        self.start_daemon(listen_tls_ca=os.path.join(self.directory, "none.pem"))

    def test_resolver_files(self):
        path = os.path.join(self.directory, "none.pem")
        good = {"resolver_mode": "external", "resolver_tls_cert": self.certs.proxy_client.cert,
                "resolver_tls_key": self.certs.proxy_client.key, "resolver_tls_ca": self.certs.ca}
        for flag in ("resolver_tls_cert", "resolver_tls_key", "resolver_tls_ca"):
            with self.subTest(flag):
                self.fails(path, "--" + flag.replace("_", "-"), **{**good, flag: path})

    def test_token_tables(self):
        service = '"type": "vnc", "address": "h:1"'
        rows = {
            "not JSON": "{", "a list": "[]", "a string": '"x"', "trailing": "{} x",
            "a service that is none": '{"t": 5}',
            "bad address": '{"t": {"type": "vnc", "address": "nowhere"}}',
            "no address": '{"t": {"type": "vnc"}}',
            "no type": '{"t": {"address": "h:1"}}',
            "unknown type": '{"t": {"type": "telepathy", "address": "h:1"}}',
            "wrong type of insecure": '{"t": {%s, "insecure": "yes"}}' % service,
            "wrong type of password": '{"t": {%s, "password": 5}}' % service,
            "wrong expires": '{"t": {%s, "expires": "tomorrow"}}' % service,
            "bad token": '{"a/b": {%s}}' % service,
            "token twice": '{"t": {%s}, "t": {%s}}' % (service, service),
            "NUL": '{"t": {%s, "password": "a\\u0000b"}}' % service,
        }
        for name, text in rows.items():
            with self.subTest(name):
                path = self.file("table.json", text)
                self.fails(path, "--resolver-tokens", resolver_tokens=path)

    def test_field_names_are_told(self):
        for field, value in (("address", '"nowhere"'), ("insecure", '"yes"'), ("tlsTunnel", "1"),
                             ("password", "[]"), ("tlsServerName", "{}"), ("expires", '"soon"'),
                             ("powerControl", '"on"'), ("type", "null")):
            with self.subTest(field):
                fields = {"type": '"vnc"', "address": '"h:1"', field: value}
                body = ", ".join(f'"{name}": {text}' for name, text in fields.items())
                path = self.file("table.json", '{"t": {%s}}' % body)
                self.fails(path, field, resolver_tokens=path)

    def test_addresses(self):
        for address in ("", ":", "h", "h:", ":5900", "h:0", "h:65536", "h:-1", "h:+1", "h:1x",
                        "h:5900:1", "::1:5900", "[::1]", "[::1:5900", "h h:1", "h/x:1", "http://h:1",
                        "user@h:1", "h:1/", "[127.0.0.1:1", "h: 1", "h:99999999999999999999"):
            with self.subTest(address):
                path = self.file("table.json", '{"t": {"type": "vnc", "address": "%s"}}' % address)
                self.fails(path, "address", resolver_tokens=path)

    def test_unknown_fields_are_ignored(self):
        self.start_daemon({"t": vnc("h:1", colour="green", nested={"a": [1]})})

    def test_secrets_of_a_broken_table_stay_inside(self):
        for text in ('{"CANARY-TOKEN": {"type": "vnc", "address": "h", "password": "CANARY-PW"}}',
                     '{"CANARY-TOKEN": {"password": "CANARY-PW", "type": 5, "address": "h:1"}}',
                     '{"CANARY-TOKEN": "CANARY-PW" "', '{"CANARY/TOKEN": {}}'):
            with self.subTest(text):
                done = self.run_with(resolver_tokens=self.file("table.json", text),
                                     log_level="debug")
                self.assertEqual(done.returncode, 2)
                self.assertNotIn("CANARY", done.stderr)


class Options(Start):
    FLAGS = """listen-addr listen-insecure listen-tls-cert listen-tls-key listen-tls-ca
        listen-verify-client listen-min-tls listen-cipher-suites connect-insecure connect-tls-cert
        connect-tls-key connect-tls-ca resolver-mode resolver-tokens resolver-uri resolver-insecure
        resolver-tls-cert resolver-tls-key resolver-tls-ca allowed-origin require-origin web-dir
        workers connect-timeout handshake-timeout resolver-timeout keepalive write-timeout
        max-sessions max-sessions-per-token max-sessions-per-console max-sessions-per-address
        trusted-proxy proxy-protocol allowed-target token-failures log-level help version""".split()

    def test_help(self):
        done = daemon.run("--help")
        self.assertEqual(done.returncode, 0)
        for flag in self.FLAGS:
            self.assertRegex(done.stdout, rf"--{flag}\b")
        self.assertRegex(done.stdout, r"-v\b")
        self.assertEqual(done.stderr, "")

    def test_version(self):
        done = daemon.run("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^virtconsoleproxyd \S*\d+\.\d+\S*\n$")

    def test_unknown_flag(self):
        done = daemon.run("--no-such-flag")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--no-such-flag", done.stderr)

    def test_stray_argument(self):
        done = daemon.run("stray")
        self.assertEqual(done.returncode, 2)
        self.assertIn("stray", done.stderr)

    def test_clear_text_needs_a_flag(self):
        """Without a certificate there is no listening at all."""
        self.fails("--listen-tls-cert", listen_tls_cert="", listen_tls_key="")

    def test_clear_text_is_warned_of(self):
        proxy = self.start_daemon(listen_insecure=True, listen_tls_cert=None, listen_tls_key=None)
        self.assertRegex(proxy.log(), r"(?i)listening on \S+ .*(clear|plain|insecure|without TLS)")
        self.assertGreaterEqual(proxy.count_lines("(?i)warning"), 1)

    def test_minimum_tls(self):
        for value in ("1.0", "1.1", "VersionTLS10", "VersionTLS11"):
            with self.subTest(value):
                self.fails("--listen-min-tls", value, "1.2", listen_min_tls=value)
        for value in ("1.4", "2", "", "tls", "VersionTLS14", "VersionSSL30"):
            with self.subTest(value):
                self.fails("--listen-min-tls", listen_min_tls=value)

    def test_cipher_suites(self):
        self.fails("--listen-cipher-suites", "TLS_NO_SUCH_SUITE",
                   listen_cipher_suites="TLS_AES_128_GCM_SHA256,TLS_NO_SUCH_SUITE")

    def test_listen_addresses(self):
        for value in ("nowhere", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:x",
                      "::1:443", "[::1]", "unix:", "unix:" + "x" * 200, "", "127.0.0.1:-1"):
            with self.subTest(value):
                self.fails(f"listen on {value}:", listen_addr=value)

    def test_address_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.fails(address, "in use", listen_addr=address)

    def test_resolver_mode(self):
        for value in ("fixed", "", "Builtin", "none"):
            with self.subTest(value):
                self.fails("--resolver-mode", "builtin", "external", resolver_mode=value)

    def test_resolver_uri(self):
        tls = {"resolver_tls_cert": self.certs.proxy_client.cert,
               "resolver_tls_key": self.certs.proxy_client.key, "resolver_tls_ca": self.certs.ca}
        for value in ("http://127.0.0.1:1/", "ftp://h/", "nonsense", "", "https://", "//h/x",
                      "file:///etc/passwd"):
            with self.subTest(value):
                self.fails("--resolver-", resolver_mode="external", resolver_uri=value, **tls)

    def test_numbers(self):
        for flag in ("workers", "connect-timeout", "handshake-timeout", "resolver-timeout",
                     "keepalive", "write-timeout", "max-sessions", "max-sessions-per-token",
                     "max-sessions-per-console", "max-sessions-per-address", "token-failures"):
            for value in ("-1", "x", "", "1x", "99999999999999999999", "1.5.2"):
                with self.subTest(flag, value=value):
                    self.fails("--" + flag, **{flag.replace("-", "_"): value})

    def test_log_level(self):
        self.fails("--log-level", "loud", log_level="loud")

    def test_web_dir(self):
        for path in (os.path.join(self.directory, "none"), self.tokens):
            with self.subTest(path):
                self.fails("--web-dir", path, web_dir=path)

    def test_allowed_origin(self):
        for value in ("portal.example", "https://", "https://portal.example/page", "null"):
            with self.subTest(value):
                self.fails("--allowed-origin", allowed_origin=value)


class Listeners(Start):
    def healthy(self, address, tls):
        with rawhttp.connect(address, tls=tls) as sock:
            return rawhttp.exchange(sock, rawhttp.request_bytes("/healthz")).status

    def test_unix(self):
        path = os.path.join(self.directory, "front.sock")
        proxy = self.start_daemon(listen_addr=f"unix:{path}")
        self.assertEqual(proxy.listeners, [path])
        self.assertEqual(self.healthy(path, proxy.tls_context()), 200)

    def test_unix_takes_over_a_dead_socket(self):
        path = os.path.join(self.directory, "front.sock")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        proxy = self.start_daemon(listen_addr=f"unix:{path}")
        self.assertEqual(self.healthy(path, proxy.tls_context()), 200)

    def test_unix_leaves_a_file_alone(self):
        path = self.file("precious", "content")
        self.fails(path, listen_addr=f"unix:{path}")
        self.assertEqual(pathlib.Path(path).read_text(), "content")

    def test_several(self):
        path = os.path.join(self.directory, "s")
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon(
                {"tok": vnc(server.address, insecure=True)}, connect_insecure=True,
                listen_addr=["127.0.0.1:0", "127.0.0.2:0", "[::1]:0", f"unix:{path}"])
            self.assertEqual(len(proxy.listeners), 4)
            for address in proxy.listeners:
                with self.subTest(address):
                    self.assertEqual(self.healthy(address, proxy.tls_context()), 200)
                    sock = rawhttp.connect(address, tls=proxy.tls_context())
                    sock.close()
            self.assertRegex(proxy.log(), r"listening on \[::1\]:\d+")

    def test_ipv6_any_takes_ipv4_as_well(self):
        """The default address is [::]:443: with it IPv4 users must get in."""
        proxy = self.start_daemon(listen_addr="[::]:0")
        for host in ("127.0.0.1", "::1"):
            self.assertEqual(self.healthy((host, proxy.port), proxy.tls_context()), 200)

    def test_one_line_each(self):
        proxy = self.start_daemon(listen_addr=["127.0.0.1:0", "127.0.0.2:0"], log_level=None)
        lines = [line for line in proxy.lines if "listening on" in line]
        self.assertEqual(len(lines), 2)
        for line, address in zip(lines, proxy.listeners):
            self.assertIn(f"{address[0]}:{address[1]} (TLS)", line)


if __name__ == "__main__":
    tap.main()
