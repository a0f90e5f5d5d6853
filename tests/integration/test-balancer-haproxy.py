#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's HAProxy before two proxies, as docs/deployment.md has it."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import balanced, balancer, tap


class HAProxy:
    KIND, PROGRAM, LANGUAGE = balancer.HAProxy, "haproxy", "haproxy"


class TlsPassedOn(HAProxy, balanced.Behind):
    MARK = "send-proxy-v2"


class TlsEnded(HAProxy, balanced.Behind):
    MARK = "option forwardfor"


if __name__ == "__main__":
    tap.main()
