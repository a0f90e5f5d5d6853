#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures of both daemons: that they move as what they count does, and the dashboard that shows them."""
import asyncio
import json
import pathlib
import re
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
from lab import case, fakes, guest, metrics, rawhttp, resolverd, rfb, tap, ws
from lab.case import vnc

TOKEN, PASSWORD = "CANARY-token-3092", "CANPASS3"
DASHBOARD = TESTS.parent / "dashboards/virtconsoleproxy.json"
OPERATIONS = TESTS.parent / "docs/operations.md"
NOWHERE = "qemu+unix:///system?socket=/nonexistent"
P, R = "virtconsoleproxy_", "virtconsoleresolver_"


def failures(reason):
    return f'{P}handshake_failures_total{{reason="{reason}"}}'


def state(name, kind="vnc"):
    return f'{P}sessions{{type="{kind}",state="{name}"}}'


class MetricsCase(case.Case):
    def assert_code(self, proxy, token, code):
        """How a session fails, and that it is over: counted."""
        mark = proxy.mark()
        self.assertEqual(self.outcome(proxy, token).code, code)
        proxy.wait_line(r"(refused: token|session \d+ ended)", after=mark)

    def until(self, proxy, name, value, timeout=30):
        """Waits until the metric is at least so much."""
        deadline = time.monotonic() + timeout
        while (now := proxy.metrics()[name]) < value:
            self.assertLess(time.monotonic(), deadline, f"{name} is {now}")
        return now


