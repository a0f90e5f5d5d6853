# SPDX-License-Identifier: LGPL-2.1-or-later
"""This machine's system to be changed at will: an overlay over it, in a mount namespace of its own.

    with root.Root(directory) as system:
        system.run("dpkg", "-i", "/mnt/x.deb")       # CompletedProcess; fails the test unless check=False
        system.path("/etc/passwd").read_text()       # as it is in there

What systemctl is told in there is written down: system.calls(). Needs root. files: a directory that is /mnt.
"""
import os
import pathlib
import subprocess

SETUP = r"""
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/all"
mount -t proc proc "$1/all/proc"
mount --rbind /dev "$1/all/dev"
mount --bind "$2" "$1/all/mnt"
mkdir -p "$1/all/run/systemd/system" "$1/all/tmp"
# without it the pages' index is not made anew each time, which takes longer than all the rest
rm -f "$1/all/var/lib/man-db/auto-update"
rm -f "$1/all/usr/sbin/policy-rc.d" "$1/all/usr/bin/systemctl" "$1/all/bin/systemctl"
cat >"$1/all/usr/bin/systemctl" <<'END'
#!/bin/sh
echo "$@" >>/run/systemctl-calls
case "$*" in *is-enabled*) echo enabled ;; esac
END
chmod 755 "$1/all/usr/bin/systemctl"
echo ready
read -r _
"""


class Root:
    def __init__(self, directory, files):
        self._place = directory
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
             "bash", "-euc", SETUP, "bash", directory, files],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != "ready\n":
            raise OSError("no overlay: " + self._process.stderr.read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate("\n")

    def command(self, *command):
        """What runs it in there."""
        return ["nsenter", f"--mount=/proc/{self._process.pid}/ns/mnt", "chroot", f"{self._place}/all", *command]

    def run(self, *command, check=True):
        done = subprocess.run(self.command(*command), stdin=subprocess.DEVNULL, text=True, capture_output=True,
                              check=False, timeout=300, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def path(self, name):
        """By way of the process that holds the namespace."""
        return pathlib.Path(f"/proc/{self._process.pid}/root{self._place}/all{name}")

    def changed(self):
        """Every file and link that is not as on the machine."""
        upper = f"/proc/{self._process.pid}/root{self._place}/upper"
        return {os.path.join(place[len(upper):], name) for place, _, names in os.walk(upper) for name in names}

    def calls(self):
        """What systemctl was told since last asked."""
        path = self.path("/run/systemctl-calls")
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return lines
