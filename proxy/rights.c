/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A token that has sessions is in one table of all workers, which says whose desks have them.
 * The first of these is in charge: it asks. Desks tell each other by messages. */
#include "proxy/rights.h"

#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "proxy/timer.h"

/* Of one desk at the same time; new sessions want answers too. */
#define MAX_ASKING 8

/* Tokens that came together are not asked for together for ever. */
#define MIN_SHARE 0.75

struct VcpRights {
    guint recheck_s;    /* atomic */
    uv_mutex_t lock;    /* for: */
    GPtrArray *desks;   /* of VcpDesk, not owned */
    GHashTable *tokens; /* digest → Token */
};

typedef struct {
    char digest[VC_TOKEN_DIGEST_SIZE];
    GPtrArray *desks; /* of VcpDesk, not owned, that have sessions of it; never empty */
    guint64 due_ms;   /* when it is to be asked for; of the monotonic clock */
    guint64 used_ms;  /* atomic */
} Token;

typedef enum { DEAD, STANDS, ASK, ASK_ALL, IN_CHARGE } News;

typedef struct {
    News news;
    char digest[VC_TOKEN_DIGEST_SIZE]; /* empty with ASK_ALL */
    VcService *service;                /* full; with STANDS */
} Message;

struct VcpDesk {
    VcpRights *rights;
    VcpResolver *resolver;
    uv_loop_t *loop;
    GHashTable *files; /* digest → File */
    GQueue waiting;    /* of File, to be asked for */
    guint n_asking;
    uv_async_t wake;
    GQueue inbox; /* of Message; under the lock */
};

/* A token at one desk. */
typedef struct {
    VcpDesk *desk;
    Token *token;
    GQueue rights;   /* of VcpRight; never empty */
    VcpTimer *timer; /* nullable: not in charge */
    VcpQuery *query; /* nullable */
    gboolean is_asking, is_waiting, ask_again;
} File;

struct VcpRight {
    File *file;
    const char *token;
    VcpRightTold told;
    gpointer data;
    GList link;
};

/* --- messages --- */

static void
free_message(Message *message)
{
    vc_service_unref(message->service);
    g_free(message);
}

/* With the lock held. */
static void
post(VcpDesk *desk, News news, const char *digest /* nullable */, VcService *service)
{
    Message *message = g_new0(Message, 1);

    message->news = news;
    g_strlcpy(message->digest, digest != NULL ? digest : "", sizeof message->digest);
    message->service = service != NULL ? vc_service_ref(service) : NULL;
    g_queue_push_tail(&desk->inbox, message);
    uv_async_send(&desk->wake);
}

void
vcp_rights_dead(VcpRights *self, const char *digest)
{
    uv_mutex_lock(&self->lock);
    const Token *token = g_hash_table_lookup(self->tokens, digest);
    for (guint i = 0; token != NULL && i < token->desks->len; i++)
        post(g_ptr_array_index(token->desks, i), DEAD, digest, NULL);
    uv_mutex_unlock(&self->lock);
}

static void
post_ask(VcpRights *self, const char *digest)
{
    const Token *token = g_hash_table_lookup(self->tokens, digest);

    if (token != NULL)
        post(g_ptr_array_index(token->desks, 0), ASK, digest, NULL);
}

void
vcp_rights_ask(VcpRights *self, const char *digest)
{
    uv_mutex_lock(&self->lock);
    if (digest != NULL)
        post_ask(self, digest);
    for (guint i = 0; digest == NULL && i < self->desks->len; i++)
        post(g_ptr_array_index(self->desks, i), ASK_ALL, NULL, NULL);
    uv_mutex_unlock(&self->lock);
}

void
vcp_rights_set_recheck(VcpRights *self, guint recheck_s)
{
    if (__atomic_exchange_n(&self->recheck_s, recheck_s, __ATOMIC_RELAXED) != recheck_s)
        vcp_rights_ask(self, NULL);
}

/* --- telling --- */

