/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Version lines and reasons, read from hostile peers and written to polite ones. */
#include "proxy/rfb.h"

#include <string.h>

/* FALSE unless all three are digits: atoi() and its kin would take signs and spaces too. */
static gboolean
parse_digits(const guint8 digits[3], guint *value)
{
    *value = 0;
    for (gsize i = 0; i < 3; i++) {
        if (!g_ascii_isdigit(digits[i]))
            return FALSE;
        *value = *value * 10 + (digits[i] - '0');
    }
    return TRUE;
}

gboolean
vcp_rfb_version_parse(const guint8 text[VCP_RFB_VERSION_LENGTH], guint *major, guint *minor)
{
    return memcmp(text, "RFB ", 4) == 0 && parse_digits(text + 4, major) && text[7] == '.' &&
           parse_digits(text + 8, minor) && text[11] == '\n';
}

char *
vcp_rfb_printable(const guint8 *text, gsize length)
{
    GString *printable = g_string_sized_new(length);

    for (gsize i = 0; i < length; i++) {
        if (text[i] != '\0')
            g_string_append_c(printable, g_ascii_isprint(text[i]) ? (char)text[i] : ' ');
    }
    return g_strstrip(g_string_free(printable, FALSE));
}

void
vcp_rfb_put(VcBuffer *to, const void *data, gsize length)
{
    gboolean fits = vc_buffer_append(to, data, length);

    g_assert(fits);
}

void
vcp_rfb_put_u8(VcBuffer *to, guint8 value)
{
    vcp_rfb_put(to, &value, sizeof value);
}

void
vcp_rfb_put_u32(VcBuffer *to, guint32 value)
{
    value = GUINT32_TO_BE(value);
    vcp_rfb_put(to, &value, sizeof value);
}

void
vcp_rfb_put_reason(VcBuffer *to, const char *reason)
{
    guint32 length = (guint32)strnlen(reason, VCP_RFB_REASON_MAX);

    vcp_rfb_put_u32(to, length);
    vcp_rfb_put(to, reason, length);
}
