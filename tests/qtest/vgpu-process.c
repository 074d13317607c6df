/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include <ftw.h>
#include <sys/wait.h>
#include "vgpu-process.h"

static char *read_proc(pid_t pid, const char *file, size_t *len)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, file);
    char *text = NULL;

    return g_file_get_contents(path, &text, len, NULL) ? text : NULL;
}

static GArray *all_pids(void)
{
    GArray *pids = g_array_new(false, false, sizeof(pid_t));
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        pid_t pid = g_ascii_isdigit(*name) ? atoi(name) : 0;

        if (pid) {
            g_array_append_val(pids, pid);
        }
    }
    return pids;
}

/* Does the NUL-separated list have this string? */
static bool has_string(const char *list, size_t len, const char *string)
{
    const char *p;

    for (p = list; p < list + len; p += strlen(p) + 1) {
        if (g_str_equal(p, string)) {
            return true;
        }
    }
    return false;
}

/* 'Z' and 'X' have ended; 0: there is no such process */
static char process_state(pid_t pid, pid_t *parent)
{
    g_autofree char *stat = read_proc(pid, "stat", NULL);
    const char *p = stat ? strrchr(stat, ')') : NULL;
    char state = 0;
    int ppid = 0;

    if (p) {
        sscanf(p + 1, " %c %d", &state, &ppid);
    }
    if (parent) {
        *parent = ppid;
    }
    return state;
}

static bool process_lives(pid_t pid)
{
    char state = process_state(pid, NULL);

    return state && state != 'Z' && state != 'X';
}

/* pids whose program is called name and that have string in that /proc file */
static GArray *find(const char *name, const char *file, const char *string)
{
    g_autoptr(GArray) pids = all_pids();
    GArray *found = g_array_new(false, false, sizeof(pid_t));
    unsigned i;

    for (i = 0; i < pids->len; i++) {
        pid_t pid = g_array_index(pids, pid_t, i);
        size_t len = 0, file_len = 0;
        g_autofree char *cmdline = read_proc(pid, "cmdline", &len);
        g_autofree char *base = cmdline && len ? g_path_get_basename(cmdline) : NULL;
        g_autofree char *text = NULL;

        if (g_strcmp0(base, name) || !process_lives(pid)) {
            continue;
        }
        text = read_proc(pid, file, &file_len);
        if (text && has_string(text, file_len, string)) {
            g_array_append_val(found, pid);
        }
    }
    return found;
}

GArray *process_renderers(const char *vm_name)
{
    g_autofree char *arg = g_strdup_printf("--vm-name=%s", vm_name);

    return find("vgpu-renderer", "cmdline", arg);
}

GArray *process_named(const char *name)
{
    g_autofree char *env = g_strdup_printf("XDG_RUNTIME_DIR=%s", getenv("XDG_RUNTIME_DIR"));

    return find(name, "environ", env);
}

void process_signal(GArray *pids, int sig)
{
    unsigned i;

    g_assert_cmpuint(pids->len, >, 0);
    for (i = 0; i < pids->len; i++) {
        kill(g_array_index(pids, pid_t, i), sig);
    }
}

bool process_gone(GArray *pids, int timeout_ms)
{
    int64_t end = g_get_monotonic_time() + timeout_ms * 1000ll;
    unsigned i = 0;

    while (i < pids->len) {
        if (!process_lives(g_array_index(pids, pid_t, i))) {
            i++;
        } else if (g_get_monotonic_time() > end) {
            return false;
        } else {
            g_usleep(5000);
        }
    }
    return true;
}

/* Every thread: the signal is on its way while the last ones still answer. */
static bool process_is_stopped(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *tid;

    while (dir && (tid = g_dir_read_name(dir))) {
        g_autofree char *stat = g_strdup_printf("%s/%s/stat", path, tid);
        g_autofree char *text = NULL;
        const char *state;

        if (!g_file_get_contents(stat, &text, NULL, NULL)) {
            continue; /* it has ended */
        }
        state = strrchr(text, ')');
        if (!state || state[1] != ' ' || state[2] != 'T') {
            return false;
        }
    }
    return dir != NULL;
}

bool process_stopped(GArray *pids, int timeout_ms)
{
    int64_t end = g_get_monotonic_time() + timeout_ms * 1000ll;
    unsigned i = 0;

    while (i < pids->len) {
        if (process_is_stopped(g_array_index(pids, pid_t, i))) {
            i++;
        } else if (g_get_monotonic_time() > end) {
            return false;
        } else {
            g_usleep(5000);
        }
    }
    return true;
}

uint64_t process_rss_kib(GArray *pids)
{
    uint64_t sum = 0;
    unsigned i;

    for (i = 0; i < pids->len; i++) {
        g_autofree char *status = read_proc(g_array_index(pids, pid_t, i), "status", NULL);
        const char *line = status ? strstr(status, "VmRSS:") : NULL;

        sum += line ? g_ascii_strtoull(line + strlen("VmRSS:"), NULL, 10) : 0;
    }
    return sum;
}

void process_assert_same(const char *vm_name, GArray *before)
{
    unsigned i;

    for (i = 0; i < before->len; i++) {
        pid_t pid = g_array_index(before, pid_t, i);

        if (!process_lives(pid)) {
            g_test_message("the renderer of %s (pid %d) ended during the test", vm_name, pid);
            g_test_fail();
        }
    }
}

/* Of what it has open, the highest number. */
static unsigned highest_descriptor(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned highest = 0;
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        highest = MAX(highest, (unsigned)atoi(name));
    }
    return highest;
}

void process_starve(pid_t pid, struct rlimit *was)
{
    struct rlimit none;

    g_assert_cmpint(prlimit(pid, RLIMIT_NOFILE, NULL, was), ==, 0);
    none = *was;
    none.rlim_cur = highest_descriptor(pid) + 1;
    for (int fd = 0; fd < (int)none.rlim_cur; fd++) { /* gaps are descriptors, too */
        g_autofree char *path = g_strdup_printf("/proc/%d/fd/%d", (int)pid, fd);

        if (!g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
            none.rlim_cur = fd;
        }
    }
    g_assert_cmpint(prlimit(pid, RLIMIT_NOFILE, &none, NULL), ==, 0);
}

void process_kill_orphans(void)
{
    bool again = true;

    /* a killed parent hands its children to us: until none is left */
    while (again) {
        g_autoptr(GArray) pids = all_pids();
        unsigned i;

        again = false;
        for (i = 0; i < pids->len; i++) {
            pid_t pid = g_array_index(pids, pid_t, i), parent;

            if (process_state(pid, &parent) && parent == getpid()) {
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                again = true;
            }
        }
    }
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void process_remove_tree(const char *dir)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
