/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The connection. States, in their order:
 *   DOWN     until it is tried again
 *   DIALLING name and TCP, or the unix socket
 *   TLS      handshake
 *   UP       commands go out
 * Whatever goes wrong leads back to DOWN: commands that were sent fail then, the others wait
 * for the next connection as long as their time allows. */
#include "proxy/redis.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"
#include "proxy/dial.h"
#include "proxy/timer.h"
#include "proxy/tls-client.h"

#define FIRST_RETRY_MS 200
#define LAST_RETRY_MS  10000
#define ASKED_RETRY_MS 1000 /* while somebody waits */

/* No answer is longer than a few bytes. */
#define MAX_REPLY 65536

#define NAME "virtconsoleproxyd"

typedef enum { DOWN, DIALLING, TLS, UP } State;

struct VcpRedisCall {
    GList link; /* in waiting or sent */
    gboolean is_sent;
    gboolean is_greeting; /* its success is no answer yet */
    char *command;        /* until it is sent; from hiredis */
    gsize length;
    guint64 deadline_ms;
    VcpRedisReplied replied; /* nullable */
    gpointer data;
};

struct VcpRedis {
    uv_loop_t *loop;
    const VcpStoreAddress *address;
    VcTlsCredentials *credentials;
    guint64 timeout_ms;

    State state;
    VcpDial *dial; /* nullable */
    int fd;
    uv_poll_t *poll;     /* nullable */
    VcpTlsClient *tls;   /* nullable */
    gboolean tls_writes; /* what its handshake waits for */
    redisReader *reader;
    GByteArray *out;       /* not sent yet */
    gboolean is_broken;    /* to be noticed where it is safe */
    guint64 tls_until_ms;  /* of the handshake */
    guint64 retry_ms;      /* when DOWN ends */
    guint64 pause_ms;      /* before the next try */
    gboolean was_reported; /* that it is away */

    GQueue waiting; /* calls for the next connection, in order */
    GQueue sent;    /* calls that have no reply yet, in order */
    VcpTimer *timer;
};

static guint64
now_ms(const VcpRedis *self)
{
    return uv_now(self->loop);
}

/* --- time --- */

static guint64
due_of(const GQueue *calls)
{
    const VcpRedisCall *first = calls->head != NULL ? calls->head->data : NULL;

    return first != NULL ? first->deadline_ms : G_MAXUINT64;
}

static void
set_timer(VcpRedis *self)
{
    guint64 due = MIN(due_of(&self->waiting), due_of(&self->sent));

    if (self->state == DOWN)
        due = MIN(due, self->retry_ms);
    if (self->state == TLS)
        due = MIN(due, self->tls_until_ms);
    if (due == G_MAXUINT64)
        vcp_timer_stop(self->timer);
    else
        vcp_timer_start(self->timer, due > now_ms(self) ? due - now_ms(self) : 0);
}

/* --- calls --- */

static void
free_call(VcpRedisCall *call)
{
    redisFreeCommand(call->command);
    g_free(call);
}

static void
finish(VcpRedisCall *call, const redisReply *reply)
{
    VcpRedisReplied replied = call->replied;
    gpointer data = call->data;

    free_call(call);
    if (replied != NULL)
        replied(reply, data);
}

static VcpRedisCall *
pop(GQueue *calls)
{
    GList *link = g_queue_pop_head_link(calls);

    return link != NULL ? link->data : NULL;
}

static void
finish_all(GQueue *calls)
{
    VcpRedisCall *call;

    while ((call = pop(calls)) != NULL)
        finish(call, NULL);
}

static void watch(VcpRedis *self);

static void
send_call(VcpRedis *self, VcpRedisCall *call)
{
    g_byte_array_append(self->out, (const guint8 *)call->command, (guint)call->length);
    redisFreeCommand(g_steal_pointer(&call->command));
    call->is_sent = TRUE;
    g_queue_push_tail_link(&self->sent, &call->link);
}

