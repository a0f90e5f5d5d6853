/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What no client of RFC 6455 sends: headers, lengths, fragments, text. */
#include "tests/unit/frames.h"

#include <string.h>

#define RSV    0x70
#define MASKED 0x80

#define N_TEXTS 20000

/* --- headers --- */

/* A row's last byte is what is wrong: up to there all is well. */
static const struct {
    const char *wrong;
    const guint8 *bytes;
    gsize length;
} rows[] = {
    {"a frame of an extension", BYTES("\xc2\x80")},
    {"a frame of an extension", BYTES("\xa1\x80")},
    {"a frame of an extension", BYTES("\x99\x80")},
    {"a frame that is not masked", BYTES("\x82\x00")},
    {"a frame that is not masked", BYTES("\x82\x7f")},
    {"a frame that is not masked", BYTES("\x88\x02")},
    {"a frame of an unknown kind", BYTES("\x83\x80")},
    {"a frame of an unknown kind", BYTES("\x07\x80")},
    {"a frame of an unknown kind", BYTES("\x8b\x80")},
    {"a frame of an unknown kind", BYTES("\x8f\x80")},
    {"a broken control frame", BYTES("\x09\x80")},
    {"a broken control frame", BYTES("\x89\xfe")},
    {"a broken control frame", BYTES("\x88\xff")},
    {"a frame's length is wrong", BYTES("\x82\xfe\0\x7d" NO_MASK)},
    {"a frame's length is wrong", BYTES("\x82\xfe\0\0" NO_MASK)},
    {"a frame's length is wrong", BYTES("\x82\xff\0\0\0\0\0\0\xff\xff" NO_MASK)},
    {"a frame's length is wrong", BYTES("\x82\xff\0\0\0\0\0\0\0\1" NO_MASK)},
    {"a frame's length is wrong", BYTES("\x82\xff\x80\0\0\0\0\0\0\0" NO_MASK)},
    {"a frame's length is wrong", BYTES("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" NO_MASK)},
    /* A continuation of nothing: at the start, behind a whole message, behind a ping. */
    {"fragments in disorder", BYTES("\x80\x80")},
    {"fragments in disorder", BYTES("\x00\x80")},
    {"fragments in disorder", BYTES("\x02\x80" NO_MASK "\x80\x80" NO_MASK "\x80\x80")},
    {"fragments in disorder", BYTES("\x89\x80" NO_MASK "\x80\x80")},
    /* A message amid another. */
    {"fragments in disorder", BYTES("\x02\x81" NO_MASK "a\x82\x80")},
    {"fragments in disorder", BYTES("\x01\x80" NO_MASK "\x81\x80")},
    {"fragments in disorder", BYTES("\x02\x80" NO_MASK "\x00\x80" NO_MASK "\x02\x80")},
    {"fragments in disorder", BYTES("\x02\x80" NO_MASK "\x8a\x80" NO_MASK "\x82\x80")},
    /* Never a character. */
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "abc\x80")},
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "\xff")},
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "\xc1")},
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "\xf5")},
    /* Overlong, a surrogate, beyond U+10FFFF: known by the second byte. */
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "\xe0\x9f")},
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "\xf0\x8f")},
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "\xed\xa0")},
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "\xf4\x90")},
    /* Too few bytes follow, or the message ends. */
    {"text that is not UTF-8", BYTES("\x81\x84" NO_MASK "\xe2\x82z")},
    {"text that is not UTF-8", BYTES("\x81\x82" NO_MASK "z\xc3")},
    {"text that is not UTF-8", BYTES("\x81\x83" NO_MASK "\xf0\x9f\x91")},
    {"text that is not UTF-8", BYTES("\x01\x82" NO_MASK "z\xc3\x80\x80" NO_MASK)},
    {"text that is not UTF-8", BYTES("\x01\x81" NO_MASK "\xe2\x80\x81" NO_MASK "\x82")},
    /* The same masked, over fragments, and with a ping between. */
    {"text that is not UTF-8", BYTES("\x81\x82" MASK "\xf4\x82")},
    {"text that is not UTF-8", BYTES("\x01\x81" NO_MASK "\xed\x80\x81" NO_MASK "\xa0")},
    {"text that is not UTF-8",
     BYTES("\x01\x81" NO_MASK "\xc3\x89\x81" NO_MASK "\xa9\x80\x81" NO_MASK "z")},
};

