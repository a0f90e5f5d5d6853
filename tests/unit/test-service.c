/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Services from JSON and back, and every way in which one can be wrong. */
#include "common/service.h"

#include <string.h>

#include "common/error.h"
#include "wiped.h"

#define UUID "0f8fad5b-d9cb-469f-a165-70867728950e"
#define BARE .address = (char *)"host:5900", .host = (char *)"host", .port = 5900
#define LONG                                                                                   \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
    "8901234567890123456"
#define MINIMAL "\"type\": \"vnc\", \"address\": \"host:5900\""

static VcService *
parse(const char *text, GError **error)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    g_assert_nonnull(json);
    VcService *service = vc_service_from_json(json, error);
    json_decref(json);
    return service;
}

static VcService *
must_parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    VcService *service = parse(text, &error);

    g_assert_no_error(error);
    g_assert_nonnull(service);
    return service;
}

static void
assert_equal(const VcService *one, const VcService *two)
{
    g_assert_cmpint(one->type, ==, two->type);
    g_assert_cmpstr(one->address, ==, two->address);
    g_assert_cmpstr(one->host, ==, two->host);
    g_assert_cmpuint(one->port, ==, two->port);
    g_assert_cmpint(one->insecure, ==, two->insecure);
    g_assert_cmpint(one->tls_tunnel, ==, two->tls_tunnel);
    g_assert_cmpint(one->power_control, ==, two->power_control);
    g_assert_cmpstr(one->password, ==, two->password);
    g_assert_cmpstr(one->tls_server_name, ==, two->tls_server_name);
    g_assert_cmpint(one->expires_s, ==, two->expires_s);
    g_assert_cmpstr(one->path, ==, two->path);
    g_assert_cmpint(one->telnet, ==, two->telnet);
    g_assert_cmpint(one->shared, ==, two->shared);
    g_assert_cmpint(one->token_use, ==, two->token_use);
    g_assert_cmpstr(one->tls_subject, ==, two->tls_subject);
    g_assert_cmpstr(one->domain_uuid, ==, two->domain_uuid);
    g_assert_cmpstr(one->domain_name, ==, two->domain_name);
    g_assert_cmpstr(one->domain_host, ==, two->domain_host);
    g_assert_cmpstr(one->console_type, ==, two->console_type);
    g_assert_cmpuint(one->console_index, ==, two->console_index);
}

static void
assert_round_trip(const VcService *service)
{
    json_t *json = vc_service_to_json(service);
    g_autoptr(VcService) again = vc_service_from_json(json, NULL);

    g_assert_nonnull(again);
    assert_equal(again, service);
    json_decref(json);
}

/* --- right ones --- */

