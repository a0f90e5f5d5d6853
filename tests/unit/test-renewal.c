/* SPDX-License-Identifier: LGPL-2.1-or-later
 * When files are loaded again: a change in place, a rename, a link that is switched, a failure;
 * and when not. */
#include "common/renewal.h"

#include <glib/gstdio.h>
#include <unistd.h>

#include "common/error.h"

typedef struct {
    char *directory, *a, *b;
    const char *paths[3];
    VcRenewal *renewal;
    guint loads;
    gboolean is_broken;
} Fixture;

static gboolean
load(gpointer data, GError **error)
{
    Fixture *self = data;

    self->loads++;
    if (!self->is_broken)
        return TRUE;
    g_set_error_literal(error, VC_ERROR, VC_ERROR_CONFIG, "it is broken");
    return FALSE;
}

static char *
in_directory(const Fixture *self, const char *name)
{
    return g_build_filename(self->directory, name, NULL);
}

static void
write_file(const char *path, const char *text)
{
    g_assert_cmpint(g_unlink(path) == 0 || !g_file_test(path, G_FILE_TEST_EXISTS), ==, 1);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->directory = g_dir_make_tmp("renewal-XXXXXX", NULL);
    self->a = in_directory(self, "a");
    self->b = in_directory(self, "b");
    self->paths[0] = self->a;
    self->paths[1] = self->b;
    write_file(self->a, "a");
    write_file(self->b, "b");
    self->renewal = vc_renewal_new("thing", load, self);
    g_assert_true(vc_renewal_start(self->renewal, self->paths, NULL));
    g_assert_cmpuint(self->loads, ==, 1);
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GDir) names = g_dir_open(self->directory, 0, NULL);
    const char *name;

    vc_renewal_free(self->renewal);
    while ((name = g_dir_read_name(names)) != NULL) {
        g_autofree char *path = in_directory(self, name);
        g_unlink(path);
    }
    g_rmdir(self->directory);
    g_free(self->directory);
    g_free(self->a);
    g_free(self->b);
}

static void
expect_reloaded(void)
{
    g_test_expect_message(G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "reloaded: thing");
}

static void
expect_kept(void)
{
    g_test_expect_message(G_LOG_DOMAIN, G_LOG_LEVEL_WARNING,
                          "not reloaded, the old thing stays: it is broken");
}

/* Looks, which must load so often in all and say what is expected. */
static void
look(Fixture *self, guint loads)
{
    vc_renewal_look(self->renewal);
    g_test_assert_expected_messages();
    g_assert_cmpuint(self->loads, ==, loads);
}

static void
test_nothing(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    look(self, 1);
    look(self, 1);
}

static void
test_rename(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *fresh = in_directory(self, "fresh");

    write_file(fresh, "b");
    g_assert_cmpint(g_rename(fresh, self->b), ==, 0);
    expect_reloaded();
    look(self, 2);
    look(self, 2);
}

static void
test_in_place(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    FILE *file = g_fopen(self->a, "w");

    g_assert_cmpint(fputs("longer", file), >=, 0);
    fclose(file);
    expect_reloaded();
    look(self, 2);
}

static void
test_link(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *link = in_directory(self, "link");
    g_autofree char *fresh = in_directory(self, "fresh");
    const char *const paths[] = {link, NULL};

    g_assert_cmpint(symlink(self->a, link), ==, 0);
    expect_reloaded();
    vc_renewal_reload(self->renewal, paths);
    look(self, 2);
    g_assert_cmpint(symlink(self->b, fresh), ==, 0);
    g_assert_cmpint(g_rename(fresh, link), ==, 0);
    expect_reloaded();
    look(self, 3);
}

static void
test_broken(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->is_broken = TRUE;
    write_file(self->a, "new");
    expect_kept();
    look(self, 2);
    look(self, 3); /* tries, and says nothing */
    self->is_broken = FALSE;
    expect_reloaded();
    look(self, 4);
    look(self, 4);
}

static void
test_asked(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    expect_reloaded();
    vc_renewal_reload(self->renewal, self->paths);
    self->is_broken = TRUE;
    expect_kept();
    vc_renewal_reload(self->renewal, self->paths);
    expect_kept(); /* whoever asks again is told again */
    vc_renewal_reload(self->renewal, self->paths);
    g_test_assert_expected_messages();
    g_assert_cmpuint(self->loads, ==, 4);
}

static void
test_gone(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_unlink(self->a);
    self->is_broken = TRUE;
    expect_kept();
    look(self, 2);
    write_file(self->a, "back");
    self->is_broken = FALSE;
    expect_reloaded();
    look(self, 3);
}

static void
test_start_fails(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;

    self->is_broken = TRUE;
    g_assert_false(vc_renewal_start(self->renewal, self->paths, &error));
    g_assert_error(error, VC_ERROR, VC_ERROR_CONFIG);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *, gconstpointer);
    } tests[] = {
        {"nothing", test_nothing},   {"rename", test_rename},
        {"in-place", test_in_place}, {"link", test_link},
        {"broken", test_broken},     {"asked", test_asked},
        {"gone", test_gone},         {"start-fails", test_start_fails},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/renewal/", tests[i].name, NULL);
        g_test_add(path, Fixture, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}
