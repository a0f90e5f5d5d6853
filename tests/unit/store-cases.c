/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The rows, and what runs them. */
#include "tests/unit/store-cases.h"

#include <string.h>

typedef struct {
    VcpStoreAnswer expected;
    VcpStoreVerb verb;
    const char *owner;
    guint after; /* units of time that pass before */
    const char *client;
    guint32 session_id;
    const char *channels; /* pairs of digits: type, id */
    const char *console;
    gboolean is_single;
    guint spent, come_back; /* units */
} Step;

#define MAX_STEPS 14

typedef struct {
    const char *name;
    Step steps[MAX_STEPS]; /* to the first without an owner */
} Case;

#define S(e, v, ...)                                                                           \
    {                                                                                          \
        .expected = e, .verb = v, .owner = __VA_ARGS__                                         \
    }
#define OK         VCP_STORE_OK
#define TAKEN      VCP_STORE_TAKEN
#define SPENT      VCP_STORE_SPENT
#define UNKNOWN    VCP_STORE_UNKNOWN
#define NOT_LISTED VCP_STORE_NOT_LISTED
#define CLAIM      VCP_STORE_CLAIM
#define CONFIRM    VCP_STORE_CONFIRM
#define ATTACH     VCP_STORE_ATTACH
#define DETACH     VCP_STORE_DETACH
#define RELEASE    VCP_STORE_RELEASE
#define SINGLE     .is_single = TRUE, .spent = 100
#define MAIN       .session_id = 7, .console = "c"