static const struct {
    const char *name;
    const char *json;
    VcService expected;
} right[] = {
    {"minimal",
     "{" MINIMAL "}",
     {.address = (char *)"host:5900", .host = (char *)"host", .port = 5900}},
    {"all-fields",
     "{\"type\": \"vnc\", \"address\": \"[2001:db8::1]:5901\", \"insecure\": true,"
     " \"tlsTunnel\": true, \"powerControl\": true, \"password\": \"secret\","
     " \"telnet\": true, \"exclusive\": false, \"singleUse\": true,"
     " \"tlsServerName\": \"host.example\", \"expires\": \"2030-01-31T12:00:00Z\","
     " \"tlsSubject\": \"O=lab,CN=host\","
     " \"domain\": {\"uuid\": \"" UUID "\", \"name\": \"g \u00e41\", \"host\": \"h1\"},"
     " \"console\": {\"type\": \"vnc\", \"index\": 3}}",
     {.address = (char *)"[2001:db8::1]:5901",
      .host = (char *)"2001:db8::1",
      .port = 5901,
      .insecure = TRUE,
      .tls_tunnel = TRUE,
      .power_control = TRUE,
      .password = (char *)"secret",
      .tls_server_name = (char *)"host.example",
      .expires_s = 1896091200,
      .telnet = TRUE,
      .shared = TRUE,
      .token_use = VC_TOKEN_USE_SINGLE,
      .tls_subject = (char *)"O=lab,CN=host",
      .domain_uuid = (char *)UUID,
      .domain_name = (char *)"g \xc3\xa4"
                             "1",
      .domain_host = (char *)"h1",
      .console_type = (char *)"vnc",
      .console_index = 3}},
    {"spice",
     "{\"type\": \"spice\", \"address\": \"host:5900\"}",
     {.type = VC_CONSOLE_SPICE,
      .address = (char *)"host:5900",
      .host = (char *)"host",
      .port = 5900}},
    {"serial",
     "{\"type\": \"serial\", \"address\": \"host:5900\"}",
     {.type = VC_CONSOLE_SERIAL,
      .address = (char *)"host:5900",
      .host = (char *)"host",
      .port = 5900}},
    {"serial-unix",
     "{\"type\": \"serial\", \"address\": \"unix:/run/g:1.sock\"}",
     {.type = VC_CONSOLE_SERIAL,
      .address = (char *)"unix:/run/g:1.sock",
      .path = (char *)"/run/g:1.sock"}},
    {"single-use",
     "{" MINIMAL ", \"singleUse\": true}",
     {BARE, .token_use = VC_TOKEN_USE_SINGLE}},
    {"multi-use",
     "{" MINIMAL ", \"singleUse\": false}",
     {BARE, .token_use = VC_TOKEN_USE_MULTI}},
    {"exclusive", "{" MINIMAL ", \"exclusive\": true}", {BARE}},
    {"shared", "{" MINIMAL ", \"exclusive\": false}", {BARE, .shared = TRUE}},
    {"domain-empty", "{" MINIMAL ", \"domain\": {}}", {BARE}},
    {"domain-name",
     "{" MINIMAL ", \"domain\": {\"name\": \"a\", \"uuid\": null}}",
     {BARE, .domain_name = (char *)"a"}},
    {"domain-capital",
     "{" MINIMAL ", \"domain\": {\"uuid\": \"0F8FAD5B-D9CB-469F-A165-70867728950E\"}}",
     {BARE, .domain_uuid = (char *)UUID}},
    {"console-no-index",
     "{" MINIMAL ", \"console\": {\"type\": \"serial\"}}",
     {BARE, .console_type = (char *)"serial"}},
    {"console-last-index",
     "{" MINIMAL ", \"console\": {\"type\": \"x\", \"index\": 65535}}",
     {BARE, .console_type = (char *)"x", .console_index = 65535}},
    {"null-is-absent",
     "{" MINIMAL ", \"insecure\": null, \"tlsTunnel\": null, \"powerControl\": null,"
     " \"telnet\": null, \"exclusive\": null, \"singleUse\": null, \"tlsSubject\": null,"
     " \"domain\": null, \"console\": null,"
     " \"password\": null, \"tlsServerName\": null, \"expires\": null}",
     {.address = (char *)"host:5900", .host = (char *)"host", .port = 5900}},
    {"false-is-absent",
     "{" MINIMAL ", \"insecure\": false, \"tlsTunnel\": false, \"powerControl\": false}",
     {.address = (char *)"host:5900", .host = (char *)"host", .port = 5900}},
    {"empty-password",
     "{" MINIMAL ", \"password\": \"\"}",
     {.address = (char *)"host:5900",
      .host = (char *)"host",
      .port = 5900,
      .password = (char *)""}},
    {"unicode-password",
     "{" MINIMAL ", \"password\": \"p\\u00e4ss \\\"\\\\\\n\"}",
     {.address = (char *)"host:5900",
      .host = (char *)"host",
      .port = 5900,
      .password = (char *)"p\xc3\xa4ss \"\\\n"}},
    {"literal-server-name",
     "{" MINIMAL ", \"tlsServerName\": \"2001:db8::2\"}",
     {.address = (char *)"host:5900",
      .host = (char *)"host",
      .port = 5900,
      .tls_server_name = (char *)"2001:db8::2"}},
    {"unknown-fields",
     "{" MINIMAL ", \"Type\": 1, \"host\": [], \"future\": {\"password\": 1}, \"\": null}",
     {.address = (char *)"host:5900", .host = (char *)"host", .port = 5900}},
};

