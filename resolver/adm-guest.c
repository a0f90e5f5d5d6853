/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Guests and their metadata, from libvirt and back. */
#include "resolver/adm-guest.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "common/error.h"
#include "resolver/adm-plan.h"

gboolean
vcr_adm_fail(GError **error, const char *what)
{
    g_set_error(error, VC_ERROR, VC_ERROR_UNREACHABLE, "%s: %s", what,
                virGetLastErrorMessage());
    return FALSE;
}

static gboolean
failed_with(int code)
{
    const virError *last = virGetLastError();

    return last != NULL && last->code == code;
}

/* --- finding --- */

static VcrAdmGuest *
guest_new(virDomainPtr handle)
{
    VcrAdmGuest *self = g_new0(VcrAdmGuest, 1);

    self->handle = handle;
    self->name = virDomainGetName(handle);
    virDomainGetUUIDString(handle, self->uuid);
    return self;
}

static virDomainPtr
look_up(virConnectPtr connection, const char *what)
{
    guint64 id;
    virDomainPtr handle = virDomainLookupByName(connection, what);

    if (handle == NULL && failed_with(VIR_ERR_NO_DOMAIN) && g_uuid_string_is_valid(what))
        handle = virDomainLookupByUUIDString(connection, what);
    if (handle == NULL && failed_with(VIR_ERR_NO_DOMAIN) &&
        g_ascii_string_to_unsigned(what, 10, 0, G_MAXINT, &id, NULL))
        handle = virDomainLookupByID(connection, (int)id);
    return handle;
}

VcrAdmGuest *
vcr_adm_guest_find(virConnectPtr connection, const char *what, GError **error)
{
    virDomainPtr handle = look_up(connection, what);

    if (handle != NULL)
        return guest_new(handle);
    g_autofree char *text = g_strdup_printf("domain '%s'", what);
    vcr_adm_fail(error, text);
    return NULL;
}

VcrAdmGuest *
vcr_adm_guest_find_uuid(virConnectPtr connection, const char *uuid, GError **error)
{
    virDomainPtr handle = virDomainLookupByUUIDString(connection, uuid);

    if (handle != NULL)
        return guest_new(handle);
    if (!failed_with(VIR_ERR_NO_DOMAIN))
        vcr_adm_fail(error, "looking for a domain");
    return NULL;
}

static void
free_guest(gpointer guest)
{
    vcr_adm_guest_free(guest);
}

GPtrArray *
vcr_adm_guest_list(virConnectPtr connection, GError **error)
{
    virDomainPtr *handles = NULL;
    int n = virConnectListAllDomains(connection, &handles, 0);

    if (n < 0) {
        vcr_adm_fail(error, "listing domains");
        return NULL;
    }
    GPtrArray *guests = g_ptr_array_new_with_free_func(free_guest);
    for (int i = 0; i < n; i++)
        g_ptr_array_add(guests, guest_new(handles[i]));
    free(handles);
    return guests;
}

/* --- reading --- */

static void
metadata_clear(VcrAdmMetadata *self)
{
    g_clear_pointer(&self->xml, free); /* libvirt's */
    g_clear_pointer(&self->consoles, g_ptr_array_unref);
}

static void
forget(VcrAdmGuest *self)
{
    g_clear_pointer(&self->domain, vcr_domain_free);
    metadata_clear(&self->live);
    metadata_clear(&self->config);
}

static gboolean
read_metadata(VcrAdmGuest *self, VcrAdmMetadata *to, virDomainModificationImpact where,
              GPtrArray *notes, GError **error)
{
    g_autoptr(GError) why = NULL;

    to->xml = virDomainGetMetadata(self->handle, VIR_DOMAIN_METADATA_ELEMENT,
                                   VCR_METADATA_NAMESPACE, where);
    if (to->xml == NULL)
        return failed_with(VIR_ERR_NO_DOMAIN_METADATA) ||
               vcr_adm_fail(error, "reading metadata");
    to->consoles = vcr_metadata_parse(to->xml, notes, &why);
    if (to->consoles == NULL && notes != NULL)
        g_ptr_array_add(notes, g_strdup_printf("metadata: %s", why->message));
    return TRUE;
}

