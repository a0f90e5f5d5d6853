/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The file of tokens: what is read from it, what is refused, and that neither a token nor a
 * password is ever said. */
#include "proxy/resolver.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/error.h"
#include "common/token.h"

#define GOOD "{\"type\": \"vnc\", \"address\": \"host:5900\"}"

typedef struct {
    char *directory;
    char *path;
} Fixture;

static void
write_file(const Fixture *self, const char *text)
{
    g_assert_true(g_file_set_contents_full(self->path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT,
                                           0600, NULL));
}

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->directory = g_dir_make_tmp("resolver-file-XXXXXX", NULL);
    g_assert_nonnull(self->directory);
    self->path = g_build_filename(self->directory, "tokens.json", NULL);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_remove(self->path);
    g_assert_cmpint(g_rmdir(self->directory), ==, 0);
    g_free(self->directory);
    g_free(self->path);
}

static VcpTokenFile *
must_load(const Fixture *self, const char *text)
{
    g_autoptr(GError) error = NULL;

    write_file(self, text);
    VcpTokenFile *tokens = vcp_token_file_new(self->path, &error);
    g_assert_no_error(error);
    g_assert_nonnull(tokens);
    return tokens;
}

static void
assert_address(VcpTokenFile *tokens, const char *token, const char *address)
{
    g_autoptr(VcService) service = vcp_token_file_look_up(tokens, token);

    g_assert_cmpstr(service != NULL ? service->address : NULL, ==, address);
}

static void
test_look_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(VcpTokenFile) tokens = must_load(
        self, "{\"one\": " GOOD ", \"two\": {\"type\": \"vnc\", \"address\": \"[::1]:1\"}}");

    g_assert_cmpuint(vcp_token_file_count(tokens), ==, 2);
    assert_address(tokens, "one", "host:5900");
    assert_address(tokens, "two", "[::1]:1");
    assert_address(tokens, "three", NULL);
    assert_address(tokens, "ONE", NULL);
    assert_address(tokens, "on", NULL);
    assert_address(tokens, "", NULL);
}

static void
test_empty(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(VcpTokenFile) tokens = must_load(self, "{}");

    g_assert_cmpuint(vcp_token_file_count(tokens), ==, 0);
    assert_address(tokens, "one", NULL);
    vcp_token_file_free(NULL);
}

/* --- reload --- */

static void
test_reload(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(VcpTokenFile) tokens = must_load(self, "{\"one\": " GOOD "}");
    g_autoptr(VcService) held = vcp_token_file_look_up(tokens, "one");

    write_file(self, "{\"two\": " GOOD ", \"three\": " GOOD "}");
    assert_address(tokens, "two", NULL);
    g_assert_true(vcp_token_file_reload(tokens, NULL));
    assert_address(tokens, "one", NULL);
    assert_address(tokens, "two", "host:5900");
    g_assert_cmpuint(vcp_token_file_count(tokens), ==, 2);
    /* A session's service outlives the table that it came from. */
    g_assert_cmpstr(held->address, ==, "host:5900");
}

static void
assert_keeps_old(Fixture *self, VcpTokenFile *tokens)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vcp_token_file_reload(tokens, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, self->path));
    g_assert_cmpuint(vcp_token_file_count(tokens), ==, 1);
    assert_address(tokens, "one", "host:5900");
}

static void
test_reload_keeps_old(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(VcpTokenFile) tokens = must_load(self, "{\"one\": " GOOD "}");

    write_file(self, "{\"two\": " GOOD);
    assert_keeps_old(self, tokens);
    write_file(self, "{\"two\": " GOOD ", \"three\": {}}");
    assert_keeps_old(self, tokens);
    write_file(self, "");
    assert_keeps_old(self, tokens);
    g_remove(self->path);
    assert_keeps_old(self, tokens);
    write_file(self, "{}");
    g_assert_true(vcp_token_file_reload(tokens, NULL));
    assert_address(tokens, "one", NULL);
}

typedef struct {
    VcpTokenFile *tokens;
    gint stop;
} Reloading;

static gpointer
keep_looking_up(gpointer data)
{
    Reloading *self = data;

    while (g_atomic_int_get(&self->stop) == 0)
        assert_address(self->tokens, "one", "host:5900");
    return NULL;
}

