#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that change their TLS 1.3 keys in the middle of a session, and want the proxy's changed."""
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, fakes, tap, tls13, ws
from lab.case import serial
from lab.ws import encode_frame

TARGET = "/websockify?token=tok"
TICK, TICKING = b"t", b"tick"
HALF = 4                  # bytes of a key update: its header


class KeyUpdate(case.Case):
    def setUp(self):
        self.calm = threading.Event()
        self.addCleanup(self.calm.set)
        server = fakes.Server(self.echo)
        self.addCleanup(server.close)
        self.proxy = self.start_daemon({"tok": serial(server.address, insecure=True)},
                                       connect_insecure=True, workers="1")

    def echo(self, stream):
        """And from the first b"tick" on a byte every now and then, until it is calm."""
        while data := stream.sock.recv(65536):
            stream.write(data)
            while data == TICKING and not self.calm.wait(0.02):
                stream.write(TICK)

    def test_openssl(self):
        """Its "K"; it says that it does, and reads with the new keys what is echoed."""
        with subprocess.Popen(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{self.proxy.port}", "-tls1_3",
                 "-CAfile", self.certs.ca, "-servername", "localhost"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as client:
            self.addCleanup(client.kill)
            self.said = b""
            self.tell(client, ws.upgrade_request(TARGET), b"101 Switching Protocols")
            for i in range(3):
                self.tell(client, encode_frame(b"before %d" % i), b"\x82\x08before %d" % i)
                self.tell(client, b"K\n", b"KEYUPDATE")
                self.tell(client, encode_frame(b"after %d" % i), b"\x82\x07after %d" % i)
            client.stdin.close()

    def tell(self, client, data, answer):
        client.stdin.write(data)
        while answer not in self.said:
            more = client.stdout.read(65536)
            self.assertTrue(more, self.said)
            self.said += more
        self.said = self.said.split(answer, 1)[1]

    def start(self):
        tls = tls13.Client(self.proxy.address, self.proxy.tls_context(), self.proxy.directory)
        self.addCleanup(tls.sock.close)
        tls.send(ws.upgrade_request(TARGET))
        tls.read_until(b"\r\n\r\n")
        tls.send(encode_frame(TICKING))
        tls.read_until(TICK)
        return tls

    def test_many_at_once(self):
        tls = self.start()
        for _ in range(20):
            tls.send(tls13.KEY_UPDATE, tls13.HANDSHAKE)
            tls.next_keys()
        self.goes_on(tls)

    def test_half_of_one(self):
        """What the console says has to wait for the other half: idly."""
        tls = self.start()
        tls.send(tls13.KEY_UPDATE[:HALF], tls13.HANDSHAKE)
        before = self.proxy.cpu()
        time.sleep(1)                    # time itself is what it must not use
        self.assertLess(self.proxy.cpu() - before, 0.3)
        tls.send(tls13.KEY_UPDATE[HALF:], tls13.HANDSHAKE)
        tls.next_keys()
        self.goes_on(tls)

    def goes_on(self, tls):
        tls.read_until(TICK)
        self.calm.set()
        tls.send(encode_frame(b"after"))
        tls.read_until(b"after")


if __name__ == "__main__":
    tap.main()