class Proxy(MetricsCase):
    def setUp(self):
        self.server = self.enterContext(fakes.Server(fakes.hold))

    def start(self, tokens=None, **flags):
        tokens = {TOKEN: vnc(self.server.address, insecure=True, password=PASSWORD), **(tokens or {})}
        return self.start_daemon(tokens, connect_insecure=True, **flags)

    def test_format(self):
        proxy = self.start()
        answer = proxy.admin("/metrics")
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        values = metrics.parse(answer.body.decode())
        self.assertEqual(values.sum(P + "build_info"), 1)
        self.assertEqual((values[P + "ready"], values[P + "workers"], values[P + "tokens"]), (1, 2, 1))
        self.assertEqual(values.sum(P + "sessions"), 0)
        self.assertLess(abs(values["process_start_time_seconds"] - time.time()), 60)
        self.assertAlmostEqual(values["process_open_fds"], proxy.descriptors(), delta=2)   # connections that ask

    def test_sessions_and_bytes(self):
        proxy = self.start()
        before = proxy.metrics()
        socks = [self.open(proxy, TOKEN)[0] for _ in range(3)]
        values = proxy.metrics()
        self.assertEqual(values[state("spliced")], 3)
        self.assertEqual(values.sum(P + "sessions"), 3)
        self.assertEqual(values[P + 'sessions_started_total{type="vnc"}'], 3)
        self.assertGreaterEqual(values[P + "connections"], 3)
        at_login = values[P + "received_bytes_total"]
        self.assertGreater(at_login, before[P + "received_bytes_total"])
        self.assertGreater(values[P + "sent_bytes_total"], before[P + "sent_bytes_total"])
        key = bytes([4, 0, 0, 0, 0, 0, 0, 65])
        for _ in range(100):
            socks[0].write(key)
        # each of the three may have sent its first message when the login was counted, or not
        self.assertLessEqual(self.until(proxy, P + "received_bytes_total", at_login + 800), at_login + 800 + 3 * 12)
        for sock in socks:
            sock.close()
        proxy.wait_idle()
        values = proxy.metrics()
        self.assertEqual(values.sum(P + "sessions"), 0)
        self.assertEqual(values[P + 'sessions_ended_total{reason="ended"}'], 3)
        self.assertEqual(values.sum(P + "handshake_failures_total"), 0)

    def test_failures(self):
        closed, address = rawhttp.closed_port()
        self.addCleanup(closed.close)
        proxy = self.start({"refused": vnc(address), "tls": vnc(self.server.address, tlsTunnel=True)},
                           max_sessions_per_token="1", allowed_origin="https://good.example")
        self.assert_code(proxy, "unknown", 4401)
        self.assert_code(proxy, "refused", 4404)
        self.assertEqual(proxy.upgrade("/websockify?token=x", origin="https://evil.example").status, 403)
        self.assertEqual(proxy.upgrade("/websockify").status, 401)
        self.open(proxy, TOKEN)
        self.assertEqual(proxy.upgrade(f"/websockify?token={TOKEN}").status, 429)
        values = proxy.metrics()
        for reason in ("token", "refused", "origin", "no-token", "too-many"):
            with self.subTest(reason):
                self.assertEqual(values[failures(reason)], 1)
        self.assertEqual(values.sum(P + "handshake_failures_total"), 5)
        self.assertEqual(values[P + 'sessions_ended_total{reason="refused"}'], 1)
        self.assertEqual(values[P + 'resolver_queries_total{result="found"}'], 2)
        self.assertEqual(values[P + 'resolver_queries_total{result="unknown"}'], 1)
        self.assertEqual(values[P + "resolver_query_seconds_count"], 3)

    def test_states_before_the_console(self):
        with fakes.Server(fakes.silent) as server:
            proxy = self.start({"silent": vnc(server.address)})
            sock = self.websocket(proxy, "silent")
            server.wait_connections(1)
            self.assertEqual(proxy.metrics()[state("handshake")], 1)
            sock.drop()
            proxy.wait_idle()
            self.assertEqual(proxy.metrics().sum(P + "sessions"), 0)
            self.assertEqual(proxy.metrics()[failures("ended")], 1)

    def test_resolver(self):
        """One that takes its time, and one that is not there."""
        def slow(stream):
            stream.read(1)
            time.sleep(0.3)              # the time that is measured
        with fakes.Server(slow) as server:
            proxy = self.start_daemon(resolver_mode="external", resolver_insecure=True,
                                      resolver_uri=f"http://{server.address}/consoleresolver/")
            self.assert_code(proxy, "any", 4503)
            values = proxy.metrics()
        self.assertEqual(values[P + 'resolver_queries_total{result="failed"}'], 1)
        self.assertEqual(values[P + 'resolver_query_seconds_bucket{le="0.25"}'], 0)
        self.assertGreaterEqual(values[P + "resolver_query_seconds_sum"], 0.3)
        self.assertEqual(values[failures("resolver")], 1)
        self.assertNotIn(P + "tokens", values)

    def test_tls_errors(self):
        """A console whose certificate nobody knows, and a client that does not know ours."""
        directory = self.certs.qemu_dir("stranger", authority="other")
        with fakes.Server(fakes.vencrypt_login(fakes.server_tls(directory), rfb.X509_NONE)) as server:
            proxy = self.start({"tls": vnc(server.address)})
            self.assert_code(proxy, "tls", 4502)
            # a client's alert is lost where the end of its connection overtakes it
            guest.wait_until(lambda: self.count_refused_tls(proxy) >= 1, "an alert that is counted")
            values = proxy.metrics()
        self.assertEqual(values[P + 'tls_errors_total{peer="console"}'], 1)
        self.assertEqual(values[failures("certificate")], 1)

    def count_refused_tls(self, proxy):
        """Once more a client that does not accept the proxy's certificate; those that were counted."""
        with self.assertRaises((OSError, case.ws.Refused)):
            proxy.connect(tls=rawhttp.tls_context(self.certs.other_ca))
        return proxy.metrics()[P + 'tls_errors_total{peer="client"}']

    def test_client_that_only_closes(self):
        """Its end of TCP, without one of TLS before it, is no error of TLS."""
        proxy = self.start({"tok": vnc(self.server.address, insecure=True)})
        for end in ("drop", "reset"):
            sock = self.websocket(proxy, "tok")
            rfb.Client(sock)
            getattr(sock, end)()
        proxy.wait_idle()
        self.assertEqual(proxy.metrics()[P + 'tls_errors_total{peer="client"}'], 0)

    def test_store_errors(self):
        closed, address = rawhttp.closed_port()
        self.addCleanup(closed.close)
        proxy = self.start({"once": vnc(self.server.address, insecure=True, singleUse=True)},
                           store=f"redis://{address}")
        self.assert_code(proxy, "once", 4503)
        self.assertGreaterEqual(proxy.metrics()[P + "store_errors_total"], 1)

    def test_buffers(self):
        """A client that does not read keeps some; they are given back with it."""
        def flood(stream):
            fakes.plain_login(stream)
            while True:
                stream.write(bytes(65536))
        with fakes.Server(flood) as server:
            proxy = self.start({"flood": vnc(server.address, insecure=True)})
            sock = self.websocket(proxy, "flood", receive_buffer=4096)
            rfb.login(sock)
            sock.write(b"\1")
            sock.read(1)
            self.until(proxy, P + "buffers", 1)
            sock.drop()
            proxy.wait_idle()
            deadline = time.monotonic() + 30
            while proxy.metrics()[P + "buffers"] > 0:
                self.assertLess(time.monotonic(), deadline)

    def test_lag(self):
        proxy = self.start()
        self.until(proxy, P + "event_loop_lag_seconds_count", 2)

    def test_draining(self):
        proxy = self.start(drain_timeout="600")
        sock, _ = self.open(proxy, TOKEN)
        proxy.terminate()
        proxy.wait_line("draining")
        self.assertEqual(proxy.metrics()[P + "ready"], 0)
        sock.close()

    def test_no_secrets(self):
        proxy = self.start()
        self.open(proxy, TOKEN)
        self.outcome(proxy, TOKEN + "-unknown")
        text = proxy.admin("/metrics").body.decode()
        for secret in (TOKEN, PASSWORD, self.server.address, "127.0.0.1"):
            self.assertNotIn(secret, text)

    def test_scrapes_amid_200_sessions(self):
        """All are counted, nobody waits for long, and their bytes go on."""
        proxy = self.start(max_sessions_per_token="0", max_sessions_per_console="0")
        asyncio.run(self.crowd(proxy, 200))
        proxy.wait_idle()
        self.assertEqual(proxy.metrics().sum(P + "sessions"), 0)

    async def crowd(self, proxy, count):
        socks = []
        for _ in range(count):
            sock = await ws.AsyncWebSocket.open(proxy.address, f"/websockify?token={TOKEN}", tls=proxy.tls_context())
            socks.append(sock)
            await login(sock)
        loop = asyncio.get_running_loop()
        writer = asyncio.create_task(write_keys(socks))
        for target in ("/metrics", "/status") * 10:
            begin = time.monotonic()
            answer = await loop.run_in_executor(None, proxy.admin, target)
            self.assertEqual(answer.status, 200)
            self.assertLess(time.monotonic() - begin, 2)
            if target == "/status":
                self.assertEqual(len(json.loads(answer.body)["sessions"]), count)
            else:
                self.assertEqual(metrics.parse(answer.body.decode())[state("spliced")], count)
        writer.cancel()
        for sock in socks:
            await sock.close()


