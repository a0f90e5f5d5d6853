/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What virtconsoleresolveradm makes of a guest's metadata. Pure. */
#pragma once

#include "resolver/domain.h"

/* What "enable" is asked for. */
typedef struct {
    gboolean kinds[VCR_N_KINDS];
    gboolean insecure;
    const char *host; /* nullable */
    gboolean single_use;
    gboolean power_control;
    gint64 expires_s;            /* 0: not given */
    const char *tls_server_name; /* nullable */
} VcrWish;

/* "vnc,serial" → kinds. Errors: VC_ERROR_CONFIG. */
gboolean vcr_plan_kinds(const char *list, gboolean kinds[VCR_N_KINDS], GError **error);

/* A new array (full) of copies: the entries of live metadata, and those of the persistent
 * configuration for consoles that live has none for. Both nullable. */
GPtrArray *vcr_plan_merge(const GPtrArray *live, const GPtrArray *config);

/* Adds an entry without a secret for each console of a wished kind that a proxy can reach and
 * that has none, and gives all entries of these kinds what else is wished; what is not, stays
 * as it is. Consoles that no proxy can reach, or not as they are, add a text to notes (of char
 * *). Returns the number of consoles that can be reached. */
guint vcr_plan_enable(GPtrArray *consoles, const VcrDomain *domain, const VcrWish *wish,
                      GPtrArray *notes);

/* Whether both say the same. Nullable: no metadata. */
gboolean vcr_plan_is_same(const GPtrArray *one, const GPtrArray *other);

/* The entry that names the secret, or NULL. */
const VcrConsole *vcr_plan_find_secret(const GPtrArray *consoles /* nullable */,
                                       const char *secret);

/* A secret's description as every tool of the format writes it, and back: FALSE where the text
 * is none. */
char *vcr_secret_describe(VcrKind kind, const char *domain_uuid);
gboolean vcr_secret_parse(const char *description, VcrKind *kind,
                          char **domain_uuid /* full, lower case */);

/* The link to the console page. base: of the proxy, with or without a slash at its end. */
char *vcr_plan_link(const char *base, VcrKind kind, const char *token);

/* Whether base is the http or https URL of a proxy: a host, perhaps a path, nothing behind. */
gboolean vcr_plan_is_base(const char *base);
