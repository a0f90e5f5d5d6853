# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files that are renewed while a daemon uses them, in the ways that tools have of doing it.

    files = renewed.Files(directory)
    flags = {"--listen-tls-cert": files.put("server.pem", pair.cert), ...}
    files.replace("server.pem", other.cert)     # by rename(2), as certbot does
    files.overwrite("server.pem", other.cert)   # in place, as cp does

A switched link, as Kubernetes has it, is a Volume.
"""
import os
import shutil
import ssl

from . import pki


def shown(pair):
    """What a peer sees of a Pair: its certificate in DER, without the chain behind it."""
    end = "-----END CERTIFICATE-----\n"
    return ssl.PEM_cert_to_DER_cert(pki.read(pair.cert).partition(end)[0] + end)


class Files:
    def __init__(self, directory):
        self.directory = directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def put(self, name, source):
        shutil.copyfile(source, self.path(name))
        return self.path(name)

    overwrite = put

    def replace(self, name, source):
        self.put(name + ".new", source)
        os.rename(self.path(name + ".new"), self.path(name))

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(text)
        return self.path(name)


class Volume:
    """directory/NAME -> ..data/NAME, and ..data -> a directory of each generation."""

    def __init__(self, directory, sources):
        self.directory = directory
        self.generation = 0
        self.switch(sources)
        for name in sources:
            os.symlink(os.path.join("..data", name), self.path(name))

    def path(self, name):
        return os.path.join(self.directory, name)

    def switch(self, sources):
        self.generation += 1
        fresh = f"..{self.generation}"
        os.mkdir(self.path(fresh))
        for name, source in sources.items():
            shutil.copyfile(source, os.path.join(self.path(fresh), name))
        os.symlink(fresh, self.path("..new"))
        os.rename(self.path("..new"), self.path("..data"))
