# SPDX-License-Identifier: LGPL-2.1-or-later
"""Serial consoles on the console page: xterm.js in Chromium, virtconsoleproxyd, QEMU's serial port with TLS."""
from browsing import BrowserCase, SayingServer, typed
from lab import case, guest, tap

SECRET = "serial-token-of-this-test"
LINE = "The quick brown fox jumps over the lazy dog, 0123456789 times; echo \"$HOME\" | tr a-z A-Z"
FOREIGN = "\u00e4\u00f6\u00fc \u20ac \u6f22\u5b57 \U0001f642"
FREEZE_MS = 1000          # frozen is longer than that; a screen of flood took 70 ms
FRAMES = """(() => {
    window.longest = 0;
    let last = performance.now();
    const next = (now) => {
        window.longest = Math.max(window.longest, now - last);
        last = now;
        requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
})()"""


class SerialCase(BrowserCase):
    def open_serial(self, proxy, token=SECRET, **options):
        page = self.open_console(proxy, token, type="serial", **options)
        page.allow_clipboard()
        return page

    def terminal_text(self, page):
        """All that the terminal holds, by the Copy button."""
        page.click("#copy")
        return page.evaluate("navigator.clipboard.readText()")

    def wait_terminal(self, page, words):
        guest.wait_until(lambda: words in self.terminal_text(page), f"{words!r} in the terminal")

    def assert_end(self, page, code, words):
        self.wait_state(page, "ended")
        self.assertEqual(page.evaluate("document.body.dataset.closeCode"), str(code))
        self.assertIn(words, page.text())
        self.assert_secret(page, SECRET)


class TestSerial(SerialCase):
    def setUp(self):
        super().setUp()
        self.vm = self.start_guest(serial="tls raw")
        self.proxy = self.start_proxy({SECRET: case.serial(self.vm.serial_address),
                                       "screen": case.vnc(self.vm.address)})
        self.page = self.open_serial(self.proxy)
        self.wait_state(self.page, "connected")

    def expect_guest(self, wanted):
        guest.wait_until(lambda: wanted in self.vm.serial_log(), f"{wanted!r} from the guest")

    def test_types_and_reads(self):
        """Without a click: the focus is in the terminal as soon as it shows."""
        self.page.type("hello serial 42")
        self.expect_guest(b"hello serial 42")
        self.wait_terminal(self.page, "hello serial 42")
        self.assertIn("Connected", self.page.text())
        self.assert_no_violations(self.page)
        self.assert_secret(self.page, SECRET)
        self.assertNotIn(SECRET, self.proxy.log())

    def test_pastes_a_line(self):
        self.page.evaluate(f"navigator.clipboard.writeText({LINE + chr(10)!r})")
        self.page.paste()
        self.expect_guest(LINE.encode() + b"\r")
        self.wait_terminal(self.page, LINE)

    def test_send_text(self):
        """Anything, whatever the keyboard; its characters come back cut into single bytes."""
        self.page.click("#send-text")
        self.page.call("Input.insertText", text=FOREIGN)
        self.page.click("#text-type")
        self.expect_guest(FOREIGN.encode())
        self.wait_terminal(self.page, FOREIGN)
        self.page.type("q")               # the focus is back in the terminal
        self.expect_guest(FOREIGN.encode() + b"q")

    def test_copy_and_control_keys(self):
        """Ctrl-C is the guest's; Ctrl-Shift-C copies what is selected, and the guest gets nothing."""
        self.page.type("word")
        self.wait_terminal(self.page, "word")
        self.page.double_click(".xterm-screen", 20, 8)
        self.page.chord(["Control", "Shift"], "c")
        self.page.chord(["Control"], "c")
        self.expect_guest(b"word\x03")
        self.assertEqual(self.page.evaluate("navigator.clipboard.readText()"), "word")

    def test_follows_the_window(self):
        columns = "document.querySelector('.xterm-screen').clientWidth"
        wide = self.page.evaluate(columns)
        self.assertGreater(wide, 1200)
        self.page.resize(400, 600)
        self.page.wait(f"{columns} <= 400", "the terminal to fit")
        self.assertTrue(self.page.evaluate("document.documentElement.scrollWidth <= 400"))
        self.page.resize(1280, 800)
        self.page.wait(f"{columns} === {wide}", "the terminal to grow again")

    def test_flood(self):
        """The guest prints without end: the page goes on, a key goes through, and the end of it shows."""
        self.page.evaluate(FRAMES)
        self.page.chord(["Control"], "e")
        self.wait_terminal(self.page, "." * 1000)
        self.page.type("q")
        guest.wait_until(lambda: self.vm.serial_log().count(guest.BANNER) == 2, "the guest to see the key")
        self.wait_terminal(self.page, "READY")     # xterm.js copies no space from the end of a wrapped line
        self.assertLess(self.page.evaluate("window.longest"), FREEZE_MS)

    def test_in_use(self):
        second = self.open_serial(self.proxy)
        self.assert_end(second, 4409, "in use by somebody else")
        self.page.type("still mine")
        self.wait_terminal(self.page, "still mine")

    def test_guest_killed(self):
        """What it said last can still be read."""
        self.page.type("last words")
        self.wait_terminal(self.page, "last words")
        self.vm.kill()
        self.assert_end(self.page, 1000, "The console ended the session")
        self.assertIn("Session ended", self.page.text())
        self.page.type("q \n")          # goes on typing: presses no button
        self.assertEqual(self.page.evaluate("document.body.dataset.state"), "ended")
        self.assertIn("last words", self.terminal_text(self.page))

    def test_link_changed_in_place(self):
        """The same console by another link: the first session is over in time, and one terminal is left."""
        self.page.evaluate(f"location.hash = '#type=serial&token={SECRET}&name=again'")
        self.page.wait("document.body.innerText.includes('Connected to again')", "the same console again")
        self.page.type("once more")
        self.wait_terminal(self.page, "once more")
        self.assertEqual(self.page.evaluate("document.querySelectorAll('.xterm').length"), 1)

    def test_tabs(self):
        """The guest's screen and its serial port on one page, each asked for when it is first shown."""
        mark = self.proxy.count_lines("session .* started")
        page = self.page
        page.evaluate(f"location.hash = '#type=vnc&token=screen&name=The%20screen&type=serial&token={SECRET}'")
        page.wait("document.body.dataset.type === 'vnc' && document.body.dataset.state === 'connected'", "the screen")
        self.wait_same_picture(page, self.vm)
        self.proxy.wait_line("session .* ended")
        self.assertEqual(page.evaluate("[...document.querySelectorAll('#tabs button')].map((tab) => tab.textContent)"),
                         ["The screen", "Serial port"])
        self.assertEqual(self.proxy.count_lines("session .* started") - mark, 1)
        page.type("keys")
        self.expect_guest(typed("keys"))

        page.click("#tabs button:nth-child(2)")
        page.wait("document.body.dataset.type === 'serial' && document.body.dataset.state === 'connected'", "the port")
        page.type("bytes")
        self.expect_guest(b"bytes")
        self.wait_terminal(page, "bytes")
        before = self.vm.screendump()

        page.click("#tabs button:nth-child(1)")
        page.wait("document.body.dataset.type === 'vnc'", "the screen")
        self.assertEqual(self.wait_same_picture(page, self.vm), before)
        page.type("x")
        self.expect_guest(typed("x"))
        self.assertEqual(self.proxy.count_lines("session .* started") - mark, 2)
        self.assert_no_violations(page)
        for token in (SECRET, "token=screen"):
            self.assert_secret(page, token)