static void
test_right(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(VcService) service = must_parse(right[i].json);

    assert_equal(service, &right[i].expected);
    assert_round_trip(service);
}

/* What a reader of the other side may rely on: no field that says nothing. */
static void
test_to_json(void)
{
    g_autoptr(VcService) bare = must_parse("{" MINIMAL "}");
    g_autoptr(VcService) full = must_parse(right[1].json);
    json_t *json = vc_service_to_json(bare);
    json_t *expected =
        json_pack("{s:s, s:s, s:b}", "type", "vnc", "address", "host:5900", "insecure", 0);

    g_assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);

    json = vc_service_to_json(full);
    expected = json_loads(right[1].json, 0, NULL);
    g_assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
}

/* --- wrong ones --- */

/* field: what the message must name; canary: what it must not repeat. */
static const struct {
    const char *name;
    const char *json;
    const char *field;
} wrong[] = {
    {"array", "[]", "object"},
    {"string", "\"CANARY\"", "object"},
    {"null", "null", "object"},
    {"empty", "{}", "\"type\""},

    {"type-missing", "{\"address\": \"host:5900\"}", "\"type\""},
    {"type-null", "{\"type\": null, \"address\": \"host:5900\"}", "\"type\""},
    {"type-number", "{\"type\": 1, \"address\": \"host:5900\"}", "\"type\""},
    {"type-unknown", "{\"type\": \"CANARY\", \"address\": \"host:5900\"}", "\"type\""},
    {"type-capital", "{\"type\": \"VNC\", \"address\": \"host:5900\"}", "\"type\""},
    {"type-empty", "{\"type\": \"\", \"address\": \"host:5900\"}", "\"type\""},
    {"type-with-nul", "{\"type\": \"vnc\\u0000\", \"address\": \"host:5900\"}", "\"type\""},

    {"address-missing", "{\"type\": \"vnc\"}", "\"address\""},
    {"address-null", "{\"type\": \"vnc\", \"address\": null}", "\"address\""},
    {"address-number", "{\"type\": \"vnc\", \"address\": 5900}", "\"address\""},
    {"address-array", "{\"type\": \"vnc\", \"address\": [\"host:1\"]}", "\"address\""},
    {"address-empty", "{\"type\": \"vnc\", \"address\": \"\"}", "\"address\""},
    {"address-no-port", "{\"type\": \"vnc\", \"address\": \"CANARY\"}", "\"address\""},
    {"address-port-zero", "{\"type\": \"vnc\", \"address\": \"CANARY:0\"}", "\"address\""},
    {"address-bare-v6", "{\"type\": \"vnc\", \"address\": \"::1:5900\"}", "\"address\""},
    {"address-unix", "{\"type\": \"vnc\", \"address\": \"unix:/CANARY\"}", "\"address\""},
    {"address-unix-spice", "{\"type\": \"spice\", \"address\": \"unix:/CANARY\"}",
     "\"address\""},
    {"address-unix-relative", "{\"type\": \"serial\", \"address\": \"unix:CANARY\"}",
     "\"address\""},
    {"address-unix-line-break", "{\"type\": \"serial\", \"address\": \"unix:/CANARY\\n\"}",
     "\"address\""},
    {"address-unix-space", "{\"type\": \"serial\", \"address\": \"unix:/CANARY 1\"}",
     "\"address\""},
    {"address-unix-long", "{\"type\": \"serial\", \"address\": \"unix:/" LONG "\"}",
     "\"address\""},
    {"address-unix-tunnel",
     "{\"type\": \"serial\", \"address\": \"unix:/a\", \"tlsTunnel\": true}", "\"tlsTunnel\""},
    {"address-line-break", "{\"type\": \"vnc\", \"address\": \"CANARY\\n:1\"}", "\"address\""},
    {"address-with-nul", "{\"type\": \"vnc\", \"address\": \"a\\u0000:1\"}", "\"address\""},

    {"insecure-string", "{" MINIMAL ", \"insecure\": \"false\"}", "\"insecure\""},
    {"insecure-number", "{" MINIMAL ", \"insecure\": 1}", "\"insecure\""},
    {"tunnel-string", "{" MINIMAL ", \"tlsTunnel\": \"CANARY\"}", "\"tlsTunnel\""},
    {"tunnel-number", "{" MINIMAL ", \"tlsTunnel\": 0}", "\"tlsTunnel\""},
    {"power-object", "{" MINIMAL ", \"powerControl\": {}}", "\"powerControl\""},

    {"telnet-number", "{" MINIMAL ", \"telnet\": 1}", "\"telnet\""},
    {"exclusive-string", "{" MINIMAL ", \"exclusive\": \"CANARY\"}", "\"exclusive\""},
    {"single-use-number", "{" MINIMAL ", \"singleUse\": 0}", "\"singleUse\""},
    {"subject-number", "{" MINIMAL ", \"tlsSubject\": 1}", "\"tlsSubject\""},
    {"subject-empty", "{" MINIMAL ", \"tlsSubject\": \"\"}", "\"tlsSubject\""},
    {"domain-string", "{" MINIMAL ", \"domain\": \"CANARY\"}", "\"domain\""},
    {"domain-uuid-number", "{" MINIMAL ", \"domain\": {\"uuid\": 1}}", "\"domain\""},
    {"domain-uuid-empty", "{" MINIMAL ", \"domain\": {\"uuid\": \"\"}}", "\"domain\""},
    {"domain-uuid-name", "{" MINIMAL ", \"domain\": {\"uuid\": \"CANARY\"}}", "\"domain\""},
    {"domain-name-number", "{" MINIMAL ", \"domain\": {\"name\": 1}}", "\"name\""},
    {"domain-host-nul", "{" MINIMAL ", \"domain\": {\"host\": \"CANARY\\u0000\"}}", "\"host\""},
    {"console-array", "{" MINIMAL ", \"console\": []}", "\"console\""},
    {"console-empty", "{" MINIMAL ", \"console\": {}}", "\"console\""},
    {"console-type-number", "{" MINIMAL ", \"console\": {\"type\": 1}}", "\"console\""},
    {"console-type-slash", "{" MINIMAL ", \"console\": {\"type\": \"CANARY/1\"}}",
     "\"console\""},
    {"console-index-only", "{" MINIMAL ", \"console\": {\"index\": 1}}", "\"console\""},
    {"console-index-string", "{" MINIMAL ", \"console\": {\"type\": \"a\", \"index\": \"1\"}}",
     "\"console\""},
    {"console-index-negative", "{" MINIMAL ", \"console\": {\"type\": \"a\", \"index\": -1}}",
     "\"console\""},
    {"console-index-large", "{" MINIMAL ", \"console\": {\"type\": \"a\", \"index\": 65536}}",
     "\"console\""},

    {"password-number", "{" MINIMAL ", \"password\": 12345678}", "\"password\""},
    {"password-boolean", "{" MINIMAL ", \"password\": false}", "\"password\""},
    {"password-array", "{" MINIMAL ", \"password\": [\"CANARY\"]}", "\"password\""},
    {"password-with-nul", "{" MINIMAL ", \"password\": \"CANARY\\u0000\"}", "\"password\""},

    {"server-name-number", "{" MINIMAL ", \"tlsServerName\": 1}", "\"tlsServerName\""},
    {"server-name-empty", "{" MINIMAL ", \"tlsServerName\": \"\"}", "\"tlsServerName\""},
    {"server-name-port", "{" MINIMAL ", \"tlsServerName\": \"CANARY:1\"}", "\"tlsServerName\""},
    {"server-name-brackets", "{" MINIMAL ", \"tlsServerName\": \"[::1]\"}",
     "\"tlsServerName\""},
    {"server-name-wildcard", "{" MINIMAL ", \"tlsServerName\": \"*.a\"}", "\"tlsServerName\""},
    {"server-name-line-break", "{" MINIMAL ", \"tlsServerName\": \"CANARY\\n\"}",
     "\"tlsServerName\""},
    {"server-name-with-nul", "{" MINIMAL ", \"tlsServerName\": \"a\\u0000b\"}",
     "\"tlsServerName\""},

    {"expires-number", "{" MINIMAL ", \"expires\": 1896091200}", "\"expires\""},
    {"expires-true", "{" MINIMAL ", \"expires\": true}", "\"expires\""},
    {"expires-empty", "{" MINIMAL ", \"expires\": \"\"}", "\"expires\""},
    {"expires-words", "{" MINIMAL ", \"expires\": \"CANARY\"}", "\"expires\""},
};

