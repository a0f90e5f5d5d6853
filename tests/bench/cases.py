# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the bench measures: a row for each figure of docs/performance.md."""
from dataclasses import dataclass
from typing import Callable, Optional

GIB = 1 << 30
KIB_64 = 65536


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    protocol: str               # of the console: vnc, vencrypt, spice, serial
    behaviour: str              # of the backend: source, sink, echo, tick
    kind: str                   # of the load: download, upload, echo, tick, setup, idle
    unit: str                   # of its figure: a row of UNITS, below
    size: int = 64              # of a message
    sessions: int = 1
    count: int = 1              # messages of a session; echoes and set-ups: of all
    rate: int = 1000            # echoes a second
    rsa: bool = False
    resumed: bool = False
    target: Optional[float] = None      # what is to be reached: ratio to haproxy; the figure itself in the last three
    how: str = "one"            # of HOW in the driver
    bound: Optional[Callable] = None    # limit program's figures -> the least that the unit can cost
    only_ours: bool = False
    beside: int = 10000         # idle sessions, where how is "beside-idle"


# name -> (text, factor that makes the text's unit, or µs of a message, of CPU seconds)
UNITS = {
    "GiB": ("CPU s/GiB", 1),
    "message": ("µs CPU/message", 1e6),
    "connection": ("ms CPU/connection", 1e3),
    "p99": ("µs p99", 1e6),
    "session": ("KiB/session", 1),
    "ratio": ("times", 1e6),
}


def download_bound(size, scale=1):
    return lambda limit: (limit["gnutls-receive"][str(size)] + limit["openssl-send"][str(size)]) * scale


def upload_bound(size, scale=1):
    return lambda limit: (limit["openssl-receive"][str(size)] + limit["gnutls-send"][str(size)]) * scale


def echo_bound(limit):
    return download_bound(64)(limit) + upload_bound(64)(limit)


def setup_bound(accept):
    return lambda limit: (limit[accept] + limit["connect"]) / 1000


# µs a message of 64 KiB to seconds a GiB
BULK = GIB / KIB_64 / 1e6

CASES = [
    Case("download-1", "download, 64 KiB writes, 1 session", "spice", "source", "download", "GiB",
         KIB_64, count=16384, target=0.90, bound=download_bound(KIB_64, BULK)),
    Case("download-16", "the same, 16 sessions", "spice", "source", "download", "GiB",
         KIB_64, 16, 1024, target=0.88, bound=download_bound(KIB_64, BULK)),
    Case("vencrypt-16", "VNC through VeNCrypt, 16 sessions", "vencrypt", "source", "download", "GiB",
         KIB_64, 16, 1024, target=0.78, bound=download_bound(KIB_64, BULK)),
    Case("upload-1", "upload, 64 KiB messages, 1 session", "spice", "sink", "upload", "GiB",
         KIB_64, count=16384, target=0.95, bound=upload_bound(KIB_64, BULK)),
    Case("upload-16", "the same, 16 sessions", "spice", "sink", "upload", "GiB",
         KIB_64, 16, 1024, target=0.95, bound=upload_bound(KIB_64, BULK)),
    Case("download-1k", "download, 1 KiB writes, 16 sessions", "spice", "source", "download", "message",
         1024, 16, 32768, target=0.95, bound=download_bound(1024)),
    Case("upload-1k", "upload, 1 KiB messages, 16 sessions", "spice", "sink", "upload", "message",
         1024, 16, 32768, target=1.0, bound=upload_bound(1024)),
    Case("serial-flood", "serial flood, 64-byte writes", "serial", "source", "download", "message",
         64, count=524288, target=0.7, bound=download_bound(64)),
    Case("echo", "64-byte echo, 1,000/s over 50 sessions", "vnc", "echo", "echo", "message",
         64, 50, 10000, target=0.95, bound=echo_bound),
    Case("echo-p99", "the same, p99 latency", "vnc", "echo", "echo", "p99", 64, 50, 10000, target=1.0),
    Case("serial-p99", "serial, 5 ms between messages, p99", "serial", "tick", "tick", "p99",
         64, count=1000, target=1.2),
    Case("setup", "connection set-up, P-256", "serial", "echo", "setup", "connection",
         count=1000, target=0.78, bound=setup_bound("accept")),
    Case("setup-rsa", "the same, RSA-2048", "serial", "echo", "setup", "connection",
         count=1000, target=1.0, rsa=True),
    Case("setup-resumed", "the same, resumed (P-256)", "serial", "echo", "setup", "connection",
         count=1000, target=0.6, resumed=True, bound=setup_bound("accept-resumed")),
    Case("idle", "memory of an idle session, 5,000 open", "vnc", "echo", "idle", "session",
         sessions=5000, target=0.95, how="memory"),
    Case("echo-idle", "echo beside 10,000 idle sessions, against 10", "vnc", "echo", "echo", "ratio",
         64, 50, 5000, target=1.1, how="beside-idle", only_ours=True),
    Case("echo-flood", "echo, p99 while another session floods", "vnc", "echo", "echo", "p99",
         64, 50, 5000, target=5000, how="beside-flood"),
    Case("workers", "bytes a second of CPU of the busier of two workers, against one", "spice", "source",
         "download", "ratio", KIB_64, 16, 1024, target=1.8, how="two-workers", only_ours=True),
]
