/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What a token stands for while guests come, go and migrate and libvirtd are away; and many
 * threads at once. */
#include "resolver/registry.h"

#include <string.h>

#define GUEST_A "aaaaaaaa-0000-4000-8000-000000000000"
#define GUEST_B "bbbbbbbb-0000-4000-8000-000000000000"

/* --- records --- */

static VcrRecord *
record_new(const char *token, const char *guest, guint host, guint index)
{
    char digest[VC_TOKEN_DIGEST_SIZE];
    VcService *service = vc_service_new(VC_CONSOLE_SERIAL, "hv", (guint16)(4500 + host), NULL);

    service->domain_uuid = g_strdup(guest);
    service->domain_name = g_strndup(guest, 1);
    service->domain_host = g_strdup_printf("hv%u", host);
    service->console_type = g_strdup("serial");
    service->console_index = index;
    vc_token_digest(token, digest);
    VcrRecord *self = vcr_record_new(digest, service);
    self->host = host;
    self->kind = VCR_KIND_SERIAL;
    self->index = index;
    self->is_running = TRUE;
    return self;
}

static GPtrArray *
records_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)vcr_record_unref);
}

/* The guest has one console with this token; NULL: none. */
static void
set(VcrRegistry *registry, guint host, const char *guest, const char *token)
{
    g_autoptr(GPtrArray) records = records_new();

    if (token != NULL)
        g_ptr_array_add(records, record_new(token, guest, host, 0));
    vcr_registry_set_guest(registry, host, guest, records);
}

static void
set_paused(VcrRegistry *registry, guint host, const char *guest, const char *token)
{
    g_autoptr(GPtrArray) records = records_new();
    VcrRecord *record = record_new(token, guest, host, 0);

    record->is_running = FALSE;
    g_ptr_array_add(records, record);
    vcr_registry_set_guest(registry, host, guest, records);
}

static VcrRegistry *
listed(guint hosts)
{
    VcrRegistry *registry = vcr_registry_new(hosts);

    for (guint i = 0; i < hosts; i++)
        vcr_registry_set_listed(registry, i, TRUE);
    return registry;
}

static VcrAnswer
look_up(VcrRegistry *registry, const char *token, VcrRecord **record)
{
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(token, digest);
    return vcr_registry_look_up(registry, digest, record);
}

static void
assert_answer(VcrRegistry *registry, const char *token, VcrAnswer expected)
{
    g_autoptr(VcrRecord) record = NULL;

    g_assert_cmpint(look_up(registry, token, &record), ==, expected);
    g_assert_true((record != NULL) == (expected == VCR_FOUND));
}

static void
assert_found(VcrRegistry *registry, const char *token, const char *guest, guint host)
{
    g_autoptr(VcrRecord) record = NULL;

    g_assert_cmpint(look_up(registry, token, &record), ==, VCR_FOUND);
    g_assert_cmpstr(record->service->domain_uuid, ==, guest);
    g_assert_cmpuint(record->host, ==, host);
}

/* --- guests --- */

static void
test_empty(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);

    assert_answer(registry, "one", VCR_UNKNOWN);
    g_assert_cmpuint(vcr_registry_count(registry), ==, 0);
}

static void
test_set(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);

    set(registry, 0, GUEST_A, "one");
    set(registry, 0, GUEST_B, "two");
    assert_found(registry, "one", GUEST_A, 0);
    assert_found(registry, "two", GUEST_B, 0);
    g_assert_cmpuint(vcr_registry_count(registry), ==, 2);
}

static void
test_replace(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);

    set(registry, 0, GUEST_A, "one");
    set(registry, 0, GUEST_A, "two");
    assert_answer(registry, "one", VCR_UNKNOWN);
    assert_found(registry, "two", GUEST_A, 0);
    g_assert_cmpuint(vcr_registry_count(registry), ==, 1);
}

