/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Plays transcripts to a handshake, in the session's place. */
#include "transcript.h"

#include <string.h>

#include "common/error.h"

typedef struct {
    const Transcript *transcript;
    VcpHandshake *handshake;
    VcPool *pool;
    VcBuffer from[2];
    VcBuffer to[2];
    GByteArray *sent[2]; /* what the handshake wrote and no step has looked at */
    VcpStep step;        /* START_TLS stays until the transcript says so too */
    VcpStep expected;    /* step, by the transcript */
    const char *refusal; /* NULL: the client is welcome */
    gboolean refused;
    GError *error;
} Player;

static void
player_init(Player *self, const Transcript *transcript)
{
    *self = (Player){.transcript = transcript, .pool = vc_pool_new(), .step = VCP_STEP_WAIT};
    self->handshake =
        vcp_handshake_new(transcript->service, transcript->has_credentials, &self->error);
    g_assert_no_error(self->error);
    for (int side = 0; side < 2; side++) {
        vc_buffer_init(&self->from[side], self->pool);
        vc_buffer_init(&self->to[side], self->pool);
        self->sent[side] = g_byte_array_new();
    }
}

static void
player_clear(Player *self)
{
    for (int side = 0; side < 2; side++) {
        vc_buffer_clear(&self->from[side]);
        vc_buffer_clear(&self->to[side]);
        g_byte_array_unref(self->sent[side]);
    }
    vcp_handshake_free(self->handshake);
    vc_pool_free(self->pool);
    g_clear_error(&self->error);
}

static void
collect(Player *self)
{
    for (int side = 0; side < 2; side++) {
        VcBuffer *to = &self->to[side];
        if (vc_buffer_length(to) > 0)
            g_byte_array_append(self->sent[side], vc_buffer_data(to),
                                (guint)vc_buffer_length(to));
        vc_buffer_clear(to);
    }
}

static void
relay(Player *self)
{
    const VcpHandshakeOps *ops = self->handshake->ops;

    for (VcpSide side = VCP_TENANT; side <= VCP_COMPUTE; side++) {
        VcpSide other = side == VCP_TENANT ? VCP_COMPUTE : VCP_TENANT;
        if (!ops->relay(self->handshake, side, &self->from[side], &self->to[other],
                        &self->error)) {
            self->step = VCP_STEP_FAILED;
            return;
        }
    }
}

/* What a session does whenever something came. */
static void
run(Player *self)
{
    const VcpHandshakeOps *ops = self->handshake->ops;
    VcBuffer *from[2] = {&self->from[0], &self->from[1]};
    VcBuffer *to[2] = {&self->to[0], &self->to[1]};

    if (self->refusal != NULL) {
        if (!self->refused)
            self->refused =
                ops->refuse(self->handshake, self->refusal, from[VCP_TENANT], to[VCP_TENANT]);
    } else {
        if (self->step == VCP_STEP_WAIT)
            self->step = ops->advance(self->handshake, from, to, &self->error);
        if (self->step == VCP_STEP_SPLICE)
            relay(self);
    }
    g_assert_true((self->step == VCP_STEP_FAILED) == (self->error != NULL));
    collect(self);
}

static void
feed(Player *self, VcpSide side, const guint8 *data, gsize length)
{
    g_assert_true(vc_buffer_append(&self->from[side], data, length));
}

static const VcpNote *
pending_note(const Player *self)
{
    const VcpHandshakeOps *ops = self->handshake->ops;

    return ops->note != NULL && self->refusal == NULL && self->step != VCP_STEP_FAILED
               ? ops->note(self->handshake)
               : NULL;
}

/* As the transcript has it: one that comes several times in a row is there once. */
static guint
add_channel(GString *text, const VcpNote *note, guint i)
{
    const VcpChannel *first = &note->channels[i];
    guint n = 1;

    while (i + n < note->n_channels && memcmp(first, &first[n], sizeof *first) == 0)
        n++;
    g_string_append_printf(text, " %u.%u", first->type, first->id);
    if (n > 1)
        g_string_append_printf(text, "*%u", n);
    return n;
}

