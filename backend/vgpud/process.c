/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "process.h"

#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Fields of /proc/PID/stat, see proc(5). */
#define STAT_STATE      3
#define STAT_FLAGS      9
#define STAT_CUTIME     16
#define STAT_CSTIME     17
#define STAT_START      22
#define STAT_PF_EXITING 0x4 /* the kernel's: it takes the process apart */

static char *read_proc(pid_t pid, const char *file)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, file);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* Field n of /proc/PID/stat, from 3 (the state) up; NULL when there is none. */
static const char *stat_field(const char *text, unsigned n)
{
    const char *s = text ? strrchr(text, ')') : NULL; /* the name may hold anything */

    for (unsigned field = 2; s && field < n; field++) {
        s = strchr(s + 1, ' ');
    }
    return s ? s + 1 : NULL;
}

static bool start_time(const char *stat, uint64_t *ticks)
{
    const char *s = stat_field(stat, STAT_START);

    if (s) {
        *ticks = g_ascii_strtoull(s, NULL, 10);
    }
    return s != NULL;
}

bool process_start_time(pid_t pid, uint64_t *ticks)
{
    g_autofree char *text = read_proc(pid, "stat");

    return start_time(text, ticks);
}

bool process_times(pid_t pid, uint64_t *ticks, uint64_t *reaped_ns)
{
    g_autofree char *text = read_proc(pid, "stat");
    const char *user = stat_field(text, STAT_CUTIME), *system = stat_field(text, STAT_CSTIME);

    if (!start_time(text, ticks)) {
        return false;
    }
    *reaped_ns = (g_ascii_strtoull(user, NULL, 10) + g_ascii_strtoull(system, NULL, 10)) *
                 (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
    return true;
}

bool process_is_ending(pid_t pid, uint64_t start)
{
    g_autofree char *text = read_proc(pid, "stat");
    const char *state = stat_field(text, STAT_STATE), *flags = stat_field(text, STAT_FLAGS);
    uint64_t now;

    return !start_time(text, &now) || now != start || strchr("ZX", *state) ||
           (g_ascii_strtoull(flags, NULL, 10) & STAT_PF_EXITING);
}

char process_state(pid_t pid)
{
    g_autofree char *text = read_proc(pid, "stat");
    const char *s = text ? strrchr(text, ')') : NULL;

    return s && s[1] == ' ' ? s[2] : 0;
}

static bool status_kib(const char *text, const char *key, uint64_t *sum)
{
    const char *s = strstr(text, key);

    if (!s) {
        return false;
    }
    *sum += g_ascii_strtoull(s + strlen(key), NULL, 10) * 1024;
    return true;
}

bool process_own_memory(pid_t pid, uint64_t *bytes)
{
    g_autofree char *text = read_proc(pid, "status");

    *bytes = 0;
    if (!text || !status_kib(text, "\nRssAnon:", bytes)) {
        return false;
    }
    status_kib(text, "\nVmSwap:", bytes);
    return true;
}

char *process_era(void)
{
    g_autofree char *boot = NULL;
    g_autofree char *space = g_file_read_link("/proc/self/ns/pid", NULL);

    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL)) {
        boot = g_strdup("unknown");
    }
    return g_strdup_printf("%s %s", g_strstrip(boot), space ? space : "unknown");
}

int process_open(pid_t pid, uint64_t start)
{
    uint64_t now;
    int fd = syscall(SYS_pidfd_open, pid, 0);

    if (fd < 0) {
        return -1;
    }
    /* looked at after the pidfd was opened: it cannot become another's any more */
    if (!process_start_time(pid, &now) || now != start) {
        close(fd);
        return -1;
    }
    return fd;
}

int process_get_fd(int pidfd, int fd)
{
    return syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

void process_kill(int pidfd, int sig)
{
    syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}
