/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A client's frames, however they are cut and wherever their payload goes; the headers of ours.
 * What is refused: test-websocket-refused.c. */
#include "tests/unit/frames.h"

#include <string.h>

#define N_STREAMS 200

/* A stream and what must come of it. */
typedef struct {
    GByteArray *bytes;
    Outcome *expected;
} Stream;

static void
stream_init(Stream *self)
{
    self->bytes = g_byte_array_new();
    self->expected = outcome_new();
}

static void
stream_clear(Stream *self)
{
    g_byte_array_unref(self->bytes);
    outcome_free(self->expected);
}

static void
stream_add(Stream *self, guint8 first, const char *mask, const guint8 *payload, gsize length)
{
    guint8 opcode = first & 0x0f;

    add_frame(self->bytes, first, mask, payload, length);
    if (opcode >= VCP_WS_CLOSE)
        add_control(self->expected->controls, opcode, payload, length);
    else
        g_byte_array_append(self->expected->payload, payload, (guint)length);
}

static void
stream_add_random(Stream *self, guint8 first, gsize length)
{
    g_autofree guint8 *payload = g_malloc(length);
    char mask[4];

    for (gsize i = 0; i < length; i++)
        payload[i] = (guint8)g_test_rand_int_range(0, 256);
    for (gsize i = 0; i < sizeof mask; i++)
        mask[i] = (char)g_test_rand_int_range(0, 256);
    stream_add(self, first, mask, payload, length);
}

/* All at once gives what it must; leaves the state after that for the others. */
static void
stream_read_whole(Stream *self)
{
    g_autoptr(Outcome) whole = outcome_new();

    outcome_feed(whole, self->bytes->data, self->bytes->len, FALSE);
    g_assert_cmpint(whole->event, ==, VCP_WS_MORE);
    self->expected->event = whole->event;
    memcpy(&self->expected->reader, &whole->reader, sizeof whole->reader);
    outcome_assert_same(whole, self->expected);
}

/* Pieces up to each of the cuts, which ascend. */
static void
stream_read_cut(const Stream *self, const gsize *cuts, gsize n, gboolean in_place)
{
    g_autoptr(Outcome) pieces = outcome_new();
    gsize at = 0;

    for (gsize i = 0; i < n; i++) {
        outcome_feed(pieces, self->bytes->data + at, cuts[i] - at, in_place);
        at = cuts[i];
    }
    outcome_feed(pieces, self->bytes->data + at, self->bytes->len - at, in_place);
    outcome_assert_same(pieces, self->expected);
}

static void
stream_read_pieces(const Stream *self, gsize piece, gboolean in_place)
{
    g_autoptr(Outcome) pieces = outcome_new();

    for (gsize at = 0; at < self->bytes->len; at += piece)
        outcome_feed(pieces, self->bytes->data + at, MIN(piece, self->bytes->len - at),
                     in_place);
    outcome_assert_same(pieces, self->expected);
}

/* Each kind of frame, message and length but the longest; ends within a message. */
static void
add_all_kinds(Stream *self)
{
    stream_add(self, FIN | VCP_WS_BINARY, MASK, BYTES("\0\xff\x80 binary"));
    stream_add(self, FIN | VCP_WS_BINARY, NO_MASK, BYTES(""));
    stream_add(self, VCP_WS_TEXT, MASK, BYTES("fragments \xe2\x82"));
    stream_add(self, FIN | VCP_WS_PING, MASK, BYTES("\xff ping"));
    stream_add(self, FIN | VCP_WS_PONG, MASK, BYTES(""));
    stream_add(self, VCP_WS_CONTINUATION, MASK, BYTES(""));
    stream_add(self, FIN | VCP_WS_CONTINUATION, NO_MASK, BYTES("\xac"));
    stream_add(self, FIN | VCP_WS_TEXT, "\xff\xff\xff\xff", BYTES("Z\xc3\xbcrich"));
    stream_add_random(self, FIN | VCP_WS_PING, VCP_WS_MAX_CONTROL);
    stream_add_random(self, FIN | VCP_WS_BINARY, 126);
    stream_add(self, FIN | VCP_WS_CLOSE, MASK, BYTES("\x03\xe8"));
    stream_add(self, VCP_WS_BINARY, MASK, BYTES("not the end"));
}

