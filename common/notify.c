/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Messages to the service manager. */
#include "common/notify.h"

#include <systemd/sd-daemon.h>

/* The daemon runs as well where a message is lost; the manager has time-outs of its own. */
static void
tell(const char *state)
{
    int failure = sd_notify(FALSE, state);

    if (failure < 0)
        g_info("the service manager cannot be told: %s", g_strerror(-failure));
}

gboolean
vc_notify_has_listener(void)
{
    return g_getenv("NOTIFY_SOCKET") != NULL;
}

void
vc_notify_ready(void)
{
    tell("READY=1");
}

void
vc_notify_reloading(void)
{
    /* The time tells a manager that knows Type=notify-reload which reload this is. */
    g_autofree char *state = g_strdup_printf("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT,
                                             g_get_monotonic_time());

    tell(state);
}

void
vc_notify_stopping(void)
{
    tell("STOPPING=1");
}

void
vc_notify_status(const char *status)
{
    g_autofree char *state = g_strconcat("STATUS=", status, NULL);

    tell(state);
}

guint
vc_notify_watchdog_ms(void)
{
    guint64 timeout_us = 0;

    if (sd_watchdog_enabled(FALSE, &timeout_us) <= 0)
        return 0;
    return (guint)CLAMP(timeout_us / 1000, 1, G_MAXUINT);
}

void
vc_notify_alive(void)
{
    tell("WATCHDOG=1");
}
