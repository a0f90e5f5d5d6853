/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The clients' side of the bench.
 *
 *     bench-load --port PORT --ca FILE [--raw] --protocol vnc|spice|serial WHAT [OPTION...]
 *
 * WHAT is a row of kinds[]. It opens its sessions, says {"event": "open"}, and waits for a
 * line; then it does its work, says {"event": "done", ...} with what it has measured, and holds
 * its sessions until its input ends. In between the driver reads the clocks of all the
 * processes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

#define NS_A_SECOND G_GINT64_CONSTANT(1000000000)

/* Small writes of one session before it is another's turn. */
#define WRITES_A_TURN 64

typedef struct {
    Client client;
    guint64 to_receive; /* bytes */
    guint64 to_send;    /* messages */
    gsize sent;         /* bytes of the current one */
    GQueue asked;       /* echo: when each message was due, in ns; gint64 * */
    guint8 part[8];     /* tick: the message's first bytes so far */
    guint64 received;   /* bytes of messages */
} Session;

static int port, n_sessions = 1, size = 65536, count = 1000, rate = 1000, at_once = 8;
static gboolean is_raw, resumes;
static char *ca, *protocol, *what;
static char *token;

static Session *sessions;
static int left_to_open;
static SSL_CTX *tls;
static SSL_SESSION *resumable; /* one for all of them */
static ClientTarget target;
static Client main_channel;
static ClientChannel channel;
static int loop;
static GByteArray *message;
static guint64 open_work; /* sessions whose work is not done */
static GArray *latencies; /* of gint64, ns */
static gint n_failed, n_resumed;

static gint64
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_A_SECOND + now.tv_nsec;
}

static void
give_up(const char *why)
{
    g_printerr("bench-load: %s\n", why);
    exit(1);
}

/* --- opening --- */

/* The first one is for all, as a copy: OpenSSL spoils a session of TLS 1.3 that has a
 * successor. */
static int
keep_ticket(SSL *ssl G_GNUC_UNUSED, SSL_SESSION *session)
{
    if (g_atomic_pointer_get(&resumable) == NULL)
        g_atomic_pointer_set(&resumable, SSL_SESSION_dup(session));
    return 0;
}

static gboolean
open_one(Session *self, int number)
{
    ClientChannel mine = channel;

    mine.display = (guint8)number;
    return client_open(&self->client, &target, &mine);
}

static gpointer
open_some(gpointer data G_GNUC_UNUSED)
{
    int number;

    while ((number = g_atomic_int_add(&left_to_open, -1) - 1) >= 0) {
        if (!open_one(&sessions[number], number))
            give_up("a session cannot be opened");
    }
    return NULL;
}

static void
in_threads(GThreadFunc work)
{
    g_autofree GThread **threads = g_new0(GThread *, (gsize)at_once);

    for (int i = 0; i < at_once; i++)
        threads[i] = g_thread_new("client", work, NULL);
    for (int i = 0; i < at_once; i++)
        g_thread_join(threads[i]);
}

static void
open_main_channel(void)
{
    if (target.protocol == CLIENT_SPICE && !client_open(&main_channel, &target, &channel))
        give_up("SPICE's main channel cannot be opened");
}

static void
open_sessions(void)
{
    open_main_channel();
    sessions = g_new0(Session, (gsize)n_sessions);
    left_to_open = n_sessions;
    in_threads(open_some);
}

/* --- working --- */

static void
watch(Session *self, guint32 events)
{
    struct epoll_event event = {.events = events, .data.ptr = self};

    if (epoll_ctl(loop, EPOLL_CTL_MOD, self->client.wire.fd, &event) != 0)
        epoll_ctl(loop, EPOLL_CTL_ADD, self->client.wire.fd, &event);
}

static void
write_message(Session *self, const GByteArray *bytes)
{
    if (wire_write(&self->client.wire, bytes->data, bytes->len) != (gssize)bytes->len)
        give_up("a small message does not go out at once");
}