static void
test_splits(void)
{
    Stream stream;

    stream_init(&stream);
    add_all_kinds(&stream);
    stream_read_whole(&stream);
    g_assert_true(stream.expected->reader.heard_text);
    for (gsize first = 0; first <= stream.bytes->len; first++) {
        for (gsize second = first; second <= stream.bytes->len; second++) {
            gsize cuts[] = {first, second};
            stream_read_cut(&stream, cuts, G_N_ELEMENTS(cuts), (first + second) % 2 != 0);
        }
    }
    for (gsize piece = 1; piece <= stream.bytes->len; piece++) {
        stream_read_pieces(&stream, piece, FALSE);
        stream_read_pieces(&stream, piece, TRUE);
    }
    stream_clear(&stream);
}

/* Wherever a stream stops, its bytes one by one lead to the same state. */
static void
test_stops(void)
{
    g_autoptr(Outcome) bytes = outcome_new();
    Stream stream;

    stream_init(&stream);
    add_all_kinds(&stream);
    for (gsize i = 0; i < stream.bytes->len; i++) {
        g_autoptr(Outcome) whole = outcome_new();
        outcome_feed(whole, stream.bytes->data, i + 1, TRUE);
        outcome_feed(bytes, stream.bytes->data + i, 1, TRUE);
        outcome_assert_same(whole, bytes);
    }
    stream_clear(&stream);
}

/* All three ways to write a length, at their ends. */
static void
test_lengths(void)
{
    static const gsize lengths[] = {0, 1, 125, 126, 127, 255, 256, 65535, 65536, 70001};

    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        static const gsize pieces[] = {1, 7, 8, 9, 4096};
        Stream stream;
        stream_init(&stream);
        stream_add_random(&stream, FIN | VCP_WS_BINARY, lengths[i]);
        stream_add(&stream, FIN | VCP_WS_PING, MASK, BYTES("end"));
        stream_read_whole(&stream);
        for (gsize j = 0; j < G_N_ELEMENTS(pieces); j++)
            stream_read_pieces(&stream, pieces[j], j % 2 != 0);
        stream_clear(&stream);
    }
}

static void
test_unmask(void)
{
    for (gsize length = 0; length <= 26; length++) {
        Stream stream;
        stream_init(&stream);
        stream_add_random(&stream, FIN | VCP_WS_BINARY, length);
        stream_read_whole(&stream);
        for (gsize first = 0; first <= stream.bytes->len; first++) {
            for (gsize second = first; second <= stream.bytes->len; second++) {
                gsize cuts[] = {first, second};
                stream_read_cut(&stream, cuts, G_N_ELEMENTS(cuts), FALSE);
                stream_read_cut(&stream, cuts, G_N_ELEMENTS(cuts), TRUE);
            }
        }
        stream_clear(&stream);
    }
}

/* Payload moves up in its own memory by any number of bytes, and nothing else is written. */
static void
test_moves(void)
{
    for (gsize gap = 0; gap < 20; gap++) {
        for (gsize length = 0; length < 40; length++) {
            Stream stream;
            stream_init(&stream);
            stream_add_random(&stream, FIN | VCP_WS_BINARY, length);
            gsize size = gap + stream.bytes->len;
            g_autofree guint8 *memory = g_malloc0(size);
            memcpy(memory + gap, stream.bytes->data, stream.bytes->len);
            VcpWsReader reader = {0};
            const guint8 *from = memory + gap;
            guint8 *to = memory;
            g_assert_cmpint(vcp_ws_read(&reader, &from, memory + size, &to), ==, VCP_WS_MORE);
            g_assert_true(from == memory + size);
            g_assert_cmpmem(memory, to - memory, stream.expected->payload->data, length);
            gsize kept = MAX(length, gap);
            g_assert_cmpmem(memory + kept, size - kept, stream.bytes->data + kept - gap,
                            size - kept);
            stream_clear(&stream);
        }
    }
}

static void
add_random_message(Stream *self)
{
    guint8 opcode = VCP_WS_BINARY;

    for (int left = g_test_rand_int_range(0, 4); left >= 0; left--) {
        if (g_test_rand_int_range(0, 3) == 0)
            stream_add_random(self, FIN | VCP_WS_PING, (gsize)g_test_rand_int_range(0, 126));
        stream_add_random(self, left == 0 ? FIN | opcode : opcode,
                          (gsize)g_test_rand_int_range(0, 300));
        opcode = VCP_WS_CONTINUATION;
    }
}

