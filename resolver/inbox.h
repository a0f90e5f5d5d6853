/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What a libvirtd's thread is told: by libvirt's event loop, by the threads of other libvirtd,
 * by clients' queries, and by the daemon. No message carries a guest's state; each only says
 * what to look at again. */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

typedef enum {
    VCR_STOP,
    VCR_OPENED, /* connection, or error */
    VCR_CLOSED,
    VCR_GUEST_CHANGED,   /* uuid of the guest; uuid of a secret from here on: */
    VCR_SECRET_CHANGED,  /* here; from: elsewhere, on that libvirtd */
    VCR_SECRET_WANTED,   /* from lacks it */
    VCR_SECRET_ANSWER,   /* digest, or NULL: from has no token of it */
    VCR_PASSWORD_WANTED, /* query */
    VCR_PEER_LISTED,     /* from is connected and listed: ask it again for what is missing */
} VcrNews;

typedef struct {
    VcrNews news;
    char *uuid;                     /* nullable */
    gint64 pushed_at;               /* µs of the monotonic clock */
    guint from;                     /* number of a libvirtd */
    char *digest;                   /* nullable */
    virConnectPtr connection;       /* full, nullable */
    GError *error;                  /* nullable */
    struct VcrPasswordQuery *query; /* full, nullable */
} VcrMessage;

void vcr_message_free(VcrMessage *self); /* nullable; closes the connection */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrMessage, vcr_message_free)

/* Lives as long as somebody may still push; what nobody reads is freed with it. */
typedef struct VcrInbox VcrInbox;

VcrInbox *vcr_inbox_new(void);
VcrInbox *vcr_inbox_ref(VcrInbox *self);
void vcr_inbox_unref(VcrInbox *self);

/* The next message (full), or NULL where none has come until then: µs of the monotonic clock;
 * whatever is over asks for what is there. */
VcrMessage *vcr_inbox_pop(VcrInbox *self, gint64 until);

/* Any thread, like all that pushes. */
void vcr_inbox_push_message(VcrInbox *self, VcrMessage *message /* full */);

/* uuid, digest: nullable. Any thread. */
void vcr_inbox_push(VcrInbox *self, VcrNews news, guint from, const char *uuid,
                    const char *digest);

/* VCR_PASSWORD_WANTED. Any thread. */
void vcr_inbox_push_query(VcrInbox *self, struct VcrPasswordQuery *query /* full */);