static VcpRedisCall *
new_call(VcpRedis *self, int argc, const char **argv, const gsize *lengths,
         VcpRedisReplied replied, gpointer data)
{
    VcpRedisCall *call = g_new0(VcpRedisCall, 1);
    int length = redisFormatCommandArgv(&call->command, argc, argv, lengths);

    g_assert(length > 0);
    call->length = (gsize)length;
    call->link.data = call;
    call->deadline_ms = now_ms(self) + self->timeout_ms;
    call->replied = replied;
    call->data = data;
    return call;
}

VcpRedisCall *
vcp_redis_call(VcpRedis *self, int argc, const char **argv, const gsize *lengths,
               VcpRedisReplied replied, gpointer data)
{
    VcpRedisCall *call = new_call(self, argc, argv, lengths, replied, data);

    if (self->state == UP)
        send_call(self, call);
    else
        g_queue_push_tail_link(&self->waiting, &call->link);
    self->retry_ms = MIN(self->retry_ms, now_ms(self) + ASKED_RETRY_MS);
    watch(self);
    set_timer(self);
    return call;
}

void
vcp_redis_cancel(VcpRedis *self, VcpRedisCall *call)
{
    call->replied = NULL;
    if (call->is_sent)
        return;
    g_queue_unlink(&self->waiting, &call->link);
    free_call(call);
}

/* --- the end of a connection --- */

static void
on_poll_closed(uv_handle_t *handle)
{
    g_free(handle);
}

static void
drop_connection(VcpRedis *self)
{
    g_clear_pointer(&self->dial, vcp_dial_cancel);
    g_clear_pointer(&self->tls, vcp_tls_client_free);
    if (self->poll != NULL)
        uv_close((uv_handle_t *)self->poll, on_poll_closed);
    self->poll = NULL;
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
    g_clear_pointer(&self->reader, redisReaderFree);
    g_byte_array_set_size(self->out, 0);
    self->is_broken = FALSE;
}

static void
report(VcpRedis *self, const char *why)
{
    g_autofree char *name = vcp_store_address_text(self->address);

    if (!self->was_reported)
        g_warning("store %s is away: %s", name, why);
    else
        g_debug("store %s is still away: %s", name, why);
    self->was_reported = TRUE;
}

/* Each time longer, and not at the same moment as all the other workers. */
static void
schedule_retry(VcpRedis *self)
{
    guint64 pause = self->pause_ms;

    self->retry_ms = now_ms(self) + pause / 2 + (guint64)g_random_int_range(0, (gint32)pause);
    self->pause_ms = MIN(2 * pause, LAST_RETRY_MS);
}

static void
break_off(VcpRedis *self, const char *why)
{
    GQueue failed = self->sent;

    report(self, why);
    drop_connection(self);
    self->state = DOWN;
    schedule_retry(self);
    g_queue_init(&self->sent);
    set_timer(self);
    finish_all(&failed);
}

void
vcp_redis_give_up(VcpRedis *self, const char *why)
{
    report(self, why);
    self->is_broken = TRUE;
}

/* --- bytes --- */

static gssize
plain_result(gssize n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? VCP_TLS_AGAIN : n;
}

/* TRUE while all is well. */
static gboolean
flush(VcpRedis *self, GError **error)
{
    while (self->out->len > 0) {
        gssize n =
            self->tls != NULL
                ? vcp_tls_client_send(self->tls, self->out->data, self->out->len, error)
                : plain_result(send(self->fd, self->out->data, self->out->len, MSG_NOSIGNAL));
        if (n == VCP_TLS_AGAIN)
            return TRUE;
        if (n <= 0)
            return FALSE;
        g_byte_array_remove_range(self->out, 0, (guint)n);
    }
    return TRUE;
}

static gboolean
is_error(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR;
}

