/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The table of options, and the checks between them. */
#include "resolver/config.h"

#include <string.h>

#include "common/address.h"
#include "common/error.h"
#include "common/log.h"
#include "common/options.h"

#define PKI "/etc/pki/libvirt-console-proxy/"

#define AT(field) G_STRUCT_OFFSET(VcrConfig, field)
#define FLAG(name, field, help)                                                                \
    {                                                                                          \
        name, 0, VC_OPTION_BOOLEAN, AT(field), NULL, 0, 0, NULL, help                          \
    }
#define TEXT(name, field, def, arg, help)                                                      \
    {                                                                                          \
        name, 0, VC_OPTION_STRING, AT(field), def, 0, 0, arg, help                             \
    }
#define LIST(name, field, def, arg, help)                                                      \
    {                                                                                          \
        name, 0, VC_OPTION_STRINGS, AT(field), def, 0, 0, arg, help                            \
    }

/* clang-format off */
static const VcOption options[] = {
    LIST("listen-addr", listen_addr, "[::]:8081", "ADDRESS", "Where to listen: host:port, [v6]:port or unix:PATH; repeatable"),
    FLAG("listen-insecure", listen_insecure, "Serve clear text instead of TLS, to whoever asks"),
    TEXT("listen-tls-cert", listen_tls_cert, PKI "server-cert.pem", "FILE", "Certificate chain shown to proxies"),
    TEXT("listen-tls-key", listen_tls_key, PKI "server-key.pem", "FILE", "Its private key"),
    TEXT("listen-tls-ca", listen_tls_ca, PKI "server-ca.pem", "FILE", "CA of the proxies' certificates"),
    FLAG("listen-no-verify-client", listen_no_verify_client, "Answer clients without a certificate too"),
    LIST("allowed-client", allowed_client, NULL, "NAME", "Answer only clients whose certificate has this subject or alternative name; repeatable (every certificate of the CA)"),
    LIST("connect", connect, "qemu:///system", "URI", "libvirtd whose guests are served; repeatable"),
    LIST("domain-address", domain_address, NULL, "URI=HOST", "Host under which proxies reach the guests of the libvirtd at URI; repeatable (its host name)"),
    {"verbose", 'v', VC_OPTION_BOOLEAN, AT(verbose), NULL, 0, 0, NULL, "The same as --log-level info"},
    TEXT("log-level", log_level, "message", "LEVEL", "error, warning, message, info or debug"),
    FLAG("version", version, "Print the version and exit"),
    {0},
};
/* clang-format on */

static gboolean
wrong(GError **error, const char *flag, const char *value, const char *why)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "--%s %s: %s", flag, value, why);
    return FALSE;
}

/* Two connections to one libvirtd would offer every console twice. */
static gboolean
check_connect(VcrConfig *self, GError **error)
{
    for (char **uri = self->connect; *uri != NULL; uri++) {
        if ((*uri)[0] == '\0')
            return wrong(error, "connect", "\"\"", "must be the URI of a libvirtd");
        for (char **other = uri + 1; *other != NULL; other++) {
            if (strcmp(*uri, *other) == 0)
                return wrong(error, "connect", *uri, "is given twice");
        }
    }
    return TRUE;
}

/* URIs contain equal signs, hosts do not. */
static gboolean
check_domain_address(VcrConfig *self, const char *text, GError **error)
{
    const char *equals = strrchr(text, '=');

    if (equals == NULL || equals == text)
        return wrong(error, "domain-address", text, "must be URI=HOST");
    g_autofree char *uri = g_strndup(text, (gsize)(equals - text));
    const char *host = equals + 1;
    if (!g_strv_contains((const char *const *)self->connect, uri))
        return wrong(error, "domain-address", text, "no --connect has this URI");
    if (!vc_address_is_host(host))
        return wrong(error, "domain-address", text,
                     "must end in a host name or an address without brackets or port");
    if (g_hash_table_contains(self->addresses, uri))
        return wrong(error, "domain-address", text, "the URI has an address already");
    g_hash_table_insert(self->addresses, g_steal_pointer(&uri), g_strdup(host));
    return TRUE;
}

static gboolean
check_domain_addresses(VcrConfig *self, GError **error)
{
    self->addresses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (char **text = self->domain_address; *text != NULL; text++) {
        if (!check_domain_address(self, *text, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
check_clients(VcrConfig *self, GError **error)
{
    if (self->allowed_client[0] == NULL)
        return TRUE;
    if (self->listen_insecure)
        return wrong(error, "allowed-client", self->allowed_client[0],
                     "there are no certificates with --listen-insecure");
    return !self->listen_no_verify_client ||
           wrong(error, "allowed-client", self->allowed_client[0],
                 "nobody is checked with --listen-no-verify-client");
}

static gboolean
check_log_level(VcrConfig *self, GError **error)
{
    if (!vc_log_parse_level(self->log_level, &self->shown))
        return wrong(error, "log-level", self->log_level,
                     "must be error, warning, message, info or debug");
    if (self->verbose)
        self->shown = MAX(self->shown, G_LOG_LEVEL_INFO);
    return TRUE;
}

VcrConfig *
vcr_config_parse(int argc, char **argv, GError **error)
{
    static const char *const summary =
        "Tells console proxies which guest's console a token stands for, as libvirt's guests "
        "and\nsecrets have it (see virtconsoleresolveradm).";
    g_autoptr(VcrConfig) self = g_new0(VcrConfig, 1);

    if (!vc_options_parse(options, self, argc, argv, summary, error) ||
        !check_connect(self, error) || !check_domain_addresses(self, error) ||
        !check_clients(self, error) || !check_log_level(self, error))
        return NULL;
    return g_steal_pointer(&self);
}

void
vcr_config_free(VcrConfig *self)
{
    if (self == NULL)
        return;
    vc_options_clear(options, self);
    g_clear_pointer(&self->addresses, g_hash_table_unref);
    g_free(self);
}
