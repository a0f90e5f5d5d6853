/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The handshake of a VNC console: RFC 6143 on both sides, VeNCrypt 0.2 as the rfbproto
 * community description has it towards the hypervisor.
 *
 * The states are passed from top to bottom, some of them skipped. All that the hypervisor may
 * object to comes first: only then does the client get its offer, which is the last place where
 * RFB lets a server say in words what went wrong. */
#include "proxy/vnc.h"

#include <string.h>

#include "common/error.h"
#include "proxy/rfb-client.h"
#include "proxy/rfb-filter.h"
#include "proxy/rfb-security.h"
#include "proxy/rfb.h"
#include "proxy/vncauth.h"

typedef enum {
    GREETING,

    COMPUTE_VERSION,
    N_TYPES,
    TYPES,

    VENCRYPT_VERSION,
    VENCRYPT_STATUS,
    VENCRYPT_N_SUB_TYPES,
    VENCRYPT_SUB_TYPES,
    VENCRYPT_ACK, /* TLS starts after it */

    CHALLENGE,
    RESULT,
    REASON_LENGTH, /* of a refusal, either of a result or in place of types */
    REASON,

    TENANT_VERSION,
    TENANT_CHOICE,

    SPLICED,
    FAILED,
} State;

typedef struct {
    VcpHandshake base;
    VcService *service;
    unsigned has; /* VcpRfbHas bits */

    State state;
    gsize announced; /* length of the field that comes next, as the field before it said */
    const VcpRfbSecurity *chosen;
    VcError refusal; /* what the reason that comes next is about */
    VcpRfbClient client;

    VcpRfbFilter filter;
} VcpVnc;

/* One complete field of a peer, and where the answer goes. */
typedef struct {
    const guint8 *bytes;
    gsize length;
    VcBuffer *answer;
} Field;

#define RESULT_OK     0u
#define RESULT_FAILED 1u
#define RESULT_BUSY   2u /* "too many attempts": Tight's addition */

/* An offer of 255 sub-types is the longest field but for a reason. */
#define MAX_TYPES 255
#define MAX_FIELD MAX(MAX_TYPES * 4, VCP_RFB_REASON_MAX)

static State G_GNUC_PRINTF(3, 4) fail(GError **error, VcError code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_propagate_error(error, g_error_new_valist(VC_ERROR, (int)code, format, args));
    va_end(args);
    return FAILED;
}

static guint32
get_u32(const guint8 *bytes)
{
    guint32 value;

    memcpy(&value, bytes, sizeof value);
    return GUINT32_FROM_BE(value);
}

static State
greeting(VcpVnc *self G_GNUC_UNUSED, const Field *field, GError **error G_GNUC_UNUSED)
{
    vcp_rfb_put(field->answer, VCP_RFB_VERSION, VCP_RFB_VERSION_LENGTH);
    return COMPUTE_VERSION;
}

/* A later minor version promises to understand 3.8; another major one promises nothing. */
static State
compute_version(VcpVnc *self G_GNUC_UNUSED, const Field *field, GError **error)
{
    guint major;
    guint minor;

    if (!vcp_rfb_version_parse(field->bytes, &major, &minor))
        return fail(error, VC_ERROR_PROTOCOL, "the hypervisor does not speak RFB");
    if (major != 3 || minor < 8)
        return fail(error, VC_ERROR_PROTOCOL, "the hypervisor speaks RFB %u.%u, not 3.8", major,
                    minor);
    vcp_rfb_put(field->answer, VCP_RFB_VERSION, VCP_RFB_VERSION_LENGTH);
    return N_TYPES;
}

static State
n_types(VcpVnc *self, const Field *field, GError **error G_GNUC_UNUSED)
{
    self->announced = field->bytes[0];
    self->refusal = VC_ERROR_PROTOCOL;
    return self->announced > 0 ? TYPES : REASON_LENGTH;
}

static State
after_choice(const VcpRfbSecurity *chosen)
{
    static const State states[] = {
        [VCP_RFB_AUTH_NONE] = RESULT,
        [VCP_RFB_AUTH_PASSWORD] = CHALLENGE,
        [VCP_RFB_AUTH_VENCRYPT] = VENCRYPT_VERSION,
    };

    return states[chosen->auth];
}

static State
types(VcpVnc *self, const Field *field, GError **error)
{
    guint32 offered[MAX_TYPES];

    for (gsize i = 0; i < field->length; i++)
        offered[i] = field->bytes[i];
    self->chosen = vcp_rfb_choose_type(offered, field->length, self->has, error);
    if (self->chosen == NULL)
        return FAILED;
    vcp_rfb_put_u8(field->answer, (guint8)self->chosen->number);
    return after_choice(self->chosen);
}

static State
vencrypt_version(VcpVnc *self G_GNUC_UNUSED, const Field *field, GError **error)
{
    static const guint8 ours[] = {VCP_VENCRYPT_MAJOR, VCP_VENCRYPT_MINOR};

    if (memcmp(field->bytes, ours, sizeof ours) != 0)
        return fail(error, VC_ERROR_PROTOCOL, "the hypervisor speaks VeNCrypt %u.%u, not 0.2",
                    field->bytes[0], field->bytes[1]);
    vcp_rfb_put(field->answer, ours, sizeof ours);
    return VENCRYPT_STATUS;
}

