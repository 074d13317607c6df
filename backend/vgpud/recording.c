/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recording.h"

#include <errno.h>
#include <fcntl.h>

#include "ini.h"

#define TRIES 100 /* renderers of one VM that start within a second */

/* A VM is called what its owner likes: a file is not. */
static char *recording_name(const char *vm)
{
    char *name = g_strdup(vm);

    g_strcanon(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_", '_');
    return name;
}

int recording_open(const char *folder, const char *vm, GError **error)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *when = g_date_time_format(now, "%Y%m%d-%H%M%S");
    g_autofree char *name = recording_name(vm);
    int fd = -1;

    for (unsigned i = 0; i < TRIES && fd < 0; i++) {
        g_autofree char *path = i ? g_strdup_printf("%s/%s-%s-%u.vgr.gz", folder, name, when, i)
                                  : g_strdup_printf("%s/%s-%s.vgr.gz", folder, name, when);

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST) {
            break;
        }
    }
    if (fd < 0) {
        g_set_error(error, VGPUD_ERROR, 0,
                    "VM '%s' is not recorded: cannot make a file in '%s': %s; see record= in [renderer] of "
                    "vgpud.conf",
                    vm, folder, g_strerror(errno));
    }
    return fd;
}
