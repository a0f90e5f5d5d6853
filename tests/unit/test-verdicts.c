/* SPDX-License-Identifier: LGPL-2.1-or-later
 * How long a verdict is remembered, for which question, and how many are. */
#include "common/verdicts.h"

#include <string.h>

#define SECOND_US    (gint64) G_USEC_PER_SEC
#define START_US     (1000 * SECOND_US)
#define MAX_VERDICTS 4096

static void
make_question(guint8 question[VC_VERDICT_SIZE], guint n)
{
    gsize length = VC_VERDICT_SIZE;
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(checksum, (const guchar *)&n, sizeof n);
    g_checksum_get_digest(checksum, question, &length);
    g_checksum_free(checksum);
}

static void
add(VcVerdicts *verdicts, guint n, gint64 now_us)
{
    guint8 question[VC_VERDICT_SIZE];

    make_question(question, n);
    vc_verdicts_add(verdicts, question, now_us);
}

static gboolean
knows(VcVerdicts *verdicts, guint n, gint64 now_us)
{
    guint8 question[VC_VERDICT_SIZE];

    make_question(question, n);
    return vc_verdicts_know(verdicts, question, now_us);
}

static void
test_minute(void)
{
    VcVerdicts *verdicts = vc_verdicts_new();

    g_assert_false(knows(verdicts, 1, START_US));
    add(verdicts, 1, START_US);
    g_assert_true(knows(verdicts, 1, START_US));
    g_assert_true(knows(verdicts, 1, START_US + 60 * SECOND_US - 1));
    g_assert_false(knows(verdicts, 1, START_US + 60 * SECOND_US));
    g_assert_false(knows(verdicts, 1, START_US + 3600 * SECOND_US));
    vc_verdicts_free(verdicts);
    vc_verdicts_free(NULL);
}

/* To have been asked about makes it no younger; to have been judged again does. */
static void
test_again(void)
{
    VcVerdicts *verdicts = vc_verdicts_new();

    add(verdicts, 1, START_US);
    g_assert_true(knows(verdicts, 1, START_US + 59 * SECOND_US));
    g_assert_false(knows(verdicts, 1, START_US + 61 * SECOND_US));
    add(verdicts, 1, START_US + 61 * SECOND_US);
    g_assert_true(knows(verdicts, 1, START_US + 120 * SECOND_US));
    g_assert_false(knows(verdicts, 1, START_US + 121 * SECOND_US));
    vc_verdicts_free(verdicts);
}

/* Each byte of the question counts. */
static void
test_other_question(void)
{
    VcVerdicts *verdicts = vc_verdicts_new();
    guint8 question[VC_VERDICT_SIZE];

    make_question(question, 1);
    vc_verdicts_add(verdicts, question, START_US);
    for (gsize i = 0; i < sizeof question; i++) {
        question[i] ^= 1;
        g_assert_false(vc_verdicts_know(verdicts, question, START_US));
        question[i] ^= 1;
    }
    g_assert_true(vc_verdicts_know(verdicts, question, START_US));
    /* A copy was taken. */
    memset(question, 0, sizeof question);
    g_assert_true(knows(verdicts, 1, START_US));
    vc_verdicts_free(verdicts);
}

static guint
count_known(VcVerdicts *verdicts, guint n)
{
    guint known = 0;

    for (guint i = 0; i < n; i++)
        known += knows(verdicts, i, START_US) ? 1 : 0;
    return known;
}

static void
test_many(void)
{
    VcVerdicts *verdicts = vc_verdicts_new();

    for (guint i = 0; i < MAX_VERDICTS; i++)
        add(verdicts, i, START_US);
    g_assert_cmpuint(count_known(verdicts, MAX_VERDICTS), ==, MAX_VERDICTS);
    for (guint i = MAX_VERDICTS; i < 3 * MAX_VERDICTS; i++) {
        add(verdicts, i, START_US);
        g_assert_true(knows(verdicts, i, START_US));
    }
    g_assert_cmpuint(count_known(verdicts, 3 * MAX_VERDICTS), <=, MAX_VERDICTS);
    vc_verdicts_free(verdicts);
}

/* --- threads --- */

#define N_OF_THREAD 1000
#define N_ROUNDS    20

typedef struct {
    VcVerdicts *verdicts;
    guint first;
} Worker;

static gpointer
work(gpointer data)
{
    const Worker *self = data;

    for (guint round = 0; round < N_ROUNDS; round++) {
        for (guint i = self->first; i < self->first + N_OF_THREAD; i++) {
            add(self->verdicts, i, START_US);
            g_assert_true(knows(self->verdicts, i, START_US));
        }
    }
    return NULL;
}

static void
test_threads(void)
{
    VcVerdicts *verdicts = vc_verdicts_new();
    Worker workers[] = {{verdicts, 0}, {verdicts, N_OF_THREAD}};
    GThread *threads[G_N_ELEMENTS(workers)];

    for (gsize i = 0; i < G_N_ELEMENTS(workers); i++)
        threads[i] = g_thread_new("worker", work, &workers[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(workers); i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(count_known(verdicts, 2 * N_OF_THREAD), ==, 2 * N_OF_THREAD);
    vc_verdicts_free(verdicts);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/verdicts/minute", test_minute);
    g_test_add_func("/verdicts/again", test_again);
    g_test_add_func("/verdicts/other-question", test_other_question);
    g_test_add_func("/verdicts/many", test_many);
    g_test_add_func("/verdicts/threads", test_threads);
    return g_test_run();
}