/* Whoever holds the old record keeps it. */
static void
test_replace_by_the_same(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);
    g_autoptr(VcrRecord) before = NULL;
    g_autoptr(VcrRecord) after = NULL;

    set(registry, 0, GUEST_A, "one");
    g_assert_cmpint(look_up(registry, "one", &before), ==, VCR_FOUND);
    set(registry, 0, GUEST_A, "one");
    g_assert_cmpint(look_up(registry, "one", &after), ==, VCR_FOUND);
    g_assert_true(before != after);
    g_assert_cmpstr(before->service->domain_uuid, ==, GUEST_A);
    g_assert_cmpuint(vcr_registry_count(registry), ==, 1);
}

static void
test_remove(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);

    set(registry, 0, GUEST_A, "one");
    set(registry, 0, GUEST_B, "two");
    vcr_registry_set_guest(registry, 0, GUEST_A, NULL);
    assert_answer(registry, "one", VCR_UNKNOWN);
    assert_found(registry, "two", GUEST_B, 0);
    set(registry, 0, GUEST_B, NULL);
    assert_answer(registry, "two", VCR_UNKNOWN);
    vcr_registry_set_guest(registry, 0, GUEST_B, NULL);
    g_assert_cmpuint(vcr_registry_count(registry), ==, 0);
}

static void
test_keep(void)
{
    g_autoptr(VcrRegistry) registry = listed(2);
    g_autoptr(GHashTable) uuids = g_hash_table_new(g_str_hash, g_str_equal);

    set(registry, 0, GUEST_A, "one");
    set(registry, 0, GUEST_B, "two");
    set(registry, 1, GUEST_A, "three"); /* of another libvirtd */
    g_hash_table_add(uuids, (gpointer)GUEST_B);
    g_hash_table_add(uuids, (gpointer) "cccccccc-0000-4000-8000-000000000000");
    vcr_registry_keep_guests(registry, 0, uuids);
    assert_answer(registry, "one", VCR_UNKNOWN);
    assert_found(registry, "two", GUEST_B, 0);
    assert_found(registry, "three", GUEST_A, 1);

    g_hash_table_remove_all(uuids);
    vcr_registry_keep_guests(registry, 0, uuids);
    g_assert_cmpuint(vcr_registry_count(registry), ==, 1);
}

static void
test_several_consoles(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);
    g_autoptr(GPtrArray) records = records_new();
    g_autoptr(VcrRecord) record = NULL;

    g_ptr_array_add(records, record_new("one", GUEST_A, 0, 0));
    g_ptr_array_add(records, record_new("two", GUEST_A, 0, 1));
    vcr_registry_set_guest(registry, 0, GUEST_A, records);
    g_assert_cmpint(look_up(registry, "two", &record), ==, VCR_FOUND);
    g_assert_cmpuint(record->service->console_index, ==, 1);
    g_assert_cmpuint(vcr_registry_count(registry), ==, 2);
}

/* The registry owns what it needs, and a record may outlive it. */
static void
test_ownership(void)
{
    VcrRegistry *registry = listed(1);
    g_autoptr(VcrRecord) record = NULL;

    set(registry, 0, GUEST_A, "one");
    g_assert_cmpint(look_up(registry, "one", &record), ==, VCR_FOUND);
    set(registry, 0, GUEST_A, NULL);
    vcr_registry_free(registry);
    g_assert_cmpstr(record->service->domain_uuid, ==, GUEST_A);
    vcr_registry_free(NULL);
    vcr_record_unref(NULL);
}

/* --- one token, two consoles --- */

static void
expect_warning(const char *one, const char *other)
{
    g_autofree char *pattern = g_strdup_printf("*two consoles*neither*%s*%s*", one, other);

    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, pattern);
}

static void
test_ambiguous_guests(void)
{
    g_autoptr(VcrRegistry) registry = listed(2);

    set(registry, 0, GUEST_A, "one");
    expect_warning(GUEST_B, GUEST_A);
    set(registry, 1, GUEST_B, "one");
    g_test_assert_expected_messages();
    assert_answer(registry, "one", VCR_AMBIGUOUS);

    /* said once */
    set(registry, 1, GUEST_B, "one");
    set(registry, 0, GUEST_A, "one");
    assert_answer(registry, "one", VCR_AMBIGUOUS);

    set(registry, 0, GUEST_A, "two");
    assert_found(registry, "one", GUEST_B, 1);
    assert_found(registry, "two", GUEST_A, 0);
}