async def login(sock):
    """RFB 3.8 without authentication, as the proxy offers it."""
    await sock.read(12)
    sock.write(b"RFB 003.008\n")
    await sock.read(2)
    sock.write(b"\1")
    await sock.read(4)
    sock.write(b"\1")
    await sock.read(24)


async def write_keys(socks):
    while True:
        for sock in socks:
            sock.write(bytes([4, 0, 0, 0, 0, 0, 0, 65]))
        await asyncio.sleep(0.01)


class Resolver(case.Case):
    """Without libvirt; test-resolverd-guests.py's libvirtd is too slow to start for a few figures."""

    def ask(self, resolver, **options):
        return resolver.get("/metrics", **options)

    def test_queries(self):
        resolver = resolverd.Resolverd(case.new_directory("resolverd"), self.certs, [NOWHERE], wait=False)
        self.addCleanup(case.check_end, resolver)
        resolver.query(TOKEN)
        resolver.query("a%20b")
        resolver.query("x", tls=rawhttp.tls_context(self.certs.ca))
        answer = self.ask(resolver)
        self.assertNotIn(TOKEN, answer.body.decode())
        values = metrics.parse(answer.body.decode())
        self.assertEqual([values[f'{R}queries_total{{status="{status}"}}'] for status in (200, 400, 401, 404, 503)],
                         [0, 1, 1, 0, 1])
        self.assertEqual(values[R + "query_seconds_count"], 3)
        host = f'{{host="{NOWHERE}"}}'
        self.assertEqual([values[R + name + host] for name in ("host_connected", "host_listed", "domains", "consoles")],
                         [0, 0, 0, 0])
        self.assertEqual(values[R + "ready"], 0)

    def test_who_may_ask(self):
        resolver = resolverd.Resolverd(case.new_directory("resolverd"), self.certs, [NOWHERE], wait=False,
                                       flags={"--allowed-client": "proxy.example"})
        self.addCleanup(case.check_end, resolver)
        self.assertEqual(self.ask(resolver).status, 200)
        other = self.certs.issue("monitor", names=("monitor.example",), purposes=("client",))
        for cert in (None, other, self.certs.other_client):
            tls = rawhttp.tls_context(self.certs.ca, cert=cert)
            self.assertEqual(self.ask(resolver, tls=tls).status, 403)


