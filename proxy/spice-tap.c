/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The stream of a main channel: header (mini: type, size; full: serial, type, size, sub-list),
 * body, header, body … A body that is not for us is skipped by its length, a network test of
 * 256,000 bytes among them. INIT and CHANNELS_LIST are held back until the store knows what
 * they say, because the client acts on them at once, and through any proxy. */
#include "proxy/spice-tap.h"

#include "common/bytes.h"
#include "common/error.h"

#define MINI_HEADER 6
#define FULL_HEADER 18

#define MIGRATE_BEGIN          101
#define MIGRATE_CANCEL         102
#define INIT                   103
#define CHANNELS_LIST          104
#define MIGRATE_SWITCH_HOST    111
#define MIGRATE_BEGIN_SEAMLESS 116

#define INIT_SIZE    32
#define MAX_LISTED   256
#define LIST_SIZE(n) (4 + 2 * (guint64)(n))

typedef struct {
    guint16 type;
    guint32 size;       /* of the body */
    gsize header;       /* bytes */
    const guint8 *body; /* as far as it is there */
} Message;

typedef enum {
    PASS,   /* the message, as its bytes come */
    DROP,   /* likewise */
    WAIT,   /* for more of it, or for the store */
    BROKEN, /* error is set */
} Verdict;

void
vcp_spice_tap_init(VcpSpiceTap *self, gboolean mini_header)
{
    *self = (VcpSpiceTap){.mini_header = mini_header};
}

void
vcp_spice_tap_clear(VcpSpiceTap *self)
{
    g_clear_pointer(&self->channels, g_free);
}

static gboolean
read_header(const VcpSpiceTap *self, const VcBuffer *from, Message *message)
{
    gsize type = self->mini_header ? 0 : 8;
    const guint8 *at = vc_buffer_data(from);

    message->header = self->mini_header ? MINI_HEADER : FULL_HEADER;
    if (vc_buffer_length(from) < message->header)
        return FALSE;
    message->type = vc_get_u16le(at + type);
    message->size = vc_get_u32le(at + type + 2);
    message->body = at + message->header;
    return TRUE;
}

static Verdict
broken(GError **error, const char *what, guint32 number)
{
    g_set_error(error, VC_ERROR, VC_ERROR_PROTOCOL, "the hypervisor's SPICE %s: %u", what,
                number);
    return BROKEN;
}

/* Whether all of the message is there; its size is known to be small. */
static gboolean
is_complete(const VcBuffer *from, const Message *message)
{
    return vc_buffer_length(from) >= message->header + message->size;
}

static Verdict
ask(VcpSpiceTap *self, VcpNote note, const Message *message)
{
    self->note = note;
    self->has_note = TRUE;
    self->n_parsed += message->size;
    return WAIT;
}

static Verdict
init(VcpSpiceTap *self, const VcBuffer *from, const Message *message, GError **error)
{
    if (message->size != INIT_SIZE || self->has_session)
        return broken(error, "INIT is not one, or not the first: size", message->size);
    if (!is_complete(from, message))
        return WAIT;
    guint32 session_id = vc_get_u32le(message->body);
    if (session_id == 0)
        return broken(error, "session id is no id", session_id);
    return ask(self, (VcpNote){.kind = VCP_NOTE_SESSION, .session_id = session_id}, message);
}

static Verdict
channels_list(VcpSpiceTap *self, const VcBuffer *from, const Message *message, GError **error)
{
    if (!self->has_session)
        return broken(error, "list of channels comes before INIT: size", message->size);
    if (message->size < LIST_SIZE(0) || message->size > LIST_SIZE(MAX_LISTED))
        return broken(error, "list of channels has a wrong size", message->size);
    if (!is_complete(from, message))
        return WAIT;
    guint32 n = vc_get_u32le(message->body);
    if (message->size != LIST_SIZE(n))
        return broken(error, "list of channels is not as long as it says", n);

    g_free(self->channels);
    self->channels = g_new(VcpChannel, n);
    for (guint32 i = 0; i < n; i++)
        self->channels[i] = (VcpChannel){message->body[4 + 2 * i], message->body[5 + 2 * i]};
    return ask(
        self, (VcpNote){.kind = VCP_NOTE_CHANNELS, .channels = self->channels, .n_channels = n},
        message);
}

static Verdict
judge(VcpSpiceTap *self, const VcBuffer *from, const Message *message, GError **error)
{
    if (self->was_noted)
        return PASS;
    switch (message->type) {
    case INIT:
        return init(self, from, message, error);
    case CHANNELS_LIST:
        return channels_list(self, from, message, error);
    case MIGRATE_BEGIN:
    case MIGRATE_BEGIN_SEAMLESS:
        self->is_migrating = TRUE;
        return DROP;
    case MIGRATE_CANCEL:
        self->is_migrating = FALSE;
        return PASS;
    case MIGRATE_SWITCH_HOST:
        g_set_error_literal(error, VC_ERROR, VC_ERROR_MOVED,
                            "the guest has moved to another host");
        return BROKEN;
    default:
        return PASS;
    }
}

/* Begins the message at the front. FALSE where nothing can go on: for now, or, with error set,
 * at all. */
static gboolean
begin(VcpSpiceTap *self, const VcBuffer *from, GError **error)
{
    Message message;

    if (self->has_note || !read_header(self, from, &message))
        return FALSE;
    Verdict verdict = judge(self, from, &message, error);
    if (verdict == WAIT || verdict == BROKEN)
        return FALSE;
    if (self->was_noted && message.type == INIT)
        self->has_session = TRUE;
    self->was_noted = FALSE;
    self->drops = verdict == DROP;
    self->left = message.header + (guint64)message.size;
    self->n_messages++;
    self->n_parsed += message.header;
    return TRUE;
}

/* FALSE where there is no room. Where all that is there passes no byte is copied. */
static gboolean
stream(VcpSpiceTap *self, VcBuffer *from, VcBuffer *to)
{
    gsize there = MIN(self->left, vc_buffer_length(from));
    gsize moved = self->drops ? there : MIN(there, vc_buffer_room(to));

    self->left -= moved;
    if (self->drops) {
        vc_buffer_consume(from, moved);
    } else if (moved == vc_buffer_length(from)) {
        vc_buffer_move(to, from);
    } else if (moved > 0) {
        vc_buffer_append(to, vc_buffer_data(from), moved);
        vc_buffer_consume(from, moved);
    }
    return moved > 0;
}

gboolean
vcp_spice_tap_run(VcpSpiceTap *self, VcBuffer *from, VcBuffer *to, GError **error)
{
    GError *why = NULL;
    gboolean moves = TRUE;

    while (moves && vc_buffer_length(from) > 0)
        moves = self->left > 0 ? stream(self, from, to) : begin(self, from, &why);
    if (why != NULL)
        g_propagate_error(error, why);
    return why == NULL;
}

void
vcp_spice_tap_noted(VcpSpiceTap *self)
{
    g_assert(self->has_note);
    self->has_note = FALSE;
    self->was_noted = TRUE;
}
