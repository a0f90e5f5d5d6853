/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The command line: commands, their flags, their help, and the exit status. */
#include "resolver/adm.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/options.h"
#include "vc-build.h"

#define PROGRAM     "virtconsoleresolveradm"
#define DEFAULT_URI "qemu:///system"

#define AT(field) G_STRUCT_OFFSET(VcrAdmOptions, field)

#define SWITCH(name, field, text)                                                              \
    {                                                                                          \
        name, 0, VC_OPTION_BOOLEAN, AT(field), NULL, 0, 0, NULL, text                          \
    }
#define TEXT(name, field, argument, text)                                                      \
    {                                                                                          \
        name, 0, VC_OPTION_STRING, AT(field), NULL, 0, 0, argument, text                       \
    }
/* The same flag may stand before and after the command. */
#define CONNECT                                                                                \
    {                                                                                          \
        "connect", 'c', VC_OPTION_STRING, AT(connect), NULL, 0, 0, "URI",                      \
            "The libvirtd to talk to ($LIBVIRT_DEFAULT_URI, else " DEFAULT_URI ")"             \
    }

static const VcOption global_options[] = {
    CONNECT,
    SWITCH("version", version, "Print the version and exit"),
    {0},
};

static const VcOption enable_options[] = {
    CONNECT,
    SWITCH("insecure", insecure, "Let the proxy reach these consoles without TLS"),
    TEXT("host", host, "HOST", "Host under which the proxy reaches the guest"),
    TEXT("type", type, "LIST", "Only consoles of these types: vnc,spice,serial,console"),
    SWITCH("single-use", single_use, "Each token opens one session"),
    SWITCH("power-control", power_control, "Let viewers shut down, reboot and reset the guest"),
    TEXT("expires", expires, "TIME", "When the tokens end, such as 2030-01-31T12:00:00Z"),
    TEXT("tls-server-name", tls_server_name, "NAME",
         "Name that the hypervisor's certificate bears"),
    {0},
};

static const VcOption plain_options[] = {
    CONNECT,
    {0},
};

static const VcOption status_options[] = {
    CONNECT,
    SWITCH("json", json, "Print JSON"),
    {0},
};

static const VcOption url_options[] = {
    CONNECT,
    TEXT("proxy", proxy, "BASE",
         "URL of the console proxy, such as https://console.example.org"),
    TEXT("type", type, "TYPE",
         "vnc, spice, serial or console; otherwise the first that there is"),
    {"port", 0, VC_OPTION_INTEGER, AT(port), "0", 0, 65535, "N",
     "Which of the consoles of that type"},
    {0},
};

static const VcOption prune_options[] = {
    CONNECT,
    SWITCH("dry-run", dry_run, "Only say what would be removed"),
    {0},
};

typedef struct {
    const char *name;
    const char *domain;   /* how the usage writes it; NULL: it takes none */
    const char *required; /* nullable: a flag and its value that must be given */
    const VcOption *options;
    gboolean (*check)(const VcrAdmOptions *, GError **); /* nullable */
    gboolean (*run)(virConnectPtr, const VcrAdmOptions *, const char *, GError **);
    const char *summary;
    const char *description; /* nullable */
} Command;

static const Command commands[] = {
    {"enable", "DOMAIN", NULL, enable_options, vcr_adm_enable_check, vcr_adm_enable,
     "Make a guest's consoles reachable: a token for each of them.",
     "Flags change consoles that are enabled already; what no flag names stays as it is.\n"
     "An interrupted run is repaired by the next one.\n"},
    {"disable", "DOMAIN", NULL, plain_options, NULL, vcr_adm_disable,
     "Take the tokens of a guest away: its consoles are unreachable at once.", NULL},
    {"status", "[DOMAIN]", NULL, status_options, NULL, vcr_adm_status,
     "Show the consoles of a guest, or of all guests, that are enabled.", NULL},
    {"rotate", "DOMAIN", NULL, plain_options, NULL, vcr_adm_rotate,
     "Give a guest new tokens; the old ones are dead at once.", NULL},
    {"url", "DOMAIN", "--proxy=BASE", url_options, vcr_adm_url_check, vcr_adm_url,
     "Print the link that opens a console, token included.",
     "No other command shows a token. Who has the link has the console.\n"},
    {"prune", NULL, NULL, prune_options, NULL, vcr_adm_prune,
     "Remove secrets of tokens whose guest or metadata is gone.",
     "A guest that migrated to another host left its secrets here, and its tokens work as "
     "long\n"
     "as they are here: --dry-run shows first what would go.\n"},
};

void
vcr_adm_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fprintf(stderr, PROGRAM ": %s\n", text);
}

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

/* "enable DOMAIN" */
static char *
describe_call(const Command *command)
{
    return g_strjoin(" ", command->name, command->domain != NULL ? command->domain : "",
                     command->required, NULL);
}

