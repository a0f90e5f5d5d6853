/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Leases: each is one request to the store, repeated until it is taken back. */
#include "proxy/lease.h"

#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/timer.h"

/* So soon is free what a dead proxy held. */
#define LEASE_MS 30000

/* Three times in the life of a lease. */
#define BEAT_MS (LEASE_MS / 3)

/* So often a channel's session may be unknown before it is taken for over: a store that began
 * anew hears of the session itself only with its next beat. */
#define MAX_MISSES 2

/* Clocks of proxies and resolvers differ. */
#define CLOCK_SKEW_S 60

struct VcpLeaseHub {
    uv_mutex_t lock; /* for: */
    GPtrArray *workers;
};

/* A SPICE session that has ended. */
typedef struct {
    char key[VCP_STORE_KEY_SIZE];
    guint32 session_id;
} Over;

struct VcpLeases {
    VcpLeaseHub *hub;
    VcpStore *store; /* NULL: closed; what is left lives until the last lease is freed */
    GQueue all;      /* of the links of leases */
    VcpTimer *beat;
    gboolean is_away; /* the store, when it was last asked */

    uv_async_t *wake;
    uv_mutex_t lock; /* for: */
    GArray *over;
};

struct VcpLease {
    GList link; /* in all */
    VcpLeases *leases;
    VcpStoreRequest request; /* what is repeated; its strings and channels are ours: */
    char client[VC_TOKEN_DIGEST_SIZE], console[VC_TOKEN_DIGEST_SIZE];
    GArray *channels;   /* of VcpChannel */
    gboolean is_single; /* once confirmed */
    gint64 expires_s;
    guint spent_ttl_s;

    VcpStoreOp *op;    /* nullable */
    gboolean repeats;  /* at each beat */
    gboolean is_asked; /* somebody waits for op's answer */
    guint misses;
    VcpLeaseAnswered answered;
    gpointer data;
};

/* --- hub --- */

VcpLeaseHub *
vcp_lease_hub_new(void)
{
    VcpLeaseHub *self = g_new0(VcpLeaseHub, 1);

    uv_mutex_init(&self->lock);
    self->workers = g_ptr_array_new();
    return self;
}

void
vcp_lease_hub_free(VcpLeaseHub *self)
{
    if (self == NULL)
        return;
    g_assert(self->workers->len == 0);
    g_ptr_array_unref(self->workers);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}

static void
tell_everybody(VcpLeaseHub *hub, const VcpStoreRequest *request)
{
    Over over = {.session_id = request->session_id};

    g_strlcpy(over.key, request->key, sizeof over.key);
    uv_mutex_lock(&hub->lock);
    for (guint i = 0; i < hub->workers->len; i++) {
        VcpLeases *leases = g_ptr_array_index(hub->workers, i);
        uv_mutex_lock(&leases->lock);
        g_array_append_val(leases->over, over);
        uv_mutex_unlock(&leases->lock);
        uv_async_send(leases->wake);
    }
    uv_mutex_unlock(&hub->lock);
}

/* --- asking --- */

static void on_answer(VcpStoreAnswer answer, gpointer data);

/* How long a token that is spent now can be used for anything else. */
static guint64
spent_ms(const VcpLease *self)
{
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    gint64 left_s =
        self->expires_s != 0 ? self->expires_s - now_s + CLOCK_SKEW_S : self->spent_ttl_s;

    return (guint64)MAX(left_s, CLOCK_SKEW_S) * 1000;
}

static void
cancel_op(VcpLease *self)
{
    VcpStore *store = self->leases->store;

    if (self->op != NULL)
        store->ops->cancel(store, self->op);
    self->op = NULL;
}

static void
ask(VcpLease *self)
{
    VcpStore *store = self->leases->store;

    self->request.channels = (const VcpChannel *)self->channels->data;
    self->request.n_channels = self->channels->len;
    self->request.spent_ms = spent_ms(self);
    cancel_op(self);
    self->op = store->ops->ask(store, &self->request, on_answer, self);
}

/* What the store says to a repetition counts only where it is certain; it goes on being
 * repeated while it is not. */
static gboolean
is_lost(VcpLease *self, VcpStoreAnswer answer)
{
    if (answer == VCP_STORE_OK)
        self->misses = 0;
    if (answer == VCP_STORE_OK || answer == VCP_STORE_AWAY)
        return FALSE;
    return ++self->misses > MAX_MISSES || self->request.verb != VCP_STORE_ATTACH;
}

/* A store that answers again may have forgotten everything. */
static void
note_answer(VcpLeases *self, VcpStoreAnswer answer)
{
    gboolean was_away = self->is_away;

    self->is_away = answer == VCP_STORE_AWAY;
    if (was_away && !self->is_away)
        vcp_timer_start(self->beat, 0);
}

