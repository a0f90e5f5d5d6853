/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What tokens stand for, on all libvirtd together: written by their threads, read by HTTP's.
 * Keyed by the tokens' digests; no token is kept. Locked; every function from any thread. */
#pragma once

#include "common/service.h"
#include "common/token.h"
#include "resolver/metadata.h"

/* A console that is reachable by one token. Immutable once it is in a registry. */
typedef struct {
    int refs; /* atomic */
    char digest[VC_TOKEN_DIGEST_SIZE];
    VcService *service; /* full; names the guest; without its password */
    guint host;         /* number of its libvirtd */
    VcrKind kind;       /* the device, for reading its password */
    guint index;
    gboolean has_password;
    gboolean is_running; /* not paused: while a guest migrates two libvirtd have it, and it runs
                            on one */
} VcrRecord;

/* digest: of the token. */
VcrRecord *vcr_record_new(const char *digest, VcService *service /* full */);
VcrRecord *vcr_record_ref(VcrRecord *self);
void vcr_record_unref(VcrRecord *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrRecord, vcr_record_unref)

typedef enum {
    VCR_FOUND,
    VCR_UNKNOWN,
    VCR_AMBIGUOUS, /* two consoles have the same token: neither is served */
    VCR_AWAY, /* the libvirtd that knows, or may know, it is not connected, or cannot tell */
} VcrAnswer;

/* What has happened to tokens, for whoever has opened a session by one. */
typedef enum {
    VCR_TOKEN_DEAD,    /* it stands for nothing any more */
    VCR_TOKEN_CHANGED, /* it stands for something else, or for the same on other terms */
    VCR_TOKENS_SETTLED /* every libvirtd has been listed: unknown tokens are dead from now on */
} VcrChange;

/* digest: NULL for VCR_TOKENS_SETTLED. Called with the registry locked: must not wait, nor call
 * it. Any thread. */
typedef void (*VcrChanged)(VcrChange change, const char *digest, gpointer data);

typedef struct VcrRegistry VcrRegistry;

/* hosts: libvirtd, numbered from 0; none of them has been listed yet. */
VcrRegistry *vcr_registry_new(guint hosts);
void vcr_registry_free(VcrRegistry *self); /* nullable */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrRegistry, vcr_registry_free)

/* Who is told of changes, once, before there are any. A token whose libvirtd is away does not
 * die by that, and what changed meanwhile is told when it is back. */
void vcr_registry_watch(VcrRegistry *self, VcrChanged changed, gpointer data);

/* Takes records (of VcrRecord; nullable: none) in place of those that the guest had there. */
void vcr_registry_set_guest(VcrRegistry *self, guint host, const char *uuid,
                            GPtrArray *records);

/* The guest cannot be read: until it is set again, what it had there is neither served nor
 * dead.
 */
void vcr_registry_hide_guest(VcrRegistry *self, guint host, const char *uuid);

/* Forgets the guests of that libvirtd that are not in the set. uuids: keys, of char *. */
void vcr_registry_keep_guests(VcrRegistry *self, guint host, GHashTable *uuids);

/* Whether the libvirtd is connected and all of its guests have been read since. While it is
 * not, its tokens are neither served nor dead. */
void vcr_registry_set_listed(VcrRegistry *self, guint host, gboolean listed);
gboolean vcr_registry_is_listed(VcrRegistry *self, guint host);

/* Every libvirtd is listed. */
gboolean vcr_registry_is_ready(VcrRegistry *self);

/* For metrics: whether the libvirtd is connected, be it listed or not. */
void vcr_registry_set_connected(VcrRegistry *self, guint host, gboolean connected);

typedef struct {
    gboolean is_connected, is_listed;
    guint guests, consoles; /* that have tokens */
} VcrHostFigures;

void vcr_registry_count_host(VcrRegistry *self, guint host, VcrHostFigures *figures);

/* *record: full, set where VCR_FOUND. */
VcrAnswer vcr_registry_look_up(VcrRegistry *self, const char *digest, VcrRecord **record);

/* Consoles with a token. */
guint vcr_registry_count(VcrRegistry *self);
