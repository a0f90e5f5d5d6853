/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Listening sockets: bound at addresses as options give them, or passed by a service manager.
 */
#pragma once

#include <glib.h>
#include <sys/socket.h>

/* Binds and listens. address: "host:port", ":port" and "[v6]:port" (port 0: the system picks
 * one), "unix:PATH" (a socket that nobody answers any more is replaced; anything else at PATH
 * is an error). "[::]" serves IPv4 as well. Returns a non-blocking, close-on-exec descriptor,
 * or -1 with VC_ERROR_CONFIG. Main thread. */
int vc_listen(const char *address, GError **error);

/* Whether the address could be listened on as far as its form and its name go; it may be taken.
 * Errors as above. */
gboolean vc_listen_check(const char *address, GError **error);

/* The sockets that the service manager has passed (sd_listen_fds(3)), in the place of any that
 * addresses name; without such, one bound at each address. Descriptors as of vc_listen(). NULL
 * with VC_ERROR_CONFIG, naming --listen-addr or LISTEN_FDS: what is passed must be stream
 * sockets that listen, TCP or unix; whatever was opened stays so, the process being about to
 * end. Once, main thread, no other threads. */
GArray *vc_listen_all(char **addresses, GError **error);

/* Whether it is the service manager's, and goes on listening after us. */
gboolean vc_listen_is_passed(int fd);

/* Closes a listening socket, and removes the file of a unix one unless it was passed. */
void vc_listen_close(int fd);

/* The address that a socket is bound to or connected to, as text: "127.0.0.1:80", "[::1]:80",
 * "unix:PATH" or "unix". An IPv4 address that came through an IPv6 socket reads as IPv4. */
char *vc_sockaddr_to_string(const struct sockaddr_storage *address, socklen_t length);
char *vc_listen_address(int fd);
