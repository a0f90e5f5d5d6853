/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Services from JSON and back: the one file that knows the fields' names. */
#include "common/service.h"

#include <string.h>
#include <sys/un.h>

#include "common/address.h"
#include "common/error.h"
#include "common/token.h"

#define UNIX      "unix:"
#define MAX_INDEX 65535
#define MAX_NAME  64

#define MAX_SECONDS 31622400 /* a year */

/* 9999-12-31T23:59:59Z: the last second that RFC 3339 can write down. */
#define LAST_S G_GINT64_CONSTANT(253402300799)

static const char *const type_names[] = {
    [VC_CONSOLE_VNC] = "vnc",
    [VC_CONSOLE_SPICE] = "spice",
    [VC_CONSOLE_SERIAL] = "serial",
};

const char *
vc_console_type_name(VcConsoleType type)
{
    return type_names[type];
}

static gboolean
wrong(GError **error, const char *field, const char *what)
{
    g_set_error(error, VC_ERROR, VC_ERROR_RESOLVER, "service field \"%s\": %s", field, what);
    return FALSE;
}

/* An absent or null field leaves *value as it is. */
static gboolean
read_boolean(const json_t *json, const char *field, gboolean *value, GError **error)
{
    const json_t *found = json_object_get(json, field);

    if (found == NULL || json_is_null(found))
        return TRUE;
    if (!json_is_boolean(found))
        return wrong(error, field, "must be true or false");
    *value = json_is_true(found);
    return TRUE;
}

static gboolean
read_string(const json_t *json, const char *field, char **value /* full */, GError **error)
{
    const json_t *found = json_object_get(json, field);

    if (found == NULL || json_is_null(found))
        return TRUE;
    if (!json_is_string(found))
        return wrong(error, field, "must be a string");
    if (strlen(json_string_value(found)) != json_string_length(found))
        return wrong(error, field, "must not contain a NUL character");
    *value = g_strdup(json_string_value(found));
    return TRUE;
}

static gboolean
read_type(const json_t *json, VcConsoleType *type, GError **error)
{
    g_autofree char *name = NULL;

    if (!read_string(json, "type", &name, error))
        return FALSE;
    for (gsize i = 0; name != NULL && i < G_N_ELEMENTS(type_names); i++) {
        if (strcmp(name, type_names[i]) == 0) {
            *type = (VcConsoleType)i;
            return TRUE;
        }
    }
    return wrong(error, "type", "must be \"vnc\", \"spice\" or \"serial\"");
}

/* It is logged, so nothing in it may break a line or look like something else. */
static gboolean
is_socket_path(const char *path)
{
    for (const char *at = path; *at != '\0'; at++) {
        if (!g_ascii_isgraph(*at))
            return FALSE;
    }
    return path[0] == '/' && strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

static gboolean
read_socket_path(VcService *self, GError **error)
{
    const char *path = self->address + strlen(UNIX);

    if (self->type != VC_CONSOLE_SERIAL)
        return wrong(error, "address", "may be a unix socket for serial consoles only");
    if (!is_socket_path(path))
        return wrong(error, "address",
                     "must have an absolute path of printable ASCII after unix:");
    self->path = g_strdup(path);
    return TRUE;
}

static gboolean
read_address(const json_t *json, VcService *self, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (!read_string(json, "address", &self->address, error))
        return FALSE;
    if (self->address == NULL)
        return wrong(error, "address", "is missing");
    if (g_str_has_prefix(self->address, UNIX "/"))
        return read_socket_path(self, error);
    if (!vc_address_split(self->address, &self->host, &self->port, &why))
        return wrong(error, "address", why->message);
    return TRUE;
}

static gboolean
read_expires(const json_t *json, gint64 *expires_s, GError **error)
{
    g_autofree char *text = NULL;

    if (!read_string(json, "expires", &text, error))
        return FALSE;
    if (text == NULL)
        return TRUE;

    /* Without a zone of its own a time would depend on where the proxy runs; RFC 3339 demands
     * one. */
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, NULL);
    if (time == NULL)
        return wrong(error, "expires",
                     "must be a time as in RFC 3339, such as 2030-01-31T12:00:00Z");
    *expires_s = CLAMP(g_date_time_to_unix(time), 1, LAST_S);
    return TRUE;
}

/* An absent or null field leaves *seconds as it is. */
static gboolean
read_seconds(const json_t *json, const char *field, guint *seconds, GError **error)
{
    const json_t *found = json_object_get(json, field);

    if (found == NULL || json_is_null(found))
        return TRUE;
    if (!json_is_integer(found) || json_integer_value(found) < 1 ||
        json_integer_value(found) > MAX_SECONDS)
        return wrong(error, field, "must be a number of seconds from 1 to 31622400");
    *seconds = (guint)json_integer_value(found);
    return TRUE;
}

