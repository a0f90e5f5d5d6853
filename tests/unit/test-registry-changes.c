/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What the registry tells of tokens whose guests come, go, change and migrate, and what it
 * leaves unsaid. */
#include "resolver/registry.h"

#include <string.h>

#define GUEST_A "aaaaaaaa-0000-4000-8000-000000000000"
#define GUEST_B "bbbbbbbb-0000-4000-8000-000000000000"

typedef struct {
    VcrRegistry *registry;
    GString *told; /* "dead one" and so on, each with a line's end */
} Fixture;

static const char *
token_of(const char *digest)
{
    static const char *const tokens[] = {"one", "two", "three"};

    for (gsize i = 0; i < G_N_ELEMENTS(tokens); i++) {
        char other[VC_TOKEN_DIGEST_SIZE];
        vc_token_digest(tokens[i], other);
        if (strcmp(digest, other) == 0)
            return tokens[i];
    }
    g_assert_not_reached();
}

static void
on_changed(VcrChange change, const char *digest, gpointer data)
{
    static const char *const names[] = {
        [VCR_TOKEN_DEAD] = "dead",
        [VCR_TOKEN_CHANGED] = "changed",
        [VCR_TOKENS_SETTLED] = "settled",
    };

    g_string_append(data, names[change]);
    if (digest != NULL)
        g_string_append_printf(data, " %s", token_of(digest));
    g_string_append_c(data, '\n');
}

static void
assert_told(Fixture *self, const char *expected)
{
    g_assert_cmpstr(self->told->str, ==, expected);
    g_string_truncate(self->told, 0);
}

static void
begin(Fixture *self, guint hosts)
{
    self->registry = vcr_registry_new(hosts);
    self->told = g_string_new(NULL);
    vcr_registry_watch(self->registry, on_changed, self->told);
}

static void
begin_listed(Fixture *self, guint hosts)
{
    begin(self, hosts);
    for (guint i = 0; i < hosts; i++)
        vcr_registry_set_listed(self->registry, i, TRUE);
    assert_told(self, "settled\n");
}

static void
end(Fixture *self)
{
    assert_told(self, "");
    vcr_registry_free(self->registry);
    g_string_free(self->told, TRUE);
}

typedef struct {
    guint host;
    const char *guest;
    const char *token; /* NULL: the guest has no console any more */
    guint16 port;
    gboolean is_paused;
    gint64 expires_s;
    const char *password;
} Set;

static void
set(Fixture *self, Set what)
{
    g_autoptr(GPtrArray) records =
        g_ptr_array_new_with_free_func((GDestroyNotify)vcr_record_unref);
    char digest[VC_TOKEN_DIGEST_SIZE];

    if (what.token != NULL) {
        VcService *service =
            vc_service_new(VC_CONSOLE_SERIAL, "hv", what.port != 0 ? what.port : 4500, NULL);
        service->domain_uuid = g_strdup(what.guest);
        service->domain_name = g_strndup(what.guest, 1);
        service->domain_host = g_strdup("hv");
        service->console_type = g_strdup("serial");
        service->expires_s = what.expires_s;
        vc_token_digest(what.token, digest);
        VcrRecord *record = vcr_record_new(digest, service);
        record->host = what.host;
        record->is_running = !what.is_paused;
        record->has_password = what.password != NULL;
        g_ptr_array_add(records, record);
    }
    vcr_registry_set_guest(self->registry, what.host, what.guest, records);
}

static void
test_guest(void)
{
    Fixture f;

    begin_listed(&f, 1);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    set(&f, (Set){.guest = GUEST_A, .token = "one", .password = "new"});
    assert_told(&f, "");
    set(&f, (Set){.guest = GUEST_A, .token = "two"});
    assert_told(&f, "dead one\n");
    set(&f, (Set){.guest = GUEST_A});
    assert_told(&f, "dead two\n");
    vcr_registry_set_guest(f.registry, 0, GUEST_A, NULL);
    end(&f);
}

static void
test_changed(void)
{
    Fixture f;

    begin_listed(&f, 1);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    set(&f, (Set){.guest = GUEST_A, .token = "one", .port = 4501});
    assert_told(&f, "changed one\n");
    set(&f, (Set){.guest = GUEST_A, .token = "one", .port = 4501, .expires_s = 7});
    assert_told(&f, "changed one\n");
    end(&f);
}

static void
test_listed_without_it(void)
{
    Fixture f;
    g_autoptr(GHashTable) uuids = g_hash_table_new(g_str_hash, g_str_equal);

    begin_listed(&f, 1);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    set(&f, (Set){.guest = GUEST_B, .token = "two"});
    vcr_registry_set_listed(f.registry, 0, FALSE);
    assert_told(&f, "");
    g_hash_table_add(uuids, (gpointer)GUEST_B);
    vcr_registry_keep_guests(f.registry, 0, uuids);
    assert_told(&f, "dead one\n");
    vcr_registry_set_listed(f.registry, 0, TRUE);
    end(&f);
}

