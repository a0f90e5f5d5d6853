#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sessions with real QEMU: what goes through, how they end, and which client versions work."""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import case, rawhttp, rfb, tap, ws
from lab.case import vnc


class Session(case.Case):
    def setUp(self):
        self.vm = self.start_guest(vnc="power-control=on")
        self.proxy = self.start_daemon({
            "tok": vnc(self.vm.address), "power": vnc(self.vm.address, powerControl=True)})


class Screen(Session):
    def test_pixels_are_those_of_the_hypervisor(self):
        sock, client = self.open(self.proxy, "tok")
        text = "the quick brown fox jumps over the lazy dog 0123456789 "
        client.update()
        for letter in text * 4:
            client.type(letter)
            self.vm.expect_serial(b"K" + letter.encode())     # its keyboard holds 16 keys
        picture = client.update()
        self.assertFalse(picture.is_blank())
        self.assertEqual(picture, self.vm.screendump())
        sock.close()

    def test_size_change_arrives(self):
        sock, client = self.open(self.proxy, "tok")
        self.assertEqual(client.update().describe(), "720x400")
        client.type("F1")
        while (client.width, client.height) != (640, 400):
            client.request(incremental=True)
            client.message()
        sock.close()

    def test_two_sessions_of_one_console(self):
        first, one = self.open(self.proxy, "tok")
        second, two = self.open(self.proxy, "tok")
        before = two.update()
        one.type("z")
        self.assertEqual(two.wait_change(before), self.vm.screendump())
        first.close()
        self.assertEqual(two.update(), self.vm.screendump())
        second.close()


class Endings(Session):
    def test_guest_killed(self):
        sock, client = self.open(self.proxy, "tok")
        client.update()
        self.vm.kill()
        close = sock.wait_close()
        self.assertEqual(close.code, 1000, close)
        self.assert_plain(close.reason)

    def test_guest_quits(self):
        sock, client = self.open(self.proxy, "tok")
        client.update()
        self.vm.qmp("quit")
        self.assertEqual(sock.wait_close().code, 1000)

    def test_client_says_goodbye(self):
        sock, client = self.open(self.proxy, "tok")
        client.update()
        self.assertEqual(sock.close().code, 1000)
        self.proxy.wait_idle()
        case.guest.wait_until(lambda: not self.vm.vnc_clients(), "the hypervisor's client gone")

    def test_client_vanishes(self):
        for leave in ("drop", "reset"):
            with self.subTest(leave):
                sock, client = self.open(self.proxy, "tok")
                client.update()
                getattr(sock, leave)()
                self.proxy.wait_idle()
                case.guest.wait_until(lambda: not self.vm.vnc_clients(), "its client gone")

    def test_frozen_guest_comes_back(self):
        sock, client = self.open(self.proxy, "tok")
        before = client.update()
        self.vm.freeze()
        client.type("f")
        client.request(incremental=True)
        other = self.websocket(self.proxy, "tok")      # the proxy itself goes on
        self.assertEqual(rfb.server_version(other), rfb.VERSIONS["3.8"])
        self.vm.thaw()
        self.assertEqual(client.wait_change(before), self.vm.screendump())
        sock.close()

    def test_daemon_log_of_a_session(self):
        sock, client = self.open(self.proxy, "tok")
        client.update()
        sock.close()
        begin = self.proxy.wait_line(r"session (\d+) started: token ([0-9a-f]{8}) client "
                                     r"127\.0\.0\.1:\d+ console vnc " + self.vm.address)
        end = self.proxy.wait_line(rf"session {begin[1]} ended: (.*)")
        self.assertRegex(end[1], r"\d+(\.\d+)? ?s", "the seconds it lasted")
        self.assertRegex(end[1], str(720 * 400 * 4)[:2], "bytes towards the client")


class Versions(Session):
    def test_all_three(self):
        for version in rfb.VERSIONS:
            with self.subTest(version):
                sock, client = self.open(self.proxy, "tok", version)
                self.assertEqual(client.update(), self.vm.screendump())
                sock.close()

    def test_versions_that_mean_3_3(self):
        for version in (b"RFB 003.004\n", b"RFB 003.005\n"):
            with self.subTest(version):
                sock = self.websocket(self.proxy, "tok")
                rfb.server_version(sock)
                sock.write(version)
                self.assertEqual(rfb.number(sock), rfb.NONE)

    def test_versions_that_do_not_exist(self):
        for version in (b"RFB 003.006\n", b"RFB 003.002\n", b"RFB 003.009\n", b"RFB 004.000\n",
                        b"RFB 000.000\n", b"RFB 002.008\n", b"RFB 003.008 ", b"RFB 3.8\n\n\n\n\n",
                        b"GET / HTTP/1"):
            with self.subTest(version):
                sock = self.websocket(self.proxy, "tok")
                rfb.server_version(sock)
                sock.write(version)
                self.assertEqual(sock.wait_close().code, 1002)

    def test_single_bytes(self):
        sock = self.websocket(self.proxy, "tok")
        client = rfb.Client(rfb.OneByteFrames(sock))
        before = client.update()
        client.type("1")
        self.assertEqual(client.wait_change(before), self.vm.screendump())
        sock.close()

    def test_security_type_that_was_not_offered(self):
        for version in ("3.7", "3.8"):
            for kind in (0, 2, 16, 19, 255):
                with self.subTest(version=version, kind=kind):
                    sock = self.websocket(self.proxy, "tok")
                    rfb.server_version(sock)
                    sock.write(rfb.VERSIONS[version])
                    self.assertEqual(rfb.security_types(sock), [rfb.NONE])
                    sock.write(bytes([kind]))
                    self.assertEqual(sock.wait_close().code, 1002)


