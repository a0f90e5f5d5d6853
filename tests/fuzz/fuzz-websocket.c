/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A client's frames: all at once and in pieces, apart and in place, give the same payload,
 * control frames and state; never more comes out than went in.
 *
 * Input: length of a piece (1 byte), a client's bytes behind the upgrade. */
#include "fuzz.h"

#include <string.h>

#include "proxy/websocket.h"

typedef struct {
    VcpWsReader reader;
    VcpWsEvent event;
    GByteArray *payload;
    GByteArray *controls; /* each: opcode, length, payload, code */
} Outcome;

static void
outcome_init(Outcome *self)
{
    memset(self, 0, sizeof *self);
    self->payload = g_byte_array_new();
    self->controls = g_byte_array_new();
}

static void
outcome_clear(Outcome *self)
{
    g_byte_array_unref(self->payload);
    g_byte_array_unref(self->controls);
}

static void
note_control(Outcome *self)
{
    const VcpWsReader *reader = &self->reader;
    guint8 head[] = {(guint8)reader->opcode, reader->control_length};

    g_assert_cmpuint(reader->opcode, >=, VCP_WS_CLOSE);
    g_assert_cmpuint(reader->opcode, <=, VCP_WS_PONG);
    g_assert_cmpuint(reader->control_length, <=, VCP_WS_MAX_CONTROL);
    g_byte_array_append(self->controls, head, sizeof head);
    g_byte_array_append(self->controls, reader->control, reader->control_length);
    if (reader->opcode == VCP_WS_CLOSE) {
        guint16 code = vcp_ws_close_code(reader);
        g_assert_true(code == 0 || (code >= 1000 && code < 5000));
        g_byte_array_append(self->controls, (guint8 *)&code, sizeof code);
    }
}

/* Memory of its own for each piece, so that a sanitizer sees each access beyond. */
static void
feed(Outcome *self, const guint8 *data, gsize size, gboolean in_place)
{
    g_autofree guint8 *memory = g_memdup2(data, size);
    g_autofree guint8 *apart = g_malloc(size);
    const guint8 *from = memory;
    guint8 *begin = in_place ? memory : apart;
    guint8 *to = begin;

    do {
        const guint8 *before = from;
        self->event = vcp_ws_read(&self->reader, &from, memory + size, &to);
        g_assert_true(from >= before && from <= memory + size);
        g_assert_true(to >= begin && to - begin <= from - memory);
        if (self->event == VCP_WS_CONTROL)
            note_control(self);
    } while (self->event == VCP_WS_CONTROL);
    g_assert_true(self->event == VCP_WS_BAD || from == memory + size);
    g_assert_true((self->event == VCP_WS_BAD) == (self->reader.wrong != NULL));
    g_byte_array_append(self->payload, begin, (guint)(to - begin));
}

/* Nothing that follows is read. */
static void
check_stays_bad(Outcome *self)
{
    static const guint8 ping[] = {0x89, 0x80, 0, 0, 0, 0};
    const char *wrong = self->reader.wrong;
    guint length = self->payload->len;

    feed(self, ping, sizeof ping, TRUE);
    g_assert_cmpint(self->event, ==, VCP_WS_BAD);
    g_assert_true(self->reader.wrong == wrong);
    g_assert_cmpuint(self->payload->len, ==, length);
}

/* Of text that is not UTF-8 as much goes on as came before the piece with the fault. */
static void
check_same(const Outcome *whole, const Outcome *pieces)
{
    g_assert_cmpint(whole->event, ==, pieces->event);
    g_assert_cmpmem(whole->controls->data, whole->controls->len, pieces->controls->data,
                    pieces->controls->len);
    g_assert_true(whole->reader.wrong == pieces->reader.wrong);
    if (whole->event == VCP_WS_MORE) {
        g_assert_cmpuint(whole->payload->len, ==, pieces->payload->len);
        g_assert_cmpmem(&whole->reader, sizeof whole->reader, &pieces->reader,
                        sizeof pieces->reader);
    }
    g_assert_cmpuint(whole->payload->len, <=, pieces->payload->len);
    g_assert_cmpmem(whole->payload->data, whole->payload->len, pieces->payload->data,
                    whole->payload->len);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    Outcome whole, pieces;

    if (size < 2)
        return 0;
    gsize piece = (gsize)data[0] + 1;
    data++;
    size--;
    outcome_init(&whole);
    outcome_init(&pieces);
    feed(&whole, data, size, FALSE);
    for (gsize at = 0; at < size && pieces.event != VCP_WS_BAD; at += piece)
        feed(&pieces, data + at, MIN(piece, size - at), TRUE);
    check_same(&whole, &pieces);
    if (whole.event == VCP_WS_BAD)
        check_stays_bad(&whole);
    outcome_clear(&whole);
    outcome_clear(&pieces);
    return 0;
}
