/* SPDX-License-Identifier: LGPL-2.1-or-later
 * When a serial console counts as alive, and what goes through it then. */
#include "proxy/serial.h"

#include <string.h>

#include "common/error.h"

#define GRACE_MS 200
#define GREETING "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"

typedef struct {
    VcPool *pool;
    VcBuffer from[2];
    VcBuffer to[2];
    VcpHandshake *handshake;
    GError *error;
} Fixture;

static void
set_up(Fixture *self, gconstpointer fields)
{
    g_autofree char *text = g_strdup_printf("{\"type\": \"serial\", \"address\": \"host:1\"%s}",
                                            (const char *)fields);
    json_t *json = json_loads(text, 0, NULL);
    g_autoptr(VcService) service = vc_service_from_json(json, NULL);

    g_assert_nonnull(service);
    json_decref(json);
    self->pool = vc_pool_new();
    for (int side = 0; side < 2; side++) {
        vc_buffer_init(&self->from[side], self->pool);
        vc_buffer_init(&self->to[side], self->pool);
    }
    self->handshake = vcp_handshake_new(service, TRUE, &self->error);
    g_assert_no_error(self->error);
}

static void
tear_down(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    vcp_handshake_free(self->handshake);
    for (int side = 0; side < 2; side++) {
        vc_buffer_clear(&self->from[side]);
        vc_buffer_clear(&self->to[side]);
    }
    vc_pool_free(self->pool);
    g_clear_error(&self->error);
}

static void
feed(Fixture *self, VcpSide side, const char *bytes, gsize length)
{
    g_assert_true(vc_buffer_append(&self->from[side], bytes, length));
}

/* Nothing may be written before the splice. */
static VcpStep
advance(Fixture *self)
{
    VcBuffer *from[2] = {&self->from[0], &self->from[1]};
    VcBuffer *to[2] = {&self->to[0], &self->to[1]};
    VcpStep step = self->handshake->ops->advance(self->handshake, from, to, &self->error);

    g_assert_true((step == VCP_STEP_FAILED) == (self->error != NULL));
    g_assert_cmpuint(vc_buffer_length(&self->to[VCP_TENANT]), ==, 0);
    g_assert_cmpuint(vc_buffer_length(&self->to[VCP_COMPUTE]), ==, 0);
    return step;
}

static guint
connected(Fixture *self, guint grace_ms)
{
    return self->handshake->ops->connected(self->handshake, grace_ms);
}

static void
time_is_up(Fixture *self)
{
    self->handshake->ops->time_is_up(self->handshake);
}

static void
assert_relayed(Fixture *self, VcpSide side, const char *bytes, gsize length)
{
    VcBuffer *to = &self->to[side == VCP_TENANT ? VCP_COMPUTE : VCP_TENANT];

    g_assert_true(self->handshake->ops->relay(self->handshake, side, &self->from[side], to,
                                              &self->error));
    g_assert_cmpuint(vc_buffer_length(&self->from[side]), ==, 0);
    g_assert_cmpmem(vc_buffer_data(to), vc_buffer_length(to), bytes, length);
    vc_buffer_clear(to);
}

static void
test_tls(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    feed(self, VCP_TENANT, "a\xff", 2);
    g_assert_cmpint(advance(self), ==, VCP_STEP_WAIT);
    g_assert_cmpuint(connected(self, GRACE_MS), ==, 0);
    g_assert_cmpint(advance(self), ==, VCP_STEP_SPLICE);
    assert_relayed(self, VCP_TENANT, "a\xff", 2);
    feed(self, VCP_COMPUTE, GREETING, 12);
    assert_relayed(self, VCP_COMPUTE, GREETING, 12);
}

static void
test_grace(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    feed(self, VCP_TENANT, "a", 1);
    g_assert_cmpint(advance(self), ==, VCP_STEP_WAIT);
    g_assert_cmpuint(connected(self, GRACE_MS), ==, GRACE_MS);
    g_assert_cmpint(advance(self), ==, VCP_STEP_WAIT);
    time_is_up(self);
    g_assert_cmpint(advance(self), ==, VCP_STEP_SPLICE);
    assert_relayed(self, VCP_TENANT, "a", 1);
}

static void
test_guest_speaks_first(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    g_assert_cmpuint(connected(self, GRACE_MS), ==, GRACE_MS);
    feed(self, VCP_COMPUTE, "login: ", 7);
    g_assert_cmpint(advance(self), ==, VCP_STEP_SPLICE);
    assert_relayed(self, VCP_COMPUTE, "login: ", 7);
}

static void
test_no_grace(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    g_assert_cmpuint(connected(self, 0), ==, 0);
    g_assert_cmpint(advance(self), ==, VCP_STEP_SPLICE);
}

static void
test_telnet(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    feed(self, VCP_TENANT, "a\xff", 2);
    g_assert_cmpuint(connected(self, 0), ==, 2000);
    for (gsize i = 0; i < 12; i++) {
        g_assert_cmpint(advance(self), ==, VCP_STEP_WAIT);
        feed(self, VCP_COMPUTE, &GREETING[i], 1);
    }
    feed(self, VCP_COMPUTE, "\xff\xfb", 2);
    g_assert_cmpint(advance(self), ==, VCP_STEP_SPLICE);
    assert_relayed(self, VCP_COMPUTE, "\xff\xfb", 2);
    assert_relayed(self, VCP_TENANT, "a\xff\xff", 3);
}

static void
test_telnet_late(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    connected(self, GRACE_MS);
    feed(self, VCP_COMPUTE, GREETING, 11);
    g_assert_cmpint(advance(self), ==, VCP_STEP_WAIT);
    time_is_up(self);
    g_assert_cmpint(advance(self), ==, VCP_STEP_FAILED);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_TIMEOUT);
}

static void
test_telnet_wrong(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    connected(self, GRACE_MS);
    feed(self, VCP_COMPUTE, "login: ", 7);
    g_assert_cmpint(advance(self), ==, VCP_STEP_FAILED);
    g_assert_error(self->error, VC_ERROR, VC_ERROR_PROTOCOL);
}

static void
test_refuse(Fixture *self, gconstpointer fields G_GNUC_UNUSED)
{
    VcBuffer *from = &self->from[VCP_TENANT], *to = &self->to[VCP_TENANT];

    g_assert_true(self->handshake->ops->refuse(self->handshake, "no", from, to));
    g_assert_cmpuint(vc_buffer_length(to), ==, 0);
    g_assert_true(self->handshake->ops->takes_text);
}

#define ADD(name, fields, func)                                                                \
    g_test_add("/serial/" name, Fixture, fields, set_up, func, tear_down)
#define CLEAR  ", \"insecure\": true"
#define TELNET ", \"telnet\": true"

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("tls", "", test_tls);
    ADD("tunnel", CLEAR ", \"tlsTunnel\": true", test_tls);
    ADD("grace", CLEAR, test_grace);
    ADD("guest-speaks-first", CLEAR, test_guest_speaks_first);
    ADD("no-grace", CLEAR, test_no_grace);
    ADD("telnet", CLEAR TELNET, test_telnet);
    ADD("telnet-tls", TELNET, test_telnet);
    ADD("telnet-late", CLEAR TELNET, test_telnet_late);
    ADD("telnet-wrong", TELNET, test_telnet_wrong);
    ADD("refuse", "", test_refuse);
    return g_test_run();
}