static void
on_answer(VcpStoreAnswer answer, gpointer data)
{
    VcpLease *self = data;
    gboolean is_asked = self->is_asked;

    note_answer(self->leases, answer);
    self->op = NULL;
    self->is_asked = FALSE;
    if (!is_asked && !is_lost(self, answer))
        return;
    if (answer == VCP_STORE_OK)
        self->repeats = TRUE;
    else if (answer != VCP_STORE_AWAY)
        self->repeats = FALSE;
    self->answered(answer, self->data);
}

/* --- a worker's leases --- */

static void
on_beat(gpointer data)
{
    VcpLeases *self = data;

    for (GList *at = self->all.head; at != NULL; at = at->next) {
        VcpLease *lease = at->data;
        if (lease->repeats && lease->op == NULL)
            ask(lease);
    }
    vcp_timer_start(self->beat, BEAT_MS);
}

static gboolean
is_channel_of(const VcpLease *self, const Over *over)
{
    return self->request.verb == VCP_STORE_ATTACH && (self->repeats || self->op != NULL) &&
           self->request.session_id == over->session_id &&
           strcmp(self->request.key, over->key) == 0;
}

static VcpLease *
find_channel(VcpLeases *self, const Over *over)
{
    for (GList *at = self->all.head; at != NULL; at = at->next) {
        VcpLease *lease = at->data;
        if (is_channel_of(lease, over))
            return lease;
    }
    return NULL;
}

/* Each call back may free leases, so the list is looked at anew. */
static void
on_session_over(VcpLeases *self, const Over *over)
{
    VcpLease *lease;

    while ((lease = find_channel(self, over)) != NULL) {
        lease->repeats = lease->is_asked = FALSE;
        cancel_op(lease);
        lease->answered(VCP_STORE_UNKNOWN, lease->data);
    }
}

static void
on_wake(uv_async_t *wake)
{
    VcpLeases *self = wake->data;

    uv_mutex_lock(&self->lock);
    g_autoptr(GArray) over = self->over;
    self->over = g_array_new(FALSE, FALSE, sizeof(Over));
    uv_mutex_unlock(&self->lock);

    for (guint i = 0; i < over->len; i++)
        on_session_over(self, &g_array_index(over, Over, i));
}

VcpLeases *
vcp_leases_new(uv_loop_t *loop, VcpLeaseHub *hub, VcpStore *store)
{
    VcpLeases *self = g_new0(VcpLeases, 1);

    self->hub = hub;
    self->store = store;
    self->beat = vcp_timer_new(loop, on_beat, self);
    vcp_timer_start(self->beat, BEAT_MS);
    self->wake = g_new0(uv_async_t, 1);
    uv_async_init(loop, self->wake, on_wake);
    self->wake->data = self;
    uv_mutex_init(&self->lock);
    self->over = g_array_new(FALSE, FALSE, sizeof(Over));

    uv_mutex_lock(&hub->lock);
    g_ptr_array_add(hub->workers, self);
    uv_mutex_unlock(&hub->lock);
    return self;
}

static void
on_wake_closed(uv_handle_t *handle)
{
    g_free(handle);
}

static void
free_if_unused(VcpLeases *self)
{
    if (self->store != NULL || self->all.length > 0)
        return;
    g_array_unref(self->over);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}

void
vcp_leases_free(VcpLeases *self)
{
    if (self == NULL)
        return;
    uv_mutex_lock(&self->hub->lock);
    g_ptr_array_remove(self->hub->workers, self);
    uv_mutex_unlock(&self->hub->lock);

    for (GList *at = self->all.head; at != NULL; at = at->next)
        cancel_op(at->data);
    uv_close((uv_handle_t *)self->wake, on_wake_closed);
    vcp_timer_free(self->beat);
    self->store->ops->free(g_steal_pointer(&self->store));
    free_if_unused(self);
}

/* --- a lease --- */

static void
put_owner(char owner[VCP_STORE_OWNER_SIZE])
{
    for (gsize i = 0; i < (VCP_STORE_OWNER_SIZE - 1) / 8; i++)
        g_snprintf(owner + 8 * i, 9, "%08x", g_random_int());
}

static void
put_key(char key[VCP_STORE_KEY_SIZE], const char *kind, const char *digest)
{
    g_snprintf(key, VCP_STORE_KEY_SIZE, "%s:%s", kind, digest);
}

static VcpLease *
lease_new(VcpLeases *leases, VcpStoreVerb verb, VcpLeaseAnswered answered, gpointer data)
{
    VcpLease *self = g_new0(VcpLease, 1);

    self->leases = leases;
    self->link.data = self;
    g_queue_push_tail_link(&leases->all, &self->link);
    self->request.verb = verb;
    self->request.lease_ms = LEASE_MS;
    self->request.client = self->client;
    self->request.console = self->console;
    put_owner(self->request.owner);
    self->channels = g_array_new(FALSE, FALSE, sizeof(VcpChannel));
    self->answered = answered;
    self->data = data;
    return self;
}

static void
start(VcpLease *self)
{
    self->is_asked = TRUE;
    ask(self);
}

