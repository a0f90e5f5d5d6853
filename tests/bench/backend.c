/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The hypervisor's side of the bench: many consoles in one light process.
 *
 *     bench-backend --tls DIR LISTENER...
 *
 * A LISTENER is PROTOCOL:BEHAVIOUR:SIZE. Protocols are those of handshakes[], behaviours those
 * of behaviours[]; SIZE is that of a write or a message. For each a line says the port it
 * listens at, then one says "ready". What a client wants begins with 8 bytes of its own, a key
 * event of RFB whose key is a count of writes or messages, so that it passes any proxy.
 *
 * Threads accept and greet, blocking, one connection each; then the connection goes to one
 * loop. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

/* Greetings in progress, more than the load generator has. */
#define GREETERS 16

/* Small writes of one connection before it is another's turn. */
#define WRITES_A_TURN 64

#define GO_SIZE  8
#define TICK_NS  5000000
#define MAX_SIZE 65536

typedef struct Console Console;
typedef struct Connection Connection;

struct Console {
    gboolean (*greet)(Connection *self);
    void (*act)(Connection *self, guint32 events);
    gsize size;
    int fd;
};

struct Connection {
    Wire wire;
    const Console *console;
    guint8 go[GO_SIZE];
    gsize n_go;
    guint64 left; /* bytes to write or to read */
    gsize held;   /* of an echo: bytes in kept that could not be written yet, from offset at */
    gsize at;
    guint8 *kept;
    guint32 events; /* as epoll has them */
};

static int loop = -1, ticker = -1;
static SSL_CTX *tls;
static guint8 key[256]; /* of SPICE, in DER */
static const guint8 zeros[MAX_SIZE];
static GPtrArray *ticking; /* of Connection */

/* --- greetings; FALSE: it has ended --- */

static gboolean
say(Connection *self, const char *bytes, gsize length)
{
    return wire_write_all(&self->wire, bytes, length);
}

static gboolean
hear(Connection *self, gsize length)
{
    guint8 bytes[4096];

    return length <= sizeof bytes && wire_read_all(&self->wire, bytes, length);
}

static gboolean
greet_rfb_init(Connection *self)
{
    static const char init[] =
        "\0\20\0\20\x20\x18\0\1\0\377\0\377\0\377\20\10\0\0\0\0\0\0\0\4fake";

    return hear(self, 1) && say(self, init, sizeof init - 1);
}

/* RFB 3.8 without a password, inside TLS. */
static gboolean
greet_vnc(Connection *self)
{
    return wire_start_tls(&self->wire, tls) && say(self, "RFB 003.008\n", 12) &&
           hear(self, 12) && say(self, "\1\1", 2) && hear(self, 1) &&
           say(self, "\0\0\0\0", 4) && greet_rfb_init(self);
}

/* VeNCrypt 0.2 with X509None. */
static gboolean
greet_vencrypt(Connection *self)
{
    return say(self, "RFB 003.008\n", 12) && hear(self, 12) && say(self, "\1\x13", 2) &&
           hear(self, 1) && say(self, "\0\2", 2) && hear(self, 2) &&
           say(self, "\0\1\0\0\1\4", 6) && hear(self, 4) && say(self, "\1", 1) &&
           wire_start_tls(&self->wire, tls) && say(self, "\0\0\0\0", 4) && greet_rfb_init(self);
}

/* A byte of a guest, that the client can wait for. */
static gboolean
greet_serial(Connection *self)
{
    return wire_start_tls(&self->wire, tls) && say(self, "$", 1);
}

#define SPICE_REPLY (16 + 178 + 4)

static gboolean
reply_to_link(Connection *self)
{
    guint8 reply[SPICE_REPLY] = "REDQ\2\0\0\0\2\0\0\0\xb6";

    memcpy(reply + 20, key, 162);
    put_u32le(reply + 182, 1);   /* a word of capabilities */
    put_u32le(reply + 190, 178); /* that begins here: */
    put_u32le(reply + 194, 0xb); /* chosen authentication, tickets, short headers */
    return wire_write_all(&self->wire, reply, sizeof reply);
}

/* INIT, then the list of 256 displays once the client asks for it. */
static gboolean
greet_spice_main(Connection *self)
{
    guint8 init[6 + 32] = {103, 0, 32, 0, 0, 0, 1, 2, 3, 4};
    guint8 list[6 + 4 + 2 * 256] = {104, 0};

    put_u32le(list + 2, sizeof list - 6);
    put_u32le(list + 6, 256);
    for (guint i = 0; i < 256; i++) {
        list[10 + 2 * i] = 2;
        list[11 + 2 * i] = (guint8)i;
    }
    return wire_write_all(&self->wire, init, sizeof init) && hear(self, 6) &&
           wire_write_all(&self->wire, list, sizeof list);
}