static void
test_wrong(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(VcService) service = parse(wrong[i].json, &error);

    g_assert_null(service);
    g_assert_error(error, VC_ERROR, VC_ERROR_RESOLVER);
    g_assert_nonnull(strstr(error->message, wrong[i].field));
    g_assert_null(strstr(error->message, "CANARY"));
    g_assert_null(strchr(error->message, '\n'));
}

/* --- times --- */

/* expected 0: refused. */
static const struct {
    const char *text;
    gint64 expected;
} times[] = {
    {"2030-01-31T12:00:00Z", 1896091200},
    {"2030-01-31T12:00:00+00:00", 1896091200},
    {"2030-01-31T14:00:00+02:00", 1896091200},
    {"2030-01-31T06:30:00-05:30", 1896091200},
    {"2030-01-31T12:00:00.999999Z", 1896091200},
    {"2024-02-29T00:00:00Z", 1709164800},
    {"9999-12-31T23:59:59Z", 253402300799},
    /* In its own zone there is such a time, in UTC there is none. */
    {"9999-12-31T23:59:59-12:00", 253402300799},
    {"0001-01-01T00:00:00+12:00", 1},
    /* Long ago is expired, not "never". */
    {"1970-01-01T00:00:00Z", 1},
    {"1969-12-31T23:59:59Z", 1},
    {"0001-01-01T00:00:00Z", 1},
    /* A time without its zone means another moment on another machine. */
    {"2030-01-31T12:00:00", 0},
    {"2030-01-31", 0},
    {"12:00:00Z", 0},
    {"2030-13-01T12:00:00Z", 0},
    {"2030-02-30T12:00:00Z", 0},
    {"2023-02-29T12:00:00Z", 0},
    {"2030-01-31T25:00:00Z", 0},
    {"2030-01-31T12:60:00Z", 0},
    {"2030-01-31T12:00:00+99:00", 0},
    {"2030-01-31T12:00:00Z and more", 0},
    {" 2030-01-31T12:00:00Z", 0},
    {"2030-01-31T12:00:00 CET", 0},
    {"tomorrow", 0},
};

