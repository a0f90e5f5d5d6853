#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's nginx before two proxies, as docs/deployment.md has it."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lab import balanced, balancer, tap


class Nginx:
    KIND, PROGRAM, LANGUAGE = balancer.Nginx, "nginx", "nginx"


class TlsPassedOn(Nginx, balanced.Behind):
    MARK = "proxy_protocol on"


class TlsEnded(Nginx, balanced.Behind):
    MARK = "X-Forwarded-For"


if __name__ == "__main__":
    tap.main()
