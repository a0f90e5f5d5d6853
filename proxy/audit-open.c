/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Slots never cross a page, so that a write of one is whole or was not. */
#include "proxy/audit-open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <uv.h>

#include "common/error.h"

#define SLOT_SIZE 4096 /* the phase, the record, zeros */

struct VcpOpenFile {
    int fd;
    uv_mutex_t lock; /* for: */
    GArray *unused;  /* of guint: slots below n that are free */
    guint n;
};

static gboolean
fail(GError **error, const char *path, const char *why)
{
    g_set_error(error, VC_ERROR, VC_ERROR_CONFIG, "%s: %s", path, why);
    return FALSE;
}

static gboolean
open_file(VcpOpenFile *self, const char *path, GError **error)
{
    self->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (self->fd < 0)
        return fail(error, path, g_strerror(errno));
    if (flock(self->fd, LOCK_EX | LOCK_NB) != 0)
        return fail(error, path,
                    errno == EWOULDBLOCK ? "another proxy uses it" : g_strerror(errno));
    self->n = (guint)(lseek(self->fd, 0, SEEK_END) / SLOT_SIZE);
    return TRUE;
}

VcpOpenFile *
vcp_open_file_new(const char *path, GError **error)
{
    VcpOpenFile *self = g_new0(VcpOpenFile, 1);

    uv_mutex_init(&self->lock);
    self->unused = g_array_new(FALSE, FALSE, sizeof(guint));
    if (open_file(self, path, error))
        return self;
    vcp_open_file_free(self);
    return NULL;
}

void
vcp_open_file_free(VcpOpenFile *self)
{
    if (self == NULL)
        return;
    if (self->fd >= 0)
        close(self->fd);
    g_array_unref(self->unused);
    uv_mutex_destroy(&self->lock);
    g_free(self);
}

void
vcp_open_file_each(VcpOpenFile *self, VcpOpenFunc func, gpointer data)
{
    char slot[SLOT_SIZE + 1] = {0};

    for (guint i = 0; i < self->n; i++) {
        gboolean is_whole = pread(self->fd, slot, SLOT_SIZE, (off_t)i * SLOT_SIZE) == SLOT_SIZE;
        if (is_whole && (slot[0] == VCP_OPEN_STARTING || slot[0] == VCP_OPEN_LIVE ||
                         slot[0] == VCP_OPEN_ENDING))
            func(i, (VcpOpenPhase)slot[0], slot + 1, data);
        else
            g_array_append_val(self->unused, i);
    }
}

static guint
take_slot(VcpOpenFile *self)
{
    guint slot;

    uv_mutex_lock(&self->lock);
    if (self->unused->len > 0) {
        slot = g_array_index(self->unused, guint, self->unused->len - 1);
        g_array_set_size(self->unused, self->unused->len - 1);
    } else {
        slot = self->n++;
    }
    uv_mutex_unlock(&self->lock);
    return slot;
}

/* A disk that is full costs only what this file is for. */
static void
put(VcpOpenFile *self, guint slot, const char *bytes, gsize length)
{
    if (pwrite(self->fd, bytes, length, (off_t)slot * SLOT_SIZE) != (ssize_t)length)
        g_debug("the file of open sessions cannot be written: %s", g_strerror(errno));
}

guint
vcp_open_file_add(VcpOpenFile *self, const char *record)
{
    char bytes[SLOT_SIZE] = {VCP_OPEN_STARTING};
    guint slot = take_slot(self);

    g_assert(strlen(record) < SLOT_SIZE);
    memcpy(bytes + 1, record, strlen(record));
    put(self, slot, bytes, sizeof bytes);
    return slot;
}

void
vcp_open_file_mark(VcpOpenFile *self, guint slot, VcpOpenPhase phase)
{
    char byte = (char)phase;

    put(self, slot, &byte, 1);
    if (phase != VCP_OPEN_FREE)
        return;
    uv_mutex_lock(&self->lock);
    g_array_append_val(self->unused, slot);
    uv_mutex_unlock(&self->lock);
}