static void
report_answer(VcpRedis *self)
{
    g_autofree char *name = vcp_store_address_text(self->address);

    if (self->was_reported)
        g_message("store %s answers again", name);
    self->was_reported = FALSE;
    self->pause_ms = FIRST_RETRY_MS;
}

static void
on_reply(VcpRedis *self, redisReply *reply)
{
    VcpRedisCall *call = pop(&self->sent);

    if (call == NULL) {
        vcp_redis_give_up(self, "a reply that nobody asked for");
        return;
    }
    if (!call->is_greeting && !is_error(reply))
        report_answer(self);
    finish(call, reply);
}

static gboolean
read_replies(VcpRedis *self)
{
    void *reply = NULL;

    while (!self->is_broken && redisReaderGetReply(self->reader, &reply) == REDIS_OK &&
           reply != NULL) {
        on_reply(self, reply);
        freeReplyObject(reply);
    }
    return self->reader->err == 0 && self->reader->len <= MAX_REPLY;
}

static gboolean
fill(VcpRedis *self, GError **error)
{
    guint8 bytes[VCP_TLS_RECORD_SIZE];

    while (!self->is_broken) {
        gssize n = self->tls != NULL
                       ? vcp_tls_client_receive(self->tls, bytes, sizeof bytes, error)
                       : plain_result(recv(self->fd, bytes, sizeof bytes, 0));
        if (n == VCP_TLS_AGAIN)
            return TRUE;
        if (n <= 0)
            return FALSE;
        redisReaderFeed(self->reader, (const char *)bytes, (size_t)n);
        if (!read_replies(self))
            return FALSE;
    }
    return TRUE;
}

/* --- the start of a connection --- */

static void
on_greeting(const redisReply *reply, gpointer data)
{
    VcpRedis *self = data;

    /* Its words, and no more: they do not repeat the password. */
    if (reply != NULL && is_error(reply))
        vcp_redis_give_up(self, reply->str);
}

static void
greet(VcpRedis *self, int argc, const char **argv, VcpRedisReplied replied)
{
    VcpRedisCall *call = new_call(self, argc, argv, NULL, replied, self);

    call->is_greeting = TRUE;
    send_call(self, call);
}

/* Nobody waits for these: what follows them fails by itself if they do. */
static void
start_talking(VcpRedis *self)
{
    const VcpStoreAddress *to = self->address;
    char database[8];
    VcpRedisCall *call;

    self->state = UP;
    self->reader = redisReaderCreate();
    if (to->password != NULL && to->user != NULL)
        greet(self, 3, (const char *[]){"AUTH", to->user, to->password}, on_greeting);
    else if (to->password != NULL)
        greet(self, 2, (const char *[]){"AUTH", to->password}, on_greeting);
    g_snprintf(database, sizeof database, "%u", to->database);
    if (to->database != 0)
        greet(self, 2, (const char *[]){"SELECT", database}, on_greeting);
    /* For the eyes of whoever looks after the server; it need not be permitted. */
    greet(self, 3, (const char *[]){"CLIENT", "SETNAME", NAME}, NULL);
    while ((call = pop(&self->waiting)) != NULL)
        send_call(self, call);
}

static void
shake_hands(VcpRedis *self)
{
    g_autoptr(GError) error = NULL;

    switch (vcp_tls_client_handshake(self->tls, &error)) {
    case VCP_TLS_DONE:
        start_talking(self);
        break;
    case VCP_TLS_FAILED:
        break_off(self, error != NULL ? error->message : "no TLS");
        break;
    case VCP_TLS_WANTS_READ:
        self->tls_writes = FALSE;
        break;
    case VCP_TLS_WANTS_WRITE:
        self->tls_writes = TRUE;
        break;
    }
}

static void
move_bytes(VcpRedis *self)
{
    g_autoptr(GError) error = NULL;

    /* What was said before the end is heard before the end is noticed. */
    gboolean is_fine = fill(self, &error) && flush(self, &error);
    if (!is_fine || self->is_broken)
        break_off(self, error != NULL ? error->message : "the connection has ended");
}

