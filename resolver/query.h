/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One HTTP request from its first line to its answer. Runs on the HTTP server's threads, which
 * must not wait: what needs libvirt is suspended meanwhile. */
#pragma once

#include <microhttpd.h>

#include "resolver/config.h"
#include "resolver/door.h"
#include "resolver/events.h"
#include "resolver/password.h"
#include "resolver/registry.h"

/* What all requests share; none of it owned. */
typedef struct {
    VcrDoor *door; /* nullable: clear text */
    gboolean verifies;
    char **hosts; /* URIs of libvirtd, by their numbers */
    VcrRegistry *registry;
    VcrPasswords *passwords;
    VcrEvents *events;
    int in_flight;   /* atomic: requests that have begun and not been answered */
    int is_stopping; /* atomic: nobody may wait for a password any more */
} VcrQueryContext;

/* For MHD_start_daemon(); cls: the VcrQueryContext. The path is taken as it was sent, so
 * vcr_query_keep_escapes() must be the MHD_OPTION_UNESCAPE_CALLBACK. */
enum MHD_Result vcr_query_handle(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *body,
                                 size_t *body_size, void **request);
void vcr_query_completed(void *cls, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code);
void vcr_query_connection(void *cls, struct MHD_Connection *connection, void **peer,
                          enum MHD_ConnectionNotificationCode code);
/* MHD_OPTION_NOTIFY_CONNECTION must be vcr_query_connection() with the VcrQueryContext, and
 * this the MHD_OPTION_HTTPS_CERT_CALLBACK2. */
int vcr_query_show_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                               gnutls_pcert_st **chain, unsigned *length,
                               gnutls_ocsp_data_st **ocsp, unsigned *ocsp_length,
                               gnutls_privkey_t *key, unsigned *flags);

size_t vcr_query_keep_escapes(void *cls, struct MHD_Connection *connection, char *text);
