/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The tables of security types and VeNCrypt sub-types, strongest first, and the choice among
 * them. */
#include "proxy/rfb-security.h"

#include "common/error.h"

typedef struct {
    const char *what;
    const VcpRfbSecurity *rows;
    gsize n_rows;
} Table;

/* RFC 6143, 8.1.2, and the community's list. */
static const VcpRfbSecurity types[] = {
    {19, "VeNCrypt", VCP_RFB_HAS_TLS, VCP_RFB_AUTH_VENCRYPT},
    {2, "VncAuth", VCP_RFB_HAS_TRUST | VCP_RFB_HAS_PASSWORD, VCP_RFB_AUTH_PASSWORD},
    {1, "None", VCP_RFB_HAS_TRUST, VCP_RFB_AUTH_NONE},
    {5, "RA2", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {6, "RA2ne", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {16, "Tight", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {18, "TLS", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {20, "SASL", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {30, "ARD", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
};

/* A sub-type is one row here and one transcript. Those that need SUPPORT either send a password
 * in a shape that the proxy does not speak, or agree on keys without a certificate (TLS...),
 * which keeps out nobody who sits in between. */
static const VcpRfbSecurity sub_types[] = {
    {261, "X509Vnc", VCP_RFB_HAS_PASSWORD, VCP_RFB_AUTH_PASSWORD},
    {260, "X509None", 0, VCP_RFB_AUTH_NONE},
    {256, "Plain", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {257, "TLSNone", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {258, "TLSVnc", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {259, "TLSPlain", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {262, "X509Plain", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {263, "X509SASL", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
    {264, "TLSSASL", VCP_RFB_HAS_SUPPORT, VCP_RFB_AUTH_NONE},
};

/* Enough for any real offer; a hostile one of 255 types shall not fill a log line. */
#define MAX_LISTED 12

/* Why a type was passed over, the most telling reason first. */
static const char *
objection(unsigned missing)
{
    if (missing & VCP_RFB_HAS_SUPPORT)
        return "not supported";
    if (missing & VCP_RFB_HAS_TLS)
        return "no TLS possible here";
    if (missing & VCP_RFB_HAS_TRUST)
        return "the service is not insecure";
    return "the service has no password";
}

static gboolean
is_offered(guint32 number, const guint32 *offered, gsize n_offered)
{
    for (gsize i = 0; i < n_offered; i++) {
        if (offered[i] == number)
            return TRUE;
    }
    return FALSE;
}

static void
describe(GString *list, const Table *table, guint32 number, unsigned has)
{
    for (gsize i = 0; i < table->n_rows; i++) {
        const VcpRfbSecurity *row = &table->rows[i];
        if (row->number == number) {
            g_string_append_printf(list, "%u (%s: %s)", number, row->name,
                                   objection(row->needs & ~has));
            return;
        }
    }
    g_string_append_printf(list, "%u", number);
}

static char *
describe_all(const Table *table, const guint32 *offered, gsize n_offered, unsigned has)
{
    GString *list = g_string_new(NULL);

    for (gsize i = 0; i < MIN(n_offered, MAX_LISTED); i++) {
        if (i > 0)
            g_string_append(list, ", ");
        describe(list, table, offered[i], has);
    }
    if (n_offered > MAX_LISTED)
        g_string_append_printf(list, " and %zu more", n_offered - MAX_LISTED);
    return g_string_free(list, FALSE);
}

static const VcpRfbSecurity *
find(const Table *table, const guint32 *offered, gsize n_offered, unsigned has)
{
    for (gsize i = 0; i < table->n_rows; i++) {
        const VcpRfbSecurity *row = &table->rows[i];
        if ((row->needs & ~has) == 0 && is_offered(row->number, offered, n_offered))
            return row;
    }
    return NULL;
}

static const VcpRfbSecurity *
choose(const Table *table, const guint32 *offered, gsize n_offered, unsigned has,
       GError **error)
{
    const VcpRfbSecurity *chosen = find(table, offered, n_offered, has);

    if (chosen != NULL)
        return chosen;
    gboolean password_helps =
        find(table, offered, n_offered, has | VCP_RFB_HAS_PASSWORD) != NULL;
    g_autofree char *list = describe_all(table, offered, n_offered, has);
    g_set_error(error, VC_ERROR, password_helps ? VC_ERROR_AUTHENTICATION : VC_ERROR_POLICY,
                "the hypervisor offers no acceptable %s: %s", table->what, list);
    return NULL;
}

const VcpRfbSecurity *
vcp_rfb_choose_type(const guint32 *offered, gsize n_offered, unsigned has, GError **error)
{
    static const Table table = {"security type", types, G_N_ELEMENTS(types)};

    return choose(&table, offered, n_offered, has, error);
}

const VcpRfbSecurity *
vcp_rfb_choose_sub_type(const guint32 *offered, gsize n_offered, unsigned has, GError **error)
{
    static const Table table = {"VeNCrypt sub-type", sub_types, G_N_ELEMENTS(sub_types)};

    return choose(&table, offered, n_offered, has, error);
}