class Failure(case.Case):
    def test_reason_comes_before_the_close(self):
        port, address = rawhttp.closed_port()
        self.addCleanup(port.close)
        proxy = self.start_daemon({"tok": vnc(address)})
        for version in rfb.VERSIONS:
            with self.subTest(version):
                outcome = self.outcome(proxy, "tok", version)
                self.assert_refused(outcome, 4404)
                self.assertIsNotNone(outcome.rfb_reason)

    def test_hypervisor_out_of_reach(self):
        proxy = self.start_daemon({"tok": vnc("255.255.255.255:5900")})
        self.assert_refused(self.outcome(proxy, "tok"), 4502, secrets=["255"])


class BadMessages(Session):
    """What RFB doesn't know, or one past its cap, ends the session with 1002."""

    ROWS = {
        "FixColourMap": b"\1\0\0\0\0\0",
        "unknown 7": b"\7",
        "unknown 99": b"\x63",
        "CallControl": b"\xf9\0\0\0",
        "VMware 127": b"\x7f",
        "Tight 252": b"\xfc",
        "VMware 254": b"\xfe",
        "QEMU audio, unknown operation": b"\xff\1\0\7",
        "QEMU, unknown sub-type": b"\xff\x63",
        "SetEncodings past 1024": struct.pack(">BxH", 2, 1025),
        "SetEncodings with 65535": struct.pack(">BxH", 2, 65535),
        "cut text past 1 MiB": struct.pack(">BxxxI", 6, (1 << 20) + 1),
        "cut text of 2 GiB": struct.pack(">BxxxI", 6, 0x7fffffff),
        "cut text, the most negative": struct.pack(">BxxxI", 6, 0x80000000),
        "cut text, negative past 1 MiB": struct.pack(">Bxxxi", 6, -(1 << 20) - 1),
        "fence past 64": b"\xf8\0\0\0\0\0\0\0\x41",
    }

    def test_rows(self):
        for name, data in self.ROWS.items():
            for style in ("one frame", "bytes"):
                with self.subTest(name, style=style):
                    sock, client = self.open(self.proxy, "tok")
                    client.update()
                    try:
                        (sock if style == "one frame" else rfb.OneByteFrames(sock)).write(data)
                    except OSError:
                        pass
                    self.assertEqual(sock.wait_close().code, 1002)
        self.assert_serves(self.proxy, "tok", self.vm)

    def test_behind_a_good_one(self):
        sock, client = self.open(self.proxy, "tok")
        client.update()
        sock.write(struct.pack(">BBxxI", 4, 1, ord("g")) + b"\x63")
        self.assertEqual(sock.wait_close().code, 1002)

    def test_caps_themselves_are_legal(self):
        sock, client = self.open(self.proxy, "tok")
        client.update()
        encodings = [rfb.RAW, rfb.DESKTOP_SIZE] + [1000 + i for i in range(1022)]
        client.set_encodings(*encodings)
        client.cut_text(b"x" * (1 << 20))
        before = client.update()
        client.type("l")
        self.assertEqual(client.wait_change(before), self.vm.screendump())
        sock.close()


class PowerControl(Session):
    def test_dropped(self):
        sock, client = self.open(self.proxy, "tok")
        client.set_encodings(rfb.RAW, rfb.DESKTOP_SIZE, rfb.XVP)
        before = client.update()
        for action in (rfb.XVP_SHUTDOWN, rfb.XVP_REBOOT, rfb.XVP_RESET):
            client.xvp(action)
        client.type("s")                # arrives: the message before it was dropped whole
        self.assertEqual(client.wait_change(before), self.vm.screendump())
        self.assertEqual(self.vm.status(), "running")
        self.assertFalse({"POWERDOWN", "RESET", "SHUTDOWN"} & set(self.vm.events))
        sock.close()

    def test_dropped_in_single_bytes(self):
        sock, client = self.open(self.proxy, "tok")
        client.set_encodings(rfb.RAW, rfb.DESKTOP_SIZE, rfb.XVP)
        before = client.update()
        client.stream = rfb.OneByteFrames(sock)
        client.xvp(rfb.XVP_RESET)
        client.type("s")
        self.assertEqual(client.wait_change(before), self.vm.screendump())
        self.assertEqual(self.vm.status(), "running")
        self.assertNotIn("RESET", self.vm.events)
        sock.close()

    def test_passes_where_the_service_allows_it(self):
        sock, client = self.open(self.proxy, "power")
        client.set_encodings(rfb.RAW, rfb.DESKTOP_SIZE, rfb.XVP)
        client.xvp(rfb.XVP_SHUTDOWN)
        self.vm.wait_event("POWERDOWN")
        client.xvp(rfb.XVP_RESET)
        self.vm.wait_event("RESET")
        sock.close()


if __name__ == "__main__":
    tap.main()