/* clang-format off */
static const Case cases[] = {
    {"a claim keeps others out, and is its owner's when repeated", {
        S(OK, CLAIM, "a"), S(TAKEN, CLAIM, "b"), S(OK, CLAIM, "a")}},
    {"a claim given back is free", {
        S(OK, CLAIM, "a"), S(OK, RELEASE, "a"), S(OK, CLAIM, "b")}},
    {"only its owner gives a claim back", {
        S(OK, CLAIM, "a"), S(OK, RELEASE, "b"), S(TAKEN, CLAIM, "c")}},
    {"a claim that is not repeated runs out", {
        S(OK, CLAIM, "a"), S(TAKEN, CLAIM, "b", .after = 5), S(OK, CLAIM, "b", .after = 8), S(TAKEN, CLAIM, "a")}},
    {"a claim that is repeated does not", {
        S(OK, CLAIM, "a"), S(OK, CLAIM, "a", .after = 6), S(TAKEN, CLAIM, "b", .after = 6)}},
    {"a claim given back twice harms nobody", {
        S(OK, CLAIM, "a"), S(OK, RELEASE, "a"), S(OK, CLAIM, "b"), S(OK, RELEASE, "a"), S(TAKEN, CLAIM, "c")}},
    {"giving back what never was", {
        S(OK, RELEASE, "a"), S(OK, DETACH, "a", .channels = "20"), S(OK, CLAIM, "b")}},

    {"a confirmed single-use token is spent at once", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a", SINGLE), S(SPENT, CLAIM, "b"), S(OK, CONFIRM, "a", SINGLE), S(SPENT, CONFIRM, "b", SINGLE)}},
    {"and stays it after the session", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a", SINGLE), S(OK, RELEASE, "a", SINGLE), S(SPENT, CLAIM, "b"), S(SPENT, CLAIM, "a")}},
    {"and when its owner dies", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a", SINGLE), S(SPENT, CLAIM, "b", .after = 12)}},
    {"until the time is over that it is remembered", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a", .is_single = TRUE, .spent = 3), S(OK, RELEASE, "a", .is_single = TRUE, .spent = 3),
        S(SPENT, CLAIM, "b", .after = 1), S(OK, CLAIM, "b", .after = 4)}},
    {"a multi-use token is free after the session", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a"), S(TAKEN, CLAIM, "b"), S(OK, RELEASE, "a"), S(OK, CLAIM, "b")}},
    {"a session outlives its lease if nobody came", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a", SINGLE), S(OK, CONFIRM, "a", .after = 12, SINGLE), S(SPENT, CLAIM, "b")}},
    {"but not if somebody did", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a"), S(OK, CLAIM, "b", .after = 12), S(TAKEN, CONFIRM, "a"), S(OK, RELEASE, "a"), S(TAKEN, CLAIM, "c")}},
    {"a confirmation of what the store forgot", {
        S(OK, CONFIRM, "a", SINGLE), S(SPENT, CLAIM, "b")}},
    {"the end of a session that the store forgot", {
        S(OK, RELEASE, "a", SINGLE), S(SPENT, CLAIM, "b")}},

    {"the same client comes back", {
        S(OK, CLAIM, "a", .client = "x"), S(OK, CONFIRM, "a", .client = "x", SINGLE, .come_back = 5),
        S(OK, RELEASE, "a", .client = "x", SINGLE, .come_back = 5),
        S(SPENT, CLAIM, "b", .client = "y"), S(SPENT, CLAIM, "b"), S(OK, CLAIM, "b", .client = "x"), S(SPENT, CLAIM, "c", .client = "y"),
        S(TAKEN, CLAIM, "c", .client = "x"), S(OK, RELEASE, "b", .client = "x"), S(SPENT, CLAIM, "c", .client = "y"),
        S(SPENT, CLAIM, "c", .client = "x", .after = 7)}},
    {"the same client while his session still lives", {
        S(OK, CLAIM, "a", .client = "x"), S(OK, CONFIRM, "a", .client = "x", SINGLE, .come_back = 5),
        S(TAKEN, CLAIM, "b", .client = "x"), S(SPENT, CLAIM, "b", .client = "y")}},
    {"the same client after the death of the proxy", {
        S(OK, CLAIM, "a", .client = "x"), S(OK, CONFIRM, "a", .client = "x", SINGLE, .come_back = 5),
        S(OK, CLAIM, "b", .after = 12, .client = "x")}},
    {"nobody comes back without a window", {
        S(OK, CLAIM, "a", .client = "x"), S(OK, CONFIRM, "a", .client = "x", SINGLE),
        S(SPENT, CLAIM, "b", .client = "x"), S(OK, RELEASE, "a", .client = "x", SINGLE), S(SPENT, CLAIM, "b", .client = "x")}},
    {"nobody comes back who is nobody", {
        S(OK, CONFIRM, "a", SINGLE, .come_back = 5), S(OK, RELEASE, "a", SINGLE, .come_back = 5), S(SPENT, CLAIM, "b")}},

    {"a channel needs a session", {
        S(UNKNOWN, ATTACH, "s", .channels = "20", MAIN), S(OK, CLAIM, "a"), S(UNKNOWN, ATTACH, "s", .channels = "20", MAIN)}},
    {"a channel needs a session of SPICE", {
        S(OK, CONFIRM, "a"), S(UNKNOWN, ATTACH, "s", .channels = "20", .session_id = 0, .console = "")}},
    {"a channel that is listed, once", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a", MAIN), S(NOT_LISTED, ATTACH, "s", .channels = "20", MAIN),
        S(OK, CONFIRM, "a", .channels = "2040", MAIN), S(OK, ATTACH, "s", .channels = "20", MAIN), S(OK, ATTACH, "s", .channels = "20", MAIN),
        S(TAKEN, ATTACH, "t", .channels = "20", MAIN), S(NOT_LISTED, ATTACH, "t", .channels = "21", MAIN), S(NOT_LISTED, ATTACH, "t", .channels = "30", MAIN),
        S(OK, ATTACH, "t", .channels = "40", MAIN)}},
    {"lists add up", {
        S(OK, CONFIRM, "a", .channels = "20", MAIN), S(OK, CONFIRM, "a", .channels = "40", MAIN), S(OK, CONFIRM, "a", MAIN),
        S(OK, ATTACH, "s", .channels = "20", MAIN), S(OK, ATTACH, "t", .channels = "40", MAIN)}},
    {"a channel that is closed can be opened again", {
        S(OK, CONFIRM, "a", .channels = "20", MAIN), S(OK, ATTACH, "s", .channels = "20", MAIN), S(OK, DETACH, "t", .channels = "20"),
        S(TAKEN, ATTACH, "t", .channels = "20", MAIN), S(OK, DETACH, "s", .channels = "20"), S(OK, ATTACH, "t", .channels = "20", MAIN)}},
    {"a channel whose proxy died can be opened again", {
        S(OK, CONFIRM, "a", .channels = "20", MAIN), S(OK, ATTACH, "s", .channels = "20", MAIN), S(OK, CONFIRM, "a", .after = 6, MAIN),
        S(OK, CONFIRM, "a", .after = 6, MAIN), S(OK, ATTACH, "t", .channels = "20", MAIN), S(TAKEN, ATTACH, "s", .channels = "20", MAIN)}},
    {"a guessed id, another console", {
        S(OK, CONFIRM, "a", .channels = "20", MAIN), S(UNKNOWN, ATTACH, "s", .channels = "20", .session_id = 8, .console = "c"),
        S(UNKNOWN, ATTACH, "s", .channels = "20", .session_id = 0, .console = "c"),
        S(UNKNOWN, ATTACH, "s", .channels = "20", .session_id = 7, .console = "d"), S(OK, ATTACH, "s", .channels = "20", MAIN)}},
    {"after the main channel", {
        S(OK, CONFIRM, "a", .channels = "20", MAIN), S(OK, RELEASE, "a"), S(UNKNOWN, ATTACH, "s", .channels = "20", MAIN)}},
    {"after the main channel of a single-use token", {
        S(OK, CONFIRM, "a", .channels = "20", MAIN, SINGLE), S(OK, ATTACH, "s", .channels = "20", MAIN), S(OK, RELEASE, "a", SINGLE),
        S(SPENT, ATTACH, "s", .channels = "20", MAIN)}},
    {"after the death of the main channel's proxy", {
        S(OK, CONFIRM, "a", .channels = "20", MAIN), S(UNKNOWN, ATTACH, "s", .after = 12, .channels = "20", MAIN)}},
    {"a new session has none of the old one's channels", {
        S(OK, CONFIRM, "a", .channels = "20", MAIN), S(OK, ATTACH, "s", .channels = "20", MAIN), S(OK, RELEASE, "a"),
        S(OK, CLAIM, "b"), S(OK, CONFIRM, "b", .session_id = 9, .console = "c"), S(UNKNOWN, ATTACH, "s", .channels = "20", MAIN),
        S(NOT_LISTED, ATTACH, "s", .channels = "20", .session_id = 9, .console = "c")}},
    {"a second main channel does not touch the first", {
        S(OK, CLAIM, "a"), S(OK, CONFIRM, "a", .channels = "20", MAIN), S(TAKEN, CLAIM, "b"), S(OK, RELEASE, "b"), S(OK, ATTACH, "s", .channels = "20", MAIN)}},
};
/* clang-format on */

static const char *const words[] = {
    [VCP_STORE_OK] = "ok",
    [VCP_STORE_TAKEN] = "taken",
    [VCP_STORE_SPENT] = "spent",
    [VCP_STORE_UNKNOWN] = "unknown",
    [VCP_STORE_NOT_LISTED] = "not listed",
    [VCP_STORE_AWAY] = "away",
};

typedef struct {
    gboolean is_done;
    VcpStoreAnswer answer;
} Waiting;

static void
on_answer(VcpStoreAnswer answer, gpointer data)
{
    Waiting *waiting = data;

    waiting->is_done = TRUE;
    waiting->answer = answer;
}

VcpStoreAnswer
store_cases_ask(const StoreUnderTest *test, const VcpStoreRequest *request)
{
    Waiting waiting = {0};
    VcpStoreOp *op = test->store->ops->ask(test->store, request, on_answer, &waiting);

    g_assert_nonnull(op);
    g_assert_false(waiting.is_done);
    while (!waiting.is_done)
        uv_run(test->loop, UV_RUN_ONCE);
    return waiting.answer;
}

VcpStoreRequest
store_cases_claim(const StoreUnderTest *test, const char *key, const char *owner)
{
    VcpStoreRequest request = {
        .verb = VCP_STORE_CLAIM, .client = "", .console = "", .lease_ms = 10 * test->unit_ms};

    g_strlcpy(request.key, key, sizeof request.key);
    g_strlcpy(request.owner, owner, sizeof request.owner);
    return request;
}

static guint
parse_channels(const char *text, VcpChannel *channels)
{
    guint n = 0;

    for (; text != NULL && text[2 * n] != '\0'; n++)
        channels[n] =
            (VcpChannel){(guint8)(text[2 * n] - '0'), (guint8)(text[2 * n + 1] - '0')};
    return n;
}

static void
run_step(const StoreUnderTest *test, const char *name, const char *key, const Step *step,
         guint number)
{
    VcpChannel channels[8];
    VcpStoreRequest request = store_cases_claim(test, key, step->owner);

    request.verb = step->verb;
    request.client = step->client != NULL ? step->client : "";
    request.console = step->console != NULL ? step->console : "";
    request.session_id = step->session_id;
    request.channels = channels;
    request.n_channels = parse_channels(step->channels, channels);
    request.is_single = step->is_single;
    request.spent_ms = step->spent * test->unit_ms;
    request.come_back_ms = step->come_back * test->unit_ms;

    if (step->after > 0)
        test->pass(step->after * test->unit_ms);
    VcpStoreAnswer answer = store_cases_ask(test, &request);
    if (answer != step->expected)
        g_error("%s: step %u: %s, not %s", name, number, words[answer], words[step->expected]);
}

void
store_cases_run(const StoreUnderTest *test)
{
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *key = g_strdup_printf("tok:%u", i);
        for (guint j = 0; j < MAX_STEPS && cases[i].steps[j].owner != NULL; j++)
            run_step(test, cases[i].name, key, &cases[i].steps[j], j + 1);
    }
}
