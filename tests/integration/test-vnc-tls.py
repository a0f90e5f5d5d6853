#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VeNCrypt with mutual x509 towards real QEMU: who is let in and who is not."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, tap
from lab.case import vnc
from lab.guest import wait_until


class MainPath(case.Case):
    def test_typed_key_appears(self):
        vm = self.start_guest()
        proxy = self.start_daemon({"tok": vnc(vm.address)})
        sock, client = self.open(proxy, "tok")
        before = client.update()
        client.type("x")
        after = client.wait_change(before)
        self.assertEqual(vm.expect_serial(b"Kx"), b"Kx")
        self.assertLess(after.differing_pixels(before), 8 * 16 + 1, "more than one letter changed")
        self.assertEqual(after, vm.screendump())
        sock.close()

    def test_hypervisor_sees_our_certificate(self):
        vm = self.start_guest()
        proxy = self.start_daemon({"tok": vnc(vm.address)})
        sock, client = self.open(proxy, "tok")
        client.update()
        self.assertEqual([one["x509_dname"] for one in vm.vnc_clients()],
                         ["O=console lab,CN=proxy.example"])
        sock.close()

    def test_host_name(self):
        vm = self.start_guest()
        proxy = self.start_daemon({"tok": vnc(f"localhost:{vm.port}")})
        self.assert_serves(proxy, "tok", vm)

    def test_chain_with_intermediate(self):
        vm = self.start_guest(tls=self.certs.qemu_dir("chain", chain=True), sanity_check=False)
        proxy = self.start_daemon({"tok": vnc(vm.address)})
        self.assert_serves(proxy, "tok", vm)

    def test_client_chain_with_intermediate(self):
        vm = self.start_guest()
        pair = self.certs.issue("client-chain", purposes=("client",), chain=True)
        proxy = self.start_daemon({"tok": vnc(vm.address)}, connect_tls_cert=pair.cert,
                                  connect_tls_key=pair.key)
        self.assert_serves(proxy, "tok", vm)

    def test_common_name_counts_only_without_other_names(self):
        vm = self.start_guest(tls=self.certs.qemu_dir("cn", names=(), cn="localhost"))
        proxy = self.start_daemon({"tok": vnc(f"localhost:{vm.port}")})
        self.assert_serves(proxy, "tok", vm)

    def test_unverified_clients_are_fine_too(self):
        vm = self.start_guest(verify=False)
        proxy = self.start_daemon({"tok": vnc(vm.address)})
        self.assert_serves(proxy, "tok", vm)


class ServerCertificate(case.Case):
    """What is wrong with the hypervisor's certificate -> 4502, and the user learns no details."""

    def refused(self, label, host="127.0.0.1", **options):
        vm = self.start_guest(tls=self.certs.qemu_dir(label, **options), sanity_check=False)
        proxy = self.start_daemon({"tok": vnc(f"{host}:{vm.port}")})
        outcome = self.outcome(proxy, "tok")
        self.assert_refused(outcome, 4502, secrets=[label])
        self.assertIsNotNone(outcome.rfb_reason)
        wait_until(lambda: not vm.vnc_clients(), "the hypervisor rid of us")

    def test_wrong_authority(self):
        self.refused("rogue", authority="other")

    def test_expired(self):
        self.refused("old", expired=True)

    def test_not_yet_valid(self):
        self.refused("new", future=True)

    def test_wrong_name(self):
        self.refused("stranger", names=("stranger.example",))

    def test_wrong_address(self):
        self.refused("far", names=("127.0.0.2",))

    def test_address_as_common_name(self):
        self.refused("disguised", names=("localhost",), cn="127.0.0.1")

    def test_common_name_beside_other_names(self):
        self.refused("two-names", host="localhost", names=("stranger.example",), cn="localhost")

    def test_not_for_servers(self):
        self.refused("client-only", purposes=("client",))


class OurCertificate(case.Case):
    def test_signed_by_another_authority(self):
        vm = self.start_guest()
        pair = self.certs.other_client
        proxy = self.start_daemon({"tok": vnc(vm.address)}, connect_tls_cert=pair.cert,
                                  connect_tls_key=pair.key)
        outcome = self.outcome(proxy, "tok")
        self.assert_refused(outcome, 4502)
        self.assertIsNotNone(outcome.rfb_reason)

    def test_expired(self):
        vm = self.start_guest()
        pair = self.certs.issue("client-expired", purposes=("client",), expired=True)
        proxy = self.start_daemon({"tok": vnc(vm.address)}, connect_tls_cert=pair.cert,
                                  connect_tls_key=pair.key)
        self.assert_refused(self.outcome(proxy, "tok"), 4502)


class Names(case.Case):
    @classmethod
    def setUpClass(cls):
        certs = case.certificates()
        cls.vms = {}
        for name in ("a", "b"):
            directory = certs.qemu_dir(f"guest-{name}", names=(f"guest-{name}.example",))
            cls.vms[name] = case.make_guest(tls=directory, name=name)
            cls.addClassCleanup(cls.vms[name].stop)

    def service(self, guest, name=None):
        fields = {"tlsServerName": f"guest-{name}.example"} if name else {}
        return vnc(self.vms[guest].address, **fields)

    def test_server_name_overrides_the_address(self):
        proxy = self.start_daemon({"tok": self.service("a", "a")})
        self.assert_serves(proxy, "tok", self.vms["a"])

    def test_without_it_the_address_counts(self):
        proxy = self.start_daemon({"tok": self.service("a")})
        self.assert_refused(self.outcome(proxy, "tok"), 4502)

    def test_another_guest_of_the_same_authority(self):
        proxy = self.start_daemon({"tok": self.service("b", "a")})
        self.assert_refused(self.outcome(proxy, "tok"), 4502, secrets=["guest-"])

    def test_two_guests_again_and_again(self):
        """Each session verifies its own name, whatever the one before did on the same worker."""
        proxy = self.start_daemon({guest + name: self.service(guest, name)
                                   for guest in "ab" for name in "ab"}, log_level="info")
        for _ in range(50):
            for token in ("aa", "ba", "bb", "ab"):
                if token[0] == token[1]:
                    sock, client = self.open(proxy, token)
                    self.assertEqual(client.name, f"QEMU ({token[0]})")
                    sock.close()
                else:
                    self.assertEqual(self.outcome(proxy, token).code, 4502)


if __name__ == "__main__":
    tap.main()