static gboolean
greet_spice(Connection *self)
{
    guint8 header[16], link[4096];

    if (!wire_start_tls(&self->wire, tls) || !wire_read_all(&self->wire, header, sizeof header))
        return FALSE;
    gsize size = get_u32le(header + 12);
    return size >= 18 && size <= sizeof link && wire_read_all(&self->wire, link, size) &&
           reply_to_link(self) && hear(self, 4 + 128) && say(self, "\0\0\0\0", 4) &&
           (link[4] != 1 || greet_spice_main(self));
}

static const struct {
    const char *name;
    gboolean (*greet)(Connection *self);
} handshakes[] = {
    {"vnc", greet_vnc},
    {"vencrypt", greet_vencrypt},
    {"spice", greet_spice},
    {"serial", greet_serial},
};

/* --- behaviours, called with what epoll says --- */

static void
wait_for(Connection *self, guint32 events)
{
    struct epoll_event wanted = {.events = events, .data.ptr = self};
    int how = self->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (self->events == events)
        return;
    /* Before the loop's thread may look at it. */
    self->events = events;
    epoll_ctl(loop, how, self->wire.fd, &wanted);
}

static void
end(Connection *self)
{
    g_ptr_array_remove_fast(ticking, self);
    wire_close(&self->wire);
    g_free(self->kept);
    g_free(self);
}

/* Reads on for its 8 bytes. FALSE: they are not there, or it has ended. */
static gboolean
is_asked(Connection *self)
{
    guint32 count;

    if (self->n_go == GO_SIZE)
        return TRUE;
    gssize n = wire_read(&self->wire, self->go + self->n_go, GO_SIZE - self->n_go);
    if (n == 0)
        end(self);
    if (n <= 0)
        return FALSE;
    self->n_go += (gsize)n;
    if (self->n_go < GO_SIZE)
        return is_asked(self);
    memcpy(&count, self->go + 4, sizeof count);
    self->left = GUINT32_FROM_BE(count) * (guint64)self->console->size;
    return TRUE;
}

static void
source(Connection *self, guint32 events)
{
    gsize size = self->console->size;
    gsize turn = MIN(WRITES_A_TURN * size, MAX_SIZE);

    if (!is_asked(self))
        return;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        end(self);
        return;
    }
    /* A write that was cut is completed first; sizes of messages stay as they are. */
    for (gsize sent = 0; sent < turn && self->left > 0;) {
        gsize part = (self->left - 1) % size + 1;
        gssize n = wire_write(&self->wire, zeros, part);
        if (n == 0) {
            end(self);
            return;
        }
        if (n == WIRE_AGAIN)
            break;
        sent += (gsize)n;
        self->left -= (guint64)n;
    }
    wait_for(self, self->left > 0 ? EPOLLOUT : EPOLLIN);
    if (self->left == 0)
        self->n_go = 0;
}

static void
sink(Connection *self, guint32 events G_GNUC_UNUSED)
{
    static guint8 bytes[MAX_SIZE];

    if (!is_asked(self))
        return;
    while (self->left > 0) {
        gssize n = wire_read(&self->wire, bytes, MIN(sizeof bytes, self->left));
        if (n == 0) {
            end(self);
            return;
        }
        if (n == WIRE_AGAIN)
            return;
        self->left -= (guint64)n;
    }
    self->n_go = 0;
    wire_write(&self->wire, zeros, 1);
}

static gboolean
write_kept(Connection *self)
{
    while (self->held > 0) {
        gssize n = wire_write(&self->wire, self->kept + self->at, self->held);
        if (n == 0)
            end(self);
        if (n == WIRE_AGAIN)
            wait_for(self, EPOLLOUT);
        if (n <= 0)
            return FALSE;
        self->at += (gsize)n;
        self->held -= (gsize)n;
    }
    wait_for(self, EPOLLIN);
    return TRUE;
}

static void
echo(Connection *self, guint32 events G_GNUC_UNUSED)
{
    if (self->kept == NULL)
        self->kept = g_malloc(self->console->size);
    while (write_kept(self)) {
        gssize n = wire_read(&self->wire, self->kept, self->console->size);
        if (n == 0)
            end(self);
        if (n <= 0)
            return;
        self->at = 0;
        self->held = (gsize)n;
    }
}

/* A message every TICK_NS, with the time in it. */
static void
tick(Connection *self, guint32 events G_GNUC_UNUSED)
{
    if (is_asked(self) && !g_ptr_array_find(ticking, self, NULL))
        g_ptr_array_add(ticking, self);
}