static void
test_ambiguous_within(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);
    g_autoptr(GPtrArray) records = records_new();

    set(registry, 0, GUEST_A, "one");
    g_ptr_array_add(records, record_new("one", GUEST_A, 0, 0));
    g_ptr_array_add(records, record_new("one", GUEST_A, 0, 1));
    expect_warning("serial 1 of guest a", "serial 0 of guest a");
    vcr_registry_set_guest(registry, 0, GUEST_A, records);
    g_test_assert_expected_messages();
    assert_answer(registry, "one", VCR_AMBIGUOUS);
    set(registry, 0, GUEST_A, "one");
    assert_answer(registry, "one", VCR_FOUND);
}

/* The same console twice, and another: the log names two that differ. */
static void
test_ambiguous_while_migrating(void)
{
    g_autoptr(VcrRegistry) registry = listed(3);

    set(registry, 0, GUEST_A, "one");
    expect_warning(GUEST_B, GUEST_A);
    set(registry, 1, GUEST_B, "one");
    g_test_assert_expected_messages();
    expect_warning(GUEST_A, GUEST_B);
    set(registry, 2, GUEST_A, "one");
    g_test_assert_expected_messages();
    assert_answer(registry, "one", VCR_AMBIGUOUS);
}

/* A serial port and the console that mirrors it, in two entries: one and the same. */
static void
test_same_console_twice(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);
    g_autoptr(GPtrArray) records = records_new();
    VcrRecord *mirror = record_new("one", GUEST_A, 0, 0);

    mirror->kind = VCR_KIND_CONSOLE;
    g_ptr_array_add(records, record_new("one", GUEST_A, 0, 0));
    g_ptr_array_add(records, mirror);
    vcr_registry_set_guest(registry, 0, GUEST_A, records);
    assert_found(registry, "one", GUEST_A, 0);
}

/* --- one guest, two libvirtd --- */

static void
test_migration(void)
{
    g_autoptr(VcrRegistry) registry = listed(2);

    set(registry, 0, GUEST_A, "one");
    set_paused(registry, 1, GUEST_A, "one");
    assert_found(registry, "one", GUEST_A, 0);

    set_paused(registry, 0, GUEST_A, "one");
    set(registry, 1, GUEST_A, "one");
    assert_found(registry, "one", GUEST_A, 1);

    vcr_registry_set_guest(registry, 0, GUEST_A, NULL);
    assert_found(registry, "one", GUEST_A, 1);
    vcr_registry_set_guest(registry, 1, GUEST_A, NULL);
    assert_answer(registry, "one", VCR_UNKNOWN);
}

static void
test_migration_from_host_that_is_away(void)
{
    g_autoptr(VcrRegistry) registry = listed(2);

    set(registry, 0, GUEST_A, "one");
    vcr_registry_set_listed(registry, 0, FALSE);
    assert_answer(registry, "one", VCR_AWAY);
    set_paused(registry, 1, GUEST_A, "one");
    assert_found(registry, "one", GUEST_A, 1); /* the one that can be asked */

    vcr_registry_set_listed(registry, 1, FALSE);
    assert_answer(registry, "one", VCR_AWAY);
}

/* --- away --- */

static void
test_away(void)
{
    g_autoptr(VcrRegistry) registry = listed(2);

    set(registry, 0, GUEST_A, "one");
    set(registry, 1, GUEST_B, "two");
    vcr_registry_set_listed(registry, 0, FALSE);
    g_assert_false(vcr_registry_is_listed(registry, 0));
    g_assert_true(vcr_registry_is_listed(registry, 1));
    g_assert_false(vcr_registry_is_ready(registry));
    assert_answer(registry, "one", VCR_AWAY);
    assert_found(registry, "two", GUEST_B, 1);
    assert_answer(registry, "three", VCR_UNKNOWN);

    vcr_registry_set_listed(registry, 0, TRUE);
    g_assert_true(vcr_registry_is_ready(registry));
    assert_found(registry, "one", GUEST_A, 0);
}

/* What was stopped while nobody looked is found to be gone before the libvirtd counts as
 * listed. */
