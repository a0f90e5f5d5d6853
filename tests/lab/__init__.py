# SPDX-License-Identifier: LGPL-2.1-or-later
"""A laboratory for the console proxy: certificates, a guest, and clients that can misbehave.

Standard library only. With `tests/` in sys.path:

    from lab import pki, guest
    certs = pki.make("/tmp/x/pki")                       # private CA, see lab/pki.py
    vm = guest.Guest("/tmp/x/vm", tls=certs.qemu_dir())  # QEMU with our boot sector, see lab/guest.py
    print(vm.address)                                    # 127.0.0.1:5900
    vm.stop()

The other modules are for tests: libvirtd (a private one, with guests), program (one of our daemons as
a process), daemon and resolverd (start virtconsoleproxyd and virtconsoleresolverd), ws and rawhttp (raw
clients), rfb (a VNC client and framebuffer), fakes (VNC servers that lie), case and tap (unittest as
TAP).
"""