class ResolverGuests(case.Case):
    def test_guests(self):
        daemon = self.start_libvirtd()
        resolver = self.start_resolver(daemon)
        host = f'{{host="{daemon.uri}"}}'

        def values():
            return metrics.parse(resolver.get("/metrics").body.decode())
        self.assertEqual([values()[R + name + host] for name in ("host_connected", "host_listed", "domains")], [1, 1, 0])
        daemon.define("demo", vnc=True)
        consoles = resolverd.grant(daemon, "demo", [resolverd.Console("vnc")])
        daemon.start_guest("demo")
        resolver.wait_status(consoles[0].token, 200)
        now = values()
        self.assertEqual((now[R + "domains" + host], now[R + "consoles" + host]), (1, 1))
        self.assertGreaterEqual(now[R + 'queries_total{status="200"}'], 1)
        self.assertGreaterEqual(now[R + "event_lag_seconds_count"], 1)
        self.assertLess(now[R + "event_lag_seconds_sum"] / now[R + "event_lag_seconds_count"], 5)
        daemon.destroy("demo")
        resolver.wait_status(consoles[0].token, 404)
        self.assertEqual(values()[R + "consoles" + host], 0)


class Pages(case.Case):
    """The dashboard and the operator's page know what there is, and nothing else."""

    @classmethod
    def setUpClass(cls):
        proxy = case.make_daemon({"tok": vnc("127.0.0.1:1")})
        resolver = resolverd.Resolverd(case.new_directory("resolverd"), case.certificates(), [NOWHERE], wait=False)
        cls.addClassCleanup(proxy.stop)
        cls.addClassCleanup(resolver.stop)
        cls.values = [proxy.metrics(), metrics.parse(resolver.get("/metrics").body.decode())]
        cls.types = {name: kind for values in cls.values for name, kind in values.types.items()}
        cls.series = set().union(*(values.names for values in cls.values))

    def expressions(self):
        """PromQL of every panel, and of the dashboard's variables."""
        board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                found.append(variable["query"])
        return found

    def test_dashboard_shows_what_there_is(self):
        used = set()
        for expression in self.expressions():
            names = set(re.findall(r"\b(?:virtconsole|process_)\w+", expression))
            self.assertTrue(names, expression)
            self.assertLessEqual(names, self.series, expression)
            used |= names
        bases = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in self.types else name for name in used}
        self.assertEqual({name for name in self.types if name.startswith("virtconsole")} - bases, set(),
                         "not on the dashboard")

    def test_labels_of_the_dashboard(self):
        labels = {}
        for values in self.values:
            for key in values:
                name = re.match(r"\w+", key)[0]
                labels.setdefault(name, set()).update(re.findall(r'(\w+)="', key))
        for expression in self.expressions():
            for name, inside in re.findall(r"\b(virtconsole\w+|process_\w+)\{([^}]*)\}", expression):
                used = set(re.findall(r'(\w+)\s*[=!]~?"', inside)) - {"job", "instance"}
                self.assertLessEqual(used, labels[name], expression)
            for grouping in re.findall(r"by \(([^)]*)\)", expression):
                known = set().union({"instance", "le"}, *labels.values())
                self.assertLessEqual({one.strip() for one in grouping.split(",")}, known, expression)

    def test_counters_are_rates(self):
        """A counter by itself says nothing; a gauge has no rate."""
        for expression in self.expressions():
            for name in re.findall(r"\b(virtconsole\w+|process_\w+)", expression):
                base = name if name in self.types else re.sub(r"_(bucket|sum|count)$", "", name)
                is_rated = re.search(rf"\b(rate|increase)\({name}\b", expression) is not None
                self.assertEqual(is_rated, self.types[base] != "gauge", expression)

    def test_panels(self):
        board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        ids = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        self.assertEqual(len(places), len(set(places)))
        for panel in board["panels"]:
            self.assertTrue(panel["title"])
            self.assertLessEqual(panel["gridPos"]["x"] + panel["gridPos"]["w"], 24)

    def test_operations_page(self):
        text = OPERATIONS.read_text(encoding="utf-8")
        rows = set(re.findall(r"^\| `(virtconsole\w+)`", text, re.MULTILINE))
        self.assertEqual(rows, {name for name in self.types if name.startswith("virtconsole")})
        for name in re.findall(r"\b(?:virtconsole(?:proxy|resolver)_|process_)\w+", text):
            base = name if name in self.types else re.sub(r"_(bucket|sum|count)$", "", name)
            self.assertIn(base, self.types)

    def test_alerts(self):
        """promtool where it is installed; in any case they are YAML with an expression each."""
        import yaml
        block = re.search(r"^```yaml\n(groups:.*?)^```", OPERATIONS.read_text(encoding="utf-8"), re.M | re.S)[1]
        rules = yaml.safe_load(block)["groups"][0]["rules"]
        self.assertGreater(len(rules), 5)
        for rule in rules:
            self.assertTrue(rule["alert"] and rule["annotations"]["summary"])
            names = set(re.findall(r"\b(?:virtconsole|process_)\w+", rule["expr"]))
            self.assertLessEqual(names, self.series)


if __name__ == "__main__":
    tap.main()
