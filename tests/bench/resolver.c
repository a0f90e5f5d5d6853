/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What many guests cost virtconsoleresolverd: memory, updates, queries.
 *
 *     build/tests/bench/bench-resolver [--hosts 100] [--guests 200] [--clients 8] [--seconds 5]
 *
 * The parsers, the registry and the HTTPS server are the daemon's own; the libvirtd are
 * simulated, and so nobody has a password. Clients are threads of the same process that show
 * certificates; the server's CPU time is what is left of the process's without theirs. Prints
 * figures; asserts nothing but that each answer is the right one. */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs.h"
#include "common/json.h"
#include "common/log.h"
#include "peer.h"
#include "resolver/http.h"
#include "resolver/offer.h"
#include "resolver/xml.h"

#define CONSOLES   4 /* of each guest */
#define PACED_RATE 500

static int n_hosts = 100, n_guests = 200, n_clients = 8, n_seconds = 5;
static char *directory;
static guint16 port;

static const GOptionEntry entries[] = {
    {"hosts", 0, 0, G_OPTION_ARG_INT, &n_hosts, "libvirtd", "N"},
    {"guests", 0, 0, G_OPTION_ARG_INT, &n_guests, "Guests of each", "N"},
    {"clients", 0, 0, G_OPTION_ARG_INT, &n_clients, "Connections", "N"},
    {"seconds", 0, 0, G_OPTION_ARG_INT, &n_seconds, "Length of each measurement", "N"},
    G_OPTION_ENTRY_NULL,
};

/* --- clocks --- */

