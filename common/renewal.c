/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What files look like is taken down before they are read: a change while they are read is one
 * for the next look. */
#include "common/renewal.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

struct VcRenewal {
    char *what;
    VcRenewalLoad load;
    gpointer data;
    char **paths;
    char *looks;     /* of the files, when they were last read */
    char *complaint; /* nullable: why that failed */
};

VcRenewal *
vc_renewal_new(const char *what, VcRenewalLoad load, gpointer data)
{
    VcRenewal *self = g_new0(VcRenewal, 1);

    self->what = g_strdup(what);
    self->load = load;
    self->data = data;
    self->paths = g_new0(char *, 1);
    self->looks = g_strdup("");
    return self;
}

void
vc_renewal_free(VcRenewal *self)
{
    if (self == NULL)
        return;
    g_free(self->what);
    g_strfreev(self->paths);
    g_free(self->looks);
    g_free(self->complaint);
    g_free(self);
}

static void
add_looks(GString *looks, const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        g_string_append(looks, "none\n");
        return;
    }
    g_string_append_printf(looks, "%ju %ju %jd %jd.%09ld %jd.%09ld\n", (uintmax_t)st.st_dev,
                           (uintmax_t)st.st_ino, (intmax_t)st.st_size,
                           (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                           (intmax_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

static char *
look_at(char **paths)
{
    GString *looks = g_string_new(NULL);

    for (char **path = paths; *path != NULL; path++)
        add_looks(looks, *path);
    return g_string_free(looks, FALSE);
}

static gboolean
load(VcRenewal *self, char *looks /* full */, GError **error)
{
    g_free(self->looks);
    self->looks = looks;
    return self->load(self->data, error);
}

static void
set_paths(VcRenewal *self, const char *const *paths)
{
    g_strfreev(self->paths);
    self->paths = g_strdupv((char **)paths);
}

gboolean
vc_renewal_start(VcRenewal *self, const char *const *paths, GError **error)
{
    set_paths(self, paths);
    return load(self, look_at(self->paths), error);
}

static gboolean
load_aloud(VcRenewal *self, char *looks /* full */)
{
    g_autoptr(GError) error = NULL;

    if (load(self, looks, &error)) {
        g_clear_pointer(&self->complaint, g_free);
        g_message("reloaded: %s", self->what);
        return TRUE;
    }
    if (g_strcmp0(self->complaint, error->message) == 0)
        return FALSE;
    g_free(self->complaint);
    self->complaint = g_strdup(error->message);
    g_warning("not reloaded, the old %s stays: %s", self->what, error->message);
    return FALSE;
}

void
vc_renewal_reload(VcRenewal *self, const char *const *paths)
{
    set_paths(self, paths);
    g_clear_pointer(&self->complaint, g_free);
    load_aloud(self, look_at(self->paths));
}

gboolean
vc_renewal_look(VcRenewal *self)
{
    g_autofree char *looks = look_at(self->paths);

    return (strcmp(looks, self->looks) != 0 || self->complaint != NULL) &&
           load_aloud(self, g_steal_pointer(&looks));
}
