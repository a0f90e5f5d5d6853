# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TLS 1.3 client whose records are its own once the handshake is done, for what no library sends.

    tls = tls13.Client(address, proxy.tls_context(), directory)
    tls.send(b"...")                    # a record of application data
    tls.send(tls13.KEY_UPDATE, tls13.HANDSHAKE)
    tls.next_keys()                     # for what is sent from here on
    tls.read()                          # some bytes of application data

Python's ssl makes the handshake and reads; it does not know what is sent beside it.
"""
import ctypes
import ctypes.util
import hmac
import os
import ssl
import struct

from . import rawhttp

HANDSHAKE, APPLICATION_DATA = 22, 23
# RFC 8446, 4.6.3: with update_requested
KEY_UPDATE = b"\x18\0\0\1\1"

SUITE, HASH, SECRET_SIZE, KEY_SIZE, IV_SIZE, TAG_SIZE = "TLS_AES_256_GCM_SHA384", "sha384", 48, 32, 12, 16
GET_TAG = 0x10            # EVP_CTRL_AEAD_GET_TAG


class Client:
    def __init__(self, address, context, directory):
        """context: a client's, not used for anything else; its keys are logged into directory."""
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.keylog_filename = os.path.join(directory, "keys.log")
        self.sock = rawhttp.connect(address)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._wait(self._tls.do_handshake)
        if self._tls.cipher()[0] != SUITE:
            raise ValueError(f"{self._tls.cipher()[0]}, not {SUITE}")
        with open(context.keylog_filename, encoding="ascii") as keys:
            [self._secret] = [bytes.fromhex(line.split()[2]) for line in keys
                              if line.startswith("CLIENT_TRAFFIC_SECRET_0 ")]
        self._use_secret()

    def send(self, data, kind=APPLICATION_DATA):
        inner = data + bytes([kind])
        header = struct.pack(">BHH", APPLICATION_DATA, 0x0303, len(inner) + TAG_SIZE)
        nonce = int.from_bytes(self._iv, "big") ^ self._number
        self._number += 1
        self.sock.sendall(header + _encrypt(self._key, nonce.to_bytes(IV_SIZE, "big"), header, inner))

    def next_keys(self):
        self._secret = self._derive(b"traffic upd", SECRET_SIZE)
        self._use_secret()

    def read(self):
        return self._wait(lambda: self._tls.read(65536))

    def read_until(self, end):
        data = b""
        while not data.endswith(end):
            data += self.read()
        return data

    def _wait(self, step):
        while True:
            try:
                result = step()
                self.sock.sendall(self._outgoing.read())
                return result
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                self._incoming.write(self.sock.recv(65536))

    def _use_secret(self):
        self._key, self._iv, self._number = self._derive(b"key", KEY_SIZE), self._derive(b"iv", IV_SIZE), 0

    def _derive(self, label, size):
        """HKDF-Expand-Label (RFC 8446, 7.1), of no more than a block."""
        label = b"tls13 " + label
        info = struct.pack(">HB", size, len(label)) + label + b"\0"
        return hmac.new(self._secret, info + b"\1", HASH).digest()[:size]


def _encrypt(key, nonce, header, text):
    """AES-256-GCM, by OpenSSL: python has none of its own."""
    crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
    crypto.EVP_CIPHER_CTX_new.restype = crypto.EVP_aes_256_gcm.restype = ctypes.c_void_p
    context, size = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new()), ctypes.c_int()
    out, tag = ctypes.create_string_buffer(len(text)), ctypes.create_string_buffer(TAG_SIZE)
    steps = [crypto.EVP_EncryptInit_ex(context, ctypes.c_void_p(crypto.EVP_aes_256_gcm()), None, key, nonce),
             crypto.EVP_EncryptUpdate(context, None, ctypes.byref(size), header, len(header)),
             crypto.EVP_EncryptUpdate(context, out, ctypes.byref(size), text, len(text)),
             crypto.EVP_EncryptFinal_ex(context, tag, ctypes.byref(size)),
             crypto.EVP_CIPHER_CTX_ctrl(context, GET_TAG, TAG_SIZE, tag)]
    crypto.EVP_CIPHER_CTX_free(context)
    if steps != [1] * len(steps):
        raise RuntimeError(f"OpenSSL: {steps}")
    return out.raw + tag.raw
