/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Binding of TCP and unix listeners; taking over of those that were passed. */
#include "common/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/error.h"

#define BACKLOG 4096

/* Passed descriptors, from SD_LISTEN_FDS_START on; written once before there are threads. */
static int n_passed;

static void
set_error(GError **error, const char *address, const char *why)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "cannot listen on %s: %s", address, why);
}

static gboolean
bind_and_listen(int fd, const struct sockaddr *address, socklen_t length)
{
    return bind(fd, address, length) == 0 && listen(fd, BACKLOG) == 0;
}

/* A socket file outlives the process that made it; one that refuses a connection is such a
 * leftover. */
static void
remove_stale_socket(const struct sockaddr_un *address)
{
    struct stat st;

    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
        errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(fd);
}

static gboolean
check_path(const char *text, const char *path, GError **error)
{
    const struct sockaddr_un *address = NULL;

    if (path[0] == '/' && strlen(path) < sizeof address->sun_path)
        return TRUE;
    set_error(error, text, "the path must be absolute and shorter than 108 bytes");
    return FALSE;
}

static int
listen_unix(const char *text, const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (!check_path(text, path, error))
        return -1;
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    remove_stale_socket(&address);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || !bind_and_listen(fd, (struct sockaddr *)&address, sizeof address)) {
        set_error(error, text, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static int
listen_one(const struct addrinfo *candidate)
{
    int on = 1, off = 0;
    int fd = socket(candidate->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (candidate->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind_and_listen(fd, candidate->ai_addr, candidate->ai_addrlen))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static struct addrinfo *
look_up(const char *text, const char *host, const char *port, GError **error)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    int failure = getaddrinfo(host, port, &hints, &found);
    if (failure != 0)
        set_error(error, text, gai_strerror(failure));
    return found;
}

static int
listen_tcp(const char *text, const char *host, const char *port, GError **error)
{
    struct addrinfo *found = look_up(text, host, port, error);

    if (found == NULL)
        return -1;
    int fd = -1;
    for (struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = listen_one(at);
    int saved = errno;
    if (fd < 0)
        set_error(error, text, g_strerror(saved));
    freeaddrinfo(found);
    errno = saved;
    return fd;
}

/* The host (full), empty where there is none; *port points into the address. */
static char *
split(const char *address, const char **port, GError **error)
{
    const char *colon = strrchr(address, ':');
    guint64 number;

    if (colon == NULL || !g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &number, NULL)) {
        set_error(error, address, "must be host:port, [v6]:port or unix:PATH");
        return NULL;
    }

    gsize length = (gsize)(colon - address);
    g_autofree char *host = g_strndup(address, length);
    if (host[0] == '[' && length > 2 && host[length - 1] == ']') {
        host[length - 1] = '\0';
        memmove(host, host + 1, length - 1);
    } else if (strpbrk(host, ":[]") != NULL) {
        set_error(error, address, "an IPv6 address needs brackets");
        return NULL;
    }
    *port = colon + 1;
    return g_steal_pointer(&host);
}

int
vc_listen(const char *address, GError **error)
{
    const char *port = NULL;

    if (g_str_has_prefix(address, "unix:"))
        return listen_unix(address, address + strlen("unix:"), error);
    g_autofree char *host = split(address, &port, error);
    if (host == NULL)
        return -1;

    g_autoptr(GError) first = NULL;
    int fd = listen_tcp(address, host[0] != '\0' ? host : "::", port, &first);
    /* A machine without IPv6 still serves everybody it can. */
    if (fd < 0 && errno == EAFNOSUPPORT && (host[0] == '\0' || strcmp(host, "::") == 0))
        return listen_tcp(address, "0.0.0.0", port, error);
    if (fd < 0)
        g_propagate_error(error, g_steal_pointer(&first));
    return fd;
}

gboolean
vc_listen_check(const char *address, GError **error)
{
    const char *port = NULL;

    if (g_str_has_prefix(address, "unix:"))
        return check_path(address, address + strlen("unix:"), error);
    g_autofree char *host = split(address, &port, error);
    struct addrinfo *found =
        host != NULL ? look_up(address, host[0] != '\0' ? host : "::", port, error) : NULL;
    gboolean valid = found != NULL;
    if (valid)
        freeaddrinfo(found);
    return valid;
}

/* --- passed by the service manager --- */

static gboolean
check_passed(int fd, GError **error)
{
    const char *why = NULL;

    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1) <= 0)
        why = "is no stream socket";
    else if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, TRUE) <= 0)
        why = "does not listen (the socket unit may have Accept=yes)";
    else if (sd_is_socket(fd, AF_UNIX, 0, -1) <= 0 && sd_is_socket(fd, AF_INET, 0, -1) <= 0 &&
             sd_is_socket(fd, AF_INET6, 0, -1) <= 0)
        why = "is neither TCP nor unix";
    if (why != NULL)
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                    "descriptor %d, passed by the service manager (LISTEN_FDS), %s", fd, why);
    return why == NULL;
}

