#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a program with what a unit takes away from it, as far as that needs no systemd.

    confine.py UNIT PROGRAM [ARGUMENT...]

System calls, socket families, memory that is writable and executable, capabilities, new privileges.
"""
import os
import re
import socket
import subprocess
import sys

import seccomp

PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000


def settings(unit):
    """Name -> values, in order; an empty one forgets those before it."""
    found = {}
    with open(unit, encoding="utf-8") as file:
        for name, value in re.findall(r"^(\w+)=(.*)$", file.read(), re.MULTILINE):
            found[name] = [*found.get(name, []), value] if value else []
    return found


def expand(names):
    """System calls of the groups among them."""
    calls = set()
    for name in names:
        if name.startswith("@"):
            listed = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, text=True,
                                    capture_output=True, stdin=subprocess.DEVNULL).stdout
            calls |= expand(re.findall(r"^    ([@\w-]+)$", listed, re.MULTILINE))
        else:
            calls.add(name)
    return calls


def allowed_calls(values):
    """SystemCallFilter=, whose first line is a list of what is allowed. systemd always adds @default."""
    calls = expand(["@default"])
    for value in values:
        if value.startswith("~"):
            calls -= expand(value[1:].split())
        else:
            calls |= expand(value.split())
    return calls


def restrict_calls(unit):
    rules = seccomp.SyscallFilter(seccomp.ERRNO(1))             # EPERM
    for call in sorted(allowed_calls(unit["SystemCallFilter"]) - {"socket"}):
        try:
            rules.add_rule(seccomp.ALLOW, call)
        except (RuntimeError, OSError, ValueError):              # of another architecture
            continue
    for family in unit["RestrictAddressFamilies"][0].split():
        rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
    rules.load()


def restrict_memory():
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    both = PROT_WRITE | PROT_EXEC
    rules.add_rule(seccomp.ERRNO(1), "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, both))
    for call in ("mprotect", "pkey_mprotect"):
        rules.add_rule(seccomp.ERRNO(1), call, seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, PROT_EXEC))
    rules.add_rule(seccomp.ERRNO(1), "shmat", seccomp.Arg(2, seccomp.MASKED_EQ, SHM_EXEC, SHM_EXEC))
    rules.load()


def drop_capabilities():
    """Starts anew without any, since what setpriv does is forbidden later."""
    os.environ["CONFINE_DROPPED"] = "1"
    os.execvp("setpriv", ["setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable, "-B", *sys.argv])


def main():
    unit = settings(sys.argv[1])
    if os.geteuid() == 0 and unit["CapabilityBoundingSet"] == [] and "CONFINE_DROPPED" not in os.environ:
        drop_capabilities()
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        restrict_memory()
    restrict_calls(unit)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
