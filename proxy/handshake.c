/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Which handshake serves which type of console. */
#include "proxy/handshake.h"

#include "common/error.h"
#include "proxy/serial.h"
#include "proxy/spice.h"
#include "proxy/vnc.h"

typedef VcpHandshake *(*HandshakeNew)(VcService *service, gboolean has_credentials);

static const HandshakeNew makers[] = {
    [VC_CONSOLE_VNC] = vcp_vnc_new,
    [VC_CONSOLE_SPICE] = vcp_spice_new,
    [VC_CONSOLE_SERIAL] = vcp_serial_new,
};

VcpHandshake *
vcp_handshake_new(VcService *service, gboolean has_credentials, GError **error)
{
    if (service->type >= G_N_ELEMENTS(makers) || makers[service->type] == NULL) {
        g_set_error(error, VC_ERROR, VC_ERROR_POLICY, "consoles of type %s are not supported",
                    vc_console_type_name(service->type));
        return NULL;
    }
    return makers[service->type](service, has_credentials);
}

void
vcp_handshake_free(VcpHandshake *self)
{
    if (self != NULL)
        self->ops->free(self);
}
