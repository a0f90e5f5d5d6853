/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Secrets: listed, judged, made, renewed, removed. */
#include "resolver/adm-secret.h"

#include <gnutls/crypto.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "common/error.h"
#include "common/token.h"
#include "resolver/adm-guest.h"
#include "resolver/adm-plan.h"
#include "resolver/secret.h"
#include "resolver/xml.h"

#define MAX_XML (64 * 1024)

static gboolean
is_gone(void)
{
    const virError *last = virGetLastError();

    return last != NULL && last->code == VIR_ERR_NO_SECRET;
}

/* --- whose it is --- */

/* FALSE: it is none of ours. */
static gboolean
parse_description(const char *xml, VcrKind *kind, char **domain_uuid)
{
    g_autoptr(xmlDoc) document = vcr_xml_parse(xml, MAX_XML, NULL);
    const xmlNode *node =
        document != NULL ? vcr_xml_find(xmlDocGetRootElement(document)->children, "description")
                         : NULL;
    if (node == NULL)
        return FALSE;

    xmlChar *text = xmlNodeGetContent(node);
    gboolean parsed = text != NULL && vcr_secret_parse((char *)text, kind, domain_uuid);
    xmlFree(text);
    return parsed;
}

static void
free_secret(gpointer data)
{
    VcrAdmSecret *self = data;

    virSecretFree(self->handle);
    g_free(self->domain_uuid);
    g_free(self);
}

/* NULL without an error: it is none of ours, or gone by now. Takes the handle. */
static VcrAdmSecret *
secret_new(virSecretPtr handle, GError **error)
{
    VcrAdmSecret *self = g_new0(VcrAdmSecret, 1);
    char *xml = virSecretGetXMLDesc(handle, 0);

    self->handle = handle;
    virSecretGetUUIDString(handle, self->uuid);
    if (xml == NULL && !is_gone())
        vcr_adm_fail(error, "reading a secret");
    if (xml == NULL || !parse_description(xml, &self->kind, &self->domain_uuid))
        g_clear_pointer(&self, free_secret);
    free(xml);
    return self;
}

static gboolean
is_of(const VcrAdmSecret *secret, const char *domain_uuid)
{
    return domain_uuid == NULL || strcmp(secret->domain_uuid, domain_uuid) == 0;
}

GPtrArray *
vcr_adm_secret_list(virConnectPtr connection, const char *domain_uuid, GError **error)
{
    g_autoptr(GPtrArray) secrets = g_ptr_array_new_with_free_func(free_secret);
    g_autoptr(GError) why = NULL;
    virSecretPtr *handles = NULL;
    int n = virConnectListAllSecrets(connection, &handles, 0);

    if (n < 0) {
        vcr_adm_fail(error, "listing secrets");
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        VcrAdmSecret *secret = secret_new(handles[i], why == NULL ? &why : NULL);
        if (secret != NULL && is_of(secret, domain_uuid))
            g_ptr_array_add(secrets, secret);
        else
            g_clear_pointer(&secret, free_secret);
    }
    free(handles);
    if (why != NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
    return g_steal_pointer(&secrets);
}

/* --- what it is good for --- */

const char *
vcr_secret_state_name(VcrSecretState state)
{
    static const char *const names[VCR_N_SECRET_STATES] = {
        [VCR_SECRET_PRESENT] = "present",
        [VCR_SECRET_MISSING] = "missing",
        [VCR_SECRET_UNUSABLE] = "unusable",
    };

    return names[state];
}

static gboolean
holds_token(virConnectPtr connection, const char *uuid)
{
    char *token = vcr_secret_read(connection, uuid, NULL);
    gboolean holds = token != NULL;

    vc_secret_free(token);
    return holds;
}

gboolean
vcr_adm_secret_look(virConnectPtr connection, const char *uuid, const char *domain_uuid,
                    VcrSecretState *state, GError **error)
{
    g_autoptr(GError) why = NULL;
    virSecretPtr handle = virSecretLookupByUUIDString(connection, uuid);

    *state = VCR_SECRET_MISSING;
    if (handle == NULL)
        return is_gone() || vcr_adm_fail(error, "looking for a secret");
    VcrAdmSecret *ours = secret_new(handle, &why);
    if (why != NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (ours != NULL && !is_of(ours, domain_uuid))
        *state = VCR_SECRET_UNUSABLE;
    else if (holds_token(connection, uuid))
        *state = VCR_SECRET_PRESENT;
    else if (ours == NULL)
        *state = VCR_SECRET_UNUSABLE; /* never write over what is somebody else's */
    g_clear_pointer(&ours, free_secret);
    return TRUE;
}

/* --- making --- */

/* A random UUID: 122 bits from the generator for keys, which GLib's are not. */
static void
make_token(char token[VIR_UUID_STRING_BUFLEN])
{
    guint8 b[16];
    int failure = gnutls_rnd(GNUTLS_RND_KEY, b, sizeof b);

    g_assert(failure == 0);
    b[6] = (guint8)((b[6] & 0x0f) | 0x40);
    b[8] = (guint8)((b[8] & 0x3f) | 0x80);
    g_snprintf(token, VIR_UUID_STRING_BUFLEN,
               "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
               b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
               b[14], b[15]);
    explicit_bzero(b, sizeof b);
}

gboolean
vcr_adm_secret_renew(virSecretPtr handle, GError **error)
{
    char token[VIR_UUID_STRING_BUFLEN];

    make_token(token);
    int result =
        virSecretSetValue(handle, (const unsigned char *)token, VIR_UUID_STRING_BUFLEN - 1, 0);
    explicit_bzero(token, sizeof token);
    return result == 0 || vcr_adm_fail(error, "writing a secret's value");
}

static virSecretPtr
define(virConnectPtr connection, VcrKind kind, const char *domain_uuid, const char *uuid)
{
    g_autofree char *description = vcr_secret_describe(kind, domain_uuid);
    g_autofree char *element =
        uuid != NULL ? g_strdup_printf("<uuid>%s</uuid>", uuid) : g_strdup("");
    g_autofree char *xml =
        g_strdup_printf("<secret ephemeral='no' private='no'>%s<description>%s</description>"
                        "</secret>",
                        element, description);

    return virSecretDefineXML(connection, xml, 0);
}

gboolean
vcr_adm_secret_make(virConnectPtr connection, VcrKind kind, const char *domain_uuid,
                    char **uuid, GError **error)
{
    virSecretPtr handle = define(connection, kind, domain_uuid, *uuid);

    if (handle == NULL)
        return vcr_adm_fail(error, "making a secret");
    gboolean done = vcr_adm_secret_renew(handle, error);
    if (!done)
        virSecretUndefine(handle);
    else if (*uuid == NULL) {
        *uuid = g_malloc(VIR_UUID_STRING_BUFLEN);
        virSecretGetUUIDString(handle, *uuid);
    }
    virSecretFree(handle);
    return done;
}

gboolean
vcr_adm_secret_remove(virConnectPtr connection, const char *uuid, GError **error)
{
    virSecretPtr handle = virSecretLookupByUUIDString(connection, uuid);

    if (handle == NULL)
        return is_gone() || vcr_adm_fail(error, "looking for a secret");
    int result = virSecretUndefine(handle);
    gboolean done = result == 0 || is_gone() || vcr_adm_fail(error, "removing a secret");
    virSecretFree(handle);
    return done;
}
