/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A guest's console metadata: which of its consoles may be reached, and which libvirt secret
 * holds the token of each. Pure but for libxml2. */
#pragma once

#include <glib.h>

#define VCR_METADATA_NAMESPACE "http://libvirt.org/schemas/console-proxy/1.0"
#define VCR_METADATA_PREFIX    "lcp"

/* Consoles as libvirt's XML has them: a serial port and a console are both of type serial to
 * the proxy. */
typedef enum {
    VCR_KIND_VNC,
    VCR_KIND_SPICE,
    VCR_KIND_SERIAL,
    VCR_KIND_CONSOLE,
    VCR_N_KINDS
} VcrKind;

/* "vnc", "spice", "serial", "console". */
const char *vcr_kind_name(VcrKind kind);
gboolean vcr_kind_parse(const char *name, VcrKind *kind);

/* One <console> element. */
typedef struct {
    char *secret; /* UUID of the secret whose value is the token, in lower case */
    VcrKind kind;
    guint index; /* among the guest's consoles of this kind, as they stand in its XML */
    gboolean insecure;
    char *host; /* nullable: overrides the address */
    gboolean single_use;
    gboolean power_control;
    gint64 expires_s;      /* seconds since 1970; 0: never */
    char *tls_server_name; /* nullable */
} VcrConsole;

void vcr_console_free(VcrConsole *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrConsole, vcr_console_free)

/* A time as in RFC 3339, with its zone, such as 2030-01-31T12:00:00Z. FALSE: it is none. */
gboolean vcr_expires_parse(const char *text, gint64 *expires_s);

/* Reads <consoles>, with any namespace prefix or none. Entries that make no sense are left out,
 * and so is one that names the secret of another before it, because a token opens one console;
 * each adds a text of our own words to problems (of char *, nullable). Attributes and elements
 * that we do not know are ignored. Returns an array of VcrConsole (full), or
 * NULL with VC_ERROR_CONFIG where the text is no such element at all. Any thread. */
GPtrArray *vcr_metadata_parse(const char *xml, GPtrArray *problems, GError **error);

/* The element as libvirt's virDomainSetMetadata() wants it: without prefix and namespace, which
 * are arguments there. Attributes that are at their defaults are left out, but for token, type,
 * port and insecure. */
char *vcr_metadata_format(const GPtrArray *consoles);
