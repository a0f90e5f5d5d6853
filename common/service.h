/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What a token stands for: which console, where, and how it may be reached. Immutable once
 * made. */
#pragma once

#include <glib.h>
#include <jansson.h>

typedef enum {
    VC_CONSOLE_VNC,
    VC_CONSOLE_SPICE,
    VC_CONSOLE_SERIAL,
} VcConsoleType;

#define VC_N_CONSOLE_TYPES (VC_CONSOLE_SERIAL + 1)

typedef enum {
    VC_TOKEN_USE_DEFAULT, /* the service does not say: as the proxy is set */
    VC_TOKEN_USE_MULTI,
    VC_TOKEN_USE_SINGLE, /* the token opens one session and is spent */
} VcTokenUse;

typedef struct {
    int refs; /* atomic */
    VcConsoleType type;
    char *address;          /* "host:port", "[v6]:port" or "unix:PATH" as given, for logs */
    char *host;             /* host name or literal, without brackets; NULL: a unix socket */
    guint16 port;           /* 1–65535; 0: a unix socket */
    char *path;             /* nullable: absolute, of a unix socket; serial consoles only */
    gboolean insecure;      /* clear text and weak authentication are acceptable; needs
                               --connect-insecure */
    gboolean tls_tunnel;    /* TLS from the first byte, the console's protocol inside */
    gboolean power_control; /* the client may shut down, reboot and reset the guest (xvp) */
    gboolean telnet;        /* serial: the chardev speaks telnet */
    gboolean shared;        /* "exclusive": false; the server takes several clients at once */
    VcTokenUse token_use;   /* "singleUse" */
    char *password;         /* nullable: none. The empty string is a password */
    char *tls_server_name;  /* nullable: name to verify in place of host */
    char *tls_subject;      /* nullable: subject of the certificate, in place of its name */
    gint64 expires_s;       /* seconds since 1970; 0: never */
    guint idle_timeout_s;   /* as session_limit_s; 0: as the proxy is set */
    guint session_limit_s;

    /* Whose console it is, as far as the resolver says so; all nullable */
    char *domain_uuid; /* lower case */
    char *domain_name; /* for people only, as host: whatever the resolver says */
    char *domain_host;
    char *console_type;  /* the device: "serial", "console", "vnc" … */
    guint console_index; /* among the guest's devices of that type */
} VcService;

/* A secure service of a console at host, a name or a literal without brackets; nothing else is
 * set, and whoever makes it may fill in more until it is shared. NULL with VC_ERROR_CONFIG
 * where host is neither. port: 1–65535. Any thread. */
VcService *vc_service_new(VcConsoleType type, const char *host, guint16 port, GError **error);

/* From one JSON object; unknown fields are ignored.
 * Errors: VC_ERROR_RESOLVER, the message names the field. Any thread. */
VcService *vc_service_from_json(const json_t *json, GError **error);

/* The same service as JSON; beside type, address and insecure only fields that are not at their
 * defaults. */
json_t *vc_service_to_json(const VcService *self);

/* The same with a password (nullable) that the service itself does not keep. */
json_t *vc_service_to_json_with(const VcService *self, const char *password);

VcService *vc_service_ref(VcService *self);
void vc_service_unref(VcService *self); /* nullable; the last one wipes the password */

/* What tells this console from others, for locks and limits: its guest's UUID and its device
 * where the service names both, else the address as given. */
char *vc_service_console_key(const VcService *self); /* full */

/* Whether both lead to one console at one address. */
gboolean vc_service_is_same_place(const VcService *self, const VcService *other);

/* Whether a session may last as long by one as by the other. */
gboolean vc_service_has_same_terms(const VcService *self, const VcService *other);

/* The name that the hypervisor's certificate must bear. NULL: a unix socket, without TLS. */
const char *vc_service_verify_name(const VcService *self);

/* Whether TLS begins with the first byte, the console's protocol inside it. */
gboolean vc_service_begins_with_tls(const VcService *self);

gboolean vc_service_has_expired(const VcService *self, gint64 now_s);

/* "vnc", "spice", "serial". */
const char *vc_console_type_name(VcConsoleType type);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcService, vc_service_unref)
