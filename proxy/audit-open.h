/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A file of the sessions that are open, for the process after this one: slots of one size, each
 * with a record and how far it has come. What the kernel has been given survives a kill. */
#pragma once

#include <glib.h>

typedef enum {
    VCP_OPEN_FREE = 0,
    VCP_OPEN_STARTING = 'S', /* its start is being recorded */
    VCP_OPEN_LIVE = 'L',
    VCP_OPEN_ENDING = 'E', /* its end is being recorded */
} VcpOpenPhase;

typedef struct VcpOpenFile VcpOpenFile;

/* Opens or makes it, for this process alone. Errors: VC_ERROR_CONFIG. */
VcpOpenFile *vcp_open_file_new(const char *path, GError **error);
void vcp_open_file_free(VcpOpenFile *self); /* nullable */

/* Slots that the process before has left, in any order; record: as it was given. */
typedef void (*VcpOpenFunc)(guint slot, VcpOpenPhase phase, const char *record, gpointer data);
void vcp_open_file_each(VcpOpenFile *self, VcpOpenFunc func, gpointer data);

/* A slot of one's own, VCP_OPEN_STARTING. Any thread, as the next. */
guint vcp_open_file_add(VcpOpenFile *self, const char *record);

/* VCP_OPEN_FREE gives it back. */
void vcp_open_file_mark(VcpOpenFile *self, guint slot, VcpOpenPhase phase);