static double
seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double
process_cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static double
thread_cpu_s(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double
resident_mib(void)
{
    g_autofree char *text = NULL;
    long total = 0, resident = 0;

    g_file_get_contents("/proc/self/statm", &text, NULL, NULL);
    if (text == NULL || sscanf(text, "%ld %ld", &total, &resident) != 2)
        return 0;
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

/* --- guests --- */

static const char domain_format[] =
    "<domain type='kvm' id='%u'><name>guest-%u-%u</name>"
    "<uuid>%08x-0000-4000-8000-%012x</uuid><memory unit='KiB'>4194304</memory>"
    "<vcpu placement='static'>4</vcpu><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>"
    "</os><features><acpi/><apic/></features><devices>"
    "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/var/lib/libvirt/images/guest.qcow2' index='1'/><target dev='vda' "
    "bus='virtio'/><alias name='virtio-disk0'/><address type='pci' domain='0x0000' "
    "bus='0x04' slot='0x00' function='0x0'/></disk>"
    "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/>"
    "<model type='virtio'/><alias name='net0'/></interface>"
    "<serial type='tcp'><source mode='bind' host='0.0.0.0' service='45001' tls='yes'/>"
    "<protocol type='raw'/><target type='isa-serial' port='0'/><alias name='serial0'/>"
    "</serial><console type='tcp'><source mode='bind' host='0.0.0.0' service='45001' "
    "tls='yes'/><target type='serial' port='0'/><alias name='serial0'/></console>"
    "<console type='tcp'><source mode='bind' host='0.0.0.0' service='45002' tls='yes'/>"
    "<target type='virtio' port='0'/><alias name='console1'/></console>"
    "<graphics type='vnc' port='5900' autoport='yes' listen='0.0.0.0'><listen type='address' "
    "address='0.0.0.0'/></graphics><graphics type='spice' port='5901' tlsPort='5902' "
    "listen='0.0.0.0'><listen type='address' address='0.0.0.0'/></graphics>"
    "<video><model type='qxl'/></video></devices></domain>";

static const char metadata[] =
    "<consoles>"
    "<console token='999f5742-2fb5-491c-832b-282b3afdfe0c' type='vnc'/>"
    "<console token='6a92ef00-6f54-4c18-820d-2a2eaf9ac309' type='spice'/>"
    "<console token='3d7bbde9-b9eb-4548-a414-d17fa1968aae' type='serial'/>"
    "<console token='393c6fdd-dbf7-4da9-9ea7-472d2f5ad34c' type='console' port='1'/>"
    "</consoles>";

static void
name_token(char *token, gsize size, guint host, guint guest, guint console)
{
    g_snprintf(token, size, "%08x-%04x-4000-8000-%012x", host, console, guest);
}

static void
name_guest(char *uuid, gsize size, guint host, guint guest)
{
    g_snprintf(uuid, size, "%08x-0000-4000-8000-%012x", host, guest);
}

/* As guest.c does with what libvirt says. */
static GPtrArray *
read_guest(guint host, guint guest)
{
    g_autofree char *xml = g_strdup_printf(domain_format, guest, host, guest, host, guest);
    g_autofree char *name = g_strdup_printf("hv%u.example", host);
    const VcrPlace place = {NULL, name};
    g_autoptr(VcrDomain) domain = vcr_domain_parse(xml, NULL);
    g_autoptr(GPtrArray) consoles = vcr_metadata_parse(metadata, NULL, NULL);
    GPtrArray *records = g_ptr_array_new_with_free_func((GDestroyNotify)vcr_record_unref);
    char token[64], digest[VC_TOKEN_DIGEST_SIZE];

    for (guint i = 0; i < consoles->len; i++) {
        const VcrConsole *console = g_ptr_array_index(consoles, i);
        VcService *service = vcr_offer(domain, console, &place, NULL);
        g_assert_nonnull(service);
        name_token(token, sizeof token, host, guest, i);
        vc_token_digest(token, digest);
        VcrRecord *record = vcr_record_new(digest, service);
        record->host = host;
        record->kind = console->kind;
        record->index = console->index;
        record->is_running = TRUE;
        g_ptr_array_add(records, record);
    }
    return records;
}

static void
fill(VcrRegistry *registry)
{
    char uuid[64];

    for (guint host = 0; host < (guint)n_hosts; host++) {
        for (guint guest = 0; guest < (guint)n_guests; guest++) {
            g_autoptr(GPtrArray) records = read_guest(host, guest);
            name_guest(uuid, sizeof uuid, host, guest);
            vcr_registry_set_guest(registry, host, uuid, records);
        }
        vcr_registry_set_listed(registry, host, TRUE);
    }
}

static void
measure_memory(VcrRegistry *registry)
{
    size_t heap = mallinfo2().uordblks;
    double resident = resident_mib(), cpu = process_cpu_s();

    fill(registry);
    guint n = vcr_registry_count(registry);
    printf("%u libvirtd, %u guests each, %u consoles\n", n_hosts, n_guests, n);
    printf("memory: %.0f bytes a console on the heap; the process grew from %.1f to %.1f MiB\n",
           (double)(mallinfo2().uordblks - heap) / n, resident, resident_mib());
    printf("filling: %.1f us of CPU a guest, XML of %zu bytes and tokens included\n",
           (process_cpu_s() - cpu) * 1e6 / (n_hosts * n_guests), sizeof domain_format);
}

static void
measure_updates(VcrRegistry *registry)
{
    enum { ROUNDS = 20000 };
    g_autoptr(GPtrArray) records = read_guest(0, 0);
    char uuid[64];
    double cpu = thread_cpu_s();

    name_guest(uuid, sizeof uuid, 0, 0);
    for (guint i = 0; i < ROUNDS; i++)
        vcr_registry_set_guest(registry, 0, uuid, records);
    printf("update: %.2f us of CPU to replace a guest of %d consoles in the registry\n",
           (thread_cpu_s() - cpu) * 1e6 / ROUNDS, CONSOLES);
}

/* --- clients --- */

typedef struct {
    gnutls_certificate_credentials_t credentials;
    gint64 until;    /* monotonic, µs */
    gint64 pause_us; /* between two queries; 0: none */
    gboolean reconnects;
    guint number;
    GArray *times_us; /* of gint64 */
    double cpu_s;
} Client;

static gnutls_session_t
connect_client(const Client *self)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, code;
    gnutls_session_t session;

    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        g_error("cannot connect: %s", g_strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
    gnutls_set_default_priority(session);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, self->credentials);
    gnutls_transport_set_int(session, fd);
    do
        code = gnutls_handshake(session);
    while (code < 0 && !gnutls_error_is_fatal(code));
    if (code < 0)
        g_error("handshake: %s", gnutls_strerror(code));
    return session;
}

static void
disconnect_client(gnutls_session_t session)
{
    int fd = gnutls_transport_get_int(session);

    gnutls_bye(session, GNUTLS_SHUT_WR);
    gnutls_deinit(session);
    close(fd);
}

/* Until the JSON's last brace, which is the last byte of an answer. */
static void
read_answer(gnutls_session_t session, const char *guest)
{
    char bytes[4096];
    gsize length = 0;

    do {
        gssize n = gnutls_record_recv(session, bytes + length, sizeof bytes - 1 - length);
        if (n <= 0)
            g_error("no answer: %s", gnutls_strerror((int)n));
        length += (gsize)n;
        bytes[length] = '\0';
    } while (!g_str_has_suffix(bytes, "}}"));
    if (strncmp(bytes, "HTTP/1.1 200", 12) != 0 || strstr(bytes, guest) == NULL)
        g_error("not the answer: %s", bytes);
}

static void
query(gnutls_session_t session, GRand *random)
{
    guint host = (guint)g_rand_int_range(random, 0, n_hosts);
    guint guest = (guint)g_rand_int_range(random, 0, n_guests);
    char token[64], uuid[64];

    name_token(token, sizeof token, host, guest, (guint)g_rand_int_range(random, 0, CONSOLES));
    name_guest(uuid, sizeof uuid, host, guest);
    g_autofree char *request = g_strdup_printf(
        "GET /consoleresolver/token/%s HTTP/1.1\r\nHost: resolver\r\n\r\n", token);
    gnutls_record_send(session, request, strlen(request));
    read_answer(session, uuid);
}

static gpointer
run_client(gpointer data)
{
    Client *self = data;
    g_autoptr(GRand) random = g_rand_new_with_seed(self->number);
    gnutls_session_t session = self->reconnects ? NULL : connect_client(self);

    for (gint64 now = g_get_monotonic_time(); now < self->until;) {
        if (self->reconnects)
            session = connect_client(self);
        query(session, random);
        if (self->reconnects)
            disconnect_client(session);
        gint64 time_us = g_get_monotonic_time() - now;
        g_array_append_val(self->times_us, time_us);
        if (self->pause_us > 0)
            g_usleep((gulong)g_rand_int_range(random, 1, (gint32)(2 * self->pause_us)));
        now = g_get_monotonic_time();
    }
    if (!self->reconnects)
        disconnect_client(session);
    self->cpu_s = thread_cpu_s();
    return NULL;
}

static int
compare_times(gconstpointer one, gconstpointer other)
{
    gint64 a = *(const gint64 *)one, b = *(const gint64 *)other;

    return (a > b) - (a < b);
}

static void
print_times(const char *name, GArray *times_us, double wall_s, double server_cpu_s)
{
    guint n = times_us->len;

    g_array_sort(times_us, compare_times);
    printf("%s: %.0f queries/s; median %.0f us, p99 %.0f us, longest %.0f us; server's CPU "
           "%.1f us a query\n",
           name, n / wall_s, (double)g_array_index(times_us, gint64, n / 2),
           (double)g_array_index(times_us, gint64, n - 1 - n / 100),
           (double)g_array_index(times_us, gint64, n - 1), server_cpu_s * 1e6 / n);
}

/* What libvirtd with much to tell would do meanwhile. */
typedef struct {
    VcrRegistry *registry;
    int is_done; /* atomic */
    double cpu_s;
} Updates;

static gpointer
run_updates(gpointer data)
{
    Updates *self = data;
    char uuid[64];

    for (guint i = 0; !g_atomic_int_get(&self->is_done); i++) {
        guint host = i % (guint)n_hosts, guest = i / (guint)n_hosts % (guint)n_guests;
        g_autoptr(GPtrArray) records = read_guest(host, guest);
        name_guest(uuid, sizeof uuid, host, guest);
        vcr_registry_set_guest(self->registry, host, uuid, records);
        g_usleep(1000);
    }
    self->cpu_s = thread_cpu_s();
    return NULL;
}

static void
measure_queries(const char *name, VcrRegistry *registry, const Client *model)
{
    g_autofree Client *clients = g_new0(Client, n_clients);
    g_autofree GThread **threads = g_new0(GThread *, n_clients);
    g_autoptr(GArray) times_us = g_array_new(FALSE, FALSE, sizeof(gint64));
    Updates updates = {.registry = registry};
    gint64 start = g_get_monotonic_time();
    double cpu = process_cpu_s(), cpu_main = thread_cpu_s(), others = 0;
    GThread *updater = g_thread_new("updates", run_updates, &updates);

    for (int i = 0; i < n_clients; i++) {
        clients[i] = *model;
        clients[i].number = (guint)i;
        clients[i].until = start + n_seconds * (gint64)G_USEC_PER_SEC;
        clients[i].times_us = g_array_new(FALSE, FALSE, sizeof(gint64));
        threads[i] = g_thread_new("client", run_client, &clients[i]);
    }
    for (int i = 0; i < n_clients; i++) {
        g_thread_join(threads[i]);
        g_array_append_vals(times_us, clients[i].times_us->data, clients[i].times_us->len);
        g_array_unref(clients[i].times_us);
        others += clients[i].cpu_s;
    }
    double wall_s = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC;
    g_atomic_int_set(&updates.is_done, TRUE);
    g_thread_join(updater);
    others += updates.cpu_s + thread_cpu_s() - cpu_main;
    print_times(name, times_us, wall_s, process_cpu_s() - cpu - others);
}

/* --- server --- */

static VcrConfig *
make_config(void)
{
    g_autofree char *address = g_strdup_printf("127.0.0.1:%u", port);
    g_autofree char *cert = certs_cert(directory, "hypervisor");
    g_autofree char *key = certs_key(directory, "hypervisor");
    g_autofree char *ca = certs_path(directory, "ca.pem");
    const char *arguments[] = {"bench-resolver",
                               "--listen-addr",
                               address,
                               "--listen-tls-cert",
                               cert,
                               "--listen-tls-key",
                               key,
                               "--listen-tls-ca",
                               ca,
                               "--allowed-client",
                               "CN=client",
                               NULL};
    g_autoptr(GError) error = NULL;
    VcrConfig *config =
        vcr_config_parse((int)G_N_ELEMENTS(arguments) - 1, (char **)arguments, &error);

    g_assert_no_error(error);
    return config;
}

static void
measure(VcrRegistry *registry)
{
    g_autofree char *cert = certs_cert(directory, "client");
    g_autofree char *key = certs_key(directory, "client");
    Client client = {0};
    g_autofree char *paced = g_strdup_printf("paced to some %d/s", PACED_RATE);

    gnutls_certificate_allocate_credentials(&client.credentials);
    gnutls_certificate_set_x509_key_file(client.credentials, cert, key, GNUTLS_X509_FMT_PEM);
    printf("%d clients, kept alive but where it says otherwise; about 1000 updates/s\n",
           n_clients);
    measure_queries("as fast as they can", registry, &client);
    client.pause_us = n_clients * (gint64)G_USEC_PER_SEC / PACED_RATE;
    measure_queries(paced, registry, &client);
    client.pause_us = 0;
    client.reconnects = TRUE;
    measure_queries("a connection for each", registry, &client);
    gnutls_certificate_free_credentials(client.credentials);
}

int
main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GPtrArray) no_hosts = g_ptr_array_new();
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error))
        g_error("%s", error->message);
    vc_log_init(G_LOG_LEVEL_WARNING);
    vc_json_init();
    vcr_xml_init();
    setvbuf(stdout, NULL, _IOLBF, 0);
    directory = certs_make();
    port = peer_unused_port();

    g_autoptr(VcrConfig) config = make_config();
    g_autoptr(VcrRegistry) registry = vcr_registry_new((guint)n_hosts);
    measure_memory(registry);
    measure_updates(registry);
    VcrPasswords *passwords = vcr_passwords_new(no_hosts, 3000);
    g_autoptr(VcrDoor) door = vcr_door_new(config, &error);
    g_assert_no_error(error);
    g_autoptr(VcrEvents) events =
        vcr_events_new((VcrEventsSetup){.ring = 16, .streams = 16, .stall_s = 20});
    g_autoptr(VcrHttp) http = vcr_http_new(config, door, registry, passwords, events, &error);
    g_assert_no_error(error);
    g_assert_true(vcr_http_start(http, &error));
    measure(registry);
    vcr_http_stop(http, 1000);
    vcr_passwords_free(passwords);
    certs_remove(directory);
    return EXIT_SUCCESS;
}
