# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small QEMU guest (TCG, our boot sector of guest.S) with a VNC server to connect to.

    image = guest.build_image("/tmp/x/guest.img")        # 512 bytes in a floppy image; as + ld
    vm = guest.Guest("/tmp/x/vm", tls=certs.qemu_dir())  # starts QEMU, waits for its banner
    vm.address          # "127.0.0.1:5900", the VNC server; QEMU chose the port
    vm.send_key("a")    # by QMP; vm.serial is COM1, a connected socket
    vm.screendump()     # -> lab.picture.Picture
    vm.stop()           # or use it in a `with` statement

Guest(directory,             # private to this guest; made if missing
      tls=None,              # directory with ca-cert.pem, server-cert.pem, server-key.pem: VeNCrypt
      verify=True,           # with tls: clients need a certificate of ca-cert.pem
      sanity_check=True,     # with tls: False lets QEMU start with a certificate it finds wrong
      password=None,         # VNC password
      vnc="",                # more options of QEMU's -vnc, e.g. "power-control=on,share=ignore"
      name="lab",            # the desktop's name is then "QEMU (lab)"
      image=None,            # a ready floppy image; default: built in directory
      arguments=(),          # more arguments for QEMU
      serial=None,           # COM1 as a console to connect to, see below; default: vm.serial
      virtio=None,           # likewise, and the guest never reads it: a virtio console
      spice=None,            # a SPICE server too: "tls" (certificates of tls), "clear"
      spice_password=None)

