/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The table of options, and the checks between them. */
#include "resolver/config.h"

#include <string.h>

#include "common/address.h"
#include "common/error.h"

#define PKI "/etc/pki/libvirt-console-proxy/"

#define AT(field) G_STRUCT_OFFSET(VcrConfig, field)
/* clang-format off */
static const VcOption options[] = {
    LIST("listen-addr", listen_addr, "[::]:8081", "ADDRESS", "Where to listen: host:port, [v6]:port or unix:PATH; repeatable"),
    FLAG("listen-insecure", listen_insecure, "Serve clear text instead of TLS, to whoever asks"),
    TEXT("listen-tls-cert", listen_tls_cert, PKI "server-cert.pem", "FILE", "Certificate chain shown to proxies"),
    TEXT("listen-tls-key", listen_tls_key, PKI "server-key.pem", "FILE", "Its private key"),
    TEXT("listen-tls-ca", listen_tls_ca, PKI "server-ca.pem", "FILE", "CA of the proxies' certificates"),
    TEXT("listen-tls-crl", listen_tls_crl, NULL, "FILE", "Proxies' certificates that are revoked"),
    FLAG("listen-no-verify-client", listen_no_verify_client, "Answer clients without a certificate too"),
    LIST("allowed-client", allowed_client, NULL, "NAME", "Answer only clients whose certificate has this subject or alternative name; repeatable (every certificate of the CA)"),
    LIST("connect", connect, "qemu:///system", "URI", "libvirtd whose guests are served; repeatable"),
    LIST("domain-address", domain_address, NULL, "URI=HOST", "Host under which proxies reach the guests of the libvirtd at URI; repeatable (its host name)"),
    VC_DAEMON_ROWS,
    {0},
};
/* clang-format on */

/* Of these a reload only says that they have changed. */
static const char *const at_start[] = {
    "listen-addr", "listen-insecure", "listen-no-verify-client",
    "connect",     "domain-address",  NULL,
};

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

VcrConfig *
vcr_config_parse(int argc, char **argv, GError **error)
{
    static const char *const summary =
        "Tells console proxies which guest's console a token stands for, as libvirt's guests "
        "and\nsecrets have it (see virtconsoleresolveradm).";
    g_autoptr(VcrConfig) self = g_new0(VcrConfig, 1);

    self->refs = 1;
    if (!vc_daemon_options_parse(&self->common, options, self, "resolver", argc, argv, summary,
                                 error))
        return NULL;
    if (!check_connect(self, error) || !check_domain_addresses(self, error) ||
        !check_clients(self, error)) {
        vc_option_file_locate(self->common.file, error);
        return NULL;
    }
    return g_steal_pointer(&self);
}

VcrConfig *
vcr_config_reload(const VcrConfig *started, GError **error)
{
    char **arguments = started->common.arguments;
    VcrConfig *fresh = vcr_config_parse((int)g_strv_length(arguments), arguments, error);

    if (fresh != NULL)
        vc_daemon_options_warn_of_restart(options, at_start, started, fresh);
    return fresh;
}

VcrConfig *
vcr_config_ref(VcrConfig *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

void
vcr_config_unref(VcrConfig *self)
{
    if (self == NULL || !g_atomic_int_dec_and_test(&self->refs))
        return;
    vc_daemon_options_clear(&self->common);
    vc_options_clear(options, self);
    g_clear_pointer(&self->addresses, g_hash_table_unref);
    g_free(self);
}
