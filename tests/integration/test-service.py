#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both daemons under a service manager: its sockets in the place of their own, and what it is told."""
import os
import pathlib
import signal
import socket
import sys
import tempfile
from contextlib import contextmanager

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, daemon, fakes, guest, manager, program, rawhttp, resolverd, tap
from lab.case import vnc

NOWHERE = "qemu+unix:///system?socket=/nonexistent/socket"
WATCHDOG = 1.0
O_CLOEXEC, O_NONBLOCK = 0o2000000, 0o4000


class Service(case.Case):
    def manager(self, **options):
        one = manager.Manager(case.new_directory("manager"), **options)
        self.addCleanup(one.close)
        return one

    def healthy(self, proxy, address):
        with rawhttp.connect(address, tls=proxy.tls_context(cert=self.certs.proxy_client)) as sock:
            return rawhttp.exchange(sock, rawhttp.request_bytes("/healthz")).status


class OfBoth:
    """What is the same for both daemons."""

    def test_ready_and_stopping(self):
        boss = self.manager()
        one = self.start(boss)
        boss.wait("READY", "1")
        boss.wait("STATUS", self.STATUS)
        one.stop()
        boss.wait("STOPPING", "1")
        self.assertNotIn(("WATCHDOG", "1"), boss.messages, "nobody asked for pings")

    def test_nobody_listens(self):
        """A manager that is gone hurts nobody."""
        boss = self.manager(watchdog=WATCHDOG)
        environment = {**boss.environment(), "NOTIFY_SOCKET": "/nonexistent/notify"}
        one = self.start(boss, environment=environment)
        self.assertEqual(self.healthy(one, one.address), 200)

    def test_watchdog(self):
        boss = self.manager(watchdog=WATCHDOG)
        one = self.start(boss)
        at = 0
        for _ in range(5):
            at = boss.wait("WATCHDOG", "1", after=at)
        with manager.halted(one.process.pid):           # the thread of the main loop
            self.assertTrue(boss.is_silent("WATCHDOG", boss.mark(), 1.5 * WATCHDOG))
        boss.wait("WATCHDOG", "1", after=boss.mark())

    def test_passed_sockets(self):
        boss = self.manager()
        addresses = [boss.listen_tcp("127.0.0.1"), boss.listen_tcp("::1"), boss.listen_unix("front.sock")]
        one = self.start(boss, passed=boss.sockets)
        self.assertEqual(one.listeners, addresses)
        self.assertEqual(one.count_lines(r"listening on .* \(TLS, passed by the service manager\)"), 3)
        for number, address in enumerate(addresses):
            with self.subTest(address):
                self.assertEqual(self.healthy(one, address), 200)
                flags = pathlib.Path(f"/proc/{one.process.pid}/fdinfo/{program.FIRST_PASSED + number}").read_text()
                flags = int(flags.split("flags:")[1].split()[0], 8)
                self.assertEqual(flags & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC | O_NONBLOCK)

    def test_port_stays_open(self):
        """Who comes while the daemon is away waits for the next one."""
        boss = self.manager()
        addresses = [boss.listen_tcp("127.0.0.1"), boss.listen_unix("front.sock")]
        self.start(boss, passed=boss.sockets).stop()
        waiting = [rawhttp.connect(address, tls=None) for address in addresses]
        one = self.start(boss, passed=boss.sockets)
        for sock in waiting:
            with one.tls_context(cert=self.certs.proxy_client).wrap_socket(
                    sock, server_hostname="localhost") as client:
                self.assertEqual(rawhttp.exchange(client, rawhttp.request_bytes("/healthz")).status, 200)

    def test_own_socket_goes(self):
        """The file of a unix socket that the daemon made ends with it."""
        path = os.path.join(case.new_directory("own"), "front.sock")
        one = self.start(self.manager(), listen_addr=f"unix:{path}")
        self.assertTrue(os.path.exists(path))
        one.stop()
        self.assertFalse(os.path.exists(path))

    def test_another_process_is_meant(self):
        """LISTEN_PID: a daemon's child must not take its sockets."""
        one = self.start(self.manager(), environment={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
        self.assertNotIn("passed", one.log())
        self.assertEqual(self.healthy(one, one.address), 200)

    def test_wrong_kinds(self):
        plain, left = socket.socketpair()
        packets = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for name, one, word in (
                ("datagrams", socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "no stream socket"),
                ("packets", packets, "no stream socket"),
                ("a connection", plain, "does not listen"),
                ("not listening", socket.socket(), "does not listen"),
                ("a file", tempfile.TemporaryFile(), "no stream socket")):
            with self.subTest(name), one, socket.create_server(("127.0.0.1", 0)) as good:
                done = self.run_with(passed=[good, one])
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn("descriptor 4, passed by the service manager (LISTEN_FDS)", done.stderr)
                self.assertIn(word, done.stderr)
        left.close()

    def test_reload(self):
        """Told, also where nothing has changed."""
        boss = self.manager()
        one = self.start(boss)
        at = boss.wait("READY", "1")
        for _ in range(2):
            one.process.send_signal(signal.SIGHUP)
            at = boss.wait("RELOADING", "1", after=at)
            at = boss.wait("MONOTONIC_USEC", after=at)
            at = boss.wait("READY", "1", after=at)


class Proxy(OfBoth, Service):
    STATUS = "0 sessions"

    def start(self, boss, environment=None, passed=(), **flags):
        return self.start_daemon(environment=environment or boss.environment(), passed=passed, **flags)

    def run_with(self, passed):
        directory = case.new_directory("wrong")
        flags = {**daemon.default_flags(directory, self.certs), "--log-level": None}
        pathlib.Path(directory, "tokens.json").write_text("{}")
        os.chmod(os.path.join(directory, "tokens.json"), 0o600)
        return daemon.run(*program.command_line(flags), passed=passed)

    def test_status_counts_sessions(self):
        boss = self.manager()
        with fakes.Server(fakes.hold) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)}, boss.environment(),
                                      connect_insecure=True)
            first, _ = self.open(proxy, "tok")
            boss.wait("STATUS", "1 session")
            self.open(proxy, "tok")
            at = boss.wait("STATUS", "2 sessions")
            first.close()
            boss.wait("STATUS", "1 session", after=at)

    def test_worker_that_hangs(self):
        """Each of them counts for the watchdog, and one that goes on is forgiven."""
        boss = self.manager(watchdog=WATCHDOG)
        proxy = self.start_daemon(environment=boss.environment(), workers="3")
        # a thread has its name when it first runs
        guest.wait_until(lambda: len(manager.threads(proxy.process.pid, "worker")) == 3, "three workers")
        workers = manager.threads(proxy.process.pid, "worker")
        for tid in workers:
            with self.subTest(tid):
                mark = proxy.mark()
                with manager.halted(tid):
                    proxy.wait_line("warning: a worker does not turn", after=mark)
                    self.assertTrue(boss.is_silent("WATCHDOG", boss.mark(), 1.5 * WATCHDOG))
                boss.wait("WATCHDOG", "1", after=boss.mark())

    def test_reload_of_tokens(self):
        boss = self.manager()
        proxy = self.start_daemon({"a": vnc("h:1")}, boss.environment())
        at = boss.wait("READY", "1")
        for tokens in ({"a": vnc("h:1"), "b": vnc("h:2")}, "broken"):
            with self.subTest(tokens):
                proxy.write_tokens(tokens)
                proxy.reload()
                at = boss.wait("RELOADING", "1", after=at)
                at = boss.wait("MONOTONIC_USEC", after=at)
                at = boss.wait("READY", "1", after=at)


class Resolver(OfBoth, Service):
    STATUS = "0 of 1 libvirtd connected, 0 consoles"

    def start(self, boss, environment=None, passed=(), **flags):
        return self.start_resolver(NOWHERE, wait=False, environment=environment or boss.environment(),
                                   passed=passed, **flags)

    def run_with(self, passed):
        flags = {"--listen-tls-cert": self.certs.resolver_server.cert,
                 "--listen-tls-key": self.certs.resolver_server.key, "--listen-tls-ca": self.certs.ca}
        return resolverd.run(*program.command_line(flags), passed=passed)


if __name__ == "__main__":
    tap.main()