/* A key event of RFB whose key is the number of messages, as the backend has it. */
static void
ask_for(Session *self, guint32 messages)
{
    guint8 event[8] = {4, 1};
    guint32 number = GUINT32_TO_BE(messages);

    memcpy(event + 4, &number, sizeof number);
    g_autoptr(GByteArray) bytes = client_message(&self->client, event, sizeof event);
    write_message(self, bytes);
}

static void
finish(Session *self)
{
    watch(self, 0);
    open_work--;
}

/* FALSE: nothing more now. */
static gboolean
receive(Session *self, void (*use)(Session *self, const guint8 *bytes, gsize length))
{
    const guint8 *payload;
    gssize n = client_read(&self->client, &payload);

    if (n == 0)
        give_up("a session has ended");
    if (n > 0)
        use(self, payload, (gsize)n);
    return n != WIRE_AGAIN;
}

static void
begin_download(Session *self)
{
    self->to_receive = (guint64)count * (guint64)size;
    ask_for(self, (guint32)count);
    watch(self, EPOLLIN);
}

static void
use_download(Session *self, const guint8 *bytes G_GNUC_UNUSED, gsize length)
{
    self->to_receive -= MIN(length, self->to_receive);
}

static void
download(Session *self, guint32 events G_GNUC_UNUSED)
{
    while (self->to_receive > 0 && receive(self, use_download))
        ;
    if (self->to_receive == 0)
        finish(self);
}

static void
begin_upload(Session *self)
{
    self->to_send = (guint64)count;
    self->to_receive = 1;
    ask_for(self, (guint32)count);
    watch(self, EPOLLOUT);
}

static void
upload(Session *self, guint32 events)
{
    if ((events & EPOLLIN) != 0) {
        download(self, events);
        return;
    }
    gsize turn = MIN((gsize)WRITES_A_TURN * message->len, 65536);
    for (gsize done = 0; done < turn && self->to_send > 0;) {
        gssize n = wire_write(&self->client.wire, message->data + self->sent,
                              message->len - self->sent);
        if (n == 0)
            give_up("a session has ended");
        if (n == WIRE_AGAIN)
            return;
        done += (gsize)n;
        self->sent += (gsize)n;
        if (self->sent == message->len) {
            self->sent = 0;
            self->to_send--;
        }
    }
    if (self->to_send == 0)
        watch(self, EPOLLIN);
}

static void
note_latency(gint64 ns)
{
    g_array_append_val(latencies, ns);
}

static void
begin_echo(Session *self)
{
    watch(self, EPOLLIN);
}

static void
use_echo(Session *self, const guint8 *bytes G_GNUC_UNUSED, gsize length)
{
    self->received += length;
    while (self->received >= (guint64)size) {
        g_autofree gint64 *due = g_queue_pop_head(&self->asked);
        if (due == NULL)
            give_up("an echo of nothing");
        self->received -= (guint64)size;
        note_latency(now_ns() - *due);
    }
}

static void
echo(Session *self, guint32 events G_GNUC_UNUSED)
{
    while (receive(self, use_echo))
        ;
    if (latencies->len == (guint)count)
        open_work = 0;
}

static void
begin_tick(Session *self)
{
    self->to_receive = (guint64)count * (guint64)size;
    ask_for(self, (guint32)count);
    watch(self, EPOLLIN);
}

/* The time is in the first bytes of each message. */
static void
use_tick(Session *self, const guint8 *bytes, gsize length)
{
    for (gsize i = 0; i < length; i++) {
        guint64 at = self->received++ % (guint64)size;
        gint64 sent;
        if (at >= sizeof self->part)
            continue;
        self->part[at] = bytes[i];
        memcpy(&sent, self->part, sizeof sent);
        if (at == sizeof self->part - 1)
            note_latency(now_ns() - sent);
    }
    self->to_receive -= length;
}

static void
tick(Session *self, guint32 events G_GNUC_UNUSED)
{
    while (self->to_receive > 0 && receive(self, use_tick))
        ;
    if (self->to_receive == 0)
        finish(self);
}

/* --- holding --- */

static void
begin_hold(Session *self)
{
    watch(self, EPOLLIN);
}

static void
use_nothing(Session *self G_GNUC_UNUSED, const guint8 *bytes G_GNUC_UNUSED,
            gsize length G_GNUC_UNUSED)
{
}

