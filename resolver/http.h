/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The HTTPS server that proxies ask: tokens, events, health. */
#pragma once

#include "resolver/config.h"
#include "resolver/door.h"
#include "resolver/events.h"
#include "resolver/password.h"
#include "resolver/registry.h"

typedef struct VcrHttp VcrHttp;

/* door: not owned; NULL for clear text. Reads --listen-tls-ca and listens, but answers nobody
 * yet. registry, passwords, events: not owned. Errors: VC_ERROR_CONFIG, naming the file or
 * address and the flag. Main thread. */
VcrHttp *vcr_http_new(const VcrConfig *config, VcrDoor *door, VcrRegistry *registry,
                      VcrPasswords *passwords, VcrEvents *events, GError **error);

/* Answers from now on, on threads of its own. Errors: VC_ERROR_CONFIG. */
gboolean vcr_http_start(VcrHttp *self, GError **error);

/* No new connections; those that are may end within timeout_ms. Main thread. */
void vcr_http_stop(VcrHttp *self, guint timeout_ms);

void vcr_http_free(VcrHttp *self); /* nullable; not running */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrHttp, vcr_http_free)
