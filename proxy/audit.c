/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Records, and where they go. In this order, so that at every moment the next process can tell
 * what is missing: the slot says that a record is being written, the record, the slot says that
 * it was. */
#include "proxy/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/audit-open.h"
#include "proxy/metrics.h"

#define STATE_FILE "sessions.open"
#define TAIL_SIZE  (1 << 20) /* of the log: where a record stands that was the last */
#define MAX_TEXT   280       /* bytes of a name: two of them, escaped, fit a slot */

struct VcpAudit {
    char *path;        /* nullable: the journal */
    int fd;            /* of the log; -1: the journal */
    VcpOpenFile *open; /* nullable: there is nowhere to keep it */
    guint64 instance;  /* tells this process's sessions from another's */
    int has_warned;    /* atomic */
};

/* --- records --- */

static char *
text_now(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");

    return g_strdup_printf("%s.%03dZ", time, g_date_time_get_microsecond(now) / 1000);
}

static void
set_text(json_t *record, const char *key, const char *text)
{
    g_autofree char *head = g_strndup(text, MAX_TEXT);
    g_autofree char *valid = g_utf8_make_valid(head, -1);

    json_object_set_new(record, key, json_string(valid));
}

static void
set_number(json_t *record, const char *key, guint64 number)
{
    json_object_set_new(record, key, json_integer((json_int_t)number));
}

static json_t *
make_record(const VcpAudit *self, const char *event, const VcpSessionInfo *info)
{
    g_autofree char *time = text_now();
    g_autofree char *session = g_strdup_printf("%016" G_GINT64_MODIFIER "x-%" G_GUINT64_FORMAT,
                                               self->instance, info->id);
    json_t *record = json_object();

    set_text(record, "time", time);
    set_text(record, "event", event);
    set_text(record, "session", session);
    set_number(record, "id", info->id);
    set_text(record, "tokenId", info->token_id);
    set_text(record, "type", vc_console_type_name(info->type));
    set_text(record, "client", info->client);
    set_text(record, "console", info->console);
    return record;
}

/* --- the journal --- */

/* "bytesIn" → "CONSOLE_BYTES_IN" */
static char *
journal_name(const char *key)
{
    GString *name = g_string_new("CONSOLE_");

    for (const char *at = key; *at != '\0'; at++) {
        if (g_ascii_isupper(*at))
            g_string_append_c(name, '_');
        g_string_append_c(name, g_ascii_toupper(*at));
    }
    return g_string_free(name, FALSE);
}

static char *
journal_message(const json_t *record)
{
    return g_strdup_printf("audit: session %" JSON_INTEGER_FORMAT
                           " %s: token %s client %s console %s %s",
                           json_integer_value(json_object_get(record, "id")),
                           json_string_value(json_object_get(record, "event")),
                           json_string_value(json_object_get(record, "tokenId")),
                           json_string_value(json_object_get(record, "client")),
                           json_string_value(json_object_get(record, "type")),
                           json_string_value(json_object_get(record, "console")));
}

static char *
plain_value(const json_t *value)
{
    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    if (json_is_integer(value))
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return json_is_real(value) ? g_strdup_printf("%.3f", json_real_value(value)) : g_strdup("");
}

static gboolean
write_journal(json_t *record)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) fields = g_array_new(FALSE, FALSE, sizeof(GLogField));
    g_autofree char *message = journal_message(record);
    const char *key;
    json_t *value;

    GLogField first[] = {{"MESSAGE", message, -1},
                         {"PRIORITY", "6", -1},
                         {"SYSLOG_IDENTIFIER", g_get_prgname(), -1}};
    g_array_append_vals(fields, first, G_N_ELEMENTS(first));
    json_object_foreach(record, key, value)
    {
        GLogField field = {journal_name(key), plain_value(value), -1};
        g_ptr_array_add(texts, (gpointer)field.key);
        g_ptr_array_add(texts, (gpointer)field.value);
        g_array_append_val(fields, field);
    }
    return g_log_writer_journald(G_LOG_LEVEL_INFO, (const GLogField *)(gpointer)fields->data,
                                 fields->len, NULL) == G_LOG_WRITER_HANDLED;
}