static void
test_gone_meanwhile(void)
{
    g_autoptr(VcrRegistry) registry = listed(1);

    set(registry, 0, GUEST_A, "one");
    vcr_registry_set_listed(registry, 0, FALSE);
    vcr_registry_set_guest(registry, 0, GUEST_A, NULL);
    assert_answer(registry, "one", VCR_UNKNOWN);
    vcr_registry_set_listed(registry, 0, TRUE);
    assert_answer(registry, "one", VCR_UNKNOWN);
}

/* A guest that cannot be read. */
static void
test_hidden(void)
{
    g_autoptr(VcrRegistry) registry = listed(2);

    vcr_registry_hide_guest(registry, 0, GUEST_A);
    set(registry, 0, GUEST_A, "a");
    set(registry, 0, GUEST_B, "b");
    assert_answer(registry, "a", VCR_FOUND);

    vcr_registry_hide_guest(registry, 0, GUEST_A);
    assert_answer(registry, "a", VCR_AWAY);
    assert_answer(registry, "b", VCR_FOUND);
    /* it may have moved */
    set_paused(registry, 1, GUEST_A, "a");
    assert_answer(registry, "a", VCR_FOUND);
    set(registry, 1, GUEST_A, NULL);
    assert_answer(registry, "a", VCR_AWAY);

    set(registry, 0, GUEST_A, "new");
    assert_answer(registry, "new", VCR_FOUND);
    assert_answer(registry, "a", VCR_UNKNOWN);
    vcr_registry_hide_guest(registry, 0, GUEST_A);
    set(registry, 0, GUEST_A, NULL);
    assert_answer(registry, "new", VCR_UNKNOWN);
}

/* A token that nobody knows may be of a libvirtd that has not been heard of yet. */
static void
test_never_listed(void)
{
    g_autoptr(VcrRegistry) registry = vcr_registry_new(2);

    g_assert_false(vcr_registry_is_ready(registry));
    assert_answer(registry, "one", VCR_AWAY);
    set(registry, 0, GUEST_A, "one");
    assert_answer(registry, "one", VCR_AWAY);
    vcr_registry_set_listed(registry, 0, TRUE);
    assert_found(registry, "one", GUEST_A, 0);
    assert_answer(registry, "two", VCR_AWAY);

    vcr_registry_set_listed(registry, 1, TRUE);
    g_assert_true(vcr_registry_is_ready(registry));
    assert_answer(registry, "two", VCR_UNKNOWN);

    /* from then on one that was listed is remembered */
    vcr_registry_set_listed(registry, 1, FALSE);
    assert_answer(registry, "two", VCR_UNKNOWN);
}

/* A token that was known and is gone is dead, whoever has not been heard of. */
static void
test_dead(void)
{
    g_autoptr(VcrRegistry) registry = vcr_registry_new(2);

    vcr_registry_set_listed(registry, 0, TRUE);
    set(registry, 0, GUEST_A, "one");
    set(registry, 0, GUEST_A, NULL);
    assert_answer(registry, "one", VCR_UNKNOWN);
    assert_answer(registry, "two", VCR_AWAY);

    set(registry, 0, GUEST_A, "one");
    assert_found(registry, "one", GUEST_A, 0);
    set(registry, 0, GUEST_A, "two");
    assert_answer(registry, "one", VCR_UNKNOWN);

    vcr_registry_set_listed(registry, 1, TRUE);
    assert_answer(registry, "one", VCR_UNKNOWN);
    assert_found(registry, "two", GUEST_A, 0);
}

static void
test_no_hosts(void)
{
    g_autoptr(VcrRegistry) registry = vcr_registry_new(0);

    g_assert_true(vcr_registry_is_ready(registry));
    assert_answer(registry, "one", VCR_UNKNOWN);
}

/* --- threads --- */

#define WRITERS 4
#define READERS 4
#define ROUNDS  2000
#define GUESTS  8 /* of each writer */

typedef struct {
    VcrRegistry *registry;
    guint number;
} Worker;

static void
name_guest(char *guest, gsize size, guint host, guint i)
{
    g_snprintf(guest, size, "%08x-0000-4000-8000-%012x", host, i);
}

