#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The audit log: a record for each start, one for its end, whatever happens in between."""
import collections
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import stat
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, rawhttp, rfb, tap, ws
from lab.case import vnc

TOKEN, PASSWORD = "CANARY-token-4417", "CANPASS4"
START = {"time", "event", "session", "id", "tokenId", "type", "client", "console"}
END = START | {"seconds", "bytesIn", "bytesOut", "code", "reason"}
SLOT = 4096
JOURNAL = "/run/systemd/journal"


class AuditCase(case.Case):
    def setUp(self):
        self.server = self.enterContext(fakes.Server(fakes.hold))
        self.path = os.path.join(case.new_directory("audit"), "audit.json")

    def start(self, **flags):
        """Not to be ended nicely at the end of the test: some are killed."""
        tokens = {TOKEN: vnc(self.server.address, insecure=True, password=PASSWORD)}
        flags = {"connect_insecure": True, "audit_log": self.path, **flags}
        one = case.make_daemon(tokens, **flags)
        self.addCleanup(one.stop)
        return one

    def kill(self, proxy):
        proxy.process.kill()
        proxy.process.wait()

    def records(self, path=None, broken=0):
        lines = pathlib.Path(path or self.path).read_text(encoding="utf-8").splitlines()
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                broken -= 1
        self.assertGreaterEqual(broken, 0, "lines that are no records")
        return found

    def assert_pairs(self, records):
        """Every session has one start and one end behind it."""
        events = collections.defaultdict(list)
        for one in records:
            events[one["session"]].append(one["event"])
        self.assertEqual({tuple(value) for value in events.values()} - {("start", "end")}, set())
        return len(events)


class Records(AuditCase):
    def test_a_session(self):
        proxy = self.start()
        sock, _ = self.open(proxy, TOKEN)
        client = "%s:%u" % sock.sock.getsockname()[:2]
        start, = self.records()
        self.assertEqual(set(start), START)
        sock.close()
        proxy.wait_line("session 1 ended")
        again, end = self.records()
        self.assertEqual(again, start)
        self.assertEqual(set(end), END)
        self.assertEqual({name: end[name] for name in START - {"time", "event"}},
                         {name: start[name] for name in START - {"time", "event"}})
        self.assertEqual((start["event"], start["type"], start["client"], start["console"]),
                         ("start", "vnc", client, self.server.address))
        self.assertEqual((end["event"], end["code"], end["reason"]), ("end", 1000, "ended"))
        self.assertGreater(end["bytesIn"], 0)
        self.assertGreater(end["bytesOut"], 0)
        self.assertRegex(start["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ$")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode) & 0o137, 0)
        line = proxy.wait_line(r"session 1 started: token (\w+)")
        self.assertEqual(start["tokenId"], line[1])

    def test_every_end(self):
        """Killed, refused by the console, cut off, and the end of the daemon itself."""
        closed, address = rawhttp.closed_port()
        self.addCleanup(closed.close)
        proxy = self.start()
        proxy.write_tokens({TOKEN: vnc(self.server.address, insecure=True), "refused": vnc(address)})
        mark = proxy.mark()
        proxy.reload()
        proxy.wait_line("reloaded", after=mark)
        killed, _ = self.open(proxy, TOKEN)
        proxy.admin("/sessions/1", "DELETE")
        killed.wait_close(10)
        self.assertEqual(self.outcome(proxy, "refused").code, 4404)
        self.open(proxy, TOKEN)[0].drop()
        proxy.wait_line("session 3 ended")
        self.open(proxy, TOKEN)
        self.assertEqual(self.outcome(proxy, "unknown").code, 4401)     # no session at all
        proxy.stop()
        records = self.records()
        self.assertEqual(self.assert_pairs(records), 4)
        ends = {one["id"]: one["reason"] for one in records if one["event"] == "end"}
        self.assertEqual(ends, {1: "killed", 2: "refused", 3: "ended", 4: "shutdown"})

    def test_no_secrets(self):
        proxy = self.start()
        self.open(proxy, TOKEN)
        self.outcome(proxy, TOKEN + "-bad")
        for path in (self.path, self.path + ".open"):
            data = pathlib.Path(path).read_bytes()
            self.assertIn(b'"tokenId"', data)
            for secret in (TOKEN, PASSWORD):
                self.assertNotIn(secret.encode(), data)

    def test_rotation(self):
        proxy = self.start()
        old, _ = self.open(proxy, TOKEN)
        os.rename(self.path, self.path + ".1")
        mark = proxy.mark()
        proxy.reload()
        proxy.wait_line("reloaded", after=mark)
        self.open(proxy, TOKEN)[0].close()
        old.close()
        proxy.wait_idle()
        proxy.stop()
        before, after = self.records(self.path + ".1"), self.records()
        self.assertEqual([one["event"] for one in before], ["start"])
        self.assertEqual(sorted(one["event"] for one in after), ["end", "end", "start"])
        self.assert_pairs(before + after)

    def test_rotation_that_fails(self):
        proxy = self.start()
        directory = os.path.dirname(self.path)
        os.rename(directory, directory + "-gone")
        mark = proxy.mark()
        proxy.reload()
        proxy.wait_line("warning: the audit log stays what it was", after=mark)
        self.open(proxy, TOKEN)[0].close()
        proxy.wait_idle()
        self.path = directory + "-gone/audit.json"
        self.assertEqual(self.assert_pairs(self.records()), 1)

    def test_start_that_fails(self):
        self.start()
        for path, word in ((self.path, "another proxy uses it"), ("/nonexistent/audit.json", "No such file")):
            with self.subTest(path):
                directory = case.new_directory("second")
                pathlib.Path(directory, "tokens.json").write_text("{}", encoding="utf-8")
                done = daemon.run(*daemon.command_line({**daemon.default_flags(directory, self.certs),
                                                        "--audit-log": path}))
                self.assertEqual(done.returncode, 2)
                self.assertIn(path, done.stderr)
                self.assertIn(word, done.stderr)

    def test_full_disk(self):
        """Sessions go on, the operator is told once, and the metric counts."""
        if os.geteuid() != 0:
            self.skipTest("a device needs root")
        os.mknod(self.path, 0o600 | stat.S_IFCHR, os.makedev(1, 7))     # as /dev/full
        try:
            proxy = self.start()
        except daemon.StartFailed as error:
            if "Permission denied" not in str(error):
                raise
            self.skipTest("the temporary directory is mounted without devices")
        for _ in range(3):
            self.open(proxy, TOKEN)[0].close()
        proxy.wait_idle()
        self.assertEqual(proxy.settled_count("warning: the audit log cannot be written", 1), 1)
        self.assertEqual(proxy.metrics()["virtconsoleproxy_audit_errors_total"], 6)


