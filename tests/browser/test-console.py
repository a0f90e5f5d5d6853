# SPDX-License-Identifier: LGPL-2.1-or-later
"""The console page in a real browser: Chromium, virtconsoleproxyd, QEMU with VeNCrypt and x509 verify."""
import os
import shutil
import struct

from browsing import BrowserCase, ClosingServer, SayingServer, typed, web_root
from lab import case, guest, tap, ws

DEAD_ADDRESS = "127.0.0.1:1"      # nothing listens on tcpmux
SECRET = "s3cret-token-of-this-test"

# every close code the proxy knows: words that its sentence must have, and whether Reconnect is offered
CLOSE_CODES = (
    (1000, "ended the session", True),
    (1001, "shut down or restarted", True),
    (1002, "protocol", True),
    (1008, "administrator", True),
    (1011, "internal error", True),
    (4401, "not valid", False),
    (4403, "rules do not allow", False),
    (4404, "no console to connect to", True),
    (4408, "idle for too long", True),
    (4409, "in use", True),
    (4502, "could not be reached", True),
    (4503, "cannot check links", True),
    (4504, "too long to answer", True),
    (4999, "code 4999", True),
)

# the page's engines behave alike at a session's end, each with a library of its own; vnc has them all
ENGINES = {"vnc": "novnc", "spice": "spice-html5", "serial": "xterm"}
SOME_CLOSE_CODES = [row for row in CLOSE_CODES if row[0] in (1000, 1002, 4401, 4409)]

# the page's long timers come soon, and are counted
SHORT_TIMERS = """
    window.longTimers = 0;
    const wait = window.setTimeout;
    window.setTimeout = (handler, ms, ...more) => ms >= 10000
        ? wait(() => { handler(...more); window.longTimers += 1; }, 100) : wait(handler, ms, ...more);
"""

BAD_LINKS = (
    ("", "no token"),
    ("#", "no token"),
    ("#type=vnc", "no token"),
    ("#type=vnc&token=", "no token"),
    ("#token=abc", "does not say which type"),
    ("#type=telegraph&token=abc", "telegraph"),
    ("#type=constructor&token=abc", "constructor"),
    ("#type=vnc&token=&type=serial&token=abc", "no token"),
    ("#type=<b id=x>bold</b>&token=abc", "<b id=x>bold</b>"),
    ("#type=vnc&token=abc&path=//elsewhere.example/", "leads away"),
    ("#type=vnc&token=abc&path=https://elsewhere.example/", "leads away"),
)


