/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The table of client messages and the framing that follows from it.
 *
 * Messages know nothing of websocket frames, so the filter counts: a message is judged once its
 * header is complete and before any byte of it goes on; from then on its bytes are streamed, or
 * dropped, until none is left. SetEncodings alone is collected, because it is rewritten. */
#include "proxy/rfb-filter.h"

#include <string.h>

#include "common/bytes.h"
#include "common/error.h"

/* What follows a header. */
typedef struct {
    guint32 (*count)(const VcBuffer *header /* complete */); /* NULL: nothing */
    guint32 max;                                             /* count at the most */
    guint8 size;                                             /* bytes of each */
} Items;

typedef struct {
    const char *name;
    guint8 key[4]; /* the bytes that tell this message from others */
    guint8 key_length;
    guint8 header; /* bytes up to the items, key included */
    Items items;
    gboolean rewrite; /* the items are encodings */
    unsigned needs;   /* permissions without which it is dropped */
} Message;

#define KEY(...) .key = {__VA_ARGS__}, .key_length = sizeof((guint8[]){__VA_ARGS__})

static guint32
count_encodings(const VcBuffer *header)
{
    guint16 count = 0;

    vc_peek_u16be(header, 2, &count);
    return count;
}

/* A negative length marks the extended clipboard; its amount is what follows. */
static guint32
count_text(const VcBuffer *header)
{
    guint32 length = 0;

    vc_peek_u32be(header, 4, &length);
    return length > G_MAXINT32 ? 0u - length : length;
}

static guint32
count_fence(const VcBuffer *header)
{
    guint8 count = 0;

    vc_peek_u8(header, 8, &count);
    return count;
}

static guint32
count_screens(const VcBuffer *header)
{
    guint8 count = 0;

    vc_peek_u8(header, 6, &count);
    return count;
}

/* Not bytes but hertz, which are capped the same way: its items take no room. */
static guint32
count_hertz(const VcBuffer *header)
{
    guint32 hertz = 0;

    vc_peek_u32be(header, 6, &hertz);
    return hertz;
}

/* The only message whose byte order the client chooses, by the top bit of its second byte. */
static guint32
count_gii(const VcBuffer *header)
{
    guint8 flags = 0;
    guint16 count = 0;

    vc_peek_u8(header, 1, &flags);
    vc_peek_u16be(header, 2, &count);
    return flags & 0x80 ? count : GUINT16_SWAP_LE_BE(count);
}

/* A view-only session is a permission more, and that permission in the rows of keyboard,
 * pointer, clipboard and size. What is not listed has no known length and ends the session. */
static const Message messages[] = {
    {"SetPixelFormat", KEY(0), .header = 20},
    {"SetEncodings", KEY(2), .header = 4, .items = {count_encodings, 1024, 4}, .rewrite = TRUE},
    {"FramebufferUpdateRequest", KEY(3), .header = 10},
    {"KeyEvent", KEY(4), .header = 8},
    {"PointerEvent", KEY(5), .header = 6},
    {"ClientCutText", KEY(6), .header = 8, .items = {count_text, 1 << 20, 1}},
    {"EnableContinuousUpdates", KEY(150), .header = 10},
    {"ClientFence", KEY(248), .header = 9, .items = {count_fence, 64, 1}},
    {"xvp", KEY(250), .header = 4, .needs = VCP_RFB_POWER},
    {"SetDesktopSize", KEY(251), .header = 8, .items = {count_screens, 255, 16}},
    {"gii", KEY(253), .header = 4, .items = {count_gii, 4096, 1}},
    {"QEMU extended key", KEY(255, 0), .header = 12},
    {"QEMU audio on", KEY(255, 1, 0, 0), .header = 4},
    {"QEMU audio off", KEY(255, 1, 0, 1), .header = 4},
    {"QEMU audio format", KEY(255, 1, 0, 2), .header = 10, .items = {count_hertz, 48000, 0}},
};

/* No session has all permissions. */
#define NOBODY (~0u)

/* Encodings that are taken out of SetEncodings without the permission: the server then never
 * offers what the client would answer with a message that does not pass. */
static const struct {
    gint32 encoding;
    unsigned needs;
} guarded_encodings[] = {
    /* xvp */
    {-309, VCP_RFB_POWER},
    /* ExtendedMouseButtons: PointerEvent grows once the server agrees, unseen by this filter */
    {-316, NOBODY},
};

typedef enum {
    MORE,   /* something was done: go on */
    STUCK,  /* bytes or room are missing */
    BROKEN, /* error is set */
} Progress;

