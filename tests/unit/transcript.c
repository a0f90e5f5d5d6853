/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Reads transcripts; their form is described in the header. */
#include "transcript.h"

#include <string.h>

typedef struct {
    const char *file;
    guint line;
} Place;

static G_NORETURN void
malformed(const Place *place, const char *what)
{
    g_error("%s:%u: %s", place->file, place->line, what);
}

static char
unescape(char c, const Place *place)
{
    switch (c) {
    case 'n':
        return '\n';
    case '0':
        return '\0';
    case 'e':
        return '\x1b';
    case '"':
        return c;
    default:
        malformed(place, "unknown escape");
    }
}

/* Returns what follows the closing quote. */
static const char *
parse_quoted(const char *at, GByteArray *bytes, const Place *place)
{
    for (at++; *at != '"'; at++) {
        char c = *at;
        if (c == '\0')
            malformed(place, "no closing quote");
        if (c == '\\')
            c = unescape(*++at, place);
        g_byte_array_append(bytes, (const guint8 *)&c, 1);
    }
    return at + 1;
}

static const char *
parse_hex(const char *at, GByteArray *bytes, const Place *place)
{
    for (; strchr(" *", *at) == NULL; at += 2) {
        if (!g_ascii_isxdigit(at[0]) || !g_ascii_isxdigit(at[1]))
            malformed(place, "neither hex digits in pairs nor a quoted text");
        guint8 byte = (guint8)(g_ascii_xdigit_value(at[0]) << 4 | g_ascii_xdigit_value(at[1]));
        g_byte_array_append(bytes, &byte, 1);
    }
    return at;
}

static const char *
parse_repeat(const char *at, GByteArray *bytes, gsize item, const Place *place)
{
    char *end;
    guint64 times = g_ascii_strtoull(at + 1, &end, 10);

    if (times == 0 || end == at + 1)
        malformed(place, "\"*\" without a number");
    g_autofree guint8 *copy = g_memdup2(bytes->data + item, bytes->len - item);
    guint length = (guint)(bytes->len - item);
    for (guint64 i = 1; i < times; i++)
        g_byte_array_append(bytes, copy, length);
    return end;
}

static GByteArray *
parse_bytes(const char *at, const Place *place)
{
    GByteArray *bytes = g_byte_array_new();
    gsize item = 0;

    for (; *at != '\0'; at += strspn(at, " ")) {
        if (*at == '*') {
            at = parse_repeat(at, bytes, item, place);
            continue;
        }
        item = bytes->len;
        at = *at == '"' ? parse_quoted(at, bytes, place) : parse_hex(at, bytes, place);
    }
    return bytes;
}

/* Words of a service line that are fields of the resolver's answer. */
static const struct {
    const char *word;
    const char *field;
} flags[] = {{"insecure", "insecure"}, {"tunnel", "tlsTunnel"}, {"power", "powerControl"}};

static void
parse_option(Transcript *self, json_t *json, const char *word, const Place *place)
{
    for (gsize i = 0; i < G_N_ELEMENTS(flags); i++) {
        if (g_str_equal(word, flags[i].word)) {
            json_object_set_new(json, flags[i].field, json_true());
            return;
        }
    }
    if (g_str_equal(word, "spice"))
        json_object_set_new(json, "type", json_string("spice"));
    else if (g_str_has_prefix(word, "password="))
        json_object_set_new(json, "password", json_string(strchr(word, '=') + 1));
    else if (g_str_equal(word, "no-credentials"))
        self->has_credentials = FALSE;
    else
        malformed(place, "unknown option of a service");
}

static void
parse_service(Transcript *self, const char *options, const Place *place)
{
    g_auto(GStrv) words = NULL;
    json_t *json = json_pack("{s:s, s:s}", "type", "vnc", "address", "hypervisor.example:5900");

    if (options[0] != '\0' && !g_shell_parse_argv(options, NULL, &words, NULL))
        malformed(place, "bad quotes");
    self->has_credentials = TRUE;
    for (char **word = words; word != NULL && *word != NULL; word++)
        parse_option(self, json, *word, place);
    vc_service_unref(self->service);
    self->service = vc_service_from_json(json, NULL);
    g_assert_nonnull(self->service);
    json_decref(json);
}

static void
step_free(gpointer data)
{
    TranscriptStep *step = data;

    if (step->bytes != NULL)
        g_byte_array_unref(step->bytes);
    g_free(step->word);
    g_free(step->text);
    g_free(step);
}

static void
transcript_free(gpointer data)
{
    Transcript *self = data;

    vc_service_unref(self->service);
    g_ptr_array_unref(self->steps);
    g_free(self->name);
    g_free(self);
}