static void
tell(const File *file, VcService *service /* nullable: dead */)
{
    g_autoptr(GPtrArray) rights = g_ptr_array_sized_new(file->rights.length);

    for (GList *at = file->rights.head; at != NULL; at = at->next)
        g_ptr_array_add(rights, at->data);
    for (guint i = 0; i < rights->len; i++) {
        VcpRight *right = g_ptr_array_index(rights, i);
        right->told(service, right->data);
    }
}

static void
tell_others(const File *file, VcService *service /* nullable: dead */)
{
    VcpRights *rights = file->desk->rights;

    uv_mutex_lock(&rights->lock);
    for (guint i = 0; i < file->token->desks->len; i++) {
        VcpDesk *desk = g_ptr_array_index(file->token->desks, i);
        if (desk != file->desk)
            post(desk, service != NULL ? STANDS : DEAD, file->token->digest, service);
    }
    uv_mutex_unlock(&rights->lock);
}

/* --- asking --- */

static void on_answer(VcService *service, const GError *error, gpointer data);

static guint64
monotonic_ms(void)
{
    return (guint64)g_get_monotonic_time() / 1000;
}

static guint
recheck_s(const VcpRights *rights)
{
    return __atomic_load_n(&rights->recheck_s, __ATOMIC_RELAXED);
}

static guint64
next_due_ms(const VcpRights *rights)
{
    return monotonic_ms() +
           (guint64)(recheck_s(rights) * 1000.0 * g_random_double_range(MIN_SHARE, 1));
}

/* The file may be gone afterwards, where the answer is there at once. */
static void
ask_now(File *file)
{
    VcpDesk *desk = file->desk;
    const VcpRight *any = file->rights.head->data;

    file->is_asking = TRUE;
    desk->n_asking++;
    VcpQuery *query = desk->resolver->ops->query(desk->resolver, any->token, on_answer, file);
    if (query != NULL)
        file->query = query;
}

static void
ask(File *file)
{
    VcpDesk *desk = file->desk;

    if (file->is_asking) {
        file->ask_again = TRUE; /* the answer may be one of before */
    } else if (desk->n_asking < MAX_ASKING) {
        ask_now(file);
    } else if (!file->is_waiting) {
        file->is_waiting = TRUE;
        g_queue_push_tail(&desk->waiting, file);
    }
}

static void
ask_next(VcpDesk *desk)
{
    File *file = g_queue_pop_head(&desk->waiting);

    if (file == NULL)
        return;
    file->is_waiting = FALSE;
    ask_now(file);
}

static void
on_due(gpointer data)
{
    ask(data);
}

