# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs virtconsoleresolveradm (environment VCR_ADM_BINARY names the program), and looks at what it did.

    done = adm.run(daemon, "enable", "demo")       # daemon: a lab.libvirtd.Libvirtd; the CompletedProcess
    adm.entries(daemon, "demo", live=True)         # metadata: a list of attributes, None where there is none
    adm.secrets(daemon, "demo")                    # UUID -> value (bytes; None: it has none)

run() fails where a token is in the output of any command but url. AdmCase is the test case for it.
"""
import base64
import itertools
import os
import pathlib
import re
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree
from uuid import uuid4

from . import case, resolverd as _resolverd
from .libvirtd import Failed, Tcp
from .program import path_from
from .resolverd import NAMESPACE

TIMEOUT = 60
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

_shared = {}


def program():
    return path_from("VCR_ADM_BINARY")


def run(daemon, *arguments, wrapper=(), connect=True):
    """wrapper: a command that runs the program."""
    uri = ["-c", daemon.uri] if connect else []
    environment = dict(os.environ)
    if wrapper:                           # a sanitizer can't look for leaks under ptrace
        environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    done = subprocess.run([*wrapper, program(), *uri, *arguments], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=TIMEOUT, env=environment)
    if "url" not in arguments:
        for value in all_secrets(daemon).values():
            if value and value[1] and value[1].decode("latin-1") in done.stdout + done.stderr:
                raise AssertionError(f"a token in the output of {arguments}")
    return done


def entries(daemon, name, live):
    try:
        text = daemon.virsh("metadata", name, NAMESPACE, "--live" if live else "--config")
    except Failed as failed:
        if "metadata not found" in str(failed) or "no metadata" in str(failed):
            return None
        raise
    return [dict(node.attrib) for node in ElementTree.fromstring(text)]


def all_secrets(daemon):
    """UUID -> (description, value), from the files of the libvirtd."""
    directory = os.path.join(daemon.directory, "etc/secrets")
    found = {}
    for name in os.listdir(directory) if os.path.isdir(directory) else []:
        uuid, kind = os.path.splitext(name)
        if kind == ".xml":
            found[uuid] = (_description(os.path.join(directory, name)),
                           _value(os.path.join(directory, uuid + ".base64")))
    return found


def secrets(daemon, name):
    """Those of one guest."""
    end = f" console proxy domain {daemon.uuid(name)}"
    return {uuid: value for uuid, (description, value) in all_secrets(daemon).items() if description.endswith(end)}


def token(daemon, name, kind, port=0):
    """By the metadata of a running guest."""
    for entry in entries(daemon, name, live=True):
        if (entry["type"], entry["port"]) == (kind, str(port)):
            return secrets(daemon, name)[entry["token"]].decode()
    raise AssertionError(f"{name} has no {kind} {port}")


def _description(path):
    with open(path, encoding="utf-8") as text:
        return (re.search(r"<description>(.*?)</description>", text.read()) or ["", ""])[1]


def _value(path):
    try:
        with open(path, "rb") as text:
            return base64.b64decode(text.read())
    except FileNotFoundError:
        return None


_names = itertools.count(1)


class AdmCase(case.Case):
    """One libvirtd, and in it one running guest, for all tests of a program; other guests are a test's own."""

    @classmethod
    def setUpClass(cls):
        if "daemon" not in _shared:
            _shared["daemon"] = case.make_libvirtd()
            unittest.addModuleCleanup(_shared["daemon"].stop)
        cls.daemon = _shared["daemon"]

    def running(self):
        """The running guest: a console of each kind, persistent, disabled before and after the test."""
        name = "running"
        if "running" not in _shared:
            self.daemon.define(name, vnc=True, spice=True, serials=[self.tcp()], consoles=[self.tcp()])
            self.daemon.start_guest(name)
            _shared["running"] = name
        self.addCleanup(self.adm, "disable", name)
        return name

    def define(self, name=None, start=False, **options):
        name = name or f"guest{next(_names)}"
        options.setdefault("vnc", True)
        uuid = str(uuid4())               # virsh would take a name that is a number for an id
        self.daemon.define(name, uuid=uuid, **options)
        self.addCleanup(self.daemon.virsh, "undefine", uuid)
        if start:
            self.start(name)
        return name

    def start(self, name):
        self.daemon.start_guest(name)
        self.addCleanup(self.daemon.destroy, name)

    def create(self, **options):
        name = f"guest{next(_names)}"
        self.daemon.create(name, vnc=True, **options)
        self.addCleanup(self.daemon.destroy, name)
        return name

    def tcp(self, **options):
        return Tcp(self.daemon.free_port(), **options)

    def adm(self, *arguments, **options):
        return run(self.daemon, *arguments, **options)

    def done(self, *arguments):
        """A run that goes well and has nothing to remark -> standard output."""
        ran = self.adm(*arguments)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return ran.stdout

    def enable(self, name, *flags):
        self.assertEqual(self.done("enable", name, *flags), f"Enabled access to domain '{name}'\n")

    def disable(self, name):
        self.assertEqual(self.done("disable", name), f"Disabled access to domain '{name}'\n")

    def failed(self, *arguments, status=1):
        """A run that fails -> standard error."""
        ran = self.adm(*arguments)
        self.assertEqual((ran.returncode, ran.stdout), (status, ""))
        return ran.stderr

    def entries(self, name, live=False):
        return entries(self.daemon, name, live)

    def secrets(self, name):
        return secrets(self.daemon, name)

    def consoles(self, name, live=False):
        return [(entry["type"], entry["port"]) for entry in self.entries(name, live)]

    def assert_enabled(self, name, live, config):
        """Metadata at these places, the same; a secret with a token for each entry, and no others."""
        found = [self.entries(name, is_live) for is_live, has in ((True, live), (False, config)) if has]
        self.assertTrue(found[0])
        self.assertEqual(found[0], found[-1])
        self.assertEqual({entry["token"] for entry in found[0]}, set(self.secrets(name)))
        for value in self.secrets(name).values():
            self.assertRegex(value.decode(), f"^{UUID}$")

    def assert_disabled(self, name, live, config):
        for is_live, has in ((True, live), (False, config)):
            if has:
                self.assertIsNone(self.entries(name, is_live))
        self.assertEqual(self.secrets(name), {})

    def set_metadata(self, name, consoles, live=False):
        _resolverd.set_metadata(self.daemon, name, consoles, live)

    def make_secret(self, value=None, description="", **options):
        """A secret made by hand -> its UUID."""
        secret = str(uuid4())
        path = os.path.join(self.daemon.directory, "secret.xml")
        pathlib.Path(path).write_text(
            f"<secret ephemeral='no' private='{options.get('private', 'no')}'><uuid>{secret}</uuid>"
            f"<description>{description}</description></secret>", encoding="utf-8")
        self.daemon.virsh("secret-define", path)
        self.addCleanup(self.forget_secret, secret)
        if value is not None:
            _resolverd.set_token(self.daemon, secret, value)
        return secret

    def forget_secret(self, secret):
        if secret in all_secrets(self.daemon):
            self.daemon.virsh("secret-undefine", secret)
