/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What is taken for XML, and what is found in it. */
#include "resolver/xml.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"

#define MAX_LENGTH 1024

static const struct {
    const char *name;
    const char *xml;
    gboolean is_right;
} rows[] = {
    {"element", "<a/>", TRUE},
    {"declaration", "<?xml version='1.0'?><a/>", TRUE},
    {"known-entities", "<a b='&lt;&#65;'/>", TRUE},
    {"empty", "", FALSE},
    {"text", "a", FALSE},
    {"comment", "<!-- a -->", FALSE},
    {"open", "<a>", FALSE},
    {"two-roots", "<a/><b/>", FALSE},
    {"document-type", "<!DOCTYPE a><a/>", FALSE},
    {"external", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", FALSE},
    {"external-entity", "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
     FALSE},
    {"many-laughs",
     "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;'>"
     "<!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;'><!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;'>]>"
     "<a b='&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;'>&e;&e;</a>",
     FALSE},
    {"unknown-entity", "<a>&b;</a>", FALSE},
    {"no-utf8", "<a b='\xff'/>", FALSE},
};

static void
test_parse(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(xmlDoc) document = vcr_xml_parse(rows[i].xml, MAX_LENGTH, &error);

    if (rows[i].is_right) {
        g_assert_no_error(error);
        g_assert_nonnull(document);
        return;
    }
    g_assert_null(document);
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
}

static void
test_length(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(xmlDoc) right = vcr_xml_parse("<a/>", 4, &error);
    g_assert_no_error(error);
    g_assert_nonnull(right);

    g_autoptr(xmlDoc) wrong = vcr_xml_parse("<a/>", 3, &error);
    g_assert_null(wrong);
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
}

static void
test_depth(void)
{
    g_autoptr(GString) deep = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < 10000; i++)
        g_string_append(deep, "<a>");
    for (guint i = 0; i < 10000; i++)
        g_string_append(deep, "</a>");
    g_assert_null(vcr_xml_parse(deep->str, deep->len, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
}

static void
test_nodes(void)
{
    g_autoptr(xmlDoc) document = vcr_xml_parse(
        "<x:a xmlns:x='urn:x' b='1' x:c='2'>text<!-- --><d/><e f=''/><d g='3'/></x:a>",
        MAX_LENGTH, NULL);
    const xmlNode *root = xmlDocGetRootElement(document);
    g_autofree char *b = vcr_xml_attribute(root, "b");
    g_autofree char *c = vcr_xml_attribute(root, "c");

    g_assert_true(vcr_xml_is(root, "a"));
    g_assert_false(vcr_xml_is(root, "b"));
    g_assert_false(vcr_xml_is(root->children, "text"));
    g_assert_cmpstr(b, ==, "1");
    g_assert_null(c); /* of a namespace */

    const xmlNode *first = vcr_xml_find(root->children, "d");
    const xmlNode *second = vcr_xml_find(first->next, "d");
    g_assert_true(vcr_xml_find(first, "d") == first);
    g_assert_true(vcr_xml_attribute_is(second, "g", "3"));
    g_assert_false(vcr_xml_attribute_is(second, "g", "4"));
    g_assert_false(vcr_xml_attribute_is(first, "g", "3"));
    g_assert_true(vcr_xml_attribute_is(vcr_xml_find(first, "e"), "f", ""));
    g_assert_null(vcr_xml_find(second->next, "d"));
    g_assert_null(vcr_xml_find(NULL, "d"));
}

/* --- memory --- */

/* The functions that libxml2 was given in place of malloc()'s. */
static void
test_memory(void)
{
    xmlFreeFunc give_back;
    xmlMallocFunc take;
    xmlReallocFunc resize;
    xmlStrdupFunc copy;

    g_assert_cmpint(xmlMemGet(&give_back, &take, &resize, &copy), ==, 0);
    g_assert_true(give_back != free && resize != realloc);

    char *text = copy("secret");
    text = resize(text, 4000);
    g_assert_cmpstr(text, ==, "secret");
    text = resize(text, 3);
    g_assert_true(memcmp(text, "sec", 3) == 0);
    give_back(text);
    give_back(resize(NULL, 10));
    give_back(NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    vcr_xml_init();
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/xml/parse/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_parse);
    }
    g_test_add_func("/xml/length", test_length);
    g_test_add_func("/xml/depth", test_depth);
    g_test_add_func("/xml/nodes", test_nodes);
    g_test_add_func("/xml/memory", test_memory);
    return g_test_run();
}