/* --- the file --- */

static gboolean
write_line(const VcpAudit *self, json_t *record)
{
    char *text = json_dumps(record, JSON_COMPACT);
    g_autofree char *line = g_strconcat(text, "\n", NULL);

    /* One write a line, so that the lines of several threads stay whole. */
    gssize written = write(self->fd, line, strlen(line));
    free(text);
    return written == (gssize)strlen(line);
}

static void
write_record(VcpAudit *self, json_t *record)
{
    if (self->fd >= 0 ? write_line(self, record) : write_journal(record))
        return;
    vcp_metrics_audit_error();
    if (g_atomic_int_compare_and_exchange(&self->has_warned, FALSE, TRUE))
        g_warning("the audit log cannot be written: %s", g_strerror(errno));
}

guint
vcp_audit_start(VcpAudit *self, const VcpSessionInfo *info)
{
    guint ticket = 0;

    if (self == NULL)
        return 0;
    json_t *record = make_record(self, "start", info);
    if (self->open != NULL) {
        char *text = json_dumps(record, JSON_COMPACT);
        ticket = vcp_open_file_add(self->open, text);
        free(text);
    }
    write_record(self, record);
    if (self->open != NULL)
        vcp_open_file_mark(self->open, ticket, VCP_OPEN_LIVE);
    json_decref(record);
    return ticket;
}

static void
write_end(VcpAudit *self, guint ticket, json_t *record /* full */)
{
    if (self->open != NULL)
        vcp_open_file_mark(self->open, ticket, VCP_OPEN_ENDING);
    write_record(self, record);
    if (self->open != NULL)
        vcp_open_file_mark(self->open, ticket, VCP_OPEN_FREE);
    json_decref(record);
}

void
vcp_audit_end(VcpAudit *self, guint ticket, const VcpSessionInfo *info, double seconds,
              VcError code)
{
    if (self == NULL)
        return;
    json_t *record = make_record(self, "end", info);
    json_object_set_new(record, "seconds", json_real(seconds));
    set_number(record, "bytesIn", info->bytes_in);
    set_number(record, "bytesOut", info->bytes_out);
    set_number(record, "code", vc_error_close_code(code));
    set_text(record, "reason", vc_error_name(code));
    write_end(self, ticket, record);
}

/* --- what the process before has left --- */

/* The log's last lines (full), from the beginning of one; "" in the journal. */
static char *
read_tail(const VcpAudit *self)
{
    off_t size = self->path != NULL ? lseek(self->fd, 0, SEEK_END) : 0;
    off_t from = MAX(size - TAIL_SIZE, 0);
    char *tail = g_malloc0((gsize)(size - from) + 1);

    if (pread(self->fd, tail, (gsize)(size - from), from) < 0)
        tail[0] = '\0';
    return tail;
}

/* Whether the tail has a whole record of that event of that session. */
static gboolean
has_record(const char *tail, const char *event, const char *session)
{
    g_auto(GStrv) lines = g_strsplit(tail, "\n", -1);
    gboolean found = FALSE;

    for (char **line = lines; *line != NULL && !found; line++) {
        if (strstr(*line, session) == NULL)
            continue;
        json_t *record = json_loads(*line, 0, NULL);
        found =
            g_strcmp0(json_string_value(json_object_get(record, "session")), session) == 0 &&
            g_strcmp0(json_string_value(json_object_get(record, "event")), event) == 0;
        json_decref(record);
    }
    return found;
}

/* The journal cannot be read here: there a record is taken to be written as soon as it was
 * about to be. */