static void
start_timer(File *file)
{
    guint64 now_ms = monotonic_ms(), due_ms;
    VcpRights *rights = file->desk->rights;

    if (recheck_s(rights) == 0)
        return;
    if (file->timer == NULL)
        file->timer = vcp_timer_new(file->desk->loop, on_due, file);
    uv_mutex_lock(&rights->lock);
    due_ms = file->token->due_ms;
    uv_mutex_unlock(&rights->lock);
    vcp_timer_start(file->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void
schedule(File *file)
{
    VcpRights *rights = file->desk->rights;

    uv_mutex_lock(&rights->lock);
    file->token->due_ms = next_due_ms(rights);
    uv_mutex_unlock(&rights->lock);
    start_timer(file);
}

/* Anything but a service and a clear no leaves sessions alone: the resolver may be away, or out
 * of its mind. */
static void
on_answer(VcService *service, const GError *error, gpointer data)
{
    File *file = data;
    VcpDesk *desk = file->desk;

    file->query = NULL;
    file->is_asking = FALSE;
    desk->n_asking--;
    if (file->ask_again) {
        file->ask_again = FALSE;
        ask(file);
    } else {
        schedule(file);
        if (service != NULL || vc_error_code(error) == VC_ERROR_TOKEN) {
            tell_others(file, service);
            tell(file, service);
        } else {
            g_debug("token %.8s: its sessions go on: %s", file->token->digest, error->message);
        }
    }
    ask_next(desk);
}

/* --- files --- */

static Token *
token_new(VcpRights *rights, const char *digest)
{
    Token *self = g_new0(Token, 1);

    g_strlcpy(self->digest, digest, sizeof self->digest);
    self->desks = g_ptr_array_new();
    self->due_ms = next_due_ms(rights);
    return self;
}

static void
free_token(gpointer data)
{
    Token *self = data;

    g_ptr_array_unref(self->desks);
    g_free(self);
}

/* Whether the desk is in charge. */
static gboolean
enter(File *file, const char *digest)
{
    VcpRights *rights = file->desk->rights;

    uv_mutex_lock(&rights->lock);
    file->token = g_hash_table_lookup(rights->tokens, digest);
    if (file->token == NULL) {
        file->token = token_new(rights, digest);
        g_hash_table_insert(rights->tokens, file->token->digest, file->token);
    }
    g_ptr_array_add(file->token->desks, file->desk);
    gboolean is_first = file->token->desks->len == 1;
    uv_mutex_unlock(&rights->lock);
    return is_first;
}

static void
leave(File *file)
{
    VcpRights *rights = file->desk->rights;
    GPtrArray *desks = file->token->desks;

    uv_mutex_lock(&rights->lock);
    gboolean was_first = g_ptr_array_index(desks, 0) == file->desk;
    g_ptr_array_remove(desks, file->desk);
    if (desks->len == 0)
        g_hash_table_remove(rights->tokens, file->token->digest);
    else if (was_first)
        post(g_ptr_array_index(desks, 0), IN_CHARGE, file->token->digest, NULL);
    uv_mutex_unlock(&rights->lock);
}

static File *
open_file(VcpDesk *desk, const char *digest)
{
    File *self = g_new0(File, 1);

    self->desk = desk;
    gboolean is_in_charge = enter(self, digest);
    g_hash_table_insert(desk->files, self->token->digest, self);
    if (is_in_charge)
        start_timer(self);
    return self;
}

static void
close_file(File *self)
{
    VcpDesk *desk = self->desk;

    gboolean was_asking = self->query != NULL;

    if (was_asking) {
        desk->resolver->ops->cancel(desk->resolver, self->query);
        desk->n_asking--;
    }
    if (self->is_waiting)
        g_queue_remove(&desk->waiting, self);
    vcp_timer_free(self->timer);
    g_hash_table_remove(desk->files, self->token->digest);
    leave(self);
    g_free(self);
    if (was_asking)
        ask_next(desk);
}

/* --- rights --- */

VcpRight *
vcp_right_new(VcpDesk *desk, const char *token, VcpRightTold told, gpointer data)
{
    VcpRight *self = g_new0(VcpRight, 1);
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(token, digest);
    self->file = g_hash_table_lookup(desk->files, digest);
    if (self->file == NULL)
        self->file = open_file(desk, digest);
    self->token = token;
    self->told = told;
    self->data = data;
    self->link.data = self;
    g_queue_push_tail_link(&self->file->rights, &self->link);
    return self;
}

void
vcp_right_free(VcpRight *self)
{
    if (self == NULL)
        return;
    g_queue_unlink(&self->file->rights, &self->link);
    if (self->file->rights.length == 0)
        close_file(self->file);
    g_free(self);
}

/* The last word counts. FALSE: there is none. With the lock held. */
static gboolean
find_news(const VcpDesk *desk, const char *digest, VcService **service /* full, nullable */)
{
    for (GList *at = desk->inbox.tail; at != NULL; at = at->prev) {
        const Message *message = at->data;
        gboolean is_told = message->news == DEAD || message->news == STANDS;
        if (!is_told || strcmp(message->digest, digest) != 0)
            continue;
        *service = message->service != NULL ? vc_service_ref(message->service) : NULL;
        return TRUE;
    }
    return FALSE;
}

void
vcp_right_hear(VcpRight *self)
{
    g_autoptr(VcService) service = NULL;

    if (self == NULL)
        return;
    VcpDesk *desk = self->file->desk;
    uv_mutex_lock(&desk->rights->lock);
    gboolean is_told = find_news(desk, self->file->token->digest, &service);
    uv_mutex_unlock(&desk->rights->lock);
    if (is_told)
        self->told(service, self->data);
}

void
vcp_right_use(VcpRight *self, guint64 now_ms)
{
    __atomic_store_n(&self->file->token->used_ms, now_ms, __ATOMIC_RELAXED);
}

guint64
vcp_right_used_ms(const VcpRight *self)
{
    return __atomic_load_n(&self->file->token->used_ms, __ATOMIC_RELAXED);
}

/* --- desks --- */

static gboolean
is_in_charge(const File *file)
{
    VcpRights *rights = file->desk->rights;

    uv_mutex_lock(&rights->lock);
    gboolean is_first = g_ptr_array_index(file->token->desks, 0) == file->desk;
    uv_mutex_unlock(&rights->lock);
    return is_first;
}

static void
ask_for_all(VcpDesk *self)
{
    g_autoptr(GPtrArray) digests = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer digest;

    g_hash_table_iter_init(&iter, self->files);
    while (g_hash_table_iter_next(&iter, &digest, NULL))
        g_ptr_array_add(digests, g_strdup(digest));
    for (guint i = 0; i < digests->len; i++) {
        File *file = g_hash_table_lookup(self->files, g_ptr_array_index(digests, i));
        if (file != NULL && is_in_charge(file))
            ask(file);
    }
}

static void
handle(VcpDesk *self, const Message *message)
{
    File *file = g_hash_table_lookup(self->files, message->digest);

    if (message->news == ASK_ALL) {
        ask_for_all(self);
        return;
    }
    if (file == NULL)
        return;
    switch (message->news) {
    case DEAD:
        tell(file, NULL);
        break;
    case STANDS:
        tell(file, message->service);
        break;
    case ASK:
        ask(file);
        break;
    case IN_CHARGE:
        if (is_in_charge(file))
            start_timer(file);
        break;
    case ASK_ALL:
        break;
    }
}

static void
on_wake(uv_async_t *wake)
{
    VcpDesk *self = wake->data;
    GQueue messages;

    uv_mutex_lock(&self->rights->lock);
    messages = self->inbox;
    g_queue_init(&self->inbox);
    uv_mutex_unlock(&self->rights->lock);
    for (GList *at = messages.head; at != NULL; at = at->next)
        handle(self, at->data);
    g_queue_clear_full(&messages, (GDestroyNotify)free_message);
}

VcpDesk *
vcp_desk_new(VcpRights *rights, uv_loop_t *loop, VcpResolver *resolver)
{
    VcpDesk *self = g_new0(VcpDesk, 1);

    self->rights = rights;
    self->resolver = resolver;
    self->loop = loop;
    self->files = g_hash_table_new(g_str_hash, g_str_equal);
    uv_async_init(loop, &self->wake, on_wake);
    self->wake.data = self;
    uv_mutex_lock(&rights->lock);
    g_ptr_array_add(rights->desks, self);
    uv_mutex_unlock(&rights->lock);
    return self;
}

static void
on_closed(uv_handle_t *handle)
{
    VcpDesk *self = handle->data;

    g_hash_table_unref(self->files);
    g_free(self);
}

void
vcp_desk_free(VcpDesk *self)
{
    if (self == NULL)
        return;
    g_assert(g_hash_table_size(self->files) == 0);
    uv_mutex_lock(&self->rights->lock);
    g_ptr_array_remove(self->rights->desks, self);
    g_queue_clear_full(&self->inbox, (GDestroyNotify)free_message);
    uv_mutex_unlock(&self->rights->lock);
    uv_close((uv_handle_t *)&self->wake, on_closed);
}

VcpRights *
vcp_rights_new(guint recheck_s)
{
    VcpRights *self = g_new0(VcpRights, 1);

    self->recheck_s = recheck_s;
    uv_mutex_init(&self->lock);
    self->desks = g_ptr_array_new();
    self->tokens = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_token);
    return self;
}

void
vcp_rights_free(VcpRights *self)
{
    if (self == NULL)
        return;
    g_assert(self->desks->len == 0);
    g_ptr_array_unref(self->desks);
    g_hash_table_unref(self->tokens);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}
