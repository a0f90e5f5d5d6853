# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test case of the integration tests: certificates, daemons and guests that clean up.

Everything of one test program stands in one temporary directory, removed at its end.
"""
import atexit
import itertools
import os
import re
import shutil
import tempfile
import unittest
from collections import namedtuple

from . import daemon, guest, libvirtd, pki, program, resolverd, rfb, ws

# how a session ended: the RFB failure reason (None: there was none), the close code, its reason
Outcome = namedtuple("Outcome", "rfb_reason code reason")

REASON_BYTES = 123        # RFC 6455: what fits a close frame
_numbers = itertools.count(1)
_shared = {}


def run_directory():
    if "directory" not in _shared:
        _shared["directory"] = tempfile.mkdtemp(prefix="vcp-test-")
        atexit.register(shutil.rmtree, _shared["directory"], ignore_errors=True)
    return _shared["directory"]


def new_directory(name):
    path = os.path.join(run_directory(), f"{name}-{next(_numbers)}")
    os.mkdir(path)
    return path


def certificates():
    if "certs" not in _shared:
        _shared["certs"] = pki.make(os.path.join(run_directory(), "pki"))
    return _shared["certs"]


def image():
    if "image" not in _shared:
        _shared["image"] = guest.build_image(os.path.join(run_directory(), "guest.img"))
    return _shared["image"]


def vnc(address, **fields):
    """A service for the token table."""
    return {"type": "vnc", "address": address, **fields}


def serial(address, **fields):
    return {"type": "serial", "address": address, **fields}


# what a service of a lab's console of this kind says beside its address
SERIAL_KINDS = {
    "raw": {"insecure": True},
    "telnet": {"insecure": True, "telnet": True},
    "tls raw": {},
    "tls telnet": {"telnet": True},
    "unix raw": {},
    "unix telnet": {"telnet": True},
}


class Case(unittest.TestCase):
    @property
    def certs(self):
        return certificates()

    def start_daemon(self, tokens=None, environment=None, passed=(), **flags):
        """A daemon for this test; flags as listen_addr="..." (see daemon.command_line).

        At the end of the test it must go down with status 0 and within the promised time.
        """
        one = make_daemon(tokens, environment, passed, **flags)
        self.addCleanup(check_end, one)
        return one

    @classmethod
    def start_class_daemon(cls, tokens=None, **flags):
        """As start_daemon(), for all tests of a class."""
        one = make_daemon(tokens, **flags)
        cls.addClassCleanup(check_end, one)
        return one

    def start_guest(self, **options):
        """A guest for this test, VeNCrypt with x509 verification unless told otherwise."""
        one = make_guest(**options)
        self.addCleanup(one.stop)
        return one

    @classmethod
    def start_class_libvirtd(cls, **options):
        """A libvirtd for all tests of a class (see lab.libvirtd)."""
        one = make_libvirtd(**options)
        cls.addClassCleanup(one.stop)
        return one

    def start_libvirtd(self, **options):
        """A libvirtd for this test, with the lab's certificates."""
        one = make_libvirtd(**options)
        self.addCleanup(one.stop)
        return one

    def start_resolver(self, *libvirtds, wait=True, **flags):
        """A virtconsoleresolverd for these; flags as start_daemon()."""
        one = make_resolver(libvirtds, wait, **flags)
        self.addCleanup(check_end, one)
        return one

    @classmethod
    def start_class_resolver(cls, *libvirtds, **flags):
        one = make_resolver(libvirtds, **flags)
        cls.addClassCleanup(check_end, one)
        return one

    def open(self, proxy, token, version="3.8", **options):
        """A session with the guest's screen -> (WebSocket, rfb.Client)."""
        sock = self.websocket(proxy, token, **options)
        return sock, rfb.Client(sock, version=version)

    def websocket(self, proxy, token=None, **options):
        sock = proxy.websocket(token, **options)
        self.addCleanup(sock.drop)
        return sock

    def outcome(self, proxy, token, version="3.8", **options):
        """Logs in as a viewer would, where this must fail -> Outcome."""
        sock = self.websocket(proxy, token, **options)
        rfb_reason = None
        try:
            rfb.login(sock, version)
        except rfb.Failed as failed:
            rfb_reason = failed.reason
        except ws.Closed:
            pass
        else:
            self.fail("the login went through")
        return Outcome(rfb_reason, *sock.wait_close())

    def assert_refused(self, outcome, code, secrets=()):
        """The code, and reasons that say something without saying anything of the inside."""
        self.assertEqual(outcome.code, code, outcome)
        self.assert_plain(outcome.reason, secrets)
        if outcome.rfb_reason is not None:
            self.assert_plain(outcome.rfb_reason, secrets)

    def assert_plain(self, reason, secrets=()):
        self.assertRegex(reason, r"[A-Za-z]{2,} [a-z]", "not a sentence that a person understands")
        self.assertLessEqual(len(reason.encode()), REASON_BYTES)
        self.assertTrue(reason.isprintable(), reason)
        for word in ("127.0.0.1", "localhost", "gnutls", "errno", "vencrypt", "x509", ".pem", "/",
                     "qemu", "error_", *secrets):
            self.assertNotIn(word.lower(), reason.lower())
        self.assertIsNone(re.search(r"-?\d{2,}", reason), f"a number from the inside: {reason!r}")

    def assert_serves(self, proxy, token, vm):
        """A new session of the token shows the guest's screen."""
        sock, client = self.open(proxy, token)
        self.assertEqual(client.update(), vm.screendump())
        sock.close()

    def skip_when_sanitized(self):
        if daemon.is_sanitized():
            self.skipTest("memory figures mean nothing under a sanitizer")


def make_daemon(tokens=None, environment=None, passed=(), **flags):
    return daemon.Daemon(new_directory("daemon"), certificates(), tokens,
                         {_flag(name): value for name, value in flags.items()}, environment, passed)


def make_libvirtd(**options):
    lacking = libvirtd.missing()
    if lacking:
        raise unittest.SkipTest(lacking)
    return libvirtd.Libvirtd(new_directory("libvirtd"), certificates(), **options)


def make_resolver(libvirtds, wait=True, environment=None, passed=(), **flags):
    uris = [one if isinstance(one, str) else one.uri for one in libvirtds]
    return resolverd.Resolverd(new_directory("resolverd"), certificates(), uris,
                               {_flag(name): value for name, value in flags.items()},
                               environment, wait, passed)


def check_end(one):
    status = one.stop()
    if status != 0:
        raise AssertionError(f"exit status of the daemon after SIGTERM: {status}")
    if one.stop_seconds >= program.STOP_TIMEOUT:
        raise AssertionError(f"the daemon took {one.stop_seconds:.1f} s to go down")


def make_guest(**options):
    options.setdefault("tls", certificates().qemu_dir())
    return guest.Guest(new_directory("guest"), image=image(), **options)


def _flag(name):
    return "--" + name.replace("_", "-")
