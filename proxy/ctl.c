/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The command line: commands, their flags, their help, and the exit status. */
#include "proxy/ctl.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/error.h"
#include "vc-build.h"

#define PROGRAM        "virtconsoleproxyctl"
#define DEFAULT_SOCKET "/run/virtconsoleproxy/admin.sock"
#define CLEAR_SCREEN   "\033[H\033[2J"
#define OTHER_LINES    3 /* of the screen, beside the table's rows */

#define AT(field) G_STRUCT_OFFSET(VcpCtlOptions, field)

#define SWITCH(name, field, text)                                                              \
    {                                                                                          \
        name, 0, VC_OPTION_BOOLEAN, AT(field), NULL, 0, 0, NULL, text                          \
    }
/* The same flag may stand before and after the command. */
#define SOCKET                                                                                 \
    {                                                                                          \
        "socket", 's', VC_OPTION_STRING, AT(socket), NULL, 0, 0, "PATH",                       \
            "The proxy's admin socket (" DEFAULT_SOCKET ")"                                    \
    }

static const VcOption global_options[] = {
    SOCKET,
    SWITCH("version", version, "Print the version and exit"),
    {0},
};

static const VcOption status_options[] = {
    SOCKET,
    SWITCH("json", json, "Print the proxy's answer as it is"),
    {0},
};

static const VcOption sessions_options[] = {
    SOCKET,
    SWITCH("json", json, "Print JSON: the list alone"),
    SWITCH("watch", watch, "Go on showing them until interrupted"),
    {"interval", 0, VC_OPTION_INTEGER, AT(interval_s), "1", 1, 3600, "SECONDS",
     "How often to ask while watching"},
    {0},
};

static const VcOption kill_options[] = {
    SOCKET,
    {0},
};

static const VcOption drain_options[] = {
    SOCKET,
    {"timeout", 0, VC_OPTION_STRING, AT(timeout), NULL, 0, 0, "SECONDS",
     "What sessions get to end by themselves, in place of --drain-timeout"},
    {0},
};

typedef struct {
    const char *name;
    const char *argument; /* nullable: how the usage writes it; one or more are needed */
    const VcOption *options;
    int (*run)(const VcpCtlOptions *, char **arguments);
    const char *summary;
    const char *description; /* nullable */
} Command;

static void note(const char *format, ...) G_GNUC_PRINTF(1, 2);

static void
note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fprintf(stderr, PROGRAM ": %s\n", text);
}

/* --- commands --- */

static const char *
socket_of(const VcpCtlOptions *options)
{
    return options->socket != NULL ? options->socket : DEFAULT_SOCKET;
}

static gint64
now_s(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

static json_t *
fetch_status(const VcpCtlOptions *options)
{
    g_autoptr(GError) error = NULL;
    json_t *status = vcp_ctl_status(socket_of(options), &error);

    if (status == NULL)
        note("%s", error->message);
    return status;
}

static void
print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
}

static int
status(const VcpCtlOptions *options, char **arguments G_GNUC_UNUSED)
{
    json_t *status = fetch_status(options);

    if (status == NULL)
        return VCP_CTL_FAILED;
    if (options->json) {
        print_json(status);
    } else {
        g_autofree char *text = vcp_ctl_summary(status, now_s());
        fputs(text, stdout);
    }
    json_decref(status);
    return VCP_CTL_DONE;
}

/* 0: not a terminal. */
static guint
screen_lines(void)
{
    struct winsize size;

    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row
                                                                                 : 0;
}

static int
show_sessions(const VcpCtlOptions *options)
{
    json_t *status = fetch_status(options);
    guint lines = options->watch ? screen_lines() : 0;

    if (status == NULL)
        return VCP_CTL_FAILED;
    if (options->json) {
        print_json(json_object_get(status, "sessions"));
    } else {
        g_autofree char *text = vcp_ctl_table(
            status, now_s(), lines > 0 ? MAX(lines, OTHER_LINES + 1) - OTHER_LINES : 0);
        printf("%s%s", lines > 0 ? CLEAR_SCREEN : "", text);
    }
    json_decref(status);
    return VCP_CTL_DONE;
}

static int
sessions(const VcpCtlOptions *options, char **arguments G_GNUC_UNUSED)
{
    int result = show_sessions(options);

    while (options->watch && result == VCP_CTL_DONE && fflush(stdout) == 0) {
        g_usleep(options->interval_s * G_USEC_PER_SEC);
        if (screen_lines() == 0 && !options->json)
            putchar('\n');
        result = show_sessions(options);
    }
    return result;
}

/* The proxy's answer where it is not the one that was hoped for. */
static int
complain(const VcpCtlAnswer *answer, const char *what)
{
    g_autofree char *text = g_strdelimit(g_strdup(answer->body), "\n", ' ');

    note("%s: %s", what, g_strchomp(text));
    return answer->status == 404 ? VCP_CTL_MISSING : VCP_CTL_FAILED;
}

