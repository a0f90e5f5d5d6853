/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What the service manager is told (sd_notify(3)); nothing where none listens. Main thread. */
#pragma once

#include <glib.h>

/* Whether somebody listens at all. */
gboolean vc_notify_has_listener(void);

/* The start, or a reload, is over: clients are served. */
void vc_notify_ready(void);

/* A reload begins; vc_notify_ready() must follow, also where it fails. */
void vc_notify_reloading(void);

/* The end begins. */
void vc_notify_stopping(void);

/* The line that systemctl status shows; no secrets. */
void vc_notify_status(const char *status);

/* For so long the manager bears silence before it ends the daemon; 0: for ever. */
guint vc_notify_watchdog_ms(void);

/* Every part of the daemon still turns. */
void vc_notify_alive(void);
