/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Tokens as the values of libvirt secrets. */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

/* The token that a secret holds (full; vc_secret_free() it): its value without one newline at
 * the end. NULL with VC_ERROR_NOT_FOUND where this libvirtd has no such secret or the secret
 * has no value, VC_ERROR_TOKEN where the value is no token, VC_ERROR_UNREACHABLE with libvirt's
 * reason otherwise. uuid: as text. Any thread; waits for libvirt. */
char *vcr_secret_read(virConnectPtr connection, const char *uuid, GError **error);