class TestScreen(BrowserCase):
    def setUp(self):
        super().setUp()
        self.vm = self.start_guest(name="screen guest")
        self.proxy = self.start_proxy({SECRET: case.vnc(self.vm.address)})
        self.page = self.open_console(self.proxy, SECRET)
        self.wait_state(self.page, "connected")
        self.wait_same_picture(self.page, self.vm)

    def test_shows_the_guest(self):
        self.assertIn("Connected to QEMU (screen guest)", self.page.text())
        self.assertIn("QEMU (screen guest)", self.page.evaluate("document.title"))
        self.assertFalse(self.page.evaluate("document.querySelector('#ctrl-alt-del').disabled"))
        self.assert_no_violations(self.page)
        self.assert_secret(self.page, SECRET)
        self.assertNotIn(SECRET, self.proxy.log())

    def test_typed_keys_appear(self):
        """Without a click: the focus is on the screen as soon as it shows."""
        before = self.page.canvas()
        self.page.type("hello world 42\nsecond line")
        self.vm.expect_serial(typed("hello world 42\nsecond line"))
        self.assertNotEqual(self.wait_same_picture(self.page, self.vm), before)

    def test_send_text(self):
        text = "echo \"Hi, World!\" | tr 'a-z' {0..9} && x=$((1+2)) # ~/.[a]\\;:<>?@%^*_-`\n"
        self.page.click("#send-text")
        self.page.call("Input.insertText", text=text)
        self.page.click("#text-type")
        self.vm.expect_serial(typed(text))
        self.wait_same_picture(self.page, self.vm)
        self.page.type("q")               # the focus is back on the screen
        self.vm.expect_serial(typed("q"))

    def test_ctrl_alt_del(self):
        self.page.click("#ctrl-alt-del")
        self.vm.expect_serial(guest.BANNER)
        self.page.type("q")
        self.vm.expect_serial(typed("q"))

    def test_keyboard_leads_out(self):
        """The screen takes every key, so one chord must lead back to the buttons, and leave no key held."""
        self.page.chord(["Control", "Alt", "Shift"], "m")
        self.page.wait("document.activeElement.id === 'send-text'", "the focus on the buttons")
        self.page.evaluate("document.querySelector('canvas').focus()")
        self.page.type("q")
        self.vm.expect_serial(typed("q"))

    def test_text_that_cannot_be_typed(self):
        self.page.click("#send-text")
        self.page.call("Input.insertText", text="a\u00e4\u20acb")
        self.page.click("#text-type")
        self.vm.expect_serial(typed("ab"))
        self.page.wait("document.querySelector('#status').textContent.includes('2 of the characters')", "a word on it")

    def test_small_window(self):
        self.page.resize(360, 640)
        self.page.wait("document.querySelector('canvas').getBoundingClientRect().width <= 360", "the canvas to fit")
        self.assertTrue(self.page.evaluate("document.documentElement.scrollWidth <= 360"))
        buttons = "[...document.querySelectorAll('#actions button')]"
        self.assertTrue(self.page.evaluate(f"{buttons}.every((b) => b.getBoundingClientRect().right <= 360)"))

    def test_fullscreen(self):
        self.page.click("#fullscreen")
        self.page.wait("document.fullscreenElement !== null", "fullscreen")
        self.page.wait("document.activeElement.tagName === 'CANVAS'", "the focus on the screen")
        self.page.type("q")
        self.vm.expect_serial(typed("q"))

    def test_guest_killed(self):
        self.vm.kill()
        self.wait_state(self.page, "ended")
        self.assertEqual(self.page.evaluate("document.body.dataset.closeCode"), "1000")
        self.assertIn("The console ended the session", self.page.text())
        self.assertIn("Session with QEMU (screen guest) ended", self.page.text())
        self.page.type("q \n")          # goes on typing: presses no button
        self.assertEqual(self.page.evaluate("document.body.dataset.state"), "ended")
        self.assertTrue(self.page.evaluate("document.querySelector('canvas') === null"))
        self.assert_secret(self.page, SECRET)

    def test_page_left_and_back(self):
        """The session ends with the page, though the browser may keep that; on the way back there is another."""
        self.page.go("about:blank")
        self.proxy.wait_line("session .* ended")
        self.page.back()
        self.wait_state(self.page, "connected")
        self.wait_same_picture(self.page, self.vm)
        self.page.type("q")
        self.vm.expect_serial(typed("q"))

    def test_proxy_goes_down(self):
        self.proxy.terminate()
        self.wait_state(self.page, "ended")
        self.assertEqual(self.page.evaluate("document.body.dataset.closeCode"), "1001")
        self.assertIn("being shut down", self.page.text())
        self.proxy.process.wait(20)
        self.page.click("#reconnect")
        self.page.wait("document.body.innerText.includes('cannot be reached')", "the proxy's absence in words")

    def test_link_changed_in_place(self):
        """A second link pasted into the same tab: browsers don't load the page again for that."""
        other = self.start_guest(name="other guest")
        other_token = "other-token"
        self.proxy.write_tokens({SECRET: case.vnc(self.vm.address), other_token: case.vnc(other.address)})
        self.proxy.reload()
        self.proxy.wait_line("(?i)token")
        self.page.evaluate(f"location.hash = '#type=vnc&token={other_token}'")
        self.page.wait("document.body.innerText.includes('Connected to QEMU (other guest)')", "the other guest")
        self.wait_same_picture(self.page, other)
        self.assertEqual(self.page.evaluate("document.querySelectorAll('canvas').length"), 1)


class TestRefused(BrowserCase):
    def end_of(self, tokens, token, **flags):
        page = self.open_console(self.start_proxy(tokens, **flags), token)
        self.wait_state(page, "ended")
        return page, page.evaluate("document.body.dataset.closeCode")

    def test_bad_token(self):
        page, code = self.end_of({}, SECRET)
        self.assertEqual(code, "4401")
        self.assertIn("This link is not valid", page.text())
        self.assertIn("The proxy says:", page.text())
        self.assertNotIn("Reconnect", page.text())
        self.assert_secret(page, SECRET)

    def test_guest_of_a_foreign_ca(self):
        tls = self.certs.qemu_dir("foreign", authority="other", client_ca="main")
        vm = self.start_guest(tls=tls, sanity_check=False)
        page, code = self.end_of({"t": case.vnc(vm.address)}, "t")
        self.assertEqual(code, "4502")
        self.assertIn("did not accept the connection", page.text())

    def test_insecure_guest(self):
        vm = self.start_guest(tls=None)
        page, code = self.end_of({"t": case.vnc(vm.address, insecure=True)}, "t")
        self.assertEqual(code, "4403")
        self.assertIn("rules do not allow", page.text())

    def test_reconnect(self):
        """The guest is off, is switched on, and Reconnect shows it."""
        proxy = self.start_proxy({"t": case.vnc(DEAD_ADDRESS)})
        page = self.open_console(proxy, "t")
        self.wait_state(page, "ended")
        self.assertEqual(page.evaluate("document.body.dataset.closeCode"), "4404")
        self.assertIn("no console to connect to", page.text())
        vm = self.start_guest()
        mark = proxy.mark()
        proxy.write_tokens({"t": case.vnc(vm.address)})
        proxy.reload()
        proxy.wait_line("(?i)token", after=mark)
        page.click("#reconnect")
        self.wait_state(page, "connected")
        self.wait_same_picture(page, vm)
        page.type("q")
        vm.expect_serial(typed("q"))

    def test_refused_before_the_upgrade(self):
        """A browser sees no HTTP status of a websocket; the page says what it can know."""
        page = self.open_console(self.start_proxy({}), "a%2Fb")
        self.wait_state(page, "ended")
        self.assertIn("running but did not let this connection in", page.text())


