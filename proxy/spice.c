/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One channel of a SPICE session: the link phase between client and server, as spice-protocol
 * and the servers themselves have it.
 *
 * The states are passed from top to bottom, some of them skipped. What the client asks for is
 * judged before the hypervisor hears of it: a second main channel there would end the session
 * of the first, and a guessed id must not even be tried. */
#include "proxy/spice.h"

#include <string.h>

#include "common/bytes.h"
#include "common/error.h"
#include "proxy/spice-link.h"
#include "proxy/spice-tap.h"
#include "proxy/spice-ticket.h"

typedef enum {
    LINK_HEADER,
    LINK_MESSAGE,
    ADMISSION, /* the store has agreed */

    REPLY_HEADER,
    REPLY,

    MECHANISM,
    TICKET,
    RESULT,

    SPLICED,
    FAILED,
} State;

typedef struct {
    VcpHandshake base;
    VcService *service;
    State state;
    gsize announced; /* length of the message whose header was read */

    GByteArray *opening; /* the client's link message, until the hypervisor has it; nullable */
    VcpSpiceLink link;
    VcpChannel channel; /* the same channel, for the note */
    VcpNote note;
    gboolean has_note;

    guint8 header[VCP_SPICE_HEADER]; /* of the reply */
    guint8 key[VCP_SPICE_KEY];
    gboolean mini_header;

    VcpSpiceCode refusal; /* how the client is told, if it is */
    gboolean was_replied; /* a refusal is a result now, no reply */
    gboolean was_told;    /* the server has refused in its own words */

    VcpSpiceTap tap;
} VcpSpice;

/* One complete field of a peer, and where the answer goes. */
typedef struct {
    guint8 *bytes;
    gsize length;
    VcBuffer *to[2];
} Field;

#define MECHANISM_SPICE 1u

#define MAX_FIELD VCP_SPICE_LINK_MAX

static State G_GNUC_PRINTF(3, 4) fail(GError **error, VcError code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_propagate_error(error, g_error_new_valist(VC_ERROR, (int)code, format, args));
    va_end(args);
    return FAILED;
}

static void
put(VcBuffer *to, const void *bytes, gsize length)
{
    gboolean fits = vc_buffer_append(to, bytes, length);
    g_assert(fits); /* a handshake is short */
}

static gboolean
is_main(const VcpSpice *self)
{
    return self->link.type == VCP_SPICE_CHANNEL_MAIN;
}

/* --- what the client asks for --- */

static State
bad_link(VcpSpice *self, VcpSpiceCode code, GError **error)
{
    self->refusal = code;
    return fail(error, VC_ERROR_CLIENT, "the client's SPICE link message is not one: error %u",
                code);
}

static State
link_header(VcpSpice *self, const Field *field, GError **error)
{
    VcpSpiceCode code =
        vcp_spice_read_header(field->bytes, VCP_SPICE_LINK_MIN, &self->announced);

    if (code != VCP_SPICE_OK)
        return bad_link(self, code, error);
    self->opening = g_byte_array_new();
    g_byte_array_append(self->opening, field->bytes, (guint)field->length);
    return LINK_MESSAGE;
}

/* A main channel with an id is the target's side of a migration: servers park it. */
static State
check_main(VcpSpice *self, GError **error)
{
    if (self->link.id != 0 || self->link.connection_id != 0) {
        self->refusal =
            self->link.id != 0 ? VCP_SPICE_CHANNEL_NOT_AVAILABLE : VCP_SPICE_BAD_CONNECTION_ID;
        return fail(error, VC_ERROR_POLICY,
                    "the client asks for SPICE main channel %u of session %u", self->link.id,
                    self->link.connection_id);
    }
    self->note = (VcpNote){.kind = VCP_NOTE_MAIN};
    self->has_note = TRUE;
    return ADMISSION;
}

static State
link_message(VcpSpice *self, const Field *field, GError **error)
{
    VcpSpiceCode code = vcp_spice_read_link(field->bytes, field->length, &self->link);

    if (code != VCP_SPICE_OK)
        return bad_link(self, code, error);
    g_byte_array_append(self->opening, field->bytes, (guint)field->length);
    if (is_main(self))
        return check_main(self, error);
    self->has_note = TRUE;
    self->channel = (VcpChannel){self->link.type, self->link.id};
    self->note = (VcpNote){.kind = VCP_NOTE_CHANNEL,
                           .session_id = self->link.connection_id,
                           .channels = &self->channel,
                           .n_channels = 1};
    return ADMISSION;
}

static State
admission(VcpSpice *self, const Field *field, GError **error G_GNUC_UNUSED)
{
    put(field->to[VCP_COMPUTE], self->opening->data, self->opening->len);
    g_clear_pointer(&self->opening, g_byte_array_unref);
    return REPLY_HEADER;
}