static void
on_poll(uv_poll_t *poll, int status G_GNUC_UNUSED, int events G_GNUC_UNUSED)
{
    VcpRedis *self = poll->data;

    if (self->state == TLS)
        shake_hands(self);
    if (self->state == UP)
        move_bytes(self);
    watch(self);
    set_timer(self);
}

static void
watch(VcpRedis *self)
{
    int events = UV_READABLE;

    if (self->poll == NULL)
        return;
    if (self->state == UP && self->out->len > 0)
        events |= UV_WRITABLE;
    if (self->state == TLS && self->tls_writes)
        events = UV_WRITABLE;
    uv_poll_start(self->poll, events, on_poll);
}

static void
on_dialled(int fd, GError *error, gpointer data)
{
    VcpRedis *self = data;

    self->dial = NULL;
    if (error != NULL) {
        break_off(self, error->message);
        g_error_free(error);
        return;
    }
    self->fd = fd;
    self->poll = g_new0(uv_poll_t, 1);
    self->poll->data = self;
    int failure = uv_poll_init(self->loop, self->poll, fd);
    g_assert(failure == 0);
    if (self->address->tls) {
        self->state = TLS;
        self->tls_until_ms = now_ms(self) + self->timeout_ms;
        self->tls = vcp_tls_client_new(self->credentials, self->address->host, fd);
        shake_hands(self);
    } else {
        start_talking(self);
    }
    watch(self);
    set_timer(self);
}

static void
start(VcpRedis *self)
{
    const VcpStoreAddress *to = self->address;

    self->state = DIALLING;
    self->dial = to->path != NULL
                     ? vcp_dial_unix(self->loop, to->path, self->timeout_ms, on_dialled, self)
                     : vcp_dial(self->loop, NULL, to->host, to->port, self->timeout_ms,
                                on_dialled, self);
}

/* --- life --- */

static void
fail_late(VcpRedis *self)
{
    while (due_of(&self->waiting) <= now_ms(self))
        finish(pop(&self->waiting), NULL);
}

static void
on_timer(gpointer data)
{
    VcpRedis *self = data;

    if (self->state == DOWN && self->retry_ms <= now_ms(self))
        start(self);
    if (due_of(&self->sent) <= now_ms(self))
        break_off(self, "no answer in time");
    if (self->state == TLS && self->tls_until_ms <= now_ms(self))
        break_off(self, "no TLS handshake in time");
    fail_late(self);
    watch(self);
    set_timer(self);
}

VcpRedis *
vcp_redis_new(uv_loop_t *loop, const VcpStoreAddress *address, VcTlsCredentials *credentials,
              guint64 timeout_ms)
{
    VcpRedis *self = g_new0(VcpRedis, 1);

    g_assert(!address->tls || credentials != NULL);
    self->loop = loop;
    self->address = address;
    self->credentials = credentials;
    self->timeout_ms = timeout_ms;
    self->fd = -1;
    self->out = g_byte_array_new();
    self->pause_ms = FIRST_RETRY_MS;
    self->timer = vcp_timer_new(loop, on_timer, self);
    start(self);
    set_timer(self);
    return self;
}

void
vcp_redis_use(VcpRedis *self, VcTlsCredentials *credentials)
{
    gboolean is_other = credentials != self->credentials;

    self->credentials = credentials;
    if (!is_other || self->state != DOWN)
        return;
    /* It may be that the old ones were to blame. */
    self->pause_ms = FIRST_RETRY_MS;
    self->retry_ms = now_ms(self);
    set_timer(self);
}

void
vcp_redis_free(VcpRedis *self)
{
    if (self->state == UP)
        flush(self, NULL);
    drop_connection(self);
    finish_all(&self->sent);
    finish_all(&self->waiting);
    vcp_timer_free(self->timer);
    g_byte_array_unref(self->out);
    g_free(self);
}