static void
test_ambiguous(void)
{
    Fixture f;

    begin_listed(&f, 1);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*stands for two consoles*");
    set(&f, (Set){.guest = GUEST_B, .token = "one"});
    g_test_assert_expected_messages();
    assert_told(&f, "dead one\n");
    set(&f, (Set){.guest = GUEST_B}); /* it is good again, for new sessions */
    end(&f);
}

/* What changes while nobody may be told 404 or 200 is told when the libvirtd is back. */
static void
test_changed_while_away(void)
{
    Fixture f;

    begin_listed(&f, 1);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    set(&f, (Set){.guest = GUEST_B, .token = "two"});
    vcr_registry_set_listed(f.registry, 0, FALSE);
    set(&f, (Set){.guest = GUEST_A, .token = "one", .port = 4501});
    set(&f, (Set){.guest = GUEST_B, .token = "three"});
    assert_told(&f, "dead two\n");
    vcr_registry_set_listed(f.registry, 0, TRUE);
    assert_told(&f, "changed one\n");
    vcr_registry_set_listed(f.registry, 0, FALSE);
    vcr_registry_set_listed(f.registry, 0, TRUE);
    end(&f);
}

static void
test_migration(void)
{
    Fixture f;

    begin_listed(&f, 2);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    set(&f,
        (Set){.host = 1, .guest = GUEST_A, .token = "one", .port = 4501, .is_paused = TRUE});
    assert_told(&f, "");
    set(&f, (Set){.guest = GUEST_A, .token = "one", .is_paused = TRUE});
    set(&f, (Set){.host = 1, .guest = GUEST_A, .token = "one", .port = 4501});
    assert_told(&f, "changed one\n");
    set(&f, (Set){.guest = GUEST_A});
    end(&f);
}

static void
test_other_host_takes_over(void)
{
    Fixture f;

    begin_listed(&f, 2);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    set(&f,
        (Set){.host = 1, .guest = GUEST_A, .token = "one", .port = 4501, .is_paused = TRUE});
    vcr_registry_set_listed(f.registry, 0, FALSE);
    assert_told(&f, "changed one\n");
    vcr_registry_set_listed(f.registry, 0, TRUE);
    assert_told(&f, "changed one\n");
    end(&f);
}

/* Nobody knows yet which tokens there are; what goes meanwhile is dead all the same. */
static void
test_start(void)
{
    Fixture f;

    begin(&f, 2);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    vcr_registry_set_listed(f.registry, 0, TRUE);
    assert_told(&f, "");
    set(&f, (Set){.guest = GUEST_A});
    assert_told(&f, "dead one\n");
    vcr_registry_set_listed(f.registry, 1, TRUE);
    assert_told(&f, "settled\n");
    end(&f);
}

/* A guest that cannot be read has tokens that are neither served nor dead. */
static void
test_hidden(void)
{
    Fixture f;

    begin_listed(&f, 1);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    vcr_registry_hide_guest(f.registry, 0, GUEST_A);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    assert_told(&f, "");
    vcr_registry_hide_guest(f.registry, 0, GUEST_A);
    set(&f, (Set){.guest = GUEST_A, .token = "one", .port = 4501});
    assert_told(&f, "changed one\n");
    vcr_registry_hide_guest(f.registry, 0, GUEST_A);
    assert_told(&f, "");
    set(&f, (Set){.guest = GUEST_A});
    assert_told(&f, "dead one\n");
    end(&f);
}

/* It has left the libvirtd where it could be read. */
static void
test_hidden_elsewhere(void)
{
    Fixture f;
    Set other = {.host = 1, .guest = GUEST_A, .token = "one", .port = 4501};

    begin_listed(&f, 2);
    set(&f, (Set){.guest = GUEST_A, .token = "one"});
    set(&f, other);
    vcr_registry_hide_guest(f.registry, 1, GUEST_A);
    set(&f, (Set){.guest = GUEST_A});
    set(&f, (Set){.guest = GUEST_B});
    assert_told(&f, "");
    set(&f, other);
    assert_told(&f, "changed one\n");
    set(&f, other);
    end(&f);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/registry-changes/guest", test_guest);
    g_test_add_func("/registry-changes/changed", test_changed);
    g_test_add_func("/registry-changes/listed-without-it", test_listed_without_it);
    g_test_add_func("/registry-changes/ambiguous", test_ambiguous);
    g_test_add_func("/registry-changes/changed-while-away", test_changed_while_away);
    g_test_add_func("/registry-changes/migration", test_migration);
    g_test_add_func("/registry-changes/other-host-takes-over", test_other_host_takes_over);
    g_test_add_func("/registry-changes/start", test_start);
    g_test_add_func("/registry-changes/hidden", test_hidden);
    g_test_add_func("/registry-changes/hidden-elsewhere", test_hidden_elsewhere);
    return g_test_run();
}
