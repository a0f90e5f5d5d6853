/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What we need of libxml2. */
#include "resolver/xml.h"

#include <libxml/parser.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

#define OPTIONS (XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)

static void
wipe_and_free(void *memory)
{
    if (memory != NULL)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

/* realloc() would leave a copy behind where it moves */
static void *
move(void *memory, size_t size)
{
    void *moved = malloc(size);

    if (memory != NULL && moved != NULL) {
        memcpy(moved, memory, MIN(size, malloc_usable_size(memory)));
        wipe_and_free(memory);
    }
    return moved;
}

void
vcr_xml_init(void)
{
    xmlMemSetup(wipe_and_free, malloc, move, strdup);
    xmlInitParser();
}

static xmlDoc *
wrong(GError **error, const char *what)
{
    g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG, what);
    return NULL;
}

xmlDoc *
vcr_xml_parse(const char *text, gsize max_length, GError **error)
{
    gsize length = strlen(text);

    if (length > max_length || length > G_MAXINT)
        return wrong(error, "the XML is too long");
    g_autoptr(xmlDoc) document = xmlReadMemory(text, (int)length, NULL, NULL, OPTIONS);
    if (document == NULL || xmlDocGetRootElement(document) == NULL)
        return wrong(error, "the XML is not well-formed");
    if (document->intSubset != NULL)
        return wrong(error, "the XML has a document type, which is not accepted");
    return g_steal_pointer(&document);
}

gboolean
vcr_xml_is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

const xmlNode *
vcr_xml_find(const xmlNode *node, const char *name)
{
    while (node != NULL && !vcr_xml_is(node, name))
        node = node->next;
    return node;
}

char *
vcr_xml_attribute(const xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetNoNsProp((xmlNode *)node, (const xmlChar *)name);

    if (value == NULL)
        return NULL;
    char *copy = g_strdup((const char *)value);
    /* it may be a password */
    explicit_bzero(value, strlen((const char *)value));
    xmlFree(value);
    return copy;
}

gboolean
vcr_xml_attribute_is(const xmlNode *node, const char *name, const char *value)
{
    g_autofree char *found = vcr_xml_attribute(node, name);

    return g_strcmp0(found, value) == 0;
}