static State
vencrypt_status(VcpVnc *self G_GNUC_UNUSED, const Field *field, GError **error)
{
    if (field->bytes[0] != 0)
        return fail(error, VC_ERROR_PROTOCOL, "the hypervisor refuses VeNCrypt 0.2: status %u",
                    field->bytes[0]);
    return VENCRYPT_N_SUB_TYPES;
}

static State
vencrypt_n_sub_types(VcpVnc *self, const Field *field, GError **error)
{
    if (field->bytes[0] == 0)
        return fail(error, VC_ERROR_PROTOCOL, "the hypervisor offers no VeNCrypt sub-type");
    self->announced = field->bytes[0] * 4u;
    return VENCRYPT_SUB_TYPES;
}

static State
vencrypt_sub_types(VcpVnc *self, const Field *field, GError **error)
{
    guint32 offered[MAX_TYPES];
    gsize n_offered = field->length / 4;

    for (gsize i = 0; i < n_offered; i++)
        offered[i] = get_u32(field->bytes + 4 * i);
    self->chosen = vcp_rfb_choose_sub_type(offered, n_offered, self->has, error);
    if (self->chosen == NULL)
        return FAILED;
    vcp_rfb_put_u32(field->answer, self->chosen->number);
    return VENCRYPT_ACK;
}

/* Unlike the status before, this byte is 1 where all is well. */
static State
vencrypt_ack(VcpVnc *self, const Field *field, GError **error)
{
    if (field->bytes[0] != 1)
        return fail(error, VC_ERROR_PROTOCOL,
                    "the hypervisor does not accept VeNCrypt sub-type %s: %u",
                    self->chosen->name, field->bytes[0]);
    return after_choice(self->chosen);
}

static State
challenge(VcpVnc *self, const Field *field, GError **error)
{
    guint8 response[VCP_VNCAUTH_LENGTH];

    if (!vcp_vncauth_respond(self->service->password, field->bytes, response, error))
        return FAILED;
    vcp_rfb_put(field->answer, response, sizeof response);
    return RESULT;
}

static State
result(VcpVnc *self, const Field *field, GError **error)
{
    guint32 value = get_u32(field->bytes);

    if (value == RESULT_OK)
        return TENANT_VERSION;
    if (value != RESULT_FAILED && value != RESULT_BUSY)
        return fail(error, VC_ERROR_PROTOCOL, "the hypervisor's security result is %u", value);
    self->refusal = self->chosen->auth == VCP_RFB_AUTH_PASSWORD ? VC_ERROR_AUTHENTICATION
                                                                : VC_ERROR_PROTOCOL;
    return REASON_LENGTH;
}

/* No more is awaited than will be shown, whatever length the hypervisor claims. */
static State
reason_length(VcpVnc *self, const Field *field, GError **error G_GNUC_UNUSED)
{
    self->announced = MIN(get_u32(field->bytes), VCP_RFB_REASON_MAX);
    return REASON;
}

static State
reason(VcpVnc *self, const Field *field, GError **error)
{
    g_autofree char *text = vcp_rfb_printable(field->bytes, field->length);
    const char *what = self->chosen != NULL ? self->chosen->name : "every security type";

    return fail(error, self->refusal, "the hypervisor refuses %s: \"%s\"", what, text);
}

static State
tenant_version(VcpVnc *self, const Field *field, GError **error)
{
    g_autofree char *text = vcp_rfb_printable(field->bytes, field->length);

    if (!vcp_rfb_client_set_version(&self->client, field->bytes))
        return fail(error, VC_ERROR_CLIENT, "the client's version is \"%s\"", text);
    return vcp_rfb_client_offer(&self->client, field->answer) ? TENANT_CHOICE : SPLICED;
}

/* A server that takes any answer here lets in whoever names a type without a check. */
static State
tenant_choice(VcpVnc *self, const Field *field, GError **error)
{
    if (field->bytes[0] != VCP_RFB_CLIENT_TYPE)
        return fail(error, VC_ERROR_CLIENT,
                    "the client chose security type %u, which was not offered",
                    field->bytes[0]);
    vcp_rfb_client_accept(&self->client, field->answer);
    return SPLICED;
}

#define ANNOUNCED G_MAXSIZE

