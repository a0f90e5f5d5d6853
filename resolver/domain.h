/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A guest's consoles as its domain XML describes them. Pure but for libxml2. */
#pragma once

#include "resolver/metadata.h"

/* Where and how a console listens. A guest that is off has its devices, but no ports. */
typedef struct {
    VcrKind kind;
    guint index;      /* among the devices of this kind as they stand in the XML */
    gboolean is_tcp;  /* listens on TCP: what else there is (pty, unix) no proxy can reach */
    char *listen;     /* nullable: address that it listens on; none or a wildcard: any */
    guint16 port;     /* clear text, or for VNC whatever QEMU was told; 0: none */
    guint16 tls_port; /* 0: none */
    gboolean telnet;
    char *password;     /* nullable: none, or the XML was read without VIR_DOMAIN_XML_SECURE */
    char *alias;        /* nullable: libvirt's name for the device, live XML only */
    gboolean is_mirror; /* a <console> that only shows a <serial> again */
    guint mirrored;     /* index of that serial */
} VcrDevice;

typedef struct {
    char *uuid;
    char *name;
    GPtrArray *devices; /* of VcrDevice */
} VcrDomain;

/* xml: what virDomainGetXMLDesc() gives. NULL with VC_ERROR_CONFIG where it is no domain. Any
 * thread. */
VcrDomain *vcr_domain_parse(const char *xml, GError **error);
void vcr_domain_free(VcrDomain *self); /* nullable; wipes passwords */

/* NULL: the guest has no such device. */
const VcrDevice *vcr_domain_find(const VcrDomain *self, VcrKind kind, guint index);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrDomain, vcr_domain_free)
