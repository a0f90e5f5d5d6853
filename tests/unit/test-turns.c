/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Who has a turn, in which order, and what the loop does in between. */
#include "proxy/turns.h"

#include <unistd.h>

typedef struct Guest Guest;

typedef struct {
    uv_loop_t loop;
    VcpTurns *turns;
    GString *seen; /* a letter for each turn */
} Fixture;

struct Guest {
    GList link;
    Fixture *fixture;
    char letter;
    guint returns; /* comes back so often */
    void (*on_turn)(Guest *self);
    gpointer data;
};

static void
on_turn(gpointer data)
{
    Guest *self = data;

    g_string_append_c(self->fixture->seen, self->letter);
    if (self->on_turn != NULL)
        self->on_turn(self);
    if (self->returns > 0) {
        self->returns--;
        vcp_turns_wait(self->fixture->turns, &self->link);
    }
}

static void
init_guest(Guest *self, Fixture *fixture, char letter, guint returns)
{
    *self = (Guest){.fixture = fixture, .letter = letter, .returns = returns};
    self->link.data = self;
}

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    uv_loop_init(&self->loop);
    self->turns = vcp_turns_new(&self->loop, on_turn);
    self->seen = g_string_new(NULL);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_turns_free(self->turns);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpint(uv_loop_close(&self->loop), ==, 0);
    g_string_free(self->seen, TRUE);
}

/* --- order --- */

static void
test_order(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Guest guests[3];

    for (gsize i = 0; i < G_N_ELEMENTS(guests); i++) {
        init_guest(&guests[i], self, (char)('a' + i), 0);
        vcp_turns_wait(self->turns, &guests[i].link);
    }
    g_assert_cmpstr(self->seen->str, ==, "");
    /* Returns: nobody keeps the loop awake any more. */
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpstr(self->seen->str, ==, "abc");
}

static void
test_nobody(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpstr(self->seen->str, ==, "");
}

/* Each has one turn before anybody has a second. */
static void
test_come_back(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const after[] = {"abc", "abcac", "abcacc", "abcacc"};
    Guest guests[3];

    init_guest(&guests[0], self, 'a', 1);
    init_guest(&guests[1], self, 'b', 0);
    init_guest(&guests[2], self, 'c', 2);
    for (gsize i = 0; i < G_N_ELEMENTS(guests); i++)
        vcp_turns_wait(self->turns, &guests[i].link);
    for (gsize i = 0; i < G_N_ELEMENTS(after); i++) {
        uv_run(&self->loop, UV_RUN_NOWAIT);
        g_assert_cmpstr(self->seen->str, ==, after[i]);
    }
}

/* --- sockets --- */

typedef struct {
    uv_poll_t poll;
    int fds[2];
    Fixture *fixture;
} Pipe;

static void
on_readable(uv_poll_t *poll, int status, int events)
{
    Pipe *self = poll->data;
    char byte;

    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(events, ==, UV_READABLE);
    g_assert_cmpint(read(self->fds[0], &byte, 1), ==, 1);
    g_string_append_c(self->fixture->seen, '.');
}

static void
open_pipe(Pipe *self, Fixture *fixture)
{
    self->fixture = fixture;
    g_assert_cmpint(pipe(self->fds), ==, 0);
    uv_poll_init(&fixture->loop, &self->poll, self->fds[0]);
    self->poll.data = self;
    uv_poll_start(&self->poll, UV_READABLE, on_readable);
}

static void
close_pipe(Pipe *self)
{
    uv_close((uv_handle_t *)&self->poll, NULL);
    uv_run(&self->fixture->loop, UV_RUN_DEFAULT);
    close(self->fds[0]);
    close(self->fds[1]);
}

static void
write_to_pipe(Guest *self)
{
    const Pipe *pipe = self->data;

    g_assert_cmpint(write(pipe->fds[1], "x", 1), ==, 1);
}

/* What becomes readable in one turn is seen before the next. */
static void
test_socket_in_between(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Guest guests[2];
    Pipe pipe;

    open_pipe(&pipe, self);
    init_guest(&guests[0], self, 'a', 2);
    init_guest(&guests[1], self, 'b', 2);
    guests[0].on_turn = write_to_pipe;
    guests[0].data = &pipe;
    vcp_turns_wait(self->turns, &guests[0].link);
    vcp_turns_wait(self->turns, &guests[1].link);
    while (self->seen->len < 9)
        uv_run(&self->loop, UV_RUN_ONCE);
    g_assert_cmpstr(self->seen->str, ==, "ab.ab.ab.");
    close_pipe(&pipe);
}

static void
wait_for_turn(Fixture *self, Guest *guest)
{
    vcp_turns_wait(self->turns, &guest->link);
    uv_run(&self->loop, UV_RUN_DEFAULT);
}

/* After nobody had any, and the loop slept. */
static void
test_later(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Guest guest;

    init_guest(&guest, self, 'a', 1);
    wait_for_turn(self, &guest);
    g_assert_cmpstr(self->seen->str, ==, "aa");
    wait_for_turn(self, &guest);
    g_assert_cmpstr(self->seen->str, ==, "aaa");
}

/* --- leaving --- */

static void
test_leave(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Guest guests[3];

    for (gsize i = 0; i < G_N_ELEMENTS(guests); i++) {
        init_guest(&guests[i], self, (char)('a' + i), 0);
        vcp_turns_wait(self->turns, &guests[i].link);
    }
    vcp_turns_leave(self->turns, &guests[1].link);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpstr(self->seen->str, ==, "ac");

    /* The last of them, and back again. */
    vcp_turns_wait(self->turns, &guests[1].link);
    vcp_turns_leave(self->turns, &guests[1].link);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpstr(self->seen->str, ==, "ac");
    vcp_turns_wait(self->turns, &guests[1].link);
    vcp_turns_leave(self->turns, &guests[1].link);
    wait_for_turn(self, &guests[1]);
    g_assert_cmpstr(self->seen->str, ==, "acb");
}

static void
make_leave(Guest *self)
{
    Guest *other = self->data;

    if (other != NULL)
        vcp_turns_leave(self->fixture->turns, &other->link);
    self->data = NULL;
}

/* Somebody's turn ends what another waits for. */
static void
test_leave_within(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Guest guests[3];

    for (gsize i = 0; i < G_N_ELEMENTS(guests); i++) {
        init_guest(&guests[i], self, (char)('a' + i), 1);
        vcp_turns_wait(self->turns, &guests[i].link);
    }
    guests[0].on_turn = make_leave;
    guests[0].data = &guests[1];
    uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_cmpstr(self->seen->str, ==, "ac");
    uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_cmpstr(self->seen->str, ==, "acac");
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpstr(self->seen->str, ==, "acac");
}

/* Nobody is left, while the loop is still told not to sleep. */
static void
test_free_after_leave(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    Guest guest;

    init_guest(&guest, self, 'a', 0);
    vcp_turns_wait(self->turns, &guest.link);
    vcp_turns_leave(self->turns, &guest.link);
    vcp_turns_free(self->turns);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpstr(self->seen->str, ==, "");
    self->turns = vcp_turns_new(&self->loop, on_turn);
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/turns/order", test_order},
    {"/turns/nobody", test_nobody},
    {"/turns/come-back", test_come_back},
    {"/turns/socket-in-between", test_socket_in_between},
    {"/turns/later", test_later},
    {"/turns/leave", test_leave},
    {"/turns/leave-within", test_leave_within},
    {"/turns/free-after-leave", test_free_after_leave},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