/* Workers look up while the main thread reads anew. */
static void
test_reload_in_use(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(VcpTokenFile) tokens = must_load(self, "{\"one\": " GOOD "}");
    Reloading reloading = {.tokens = tokens};
    GThread *threads[2];

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("look-up", keep_looking_up, &reloading);
    for (int i = 0; i < 200; i++)
        g_assert_true(vcp_token_file_reload(tokens, NULL));
    g_atomic_int_set(&reloading.stop, 1);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

/* --- files that are wrong --- */

#define SECRET_ID "id 2bb80d53" /* of the token "secret" */

/* names: what the message must say. Tokens, passwords and addresses in these are called
 * "secret" or CANARY. */
static const struct {
    const char *name;
    const char *text;
    const char *names;
} wrong[] = {
    {"nothing", "", "line 1"},
    {"text", "CANARY", "line 1"},
    {"broken", "{\n  \"secret\": {\"type\": \"CANARY\n", "line 2"},
    {"tail", "{} CANARY", "line 1"},
    {"array", "[{\"secret\": " GOOD "}]", "must be an object"},
    {"duplicate", "{\"secret\": " GOOD ",\n \"secret\": " GOOD "}", "line 2"},
    {"duplicate-field", "{\"secret\": {\"type\": \"vnc\", \"type\": \"vnc\"}}", "line 1"},
    {"not-utf8", "{\"secret\": \"CANARY\xff\"}", "line 1"},
    {"nul", "{\"secret\": {\"password\": \"CANARY\\u0000\"}}", "line 1"},
    {"nul-in-token", "{\"secret\\u0000\": " GOOD "}", "line 1"},
    {"deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "line 1"},

    {"service-string", "{\"secret\": \"CANARY\"}", SECRET_ID},
    {"service-null", "{\"secret\": null}", SECRET_ID},
    {"service-empty", "{\"secret\": {}}", SECRET_ID},
    {"service-address", "{\"secret\": {\"type\": \"vnc\", \"address\": \"CANARY\"}}",
     SECRET_ID},
    {"service-field", "{\"secret\": {\"type\": \"vnc\", \"address\": \"CANARY\"}}",
     "\"address\""},
    {"service-password",
     "{\"secret\": {\"type\": \"vnc\", \"address\": \"h:1\", \"password\": [\"CANARY\"]}}",
     "\"password\""},
    {"service-second", "{\"one\": " GOOD ", \"secret\": {\"type\": \"vnc\"}}", SECRET_ID},

    {"token-empty", "{\"\": " GOOD "}", "not a valid token"},
    {"token-space", "{\"CANARY CANARY\": " GOOD "}", "not a valid token"},
    {"token-slash", "{\"CANARY/CANARY\": " GOOD "}", "not a valid token"},
    {"token-dots", "{\"..\": " GOOD "}", "not a valid token"},
    {"token-not-ascii", "{\"CANARY\\u00e4\": " GOOD "}", "not a valid token"},
};

static void
test_wrong(Fixture *self, gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;

    write_file(self, wrong[i].text);
    g_assert_null(vcp_token_file_new(self->path, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, self->path));
    g_assert_nonnull(strstr(error->message, "--resolver-tokens"));
    g_assert_nonnull(strstr(error->message, wrong[i].names));
    g_assert_null(strstr(error->message, "CANARY"));
    g_assert_null(strstr(error->message, "secret"));
    g_assert_null(strchr(error->message, '\n'));
}

static void
test_missing(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(vcp_token_file_new(self->path, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, self->path));
    g_assert_nonnull(strstr(error->message, g_strerror(ENOENT)));
    g_clear_error(&error);

    g_assert_null(vcp_token_file_new(self->directory, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
}

static void
test_public(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(VcpTokenFile) tokens = must_load(self, "{\"secret\": " GOOD "}");

    g_assert_cmpint(chmod(self->path, 0604), ==, 0);
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*tokens.json holds tokens*chmod*");
    g_assert_true(vcp_token_file_reload(tokens, NULL));
    g_test_assert_expected_messages();
}

/* --- as a worker's resolver --- */

typedef struct {
    guint calls;
    char *address;
    int code;
} Answer;

static void
on_resolved(VcService *service, const GError *error, gpointer data)
{
    Answer *answer = data;

    g_assert_true((service == NULL) == (error != NULL));
    answer->calls++;
    answer->address = service != NULL ? g_strdup(service->address) : NULL;
    answer->code = error != NULL ? (int)vc_error_code(error) : -1;
    g_assert_true(error == NULL || strstr(error->message, "secret") == NULL);
}

static void
test_resolver(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(VcpTokenFile) tokens = must_load(self, "{\"secret\": " GOOD "}");
    VcpResolver *resolver = vcp_resolver_file_new(tokens);
    Answer answer = {0};

    g_assert_null(resolver->ops->query(resolver, "secret", on_resolved, &answer));
    g_assert_cmpuint(answer.calls, ==, 1);
    g_assert_cmpint(answer.code, ==, -1);
    g_assert_cmpstr(answer.address, ==, "host:5900");
    g_free(answer.address);

    g_assert_null(resolver->ops->query(resolver, "secret2", on_resolved, &answer));
    g_assert_cmpuint(answer.calls, ==, 2);
    g_assert_cmpint(answer.code, ==, VC_ERROR_TOKEN);
    resolver->ops->free(resolver);
}

static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
} tests[] = {
    {"/resolver-file/look-up", test_look_up},
    {"/resolver-file/empty", test_empty},
    {"/resolver-file/reload", test_reload},
    {"/resolver-file/reload-keeps-old", test_reload_keeps_old},
    {"/resolver-file/reload-in-use", test_reload_in_use},
    {"/resolver-file/missing", test_missing},
    {"/resolver-file/public", test_public},
    {"/resolver-file/resolver", test_resolver},
};

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("/resolver-file/wrong/%s", wrong[i].name);
        g_test_add(path, Fixture, GSIZE_TO_POINTER(i), set_up, test_wrong, tear_down);
    }
    return g_test_run();
}
