/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Services from JSON and back: the one file that knows the fields' names. */
#include "common/service.h"

#include <string.h>

#include "common/address.h"
#include "common/error.h"
#include "common/token.h"

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

static gboolean
read_address(const json_t *json, VcService *self, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (!read_string(json, "address", &self->address, error))
        return FALSE;
    if (self->address == NULL)
        return wrong(error, "address", "is missing");
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
        !read_string(json, "password", &self->password, error) ||
        !read_server_name(json, self, error) || !read_expires(json, &self->expires_s, error))
        return NULL;
    return g_steal_pointer(&self);
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
    if (self->password != NULL)
        json_object_set_new(json, "password", json_string(self->password));
    if (self->tls_server_name != NULL)
        json_object_set_new(json, "tlsServerName", json_string(self->tls_server_name));
    if (self->expires_s != 0) {
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(self->expires_s);
        g_autofree char *text = g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ");
        json_object_set_new(json, "expires", json_string(text));
    }
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
    g_free(self->tls_server_name);
    g_free(self);
}

const char *
vc_service_verify_name(const VcService *self)
{
    return self->tls_server_name != NULL ? self->tls_server_name : self->host;
}

gboolean
vc_service_has_expired(const VcService *self, gint64 now_s)
{
    return self->expires_s != 0 && now_s >= self->expires_s;
}