static const struct {
    const char *word;
    TranscriptOp op;
    VcpSide side;
} ops[] = {
    {"tenant>", TRANSCRIPT_SEND, VCP_TENANT},
    {"tenant<", TRANSCRIPT_EXPECT, VCP_TENANT},
    {"compute>", TRANSCRIPT_SEND, VCP_COMPUTE},
    {"compute<", TRANSCRIPT_EXPECT, VCP_COMPUTE},
    {"start-tls", TRANSCRIPT_START_TLS, VCP_COMPUTE},
    {"splice", TRANSCRIPT_SPLICE, VCP_TENANT},
    {"store", TRANSCRIPT_STORE, VCP_TENANT},
    {"fail", TRANSCRIPT_FAIL, VCP_TENANT},
    {"refuse", TRANSCRIPT_REFUSE, VCP_TENANT},
    {"refused", TRANSCRIPT_REFUSED, VCP_TENANT},
};

static void
parse_store(TranscriptStep *step, const char *rest, const Place *place)
{
    static const char *const answers[] = {
        [VCP_STORE_OK] = "ok",
        [VCP_STORE_TAKEN] = "taken",
        [VCP_STORE_SPENT] = "spent",
        [VCP_STORE_UNKNOWN] = "unknown",
        [VCP_STORE_NOT_LISTED] = "not-listed",
        [VCP_STORE_AWAY] = "away",
    };
    const char *space = strrchr(rest, ' ');
    gsize i = 0;

    if (space == NULL)
        malformed(place, "a note without an answer");
    while (i < G_N_ELEMENTS(answers) && !g_str_equal(space + 1, answers[i]))
        i++;
    if (i == G_N_ELEMENTS(answers))
        malformed(place, "unknown answer of the store");
    step->text = g_strndup(rest, (gsize)(space - rest));
    step->answer = (VcpStoreAnswer)i;
}

/* What a side is sent at once may stand in several lines. */
static void
add_step(Transcript *self, TranscriptStep *step)
{
    TranscriptStep *last =
        self->steps->len > 0 ? g_ptr_array_index(self->steps, self->steps->len - 1) : NULL;

    if (last == NULL || step->op != TRANSCRIPT_EXPECT || last->op != TRANSCRIPT_EXPECT ||
        last->side != step->side) {
        g_ptr_array_add(self->steps, step);
        return;
    }
    g_byte_array_append(last->bytes, step->bytes->data, step->bytes->len);
    step_free(step);
}

static void
parse_step(Transcript *self, const char *word, const char *rest, const Place *place)
{
    TranscriptStep *step = g_new0(TranscriptStep, 1);
    gsize i = 0;

    while (i < G_N_ELEMENTS(ops) && !g_str_equal(word, ops[i].word))
        i++;
    if (i == G_N_ELEMENTS(ops))
        malformed(place, "unknown step");
    step->op = ops[i].op;
    step->side = ops[i].side;
    if (step->op == TRANSCRIPT_SEND || step->op == TRANSCRIPT_EXPECT)
        step->bytes = parse_bytes(rest, place);
    else if (step->op == TRANSCRIPT_STORE)
        parse_store(step, rest, place);
    else if (step->op == TRANSCRIPT_REFUSE)
        step->word = g_strdup(rest);
    else if (step->op == TRANSCRIPT_FAIL) {
        const char *space = strchr(rest, ' ');
        step->word = space != NULL ? g_strndup(rest, (gsize)(space - rest)) : g_strdup(rest);
        step->text = space != NULL ? g_strdup(space + 1) : NULL;
    }
    add_step(self, step);
}

/* lines: of a case, from below its name; the same lines are parsed for every case that they
 * begin. */
static void
parse_lines(Transcript *self, char **lines, gsize n_lines, Place place)
{
    for (gsize i = 0; i < n_lines; i++, place.line++) {
        g_auto(GStrv) parts = g_strsplit(g_strstrip(lines[i]), " ", 2);
        if (parts[0] == NULL || parts[0][0] == '#')
            continue;
        const char *rest = parts[1] != NULL ? parts[1] + strspn(parts[1], " ") : "";
        if (g_str_equal(parts[0], "service"))
            parse_service(self, rest, &place);
        else
            parse_step(self, parts[0], rest, &place);
    }
}

static gsize
next_case(char **lines, gsize from)
{
    while (lines[from] != NULL && !g_str_has_prefix(lines[from], "case "))
        from++;
    return from;
}

GPtrArray *
transcript_load(const char *path)
{
    g_autofree char *text = NULL;
    g_autofree char *file = g_path_get_basename(path);
    GPtrArray *transcripts = g_ptr_array_new_with_free_func(transcript_free);

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    *strrchr(file, '.') = '\0';
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    gsize prelude = next_case(lines, 0);
    for (gsize at = prelude, next; lines[at] != NULL; at = next) {
        Transcript *self = g_new0(Transcript, 1);
        next = next_case(lines, at + 1);
        self->name = g_strdup_printf("%s/%s", file, g_strstrip(lines[at] + strlen("case ")));
        self->steps = g_ptr_array_new_with_free_func(step_free);
        parse_service(self, "", &(Place){path, 0});
        parse_lines(self, lines, prelude, (Place){path, 1});
        parse_lines(self, lines + at + 1, next - at - 1, (Place){path, (guint)at + 2});
        g_ptr_array_add(transcripts, self);
    }
    return transcripts;
}
