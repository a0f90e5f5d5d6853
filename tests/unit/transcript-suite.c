/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Every transcript in every way in which it can be replayed, as a test of its own. */
#include "transcript.h"

#define N_SEEDS 40

static void
test_whole(gconstpointer transcript)
{
    transcript_replay_whole(transcript);
}

static void
test_bytes(gconstpointer transcript)
{
    transcript_replay_bytes(transcript);
}

static void
test_random(gconstpointer transcript)
{
    for (guint32 seed = 0; seed < N_SEEDS; seed++)
        transcript_replay_random(transcript, seed);
}

static void
test_truncated(gconstpointer transcript)
{
    transcript_replay_truncated(transcript);
}

static void
test_injected(gconstpointer transcript)
{
    transcript_replay_injected(transcript);
}

static void
add_test(const Transcript *transcript, const char *manner, GTestDataFunc run)
{
    g_autofree char *path = g_strdup_printf("/%s/%s", transcript->name, manner);

    g_test_add_data_func(path, transcript, run);
}

static void
add_tests(const Transcript *transcript)
{
    add_test(transcript, "whole", test_whole);
    add_test(transcript, "bytes", test_bytes);
    add_test(transcript, "random", test_random);
    if (transcript_has_step(transcript, TRANSCRIPT_SPLICE))
        add_test(transcript, "truncated", test_truncated);
    if (transcript_has_step(transcript, TRANSCRIPT_START_TLS))
        add_test(transcript, "injected", test_injected);
}

static GPtrArray *
load(const char *directory, const char *prefix)
{
    GPtrArray *files = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);

    g_assert_nonnull(dir);
    for (const char *name = g_dir_read_name(dir); name != NULL; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        if (g_str_has_prefix(name, prefix) && g_str_has_suffix(name, ".txt"))
            g_ptr_array_add(files, transcript_load(path));
    }
    g_assert_cmpuint(files->len, >, 0);
    return files;
}

int
transcript_suite(int argc, char **argv, const char *prefix)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *directory = g_test_build_filename(G_TEST_DIST, "..", "transcripts", NULL);
    g_autoptr(GPtrArray) files = load(directory, prefix);

    for (guint i = 0; i < files->len; i++) {
        const GPtrArray *transcripts = g_ptr_array_index(files, i);
        for (guint j = 0; j < transcripts->len; j++)
            add_tests(g_ptr_array_index(transcripts, j));
    }
    return g_test_run();
}
