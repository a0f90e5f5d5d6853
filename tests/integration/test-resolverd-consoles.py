#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each type of console at the address that the resolver gives, with a real handshake; passwords."""
import json
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import case, libvirtd, rawhttp, resolverd, rfb, tap


class Case(case.Case):
    def connect(self, service):
        host, port = service["address"].rsplit(":", 1)
        sock = rawhttp.connect((host, int(port)))
        self.addCleanup(sock.close)
        return sock

    def start_tls(self, sock):
        """A handshake that verifies the hypervisor and shows the proxy's certificate."""
        return self.context().wrap_socket(sock, server_hostname="localhost")

    def context(self):
        return rawhttp.tls_context(self.certs.ca, cert=self.certs.proxy_client)

    def echo(self, sock):
        """The boot sector echoes on its serial port, once it has booted."""
        sock.settimeout(0.2)
        for _ in range(100):
            sock.sendall(b"k")
            try:
                if b"k" in sock.recv(64):
                    return
            except TimeoutError:
                pass
        self.fail("no echo")


class EveryType(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = cls.start_class_libvirtd()
        cls.resolver = cls.start_class_resolver(cls.daemon)
        cls.serial_port, cls.console_port = cls.daemon.free_port(), cls.daemon.free_port()
        cls.daemon.define("all", vnc=True, spice=True, serials=[libvirtd.PTY, libvirtd.Tcp(cls.serial_port)],
                          consoles=[libvirtd.Tcp(cls.console_port)])
        wanted = [resolverd.Console("vnc"), resolverd.Console("spice"), resolverd.Console("serial", 1),
                  resolverd.Console("console", 1), resolverd.Console("serial", 0)]
        resolverd.grant(cls.daemon, "all", wanted)
        cls.vnc, cls.spice, cls.serial, cls.console, cls.pty = [one.token for one in wanted]
        cls.daemon.start_guest("all")
        cls.resolver.wait_status(cls.vnc, 200)

    def test_vnc(self):
        service = self.resolver.service(self.vnc)
        self.assertEqual((service["type"], service["console"]), ("vnc", {"type": "vnc", "index": 0}))
        rfb.vencrypt(rfb.SocketStream(self.connect(service)), self.context())

    def test_spice(self):
        service = self.resolver.service(self.spice)
        self.assertEqual((service["type"], service["insecure"]), ("spice", False))
        sock = self.start_tls(self.connect(service))
        sock.sendall(bytes.fromhex("5245445102000000020000001a00000000000000010001000000010000001200000"
                                   "00b00000009000000"))
        self.assertEqual(rfb.SocketStream(sock).read(4), b"REDQ")

    def test_serial(self):
        service = self.resolver.service(self.serial)
        self.assertEqual((service["type"], service["address"]), ("serial", f"127.0.0.1:{self.serial_port}"))
        self.assertEqual(service["console"], {"type": "serial", "index": 1})
        self.start_tls(self.connect(service)).close()

    def test_console(self):
        service = self.resolver.service(self.console)
        self.assertEqual((service["type"], service["address"]), ("serial", f"127.0.0.1:{self.console_port}"))
        self.assertEqual(service["console"], {"type": "console", "index": 1})
        self.start_tls(self.connect(service)).close()

    def test_what_no_proxy_can_reach(self):
        self.assertEqual(self.resolver.query(self.pty).status, 404)
        self.resolver.wait_line("serial 0: it does not listen on TCP")

    def test_other_ca_is_noticed(self):
        context = rawhttp.tls_context(self.certs.other_ca, cert=self.certs.proxy_client)
        with self.assertRaises(ssl.SSLError):
            context.wrap_socket(self.connect(self.resolver.service(self.spice)), server_hostname="localhost")


class Details(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = cls.start_class_libvirtd()
        cls.resolver = cls.start_class_resolver(cls.daemon)

    def guest(self, name, consoles, **options):
        """A running guest, its consoles granted -> their tokens."""
        self.daemon.define(name, **options)
        resolverd.grant(self.daemon, name, consoles)
        self.daemon.start_guest(name)
        self.addCleanup(self.daemon.virsh, "undefine", name)
        self.addCleanup(self.daemon.destroy, name)
        return [one.token for one in consoles]

    def test_mirrored_console_is_the_serial_port(self):
        port = self.daemon.free_port()
        serial, console = self.guest("mirror", [resolverd.Console("serial"), resolverd.Console("console")],
                                     serials=[libvirtd.Tcp(port)])
        self.resolver.wait_status(console, 200)
        self.assertEqual(self.resolver.service(serial), self.resolver.service(console))
        self.assertEqual(self.resolver.service(console)["console"], {"type": "serial", "index": 0})
        self.echo(self.start_tls(self.connect(self.resolver.service(console))))

    def test_clear_serial_needs_insecure(self):
        """TLS must not be tried on a clear port: the guest would take it for typing."""
        port = self.daemon.free_port()
        secure, insecure = self.guest(
            "clear", [resolverd.Console("serial"), resolverd.Console("serial", insecure=True)],
            serials=[libvirtd.Tcp(port, tls=False, telnet=True)])
        self.resolver.wait_status(insecure, 200)
        self.assertEqual(self.resolver.query(secure).status, 404)
        service = self.resolver.service(insecure)
        self.assertEqual((service["insecure"], service["telnet"], service.get("tlsTunnel")), (True, True, None))
        self.assertEqual(rfb.SocketStream(self.connect(service)).read(3), bytes([255, 251, 1]))

    def test_insecure_entry_of_a_tls_port(self):
        port = self.daemon.free_port()
        token, = self.guest("both", [resolverd.Console("serial", insecure=True)], serials=[libvirtd.Tcp(port)])
        self.resolver.wait_status(token, 200)
        service = self.resolver.service(token)
        self.assertEqual((service["insecure"], service["tlsTunnel"]), (True, True))
        self.echo(self.start_tls(self.connect(service)))

    def test_both_ports_of_spice(self):
        secure, clear = self.guest(
            "ports", [resolverd.Console("spice"), resolverd.Console("spice", insecure=True)],
            spice={"defaultMode": "any"})
        self.resolver.wait_status(clear, 200)
        self.start_tls(self.connect(self.resolver.service(secure)))
        sock = self.connect(self.resolver.service(clear))
        sock.sendall(b"REDQ" + bytes.fromhex("02000000020000001a000000"))
        self.assertNotEqual(self.resolver.service(secure)["address"], self.resolver.service(clear)["address"])

    def test_host_of_the_metadata(self):
        other, remote = self.guest("hosts", [resolverd.Console("vnc", attributes={"host": "localhost"}),
                                             resolverd.Console("vnc", attributes={"host": "192.0.2.7"})], vnc=True)
        self.resolver.wait_status(other, 200)
        self.assertRegex(self.resolver.service(other)["address"], r"^localhost:\d+$")
        # it listens on a loopback address, whatever the metadata says
        self.assertEqual(self.resolver.query(remote).status, 404)

    def test_without_domain_address(self):
        wide, narrow = self.guest("wide", [resolverd.Console("vnc"), resolverd.Console("spice")],
                                  vnc={"listen": "0.0.0.0"}, spice=True)
        resolver = self.start_resolver(self.daemon, domain_address=None)
        host = self.daemon.virsh("hostname")
        self.assertTrue(resolver.service(wide)["address"].startswith(host + ":"))
        self.assertEqual(resolver.query(narrow).status, 404)
        resolver.wait_line("spice 0: it listens on a loopback address")

    def test_passwords_are_fresh(self):
        vnc, spice = self.guest("secret", [resolverd.Console("vnc"), resolverd.Console("spice")],
                                vnc={"passwd": "old-pass"}, spice={"passwd": "spice-pass"})
        self.resolver.wait_status(vnc, 200)
        self.assertEqual(self.resolver.service(vnc)["password"], "old-pass")
        self.assertEqual(self.resolver.service(spice)["password"], "spice-pass")
        self.change_password("secret", "new-pass")
        self.assertEqual(self.resolver.service(vnc)["password"], "new-pass")

    def test_password_that_was_not_there_at_first(self):
        """libvirt tells nobody of it; somebody who connects is a reason to look again."""
        vnc, = self.guest("later", [resolverd.Console("vnc")], vnc=True)
        self.resolver.wait_status(vnc, 200)
        self.assertNotIn("password", self.resolver.service(vnc))
        self.change_password("later", "new-pass")
        self.connect(self.resolver.service(vnc))
        for _ in range(1000):
            response = self.resolver.query(vnc)
            if b"new-pass" in response.body:
                return
        self.fail("the password was never noticed")

    def change_password(self, name, password):
        graphics = self.daemon.virsh("dumpxml", name, "--security-info")
        start = graphics.index("<graphics type='vnc'")
        element = graphics[start:graphics.index("</graphics>", start) + len("</graphics>")]
        head, rest = element.split(">", 1)
        if "passwd=" in head:
            before, _, after = head.partition("passwd='")
            head = before + after.partition("'")[2]
        path = os.path.join(self.daemon.directory, "graphics.xml")
        with open(path, "w", encoding="ascii") as out:
            out.write(f"{head} passwd='{password}'>{rest}")
        self.daemon.virsh("update-device", name, path, "--live")

    def test_answer_is_one_line_of_json(self):
        token, = self.guest("json", [resolverd.Console("vnc")], vnc=True)
        self.resolver.wait_status(token, 200)
        response = self.resolver.query(token)
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(set(json.loads(response.body)), {"type", "address", "insecure", "domain", "console"})


if __name__ == "__main__":
    tap.main()