/* Neither more bytes of the frame nor whole frames help. */
static void
assert_stays_bad(Outcome *self)
{
    g_autoptr(GByteArray) more = g_byte_array_new();
    const char *wrong = self->reader.wrong;
    gsize length = self->payload->len;

    add_frame(more, FIN | VCP_WS_PING, MASK, BYTES("ping"));
    add_frame(more, FIN | VCP_WS_BINARY, NO_MASK, BYTES("binary"));
    for (int i = 0; i < 3; i++) {
        const guint8 *from = more->data;
        guint8 *to = more->data;
        g_assert_cmpint(vcp_ws_read(&self->reader, &from, more->data + more->len, &to), ==,
                        VCP_WS_BAD);
        g_assert_true(from == more->data && to == more->data);
        outcome_feed(self, more->data, more->len, i != 0);
        outcome_feed(self, NULL, 0, FALSE);
        g_assert_cmpint(self->event, ==, VCP_WS_BAD);
        g_assert_true(self->reader.wrong == wrong);
        g_assert_cmpuint(self->payload->len, ==, length);
    }
}

static void
test_rows(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Outcome) bytes = outcome_new();
        for (gsize j = 0; j < rows[i].length; j++) {
            g_assert_cmpint(bytes->event, ==, VCP_WS_MORE);
            outcome_feed(bytes, rows[i].bytes + j, 1, j % 2 != 0);
        }
        g_assert_cmpint(bytes->event, ==, VCP_WS_BAD);
        g_assert_cmpstr(bytes->reader.wrong, ==, rows[i].wrong);
        assert_stays_bad(bytes);
    }
}

/* All at once, behind what is good, which comes through, and before what is never looked at. */
static void
test_amid_others(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Outcome) whole = outcome_new();
        g_autoptr(GByteArray) stream = g_byte_array_new();
        add_frame(stream, FIN | VCP_WS_BINARY, MASK, BYTES("before"));
        g_byte_array_append(stream, rows[i].bytes, (guint)rows[i].length);
        add_frame(stream, FIN | VCP_WS_CLOSE, MASK, BYTES("behind"));
        add_frame(stream, FIN | VCP_WS_BINARY, MASK, BYTES("behind"));
        outcome_feed(whole, stream->data, stream->len, i % 2 != 0);
        g_assert_cmpint(whole->event, ==, VCP_WS_BAD);
        g_assert_cmpstr(whole->reader.wrong, ==, rows[i].wrong);
        g_assert_cmpuint(whole->payload->len, >=, 6);
        g_assert_cmpmem(whole->payload->data, 6, "before", 6);
        g_assert_cmpint(whole->reader.opcode, !=, VCP_WS_CLOSE);
        assert_stays_bad(whole);
    }
}

static gboolean
may_begin(guint8 first, guint8 second, gboolean in_message)
{
    if ((first & RSV) != 0 || (second & MASKED) == 0)
        return FALSE;
    switch (first & 0x0f) {
    case VCP_WS_CONTINUATION:
        return in_message;
    case VCP_WS_TEXT:
    case VCP_WS_BINARY:
        return !in_message;
    case VCP_WS_CLOSE:
    case VCP_WS_PING:
    case VCP_WS_PONG:
        return (first & FIN) != 0 && (second & ~MASKED) <= VCP_WS_MAX_CONTROL;
    default:
        return FALSE;
    }
}

/* Each pair of first bytes, outside of a message and within one. */
static void
test_first_bytes(void)
{
    for (guint i = 0; i < 2 * 65536; i++) {
        g_autoptr(Outcome) outcome = outcome_new();
        const guint8 bytes[] = {(guint8)(i >> 8), (guint8)i};
        gboolean in_message = i >= 65536;
        if (in_message)
            outcome_feed(outcome, BYTES("\x02\x80" NO_MASK), FALSE);
        outcome_feed(outcome, bytes, sizeof bytes, FALSE);
        g_assert_cmpint(outcome->event, ==,
                        may_begin(bytes[0], bytes[1], in_message) ? VCP_WS_MORE : VCP_WS_BAD);
    }
}

