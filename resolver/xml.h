/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Small XML documents from libvirt, by libxml2: no network, no document types, no entities of
 * their own. */
#pragma once

#include <glib.h>
#include <libxml/tree.h>

/* Makes libxml2 ready, and lets it overwrite what it frees: documents may hold passwords. Main
 * thread, once, before its first use, libvirt's included. */
void vcr_xml_init(void);

/* NULL with VC_ERROR_CONFIG where the text is longer than max_length bytes, not well-formed, or
 * brings a document type along. Any thread. */
xmlDoc *vcr_xml_parse(const char *text, gsize max_length, GError **error);

/* The element's name, whatever its prefix. */
gboolean vcr_xml_is(const xmlNode *node, const char *name);

/* The next element of that name, node itself included; NULL: none. */
const xmlNode *vcr_xml_find(const xmlNode *node /* nullable */, const char *name);

/* An attribute without a namespace (full), or NULL. */
char *vcr_xml_attribute(const xmlNode *node, const char *name);

/* Whether the attribute is there and has this value. */
gboolean vcr_xml_attribute_is(const xmlNode *node, const char *name, const char *value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
