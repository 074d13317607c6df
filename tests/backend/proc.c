/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc.h"

#include <string.h>
#include <unistd.h>

char *proc_status(pid_t pid, const char *field)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t n = strlen(field);

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **l = lines; *l; l++) {
        if (!strncmp(*l, field, n) && (*l)[n] == ':') {
            return g_strstrip(g_strdup(*l + n + 1));
        }
    }
    return NULL;
}

GArray *proc_children(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    GArray *all = g_array_new(FALSE, FALSE, sizeof(pid_t));
    const char *tid;

    while (dir && (tid = g_dir_read_name(dir))) {
        g_autofree char *file = g_strdup_printf("%s/%s/children", path, tid);
        g_autofree char *text = NULL;
        g_auto(GStrv) pids = NULL;

        if (!g_file_get_contents(file, &text, NULL, NULL)) {
            continue;
        }
        pids = g_strsplit(text, " ", -1);
        for (char **p = pids; *p; p++) {
            pid_t child = g_ascii_strtoull(*p, NULL, 10);

            if (child) {
                g_array_append_val(all, child);
            }
        }
    }
    return all;
}

pid_t proc_deepest(pid_t pid)
{
    for (;;) {
        g_autoptr(GArray) c = proc_children(pid);

        if (!c->len) {
            return pid;
        }
        pid = g_array_index(c, pid_t, 0);
    }
}

uint64_t proc_rss_kib(pid_t pid)
{
    g_autofree char *rss = proc_status(pid, "RssAnon");
    g_autoptr(GArray) c = proc_children(pid);
    uint64_t sum = rss ? g_ascii_strtoull(rss, NULL, 10) : 0;

    for (unsigned i = 0; i < c->len; i++) {
        sum += proc_rss_kib(g_array_index(c, pid_t, i));
    }
    return sum;
}

bool proc_same_namespace(pid_t pid, const char *type)
{
    g_autofree char *a = g_strdup_printf("/proc/%d/ns/%s", pid, type);
    g_autofree char *b = g_strdup_printf("/proc/self/ns/%s", type);
    g_autofree char *theirs = g_file_read_link(a, NULL);
    g_autofree char *ours = g_file_read_link(b, NULL);

    g_assert_nonnull(ours);
    g_assert_nonnull(theirs);
    return !g_strcmp0(ours, theirs);
}

bool proc_alive(pid_t pid)
{
    g_autofree char *state = proc_status(pid, "State");

    return state && state[0] != 'Z' && state[0] != 'X';
}

unsigned proc_fd_count(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    while (dir && g_dir_read_name(dir)) {
        n++;
    }
    return n;
}