static void
test_random(void)
{
    for (int i = 0; i < N_STREAMS; i++) {
        g_autoptr(Outcome) pieces = outcome_new();
        Stream stream;
        stream_init(&stream);
        for (int j = 0; j < 4; j++)
            add_random_message(&stream);
        stream_read_whole(&stream);
        g_assert_false(stream.expected->reader.heard_text);
        for (gsize at = 0; at < stream.bytes->len;) {
            gsize most = MIN(40, stream.bytes->len - at);
            gsize piece = (gsize)g_test_rand_int_range(0, (gint32)most + 1);
            outcome_feed(pieces, stream.bytes->data + at, piece, g_test_rand_bit());
            at += piece;
        }
        outcome_assert_same(pieces, stream.expected);
        stream_clear(&stream);
    }
}

/* A control frame ends a call, with the cursors right behind it. */
static void
test_control_returns(void)
{
    g_autoptr(GByteArray) stream = g_byte_array_new();
    VcpWsReader reader = {0};

    add_frame(stream, VCP_WS_BINARY, MASK, BYTES("ab"));
    add_frame(stream, FIN | VCP_WS_PING, MASK, BYTES("now"));
    gsize behind = stream->len;
    add_frame(stream, FIN | VCP_WS_CONTINUATION, MASK, BYTES("c"));

    const guint8 *from = stream->data;
    guint8 *to = stream->data;
    const guint8 *end = stream->data + stream->len;
    g_assert_cmpint(vcp_ws_read(&reader, &from, end, &to), ==, VCP_WS_CONTROL);
    g_assert_cmpint(reader.opcode, ==, VCP_WS_PING);
    g_assert_cmpmem(reader.control, reader.control_length, "now", 3);
    g_assert_cmpmem(stream->data, to - stream->data, "ab", 2);
    g_assert_true(from == stream->data + behind);
    g_assert_cmpint(vcp_ws_read(&reader, &from, end, &to), ==, VCP_WS_MORE);
    g_assert_cmpmem(stream->data, to - stream->data, "abc", 3);
    g_assert_true(from == end);
}

/* An empty frame waits for nothing behind its header. */
static void
test_empty_ends_stream(void)
{
    g_autoptr(Outcome) outcome = outcome_new();
    g_autoptr(GByteArray) stream = g_byte_array_new();

    add_frame(stream, FIN | VCP_WS_CLOSE, MASK, BYTES(""));
    for (gsize i = 0; i < stream->len; i++) {
        g_assert_cmpuint(outcome->controls->len, ==, 0);
        outcome_feed(outcome, stream->data + i, 1, TRUE);
    }
    g_assert_cmpmem(outcome->controls->data, outcome->controls->len, "\x08\0", 2);
}

/* --- close --- */

static const struct {
    const guint8 *payload;
    gsize length;
    guint16 code;
} closes[] = {
    {BYTES(""), VCP_WS_NO_CODE},
    {BYTES("\x03"), 0},
    {BYTES("\x03\xe8"), 1000},
    {BYTES("\x03\xe8 good bye"), 1000},
    {BYTES("\x0f\xa0gr\xc3\xbc\xc3\x9f \xf0\x9f\x91\x8b"), 4000},
    {BYTES("\x03\xe8\0"), 1000},
    {BYTES("\x03\xe8\xff"), 0},
    {BYTES("\x03\xe8 cut \xe2\x82"), 0},
    {BYTES("\x03\xe8\xc0\x80"), 0},
    {BYTES("\x03\xe8\xed\xa0\x80"), 0},
    {BYTES("\x03\xed bye"), 0},
};