static char *
list_commands(void)
{
    GString *text = g_string_new("Commands:\n");

    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *call = describe_call(&commands[i]);
        g_auto(GStrv) lines = g_strsplit(commands[i].summary, "\n", 2);
        g_string_append_printf(text, "  %-26s %s\n", g_strchomp(call), lines[0]);
    }
    g_string_append(text,
                    "\n" PROGRAM " COMMAND --help tells more. DOMAIN is a name, UUID or id.\n");
    return g_string_free(text, FALSE);
}

static void
print_flag(const VcOption *option)
{
    if (option->argument != NULL)
        fprintf(stderr, " [--%s=%s]", option->name, option->argument);
    else
        fprintf(stderr, " [--%s]", option->name);
}

static void
print_usage(const Command *command /* nullable */)
{
    if (command == NULL) {
        g_autofree char *list = list_commands();
        fprintf(stderr, "Usage: " PROGRAM " [-c URI] COMMAND [DOMAIN] [FLAG...]\n%s", list);
        return;
    }
    g_autofree char *call = describe_call(command);
    fprintf(stderr, "Usage: " PROGRAM " [-c URI] %s", g_strchomp(call));
    for (const VcOption *option = command->options; option->name != NULL; option++) {
        gboolean is_required =
            command->required != NULL && strstr(command->required, option->name) != NULL;
        if (option->short_name == 0 && !is_required)
            print_flag(option);
    }
    fputc('\n', stderr);
}

static int
wrong_usage(const Command *command /* nullable */, const char *why)
{
    vcr_adm_note("%s", why);
    print_usage(command);
    return VCR_ADM_USAGE;
}

/* --- running a command --- */

static void
be_silent(void *data, virErrorPtr error)
{
    (void)data;
    (void)error; /* it is reported by whoever cannot go on */
}

/* As virsh has it. */
static const char *
uri_of(const VcrAdmOptions *options)
{
    const char *usual = g_getenv("LIBVIRT_DEFAULT_URI");

    if (options->connect != NULL)
        return options->connect;
    return usual != NULL && usual[0] != '\0' ? usual : DEFAULT_URI;
}

static gboolean
connect_and_run(const Command *command, const VcrAdmOptions *options, const char *domain,
                GError **error)
{
    virSetErrorFunc(NULL, be_silent);
    virConnectPtr connection = virConnectOpenAuth(uri_of(options), virConnectAuthPtrDefault, 0);
    if (connection == NULL) {
        g_set_error(error, VC_ERROR, VC_ERROR_UNREACHABLE, "connecting to %s: %s",
                    uri_of(options), virGetLastErrorMessage());
        return FALSE;
    }
    gboolean done = command->run(connection, options, domain, error);
    virConnectClose(connection);
    return done;
}

static gboolean
check_arguments(const Command *command, char **arguments, GError **error)
{
    guint n = g_strv_length(arguments);
    gboolean is_needed = g_strcmp0(command->domain, "DOMAIN") == 0;

    if (n == 0 && is_needed) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s needs a DOMAIN", command->name);
        return FALSE;
    }
    if (n > (command->domain != NULL ? 1u : 0u)) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "unexpected argument \"%s\"",
                    arguments[n - 1]);
        return FALSE;
    }
    return TRUE;
}

static gboolean
parse_command(const Command *command, int argc, char **argv, VcrAdmOptions *options,
              char ***arguments, GError **error)
{
    g_autofree char *call = describe_call(command);
    VcUsage usage = {g_strchomp(call), command->summary, command->description, FALSE};

    return vc_options_parse_arguments(command->options, options, argc, argv, &usage, arguments,
                                      error) &&
           check_arguments(command, *arguments, error) &&
           (command->check == NULL || command->check(options, error));
}

static int
run_command(const Command *command, int argc, char **argv, VcrAdmOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) arguments = NULL;

    if (!parse_command(command, argc, argv, options, &arguments, &error))
        return wrong_usage(command, error->message);
    if (!connect_and_run(command, options, arguments[0], &error)) {
        vcr_adm_note("%s", error->message);
        return VCR_ADM_FAILED;
    }
    if (fflush(stdout) != 0) {
        vcr_adm_note("writing to standard output: %s", g_strerror(errno));
        return VCR_ADM_FAILED;
    }
    return VCR_ADM_DONE;
}

static int
run(int argc, char **argv, VcrAdmOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *list = list_commands();
    g_auto(GStrv) words = NULL;
    VcUsage usage = {"COMMAND [DOMAIN]",
                     "Decides which consoles of libvirt's guests are reachable by token.", list,
                     TRUE};

    if (!vc_options_parse_arguments(global_options, options, argc, argv, &usage, &words,
                                    &error))
        return wrong_usage(NULL, error->message);
    if (options->version) {
        printf(PROGRAM " %s\n", VC_VERSION);
        return VCR_ADM_DONE;
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

static void
clear(VcrAdmOptions *options)
{
    vc_options_clear(global_options, options);
    vc_options_clear(enable_options, options);
    vc_options_clear(url_options, options);
}

int
vcr_adm_main(int argc, char **argv)
{
    VcrAdmOptions options = {0};

    g_set_prgname(PROGRAM);
    int status = run(argc, argv, &options);
    clear(&options);
    return status;
}
