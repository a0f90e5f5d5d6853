/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Secrets that other libvirtd have: migration takes a guest's metadata along, but not its
 * secrets. Belongs to one keeper's thread. */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

#include "resolver/guest.h"
#include "resolver/inbox.h"

typedef struct VcrForeign VcrForeign;

/* number: of the libvirtd whose guests lack them; inboxes: of VcrInbox, of all libvirtd by
 * number, not owned. */
VcrForeign *vcr_foreign_new(guint number, GPtrArray *inboxes);
void vcr_foreign_free(VcrForeign *self); /* nullable */

/* The digest (full) of a token that another libvirtd has, or NULL. A VcrForeignSecret. */
char *vcr_foreign_find(const char *uuid, gpointer self);

/* Asks all others for what the guest lacks and nobody was asked for. */
void vcr_foreign_ask(VcrForeign *self, const VcrGuest *guest);

/* Asks one of them again for what the guest lacks, whatever is known. */
void vcr_foreign_ask_one(VcrForeign *self, guint peer, const char *uuid);
void vcr_foreign_ask_again(VcrForeign *self, guint peer, const VcrGuest *guest);

/* Takes VCR_SECRET_ANSWER; whether what is known of the secret has changed. */
gboolean vcr_foreign_take(VcrForeign *self, const VcrMessage *message);

/* Nothing is known of it, and nobody was asked. */
void vcr_foreign_forget(VcrForeign *self, const char *uuid);

/* Answers VCR_SECRET_WANTED from what the connection's libvirtd has. Waits for libvirt. */
void vcr_foreign_answer(VcrForeign *self, virConnectPtr connection, const VcrMessage *message);

/* Tells all others. uuid: nullable. */
void vcr_foreign_tell(VcrForeign *self, VcrNews news, const char *uuid);

/* The connection is new: ask for everything again. What is known stays until then. */
void vcr_foreign_reset(VcrForeign *self);