void
vcp_rfb_filter_init(VcpRfbFilter *self, unsigned permissions)
{
    /* ClientInit is one byte of any value. */
    *self = (VcpRfbFilter){.permissions = permissions, .left = 1};
}

static gboolean
is_permitted(const VcpRfbFilter *self, unsigned needs)
{
    return (needs & ~self->permissions) == 0;
}

/* The message that begins with the buffer's bytes; NULL with *possible where more bytes decide.
 */
static const Message *
identify(const VcBuffer *from, gboolean *possible)
{
    gsize length = vc_buffer_length(from);

    *possible = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(messages); i++) {
        const Message *message = &messages[i];
        gsize known = MIN(length, message->key_length);
        if (memcmp(message->key, vc_buffer_data(from), known) != 0)
            continue;
        *possible = TRUE;
        if (known == message->key_length)
            return message;
    }
    return NULL;
}

static gboolean
is_guarded(const VcpRfbFilter *self, guint32 encoding)
{
    for (gsize i = 0; i < G_N_ELEMENTS(guarded_encodings); i++) {
        if (encoding == (guint32)guarded_encodings[i].encoding)
            return !is_permitted(self, guarded_encodings[i].needs);
    }
    return FALSE;
}

/* Rewrites in place, so that what remains of the message is still one piece. */
static gsize
strip_encodings(const VcpRfbFilter *self, VcBuffer *from, gsize length)
{
    guint8 *data = vc_buffer_data(from);
    gsize kept = 4;

    for (gsize at = 4; at < length; at += 4) {
        guint32 encoding = 0;
        vc_peek_u32be(from, at, &encoding);
        if (is_guarded(self, encoding))
            continue;
        memmove(data + kept, data + at, 4);
        kept += 4;
    }
    guint16 count = GUINT16_TO_BE((guint16)(kept / 4 - 1));
    memcpy(data + 2, &count, sizeof count);
    return kept;
}

static Progress
pass_encodings(const VcpRfbFilter *self, VcBuffer *from, gsize length, VcBuffer *to)
{
    if (vc_buffer_length(from) < length || vc_buffer_room(to) < length)
        return STUCK;
    gsize kept = strip_encodings(self, from, length);
    vc_buffer_append(to, vc_buffer_data(from), kept);
    vc_buffer_consume(from, length);
    return MORE;
}

static Progress
refuse(GError **error, const char *message, const char *why, guint32 number)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CLIENT, "the client's %s %s: %u", message, why,
                number);
    return BROKEN;
}

static Progress
begin(VcpRfbFilter *self, VcBuffer *from, VcBuffer *to, GError **error)
{
    gboolean possible;
    const Message *message = identify(from, &possible);

    if (!possible)
        return refuse(error, "message", "is of unknown type", vc_buffer_data(from)[0]);
    if (message == NULL || vc_buffer_length(from) < message->header)
        return STUCK;
    const Items *items = &message->items;
    guint32 count = items->count != NULL ? items->count(from) : 0;
    if (count > items->max)
        return refuse(error, message->name, "is over the limit", count);
    gsize length = message->header + (gsize)count * items->size;
    gboolean drops = !is_permitted(self, message->needs);
    if (message->rewrite && !drops)
        return pass_encodings(self, from, length, to);
    self->left = length;
    self->drops = drops;
    return MORE;
}

/* Where all that is there passes, as with a message in a frame of its own, no byte is copied.
 */
static Progress
stream(VcpRfbFilter *self, VcBuffer *from, VcBuffer *to)
{
    gsize there = MIN(self->left, vc_buffer_length(from));
    gsize moved = self->drops ? there : MIN(there, vc_buffer_room(to));

    if (moved == 0)
        return STUCK;
    self->left -= moved;
    if (self->drops) {
        vc_buffer_consume(from, moved);
    } else if (moved == vc_buffer_length(from)) {
        vc_buffer_move(to, from);
    } else {
        vc_buffer_append(to, vc_buffer_data(from), moved);
        vc_buffer_consume(from, moved);
    }
    return MORE;
}

gboolean
vcp_rfb_filter_run(VcpRfbFilter *self, VcBuffer *from, VcBuffer *to, GError **error)
{
    Progress progress = MORE;

    while (progress == MORE && vc_buffer_length(from) > 0)
        progress = self->left > 0 ? stream(self, from, to) : begin(self, from, to, error);
    return progress != BROKEN;
}
