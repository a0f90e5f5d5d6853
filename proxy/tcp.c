/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Socket options. The kernel's header, because glibc's tcp_info ends before the counters. */
#include "proxy/tcp.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define COMPUTE_IDLE_S     30
#define COMPUTE_INTERVAL_S 10
#define CLIENT_IDLE_S      60
#define CLIENT_INTERVAL_S  20
#define PROBES             3

/* By so much our own write time-out comes first. */
#define USER_TIMEOUT_MARGIN_S 30

static void
set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

static void
set_keepalive(int fd, int idle_s, int interval_s)
{
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
}

void
vcp_tcp_tune_client(int fd, guint write_timeout_s)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    /* For one that we do not read: it is not pinged, so only the kernel can notice its end. */
    set_keepalive(fd, CLIENT_IDLE_S, CLIENT_INTERVAL_S);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
        (int)(write_timeout_s + USER_TIMEOUT_MARGIN_S) * 1000);
}

void
vcp_tcp_tune_compute(int fd)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_keepalive(fd, COMPUTE_IDLE_S, COMPUTE_INTERVAL_S);
    /* With bytes under way there are no probes, and retransmission alone would go on for long.
     */
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
        (COMPUTE_IDLE_S + PROBES * COMPUTE_INTERVAL_S) * 1000);
}

guint64
vcp_tcp_acknowledged(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_bytes_acked
                                                                      : 0;
}
