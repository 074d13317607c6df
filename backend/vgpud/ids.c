/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ids.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

uid_t ids_of_slot(uid_t base, unsigned slot)
{
    return base ? base + slot % IDS_COUNT : 0;
}

static bool overlaps(uid_t base, uint64_t first, uint64_t count)
{
    return first < (uint64_t)base + IDS_COUNT && base < first + count;
}

char *ids_overlap(uid_t base, const char *subuid_file)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (overlaps(base, 524288, 1879048192ull - 524288)) {
        return g_strdup("systemd gives ids from 524288 to 1879048191 to containers");
    }
    if (overlaps(base, 2147352576, 65536)) {
        return g_strdup("systemd keeps ids from 2147352576 to 2147418111 for foreign images");
    }
    if (!g_file_get_contents(subuid_file, &text, NULL, NULL)) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        g_auto(GStrv) part = g_strsplit(lines[i], ":", -1); /* user:first:count */
        guint64 first, count;

        if (g_strv_length(part) == 3 &&
            g_ascii_string_to_unsigned(part[1], 10, 0, G_MAXUINT32, &first, NULL) &&
            g_ascii_string_to_unsigned(part[2], 10, 1, G_MAXUINT32, &count, NULL) &&
            overlaps(base, first, count)) {
            return g_strdup_printf("%s gives ids from %" G_GUINT64_FORMAT " to user %s", subuid_file, first,
                                   part[0]);
        }
    }
    return NULL;
}

/* Whether a process can be given that id; one that cannot be made at all is told of when a VM starts. */
static bool try_id(uid_t uid, GError **error)
{
    g_autoptr(Sandbox) box = sandbox_new("/proc/self/exe", NULL, NULL, NULL, NULL);
    int pidfd;
    pid_t pid = sandbox_fork(&pidfd, NULL);
    bool ok;

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    if (pid < 0) {
        return true;
    }
    ok = sandbox_map_ids(box, pid, uid, error);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(pidfd);
    return ok;
}

uid_t ids_choose(uid_t base)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *other = NULL;

    if (geteuid() != 0) {
        return 0;
    }
    if (!try_id(base, &error) || !try_id(base + IDS_COUNT - 1, &error)) {
        g_warning(
            "renderers run with vgpud's own user id, which is root here: %s; set uid-base= in [renderer] "
            "of vgpud.conf to the first of %u ids that are mapped here and that nobody has, or run vgpud "
            "as another user",
            error->message, IDS_COUNT);
        return 0;
    }
    other = ids_overlap(base, "/etc/subuid");
    if (other) {
        g_warning("uid-base=%u in [renderer] of vgpud.conf: %s; choose %u ids that nobody has", base, other,
                  IDS_COUNT);
    }
    return base;
}
