# SPDX-License-Identifier: LGPL-2.1-or-later
"""A libvirtd of the test's own, with real guests (TCG, our boot sector). Needs root.

    with libvirtd.Libvirtd("/tmp/x/a", certs) as daemon:     # started and answering
        daemon.define("demo", vnc=True, serials=[libvirtd.Tcp(daemon.free_port())])
        daemon.start_guest("demo")
        daemon.virsh("dumpxml", "demo")                      # -> standard output
        daemon.uri                                           # for virsh -c and the like

Libvirtd(directory,          # private to this libvirtd; made if missing
         certs=None,         # lab.pki.Pki; needed with tls
         tls=True,           # TLS with client certificates verified: VNC, SPICE, chardevs
         vnc_password=None,  # qemu.conf's password for every VNC display
         spice_password=None,
         start=True)

It lives in a mount and a PID namespace: its directories are mounted over those of the system, and
guests, which outlive their libvirtd, end with the namespace: at stop(), and when the test is killed.
Any number of them run at once; each has a range of ports of its own. The first start of a test program
asks QEMU what it can do (1-8 s), the others take the answer over (0.2 s).

domain_xml() writes the guests:

    domain_xml(name, image,          # a floppy image of guest.build_image()
               uuid=None,
               vnc=False,            # True, or attributes of <graphics>, e.g. {"passwd": "x"}
               spice=False,          # the same; tlsPort only unless {"defaultMode": "any"}
               serials=(),           # of Tcp(...) or PTY, as <serial>
               consoles=(),          # the same, as <console> of type virtio
               metadata="")          # inside <metadata>
"""
import itertools
import os
import shutil
import socket
import subprocess
from collections import namedtuple
from xml.sax.saxutils import quoteattr

from . import guest

PROGRAM = "/usr/sbin/libvirtd"
CAPABILITIES = "cache/qemu/capabilities"
TIMEOUT = 60
PORT_RANGES = range(10000, 32000, 100)     # below what the kernel gives out itself
DISPLAYS = 50                              # ports of a range that libvirtd gives out

# The first process of the namespaces: it mounts, and then runs the lines that it reads. Its end is the
# end of every process inside. bash, because it reaps the guests, whose parent it becomes.
INIT = r"""
set -e
mount --bind passwd /etc/passwd
mount --bind group /etc/group
for pair in etc:/etc run:/run lib:/var/lib log:/var/log cache:/var/cache; do
    mkdir -p "${pair#*:}/libvirt"
    mount --bind "${pair%%:*}" "${pair#*:}/libvirt"
done
mount -t proc proc /proc
cd /
set +e
while read -r line; do
    eval "$line" >/dev/null
    echo $?
done
"""

LIBVIRTD_CONF = """\
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:{log}"
{more}
"""

QEMU_CONF = """\
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
seccomp_sandbox = 0
stdio_handler = "file"
set_process_name = 0
vnc_listen = "127.0.0.1"
spice_listen = "127.0.0.1"
"""

# Libvirt takes this account for granted, even where it is told to use another one.
ACCOUNTS = {"passwd": "libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin\n",
            "group": "libvirt-qemu:x:64055:\n"}

# A console that listens on TCP; tls=None: as the libvirtd was told.
Tcp = namedtuple("Tcp", "port host telnet tls mode", defaults=("127.0.0.1", False, None, "bind"))
PTY = None

_probed = {}              # what QEMU can do, as the first libvirtd of this process found out


# The same for a user's own libvirtd: there is no namespace that would end the guests.
SESSION_INIT = r"""
while read -r line; do
    eval "$line" >/dev/null
    echo $?
done
for file in run/qemu/run/*.pid; do
    kill -KILL "$(cat "$file")"
done
kill -KILL $pid
"""


class Failed(Exception):
    """virsh's error message."""


def missing():
    """What this machine lacks to run a libvirtd, or None."""
    if os.geteuid() != 0:
        return "a private libvirtd needs root"
    for program in (PROGRAM, "virsh", "unshare", "qemu-system-x86_64"):
        if not shutil.which(program):
            return f"no {program} on this machine"
    return None


