/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Tokens: syntax, digest, id, and that they are overwritten. */
#include "common/token.h"

#include <string.h>

#include "wiped.h"

#define SIXTEEN "0123456789abcdef"
#define LONGEST                                                                                \
    SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN    \
        SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN

static const struct {
    const char *name;
    const char *token;
    gboolean valid;
} rows[] = {
    {"letters", "secret", TRUE},
    {"one-character", "x", TRUE},
    {"uuid", "3b241101-e2bb-4255-8caf-4136c566a962", TRUE},
    {"base64", "ab+cd_-.~==", TRUE},
    {"dots-and-more", "..a", TRUE},
    {"three-dots", "...", TRUE},
    {"percent", "%2e%2e", TRUE},
    {"every-other-sign", "!\"$&'()*+,-.:;<=>@[]^_`{|}~", TRUE},
    {"longest", LONGEST, TRUE},

    {"empty", "", FALSE},
    {"too-long", LONGEST "x", FALSE},
    {"dot", ".", FALSE},
    {"two-dots", "..", FALSE},
    {"slash", "a/b", FALSE},
    {"backslash", "a\\b", FALSE},
    {"question-mark", "a?b", FALSE},
    {"hash", "a#b", FALSE},
    {"space", "a b", FALSE},
    {"tab", "a\tb", FALSE},
    {"line-break", "a\r\nb", FALSE},
    {"escape", "a\x1b", FALSE},
    {"delete", "a\x7f", FALSE},
    {"not-ascii", "a\xc3\xa4", FALSE},
    {"high-byte", "a\xff", FALSE},
};

static void
test_valid(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);

    g_assert_true(vc_token_is_valid(rows[i].token) == rows[i].valid);
}

/* FIPS 180-4's example. */
static void
test_digest(void)
{
    char digest[VC_TOKEN_DIGEST_SIZE];
    char id[VC_TOKEN_ID_SIZE];

    vc_token_digest("abc", digest);
    g_assert_cmpstr(digest, ==,
                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    vc_token_id("abc", id);
    g_assert_cmpstr(id, ==, "ba7816bf");
}

static void
test_wiped(void)
{
    char *secret = g_strdup("correct horse");

    wiped_watch(secret);
    vc_secret_free(secret);
    g_assert_true(wiped_was());
    vc_secret_free(NULL);

    /* The watch itself can tell. */
    char *other = g_strdup("correct horse");
    wiped_watch(other);
    g_free(other);
    g_assert_false(wiped_was());
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/token/valid/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_valid);
    }
    g_test_add_func("/token/digest", test_digest);
    g_test_add_func("/token/wiped", test_wiped);
    return g_test_run();
}
