/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Socket options of TCP connections. Harmless on other sockets. Any thread. */
#pragma once

#include <glib.h>

/* Towards a client: small messages at once, and in the end the kernel too gives up on one that
 * has vanished while bytes were under way, after write_timeout_s and some more. */
void vcp_tcp_tune_client(int fd, guint write_timeout_s);

/* Towards a hypervisor: small messages at once; one that has vanished is noticed within a
 * minute. */
void vcp_tcp_tune_compute(int fd);

/* Bytes that the peer's system has acknowledged since the connection began; 0 where that is not
 * known. */
guint64 vcp_tcp_acknowledged(int fd);