static void
assert_length(guint64 length, guint n, gboolean passes)
{
    g_autoptr(Outcome) outcome = outcome_new();
    guint8 header[VCP_WS_MAX_CLIENT_HEADER] = {FIN | VCP_WS_BINARY};

    header[1] = MASKED | (n == 2 ? 126 : 127);
    for (guint i = 0; i < n; i++)
        header[2 + i] = (guint8)(length >> 8 * (n - 1 - i));
    outcome_feed(outcome, header, 2 + n + 4, FALSE);
    g_assert_cmpint(outcome->event, ==, passes ? VCP_WS_MORE : VCP_WS_BAD);
    if (!passes)
        return;
    outcome_feed(outcome, BYTES("payload"), FALSE);
    g_assert_cmpint(outcome->event, ==, VCP_WS_MORE);
    g_assert_cmpmem(outcome->payload->data, outcome->payload->len, "payload", 7);
}

static void
test_lengths(void)
{
    for (guint length = 0; length <= G_MAXUINT16; length++) {
        assert_length(length, 2, length > 125);
        assert_length(length, 8, FALSE);
    }
    for (guint bit = 16; bit < 64; bit++) {
        assert_length(G_GUINT64_CONSTANT(1) << bit, 8, bit < 63);
        assert_length((G_GUINT64_CONSTANT(1) << bit) | 1, 8, bit < 63);
    }
    assert_length(G_MAXINT64, 8, TRUE);
    assert_length(G_MAXUINT64, 8, FALSE);
}

/* --- text --- */

/* GLib's answer, but that a NUL is a character too. */
static gboolean
is_utf8(const guint8 *text, gsize length)
{
    g_autofree char *copy = g_malloc(length + 1);

    for (gsize i = 0; i < length; i++)
        copy[i] = text[i] == '\0' ? ' ' : (char)text[i];
    return g_utf8_validate(copy, (gssize)length, NULL);
}

static void
assert_text(const guint8 *text, gsize length)
{
    g_autoptr(Outcome) outcome = outcome_new();
    g_autoptr(GByteArray) stream = g_byte_array_new();
    gboolean passes = is_utf8(text, length);

    add_frame(stream, FIN | VCP_WS_TEXT, NO_MASK, text, length);
    outcome_feed(outcome, stream->data, stream->len, FALSE);
    g_assert_cmpint(outcome->event, ==, passes ? VCP_WS_MORE : VCP_WS_BAD);
    g_assert_true(outcome->reader.heard_text);
    if (passes)
        g_assert_cmpmem(outcome->payload->data, outcome->payload->len, text, length);
}

/* The ends of each class of bytes that RFC 3629 tells from the others. */
static const guint8 edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                               0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
                               0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};

/* All texts of up to four of them. */
static void
test_edges(void)
{
    gsize n = 1;

    for (gsize length = 0; length <= 4; length++) {
        for (gsize i = 0; i < n; i++) {
            guint8 text[4];
            gsize rest = i;
            for (gsize j = 0; j < length; j++) {
                text[j] = edges[rest % G_N_ELEMENTS(edges)];
                rest /= G_N_ELEMENTS(edges);
            }
            assert_text(text, length);
        }
        n *= G_N_ELEMENTS(edges);
    }
}

/* Mostly characters, of any length. */
static void
make_text(GByteArray *text)
{
    static const gint32 ends[] = {0x80, 0x800, 0x10000, 0x110000};

    for (int left = g_test_rand_int_range(0, 8); left > 0; left--) {
        char bytes[6];
        gint32 end = ends[g_test_rand_int_range(0, G_N_ELEMENTS(ends))];
        int length = g_unichar_to_utf8((gunichar)g_test_rand_int_range(0, end), bytes);
        if (g_test_rand_int_range(0, 20) == 0)
            bytes[g_test_rand_int_range(0, length)] = (char)g_test_rand_int_range(0, 256);
        if (g_test_rand_int_range(0, 40) == 0)
            length--;
        g_byte_array_append(text, (guint8 *)bytes, (guint)length);
    }
}

