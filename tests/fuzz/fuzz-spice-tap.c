/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A server's bytes on a main channel through the tap: all at once and in pieces gives the same
 * bytes and the same notes.
 *
 * Input: kind of header (1 byte), length of a piece (1 byte), the server's bytes. */
#include "fuzz.h"

#include "proxy/spice-tap.h"

typedef struct {
    GByteArray *passed, *noted;
    gboolean is_fine;
} Outcome;

static void
write_down(const VcpNote *note, GByteArray *noted)
{
    g_byte_array_append(noted, (const guint8 *)&note->kind, sizeof note->kind);
    g_byte_array_append(noted, (const guint8 *)&note->session_id, sizeof note->session_id);
    g_byte_array_append(noted, (const guint8 *)note->channels,
                        (guint)(note->n_channels * sizeof *note->channels));
}

static gboolean
run(VcpSpiceTap *tap, VcBuffer *from, VcBuffer *to, GByteArray *noted)
{
    g_autoptr(GError) error = NULL;
    gboolean is_fine = vcp_spice_tap_run(tap, from, to, &error);

    g_assert_true(is_fine == (error == NULL));
    while (is_fine && tap->has_note) {
        write_down(&tap->note, noted);
        vcp_spice_tap_noted(tap);
        is_fine = vcp_spice_tap_run(tap, from, to, &error);
    }
    return is_fine;
}

static Outcome
tap_all(gboolean mini, const guint8 *data, gsize size, gsize piece)
{
    g_autoptr(VcPool) pool = vc_pool_new();
    Outcome outcome = {g_byte_array_new(), g_byte_array_new(), TRUE};
    VcpSpiceTap tap;
    VcBuffer from, to;

    vcp_spice_tap_init(&tap, mini);
    vc_buffer_init(&from, pool);
    vc_buffer_init(&to, pool);
    for (gsize at = 0; outcome.is_fine && at < size; at += piece) {
        gboolean fits = vc_buffer_append(&from, data + at, MIN(piece, size - at));
        g_assert_true(fits);
        outcome.is_fine = run(&tap, &from, &to, outcome.noted);
    }
    if (vc_buffer_length(&to) > 0)
        g_byte_array_append(outcome.passed, vc_buffer_data(&to), (guint)vc_buffer_length(&to));
    g_assert_cmpuint(tap.n_parsed, <=, size);
    vc_buffer_clear(&from);
    vc_buffer_clear(&to);
    vcp_spice_tap_clear(&tap);
    return outcome;
}

static void
outcome_clear(Outcome *self)
{
    g_byte_array_unref(self->passed);
    g_byte_array_unref(self->noted);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    if (size < 3 || size > VC_BUFFER_SIZE)
        return 0;

    gboolean mini = (data[0] & 1) != 0;
    Outcome whole = tap_all(mini, data + 2, size - 2, size - 2);
    Outcome pieces = tap_all(mini, data + 2, size - 2, (gsize)data[1] + 1);
    g_assert_true(whole.is_fine == pieces.is_fine);
    g_assert_cmpmem(whole.passed->data, whole.passed->len, pieces.passed->data,
                    pieces.passed->len);
    g_assert_cmpmem(whole.noted->data, whole.noted->len, pieces.noted->data, pieces.noted->len);
    outcome_clear(&whole);
    outcome_clear(&pieces);
    return 0;
}