/* Pings are answered on the way. */
static void
hold(Session *self, guint32 events G_GNUC_UNUSED)
{
    while (receive(self, use_nothing))
        ;
}

/* --- set-ups --- */

static void
set_up_one(void)
{
    Client client;
    ClientTarget mine = target;
    ClientChannel none = {0};
    SSL_SESSION *ticket = resumes ? g_atomic_pointer_get(&resumable) : NULL;

    mine.resumed = ticket != NULL ? SSL_SESSION_dup(ticket) : NULL;
    if (client_open(&client, &mine, &none)) {
        g_atomic_int_add(&n_resumed, SSL_session_reused(client.wire.ssl) ? 1 : 0);
        client_close(&client);
    } else {
        g_atomic_int_inc(&n_failed);
    }
    SSL_SESSION_free(mine.resumed);
}

static gpointer
set_up_some(gpointer data G_GNUC_UNUSED)
{
    while (g_atomic_int_add(&left_to_open, -1) > 0)
        set_up_one();
    return NULL;
}

static void
set_up(void)
{
    left_to_open = count;
    in_threads(set_up_some);
}

/* --- the loop --- */

typedef struct {
    const char *name;
    void (*begin)(Session *self);
    void (*act)(Session *self, guint32 events);
} Kind;

static const Kind kinds[] = {
    {"download", begin_download, download},
    {"upload", begin_upload, upload},
    {"echo", begin_echo, echo},
    {"tick", begin_tick, tick},
    {"idle", NULL, NULL},
    {"hold", begin_hold, hold},
    {"setup", NULL, NULL},
};

static const Kind *
find_kind(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].name, what) == 0)
            return &kinds[i];
    }
    give_up("download, upload, echo, tick, idle, hold or setup?");
    return NULL;
}

static int
make_pacer(void)
{
    gint64 period_ns = NS_A_SECOND / rate;
    struct itimerspec period = {{period_ns / NS_A_SECOND, period_ns % NS_A_SECOND}, {0, 1}};
    struct epoll_event event = {.events = EPOLLIN};
    int pacer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    timerfd_settime(pacer, 0, &period, NULL);
    epoll_ctl(loop, EPOLL_CTL_ADD, pacer, &event);
    return pacer;
}

/* Messages are due at their times, however late the pacer or an answer is. */
static void
send_due(int pacer, gint64 begin)
{
    static int n_sent;
    guint64 ticks;

    if (read(pacer, &ticks, sizeof ticks) != sizeof ticks)
        return;
    if (strcmp(what, "hold") == 0) {
        n_sent += (int)ticks;
        open_work = n_sent < count ? open_work : 0;
        return;
    }
    for (; ticks > 0 && n_sent < count; ticks--, n_sent++) {
        Session *session = &sessions[n_sent % n_sessions];
        gint64 due = begin + n_sent * (NS_A_SECOND / rate);
        g_queue_push_tail(&session->asked, g_memdup2(&due, sizeof due));
        write_message(session, message);
    }
}

static void
work(const Kind *kind)
{
    struct epoll_event events[64];
    int pacer = -1;
    gint64 begin;

    open_work = (guint64)n_sessions;
    for (int i = 0; i < n_sessions; i++)
        kind->begin(&sessions[i]);
    if (kind->act == echo || kind->act == hold)
        pacer = make_pacer();
    begin = now_ns();
    while (open_work > 0) {
        int n = epoll_wait(loop, events, G_N_ELEMENTS(events), -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                send_due(pacer, begin);
            else
                kind->act(events[i].data.ptr, events[i].events);
        }
    }
}

/* --- talking to the driver --- */

static void
wait_for_line(void)
{
    char line[16];

    if (fgets(line, sizeof line, stdin) == NULL)
        exit(0);
}

static void
say_open(void)
{
    puts("{\"event\": \"open\"}");
    fflush(stdout);
}

static int
compare(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return x < y ? -1 : x > y;
}

static double
percentile_us(double share)
{
    guint at = (guint)((double)latencies->len * share);

    return (double)g_array_index(latencies, gint64, MIN(at, latencies->len - 1)) / 1000;
}

