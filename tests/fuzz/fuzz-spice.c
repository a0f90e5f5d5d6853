/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Two hostile peers, a store that says yes or no, and a SPICE channel between them.
 *
 * Input: the service and the store's first answer (1 byte), then pieces: 1 byte, whose top bit
 * names the side and whose other bits the length, and so many bytes from there. */
#include "fuzz.h"

#include "common/error.h"
#include "proxy/handshake.h"

#define PASSWORD 0x01u
#define ANSWER   0x0eu /* 0: yes */

typedef struct {
    VcpHandshake *handshake;
    VcpStoreAnswer answer;
    VcBuffer from[2], to[2];
    VcpStep step;
    gboolean is_admitted, is_refused;
    GError *error;
} Channel;

static VcpHandshake *
make_handshake(guint8 flags)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s?}", "type", "spice", "address", "hypervisor.example:5900",
                  "password", flags & PASSWORD ? "secret" : NULL);
    g_autoptr(VcService) service = vc_service_from_json(json, NULL);

    json_decref(json);
    return vcp_handshake_new(service, TRUE, NULL);
}

static void
move(Channel *self)
{
    const VcpHandshakeOps *ops = self->handshake->ops;
    VcBuffer *from[2] = {&self->from[0], &self->from[1]};
    VcBuffer *to[2] = {&self->to[0], &self->to[1]};

    if (self->step != VCP_STEP_SPLICE)
        self->step = ops->advance(self->handshake, from, to, &self->error);
    if (self->step == VCP_STEP_SPLICE &&
        (!ops->relay(self->handshake, VCP_COMPUTE, from[VCP_COMPUTE], to[VCP_TENANT],
                     &self->error) ||
         !ops->relay(self->handshake, VCP_TENANT, from[VCP_TENANT], to[VCP_COMPUTE],
                     &self->error)))
        self->step = VCP_STEP_FAILED;
    g_assert_true((self->error != NULL) == (self->step == VCP_STEP_FAILED));
}

static gboolean
answer_note(Channel *self)
{
    const VcpHandshakeOps *ops = self->handshake->ops;
    const VcpNote *note = self->step != VCP_STEP_FAILED ? ops->note(self->handshake) : NULL;

    if (note == NULL)
        return FALSE;
    g_assert_true((note->kind == VCP_NOTE_MAIN || note->kind == VCP_NOTE_CHANNEL) ==
                  !self->is_admitted);
    for (guint i = 0; i < note->n_channels; i++)
        g_assert_cmpuint(note->channels[i].type, <=, 255); /* reads all of them */
    ops->noted(self->handshake, self->answer);
    self->is_admitted = self->answer == VCP_STORE_OK;
    self->is_refused = !self->is_admitted;
    return self->is_admitted;
}

static void
run(Channel *self)
{
    do {
        move(self);
        /* A server hears nothing of a client that was not let in. */
        g_assert_true(self->is_admitted || vc_buffer_length(&self->to[VCP_COMPUTE]) == 0);
        vc_buffer_clear(&self->to[VCP_TENANT]);
        vc_buffer_clear(&self->to[VCP_COMPUTE]);
    } while (answer_note(self));
}

/* Returns the bytes used. */
static gsize
feed(Channel *self, const guint8 *data, gsize size)
{
    VcBuffer *from = &self->from[data[0] & 0x80 ? VCP_COMPUTE : VCP_TENANT];
    gsize length = MIN(data[0] & 0x7fu, size - 1);

    vc_buffer_append(from, data + 1, length);
    return 1 + length;
}

int
LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    if (size < 1)
        return 0;

    g_autoptr(VcPool) pool = vc_pool_new();
    Channel self = {.handshake = make_handshake(data[0]),
                    .answer = (VcpStoreAnswer)((data[0] & ANSWER) >> 1) % (VCP_STORE_AWAY + 1)};
    for (int side = 0; side < 2; side++) {
        vc_buffer_init(&self.from[side], pool);
        vc_buffer_init(&self.to[side], pool);
    }
    for (gsize at = 1; at < size && self.step != VCP_STEP_FAILED && !self.is_refused;) {
        at += feed(&self, data + at, size - at);
        run(&self);
    }
    if (self.step != VCP_STEP_SPLICE)
        g_assert_true(self.handshake->ops->refuse(self.handshake, "no", &self.from[VCP_TENANT],
                                                  &self.to[VCP_TENANT]));
    for (int side = 0; side < 2; side++) {
        vc_buffer_clear(&self.from[side]);
        vc_buffer_clear(&self.to[side]);
    }
    vcp_handshake_free(self.handshake);
    g_clear_error(&self.error);
    return 0;
}
