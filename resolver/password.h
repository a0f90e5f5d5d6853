/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Passwords of consoles, read from libvirt at the moment they are needed: they change without
 * an event, and are not kept. The libvirtd's keeper reads them; a deadline ends the wait for
 * it, so that one that hangs delays nobody else. */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

#include "resolver/registry.h"
#include "resolver/inbox.h"

typedef struct VcrPasswords VcrPasswords;
typedef struct VcrPasswordQuery VcrPasswordQuery;

typedef enum {
    VCR_PASSWORD_FOUND,
    VCR_PASSWORD_NONE, /* the console has none any more */
    VCR_PASSWORD_GONE, /* the guest is off or gone, or has no such console */
    VCR_PASSWORD_AWAY, /* its libvirtd did not say in time */
} VcrPasswordAnswer;

/* inboxes: of VcrInbox, of all libvirtd by number; not owned. Main thread; the default main
 * loop keeps the deadlines. */
VcrPasswords *vcr_passwords_new(GPtrArray *inboxes, guint deadline_ms);

/* Answers all that are waiting with VCR_PASSWORD_AWAY. Any thread. */
void vcr_passwords_cancel(VcrPasswords *self);

/* No query may be waiting. nullable */
void vcr_passwords_free(VcrPasswords *self);

/* Asks for the password of the record's console. done is called once, on any thread, maybe
 * before this returns. Any thread. */
VcrPasswordQuery *vcr_passwords_ask(VcrPasswords *self, VcrRecord *record, GFunc done,
                                    gpointer data);

/* After done. *password: not owned, set where VCR_PASSWORD_FOUND. */
VcrPasswordAnswer vcr_password_query_answer(VcrPasswordQuery *self, const char **password);

void vcr_password_query_unref(VcrPasswordQuery *self); /* nullable; wipes the password */

/* Reads it, unless its time is over. Waits for libvirt. connection: nullable. For the keeper.
 */
void vcr_password_query_run(VcrPasswordQuery *self, virConnectPtr connection);