static void
name_token(char *token, gsize size, guint host, guint i)
{
    g_snprintf(token, size, "token-%u-%u", host, i);
}

static gpointer
write_much(gpointer data)
{
    Worker *self = data;
    char guest[64], token[32];

    for (guint round = 0; round < ROUNDS; round++) {
        guint i = round % GUESTS;
        name_guest(guest, sizeof guest, self->number, i);
        name_token(token, sizeof token, self->number, i);
        set(self->registry, self->number, guest, round % 3 == 2 ? NULL : token);
        if (round % 50 == 0)
            vcr_registry_set_listed(self->registry, self->number, round % 100 != 0);
    }
    vcr_registry_set_listed(self->registry, self->number, TRUE);
    for (guint i = 0; i < GUESTS; i++) {
        name_guest(guest, sizeof guest, self->number, i);
        name_token(token, sizeof token, self->number, i);
        set(self->registry, self->number, guest, token);
    }
    return NULL;
}

/* What is found is whole and of the token that was asked for. */
static gpointer
read_much(gpointer data)
{
    Worker *self = data;
    char guest[64], token[32];

    for (guint round = 0; round < ROUNDS; round++) {
        guint host = (round + self->number) % WRITERS;
        name_guest(guest, sizeof guest, host, round % GUESTS);
        name_token(token, sizeof token, host, round % GUESTS);
        g_autoptr(VcrRecord) record = NULL;
        VcrAnswer answer = look_up(self->registry, token, &record);
        g_assert_cmpint(answer, !=, VCR_AMBIGUOUS);
        if (answer == VCR_FOUND) {
            g_assert_cmpstr(record->service->domain_uuid, ==, guest);
            g_assert_cmpuint(record->host, ==, host);
        }
        vcr_registry_is_ready(self->registry);
        g_assert_cmpuint(vcr_registry_count(self->registry), <=, WRITERS * GUESTS);
    }
    return NULL;
}

static void
test_threads(void)
{
    g_autoptr(VcrRegistry) registry = vcr_registry_new(WRITERS);
    Worker workers[WRITERS + READERS] = {0};
    GThread *threads[WRITERS + READERS];
    char guest[64], token[32];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++) {
        workers[i].registry = registry;
        workers[i].number = i < WRITERS ? i : i - WRITERS;
        threads[i] = g_thread_new("worker", i < WRITERS ? write_much : read_much, &workers[i]);
    }
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);

    g_assert_cmpuint(vcr_registry_count(registry), ==, WRITERS * GUESTS);
    for (guint i = 0; i < WRITERS * GUESTS; i++) {
        name_guest(guest, sizeof guest, i / GUESTS, i % GUESTS);
        name_token(token, sizeof token, i / GUESTS, i % GUESTS);
        assert_found(registry, token, guest, i / GUESTS);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/registry/empty", test_empty);
    g_test_add_func("/registry/set", test_set);
    g_test_add_func("/registry/replace", test_replace);
    g_test_add_func("/registry/replace-by-the-same", test_replace_by_the_same);
    g_test_add_func("/registry/remove", test_remove);
    g_test_add_func("/registry/keep", test_keep);
    g_test_add_func("/registry/several-consoles", test_several_consoles);
    g_test_add_func("/registry/ownership", test_ownership);
    g_test_add_func("/registry/ambiguous/guests", test_ambiguous_guests);
    g_test_add_func("/registry/ambiguous/within", test_ambiguous_within);
    g_test_add_func("/registry/ambiguous/while-migrating", test_ambiguous_while_migrating);
    g_test_add_func("/registry/same-console-twice", test_same_console_twice);
    g_test_add_func("/registry/migration", test_migration);
    g_test_add_func("/registry/migration-from-away", test_migration_from_host_that_is_away);
    g_test_add_func("/registry/away", test_away);
    g_test_add_func("/registry/gone-meanwhile", test_gone_meanwhile);
    g_test_add_func("/registry/hidden", test_hidden);
    g_test_add_func("/registry/never-listed", test_never_listed);
    g_test_add_func("/registry/dead", test_dead);
    g_test_add_func("/registry/no-hosts", test_no_hosts);
    g_test_add_func("/registry/threads", test_threads);
    return g_test_run();
}
