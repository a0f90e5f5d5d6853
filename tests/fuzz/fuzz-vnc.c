/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Two hostile peers and a VNC handshake that must keep its word between them.
 *
 * Input: the service (1 byte of flags), then pieces: 1 byte, whose top bit names the side and
 * whose other bits the length, and so many bytes from there. */
#include "fuzz.h"

#include "common/error.h"
#include "proxy/handshake.h"

#define INSECURE    0x01u
#define TUNNEL      0x02u
#define POWER       0x04u
#define PASSWORD    0x08u
#define CREDENTIALS 0x10u

typedef struct {
    VcpHandshake *handshake;
    guint8 flags;
    VcBuffer from[2];
    VcBuffer to[2];
    VcpStep step;
    gboolean in_tls;
    GError *error;
} Session;

static VcpHandshake *
make_handshake(guint8 flags)
{
    json_t *json = json_pack("{s:s, s:s, s:b, s:b, s:b, s:s?}", "type", "vnc", "address",
                             "hypervisor.example:5900", "insecure", flags & INSECURE,
                             "tlsTunnel", flags & TUNNEL, "powerControl", flags & POWER,
                             "password", flags & PASSWORD ? "secret" : NULL);
    g_autoptr(VcService) service = vc_service_from_json(json, NULL);

    json_decref(json);
    return vcp_handshake_new(service, (flags & CREDENTIALS) != 0, NULL);
}

static void
relay(Session *self)
{
    const VcpHandshakeOps *ops = self->handshake->ops;

    g_assert_true(self->in_tls || (self->flags & (INSECURE | TUNNEL)) != 0);
    if (!ops->relay(self->handshake, VCP_COMPUTE, &self->from[VCP_COMPUTE],
                    &self->to[VCP_TENANT], &self->error) ||
        !ops->relay(self->handshake, VCP_TENANT, &self->from[VCP_TENANT],
                    &self->to[VCP_COMPUTE], &self->error))
        self->step = VCP_STEP_FAILED;
}

static void
run(Session *self)
{
    VcBuffer *from[2] = {&self->from[0], &self->from[1]};
    VcBuffer *to[2] = {&self->to[0], &self->to[1]};

    if (self->step != VCP_STEP_SPLICE)
        self->step = self->handshake->ops->advance(self->handshake, from, to, &self->error);
    if (self->step == VCP_STEP_START_TLS) {
        g_assert_true(!self->in_tls && (self->flags & (TUNNEL | CREDENTIALS)) == CREDENTIALS);
        g_assert_cmpuint(vc_buffer_length(from[VCP_COMPUTE]), ==, 0);
        self->in_tls = TRUE;
    } else if (self->step == VCP_STEP_SPLICE) {
        relay(self);
    }
    g_assert_true((self->error != NULL) == (self->step == VCP_STEP_FAILED));
    vc_buffer_clear(to[VCP_TENANT]);
    vc_buffer_clear(to[VCP_COMPUTE]);
}

/* Returns the bytes used. */
static gsize
feed(Session *self, const guint8 *data, gsize size)
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
    Session self = {.handshake = make_handshake(data[0]), .flags = data[0]};
    for (int side = 0; side < 2; side++) {
        vc_buffer_init(&self.from[side], pool);
        vc_buffer_init(&self.to[side], pool);
    }
    run(&self);
    for (gsize at = 1; at < size && self.step != VCP_STEP_FAILED;) {
        at += feed(&self, data + at, size - at);
        run(&self);
    }
    if (self.step != VCP_STEP_SPLICE)
        self.handshake->ops->refuse(self.handshake, "no", &self.from[VCP_TENANT],
                                    &self.to[VCP_TENANT]);
    for (int side = 0; side < 2; side++) {
        vc_buffer_clear(&self.from[side]);
        vc_buffer_clear(&self.to[side]);
    }
    vcp_handshake_free(self.handshake);
    g_clear_error(&self.error);
    return 0;
}