static gboolean
read_server_name(const json_t *json, VcService *self, GError **error)
{
    if (!read_string(json, "tlsServerName", &self->tls_server_name, error))
        return FALSE;
    /* An empty name would turn the check of the certificate's name off. */
    if (self->tls_server_name != NULL && !vc_address_is_host(self->tls_server_name))
        return wrong(error, "tlsServerName", "must be a host name or an IP address");
    return TRUE;
}

static gboolean
read_tls_subject(const json_t *json, VcService *self, GError **error)
{
    if (!read_string(json, "tlsSubject", &self->tls_subject, error))
        return FALSE;
    if (self->tls_subject != NULL && self->tls_subject[0] == '\0')
        return wrong(error, "tlsSubject", "must not be empty");
    return TRUE;
}

static gboolean
read_exclusive(const json_t *json, VcService *self, GError **error)
{
    gboolean exclusive = TRUE;

    if (!read_boolean(json, "exclusive", &exclusive, error))
        return FALSE;
    self->shared = !exclusive;
    return TRUE;
}

static gboolean
read_single_use(const json_t *json, VcService *self, GError **error)
{
    const json_t *found = json_object_get(json, "singleUse");
    gboolean single = FALSE;

    if (found == NULL || json_is_null(found))
        return TRUE;
    if (!read_boolean(json, "singleUse", &single, error))
        return FALSE;
    self->token_use = single ? VC_TOKEN_USE_SINGLE : VC_TOKEN_USE_MULTI;
    return TRUE;
}

/* *object: NULL where it is absent. */
static gboolean
read_object(const json_t *json, const char *field, const json_t **object, GError **error)
{
    *object = json_object_get(json, field);
    if (*object == NULL || json_is_null(*object)) {
        *object = NULL;
        return TRUE;
    }
    return json_is_object(*object) || wrong(error, field, "must be an object");
}

static gboolean
read_domain(const json_t *json, VcService *self, GError **error)
{
    const json_t *domain;
    g_autofree char *uuid = NULL;

    if (!read_object(json, "domain", &domain, error))
        return FALSE;
    if (!read_string(domain, "uuid", &uuid, error) ||
        !read_string(domain, "name", &self->domain_name, error) ||
        !read_string(domain, "host", &self->domain_host, error)) {
        g_prefix_error(error, "in \"domain\": ");
        return FALSE;
    }
    if (uuid == NULL)
        return TRUE;
    if (!g_uuid_string_is_valid(uuid))
        return wrong(error, "domain", "its uuid must be a UUID");
    self->domain_uuid = g_ascii_strdown(uuid, -1);
    return TRUE;
}

static gboolean
is_device_name(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (!g_ascii_isalnum(*at) && strchr("-_", *at) == NULL)
            return FALSE;
    }
    return *text != '\0' && strlen(text) <= MAX_NAME;
}

static gboolean
read_console(const json_t *json, VcService *self, GError **error)
{
    const json_t *console;

    if (!read_object(json, "console", &console, error))
        return FALSE;
    if (console == NULL)
        return TRUE;
    if (!read_string(console, "type", &self->console_type, error)) {
        g_prefix_error(error, "in \"console\": ");
        return FALSE;
    }
    if (self->console_type == NULL || !is_device_name(self->console_type))
        return wrong(error, "console", "its type must be a word such as \"serial\"");

    const json_t *index = json_object_get(console, "index");
    if (index == NULL || json_is_null(index))
        return TRUE;
    if (!json_is_integer(index) || json_integer_value(index) < 0 ||
        json_integer_value(index) > MAX_INDEX)
        return wrong(error, "console", "its index must be a number from 0 to 65535");
    self->console_index = (guint)json_integer_value(index);
    return TRUE;
}

/* What one field rules out for another. */
static gboolean
check_together(const VcService *self, GError **error)
{
    if (self->path != NULL && self->tls_tunnel)
        return wrong(error, "tlsTunnel", "there is no TLS on a unix socket");
    return TRUE;
}

VcService *
vc_service_new(VcConsoleType type, const char *host, guint16 port, GError **error)
{
    if (!vc_address_is_host(host)) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                    "\"%s\" is neither a host name nor an address", host);
        return NULL;
    }
    VcService *self = g_new0(VcService, 1);
    self->refs = 1;
    self->type = type;
    self->host = g_strdup(host);
    self->port = port;
    self->address =
        g_strdup_printf(strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    return self;
}

VcService *
vc_service_from_json(const json_t *json, GError **error)
{
    g_autoptr(VcService) self = g_new0(VcService, 1);

    self->refs = 1;
    if (!json_is_object(json)) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_RESOLVER,
                            "a service must be a JSON object");
        return NULL;
    }
    if (!read_type(json, &self->type, error) || !read_address(json, self, error) ||
        !read_boolean(json, "insecure", &self->insecure, error) ||
        !read_boolean(json, "tlsTunnel", &self->tls_tunnel, error) ||
        !read_boolean(json, "powerControl", &self->power_control, error) ||
        !read_boolean(json, "telnet", &self->telnet, error) ||
        !read_exclusive(json, self, error) || !read_single_use(json, self, error) ||
        !read_string(json, "password", &self->password, error) ||
        !read_server_name(json, self, error) || !read_tls_subject(json, self, error) ||
        !read_expires(json, &self->expires_s, error) ||
        !read_seconds(json, "idleTimeout", &self->idle_timeout_s, error) ||
        !read_seconds(json, "sessionLimit", &self->session_limit_s, error) ||
        !read_domain(json, self, error) || !read_console(json, self, error) ||
        !check_together(self, error))
        return NULL;
    return g_steal_pointer(&self);
}