static char *
describe(const VcpNote *note)
{
    static const char *const kinds[] = {
        [VCP_NOTE_MAIN] = "main",
        [VCP_NOTE_CHANNEL] = "channel",
        [VCP_NOTE_SESSION] = "session",
        [VCP_NOTE_CHANNELS] = "channels",
    };
    g_autoptr(GString) text = g_string_new(kinds[note->kind]);

    if (note->kind == VCP_NOTE_CHANNEL || note->kind == VCP_NOTE_SESSION)
        g_string_append_printf(text, " %u", note->session_id);
    for (guint i = 0; i < note->n_channels;)
        i += add_channel(text, note, i);
    return g_strdup(text->str);
}

/* Nothing goes on behind the note until it is answered. */
static void
answer_note(Player *self, const TranscriptStep *step)
{
    const VcpNote *note = pending_note(self);

    g_assert_nonnull(note);
    g_autofree char *text = describe(note);
    g_assert_cmpstr(text, ==, step->text);
    self->handshake->ops->noted(self->handshake, step->answer);
    if (step->answer == VCP_STORE_OK)
        run(self);
}

static void
check_failure(const Player *self, const TranscriptStep *step)
{
    g_assert_cmpint(self->step, ==, VCP_STEP_FAILED);
    g_assert_cmpuint(self->error->domain, ==, VC_ERROR);
    g_assert_cmpstr(vc_error_name((VcError)self->error->code), ==, step->word);
    if (step->text != NULL && strstr(self->error->message, step->text) == NULL)
        g_error("\"%s\" is not in \"%s\"", step->text, self->error->message);
    for (const char *c = self->error->message; *c != '\0'; c++)
        g_assert_true(g_ascii_isprint(*c));
}

static void
check_sent(Player *self, VcpSide side, const GByteArray *expected)
{
    g_assert_cmpmem(self->sent[side]->data, self->sent[side]->len, expected->data,
                    expected->len);
    g_byte_array_set_size(self->sent[side], 0);
}

static const TranscriptStep *
nth(const Transcript *self, guint i)
{
    return i < self->steps->len ? g_ptr_array_index(self->steps, i) : NULL;
}

static gboolean
is_refused_at_once(const Transcript *self)
{
    return nth(self, 0)->op == TRANSCRIPT_REFUSE;
}

/* One step, in which only its own last byte may make a difference to the state. */
static void
play_step(Player *self, const TranscriptStep *step)
{
    switch (step->op) {
    case TRANSCRIPT_SEND:
        for (guint i = 0; i < step->bytes->len; i++) {
            g_assert_cmpint(self->step, ==, self->expected);
            feed(self, step->side, step->bytes->data + i, 1);
            run(self);
        }
        return;
    case TRANSCRIPT_EXPECT:
        check_sent(self, step->side, step->bytes);
        return;
    case TRANSCRIPT_START_TLS:
        g_assert_cmpint(self->step, ==, VCP_STEP_START_TLS);
        self->step = VCP_STEP_WAIT;
        run(self);
        return;
    case TRANSCRIPT_SPLICE:
        self->expected = VCP_STEP_SPLICE;
        return;
    case TRANSCRIPT_STORE:
        answer_note(self, step);
        return;
    case TRANSCRIPT_FAIL:
        check_failure(self, step);
        self->expected = VCP_STEP_FAILED;
        return;
    case TRANSCRIPT_REFUSE:
        self->refusal = step->word;
        run(self);
        return;
    case TRANSCRIPT_REFUSED:
        g_assert_true(self->refused);
        return;
    }
}