static void
test_expires(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autofree char *json =
            g_strdup_printf("{" MINIMAL ", \"expires\": \"%s\"}", times[i].text);
        g_autoptr(GError) error = NULL;
        g_autoptr(VcService) service = parse(json, &error);
        g_test_message("%s: %s", times[i].text, error != NULL ? error->message : "taken");
        g_assert_true((service != NULL) == (times[i].expected != 0));
        if (service == NULL) {
            g_assert_nonnull(strstr(error->message, "\"expires\""));
            continue;
        }
        g_assert_cmpint(service->expires_s, ==, times[i].expected);
        assert_round_trip(service);
    }
}

static void
test_has_expired(void)
{
    const VcService never = {0};
    const VcService at_ten = {.expires_s = 10};

    g_assert_false(vc_service_has_expired(&never, G_MAXINT64));
    g_assert_false(vc_service_has_expired(&at_ten, 9));
    g_assert_true(vc_service_has_expired(&at_ten, 10));
    g_assert_true(vc_service_has_expired(&at_ten, 11));
}

/* --- the rest --- */

static void
test_verify_name(void)
{
    g_autoptr(VcService) host = must_parse("{\"type\": \"vnc\", \"address\": \"[::1]:1\"}");
    g_autoptr(VcService) named =
        must_parse("{" MINIMAL ", \"tlsServerName\": \"other.example\"}");

    g_assert_cmpstr(vc_service_verify_name(host), ==, "::1");
    g_assert_cmpstr(vc_service_verify_name(named), ==, "other.example");
}