class Killed(AuditCase):
    def test_next_start_ends_them(self):
        proxy = self.start()
        done, _ = self.open(proxy, TOKEN)
        for _ in range(3):
            self.open(proxy, TOKEN)
        done.close()
        proxy.wait_line("session 1 ended")
        self.kill(proxy)
        self.assertEqual(len(self.records()), 5)
        again = self.start()
        self.assertEqual(again.settled_count("of a proxy that was killed", 3), 3)
        records = self.records()
        self.assertEqual(self.assert_pairs(records), 4)
        for end in records[5:]:
            self.assertEqual(set(end), END)
            self.assertEqual((end["reason"], end["code"], end["seconds"], end["bytesIn"]), ("unknown", None, None, None))
        again.stop()
        self.assertEqual(self.start().count_lines("of a proxy that was killed"), 0)
        self.assertEqual(self.records(), records)

    def test_at_any_moment(self):
        """Sessions come and go on four connections at once while it is killed, five times."""
        for _ in range(5):
            proxy = self.start(log_level="info")
            threads = [threading.Thread(target=self.churn, args=(proxy,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            proxy.wait_line(r"session (2\d|3\d) ended")
            self.kill(proxy)
            for thread in threads:
                thread.join()
        self.start().stop()
        sessions = self.assert_pairs(self.records(broken=5))
        self.assertGreater(sessions, 100)

    def churn(self, proxy):
        while True:
            try:
                sock = proxy.websocket(TOKEN)
                rfb.login(sock)
                sock.close()
            except (OSError, EOFError, AssertionError, ws.Closed, ws.Refused, rfb.Failed):
                return

    def crash(self, phase, change):
        """A proxy was killed with one session, whose slot is changed to look like an earlier or later moment."""
        proxy = self.start()
        self.open(proxy, TOKEN)
        self.kill(proxy)
        records = self.records()
        with open(self.path + ".open", "r+b") as slots:
            self.assertEqual(slots.read(1), b"L")
            slots.seek(0)
            slots.write(phase)
        change(records)
        self.start().stop()
        self.assertEqual(pathlib.Path(self.path + ".open").read_bytes()[::SLOT].strip(b"\0"), b"")
        return self.records(broken=1)

    def append(self, text):
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(text)

    def test_before_the_start_was_written(self):
        self.assertEqual(self.crash(b"S", lambda records: os.truncate(self.path, 0)), [])

    def test_half_of_the_start_was_written(self):
        self.assertEqual(self.crash(b"S", lambda records: os.truncate(self.path, 80)), [])

    def test_after_the_start_was_written(self):
        self.assertEqual(self.assert_pairs(self.crash(b"S", lambda records: None)), 1)

    def test_before_the_end_was_written(self):
        self.assertEqual(self.assert_pairs(self.crash(b"E", lambda records: None)), 1)

    def test_half_of_the_end_was_written(self):
        def change(records):
            self.append(json.dumps({**records[0], "event": "end"})[:60])
        self.assertEqual(self.assert_pairs(self.crash(b"E", change)), 1)

    def test_after_the_end_was_written(self):
        def change(records):
            self.append(json.dumps({**records[0], "event": "end"}) + "\n")
        self.assertEqual(self.assert_pairs(self.crash(b"E", change)), 1)

    def test_nonsense_in_the_slots(self):
        pathlib.Path(self.path + ".open").write_bytes(b"L{broken".ljust(SLOT, b"\0") + b"S".ljust(SLOT, b"x") + b"Z" * 77)
        proxy = self.start()
        self.open(proxy, TOKEN)[0].close()
        proxy.wait_idle()
        self.assertEqual(self.assert_pairs(self.records()), 1)


class Journal(AuditCase):
    """A journal of our own, in a mount namespace of this thread's."""

    def setUp(self):
        super().setUp()
        self.path = None
        self.enter_namespace()
        os.makedirs(JOURNAL)
        self.datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.datagrams.close)
        self.datagrams.bind(f"{JOURNAL}/socket")
        self.datagrams.settimeout(30)
        self.stream = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.stream.close)
        self.stream.bind(f"{JOURNAL}/stdout")
        self.stream.listen()

    def enter_namespace(self):
        libc = ctypes.CDLL(None, use_errno=True)
        clone_newns, ms_rec, ms_private = 0x20000, 0x4000, 1 << 18
        if libc.unshare(clone_newns) != 0 or libc.mount(b"none", b"/", None, ms_rec | ms_private, None) != 0:
            self.skipTest("a mount namespace needs root")
        if libc.mount(b"none", b"/run", b"tmpfs", 0, None) != 0:
            self.skipTest("a tmpfs cannot be mounted here")

    def receive(self, wanted):
        """The next record with an event; every field once."""
        while True:
            fields = {}
            for line in self.datagrams.recv(1 << 16).split(b"\n"):
                name, _, value = line.partition(b"=")
                if name:
                    self.assertNotIn(name, fields)
                    fields[name.decode()] = value.decode()
            if wanted in fields:
                return fields

    def launch(self, state):
        """The daemon with the journal as its standard error -> (pid, listener)."""
        directory = case.new_directory("journal")
        tokens = {TOKEN: vnc(self.server.address, insecure=True)}
        pathlib.Path(directory, "tokens.json").write_text(json.dumps(tokens), encoding="utf-8")
        flags = {**daemon.default_flags(directory, self.certs), "--connect-insecure": True, "--log-level": "message",
                 "--admin-addr": "none"}
        stderr = socket.socket(socket.AF_UNIX)
        stderr.connect(f"{JOURNAL}/stdout")
        pid = os.posix_spawnp("setpriv", ["setpriv", "--pdeathsig", "KILL", daemon.program(),
                                          *daemon.command_line(flags)],
                              {**os.environ, "STATE_DIRECTORY": state},
                              file_actions=[(os.POSIX_SPAWN_DUP2, stderr.fileno(), 2)])
        stderr.close()
        address = None
        while True:
            message = self.receive("MESSAGE")["MESSAGE"]
            if match := re.match(r"listening on ([\d.]+):(\d+)", message):
                address = (match[1], int(match[2]))
            if message == "ready":
                return pid, address

    def test_fields(self):
        state = case.new_directory("state")
        pid, address = self.launch(state)
        self.addCleanup(lambda: os.path.exists(f"/proc/{pid}") and os.kill(pid, signal.SIGKILL))
        sock = ws.WebSocket.open(address, f"/websockify?token={TOKEN}", tls=rawhttp.tls_context(self.certs.ca))
        self.addCleanup(sock.drop)
        rfb.login(sock)
        start = self.receive("CONSOLE_EVENT")
        self.assertEqual({name for name in start if name.startswith("CONSOLE_")},
                         {"CONSOLE_" + re.sub("([A-Z])", r"_\1", name).upper() for name in START})
        self.assertEqual((start["CONSOLE_EVENT"], start["CONSOLE_CONSOLE"], start["PRIORITY"]),
                         ("start", self.server.address, "6"))
        self.assertEqual(start["SYSLOG_IDENTIFIER"], "virtconsoleproxyd")
        self.assertNotIn(TOKEN, str(start))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

        pid, _ = self.launch_and_catch_end(state, start)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def launch_and_catch_end(self, state, start):
        """The one that was killed is ended before the next is ready."""
        ends = []
        receive = self.receive

        def spy(wanted):
            fields = receive(wanted)
            if "CONSOLE_EVENT" in fields:
                ends.append(fields)
            return fields
        self.receive = spy
        launched = self.launch(state)
        end, = ends
        self.assertEqual((end["CONSOLE_EVENT"], end["CONSOLE_SESSION"], end["CONSOLE_REASON"]),
                         ("end", start["CONSOLE_SESSION"], "unknown"))
        return launched


if __name__ == "__main__":
    tap.main()
