/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this user may make what vgpud makes renderers' sandboxes of. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "doctor.h"

static bool write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    bool ok = f && fputs(text, f) >= 0;

    return f && fclose(f) == 0 && ok;
}

int try_sandbox(const Ctl *ctl)
{
    g_autofree char *uids = g_strdup_printf("0 %u 1\n", geteuid());
    g_autofree char *gids = g_strdup_printf("0 %u 1\n", getegid());

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                CLONE_NEWCGROUP) < 0) {
        return command_fail(CTL_FAILED, "no namespaces of one's own: %s", g_strerror(errno));
    }
    if (!write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/uid_map", uids) ||
        !write_text("/proc/self/gid_map", gids)) {
        return command_fail(CTL_FAILED, "no user ids in a user namespace: %s", g_strerror(errno));
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0) {
        return command_fail(CTL_FAILED, "no mounts in a user namespace: %s", g_strerror(errno));
    }
    return CTL_OK;
}