class TestRefused(SerialCase):
    def test_bad_token(self):
        page = self.open_serial(self.start_proxy({}))
        self.assert_end(page, 4401, "This link is not valid")
        self.assertIn("No console", page.text())
        self.assertNotIn("Reconnect", page.text())

    def test_insecure(self):
        vm = self.start_guest(serial="raw", tls=None)
        page = self.open_serial(self.start_proxy({SECRET: case.serial(vm.serial_address, insecure=True)}))
        self.assert_end(page, 4403, "rules do not allow")


class TestTerminal(SerialCase):
    """No proxy: what the page makes of bytes that no small guest sends."""

    def serve(self, *frames):
        server = SayingServer(frames)
        self.addCleanup(server.stop)
        page = self.browse(server.url("console.html#type=serial&token=abc"))
        page.allow_clipboard()
        self.wait_state(page, "connected")
        return server, page

    def test_characters_cut_by_frames(self):
        _, page = self.serve(*(bytes([byte]) for byte in FOREIGN.encode()), b"\xff\xfe invalid")
        self.wait_terminal(page, FOREIGN + "\ufffd\ufffd invalid")

    def test_bracketed_paste(self):
        """Where the guest asked for brackets, nothing pasted can close them."""
        server, page = self.serve(b"\x1b[?2004hready")
        self.wait_terminal(page, "ready")
        page.evaluate("navigator.clipboard.writeText('one\\ntwo\\x1b[201~\\nthree')")
        page.paste()
        wanted = b"\x1b[200~one\rtwo[201~\rthree\x1b[201~"
        guest.wait_until(lambda: server.heard == wanted, "the bracketed paste")

    def test_flood_faster_than_the_page(self):
        """5 MB at once: the newest is shown, and the page stays alive."""
        block = b"".join(b"%078d\r\n" % number for number in range(800))
        _, page = self.serve(*[block] * 64, b"the very end")
        page.evaluate(FRAMES)
        self.wait_terminal(page, "%078d\nthe very end" % 799)
        self.assertLess(page.evaluate("window.longest"), FREEZE_MS)


if __name__ == "__main__":
    tap.main()