/* With the token in it, the digest cannot be looked up in a table of all addresses. */
static void
put_client(VcpLease *self, const char *token_digest, const char *client)
{
    g_autofree char *text = g_strconcat(token_digest, " ", client, NULL);

    vc_token_digest(text, self->client);
}

VcpLease *
vcp_lease_claim_token(VcpLeases *leases, const char *token_digest, const VcpLeaseTerms *terms,
                      VcpLeaseAnswered answered, gpointer data)
{
    VcpLease *self = lease_new(leases, VCP_STORE_CLAIM, answered, data);

    put_key(self->request.key, "tok", token_digest);
    self->is_single = terms->is_single;
    self->expires_s = terms->expires_s;
    self->spent_ttl_s = terms->spent_ttl_s;
    self->request.come_back_ms = terms->reconnect_window_s * G_GUINT64_CONSTANT(1000);
    if (terms->client != NULL)
        put_client(self, token_digest, terms->client);
    start(self);
    return self;
}

VcpLease *
vcp_lease_claim_console(VcpLeases *leases, const char *console, VcpLeaseAnswered answered,
                        gpointer data)
{
    VcpLease *self = lease_new(leases, VCP_STORE_CLAIM, answered, data);
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(console, digest);
    put_key(self->request.key, "con", digest);
    start(self);
    return self;
}

void
vcp_lease_confirm(VcpLease *self, guint32 session_id, const char *console)
{
    g_assert(self->request.verb == VCP_STORE_CLAIM && !self->is_asked);
    self->request.verb = VCP_STORE_CONFIRM;
    self->request.is_single = self->is_single;
    self->request.session_id = session_id;
    if (console != NULL)
        vc_token_digest(console, self->console);
    start(self);
}

static gboolean
has_channel(const VcpLease *self, VcpChannel channel)
{
    for (guint i = 0; i < self->channels->len; i++) {
        const VcpChannel *one = &g_array_index(self->channels, VcpChannel, i);
        if (one->type == channel.type && one->id == channel.id)
            return TRUE;
    }
    return FALSE;
}

gboolean
vcp_lease_add_channels(VcpLease *self, const VcpChannel *channels, guint n_channels)
{
    guint before = self->channels->len;

    g_assert(self->request.verb == VCP_STORE_CONFIRM);
    for (guint i = 0; i < n_channels; i++) {
        if (!has_channel(self, channels[i]))
            g_array_append_val(self->channels, channels[i]);
    }
    if (self->channels->len > VCP_STORE_MAX_CHANNELS) {
        g_array_set_size(self->channels, before);
        return FALSE;
    }
    start(self);
    return TRUE;
}

VcpLease *
vcp_lease_attach(VcpLeases *leases, const char *token_digest, guint32 session_id,
                 const char *console, VcpChannel channel, VcpLeaseAnswered answered,
                 gpointer data)
{
    VcpLease *self = lease_new(leases, VCP_STORE_ATTACH, answered, data);

    put_key(self->request.key, "tok", token_digest);
    self->request.session_id = session_id;
    vc_token_digest(console, self->console);
    g_array_append_val(self->channels, channel);
    start(self);
    return self;
}

/* Also where the claim was not answered, or not well: it may have been heard. */
static void
give_back(VcpLease *self)
{
    VcpStore *store = self->leases->store;

    self->request.verb =
        self->request.verb == VCP_STORE_ATTACH ? VCP_STORE_DETACH : VCP_STORE_RELEASE;
    self->request.spent_ms = spent_ms(self);
    self->request.channels = (const VcpChannel *)self->channels->data;
    self->request.n_channels = self->channels->len;
    store->ops->ask(store, &self->request, NULL, NULL);
    if (self->request.verb == VCP_STORE_RELEASE && self->request.session_id != 0)
        tell_everybody(self->leases->hub, &self->request);
}

void
vcp_lease_free(VcpLease *self)
{
    VcpLeases *leases;

    if (self == NULL)
        return;
    leases = self->leases;
    cancel_op(self);
    if (leases->store != NULL)
        give_back(self);
    g_queue_unlink(&leases->all, &self->link);
    free_if_unused(leases);
    g_array_unref(self->channels);
    g_free(self);
}

GError *
vcp_lease_error(VcpStoreAnswer answer)
{
    static const struct {
        VcError code;
        const char *message;
    } rows[] = {
        [VCP_STORE_OK] = {VC_ERROR_INTERNAL, "no error"},
        [VCP_STORE_TAKEN] = {VC_ERROR_IN_USE, "another session has it"},
        [VCP_STORE_SPENT] = {VC_ERROR_TOKEN, "the token is spent"},
        [VCP_STORE_UNKNOWN] = {VC_ERROR_POLICY, "no SPICE session of this token has this id"},
        [VCP_STORE_NOT_LISTED] = {VC_ERROR_POLICY, "the SPICE session has no such channel"},
        [VCP_STORE_AWAY] = {VC_ERROR_RESOLVER, "the store does not answer (--store)"},
    };

    return g_error_new_literal(VC_ERROR, (int)rows[answer].code, rows[answer].message);
}
