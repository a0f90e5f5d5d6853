/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The BIO and its method. */
#include "proxy/corked.h"

#include <errno.h>
#include <sys/socket.h>

typedef struct {
    int fd;
    gboolean more_follows;
} Corked;

static int
write_bytes(BIO *bio, const char *bytes, int length)
{
    const Corked *self = BIO_get_data(bio);
    gssize n = send(self->fd, bytes, (size_t)length,
                    MSG_NOSIGNAL | (self->more_follows ? MSG_MORE : 0));

    BIO_clear_retry_flags(bio);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)n;
}

static long
control(BIO *bio G_GNUC_UNUSED, int command, long number G_GNUC_UNUSED,
        void *data G_GNUC_UNUSED)
{
    return command == BIO_CTRL_FLUSH;
}

static int
destroy(BIO *bio)
{
    g_free(BIO_get_data(bio));
    return 1;
}

static gpointer
make_method(gpointer unused G_GNUC_UNUSED)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "corked");

    BIO_meth_set_write(method, write_bytes);
    BIO_meth_set_ctrl(method, control);
    BIO_meth_set_destroy(method, destroy);
    return method;
}

BIO *
vcp_corked_new(int fd)
{
    static GOnce once = G_ONCE_INIT;
    const BIO_METHOD *method = g_once(&once, make_method, NULL);
    BIO *bio = BIO_new(method);
    Corked *self = g_new0(Corked, 1);

    self->fd = fd;
    BIO_set_data(bio, self);
    BIO_set_init(bio, 1);
    return bio;
}

void
vcp_corked_set(BIO *bio, gboolean more_follows)
{
    Corked *self = BIO_get_data(bio);

    self->more_follows = more_follows;
}