static void
test_console_key(void)
{
    static const struct {
        const char *fields, *key;
    } rows[] = {
        {"", "host:5900"},
        {", \"domain\": {\"uuid\": \"" UUID "\"}", "host:5900"},
        {", \"console\": {\"type\": \"serial\"}", "host:5900"},
        {", \"domain\": {\"name\": \"a\"}, \"console\": {\"type\": \"serial\"}", "host:5900"},
        {", \"domain\": {\"uuid\": \"" UUID "\"}, \"console\": {\"type\": \"serial\"}",
         UUID "/serial/0"},
        {", \"domain\": {\"uuid\": \"" UUID
         "\"}, \"console\": {\"type\": \"vnc\", \"index\": 12}",
         UUID "/vnc/12"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *json = g_strdup_printf("{" MINIMAL "%s}", rows[i].fields);
        g_autoptr(VcService) service = must_parse(json);
        g_autofree char *key = vc_service_console_key(service);
        g_assert_cmpstr(key, ==, rows[i].key);
    }
}

static void
test_unix_has_no_name(void)
{
    g_autoptr(VcService) service =
        must_parse("{\"type\": \"serial\", \"address\": \"unix:/run/a\"}");

    g_assert_null(service->host);
    g_assert_null(vc_service_verify_name(service));
}

static void
test_type_names(void)
{
    g_assert_cmpstr(vc_console_type_name(VC_CONSOLE_VNC), ==, "vnc");
    g_assert_cmpstr(vc_console_type_name(VC_CONSOLE_SPICE), ==, "spice");
    g_assert_cmpstr(vc_console_type_name(VC_CONSOLE_SERIAL), ==, "serial");
}

static void
test_wiped(void)
{
    VcService *service = must_parse("{" MINIMAL ", \"password\": \"correct horse\"}");

    wiped_watch(service->password);
    g_assert_true(vc_service_ref(service) == service);
    vc_service_unref(service);
    g_assert_cmpstr(service->password, ==, "correct horse");
    vc_service_unref(service);
    g_assert_true(wiped_was());
    vc_service_unref(NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(right); i++) {
        g_autofree char *path = g_strdup_printf("/service/right/%s", right[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_right);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("/service/wrong/%s", wrong[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_wrong);
    }
    g_test_add_func("/service/to-json", test_to_json);
    g_test_add_func("/service/expires", test_expires);
    g_test_add_func("/service/has-expired", test_has_expired);
    g_test_add_func("/service/verify-name", test_verify_name);
    g_test_add_func("/service/console-key", test_console_key);
    g_test_add_func("/service/unix-has-no-name", test_unix_has_no_name);
    g_test_add_func("/service/type-names", test_type_names);
    g_test_add_func("/service/wiped", test_wiped);
    return g_test_run();
}