static void
say_done(double seconds)
{
    printf("{\"event\": \"done\", \"seconds\": %.6f, \"failed\": %d, \"resumed\": %d", seconds,
           n_failed, n_resumed);
    if (latencies->len > 0) {
        g_array_sort(latencies, compare);
        printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f", percentile_us(0.5),
               percentile_us(0.99), percentile_us(1));
    }
    puts("}");
    fflush(stdout);
}

static void
run(const Kind *kind)
{
    gint64 begin;

    if (strcmp(what, "setup") == 0)
        open_main_channel();
    else
        open_sessions();
    if (resumes)
        set_up_one();
    n_resumed = 0;
    say_open();
    wait_for_line();
    begin = now_ns();
    if (kind->act != NULL)
        work(kind);
    else if (strcmp(what, "setup") == 0)
        set_up();
    say_done((double)(now_ns() - begin) / (double)NS_A_SECOND);
    wait_for_line();
}

static ClientProtocol
parse_protocol(void)
{
    if (g_strcmp0(protocol, "vnc") == 0)
        return CLIENT_VNC;
    if (g_strcmp0(protocol, "spice") == 0)
        return CLIENT_SPICE;
    if (g_strcmp0(protocol, "serial") != 0)
        give_up("--protocol vnc, spice or serial?");
    return CLIENT_SERIAL;
}

/* Eight key events, or nothing that anybody looks at. */
static GByteArray *
make_message(void)
{
    Client framing = {.is_raw = is_raw};
    g_autofree guint8 *payload = g_malloc0((gsize)size);

    for (int i = 0; i + 8 <= size; i += 8)
        payload[i] = 4;
    return client_message(&framing, payload, (gsize)size);
}

static void
parse(int *argc, char ***argv)
{
    const GOptionEntry entries[] = {
        {"port", 0, 0, G_OPTION_ARG_INT, &port, "Of the proxy, on 127.0.0.1", "PORT"},
        {"ca", 0, 0, G_OPTION_ARG_FILENAME, &ca, "CA of the proxy's certificate", "FILE"},
        {"raw", 0, 0, G_OPTION_ARG_NONE, &is_raw, "No websocket", NULL},
        {"token", 0, 0, G_OPTION_ARG_STRING, &token, "Of the console", "TOKEN"},
        {"protocol", 0, 0, G_OPTION_ARG_STRING, &protocol, "vnc, spice or serial", "NAME"},
        {"sessions", 0, 0, G_OPTION_ARG_INT, &n_sessions, "At the same time", "N"},
        {"size", 0, 0, G_OPTION_ARG_INT, &size, "Bytes of a message", "N"},
        {"count", 0, 0, G_OPTION_ARG_INT, &count,
         "Messages a session; of all: echoes, set-ups, and ticks of --rate to hold", "N"},
        {"rate", 0, 0, G_OPTION_ARG_INT, &rate, "Echoes a second", "N"},
        {"at-once", 0, 0, G_OPTION_ARG_INT, &at_once, "Handshakes in progress", "N"},
        {"resume", 0, 0, G_OPTION_ARG_NONE, &resumes, "Come back with TLS tickets", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new("WHAT");
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error))
        give_up(error->message);
    if (*argc != 2 || ca == NULL || port == 0 || size < 8 || count < 1 || rate < 1 ||
        n_sessions < 1 || at_once < 1)
        give_up("see --help");
    what = (*argv)[1];
}

int
main(int argc, char **argv)
{
    parse(&argc, &argv);
    signal(SIGPIPE, SIG_IGN);
    tls = wire_client_tls(ca);
    if (resumes)
        SSL_CTX_sess_set_new_cb(tls, keep_ticket);
    target = (ClientTarget){.port = (guint16)port,
                            .is_raw = is_raw,
                            .token = token != NULL ? token : "tok",
                            .protocol = parse_protocol(),
                            .tls = tls};
    loop = epoll_create1(EPOLL_CLOEXEC);
    latencies = g_array_new(FALSE, FALSE, sizeof(gint64));
    message = make_message();
    run(find_kind());
    /* Exit closes them all at once; to free them one by one would only take time. */
    return 0;
}
