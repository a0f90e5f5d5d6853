/* SPDX-License-Identifier: LGPL-2.1-or-later
 * status: what is enabled, as a table or as JSON. Never a token. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "resolver/adm-guest.h"
#include "resolver/adm-secret.h"
#include "resolver/adm.h"

/* One console of one guest, in words. */
typedef struct {
    const VcrConsole *console; /* not owned */
    VcrSecretState secret;
    char *address; /* nullable: the guest is off, or has no such console */
    const char *remark;
} Row;

static void
free_row(gpointer data)
{
    Row *self = data;

    g_free(self->address);
    g_free(self);
}

/* --- gathering --- */

static guint16
port_of(const VcrDevice *device, gboolean insecure)
{
    guint16 other = insecure ? device->tls_port : 0;
    guint16 port = insecure || device->kind == VCR_KIND_VNC ? device->port : device->tls_port;

    return port != 0 ? port : other;
}

/* Where the guest listens on its host. */
static char *
listener(const VcrDevice *device, guint16 port)
{
    const char *listen = device->listen != NULL ? device->listen : "*";

    return g_strdup_printf(strchr(listen, ':') != NULL ? "[%s]:%u" : "%s:%u", listen, port);
}

static void
find_address(Row *row, const VcrAdmGuest *guest)
{
    const VcrConsole *console = row->console;
    const VcrDevice *device = vcr_domain_find(guest->domain, console->kind, console->index);

    if (device == NULL) {
        row->remark = "no such console";
    } else if (!device->is_tcp) {
        row->remark = "not on TCP";
    } else if (!guest->is_active) {
        row->remark = "off";
    } else {
        guint16 port = port_of(device, console->insecure);
        row->remark = port == 0 ? "no TLS" : NULL;
        row->address = port == 0 ? NULL : listener(device, port);
    }
}

/* NULL: libvirt did not answer. */
static GPtrArray *
make_rows(virConnectPtr connection, const VcrAdmGuest *guest, GError **error)
{
    const GPtrArray *consoles = vcr_adm_guest_current(guest)->consoles;
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(free_row);

    for (guint i = 0; consoles != NULL && i < consoles->len; i++) {
        Row *row = g_new0(Row, 1);
        g_ptr_array_add(rows, row);
        row->console = g_ptr_array_index(consoles, i);
        find_address(row, guest);
        if (!vcr_adm_secret_look(connection, row->console->secret, guest->uuid, &row->secret,
                                 error))
            return NULL;
    }
    return g_steal_pointer(&rows);
}

static gboolean
is_in_step(const VcrAdmGuest *guest)
{
    return vcr_adm_guest_is_written(guest, vcr_adm_guest_current(guest)->consoles);
}

/* --- JSON --- */

static json_t *
row_to_json(const Row *row)
{
    const VcrConsole *console = row->console;
    json_t *json =
        json_pack("{s:s, s:i, s:b, s:s, s:s, s:b, s:b, s:s?, s:s?, s:s?}", "type",
                  vcr_kind_name(console->kind), "index", (int)console->index, "insecure",
                  console->insecure, "secret", console->secret, "token",
                  vcr_secret_state_name(row->secret), "singleUse", console->single_use,
                  "powerControl", console->power_control, "address", row->address, "host",
                  console->host, "tlsServerName", console->tls_server_name);

    if (console->expires_s != 0) {
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(console->expires_s);
        g_autofree char *text = g_date_time_format_iso8601(time);
        json_object_set_new(json, "expires", json_string(text));
    }
    return json;
}

static json_t *
guest_to_json(const VcrAdmGuest *guest, const GPtrArray *rows)
{
    json_t *consoles = json_array();

    for (guint i = 0; i < rows->len; i++)
        json_array_append_new(consoles, row_to_json(g_ptr_array_index(rows, i)));
    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:o}", "name", guest->name, "uuid", guest->uuid,
                     "running", guest->is_active, "enabled", vcr_adm_guest_has_metadata(guest),
                     "inStep", is_in_step(guest), "consoles", consoles);
}

/* --- the table --- */

#define N_COLUMNS 6

static void
free_line(gpointer data)
{
    char **line = data;

    for (guint i = 0; i < N_COLUMNS; i++)
        g_free(line[i]);
    g_free(line);
}

static void
add_line(GPtrArray *lines, const char *domain, const char *console, const char *access,
         const char *host, const char *token, const char *address)
{
    const char *const texts[N_COLUMNS] = {domain, console, access, host, token, address};
    char **line = g_new(char *, N_COLUMNS);

    for (guint i = 0; i < N_COLUMNS; i++)
        line[i] = g_strdup(texts[i]);
    g_ptr_array_add(lines, line);
}