/* FALSE with VC_ERROR_CONFIG. */
static gboolean
take_passed(GArray *fds, GError **error)
{
    int n = sd_listen_fds(TRUE); /* makes them close-on-exec */

    if (n < 0) {
        g_set_error(error, VC_ERROR, VC_ERROR_CONFIG,
                    "what the service manager passed cannot be taken (LISTEN_FDS): %s",
                    g_strerror(-n));
        return FALSE;
    }
    n_passed = n;
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
        if (!check_passed(fd, error))
            return FALSE;
        g_unix_set_fd_nonblocking(fd, TRUE, NULL);
        g_array_append_val(fds, fd);
    }
    return TRUE;
}

GArray *
vc_listen_all(char **addresses, GError **error)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));

    if (!take_passed(fds, error))
        return NULL;
    for (char **address = addresses; n_passed == 0 && *address != NULL; address++) {
        int fd = vc_listen(*address, error);
        if (fd < 0) {
            g_prefix_error(error, "--listen-addr: ");
            return NULL;
        }
        g_array_append_val(fds, fd);
    }
    return g_steal_pointer(&fds);
}

gboolean
vc_listen_is_passed(int fd)
{
    return fd >= SD_LISTEN_FDS_START && fd < SD_LISTEN_FDS_START + n_passed;
}

void
vc_listen_close(int fd)
{
    g_autofree char *address = vc_listen_address(fd);

    if (g_str_has_prefix(address, "unix:") && !vc_listen_is_passed(fd))
        unlink(address + strlen("unix:"));
    close(fd);
}

/* --- addresses as text --- */

static char *
inet_to_string(int family, const void *address, in_port_t port)
{
    char text[INET6_ADDRSTRLEN] = "?";

    inet_ntop(family, address, text, sizeof text);
    return g_strdup_printf(family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, ntohs(port));
}

char *
vc_sockaddr_to_string(const struct sockaddr_storage *address, socklen_t length)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    const struct sockaddr_un *un = (const void *)address;

    switch (address->ss_family) {
    case AF_INET:
        return inet_to_string(AF_INET, &v4->sin_addr, v4->sin_port);
    case AF_INET6:
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            return inet_to_string(AF_INET, v6->sin6_addr.s6_addr + 12, v6->sin6_port);
        return inet_to_string(AF_INET6, &v6->sin6_addr, v6->sin6_port);
    case AF_UNIX:
        if (length > offsetof(struct sockaddr_un, sun_path) && un->sun_path[0] != '\0')
            return g_strdup_printf("unix:%s", un->sun_path);
        return g_strdup("unix");
    default:
        return g_strdup("?");
    }
}

char *
vc_listen_address(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;

    getsockname(fd, (struct sockaddr *)&address, &length);
    return vc_sockaddr_to_string(&address, length);
}
