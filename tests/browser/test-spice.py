# SPDX-License-Identifier: LGPL-2.1-or-later
"""SPICE consoles on the console page: spice-html5 in Chromium, virtconsoleproxyd, QEMU's SPICE server with TLS."""
from browsing import BrowserCase, typed
from lab import guest, tap

SECRET = "spice-token-of-this-test"
PASSWORD = "geheim-only-for-the-proxy"
CHANNELS = {(1, 0), (2, 0), (3, 0), (4, 0)}     # main, display, inputs, cursor


def spice(vm, **fields):
    """A service for the token table."""
    return {"type": "spice", "address": vm.spice_address, **fields}


class SpiceCase(BrowserCase):
    def open_spice(self, proxy, token=SECRET, **options):
        return self.open_console(proxy, token, type="spice", **options)

    def assert_works(self, page, vm):
        self.wait_state(page, "connected")
        self.wait_same_picture(page, vm)
        for text in ("hello ", "spice ", "42\nq"):     # QEMU holds 16 bytes of keys, and SPICE does not slow them
            page.type(text)
            vm.expect_serial(typed(text))
        self.wait_same_picture(page, vm)


class TestSpice(SpiceCase):
    """With a token that works once, as the issue's promise is."""

    def setUp(self):
        super().setUp()
        self.vm = self.start_guest(spice="tls")
        self.proxy = self.start_proxy({SECRET: spice(self.vm, singleUse=True)})
        self.page = self.open_spice(self.proxy)
        self.wait_state(self.page, "connected")

    def test_shows_and_types(self):
        """Without a click: the focus is on the screen as soon as it shows."""
        self.assert_works(self.page, self.vm)
        self.page.click("#ctrl-alt-del")
        self.vm.expect_serial(guest.BANNER)
        self.wait_same_picture(self.page, self.vm)
        self.assertEqual(self.vm.spice_channels(), CHANNELS)
        self.assert_no_violations(self.page)
        self.assert_secret(self.page, SECRET)
        self.assertNotIn(SECRET, self.proxy.log())

    def test_send_text(self):
        text = "echo \"Hi, World!\" | tr 'a-z' {0..9} && x=$((1+2)) # ~/.[a]\\;:<>?@%^*_-`\n"
        self.page.click("#send-text")
        self.page.call("Input.insertText", text=text)
        self.page.click("#text-type")
        self.vm.expect_serial(typed(text))
        self.page.type("q")               # the focus is back on the screen
        self.vm.expect_serial(typed("q"))

    def test_screen_changes_its_size(self):
        """F1 switches the guest's screen to another mode: the keyboard stays with it."""
        self.page.key("F1")
        self.page.wait("document.querySelector('canvas').width === 640", "the other mode")
        self.page.type("x")
        self.vm.expect_serial(guest.BANNER)
        self.page.wait("document.querySelector('canvas').width === 720", "the first mode")
        self.assert_works(self.page, self.vm)

    def test_keyboard_stays_where_the_mouse_leaves(self):
        for y in (400, 20):
            self.page.call("Input.dispatchMouseEvent", type="mouseMoved", x=640, y=y)
        self.page.type("q")
        self.vm.expect_serial(typed("q"))

    def test_replay(self):
        """The token is spent; whoever comes with it again does not disturb its session."""
        second = self.open_spice(self.proxy)
        self.wait_state(second, "ended")
        self.assertEqual(second.evaluate("document.body.dataset.closeCode"), "4401")
        self.assertIn("already used", second.text())
        self.assert_works(self.page, self.vm)

    def test_guest_killed(self):
        self.vm.kill()
        self.wait_state(self.page, "ended")
        self.assertEqual(self.page.evaluate("document.body.dataset.closeCode"), "1000")
        self.assertIn("The console ended the session", self.page.text())
        self.assertIn("Session ended", self.page.text())
        self.assert_secret(self.page, SECRET)


class TestPassword(SpiceCase):
    def test_proxy_answers(self):
        """The page never learns the password, nor that there is one."""
        vm = self.start_guest(spice="tls", spice_password=PASSWORD)
        proxy = self.start_proxy({SECRET: spice(vm, password=PASSWORD)})
        page = self.open_spice(proxy)
        self.assert_works(page, vm)
        self.assertNotIn(PASSWORD, proxy.log())

    def test_none_in_the_service(self):
        vm = self.start_guest(spice="tls", spice_password=PASSWORD)
        page = self.open_spice(self.start_proxy({SECRET: spice(vm)}))
        self.wait_state(page, "ended")
        self.assertIn("No console", page.text())


if __name__ == "__main__":
    tap.main()