void
transcript_replay_bytes(const Transcript *self)
{
    Player player;
    gboolean refused = FALSE;

    player_init(&player, self);
    if (!is_refused_at_once(self))
        run(&player);
    for (guint i = 0; i < self->steps->len; i++) {
        play_step(&player, nth(self, i));
        refused |= nth(self, i)->op == TRANSCRIPT_REFUSED;
    }
    g_assert_cmpint(player.step, ==, player.expected);
    g_assert_cmpint(player.refused, ==, refused);
    g_assert_cmpuint(player.sent[VCP_TENANT]->len, ==, 0);
    g_assert_cmpuint(player.sent[VCP_COMPUTE]->len, ==, 0);
    g_assert_null(pending_note(&player));
    player_clear(&player);
}

/* Steps between which no one has to wait for a decision of the session. */
typedef struct {
    guint first;
    guint end;
    GByteArray *input[2];
    GByteArray *output[2];
    const TranscriptStep *last;  /* START_TLS, SPLICE, FAIL; NULL: none */
    const TranscriptStep *store; /* nullable */
    gboolean refused;
} Segment;

static void
segment_add(Segment *self, const TranscriptStep *step)
{
    if (step->op == TRANSCRIPT_SEND)
        g_byte_array_append(self->input[step->side], step->bytes->data, step->bytes->len);
    else if (step->op == TRANSCRIPT_EXPECT)
        g_byte_array_append(self->output[step->side], step->bytes->data, step->bytes->len);
    else if (step->op == TRANSCRIPT_REFUSED)
        self->refused = TRUE;
    else if (step->op == TRANSCRIPT_STORE)
        self->store = step;
    else if (step->op != TRANSCRIPT_REFUSE)
        self->last = step;
}

static gboolean
ends_segment(const Transcript *transcript, guint i)
{
    const TranscriptStep *step = nth(transcript, i);
    const TranscriptStep *next = nth(transcript, i + 1);

    return next == NULL || next->op == TRANSCRIPT_REFUSE || step->op == TRANSCRIPT_START_TLS ||
           step->op == TRANSCRIPT_STORE || step->op == TRANSCRIPT_FAIL;
}

static void
segment_init(Segment *self, const Transcript *transcript, guint first)
{
    *self = (Segment){.first = first, .end = first};
    for (int side = 0; side < 2; side++) {
        self->input[side] = g_byte_array_new();
        self->output[side] = g_byte_array_new();
    }
    do
        segment_add(self, nth(transcript, self->end));
    while (!ends_segment(transcript, self->end++));
}

static void
segment_clear(Segment *self)
{
    for (int side = 0; side < 2; side++) {
        g_byte_array_unref(self->input[side]);
        g_byte_array_unref(self->output[side]);
    }
}

/* random: NULL for all at once. */
static void
feed_segment(Player *player, const Segment *segment, GRand *random)
{
    gsize fed[2] = {0, 0};

    while (fed[0] < segment->input[0]->len || fed[1] < segment->input[1]->len) {
        VcpSide side = random != NULL && g_rand_boolean(random) ? VCP_COMPUTE : VCP_TENANT;
        if (fed[side] == segment->input[side]->len)
            side = side == VCP_TENANT ? VCP_COMPUTE : VCP_TENANT;
        gsize piece = segment->input[side]->len - fed[side];
        if (random != NULL)
            piece = (gsize)g_rand_int_range(random, 1, (gint32)MIN(piece, 40) + 1);
        feed(player, side, segment->input[side]->data + fed[side], piece);
        fed[side] += piece;
        if (random != NULL)
            run(player);
    }
    run(player);
}

static void
check_segment(Player *player, const Segment *segment)
{
    const TranscriptStep *last = segment->last;

    if (last != NULL)
        player->expected = last->op == TRANSCRIPT_FAIL        ? VCP_STEP_FAILED
                           : last->op == TRANSCRIPT_START_TLS ? VCP_STEP_START_TLS
                                                              : VCP_STEP_SPLICE;
    g_assert_cmpint(player->step, ==, player->expected);
    if (last != NULL && last->op == TRANSCRIPT_FAIL)
        check_failure(player, last);
    g_assert_cmpint(player->refused, ==, segment->refused);
    check_sent(player, VCP_TENANT, segment->output[VCP_TENANT]);
    check_sent(player, VCP_COMPUTE, segment->output[VCP_COMPUTE]);
    if (player->step == VCP_STEP_START_TLS)
        player->step = player->expected = VCP_STEP_WAIT;
    if (segment->store != NULL)
        answer_note(player, segment->store);
    else
        g_assert_null(pending_note(player));
}