static gboolean
read_state(VcrAdmGuest *self, GError **error)
{
    int active = virDomainIsActive(self->handle);
    int persistent = active < 0 ? -1 : virDomainIsPersistent(self->handle);

    if (persistent < 0)
        return vcr_adm_fail(error, "reading the domain's state");
    self->is_active = active == 1;
    self->is_persistent = persistent == 1;
    return TRUE;
}

static gboolean
read_xml(VcrAdmGuest *self, GError **error)
{
    char *xml = virDomainGetXMLDesc(self->handle, 0);

    if (xml == NULL)
        return vcr_adm_fail(error, "reading the domain");
    self->domain = vcr_domain_parse(xml, error);
    free(xml);
    return self->domain != NULL;
}

gboolean
vcr_adm_guest_read(VcrAdmGuest *self, GPtrArray *notes, GError **error)
{
    forget(self);
    if (!read_state(self, error) || !read_xml(self, error))
        return FALSE;
    if (self->is_active &&
        !read_metadata(self, &self->live, VIR_DOMAIN_AFFECT_LIVE, notes, error))
        return FALSE;
    /* what is wrong with both is said once */
    return !self->is_persistent || read_metadata(self, &self->config, VIR_DOMAIN_AFFECT_CONFIG,
                                                 self->is_active ? NULL : notes, error);
}

const VcrAdmMetadata *
vcr_adm_guest_current(const VcrAdmGuest *self)
{
    return self->is_active ? &self->live : &self->config;
}

gboolean
vcr_adm_guest_has_metadata(const VcrAdmGuest *self)
{
    return self->live.xml != NULL || self->config.xml != NULL;
}

static gboolean
is_written_at(const VcrAdmMetadata *metadata, const GPtrArray *consoles)
{
    /* metadata that makes no sense is not the same as none */
    return (metadata->xml == NULL) == (consoles == NULL) &&
           vcr_plan_is_same(metadata->consoles, consoles);
}

gboolean
vcr_adm_guest_is_written(const VcrAdmGuest *self, const GPtrArray *consoles)
{
    return (!self->is_active || is_written_at(&self->live, consoles)) &&
           (!self->is_persistent || is_written_at(&self->config, consoles));
}

/* --- writing --- */

static gboolean
set_metadata(const VcrAdmGuest *self, const char *xml, unsigned int where)
{
    return virDomainSetMetadata(self->handle, VIR_DOMAIN_METADATA_ELEMENT, xml,
                                xml != NULL ? VCR_METADATA_PREFIX : NULL,
                                VCR_METADATA_NAMESPACE, where) == 0;
}

/* libvirt changes the live domain first: where the disk is full, only one of the two changed.
 */
static void
put_back(const VcrAdmGuest *self)
{
    if (self->is_active)
        set_metadata(self, self->live.xml, VIR_DOMAIN_AFFECT_LIVE);
    if (self->is_persistent)
        set_metadata(self, self->config.xml, VIR_DOMAIN_AFFECT_CONFIG);
}

gboolean
vcr_adm_guest_write(const VcrAdmGuest *self, const GPtrArray *consoles, GError **error)
{
    g_autofree char *xml = consoles != NULL ? vcr_metadata_format(consoles) : NULL;
    unsigned int where = (self->is_active ? VIR_DOMAIN_AFFECT_LIVE : 0u) |
                         (self->is_persistent ? VIR_DOMAIN_AFFECT_CONFIG : 0u);

    if (set_metadata(self, xml, where))
        return TRUE;
    vcr_adm_fail(error, "writing metadata");
    put_back(self);
    return FALSE;
}

void
vcr_adm_guest_free(VcrAdmGuest *self)
{
    if (self == NULL)
        return;
    forget(self);
    virDomainFree(self->handle);
    g_free(self);
}