/* Fragments of any size, with a ping before each. */
static void
add_fragments(GByteArray *stream, const GByteArray *text)
{
    guint8 opcode = VCP_WS_TEXT;
    gsize at = 0;

    for (gboolean is_last = FALSE; !is_last; opcode = VCP_WS_CONTINUATION) {
        gsize most = MIN(5, text->len - at);
        gsize length = (gsize)g_test_rand_int_range(0, (gint32)most + 1);
        is_last = at + length == text->len && g_test_rand_bit();
        add_frame(stream, FIN | VCP_WS_PING, NO_MASK, BYTES("\x80\xff"));
        add_frame(stream, is_last ? FIN | opcode : opcode, MASK, text->data + at, length);
        at += length;
    }
}

static void
test_random(void)
{
    guint n_bad = 0;

    for (int i = 0; i < N_TEXTS; i++) {
        g_autoptr(Outcome) outcome = outcome_new();
        g_autoptr(GByteArray) text = g_byte_array_sized_new(64);
        g_autoptr(GByteArray) stream = g_byte_array_new();
        make_text(text);
        add_fragments(stream, text);
        gboolean passes = is_utf8(text->data, text->len);
        for (gsize at = 0; at < stream->len && outcome->event != VCP_WS_BAD;) {
            gsize most = MIN(20, stream->len - at);
            gsize piece = (gsize)g_test_rand_int_range(1, (gint32)most + 1);
            outcome_feed(outcome, stream->data + at, piece, g_test_rand_bit());
            at += piece;
        }
        g_assert_cmpint(outcome->event, ==, passes ? VCP_WS_MORE : VCP_WS_BAD);
        if (passes)
            g_assert_cmpmem(outcome->payload->data, outcome->payload->len, text->data,
                            text->len);
        n_bad += !passes;
    }
    g_assert_cmpuint(n_bad, >, N_TEXTS / 20);
    g_assert_cmpuint(n_bad, <, N_TEXTS / 2);
}

/* Binary messages need not be text, nor those that follow one. */
static void
test_binary(void)
{
    g_autoptr(Outcome) outcome = outcome_new();
    g_autoptr(GByteArray) stream = g_byte_array_new();

    add_frame(stream, FIN | VCP_WS_BINARY, MASK, BYTES("\xff\xc3"));
    outcome_feed(outcome, stream->data, stream->len, FALSE);
    g_assert_false(outcome->reader.heard_text);
    add_frame(stream, FIN | VCP_WS_TEXT, MASK, BYTES("\xc3\xbc"));
    add_frame(stream, VCP_WS_BINARY, MASK, BYTES("\xff\xc3"));
    add_frame(stream, FIN | VCP_WS_CONTINUATION, MASK, BYTES("\xff\xc3"));
    add_frame(stream, FIN | VCP_WS_TEXT, MASK, BYTES("\xc3\xbc"));
    outcome_feed(outcome, stream->data, stream->len, FALSE);
    g_assert_cmpint(outcome->event, ==, VCP_WS_MORE);
    g_assert_true(outcome->reader.heard_text);
    g_assert_cmpmem(outcome->payload->data, outcome->payload->len,
                    "\xff\xc3\xff\xc3\xc3\xbc\xff\xc3\xff\xc3\xc3\xbc", 12);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/websocket-refused/rows", test_rows);
    g_test_add_func("/websocket-refused/amid-others", test_amid_others);
    g_test_add_func("/websocket-refused/first-bytes", test_first_bytes);
    g_test_add_func("/websocket-refused/lengths", test_lengths);
    g_test_add_func("/websocket-refused/edges", test_edges);
    g_test_add_func("/websocket-refused/random", test_random);
    g_test_add_func("/websocket-refused/binary", test_binary);
    return g_test_run();
}
