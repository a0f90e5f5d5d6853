/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What a hypervisor may ask of a client before it lets it in, and which of it the proxy takes:
 * RFB's security types and, inside the type VeNCrypt, its sub-types. */
#pragma once

#include <glib.h>

#define VCP_VENCRYPT_MAJOR 0
#define VCP_VENCRYPT_MINOR 2

/* What happens once both sides agree on a type. */
typedef enum {
    VCP_RFB_AUTH_NONE,     /* SecurityResult comes next */
    VCP_RFB_AUTH_PASSWORD, /* a challenge comes next */
    VCP_RFB_AUTH_VENCRYPT, /* VeNCrypt's version comes next */
} VcpRfbAuth;

/* What a type needs, and what a session has: a type is taken only where nothing is missing. */
typedef enum {
    VCP_RFB_HAS_TLS = 1 << 0,   /* TLS can be started in the middle of the protocol */
    VCP_RFB_HAS_TRUST = 1 << 1, /* weak types will do: TLS runs already, or insecure service */
    VCP_RFB_HAS_PASSWORD = 1 << 2, /* the service has one, be it empty */
    VCP_RFB_HAS_SUPPORT = 1 << 3,  /* never: such a type is known by name only */
} VcpRfbHas;

typedef struct {
    guint32 number;
    const char *name;
    unsigned needs; /* VcpRfbHas bits */
    VcpRfbAuth auth;
} VcpRfbSecurity;

/* The strongest of the offered ones for which nothing is missing, wherever in the offer it
 * stands. has: VcpRfbHas bits. Returns: not owned, or NULL with an error that lists the offer:
 * VC_ERROR_AUTHENTICATION where only a password is missing, otherwise VC_ERROR_POLICY. */
const VcpRfbSecurity *vcp_rfb_choose_type(const guint32 *offered, gsize n_offered, unsigned has,
                                          GError **error);
const VcpRfbSecurity *vcp_rfb_choose_sub_type(const guint32 *offered, gsize n_offered,
                                              unsigned has, GError **error);