static void
add_row(GPtrArray *lines, const VcrAdmGuest *guest, const Row *row)
{
    const VcrConsole *console = row->console;
    g_autofree char *name =
        g_strdup_printf("%s %u", vcr_kind_name(console->kind), console->index);

    add_line(lines, guest->name, name, console->insecure ? "insecure" : "secure",
             console->host != NULL ? console->host : "-", vcr_secret_state_name(row->secret),
             row->address != NULL ? row->address : row->remark);
}

static guint
width_of(const GPtrArray *lines, guint column)
{
    guint width = 0;

    for (guint i = 0; i < lines->len; i++) {
        char **line = g_ptr_array_index(lines, i);
        width = MAX(width, (guint)g_utf8_strlen(line[column], -1));
    }
    return width;
}

static void
print_cell(const char *text, guint width)
{
    printf("%s%*s", text, (int)(width + 2 - (guint)g_utf8_strlen(text, -1)), "");
}

static void
print_lines(const GPtrArray *lines)
{
    guint widths[N_COLUMNS];

    for (guint column = 0; column < N_COLUMNS; column++)
        widths[column] = width_of(lines, column);
    for (guint i = 0; i < lines->len; i++) {
        char **line = g_ptr_array_index(lines, i);
        for (guint column = 0; column < N_COLUMNS - 1; column++)
            print_cell(line[column], widths[column]);
        printf("%s\n", line[N_COLUMNS - 1]);
    }
}

/* --- the command --- */

typedef struct {
    virConnectPtr connection;
    json_t *json;     /* nullable: a table is wanted */
    GPtrArray *lines; /* of char *[N_COLUMNS] */
} Report;

static void
note_problems(const VcrAdmGuest *guest, const GPtrArray *notes)
{
    for (guint i = 0; i < notes->len; i++)
        vcr_adm_note("domain '%s': %s", guest->name, (char *)g_ptr_array_index(notes, i));
    if (!is_in_step(guest))
        vcr_adm_note(
            "domain '%s': live and persistent metadata differ, \"enable\" or \"disable\" "
            "repairs it",
            guest->name);
}

static gboolean
report(Report *self, VcrAdmGuest *guest, gboolean is_wanted, GError **error)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);

    if (!vcr_adm_guest_read(guest, notes, error))
        return FALSE;
    if (!is_wanted && !vcr_adm_guest_has_metadata(guest))
        return TRUE;
    g_autoptr(GPtrArray) rows = make_rows(self->connection, guest, error);
    if (rows == NULL)
        return FALSE;
    note_problems(guest, notes);
    if (self->json != NULL)
        json_array_append_new(self->json, guest_to_json(guest, rows));
    for (guint i = 0; i < rows->len; i++)
        add_row(self->lines, guest, g_ptr_array_index(rows, i));
    if (self->json == NULL && is_wanted && rows->len == 0)
        vcr_adm_note("access to domain '%s' is disabled", guest->name);
    return TRUE;
}

/* A guest that vanishes while all of them are looked at is no failure. */
static gboolean
report_all(Report *self, GError **error)
{
    g_autoptr(GPtrArray) guests = vcr_adm_guest_list(self->connection, error);

    for (guint i = 0; guests != NULL && i < guests->len; i++) {
        VcrAdmGuest *guest = g_ptr_array_index(guests, i);
        g_autoptr(GError) why = NULL;
        if (report(self, guest, FALSE, &why))
            continue;
        g_autoptr(VcrAdmGuest) still =
            vcr_adm_guest_find_uuid(self->connection, guest->uuid, NULL);
        if (still != NULL) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
    }
    return guests != NULL;
}

static gboolean
report_one(Report *self, const char *domain, GError **error)
{
    g_autoptr(VcrAdmGuest) guest = vcr_adm_guest_find(self->connection, domain, error);

    return guest != NULL && report(self, guest, TRUE, error);
}

gboolean
vcr_adm_status(virConnectPtr connection, const VcrAdmOptions *options, const char *domain,
               GError **error)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(free_line);
    Report self = {connection, options->json ? json_array() : NULL, lines};

    add_line(lines, "DOMAIN", "CONSOLE", "ACCESS", "HOST", "TOKEN", "ADDRESS");
    gboolean done =
        domain != NULL ? report_one(&self, domain, error) : report_all(&self, error);
    if (done && self.json != NULL) {
        json_dumpf(self.json, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (done && lines->len > 1) {
        print_lines(lines);
    }
    json_decref(self.json);
    return done;
}