class MovingServer(ClosingServer):
    """A console that says something, and moves as soon as it hears something."""

    def __init__(self, directory):
        super().__init__(directory, [])

    def talk(self, handler):
        handler.wfile.write(ws.encode_frame(b"ready", mask=False))
        handler.rfile.read(1)
        handler.wfile.write(ws.encode_frame((4410).to_bytes(2, "big"), opcode=ws.CLOSE, mask=False))


class TestLinks(BrowserCase):
    """No proxy needed: the page alone, and what it makes of links and of each close code."""

    def serve(self, *ends, directory=None):
        server = ClosingServer(directory or web_root(), ends or [(1000, "")])
        self.addCleanup(server.stop)
        return server

    def test_bad_links(self):
        server = self.serve()
        page = self.browse("about:blank")
        for number, (fragment, words) in enumerate(BAD_LINKS):
            with self.subTest(fragment):
                page.go(server.url(f"console.html?{number}{fragment}"))
                self.wait_state(page, "failed")
                self.assertIn(words, page.text())
                self.assertNotIn("Reconnect", page.text())
                self.assertTrue(page.evaluate("document.querySelector('#notice b') === null"))
        self.assertEqual(server.upgrades, 0)

    def test_missing_engine(self):
        for type, name in ENGINES.items():
            with self.subTest(type):
                directory = case.new_directory("web")
                shutil.copytree(web_root(), directory, dirs_exist_ok=True)
                shutil.rmtree(os.path.join(directory, name))
                page = self.browse(self.serve(directory=directory).url(f"console.html#type={type}&token=abc"))
                self.wait_state(page, "failed")
                self.assertIn(f"viewer for {type} consoles could not be loaded", page.text())

    def check_close_codes(self, type, codes):
        page = self.browse("about:blank")
        for code, words, again in codes:
            with self.subTest(type=type, code=code):
                server = self.serve((code, f"because of <i>{code}</i>"))
                page.go(server.url(f"console.html#type={type}&token={SECRET}"))
                self.wait_state(page, "ended")
                self.assertEqual(page.evaluate("document.body.dataset.closeCode"), str(code))
                self.assertIn(words, page.text())
                self.assertIn(f"The proxy says: because of <i>{code}</i>", page.text())
                self.assertIn("No console", page.text())
                self.assertEqual("Reconnect" in page.text(), again)
                self.assert_secret(page, SECRET)

    def test_close_codes(self):
        self.check_close_codes("vnc", CLOSE_CODES)

    def test_close_codes_of_other_engines(self):
        for type in ("spice", "serial"):
            self.check_close_codes(type, SOME_CLOSE_CODES)

    def test_nonsense_from_the_console(self):
        page = self.browse(self.serve((None, "RFB 999.999\n")).url("console.html#type=vnc&token=abc"))
        self.wait_state(page, "ended")
        self.assertEqual(page.evaluate("document.body.dataset.closeCode"), "1005")
        self.assertIn("could not make sense", page.text())

    def test_spice_nonsense(self):
        page = self.browse(self.serve((None, "no SPICE server says so")).url("console.html#type=spice&token=abc"))
        self.wait_state(page, "ended")
        self.assertEqual(page.evaluate("document.body.dataset.closeCode"), "1005")

    def test_spice_refusal(self):
        """The proxy refuses in SPICE's words first; the close code says more."""
        refusal = struct.pack("<4sIIII174x", b"REDQ", 2, 2, 178, 7)
        server = SayingServer([refusal], end=(4403, "Not this console"))
        self.addCleanup(server.stop)
        page = self.browse(server.url(f"console.html#type=spice&token={SECRET}"))
        self.wait_state(page, "ended")
        self.assertEqual(page.evaluate("document.body.dataset.closeCode"), "4403")
        self.assertIn("The proxy says: Not this console", page.text())
        self.assert_secret(page, SECRET)

    def test_spice_ticket_with_a_zero_in_front(self):
        """One of 256: spice-html5 by itself moves the rest of it to the front, and the server refuses that."""
        page = self.browse(self.serve().url("console.html"))
        self.wait_state(page, "failed")
        sent = page.evaluate("""(async () => {
            await import('/engine-spice.js');
            const { SpiceConn } = await import('/spice-html5/spiceconn.js');
            let sent;
            SpiceConn.prototype.send_ticket.call({ ws: { send: (data) => { sent = data; } } }, Array(127).fill(7));
            return [...new Uint8Array(sent)];
        })()""")
        self.assertEqual(sent, [1, 0, 0, 0, 0] + [7] * 127)

    def test_moved(self):
        """4410: the page asks again by itself, once."""
        for type in ENGINES:
            with self.subTest(type):
                server = self.serve((4410, "moved"))
                page = self.browse(server.url(f"console.html#type={type}&token=abc"))
                self.wait_state(page, "ended")
                self.assertEqual(server.upgrades, 2)
                self.assertIn("has moved to another host", page.text())
        page.click("#reconnect")
        page.wait("document.body.dataset.state === 'connecting'", "another try")
        self.wait_state(page, "ended")
        self.assertEqual(server.upgrades, 4)

    def test_moved_after_a_while(self):
        """A console that was steady in between may move once more."""
        server = MovingServer(web_root())
        self.addCleanup(server.stop)
        page = self.browse("about:blank")
        page.call("Page.addScriptToEvaluateOnNewDocument", source=SHORT_TIMERS)
        page.go(server.url("console.html#type=serial&token=abc"))
        for count in (1, 2, 3):
            page.wait(f"window.longTimers === {count} && document.body.dataset.state === 'connected'", "a steady session")
            self.assertEqual(server.upgrades, count)
            page.type("q")

    def test_moved_then_gone(self):
        server = self.serve((4410, ""), (4404, ""))
        page = self.browse(server.url("console.html#type=vnc&token=abc"))
        page.wait("document.body.innerText.includes('asking again')", "the move in words")
        self.wait_state(page, "ended")
        self.assertEqual(page.evaluate("document.body.dataset.closeCode"), "4404")

    def test_tabs(self):
        """A tab for each console; each asks when it is first shown, and tells its own end."""
        server = self.serve((4404, ""), (4409, ""), (4503, ""))
        page = self.browse(server.url("console.html#type=vnc&token=one&type=serial&token=two"
                                      "&name=%3Ci%3EB%3C/i%3E&type=spice&token=three&path=p"))
        tabs = "[...document.querySelectorAll('#tabs button')]"
        self.wait_state(page, "ended")
        self.assertIn("no console to connect to", page.text())
        self.assertEqual(page.evaluate(f"{tabs}.map((tab) => tab.textContent)"),
                         ["Screen (VNC)", "<i>B</i>", "Screen (SPICE)"])
        self.assertEqual(server.targets, [("/websockify", [("token", "one")])])

        page.click("#tabs button:nth-child(2)")
        page.wait("document.body.innerText.includes('in use')", "the second console's end")
        page.click("#tabs button:nth-child(1)")
        page.wait("document.body.innerText.includes('no console to connect to')", "the first console's end")
        self.assertEqual(len(server.targets), 2)

        page.evaluate("document.querySelector('#tabs [aria-selected=true]').focus()")
        page.key("ArrowLeft")             # from the first to the last, and Enter presses it
        self.assertEqual(page.evaluate("document.activeElement.textContent"), "Screen (SPICE)")
        page.type("\n")
        page.wait("document.body.innerText.includes('cannot check links')", "the third console's end")
        self.assertEqual(server.targets[1:], [("/websockify", [("token", "two")]), ("/p", [("token", "three")])])
        self.assertEqual(page.evaluate(f"{tabs}.map((tab) => tab.getAttribute('aria-selected'))"),
                         ["false", "false", "true"])

    def test_token_as_written(self):
        """What stands in the fragment arrives in the query, encoded or not."""
        page = self.browse("about:blank")
        for written, wanted in (("a+b", "a+b"), ("a%2Bb%26c%3Dd", "a+b&c=d"), ("100%", "100%"), ("a=b", "a=b")):
            with self.subTest(written):
                server = self.serve((1000, ""))
                page.go(server.url(f"console.html#token={written}&type=vnc&path=x%3Fy=1"))
                self.wait_state(page, "ended")
                self.assertEqual(server.targets, [("/x", [("y", "1"), ("token", wanted)])])


if __name__ == "__main__":
    tap.main()
