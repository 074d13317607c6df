/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The kernel lists a thread's children in /proc/PID/task/TID/children, so all
 * threads of all members are asked: any of them may have forked.  That is a
 * few microseconds for each thread, once a second, and RLIMIT_NPROC bounds how
 * many there can be (launcher.c).
 *
 * The list may miss some while others end, and outside of a box a process whose
 * parent ended belongs to another one.  So who was a member once stays one until
 * it is gone: nobody leaves by forking, and nobody is taken for new twice.
 *
 * What has ended between two looks is in its parent's figure for children it
 * waited for; who lets the kernel reap its children (SIGCHLD ignored) hides what
 * they used since the last look.
 */
#include "process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

#define THREADS_MAX 32768 /* asked in one look */

typedef struct Look {
    ProcessTree *tree;
    GHashTable *seen; /* pids */
    unsigned threads;
} Look;

ProcessTree *process_tree_new(pid_t root, uint64_t start)
{
    ProcessTree *t = g_new0(ProcessTree, 1);
    ProcessTreeMember m = { .pid = root, .start = start };

    t->members = g_array_new(FALSE, FALSE, sizeof(ProcessTreeMember));
    t->root = root;
    t->start = start;
    g_array_append_val(t->members, m);
    return t;
}

void process_tree_free(ProcessTree *t)
{
    if (t) {
        g_array_unref(t->members);
        g_free(t);
    }
}

/* start: 0, or the process must be that one. */
static bool add(Look *look, pid_t pid, uint64_t start)
{
    ProcessTreeMember m = { .pid = pid };

    if (g_hash_table_contains(look->seen, GINT_TO_POINTER(pid))) {
        return true;
    }
    if (look->tree->members->len == PROCESS_TREE_MAX) {
        look->tree->too_many = true;
        return false;
    }
    if (process_times(pid, &m.start, &m.reaped) && (!start || m.start == start)) {
        g_hash_table_add(look->seen, GINT_TO_POINTER(pid));
        g_array_append_val(look->tree->members, m);
    }
    return true;
}

/* False: there are too many. */
static bool add_children(Look *look, int tasks, const char *tid)
{
    char path[32], text[16 * PROCESS_TREE_MAX], *at = text, *end;
    ssize_t n = -1;
    int fd;

    if (look->threads++ == THREADS_MAX) {
        look->tree->too_many = true;
        return false;
    }
    snprintf(path, sizeof(path), "%.16s/children", tid);
    fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    if (n <= 0) {
        return true;
    }
    text[n] = 0;
    for (;;) {
        long pid = strtol(at, &end, 10);

        if (end == at || pid <= 0 || pid > G_MAXINT) {
            return true;
        }
        if (!add(look, (pid_t)pid, 0)) {
            return false;
        }
        at = end;
    }
}

static DIR *open_tasks(pid_t pid)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    return opendir(path);
}

static bool look_at(Look *look, pid_t pid)
{
    DIR *tasks = open_tasks(pid);
    int folder = tasks ? dirfd(tasks) : -1;
    const struct dirent *e;
    bool ok = true;

    while (ok && folder >= 0 && (e = readdir(tasks))) {
        ok = !g_ascii_isdigit(*e->d_name) || add_children(look, folder, e->d_name);
    }
    if (tasks) {
        closedir(tasks);
    }
    return ok;
}

void process_tree_look(ProcessTree *t)
{
    g_autoptr(GArray) old = t->members;
    Look look = { .tree = t, .seen = g_hash_table_new(NULL, NULL) };

    t->members = g_array_sized_new(FALSE, FALSE, sizeof(ProcessTreeMember), old->len + 1);
    t->too_many = false;
    add(&look, t->root, t->start);
    /* without their root the others are nobody's */
    for (guint i = 0; t->members->len && i < old->len; i++) {
        const ProcessTreeMember *m = &g_array_index(old, ProcessTreeMember, i);

        add(&look, m->pid, m->start);
    }
    /* the list grows while it is gone through */
    for (guint i = 0; i < t->members->len; i++) {
        if (!look_at(&look, g_array_index(t->members, ProcessTreeMember, i).pid)) {
            break;
        }
    }
    g_hash_table_unref(look.seen);
}

bool process_tree_clock(const ProcessTree *t, uint64_t *ns)
{
    *ns = 0;
    for (guint i = 0; i < t->members->len; i++) {
        clockid_t clock;
        struct timespec used;

        if (clock_getcpuclockid(g_array_index(t->members, ProcessTreeMember, i).pid, &clock) != 0 ||
            clock_gettime(clock, &used) < 0) {
            return false;
        }
        *ns += (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
    }
    return t->members->len > 0;
}

bool process_tree_memory(const ProcessTree *t, const SharedOwner *owner, uint64_t *bytes)
{
    pid_t pids[PROCESS_TREE_MAX];
    uint64_t shared;
    bool known = false;

    *bytes = 0;
    for (guint i = 0; i < t->members->len; i++) {
        uint64_t own;

        pids[i] = g_array_index(t->members, ProcessTreeMember, i).pid;
        if (process_own_memory(pids[i], &own)) {
            *bytes += own;
            known = true;
        }
    }
    if (process_shared_memory(pids, t->members->len, owner, &shared)) {
        *bytes += shared;
    }
    return known;
}

void process_each_thread(pid_t pid, bool (*each)(pid_t tid, void *opaque), void *opaque)
{
    DIR *tasks = open_tasks(pid);
    const struct dirent *e;
    unsigned n = 0;

    while (tasks && n++ < THREADS_MAX && (e = readdir(tasks))) {
        if (g_ascii_isdigit(*e->d_name) && !each((pid_t)atoi(e->d_name), opaque)) {
            break;
        }
    }
    if (tasks) {
        closedir(tasks);
    }
}