/* --- what the hypervisor answers --- */

static State
bad_reply(VcpSpiceCode code, GError **error)
{
    return fail(error, VC_ERROR_PROTOCOL, "the hypervisor does not speak SPICE 2: error %u",
                code);
}

static State
reply_header(VcpSpice *self, const Field *field, GError **error)
{
    VcpSpiceCode code =
        vcp_spice_read_header(field->bytes, VCP_SPICE_REPLY_MIN, &self->announced);

    if (code != VCP_SPICE_OK)
        return bad_reply(code, error);
    memcpy(self->header, field->bytes, sizeof self->header);
    return REPLY;
}

static State
refused_by_server(VcpSpice *self, guint32 code, GError **error)
{
    self->was_told = TRUE;
    if (code == VCP_SPICE_NEED_SECURED || code == VCP_SPICE_NEED_UNSECURED)
        return fail(error, VC_ERROR_POLICY, "the hypervisor wants this SPICE channel %s",
                    code == VCP_SPICE_NEED_SECURED ? "over TLS: give its TLS port"
                                                   : "in the clear");
    if (code == VCP_SPICE_PERMISSION_DENIED)
        return fail(error, VC_ERROR_AUTHENTICATION,
                    "the hypervisor refuses the SPICE password");
    return fail(error, VC_ERROR_PROTOCOL, "the hypervisor refuses the SPICE channel: error %u",
                code);
}

static State
reply(VcpSpice *self, const Field *field, GError **error)
{
    VcpSpiceReply read;
    VcpSpiceCode code = vcp_spice_read_reply(field->bytes, field->length, &read);

    if (code != VCP_SPICE_OK)
        return bad_reply(code, error);
    if (read.error == VCP_SPICE_OK && read.sasl_only)
        return fail(error, VC_ERROR_PROTOCOL,
                    "the hypervisor offers SASL only, which is not spoken here");
    put(field->to[VCP_TENANT], self->header, sizeof self->header);
    put(field->to[VCP_TENANT], field->bytes, field->length);
    self->was_replied = TRUE;
    if (read.error != VCP_SPICE_OK)
        return refused_by_server(self, read.error, error);
    memcpy(self->key, read.key, sizeof self->key);
    self->mini_header = read.mini_header && self->link.mini_header;
    return self->link.selects_auth ? MECHANISM : TICKET;
}

/* --- who the client is --- */

static State
mechanism(VcpSpice *self G_GNUC_UNUSED, const Field *field, GError **error)
{
    guint32 chosen = vc_get_u32le(field->bytes);

    if (chosen != MECHANISM_SPICE)
        return fail(error, VC_ERROR_CLIENT,
                    "the client chose SPICE authentication %u, which was not offered", chosen);
    put(field->to[VCP_COMPUTE], field->bytes, field->length);
    return TICKET;
}

/* The token has told who the client is; where the service has a password, it is the proxy's to
 * know, and what the client has encrypted does not matter. */
static State
ticket(VcpSpice *self, const Field *field, GError **error)
{
    guint8 own[VCP_SPICE_TICKET];
    const char *password = self->service->password;

    if (password == NULL) {
        put(field->to[VCP_COMPUTE], field->bytes, field->length);
        return RESULT;
    }
    if (!vcp_spice_ticket(password, self->key, own, error))
        return FAILED;
    put(field->to[VCP_COMPUTE], own, sizeof own);
    return RESULT;
}

static State
result(VcpSpice *self, const Field *field, GError **error)
{
    guint32 code = vc_get_u32le(field->bytes);

    put(field->to[VCP_TENANT], field->bytes, field->length);
    if (code != VCP_SPICE_OK)
        return refused_by_server(self, code, error);
    vcp_spice_tap_init(&self->tap, self->mini_header);
    return SPLICED;
}

#define ANNOUNCED G_MAXSIZE

static const struct {
    VcpSide side; /* that sends the field */
    gsize length;
    State (*read)(VcpSpice *self, const Field *field, GError **error);
} rows[] = {
    [LINK_HEADER] = {VCP_TENANT, VCP_SPICE_HEADER, link_header},
    [LINK_MESSAGE] = {VCP_TENANT, ANNOUNCED, link_message},
    [ADMISSION] = {VCP_TENANT, 0, admission},

    [REPLY_HEADER] = {VCP_COMPUTE, VCP_SPICE_HEADER, reply_header},
    [REPLY] = {VCP_COMPUTE, ANNOUNCED, reply},

    [MECHANISM] = {VCP_TENANT, 4, mechanism},
    [TICKET] = {VCP_TENANT, VCP_SPICE_TICKET, ticket},
    [RESULT] = {VCP_COMPUTE, 4, result},
};