static const struct {
    VcpSide side; /* that sends the field and gets the answer */
    gsize length;
    State (*read)(VcpVnc *self, const Field *field, GError **error);
    gboolean starts_tls;
} rows[] = {
    [GREETING] = {VCP_TENANT, 0, greeting, FALSE},

    [COMPUTE_VERSION] = {VCP_COMPUTE, VCP_RFB_VERSION_LENGTH, compute_version, FALSE},
    [N_TYPES] = {VCP_COMPUTE, 1, n_types, FALSE},
    [TYPES] = {VCP_COMPUTE, ANNOUNCED, types, FALSE},

    [VENCRYPT_VERSION] = {VCP_COMPUTE, 2, vencrypt_version, FALSE},
    [VENCRYPT_STATUS] = {VCP_COMPUTE, 1, vencrypt_status, FALSE},
    [VENCRYPT_N_SUB_TYPES] = {VCP_COMPUTE, 1, vencrypt_n_sub_types, FALSE},
    [VENCRYPT_SUB_TYPES] = {VCP_COMPUTE, ANNOUNCED, vencrypt_sub_types, FALSE},
    [VENCRYPT_ACK] = {VCP_COMPUTE, 1, vencrypt_ack, TRUE},

    [CHALLENGE] = {VCP_COMPUTE, VCP_VNCAUTH_LENGTH, challenge, FALSE},
    [RESULT] = {VCP_COMPUTE, 4, result, FALSE},
    [REASON_LENGTH] = {VCP_COMPUTE, 4, reason_length, FALSE},
    [REASON] = {VCP_COMPUTE, ANNOUNCED, reason, FALSE},

    [TENANT_VERSION] = {VCP_TENANT, VCP_RFB_VERSION_LENGTH, tenant_version, FALSE},
    [TENANT_CHOICE] = {VCP_TENANT, 1, tenant_choice, FALSE},
};

/* Whatever came in the clear behind the last byte before TLS could have come from anybody, and
 * would be taken for a part of the protected conversation. */
static VcpStep
start_tls(VcpVnc *self, const VcBuffer *from, GError **error)
{
    if (vc_buffer_length(from) == 0)
        return VCP_STEP_START_TLS;
    self->state =
        fail(error, VC_ERROR_PROTOCOL, "the hypervisor sent %zu bytes in the clear before TLS",
             vc_buffer_length(from));
    return VCP_STEP_FAILED;
}

static VcpStep
vnc_advance(VcpHandshake *handshake, VcBuffer *from[2], VcBuffer *to[2], GError **error)
{
    VcpVnc *self = (VcpVnc *)handshake;

    g_assert(self->state != FAILED);
    while (self->state < SPLICED) {
        State state = self->state;
        VcpSide side = rows[state].side;
        gsize length = rows[state].length == ANNOUNCED ? self->announced : rows[state].length;
        guint8 bytes[MAX_FIELD];

        g_assert(length <= sizeof bytes);
        if (!vc_buffer_take(from[side], bytes, length))
            return VCP_STEP_WAIT;
        self->state = rows[state].read(self, &(Field){bytes, length, to[side]}, error);
        if (rows[state].starts_tls && self->state != FAILED)
            return start_tls(self, from[VCP_COMPUTE], error);
    }
    return self->state == SPLICED ? VCP_STEP_SPLICE : VCP_STEP_FAILED;
}

static gboolean
vnc_refuse(VcpHandshake *handshake, const char *why, VcBuffer *from, VcBuffer *to)
{
    VcpVnc *self = (VcpVnc *)handshake;
    guint8 version[VCP_RFB_VERSION_LENGTH];

    if (self->state == SPLICED)
        return TRUE;
    if (self->state == GREETING)
        vcp_rfb_put(to, VCP_RFB_VERSION, VCP_RFB_VERSION_LENGTH);
    self->state = FAILED;
    if (self->client.version == VCP_RFB_CLIENT_UNKNOWN) {
        if (!vc_buffer_take(from, version, sizeof version))
            return FALSE;
        vcp_rfb_client_set_version(&self->client, version);
    }
    vcp_rfb_client_refuse(&self->client, why, to);
    return TRUE;
}

static gboolean
vnc_relay(VcpHandshake *handshake, VcpSide side, VcBuffer *from, VcBuffer *to, GError **error)
{
    VcpVnc *self = (VcpVnc *)handshake;

    if (side == VCP_TENANT)
        return vcp_rfb_filter_run(&self->filter, from, to, error);
    vc_buffer_move(to, from);
    return TRUE;
}

static void
vnc_free(VcpHandshake *handshake)
{
    VcpVnc *self = (VcpVnc *)handshake;

    vc_service_unref(self->service);
    g_free(self);
}

/* A tunnel is TLS already, and GnuTLS sessions do not nest here. */
static unsigned
what_it_has(const VcService *service, gboolean has_credentials)
{
    unsigned has = 0;

    if (has_credentials && !service->tls_tunnel)
        has |= VCP_RFB_HAS_TLS;
    if (service->insecure || service->tls_tunnel)
        has |= VCP_RFB_HAS_TRUST;
    if (service->password != NULL)
        has |= VCP_RFB_HAS_PASSWORD;
    return has;
}

VcpHandshake *
vcp_vnc_new(VcService *service, gboolean has_credentials)
{
    static const VcpHandshakeOps ops = {
        .advance = vnc_advance, .refuse = vnc_refuse, .relay = vnc_relay, .free = vnc_free};
    VcpVnc *self = g_new0(VcpVnc, 1);

    self->base.ops = &ops;
    self->service = vc_service_ref(service);
    self->has = what_it_has(service, has_credentials);
    vcp_rfb_filter_init(&self->filter, service->power_control ? VCP_RFB_POWER : 0);
    return &self->base;
}