/* What the close frame says, behind a ping that has left its own payload. */
static guint16
read_close_code(const guint8 *payload, gsize length)
{
    static const guint8 ping[VCP_WS_MAX_CONTROL] = {0x0f, 0xa0};
    g_autoptr(Outcome) outcome = outcome_new();
    g_autoptr(GByteArray) stream = g_byte_array_new();

    add_frame(stream, FIN | VCP_WS_PING, NO_MASK, ping, sizeof ping);
    add_frame(stream, FIN | VCP_WS_CLOSE, MASK, payload, length);
    outcome_feed(outcome, stream->data, stream->len, FALSE);
    g_assert_cmpint(outcome->event, ==, VCP_WS_MORE);
    g_assert_cmpint(outcome->reader.opcode, ==, VCP_WS_CLOSE);
    g_assert_cmpmem(outcome->reader.control, outcome->reader.control_length, payload, length);
    return vcp_ws_close_code(&outcome->reader);
}

static void
test_close(void)
{
    guint8 longest[VCP_WS_MAX_CONTROL];

    for (gsize i = 0; i < G_N_ELEMENTS(closes); i++)
        g_assert_cmpuint(read_close_code(closes[i].payload, closes[i].length), ==,
                         closes[i].code);
    memset(longest, 'x', sizeof longest);
    g_assert_cmpuint(read_close_code(longest, sizeof longest), ==, 0);
    longest[0] = 0x0b;
    longest[1] = 0xb8;
    g_assert_cmpuint(read_close_code(longest, sizeof longest), ==, 3000);
    longest[sizeof longest - 1] = 0xc3;
    g_assert_cmpuint(read_close_code(longest, sizeof longest), ==, 0);
}

/* RFC 6455, 7.4: those that may be in a frame, and IANA's 1012 to 1014. */
static const struct {
    guint16 first;
    guint16 last;
    gboolean passes;
} codes[] = {
    {0, 999, FALSE},     {1000, 1003, TRUE}, {1004, 1006, FALSE},  {1007, 1014, TRUE},
    {1015, 2999, FALSE}, {3000, 4999, TRUE}, {5000, 65535, FALSE},
};

static void
test_codes(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
        for (guint code = codes[i].first; code <= codes[i].last; code++) {
            guint8 payload[] = {(guint8)(code >> 8), (guint8)code};
            g_assert_cmpuint(read_close_code(payload, sizeof payload), ==,
                             codes[i].passes ? code : 0);
        }
    }
}

/* --- headers of ours --- */

static const struct {
    VcpWsOpcode opcode;
    gsize length;
    const guint8 *header;
    gsize size;
} headers[] = {
    {VCP_WS_BINARY, 0, BYTES("\x82\x00")},
    {VCP_WS_BINARY, 1, BYTES("\x82\x01")},
    {VCP_WS_BINARY, 125, BYTES("\x82\x7d")},
    {VCP_WS_BINARY, 126, BYTES("\x82\x7e\x00\x7e")},
    {VCP_WS_BINARY, 127, BYTES("\x82\x7e\x00\x7f")},
    {VCP_WS_BINARY, 256, BYTES("\x82\x7e\x01\x00")},
    {VCP_WS_BINARY, 65532, BYTES("\x82\x7e\xff\xfc")},
    {VCP_WS_BINARY, 65535, BYTES("\x82\x7e\xff\xff")},
    {VCP_WS_TEXT, 5, BYTES("\x81\x05")},
    {VCP_WS_CLOSE, 2, BYTES("\x88\x02")},
    {VCP_WS_PING, 0, BYTES("\x89\x00")},
    {VCP_WS_PONG, 125, BYTES("\x8a\x7d")},
};

static void
test_headers(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(headers); i++) {
        guint8 header[VCP_WS_MAX_HEADER];
        gsize size = vcp_ws_write_header(header, headers[i].opcode, headers[i].length);
        g_assert_cmpmem(header, size, headers[i].header, headers[i].size);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/websocket/splits", test_splits);
    g_test_add_func("/websocket/stops", test_stops);
    g_test_add_func("/websocket/lengths", test_lengths);
    g_test_add_func("/websocket/unmask", test_unmask);
    g_test_add_func("/websocket/moves", test_moves);
    g_test_add_func("/websocket/random", test_random);
    g_test_add_func("/websocket/control-returns", test_control_returns);
    g_test_add_func("/websocket/empty-ends-stream", test_empty_ends_stream);
    g_test_add_func("/websocket/close", test_close);
    g_test_add_func("/websocket/codes", test_codes);
    g_test_add_func("/websocket/headers", test_headers);
    return g_test_run();
}