static void
replay_segments(const Transcript *self, GRand *random)
{
    Player player;
    Segment segment;

    player_init(&player, self);
    for (guint i = 0; i < self->steps->len; i = segment.end) {
        segment_init(&segment, self, i);
        if (nth(self, i)->op == TRANSCRIPT_REFUSE)
            player.refusal = nth(self, i)->word;
        feed_segment(&player, &segment, random);
        check_segment(&player, &segment);
        segment_clear(&segment);
    }
    player_clear(&player);
}

void
transcript_replay_whole(const Transcript *self)
{
    replay_segments(self, NULL);
}

void
transcript_replay_random(const Transcript *self, guint32 seed)
{
    GRand *random = g_rand_new_with_seed(seed);

    replay_segments(self, random);
    g_rand_free(random);
}

/* Bytes that a side sends up to the step, or the whole case where no such step is in it. */
static gsize
count_input(const Transcript *self, VcpSide side, TranscriptOp before)
{
    gsize length = 0;

    for (guint i = 0; i < self->steps->len && nth(self, i)->op != before; i++) {
        if (nth(self, i)->op == TRANSCRIPT_SEND && nth(self, i)->side == side)
            length += nth(self, i)->bytes->len;
    }
    return length;
}

gboolean
transcript_has_step(const Transcript *self, TranscriptOp op)
{
    for (guint i = 0; i < self->steps->len; i++) {
        if (nth(self, i)->op == op)
            return TRUE;
    }
    return FALSE;
}

/* Plays up to the splice, one side silent after so many bytes of its own. */
static void
replay_cut(const Transcript *self, VcpSide silent, gsize after)
{
    Player player;

    player_init(&player, self);
    for (guint i = 0; nth(self, i)->op != TRANSCRIPT_SPLICE; i++) {
        const TranscriptStep *step = nth(self, i);
        if (step->op == TRANSCRIPT_SEND) {
            gsize length =
                step->side == silent ? MIN(step->bytes->len, after) : step->bytes->len;
            feed(&player, step->side, step->bytes->data, length);
            after -= step->side == silent ? length : 0;
        } else if (step->op == TRANSCRIPT_START_TLS) {
            run(&player);
            if (player.step != VCP_STEP_START_TLS)
                break;
            player.step = VCP_STEP_WAIT;
        } else if (step->op == TRANSCRIPT_STORE) {
            run(&player);
            if (pending_note(&player) == NULL)
                break;
            answer_note(&player, step);
        }
    }
    run(&player);
    g_assert_cmpint(player.step, ==, VCP_STEP_WAIT);
    player_clear(&player);
}

void
transcript_replay_truncated(const Transcript *self)
{
    for (VcpSide side = VCP_TENANT; side <= VCP_COMPUTE; side++) {
        gsize length = count_input(self, side, TRANSCRIPT_SPLICE);
        for (gsize after = 0; after < length; after++)
            replay_cut(self, side, after);
    }
}

void
transcript_replay_injected(const Transcript *self)
{
    static const guint8 injected = 0;
    Player player;

    player_init(&player, self);
    for (guint i = 0; nth(self, i)->op != TRANSCRIPT_START_TLS; i++) {
        if (nth(self, i)->op == TRANSCRIPT_SEND)
            feed(&player, nth(self, i)->side, nth(self, i)->bytes->data,
                 nth(self, i)->bytes->len);
    }
    feed(&player, VCP_COMPUTE, &injected, 1);
    run(&player);
    check_failure(&player,
                  &(TranscriptStep){.word = (char *)"protocol", .text = (char *)"before TLS"});
    player_clear(&player);
}
