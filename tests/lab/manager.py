# SPDX-License-Identifier: LGPL-2.1-or-later
"""A service manager as far as a daemon sees one: sockets that it opens and keeps, messages that it gets.

    manager = Manager(directory, watchdog=1.0)
    manager.listen_tcp("127.0.0.1"), manager.listen_unix("front.sock")
    program.Program(path, flags, manager.environment(), passed=manager.sockets)
    manager.wait("READY", "1")
"""
import ctypes
import os
import pathlib
import socket
import threading
import time
from contextlib import contextmanager

PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000
BACKLOG = 16


class Manager:
    def __init__(self, directory, watchdog=None):
        """watchdog: WatchdogSec= of the service."""
        self.directory = directory
        self.watchdog = watchdog
        self.sockets = []
        self.messages = []                      # (key, value) as they came
        self._changed = threading.Condition()
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(os.path.join(directory, "notify"))
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def close(self):
        self._inbox.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        for one in (*self.sockets, self._inbox):
            one.close()

    def environment(self):
        variables = {"NOTIFY_SOCKET": self._inbox.getsockname()}
        if self.watchdog is not None:
            variables["WATCHDOG_USEC"] = str(int(self.watchdog * 1_000_000))
        return variables

    def listen_tcp(self, host):
        """-> (host, port)"""
        one = socket.create_server((host, 0), backlog=BACKLOG,
                                   family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.sockets.append(one)
        return one.getsockname()[:2]

    def listen_unix(self, name):
        """-> path"""
        one = socket.socket(socket.AF_UNIX)
        one.bind(os.path.join(self.directory, name))
        one.listen(BACKLOG)
        self.sockets.append(one)
        return one.getsockname()

    def mark(self):
        with self._changed:
            return len(self.messages)

    def wait(self, key, value=None, after=0, timeout=30):
        """Waits for a message (from number `after` on); the number of the one behind it."""
        deadline = time.monotonic() + timeout
        at = after
        with self._changed:
            while True:
                while at < len(self.messages):
                    if self.messages[at][0] == key and value in (None, self.messages[at][1]):
                        return at + 1
                    at += 1
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise TimeoutError(f"no {key}={value or '...'} came; what came: {self.messages[after:]}")

    def is_silent(self, key, after, seconds):
        """Whether no such message comes for so long."""
        try:
            self.wait(key, after=after, timeout=seconds)
        except TimeoutError:
            return True
        return False

    def _collect(self):
        while True:
            try:
                text = self._inbox.recv(65536).decode()
            except OSError:
                return
            if not text:                        # shut down; a message is never empty
                return
            with self._changed:
                self.messages += [tuple(line.split("=", 1)) for line in text.splitlines()]
                self._changed.notify_all()


def threads(pid, name):
    """Those of a process that are called so."""
    tasks = pathlib.Path(f"/proc/{pid}/task")
    return [int(task.name) for task in tasks.iterdir() if (task / "comm").read_text().strip() == name]


@contextmanager
def halted(tid):
    """One thread stands still while the others go on, as if it hung."""
    _ptrace(PTRACE_ATTACH, tid)
    os.waitpid(tid, WALL)
    try:
        yield
    finally:
        _ptrace(PTRACE_DETACH, tid)


def _ptrace(request, tid):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, tid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
