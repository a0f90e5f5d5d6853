/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Gives every file of the directory that it is called with to a fuzz target: a corpus as an
 * ordinary test, without libFuzzer. */
#include "fuzz.h"

int
main(int argc, char **argv)
{
    g_assert_cmpint(argc, ==, 2);
    g_autoptr(GDir) dir = g_dir_open(argv[1], 0, NULL);
    guint n = 0;

    g_assert_nonnull(dir);
    for (const char *name = g_dir_read_name(dir); name != NULL; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(argv[1], name, NULL);
        g_autofree char *data = NULL;
        gsize size;
        g_assert_true(g_file_get_contents(path, &data, &size, NULL));
        LLVMFuzzerTestOneInput((const guint8 *)data, size);
        n++;
    }
    g_assert_cmpuint(n, >, 0);
    return 0;
}