static void
set_string(json_t *json, const char *field, const char *value /* nullable */)
{
    if (value != NULL)
        json_object_set_new(json, field, json_string(value));
}

static void
set_seconds(json_t *json, const char *field, guint seconds)
{
    if (seconds != 0)
        json_object_set_new(json, field, json_integer(seconds));
}

static void
set_domain(json_t *json, const VcService *self)
{
    json_t *domain = json_object();

    set_string(domain, "uuid", self->domain_uuid);
    set_string(domain, "name", self->domain_name);
    set_string(domain, "host", self->domain_host);
    if (json_object_size(domain) > 0)
        json_object_set(json, "domain", domain);
    json_decref(domain);
}

json_t *
vc_service_to_json(const VcService *self)
{
    json_t *json = json_object();

    json_object_set_new(json, "type", json_string(vc_console_type_name(self->type)));
    json_object_set_new(json, "address", json_string(self->address));
    json_object_set_new(json, "insecure", json_boolean(self->insecure));
    if (self->tls_tunnel)
        json_object_set_new(json, "tlsTunnel", json_true());
    if (self->power_control)
        json_object_set_new(json, "powerControl", json_true());
    if (self->telnet)
        json_object_set_new(json, "telnet", json_true());
    if (self->shared)
        json_object_set_new(json, "exclusive", json_false());
    if (self->token_use != VC_TOKEN_USE_DEFAULT)
        json_object_set_new(json, "singleUse",
                            json_boolean(self->token_use == VC_TOKEN_USE_SINGLE));
    set_string(json, "password", self->password);
    set_string(json, "tlsServerName", self->tls_server_name);
    set_string(json, "tlsSubject", self->tls_subject);
    if (self->expires_s != 0) {
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(self->expires_s);
        g_autofree char *text = g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ");
        json_object_set_new(json, "expires", json_string(text));
    }
    set_seconds(json, "idleTimeout", self->idle_timeout_s);
    set_seconds(json, "sessionLimit", self->session_limit_s);
    set_domain(json, self);
    if (self->console_type != NULL)
        json_object_set_new(json, "console",
                            json_pack("{s:s, s:i}", "type", self->console_type, "index",
                                      (int)self->console_index));
    return json;
}

json_t *
vc_service_to_json_with(const VcService *self, const char *password)
{
    json_t *json = vc_service_to_json(self);

    set_string(json, "password", password);
    return json;
}

VcService *
vc_service_ref(VcService *self)
{
    g_atomic_int_inc(&self->refs);
    return self;
}

void
vc_service_unref(VcService *self)
{
    if (self == NULL || !g_atomic_int_dec_and_test(&self->refs))
        return;
    vc_secret_free(self->password);
    g_free(self->address);
    g_free(self->host);
    g_free(self->path);
    g_free(self->tls_server_name);
    g_free(self->tls_subject);
    g_free(self->domain_uuid);
    g_free(self->domain_name);
    g_free(self->domain_host);
    g_free(self->console_type);
    g_free(self);
}

char *
vc_service_console_key(const VcService *self)
{
    if (self->domain_uuid == NULL || self->console_type == NULL)
        return g_strdup(self->address);
    return g_strdup_printf("%s/%s/%u", self->domain_uuid, self->console_type,
                           self->console_index);
}

gboolean
vc_service_is_same_place(const VcService *self, const VcService *other)
{
    g_autofree char *key = vc_service_console_key(self);
    g_autofree char *other_key = vc_service_console_key(other);

    return self->type == other->type && strcmp(self->address, other->address) == 0 &&
           strcmp(key, other_key) == 0;
}

gboolean
vc_service_has_same_terms(const VcService *self, const VcService *other)
{
    return self->expires_s == other->expires_s &&
           self->idle_timeout_s == other->idle_timeout_s &&
           self->session_limit_s == other->session_limit_s;
}

const char *
vc_service_verify_name(const VcService *self)
{
    return self->tls_server_name != NULL ? self->tls_server_name : self->host;
}

/* VNC begins in the clear and turns to TLS by itself; a unix socket stays on this machine. */
gboolean
vc_service_begins_with_tls(const VcService *self)
{
    return self->tls_tunnel ||
           (self->type != VC_CONSOLE_VNC && !self->insecure && self->path == NULL);
}

gboolean
vc_service_has_expired(const VcService *self, gint64 now_s)
{
    return self->expires_s != 0 && now_s >= self->expires_s;
}