static VcpStep
spice_advance(VcpHandshake *handshake, VcBuffer *from[2], VcBuffer *to[2], GError **error)
{
    VcpSpice *self = (VcpSpice *)handshake;

    g_assert(self->state != FAILED);
    while (self->state < SPLICED) {
        State state = self->state;
        gsize length = rows[state].length == ANNOUNCED ? self->announced : rows[state].length;
        guint8 bytes[MAX_FIELD];

        g_assert(length <= sizeof bytes);
        if (self->has_note || !vc_buffer_take(from[rows[state].side], bytes, length))
            return VCP_STEP_WAIT;
        self->state = rows[state].read(self, &(Field){bytes, length, {to[0], to[1]}}, error);
    }
    return self->state == SPLICED ? VCP_STEP_SPLICE : VCP_STEP_FAILED;
}

/* --- the store --- */

static const VcpNote *
spice_note(VcpHandshake *handshake)
{
    VcpSpice *self = (VcpSpice *)handshake;

    if (self->state == SPLICED)
        return self->tap.has_note ? &self->tap.note : NULL;
    return self->has_note ? &self->note : NULL;
}

/* A server gives the second and third of these in its result, which would need a key of ours.
 */
static VcpSpiceCode
refusal_for(const VcpSpice *self, VcpStoreAnswer answer)
{
    static const VcpSpiceCode codes[] = {
        [VCP_STORE_OK] = VCP_SPICE_OK,
        [VCP_STORE_TAKEN] = VCP_SPICE_PERMISSION_DENIED,
        [VCP_STORE_SPENT] = VCP_SPICE_PERMISSION_DENIED,
        [VCP_STORE_UNKNOWN] = VCP_SPICE_BAD_CONNECTION_ID,
        [VCP_STORE_NOT_LISTED] = VCP_SPICE_CHANNEL_NOT_AVAILABLE,
        [VCP_STORE_AWAY] = VCP_SPICE_ERROR,
    };

    if (answer == VCP_STORE_TAKEN && !is_main(self))
        return VCP_SPICE_CHANNEL_NOT_AVAILABLE;
    return codes[answer];
}

static void
spice_noted(VcpHandshake *handshake, VcpStoreAnswer answer)
{
    VcpSpice *self = (VcpSpice *)handshake;

    if (answer != VCP_STORE_OK) {
        self->refusal = refusal_for(self, answer);
    } else if (self->state == SPLICED) {
        vcp_spice_tap_noted(&self->tap);
    } else {
        self->has_note = FALSE;
    }
}

/* --- the rest --- */

/* A server that refuses says so in its reply, or, once that has gone, in the result. */
static gboolean
spice_refuse(VcpHandshake *handshake, const char *why G_GNUC_UNUSED,
             VcBuffer *from G_GNUC_UNUSED, VcBuffer *to)
{
    VcpSpice *self = (VcpSpice *)handshake;
    guint8 bytes[VCP_SPICE_HEADER + VCP_SPICE_REPLY_MIN];

    if (self->state == SPLICED || self->was_told)
        return TRUE;
    self->was_told = TRUE;
    vcp_spice_write_refusal(self->refusal, bytes);
    if (self->was_replied)
        put(to, bytes + VCP_SPICE_HEADER, 4);
    else
        put(to, bytes, sizeof bytes);
    return TRUE;
}

static gboolean
spice_relay(VcpHandshake *handshake, VcpSide side, VcBuffer *from, VcBuffer *to, GError **error)
{
    VcpSpice *self = (VcpSpice *)handshake;

    if (side == VCP_COMPUTE && is_main(self))
        return vcp_spice_tap_run(&self->tap, from, to, error);
    vc_buffer_move(to, from);
    return TRUE;
}

static GError *
spice_ended(VcpHandshake *handshake)
{
    const VcpSpice *self = (VcpSpice *)handshake;

    return self->tap.is_migrating ? g_error_new_literal(VC_ERROR, VC_ERROR_MOVED,
                                                        "the guest was moving to another host")
                                  : NULL;
}

static void
spice_free(VcpHandshake *handshake)
{
    VcpSpice *self = (VcpSpice *)handshake;

    vcp_spice_tap_clear(&self->tap);
    g_clear_pointer(&self->opening, g_byte_array_unref);
    vc_service_unref(self->service);
    g_free(self);
}

VcpHandshake *
vcp_spice_new(VcService *service, gboolean has_credentials G_GNUC_UNUSED)
{
    static const VcpHandshakeOps ops = {
        .advance = spice_advance,
        .refuse = spice_refuse,
        .relay = spice_relay,
        .note = spice_note,
        .noted = spice_noted,
        .ended = spice_ended,
        .free = spice_free,
    };
    VcpSpice *self = g_new0(VcpSpice, 1);

    self->base.ops = &ops;
    self->service = vc_service_ref(service);
    self->refusal = VCP_SPICE_ERROR;
    return &self->base;
}
