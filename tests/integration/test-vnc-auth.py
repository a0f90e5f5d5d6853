#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Passwords, insecure services and TLS tunnels towards real QEMU."""
import os
import pathlib
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, tap
from lab.case import vnc


class PasswordInTls(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.vm = case.make_guest(password="right-pw")
        cls.addClassCleanup(cls.vm.stop)

    def test_right(self):
        proxy = self.start_daemon({"tok": vnc(self.vm.address, password="right-pw")})
        self.assert_serves(proxy, "tok", self.vm)

    def test_only_eight_characters_count(self):
        proxy = self.start_daemon({"tok": vnc(self.vm.address, password="right-pw and more")})
        self.assert_serves(proxy, "tok", self.vm)

    def test_wrong(self):
        proxy = self.start_daemon({"tok": vnc(self.vm.address, password="wrong-pw")})
        outcome = self.outcome(proxy, "tok")
        self.assert_refused(outcome, 4502, secrets=["wrong-pw"])
        self.assertIsNotNone(outcome.rfb_reason)

    def test_wrong_is_told_to_old_clients_too(self):
        proxy = self.start_daemon({"tok": vnc(self.vm.address, password="wrong-pw")})
        for version in ("3.3", "3.7"):
            with self.subTest(version):
                outcome = self.outcome(proxy, "tok", version)
                self.assert_refused(outcome, 4502)
                self.assertIsNotNone(outcome.rfb_reason)

    def test_empty_is_not_absent(self):
        proxy = self.start_daemon({"tok": vnc(self.vm.address, password="")})
        self.assert_refused(self.outcome(proxy, "tok"), 4502)

    def test_none_where_one_is_asked_for(self):
        proxy = self.start_daemon({"tok": vnc(self.vm.address)})
        outcome = self.outcome(proxy, "tok")
        self.assertIn(outcome.code, (4403, 4502))      # the issue leaves open which
        self.assert_plain(outcome.reason)


class PasswordBytes(case.Case):
    """The password is set anew for each row: QEMU takes it as UTF-8 bytes, eight of them."""

    def test_rows(self):
        vm = self.start_guest(password="first")
        rows = ("a", "12345678", "123456789", "pässwort", "密码密码")
        proxy = self.start_daemon({f"t{i}": vnc(vm.address, password=text)
                                   for i, text in enumerate(rows)})
        for i, text in enumerate(rows):
            with self.subTest(text):
                vm.set_password(text)
                self.assert_serves(proxy, f"t{i}", vm)


class Insecure(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.plain = case.make_guest(tls=None)
        cls.addClassCleanup(cls.plain.stop)
        cls.locked = case.make_guest(tls=None, password="right-pw")
        cls.addClassCleanup(cls.locked.stop)

    def test_none(self):
        proxy = self.start_daemon({"tok": vnc(self.plain.address, insecure=True)},
                                  connect_insecure=True)
        self.assert_serves(proxy, "tok", self.plain)

    def test_password(self):
        proxy = self.start_daemon(
            {"tok": vnc(self.locked.address, insecure=True, password="right-pw")},
            connect_insecure=True)
        self.assert_serves(proxy, "tok", self.locked)

    def test_wrong_password(self):
        proxy = self.start_daemon(
            {"tok": vnc(self.locked.address, insecure=True, password="wrong-pw")},
            connect_insecure=True)
        self.assert_refused(self.outcome(proxy, "tok"), 4502, secrets=["wrong-pw"])

    def test_tls_is_taken_where_it_is_offered(self):
        vm = self.start_guest()
        proxy = self.start_daemon({"tok": vnc(vm.address, insecure=True)}, connect_insecure=True)
        sock, client = self.open(proxy, "tok")
        self.assertEqual(client.update(), vm.screendump())
        self.assertIn("x509_dname", vm.vnc_clients()[0])
        sock.close()

    def test_certificates_are_verified_all_the_same(self):
        vm = self.start_guest(tls=self.certs.qemu_dir("rogue", authority="other"), sanity_check=False)
        proxy = self.start_daemon({"tok": vnc(vm.address, insecure=True)}, connect_insecure=True)
        self.assert_refused(self.outcome(proxy, "tok"), 4502)

    def test_refused_without_the_flag(self):
        """And refused means: the hypervisor is not even connected to."""
        with fakes.Server(fakes.silent) as server:
            proxy = self.start_daemon({"tok": vnc(server.address, insecure=True)})
            self.assert_refused(self.outcome(proxy, "tok"), 4403)
            self.assertEqual(server.connections, 0)

    def test_secure_service_never_goes_without_tls(self):
        for flag in (None, True):
            proxy = self.start_daemon({"tok": vnc(self.plain.address),
                                       "pw": vnc(self.locked.address, password="right-pw")},
                                      connect_insecure=flag)
            for token in ("tok", "pw"):
                with self.subTest(token=token, flag=flag):
                    outcome = self.outcome(proxy, token)
                    self.assert_refused(outcome, 4403)
                    self.assertIsNotNone(outcome.rfb_reason)


class Stunnel:
    """stunnel in front of a port, a process a connection (its inetd mode: we do the accepting)."""

    def __init__(self, directory, tls, target):
        self.config = os.path.join(directory, "stunnel.conf")
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("foreground = quiet\nsyslog = no\n"
                      f"cert = {tls}/server-cert.pem\nkey = {tls}/server-key.pem\n"
                      f"CAfile = {tls}/ca-cert.pem\nverifyChain = yes\nrequireCert = yes\n"
                      f"connect = {target}\n")
        self._log = open(os.path.join(directory, "stunnel.log"), "wb")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._children = []
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for child in self._children:
            child.kill()
            child.wait()
        self._log.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                self._children.append(subprocess.Popen(["stunnel4", self.config], stdin=sock,
                                                       stdout=sock, stderr=self._log))


class Tunnel(case.Case):
    def tunnel(self, target, **options):
        tls = self.certs.qemu_dir(**options)
        one = Stunnel(case.new_directory("stunnel"), tls, target)
        self.addCleanup(one.stop)
        return one

    def test_plain_vnc_inside(self):
        vm = self.start_guest(tls=None)
        tunnel = self.tunnel(vm.address)
        proxy = self.start_daemon({"tok": vnc(tunnel.address, tlsTunnel=True)})
        sock, client = self.open(proxy, "tok")
        before = client.update()
        client.type("t")
        self.assertEqual(client.wait_change(before), vm.screendump())
        sock.close()

    def test_password_inside(self):
        vm = self.start_guest(tls=None, password="right-pw")
        tunnel = self.tunnel(vm.address)
        proxy = self.start_daemon({
            "tok": vnc(tunnel.address, tlsTunnel=True, password="right-pw"),
            "bad": vnc(tunnel.address, tlsTunnel=True, password="wrong-pw")})
        self.assert_serves(proxy, "tok", vm)
        self.assert_refused(self.outcome(proxy, "bad"), 4502)

    def test_no_second_tls_inside(self):
        """A server behind a tunnel that wants VeNCrypt as well: TLS in TLS is not spoken (docs/protocols.md)."""
        vm = self.start_guest()
        tunnel = self.tunnel(vm.address)
        proxy = self.start_daemon({"tok": vnc(tunnel.address, tlsTunnel=True)})
        self.assert_refused(self.outcome(proxy, "tok"), 4403)

    def test_wrong_name(self):
        vm = self.start_guest(tls=None)
        tunnel = self.tunnel(vm.address, label="stranger", names=("stranger.example",))
        proxy = self.start_daemon({
            "tok": vnc(tunnel.address, tlsTunnel=True),
            "named": vnc(tunnel.address, tlsTunnel=True, tlsServerName="stranger.example")})
        self.assert_refused(self.outcome(proxy, "tok"), 4502)
        self.assert_serves(proxy, "named", vm)

    def test_our_certificate_refused(self):
        vm = self.start_guest(tls=None)
        tunnel = self.tunnel(vm.address)
        pair = self.certs.other_client
        proxy = self.start_daemon({"tok": vnc(tunnel.address, tlsTunnel=True)},
                                  connect_tls_cert=pair.cert, connect_tls_key=pair.key)
        self.assert_refused(self.outcome(proxy, "tok"), 4502)

    def test_no_tunnel_there(self):
        vm = self.start_guest(tls=None)
        proxy = self.start_daemon({"tok": vnc(vm.address, tlsTunnel=True)})
        self.assertIn(self.outcome(proxy, "tok").code, (4403, 4502))   # left open by the issue


if __name__ == "__main__":
    tap.main()