class Libvirtd:
    QEMU_ACCOUNT = 'user = "root"\ngroup = "root"\n'

    def __init__(self, directory, certs=None, tls=True, vnc_password=None, spice_password=None,
                 start=True):
        self.directory = os.path.abspath(directory)
        self.image = None
        self._claim, self._ports = _claim_ports()
        self._served_ports = itertools.cycle(self._ports[DISPLAYS:])
        for name in ("etc", "run", "lib", "log", "cache"):
            os.makedirs(self._path(name), exist_ok=True)
        self._write("etc/libvirtd.conf", self._libvirtd_conf())
        self._write("etc/qemu.conf", QEMU_CONF + self.QEMU_ACCOUNT + self._qemu_conf(certs if tls else None, vnc_password,
                                                                 spice_password))
        for name, line in ACCOUNTS.items():
            with open(f"/etc/{name}", encoding="utf-8") as system:
                self._write(name, system.read() + line)
        self._init = self._start_init()
        if start:
            try:
                self.start()
            except BaseException:
                self.stop()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # --- the daemon ------------------------------------------------------------------------------

    @property
    def socket_path(self):
        return self._path("run/libvirt-sock")

    @property
    def uri(self):
        return f"qemu+unix:///system?socket={self.socket_path}"

    def start(self):
        """Starts it, again after kill() or terminate(); guests that still run come back."""
        if _probed and not os.path.exists(self._path(CAPABILITIES)):
            shutil.copytree(_probed["directory"], self._path(CAPABILITIES))
        self._do(self._command())
        guest.wait_until(self._answers, "libvirtd", TIMEOUT)
        self.virsh("capabilities")
        _probed.setdefault("directory", self._path(CAPABILITIES))

    def kill(self):
        """SIGKILL for libvirtd; its guests go on."""
        self._signal("KILL")

    def terminate(self):
        """SIGTERM for libvirtd, as a service manager would; its guests go on."""
        self._signal("TERM")

    def pause(self):
        """It hangs: connections stay open, nothing is answered."""
        self._do("kill -STOP $pid")

    def resume(self):
        self._do("kill -CONT $pid")

    def stop(self):
        """The end of it and of all its guests."""
        self._init.stdin.close()
        self._init.wait(TIMEOUT)
        self._init.stdout.close()
        self._claim.close()

    def inside(self, command):
        """Runs a shell command as the libvirtd sees the machine, and where it must go well."""
        status = self._do(command)
        if status != 0:
            raise RuntimeError(f"status {status} of {command}")

    def log(self):
        with open(self._path("log/libvirtd.log"), encoding="utf-8", errors="replace") as text:
            return text.read()

    # --- its guests ------------------------------------------------------------------------------

    def virsh(self, *arguments, input=None):
        """Runs virsh; its standard output without the last newline, or Failed."""
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *arguments], input=input or "", text=True,
                              capture_output=True, timeout=TIMEOUT,
                              env={**os.environ, "LC_ALL": "C", "HOME": self.directory})
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        return done.stdout.strip()

    def xml(self, name, **options):
        """domain_xml() with this libvirtd's image."""
        if self.image is None:
            self.image = guest.build_image(self._path("guest.img"))
        options.setdefault("image", self.image)
        return domain_xml(name, **options)

    def define(self, name, xml=None, **options):
        """A persistent guest, from XML or with the options of domain_xml()."""
        self.virsh("define", self._write(f"{name}.xml", xml or self.xml(name, **options)))

    def create(self, name, xml=None, **options):
        """As define(), but transient and running."""
        self.virsh("create", self._write(f"{name}.xml", xml or self.xml(name, **options)))

    def start_guest(self, name):
        self.virsh("start", name)

    def destroy(self, name):
        self.virsh("destroy", name)

    def kill_guest(self, name):
        """SIGKILL for its QEMU."""
        with open(self._path(f"run/qemu/{name}.pid"), encoding="ascii") as pid:
            self._do(f"kill -KILL {int(pid.read())}")

    def uuid(self, name):
        return self.virsh("domuuid", name)

    def free_port(self):
        """A port that no other test uses, for a serial port or a console."""
        for port in self._served_ports:
            if _is_free(port):
                return port

    # --- inside ----------------------------------------------------------------------------------

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _write(self, name, text):
        path = self._path(name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def _qemu_conf(self, certs, vnc_password, spice_password):
        lines = [f"remote_display_port_min = {self._ports[0]}",
                 f"remote_display_port_max = {self._ports[DISPLAYS - 1]}"]
        if certs:
            for server in ("vnc", "spice", "chardev"):
                lines += [f"{server}_tls = 1", f'{server}_tls_x509_cert_dir = "{certs.qemu_dir()}"']
            lines += ["vnc_tls_x509_verify = 1", "chardev_tls_x509_verify = 1"]
        if vnc_password is not None:
            lines.append(f'vnc_password = "{vnc_password}"')
        if spice_password is not None:
            lines.append(f'spice_password = "{spice_password}"')
        return "\n".join(lines) + "\n"

    def _start_init(self):
        # the pipe closes with the test, which ends the loop; setpriv for a test that left a child behind
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child",
             "--propagation", "private", "bash", "-c", INIT],
            cwd=self.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _libvirtd_conf(self):
        return LIBVIRTD_CONF.format(log="/var/log/libvirt/libvirtd.log", more='unix_sock_dir = "/run/libvirt"')

    def _command(self):
        return (f"{PROGRAM} -f /etc/libvirt/libvirtd.conf -p /run/libvirt/libvirtd.pid"
                " </dev/null >>/var/log/libvirt/output.log 2>&1 & pid=$!")

    def _do(self, line):
        self._init.stdin.write(line + "\n")
        self._init.stdin.flush()
        answer = self._init.stdout.readline()
        if not answer:
            raise RuntimeError("the namespace of the libvirtd is gone; can this machine make one?")
        return int(answer)

    def _signal(self, name):
        self._do(f"{{ kill -{name} $pid; wait $pid; }} 2>/dev/null")      # bash says who was killed

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(self.socket_path)
            except OSError:
                return False
        return True