static gboolean
lacks_end(const VcpAudit *self, VcpOpenPhase phase, const char *session)
{
    if (phase == VCP_OPEN_LIVE)
        return TRUE;
    if (self->path == NULL)
        return phase == VCP_OPEN_STARTING;
    g_autofree char *tail = read_tail(self);
    return phase == VCP_OPEN_STARTING ? has_record(tail, "start", session)
                                      : !has_record(tail, "end", session);
}

static void
make_it_an_end(json_t *record)
{
    static const char *const unknown[] = {"seconds", "bytesIn", "bytesOut", "code"};
    g_autofree char *time = text_now();

    set_text(record, "time", time);
    set_text(record, "event", "end");
    for (gsize i = 0; i < G_N_ELEMENTS(unknown); i++)
        json_object_set_new(record, unknown[i], json_null());
    set_text(record, "reason", "unknown");
}

static void
finish_slot(guint slot, VcpOpenPhase phase, const char *text, gpointer data)
{
    VcpAudit *self = data;
    json_t *record = json_loads(text, 0, NULL);
    const char *session = json_string_value(json_object_get(record, "session"));

    if (session == NULL || !lacks_end(self, phase, session)) {
        vcp_open_file_mark(self->open, slot, VCP_OPEN_FREE);
        json_decref(record);
        return;
    }
    g_message("session %s of a proxy that was killed is recorded as ended", session);
    make_it_an_end(record);
    write_end(self, slot, record);
}

/* --- life --- */

static int
open_log(const char *path, GError **error)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

    if (fd < 0)
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s: %s (see --audit-log)", path,
                    g_strerror(errno));
    return fd;
}

/* A process that is killed while it writes may leave the first half of a line. */
static void
end_last_line(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char last = '\n';

    if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n')
        (void)!write(fd, "\n", 1);
}

static char *
state_path(const char *file)
{
    const char *directory = g_getenv("STATE_DIRECTORY"); /* systemd's StateDirectory= */

    if (file != NULL)
        return g_strconcat(file, ".open", NULL);
    if (directory == NULL)
        return NULL;
    g_auto(GStrv) directories = g_strsplit(directory, ":", 2);
    return g_build_filename(directories[0], STATE_FILE, NULL);
}

static gboolean
start(VcpAudit *self, const char *file, GError **error)
{
    g_autofree char *state = state_path(file);

    if (file != NULL) {
        self->fd = open_log(file, error);
        if (self->fd < 0)
            return FALSE;
        end_last_line(self->fd);
    }
    if (state == NULL)
        return TRUE;
    self->open = vcp_open_file_new(state, error);
    if (self->open == NULL)
        return FALSE;
    vcp_open_file_each(self->open, finish_slot, self);
    return TRUE;
}

VcpAudit *
vcp_audit_new(const char *file, GError **error)
{
    if (file == NULL && !g_log_writer_is_journald(STDERR_FILENO))
        return NULL;
    VcpAudit *self = g_new0(VcpAudit, 1);
    self->fd = -1;
    self->path = g_strdup(file);
    self->instance = (guint64)g_random_int() << 32 | g_random_int();
    if (start(self, file, error))
        return self;
    vcp_audit_free(self);
    return NULL;
}

gboolean
vcp_audit_reopen(VcpAudit *self, GError **error)
{
    if (self == NULL || self->path == NULL)
        return TRUE;
    int fd = open_log(self->path, error);
    if (fd < 0)
        return FALSE;
    end_last_line(fd);
    /* In one step: other threads write meanwhile. */
    dup3(fd, self->fd, O_CLOEXEC);
    close(fd);
    g_atomic_int_set(&self->has_warned, FALSE);
    return TRUE;
}

void
vcp_audit_free(VcpAudit *self)
{
    if (self == NULL)
        return;
    vcp_open_file_free(self->open);
    if (self->fd >= 0)
        close(self->fd);
    g_free(self->path);
    g_free(self);
}
