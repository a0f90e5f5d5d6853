/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Reading of guests. */
#include "resolver/guest.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "common/error.h"
#include "resolver/connection.h"
#include "resolver/secret.h"

typedef struct _virDomain VcrLibvirtDomain;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VcrLibvirtDomain, virDomainFree)

void
vcr_guest_free(VcrGuest *self)
{
    if (self == NULL)
        return;
    g_ptr_array_unref(self->records);
    g_ptr_array_unref(self->secrets);
    g_ptr_array_unref(self->absent);
    g_free(self->problems);
    g_free(self);
}

static VcrGuest *
guest_new(void)
{
    VcrGuest *self = g_new0(VcrGuest, 1);

    self->records = g_ptr_array_new_with_free_func((GDestroyNotify)vcr_record_unref);
    self->secrets = g_ptr_array_new_with_free_func(g_free);
    self->absent = g_ptr_array_new_with_free_func(g_free);
    return self;
}

gboolean
vcr_guest_names_secret(const VcrGuest *self, const char *uuid)
{
    return g_ptr_array_find_with_equal_func(self->secrets, uuid, g_str_equal, NULL);
}

gboolean
vcr_guest_lacks_secret(const VcrGuest *self, const char *uuid)
{
    return g_ptr_array_find_with_equal_func(self->absent, uuid, g_str_equal, NULL);
}

/* --- what libvirt says --- */

/* These say that there is nothing to offer; everything else that nothing is known. */
static gpointer
fail(GError **error, const char *what)
{
    const virError *why = virGetLastError();

    if (why != NULL &&
        (why->code == VIR_ERR_NO_DOMAIN || why->code == VIR_ERR_NO_DOMAIN_METADATA ||
         why->code == VIR_ERR_OPERATION_INVALID))
        g_set_error_literal(error, VC_ERROR, VC_ERROR_NOT_FOUND, why->message);
    else
        vcr_connection_set_error(error, what);
    return NULL;
}

/* With the password if this connection may see it; *text: full, may hold one. */
static char *
read_xml(virDomainPtr domain, GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE);
    const virError *why = virGetLastError();

    if (xml == NULL && why != NULL &&
        (why->code == VIR_ERR_OPERATION_DENIED || why->code == VIR_ERR_ACCESS_DENIED))
        xml = virDomainGetXMLDesc(domain, 0);
    return xml != NULL ? xml : fail(error, "its XML");
}

static VcrDomain *
read_domain(virDomainPtr domain, GError **error)
{
    char *xml = read_xml(domain, error);

    if (xml == NULL)
        return NULL;
    VcrDomain *parsed = vcr_domain_parse(xml, error);
    explicit_bzero(xml, strlen(xml));
    free(xml);
    return parsed;
}

static char *
read_metadata(virDomainPtr domain, GError **error)
{
    char *xml = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                     VCR_METADATA_NAMESPACE, VIR_DOMAIN_AFFECT_LIVE);

    return xml != NULL ? xml : fail(error, "its metadata");
}

static gboolean
read_state(virDomainPtr domain, gboolean *is_running, GError **error)
{
    int state, reason;

    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return fail(error, "its state") != NULL;
    if (state == VIR_DOMAIN_SHUTDOWN || state == VIR_DOMAIN_SHUTOFF) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_NOT_FOUND, "the guest is going down");
        return FALSE;
    }
    *is_running = state == VIR_DOMAIN_RUNNING;
    return TRUE;
}

/* --- records --- */

/* What the records of one guest have in common. */
typedef struct {
    const VcrGuestSource *source;
    VcrDomain *domain;
    gboolean is_running;
    VcrGuest *guest;
    GString *problems;
} Reading;

static void
complain(Reading *self, const VcrConsole *console, const char *why)
{
    g_string_append_printf(self->problems, "%s %u: %s\n", vcr_kind_name(console->kind),
                           console->index, why);
}

static char *
digest_of(char *token /* full */)
{
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(token, digest);
    vc_secret_free(token);
    return g_strdup(digest);
}

