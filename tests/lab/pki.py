# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private PKI for tests and the demo, made with certtool (package gnutls-bin), EC P-256.

    certs = pki.make(directory)      # makes it, or takes what is there already
    certs.ca                         # path of the CA certificate (PEM)
    certs.proxy_server               # .cert .key: for --listen-tls-*; localhost, 127.0.0.1, ::1
    certs.proxy_client               # .cert .key: for --connect-tls-* and --resolver-tls-*
    certs.qemu_dir()                 # directory for QEMU's tls-creds-x509: ca-cert.pem,
                                     # server-cert.pem, server-key.pem; same three names
    certs.qemu_dir("b", names=["guest-b.example"])
    certs.issue("odd", names=[...], expired=True)     # any other certificate, see issue()

Everything but the first four is made when first asked for; one certificate takes about 20 ms.
"""
import os
import subprocess
import threading
from collections import namedtuple

Pair = namedtuple("Pair", "cert key")

LOCALHOST = ("localhost", "127.0.0.1", "::1")

EC = ("--key-type", "ecdsa", "--curve", "secp256r1")
RSA = ("--key-type", "rsa", "--bits", "2048")

# certtool wants absolute times to make certificates that are not valid today
EXPIRED = ("2001-01-01 00:00:00", "2002-01-01 00:00:00")
FUTURE = ("2090-01-01 00:00:00", "2091-01-01 00:00:00")


def make(directory):
    """Returns a Pki in directory, with the CA and the proxy's two certificates made."""
    certs = Pki(directory)
    certs.ca, certs.proxy_server, certs.proxy_client    # made by asking
    return certs


class Pki:
    def __init__(self, directory):
        self.directory = os.path.abspath(directory)
        self._lock = threading.RLock()
        os.makedirs(self.directory, mode=0o700, exist_ok=True)

    @property
    def ca(self):
        return self.authority().cert

    @property
    def other_ca(self):
        """A CA of somebody else."""
        return self.authority("other").cert

    @property
    def proxy_server(self):
        return self.issue("proxy-server", purposes=("server",))

    @property
    def proxy_client(self):
        return self.issue("proxy-client", names=("proxy.example",), purposes=("client",))

    @property
    def resolver_server(self):
        return self.issue("resolver-server", purposes=("server",))

    @property
    def other_client(self):
        """A client certificate that the CA of the lab has not signed."""
        return self.issue("other-client", names=("proxy.example",), purposes=("client",),
                          authority="other")

    def authority(self, name="main", parent=None):
        """A CA, as a Pair; with parent it is an intermediate one below that CA."""
        with self._lock:
            lines = [f"cn = {name} CA", "ca", "cert_signing_key", "crl_signing_key",
                     "expiration_days = 3650"]
            signer = self.authority(parent) if parent else None
            return self._certificate(f"ca-{name}", lines, signer)

    def issue(self, label, names=LOCALHOST, purposes=("server", "client"), cn=None,
              authority="main", expired=False, future=False, chain=False, rsa=False):
        """A certificate under a label of its own; the same label gives the same certificate.

        names     host names and IP addresses for subjectAltName; () for none at all
        cn        common name; default: the first of names
        purposes  of "server" and "client": extended key usage
        authority label of the CA that signs
        chain     signed by an intermediate CA, whose certificate follows in the file
        rsa       an RSA key of 2048 bits
        """
        with self._lock:
            lines = [f"cn = {cn or (names[0] if names else label)}", "signing_key"]
            lines += [f"tls_www_{purpose}" for purpose in purposes]
            lines += [_name_line(name) for name in names]
            lines += _validity(expired, future)
            if chain:
                signer = self.authority(f"{authority}-intermediate", parent=authority)
            else:
                signer = self.authority(authority)
            return self._certificate(label, lines, signer, append_signer=chain, key=RSA if rsa else EC)

    def qemu_dir(self, label="qemu", client_ca="main", **options):
        """A directory for QEMU's tls-creds-x509 object (and libvirt's *_tls_x509_cert_dir).

        client_ca is the CA that QEMU accepts clients of; options are those of issue().
        """
        with self._lock:
            directory = os.path.join(self.directory, f"dir-{label}")
            if os.path.exists(directory):
                return directory
            options.setdefault("purposes", ("server",))
            pair = self.issue(f"server-{label}", **options)
            os.mkdir(directory)
            for source, name in ((self.authority(client_ca).cert, "ca-cert.pem"),
                                 (pair.cert, "server-cert.pem"), (pair.key, "server-key.pem")):
                os.symlink(source, os.path.join(directory, name))
            return directory

    def _certificate(self, label, template, signer, append_signer=False, key=EC):
        pair = Pair(self._path(label, "cert"), self._path(label, "key"))
        if os.path.exists(pair.cert):
            return pair
        _certtool("--generate-privkey", *key, "--outfile", pair.key)
        template_path = os.path.join(self.directory, f"{label}.template")
        _write(template_path, "\n".join(["organization = console lab"] + template) + "\n")
        # written under another name first: a certificate that exists is a complete one
        command = ["--template", template_path, "--load-privkey", pair.key,
                   "--outfile", pair.cert + ".new"]
        if signer:
            _certtool("--generate-certificate", "--load-ca-certificate", signer.cert,
                      "--load-ca-privkey", signer.key, *command)
        else:
            _certtool("--generate-self-signed", *command)
        if append_signer:
            with open(pair.cert + ".new", "a", encoding="ascii") as chain:
                chain.write(read(signer.cert))
        os.rename(pair.cert + ".new", pair.cert)
        return pair

    def _path(self, label, kind):
        return os.path.join(self.directory, f"{label}-{kind}.pem")


def read(path):
    with open(path, encoding="ascii") as text:
        return text.read()


def _write(path, text):
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


def _name_line(name):
    is_address = ":" in name or name.replace(".", "").isdigit()
    return f"ip_address = {name}" if is_address else f"dns_name = {name}"


def _validity(expired, future):
    if not expired and not future:
        return ["expiration_days = 3650"]
    begin, end = EXPIRED if expired else FUTURE
    return [f'activation_date = "{begin}"', f'expiration_date = "{end}"']


def _certtool(*arguments):
    done = subprocess.run(["certtool", *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"certtool {' '.join(arguments)}:\n{done.stdout}")
