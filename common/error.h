/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Why a session, a request or a start failed: one domain, one table of what each reason means
 * outside. */
#pragma once

#include <glib.h>

#define VC_ERROR (vc_error_quark())

/* Each code is a reason that a caller tells apart. The table in error.c gives it a websocket
 * close code, an HTTP status, a log level and the sentence that a user sees. */
typedef enum {
    VC_ERROR_ENDED,    /* the console or the client ended the session: no failure at all */
    VC_ERROR_SHUTDOWN, /* the daemon is going down */
    VC_ERROR_CLIENT,   /* the client broke the console's protocol */
    VC_ERROR_KILLED,   /* the administrator ended the session */
    VC_ERROR_TOKEN,    /* token unknown, expired or spent */
    VC_ERROR_POLICY,   /* the service asks for what this proxy does not allow, or the reverse */
    VC_ERROR_REFUSED,  /* nothing listens at the console's address */
    VC_ERROR_IDLE,     /* the client was mute, took nothing or sent nothing for too long */
    VC_ERROR_LIMIT,    /* the session has lasted as long as it may */
    VC_ERROR_IN_USE,   /* the console has as many sessions as it may */
    VC_ERROR_MOVED,    /* the console moved: ask again */
    VC_ERROR_UNREACHABLE,    /* no way to the hypervisor */
    VC_ERROR_CERTIFICATE,    /* the hypervisor's certificate, or ours, was not accepted */
    VC_ERROR_AUTHENTICATION, /* the hypervisor refused the password */
    VC_ERROR_PROTOCOL,       /* the hypervisor broke the protocol */
    VC_ERROR_RESOLVER, /* the resolver or the shared store cannot be reached or makes no sense
                        */
    VC_ERROR_TIMEOUT,  /* the hypervisor or the handshake took too long */
    VC_ERROR_INTERNAL, /* our own fault */
    VC_ERROR_BAD_REQUEST, /* HTTP only: syntax of path, query, token, subprotocol */
    VC_ERROR_NO_TOKEN,    /* HTTP only: no token anywhere */
    VC_ERROR_ORIGIN,      /* HTTP only: the page that asks is not allowed to */
    VC_ERROR_NOT_FOUND,   /* HTTP only: no such path */
    VC_ERROR_METHOD,      /* HTTP only: neither GET nor HEAD */
    VC_ERROR_TOO_MANY,    /* HTTP only: this client or token has as many sessions as it may */
    VC_ERROR_GUESSES,     /* HTTP only: this client has brought too many unknown tokens */
    VC_ERROR_FULL,        /* HTTP only: the proxy has as many sessions as it may */
    VC_ERROR_CONFIG,      /* start only: option, file or certificate; the daemon exits with 2 */
    VC_N_ERRORS
} VcError;

GQuark vc_error_quark(void);

/* The error's code if it is of our domain, else VC_ERROR_INTERNAL. error: not NULL. Any thread.
 */
VcError vc_error_code(const GError *error);

/* Websocket close code (1000–4999); 1011 for reasons that never reach a websocket. */
guint16 vc_error_close_code(VcError code);

/* HTTP status (200–599) of a refusal before the upgrade, or of a resolver's answer. */
unsigned vc_error_http_status(VcError code);

/* What the log calls an end for this reason. */
GLogLevelFlags vc_error_log_level(VcError code);

/* A sentence for the user, at most 120 bytes of ASCII, which says nothing about addresses or
 * software inside. */
const char *vc_error_reason(VcError code);

/* The word for logs and metrics, such as "token" or "certificate". */
const char *vc_error_name(VcError code);