/* NULL where it has no usable token now; FALSE where libvirt did not say. */
static gboolean
find_digest(Reading *self, const VcrConsole *console, char **digest, GError **error)
{
    g_autoptr(GError) why = NULL;
    char *token = vcr_secret_read(self->source->connection, console->secret, &why);

    if (token != NULL) {
        *digest = digest_of(token);
        return TRUE;
    }
    /* One secret that may not be read costs one console; a lost connection tells nothing. */
    if (why->code == VC_ERROR_UNREACHABLE && virConnectIsAlive(self->source->connection) != 1) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (why->code == VC_ERROR_NOT_FOUND) {
        g_ptr_array_add(self->guest->absent, g_strdup(console->secret));
        *digest = self->source->foreign(console->secret, self->source->data);
    }
    if (*digest == NULL)
        complain(self, console, why->message);
    return TRUE;
}

static gboolean
has_password(const Reading *self, const VcrConsole *console)
{
    const VcrDevice *device = vcr_domain_find(self->domain, console->kind, console->index);

    return device != NULL && device->password != NULL;
}

static gboolean
add_console(Reading *self, const VcrConsole *console, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *digest = NULL;

    g_ptr_array_add(self->guest->secrets, g_strdup(console->secret));
    if (!find_digest(self, console, &digest, error))
        return FALSE;
    if (digest == NULL)
        return TRUE;
    VcService *service = vcr_offer(self->domain, console, &self->source->place, &why);
    if (service == NULL) {
        complain(self, console, why->message);
        return TRUE;
    }
    VcrRecord *record = vcr_record_new(digest, service);
    record->host = self->source->host;
    record->kind = console->kind;
    record->index = console->index;
    record->has_password = has_password(self, console);
    record->is_running = self->is_running;
    g_ptr_array_add(self->guest->records, record);
    return TRUE;
}

static gboolean
add_consoles(Reading *self, const char *metadata, GError **error)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) why = NULL;
    g_autoptr(GPtrArray) consoles = vcr_metadata_parse(metadata, problems, &why);

    if (consoles == NULL)
        g_string_append_printf(self->problems, "metadata: %s\n", why->message);
    for (guint i = 0; i < problems->len; i++)
        g_string_append_printf(self->problems, "metadata: %s\n",
                               (char *)g_ptr_array_index(problems, i));
    for (guint i = 0; consoles != NULL && i < consoles->len; i++) {
        if (!add_console(self, g_ptr_array_index(consoles, i), error))
            return FALSE;
    }
    return TRUE;
}

static VcrGuest *
read_guest(Reading *self, virDomainPtr domain, GError **error)
{
    g_autofree char *metadata = read_metadata(domain, error);

    g_autoptr(VcrDomain) parsed = metadata != NULL ? read_domain(domain, error) : NULL;
    /* last, for one that is going down has devices without ports */
    if (parsed == NULL || !read_state(domain, &self->is_running, error))
        return NULL;
    self->domain = parsed;

    g_autoptr(VcrGuest) guest = guest_new();
    self->guest = guest;
    if (!add_consoles(self, metadata, error))
        return NULL;
    guest->problems = g_strchomp(g_strdup(self->problems->str));
    return g_steal_pointer(&guest);
}

VcrGuest *
vcr_guest_read(const VcrGuestSource *source, const char *uuid, GError **error)
{
    g_autoptr(VcrLibvirtDomain) domain = virDomainLookupByUUIDString(source->connection, uuid);

    if (domain == NULL)
        return fail(error, "the guest");
    int is_active = virDomainIsActive(domain);
    if (is_active < 0)
        return fail(error, "whether it runs");
    if (is_active == 0) {
        g_set_error_literal(error, VC_ERROR, VC_ERROR_NOT_FOUND, "the guest is off");
        return NULL;
    }
    g_autoptr(GString) problems = g_string_new(NULL);
    Reading reading = {.source = source, .problems = problems};
    return read_guest(&reading, domain, error);
}