A console is "raw", "telnet" or "tn3270", and with "tls " before it there is TLS, with "unix " it is
a unix socket. vm.serial_address and vm.virtio_address are what a service calls it then. COM1 is not
vm.serial any more, but vm.serial_log() is all that the guest said there, heard or not.
"""
import json
import os
import re
import signal
import socket
import subprocess
import time

from . import picture

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest.S")
BANNER = b"LAB READY\r\n> "
FLOOD_SCREEN = b"\x06"
FLOOD_SERIAL = b"\x07"
FLOOD_SERIAL_BYTES = 65536
FLOOD_ENDLESS = b"\x05"
START_TIMEOUT = 60
QMP_TIMEOUT = 60
FLOPPY_BYTES = 1440 * 1024


def build_image(path):
    """Assembles the boot sector into a floppy image at path; returns path."""
    parts = path + ".o", path + ".new"
    subprocess.run(["as", "--32", "-o", parts[0], SOURCE], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x7c00",
                    "-e", "_start", "-o", parts[1], parts[0]], check=True)
    if os.path.getsize(parts[1]) != 512:
        raise RuntimeError("the boot sector is not 512 bytes long")
    os.truncate(parts[1], FLOPPY_BYTES)
    os.unlink(parts[0])
    os.rename(parts[1], path)
    return path


class Guest:
    def __init__(self, directory, tls=None, verify=True, sanity_check=True, password=None,
                 vnc="", name="lab", image=None, arguments=(), serial=None, virtio=None,
                 spice=None, spice_password=None):
        self.directory = os.path.abspath(directory)
        self.name = name
        self.events = []
        os.makedirs(self.directory, exist_ok=True)
        image = image or build_image(os.path.join(self.directory, "guest.img"))
        # connected sockets instead of paths: no stale files, no limit on a path's length
        self.serial, serial_far = socket.socketpair()
        self._monitor, monitor_far = socket.socketpair()
        command = self._machine(image, monitor_far)
        command += self._com1(serial, serial_far) + self._virtio(virtio)
        command += self._vnc(tls, verify, sanity_check, password, vnc)
        command += self._spice(spice, tls, spice_password)
        self._log = os.path.join(self.directory, "qemu.log")
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log,
                                            pass_fds=[serial_far.fileno(), monitor_far.fileno()])
        serial_far.close()
        monitor_far.close()
        try:
            self._wait_started()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def send_key(self, *keys):
        """Presses keys by their QMP names ("a", "ret", "f1") as the machine's keyboard."""
        for key in keys:
            self.qmp("send-key", keys=[{"type": "qcode", "data": key}])

    def expect_serial(self, wanted, timeout=30):
        """Reads COM1 until it ends with wanted; returns all that was read."""
        self.serial.settimeout(timeout)
        seen = b""
        while not seen.endswith(wanted):
            data = self.serial.recv(1)
            if not data:
                raise EOFError(f"COM1 ended after {seen!r}")
            seen += data
        return seen

    @property
    def serial_address(self):
        return self._console_address("serial")

    @property
    def virtio_address(self):
        return self._console_address("virtio")

    @property
    def spice_address(self):
        return f"127.0.0.1:{self.spice_port}"

    def spice_channels(self):
        """(type, id) of what SPICE clients have open, as QEMU sees it."""
        return {(one["channel-type"], one["channel-id"])
                for one in self.qmp("query-spice").get("channels", [])}

    def add_spice_port(self, name):
        """Plugs in a channel while sessions run."""
        self.qmp("chardev-add", id=name, backend={"type": "spiceport", "data": {"fqdn": name}})

    def serial_log(self):
        with open(self._path("serial.log"), "rb") as log:
            return log.read()

    def flood_screen(self):
        """Lets the guest redraw its whole screen without end; end_flood() stops that."""
        self.serial.sendall(FLOOD_SCREEN)

    def end_flood(self):
        self.serial.sendall(b" ")
        self.expect_serial(BANNER)

    def screendump(self):
        path = os.path.join(self.directory, "screen.ppm")
        self.qmp("screendump", filename=path)
        return picture.read_ppm(path)

    def status(self):
        """"running", "paused", "shutdown", ..."""
        return self.qmp("query-status")["status"]

    def vnc_clients(self):
        return self.qmp("query-vnc").get("clients", [])

    def set_password(self, password):
        self.qmp("set_password", protocol="vnc", password=password)

    def freeze(self):
        """QEMU as a whole stops: its sockets stay open, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.kill()
        self.serial.close()
        self._monitor.close()

    def qmp(self, command, **arguments):
        """Runs a QMP command; returns its answer or raises RuntimeError."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._monitor.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._qmp_message()
            if "event" in answer:
                self.events.append(answer["event"])
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(f"QMP {command}: {answer['error']['desc']}")

    def wait_event(self, *names):
        """Waits for a QMP event of one of the names; self.events keeps the names of all."""
        while not set(names) & set(self.events):
            message = self._qmp_message()
            if "event" in message:
                self.events.append(message["event"])

    def _machine(self, image, monitor):
        # setpriv: a test that is killed must not leave its guest behind
        return ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64",
                "-nodefaults", "-no-user-config", "-name", self.name,
                "-machine", "pc,accel=tcg", "-m", "16", "-display", "none", "-vga", "std",
                "-net", "none", "-boot", "order=a",
                "-drive", f"if=floppy,format=raw,readonly=on,file={_escape(image)}",
                "-chardev", f"socket,id=monitor,fd={monitor.fileno()}",
                "-mon", "chardev=monitor,mode=control"]

    def _com1(self, kind, far):
        self._has_log = kind is not None
        chardev = f"socket,id=serial,fd={far.fileno()}"
        if kind is not None:
            chardev = self._console("serial", kind) + f",logfile={_escape(self._path('serial.log'))}"
        return ["-chardev", chardev, "-serial", "chardev:serial"]

    def _virtio(self, kind):
        if kind is None:
            return []
        return ["-device", "virtio-serial", "-chardev", self._console("virtio", kind),
                "-device", "virtconsole,chardev=virtio"]

    def _console(self, name, kind):
        *where, protocol = kind.split()
        option = {"raw": "", "telnet": ",telnet=on", "tn3270": ",tn3270=on"}[protocol]
        at = {"": "host=127.0.0.1,port=0", "tls": "host=127.0.0.1,port=0,tls-creds=tls",
              "unix": f"path={_escape(self._path(name))}"}["".join(where)]
        return f"socket,id={name},{at},server=on,wait=off{option}"

    def _console_address(self, name):
        if os.path.exists(self._path(name)):
            return f"unix:{self._path(name)}"
        [label] = [one["filename"] for one in self.qmp("query-chardev") if one["label"] == name]
        return re.search(r"127\.0\.0\.1:\d+", label)[0]

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _vnc(self, tls, verify, sanity_check, password, more):
        command = []
        options = ["127.0.0.1:0,to=999"]     # QEMU takes the first free port from 5900 on
        if tls:
            command += ["-object", f"tls-creds-x509,id=tls,endpoint=server,dir={_escape(tls)},"
                        f"verify-peer={_on(verify)},sanity-check={_on(sanity_check)}"]
            options.append("tls-creds=tls")
        if password is not None:
            path = os.path.join(self.directory, "vnc-password")
            with open(path, "w", encoding="utf-8", opener=_private) as out:
                out.write(password)
            command += ["-object", f"secret,id=password,file={_escape(path)}"]
            options.append("password-secret=password")
        if more:
            options.append(more)
        return command + ["-vnc", ",".join(options)]

    def _spice(self, kind, tls, password):
        self._spice_reserved = None
        if kind is None:
            return []
        # QEMU takes no port 0 here; between the choice and QEMU's bind nobody else may take it
        self._spice_reserved, self.spice_port = reserve_port()
        options = ["addr=127.0.0.1", "disable-copy-paste=on", "disable-agent-file-xfer=on"]
        if kind == "tls":
            options += [f"tls-port={self.spice_port}", f"x509-dir={_escape(tls)}",
                        "tls-channel=default"]
        else:
            options += [f"port={self.spice_port}"]
        if password is None:
            return ["-spice", ",".join(options + ["disable-ticketing=on"])]
        path = self._path("spice-password")
        with open(path, "w", encoding="utf-8", opener=_private) as out:
            out.write(password)
        return ["-object", f"secret,id=spice-password,file={_escape(path)}",
                "-spice", ",".join(options + ["password-secret=spice-password"])]

    def _wait_started(self):
        self._monitor.settimeout(QMP_TIMEOUT)
        self._unread = b""
        self._qmp_message()                  # greeting
        self.qmp("qmp_capabilities")
        self.port = int(self.qmp("query-vnc")["service"])
        if self._spice_reserved:
            self._spice_reserved.close()
        if self._has_log:
            wait_until(lambda: BANNER in self.serial_log(), "the banner", START_TIMEOUT)
        else:
            self.expect_serial(BANNER, START_TIMEOUT)

    def _qmp_message(self):
        while b"\n" not in self._unread:
            data = self._monitor.recv(65536)
            if not data:
                raise RuntimeError(f"QEMU ended: {self._qemu_said()}")
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return json.loads(line)

    def _qemu_said(self):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return log.read().strip()


def reserve_port():
    """A bound socket and its port, which a server that reuses addresses can listen on."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def wait_until(condition, what, timeout=30):
    """For what sends no event (a kernel's counter, another process): asks until it is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(0.01)


def _escape(value):
    return value.replace(",", ",,")          # QEMU's option syntax


def _on(flag):
    return "on" if flag else "off"


def _private(path, flags):
    return os.open(path, flags, 0o600)