static const struct {
    const char *name;
    void (*act)(Connection *self, guint32 events);
} behaviours[] = {{"source", source}, {"sink", sink}, {"echo", echo}, {"tick", tick}};

static void
on_tick(void)
{
    guint64 count, message[MAX_SIZE / 8] = {0};
    struct timespec now;

    if (read(ticker, &count, sizeof count) != sizeof count)
        return;
    for (guint i = 0; i < ticking->len; i++) {
        Connection *self = ticking->pdata[i];
        clock_gettime(CLOCK_MONOTONIC, &now);
        message[0] = (guint64)now.tv_sec * 1000000000u + (guint64)now.tv_nsec;
        self->left -= self->console->size;
        if (self->left == 0) {
            g_ptr_array_remove_index_fast(ticking, i--);
            self->n_go = 0;
        }
        if (wire_write(&self->wire, message, self->console->size) == 0) {
            i -= self->left > 0;
            end(self);
        }
    }
}

/* --- the loop and the threads --- */

static gpointer
accept_clients(gpointer data)
{
    const Console *console = data;
    int fd;

    while ((fd = accept4(console->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        Connection *self = g_new0(Connection, 1);
        self->console = console;
        if (!wire_accept(&self->wire, fd, NULL) || !console->greet(self)) {
            wire_close(&self->wire);
            g_free(self);
            continue;
        }
        wire_stop_blocking(&self->wire);
        /* What came with the end of the greeting is in OpenSSL already, where it is. */
        wait_for(self, EPOLLIN);
    }
    return NULL;
}

static void
run(void)
{
    struct epoll_event events[64];

    for (;;) {
        int count = epoll_wait(loop, events, G_N_ELEMENTS(events), -1);
        for (int i = 0; i < count; i++) {
            Connection *self = events[i].data.ptr;
            if (self == NULL)
                on_tick();
            else
                self->console->act(self, events[i].events);
        }
    }
}

static void
make_ticker(void)
{
    struct itimerspec period = {{0, TICK_NS}, {0, TICK_NS}};
    struct epoll_event event = {.events = EPOLLIN};

    ticking = g_ptr_array_new();
    ticker = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    timerfd_settime(ticker, 0, &period, NULL);
    epoll_ctl(loop, EPOLL_CTL_ADD, ticker, &event);
}

static void
make_key(void)
{
    EVP_PKEY *pair = EVP_RSA_gen(1024);
    guint8 *at = key;
    int length = i2d_PUBKEY(pair, &at);

    g_assert(length == 162);
    EVP_PKEY_free(pair);
}

static guint16
listen_anywhere(Console *self)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;

    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(self->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(self->fd, 4096) != 0 ||
        getsockname(self->fd, (struct sockaddr *)&at, &length) != 0)
        g_error("cannot listen");
    return ntohs(at.sin_port);
}

static Console *
parse(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, ":", 3);
    Console *self = g_new0(Console, 1);

    if (g_strv_length(words) != 3)
        g_error("%s: not PROTOCOL:BEHAVIOUR:SIZE", text);
    for (gsize i = 0; i < G_N_ELEMENTS(handshakes); i++) {
        if (strcmp(words[0], handshakes[i].name) == 0)
            self->greet = handshakes[i].greet;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(behaviours); i++) {
        if (strcmp(words[1], behaviours[i].name) == 0)
            self->act = behaviours[i].act;
    }
    self->size = (gsize)g_ascii_strtoull(words[2], NULL, 10);
    if (self->greet == NULL || self->act == NULL || self->size < 8 || self->size > MAX_SIZE)
        g_error("%s: unknown", text);
    return self;
}

static void
start(const char *text)
{
    Console *console = parse(text);

    printf("listening %u\n", listen_anywhere(console));
    for (guint i = 0; i < GREETERS; i++)
        g_thread_unref(g_thread_new("greeter", accept_clients, console));
}

int
main(int argc, char **argv)
{
    g_autofree char *directory = NULL;
    g_auto(GStrv) listeners = NULL;
    const GOptionEntry entries[] = {
        {"tls", 0, 0, G_OPTION_ARG_FILENAME, &directory, "Certificates, by QEMU's names",
         "DIR"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &listeners, "", "LISTENER..."},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || directory == NULL ||
        listeners == NULL) {
        g_printerr("%s\n", error != NULL ? error->message : "see --help");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    tls = wire_server_tls(directory);
    loop = epoll_create1(EPOLL_CLOEXEC);
    make_key();
    make_ticker();
    for (char **listener = listeners; *listener != NULL; listener++)
        start(*listener);
    puts("ready");
    fflush(stdout);
    run();
}