class SessionLibvirtd(Libvirtd):
    """A user's own libvirtd (qemu:///session), as far as that user's rights go; not for root."""

    QEMU_ACCOUNT = ""       # it has no other than its own

    # XDG directory → ours, of which it is the part called libvirt. Short: sockets have paths there.
    DIRECTORIES = {"XDG_CONFIG_HOME": "etc", "XDG_RUNTIME_DIR": "run", "XDG_CACHE_HOME": "cache"}

    @property
    def uri(self):
        return f"qemu+unix:///session?socket={self.socket_path}"

    def kill_guest(self, name):
        with open(self._path(f"run/qemu/run/{name}.pid"), encoding="ascii") as pid:
            self._do(f"kill -KILL {int(pid.read())}")

    def _start_init(self):
        environment = {}
        for name, ours in self.DIRECTORIES.items():
            environment[name] = self._path(f"x/{ours}")
            os.makedirs(environment[name], mode=0o700)
            os.symlink(self._path(ours), os.path.join(environment[name], "libvirt"))
        # it ends with the pipe, and takes the rest along
        return subprocess.Popen(["bash", "-c", SESSION_INIT], cwd=self.directory, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True, start_new_session=True,
                                env={**os.environ, **environment, "HOME": self.directory})

    def _libvirtd_conf(self):
        return LIBVIRTD_CONF.format(log=self._path("log/libvirtd.log"), more="")

    def _command(self):
        return f"{PROGRAM} -f etc/libvirtd.conf -p run/libvirtd.pid </dev/null >>log/output.log 2>&1 & pid=$!"


def domain_xml(name, image, uuid=None, vnc=False, spice=False, serials=(), consoles=(), metadata=""):
    devices = [f"<disk type='file' device='floppy'><driver name='qemu' type='raw'/><source file={quoteattr(image)}/>"
               "<target dev='fda' bus='fdc'/><readonly/></disk>",
               "<controller type='usb' model='none'/><memballoon model='none'/>"]
    if vnc is not False:
        devices.append(_graphics("vnc", {}, vnc))
    if spice is not False:
        devices.append(_graphics("spice", {"defaultMode": "secure"}, spice))
    devices += [_character_device("serial", "isa-serial", port, one) for port, one in enumerate(serials)]
    devices += [_character_device("console", "virtio", port, one) for port, one in enumerate(consoles)]
    return (f"<domain type='qemu'><name>{name}</name>{f'<uuid>{uuid}</uuid>' if uuid else ''}"
            f"<metadata>{metadata}</metadata><memory unit='MiB'>16</memory>"
            "<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='fd'/></os>"
            f"<devices>{''.join(devices)}</devices></domain>")


def _graphics(kind, defaults, given):
    attributes = {"type": kind, "port": "-1", "autoport": "yes", **defaults,
                  **(given if isinstance(given, dict) else {})}
    return f"<graphics {_attributes(attributes)}/>"


def _character_device(element, target, port, one):
    if one is PTY:
        source = f"<{element} type='pty'>"
    else:
        attributes = {"mode": one.mode, "host": one.host, "service": str(one.port)}
        if one.tls is not None:
            attributes["tls"] = "yes" if one.tls else "no"
        source = (f"<{element} type='tcp'><source {_attributes(attributes)}/>"
                  f"<protocol type='{'telnet' if one.telnet else 'raw'}'/>")
    return f"{source}<target type='{target}' port='{port}'/></{element}>"


def _attributes(values):
    return " ".join(f"{name}={quoteattr(value)}" for name, value in values.items())


def _claim_ports():
    """A range that is nobody else's for as long as the socket lives, which holds its first port."""
    start = os.getpid() % len(PORT_RANGES)
    for first in [*PORT_RANGES[start:], *PORT_RANGES[:start]]:
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))
            return claim, range(first + 1, first + PORT_RANGES.step)
        except OSError:
            claim.close()
    raise RuntimeError("no range of ports is free")


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