static int
ask(const VcpCtlOptions *options, const char *method, const char *path, const char *what)
{
    g_autoptr(GError) error = NULL;
    VcpCtlAnswer answer;

    if (!vcp_ctl_ask(socket_of(options), method, path, &answer, &error)) {
        note("%s", error->message);
        return VCP_CTL_FAILED;
    }
    int result = answer.status / 100 == 2 ? VCP_CTL_DONE : complain(&answer, what);
    g_free(answer.body);
    return result;
}

static int
kill_sessions(const VcpCtlOptions *options, char **arguments)
{
    int result = VCP_CTL_DONE;

    for (char **id = arguments; *id != NULL && result != VCP_CTL_FAILED; id++) {
        g_autofree char *escaped = g_uri_escape_string(*id, NULL, FALSE);
        g_autofree char *path = g_strconcat("/sessions/", escaped, NULL);
        g_autofree char *what = g_strconcat("session ", *id, NULL);
        int one = ask(options, "DELETE", path, what);
        result = one != VCP_CTL_DONE ? one : result;
    }
    return result;
}

static int
drain(const VcpCtlOptions *options, char **arguments G_GNUC_UNUSED)
{
    g_autofree char *escaped =
        options->timeout != NULL ? g_uri_escape_string(options->timeout, NULL, FALSE) : NULL;
    g_autofree char *path =
        escaped != NULL ? g_strconcat("/drain?timeout=", escaped, NULL) : g_strdup("/drain");

    return ask(options, "POST", path, "drain");
}

static const Command commands[] = {
    {"status", NULL, status_options, status, "Show how the proxy is.", NULL},
    {"sessions", NULL, sessions_options, sessions, "Show its sessions.", NULL},
    {"kill", "ID", kill_options, kill_sessions, "End sessions, by their numbers.", NULL},
    {"drain", NULL, drain_options, drain, "Let sessions end, take no new ones, then stop.",
     NULL},
};

/* --- usage --- */

static const Command *
find_command(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static char *
describe_call(const Command *command)
{
    return command->argument != NULL
               ? g_strdup_printf("%s %s...", command->name, command->argument)
               : g_strdup(command->name);
}

static char *
list_commands(void)
{
    GString *text = g_string_new("Commands:\n");

    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *call = describe_call(&commands[i]);
        g_string_append_printf(text, "  %-12s %s\n", call, commands[i].summary);
    }
    g_string_append(text, "\n" PROGRAM " COMMAND --help tells more.\n");
    return g_string_free(text, FALSE);
}

static int
wrong_usage(const Command *command /* nullable */, const char *why)
{
    g_autofree char *call = command != NULL ? describe_call(command) : g_strdup("COMMAND");

    note("%s", why);
    fprintf(stderr, "Usage: " PROGRAM " [--socket=PATH] %s; --help tells more\n", call);
    return VCP_CTL_USAGE;
}

/* --- running a command --- */

static gboolean
check_arguments(const Command *command, char **arguments, GError **error)
{
    if (command->argument == NULL && arguments[0] != NULL)
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "unexpected argument \"%s\"",
                    arguments[0]);
    else if (command->argument != NULL && arguments[0] == NULL)
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s needs an %s", command->name,
                    command->argument);
    else
        return TRUE;
    return FALSE;
}

static int
run_command(const Command *command, int argc, char **argv, VcpCtlOptions *options)
{
    g_autofree char *call = describe_call(command);
    VcUsage usage = {call, command->summary, command->description, FALSE};
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) arguments = NULL;

    if (!vc_options_parse_arguments(command->options, options, argc, argv, &usage, &arguments,
                                    &error) ||
        !check_arguments(command, arguments, &error))
        return wrong_usage(command, error->message);
    int result = command->run(options, arguments);
    if (fflush(stdout) != 0) {
        note("writing to standard output: %s", g_strerror(errno));
        return VCP_CTL_FAILED;
    }
    return result;
}

static int
run(int argc, char **argv, VcpCtlOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *list = list_commands();
    g_auto(GStrv) words = NULL;
    VcUsage usage = {"COMMAND", "Shows and controls a virtconsoleproxyd that runs.", list,
                     TRUE};

    if (!vc_options_parse_arguments(global_options, options, argc, argv, &usage, &words,
                                    &error))
        return wrong_usage(NULL, error->message);
    if (options->version) {
        printf(PROGRAM " %s\n", VC_VERSION);
        return VCP_CTL_DONE;
    }
    if (words[0] == NULL)
        return wrong_usage(NULL, "a command is missing");
    const Command *command = find_command(words[0]);
    if (command == NULL) {
        g_autofree char *why = g_strdup_printf("there is no command \"%s\"", words[0]);
        return wrong_usage(NULL, why);
    }
    return run_command(command, (int)g_strv_length(words), words, options);
}

int
vcp_ctl_main(int argc, char **argv)
{
    VcpCtlOptions options = {0};

    g_set_prgname(PROGRAM);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int result = run(argc, argv, &options);
    vc_options_clear(global_options, &options);
    vc_options_clear(drain_options, &options);
    curl_global_cleanup();
    return result;
}
