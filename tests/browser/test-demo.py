# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools/demo as its user sees it: started, its URL opened in Chromium, typed into, ended with Ctrl-C."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from browsing import TOP, BrowserCase
from lab import case, guest, tap

USUAL_PORT = 6443
START_TIMEOUT = 220           # it builds the programs the first time
STOP_TIMEOUT = 20
MARK = "VCP_DEMO_OF_TEST"
NOBODY = 65534


class RunningDemo:
    def __init__(self, *arguments, command=(os.path.join(TOP, "tools", "demo"),), directory=None):
        self.directory = directory or case.new_directory("demo")
        self.mark = f"{MARK}={self.directory}"
        environment = dict(os.environ, TMPDIR=self.directory, **{MARK: self.directory})
        environment.pop("SUDO_UID", None)   # or it would run as that user, who has no place in our directory
        self.output = ""
        self._changed = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen([*command, *arguments], env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        threading.Thread(target=self._collect, daemon=True).start()

    def wait_text(self, pattern, timeout=START_TIMEOUT):
        with self._changed:
            self._changed.wait_for(lambda: self._ended or re.search(pattern, self.output), timeout)
            found = re.search(pattern, self.output)
            if not found:
                raise AssertionError(f"the demo never said {pattern!r}:\n{self.output}")
            return found

    def wait_url(self):
        """The first URL, once everything is said."""
        self.wait_text("Ctrl-C takes everything down")
        return self.wait_text(r"https://\S+")[0]

    def user_environment(self):
        """What a user has who follows the demo's advice for another terminal."""
        return {**os.environ, "LIBVIRT_DEFAULT_URI": self.wait_text(r"export LIBVIRT_DEFAULT_URI='(\S+)'")[1]}

    def adm(self, *arguments):
        program = self.wait_text(r"(\S+/virtconsoleresolveradm) status")[1]
        return subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
                              env=self.user_environment(), timeout=60).stdout.strip()

    def wait_end(self, timeout=STOP_TIMEOUT):
        """Exit status, and all it said."""
        status = self.process.wait(timeout)
        with self._changed:
            self._changed.wait_for(lambda: self._ended, STOP_TIMEOUT)
            return status, self.output

    def processes(self):
        """pid → command of every process that the demo started, wherever it stands in the tree by now.

        libvirt starts guests with an environment of its own; their arguments name files of the demo.
        """
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as source:
                    marked = self.mark.encode() in source.read().split(b"\0")
                with open(f"/proc/{pid}/cmdline", "rb") as source:
                    command = source.read().replace(b"\0", b" ").decode()
                if command and (marked or f"{self.directory}/" in command):
                    found[int(pid)] = command
            except OSError:
                continue                # it ended in between
        return found

    def pid_of(self, name):
        (pid,) = [pid for pid, command in self.processes().items()
                  if os.path.basename(command.split()[0]) == name]
        return pid

    def kill(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STOP_TIMEOUT)

    def _collect(self):
        for line in self.process.stdout:
            with self._changed:
                self.output += line.decode("utf-8", "replace")
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class TestDemo(BrowserCase):
    def start(self, *arguments, **options):
        demo = RunningDemo(*arguments, **options)
        self.addCleanup(demo.kill)
        return demo

    def assert_all_gone(self, demo):
        self.assertEqual(demo.processes(), {})
        self.assertEqual(os.listdir(demo.directory), [])

    def test_shown_typed_and_ended(self):
        demo = self.start()
        url = demo.wait_url()
        self.assertRegex(url, r"^https://localhost:\d+/console\.html#type=vnc&token=[\w-]{36}&type=spice&token=[\w-]{36}"
                              r"&type=serial&token=[\w-]{36}&type=serial&token=[\w-]{36}&name=Virtio%20console$")
        page = self.browse(url)
        self.type_on_the_screen(page)
        self.click_tab(page, 2, "spice")
        guest.wait_until(lambda: not page.canvas().is_blank(), "the guest's screen by SPICE")
        before = page.canvas()
        self.click_tab(page, 3, "serial")
        page.type("hello port\n")
        self.click_tab(page, 2, "spice")
        guest.wait_until(lambda: page.canvas() != before, "the port's bytes on the screen")
        self.click_tab(page, 4, "serial")
        self.assertGreaterEqual(len(demo.processes()), 5)
        demo.process.send_signal(signal.SIGINT)
        status, output = demo.wait_end()
        self.assertEqual(status, 0, output)
        self.wait_state(page, "ended")
        self.assert_all_gone(demo)

    def click_tab(self, page, number, kind):
        page.click(f"#tabs button:nth-child({number})")
        page.wait(f"document.body.dataset.type === '{kind}' && document.body.dataset.state === 'connected'",
                  f"tab {number}, {kind}")

    def type_on_the_screen(self, page):
        self.wait_state(page, "connected")
        self.assertIn("Connected to QEMU (demo)", page.text())
        page.wait("document.querySelector('canvas').width > 0", "a picture")
        guest.wait_until(lambda: not page.canvas().is_blank(), "the guest's screen")
        before = page.canvas()
        page.type("hello demo\n")
        guest.wait_until(lambda: page.canvas() != before, "typed keys on the screen")

    def test_commands_for_another_terminal(self):
        """The whole chain under its user's hands: consoles taken away, given back, opened by `url`."""
        demo = self.start()
        url = demo.wait_url()
        metadata = subprocess.run(["virsh", "metadata", "demo", "http://libvirt.org/schemas/console-proxy/1.0"],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
                                  env=demo.user_environment(), timeout=60).stdout
        entry = r'<console token="[0-9a-f-]{36}" type="%s" port="%d" insecure="no"/>'
        for kind, port in (("vnc", 0), ("spice", 0), ("serial", 0), ("console", 1)):
            self.assertRegex(metadata.replace("'", '"'), entry % (kind, port))
        self.assertEqual(demo.adm("enable", "demo"), "Access to domain 'demo' already enabled")
        self.assertEqual(demo.adm("disable", "demo"), "Disabled access to domain 'demo'")
        self.assertEqual(demo.adm("disable", "demo"), "Access to domain 'demo' already disabled")
        page = self.browse(url)
        self.wait_state(page, "ended")
        self.assertIn("unknown or has expired", page.text())
        self.assertEqual(demo.adm("enable", "demo"), "Enabled access to domain 'demo'")
        link = demo.adm("url", "demo", "--proxy", url.partition("/console.html")[0])
        self.assertRegex(link, r"^https://localhost:\d+/console\.html#type=vnc&token=[\w-]{36}$")
        self.type_on_the_screen(self.browse(link))

    def test_as_a_user_without_rights(self):
        """A user's own libvirtd serves as well. Built is all by root here, so only what follows is the user's."""
        user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        script = os.path.join(TOP, "tools", "lib", "demo.py")
        if os.geteuid() != 0 or subprocess.run([*user, "test", "-r", script], check=False).returncode != 0:
            self.skipTest("not root, or this checkout is not everybody's to read")
        self.start().wait_url()         # so it is built
        directory = tempfile.mkdtemp(prefix="d-")     # short: sockets have paths there
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        os.chown(directory, NOBODY, NOBODY)
        demo = self.start(os.path.join(TOP, "build", "demo", "src"), "127.0.0.1", "", directory=directory,
                          command=[*user, "/usr/bin/python3", "-B", script])
        self.type_on_the_screen(self.browse(demo.wait_url()))
        demo.process.terminate()
        self.assertEqual(demo.wait_end()[0], 0)
        self.assert_all_gone(demo)

    def test_ended_by_sigterm_on_a_chosen_port(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        demo = self.start("--port", str(port))
        self.assertIn(f"https://localhost:{port}/", demo.wait_url())
        demo.process.terminate()
        self.assertEqual(demo.wait_end()[0], 0)
        self.assert_all_gone(demo)

    def test_usual_port_taken(self):
        with TakenPort(USUAL_PORT):
            demo = self.start()
            url = demo.wait_url()
        self.assertNotIn(f":{USUAL_PORT}/", url)
        self.assertIn(f"Port {USUAL_PORT} is taken", demo.output)

    def test_chosen_port_taken(self):
        with TakenPort(0) as port:
            demo = self.start(f"--port={port}")
            status, output = demo.wait_end(START_TIMEOUT)
        self.assertEqual(status, 1)
        self.assertRegex(output, rf"cannot listen on 127\.0\.0\.1 port {port}: Address already in use")
        self.assert_all_gone(demo)

    def test_a_child_dies(self):
        for name, words in (("virtconsoleproxyd", "virtconsoleproxyd ended by itself"),
                            ("virtconsoleresolverd", "virtconsoleresolverd ended by itself"),
                            ("libvirtd", "libvirtd ended by itself")):
            with self.subTest(name):
                demo = self.start()
                demo.wait_url()
                os.kill(demo.pid_of(name), signal.SIGKILL)
                status, output = demo.wait_end()
                self.assertEqual(status, 1)
                self.assertRegex(output, words)
                self.assert_all_gone(demo)

    def test_guest_is_off_and_on_again(self):
        demo = self.start()
        url = demo.wait_url()
        os.kill(demo.pid_of("qemu-system-x86_64"), signal.SIGKILL)
        demo.wait_text("The guest is off")
        page = self.browse(url)
        self.wait_state(page, "ended")
        subprocess.run(["virsh", "start", "demo"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
                       env=demo.user_environment(), timeout=60)
        self.type_on_the_screen(self.browse(url))

    def test_demo_itself_killed(self):
        """No chance to clean up, but nothing goes on listening."""
        demo = self.start()
        demo.wait_url()
        demo.process.kill()
        demo.process.wait()
        guest.wait_until(lambda: not demo.processes(), "the children's end")

    def test_help_and_wrong_usage(self):
        program = os.path.join(TOP, "tools", "demo")
        told = subprocess.run([program, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        for word in ("--port", "--listen", "6443", "Ctrl-C"):
            self.assertIn(word, told.stdout)
        for arguments in (["--port"], ["--port", "none"], ["--port=0"], ["--port=65536"], ["--listen"], ["--what"]):
            with self.subTest(arguments):
                told = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                                      text=True, check=False)
                self.assertNotEqual(told.returncode, 0)
                self.assertIn(arguments[0].split("=")[0], told.stderr)


class TakenPort:
    """A port of 127.0.0.1 on which somebody listens; 0: any. Already taken is as good."""

    def __init__(self, port):
        self._port = port

    def __enter__(self):
        try:
            self._socket = socket.create_server(("127.0.0.1", self._port))
        except OSError:
            self._socket = None
            return self._port
        return self._socket.getsockname()[1]

    def __exit__(self, *_):
        if self._socket:
            self._socket.close()


if __name__ == "__main__":
    tap.main()
