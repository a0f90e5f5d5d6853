/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The handshake of a serial console. States, in their order:
 *   CONNECTING
 *   GREETING   telnet: until the chardev's greeting is complete
 *   GRACE      clear and raw: until the guest says something, or a while without an end
 *   ALIVE      bytes may flow
 *   LATE       no greeting in time
 *
 * QEMU takes one client at a time and leaves the next in the listener's queue. What that one
 * sends, the guest gets when the first has gone: so nothing goes there before the chardev is
 * known to have accepted us. TLS that stands has shown it, and so does a greeting; where there
 * is neither, a console that would not have us, or a forwarder without one, at least ends the
 * connection soon. */
#include "proxy/serial.h"

#include "common/error.h"
#include "proxy/telnet.h"

#define GREETING_MS 2000

typedef enum { CONNECTING, GREETING, GRACE, ALIVE, LATE } State;

typedef struct {
    VcpHandshake base;
    VcService *service;
    State state;
    VcpTelnet telnet;
} Serial;

static guint
connected(VcpHandshake *base, guint grace_ms)
{
    Serial *self = (Serial *)base;

    if (self->service->telnet) {
        self->state = GREETING;
        return GREETING_MS;
    }
    if (grace_ms == 0 || vc_service_begins_with_tls(self->service)) {
        self->state = ALIVE;
        return 0;
    }
    self->state = GRACE;
    return grace_ms;
}

static void
time_is_up(VcpHandshake *base)
{
    Serial *self = (Serial *)base;

    if (self->state == GREETING)
        self->state = LATE;
    else if (self->state == GRACE)
        self->state = ALIVE;
}

static VcpStep
greet(Serial *self, VcBuffer *from, GError **error)
{
    switch (vcp_telnet_greet(&self->telnet, from, error)) {
    case VCP_TELNET_WAIT:
        return VCP_STEP_WAIT;
    case VCP_TELNET_DONE:
        self->state = ALIVE;
        return VCP_STEP_SPLICE;
    case VCP_TELNET_FAILED:
        break;
    }
    return VCP_STEP_FAILED;
}

static VcpStep
advance(VcpHandshake *base, VcBuffer *from[2], VcBuffer *to[2] G_GNUC_UNUSED, GError **error)
{
    Serial *self = (Serial *)base;

    switch (self->state) {
    case GREETING:
        return greet(self, from[VCP_COMPUTE], error);
    case GRACE:
        if (vc_buffer_length(from[VCP_COMPUTE]) == 0)
            break;
        self->state = ALIVE;
        return VCP_STEP_SPLICE;
    case ALIVE:
        return VCP_STEP_SPLICE;
    case LATE:
        g_set_error(error, VC_ERROR, VC_ERROR_TIMEOUT,
                    "no telnet greeting within %u ms: another client may have the console",
                    GREETING_MS);
        return VCP_STEP_FAILED;
    case CONNECTING:
        break;
    }
    return VCP_STEP_WAIT;
}

/* There are no words for it on a serial line but such as the guest could have said. */
static gboolean
refuse(VcpHandshake *base G_GNUC_UNUSED, const char *reason G_GNUC_UNUSED,
       VcBuffer *from G_GNUC_UNUSED, VcBuffer *to G_GNUC_UNUSED)
{
    return TRUE;
}

static gboolean
relay(VcpHandshake *base, VcpSide side, VcBuffer *from, VcBuffer *to,
      GError **error G_GNUC_UNUSED)
{
    Serial *self = (Serial *)base;

    if (side == VCP_TENANT && self->service->telnet)
        vcp_telnet_escape(from, to);
    else
        vc_buffer_move(to, from);
    return TRUE;
}

static void
free_serial(VcpHandshake *base)
{
    Serial *self = (Serial *)base;

    vc_service_unref(self->service);
    g_free(self);
}

static const VcpHandshakeOps ops = {
    .takes_text = TRUE,
    .connected = connected,
    .time_is_up = time_is_up,
    .advance = advance,
    .refuse = refuse,
    .relay = relay,
    .free = free_serial,
};

VcpHandshake *
vcp_serial_new(VcService *service, gboolean has_credentials G_GNUC_UNUSED)
{
    Serial *self = g_new0(Serial, 1);

    self->base.ops = &ops;
    self->service = vc_service_ref(service);
    return &self->base;
}
