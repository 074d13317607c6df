/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See isolation.h for the stages.
 *
 * The filter is an allow-list.  What is not on it fails with EPERM, because a
 * driver or libc may try a thing, fail and go on; what no driver ever wants
 * and every exploit does (a program, a socket, a mount, another process) kills
 * the process: its VM loses its renderer, and the host's log says why.
 *
 * The lists were made with strace from EGL + virglrenderer 1.1 on llvmpipe and
 * from what Mesa's hardware drivers add (ioctl, kcmp, writing to a render
 * node).  The second filter only takes away: the kernel obeys the stricter.
 */
#include "isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../vulkan-layer/refused.h"
#include "log.h"

/* Descriptors: one for each blob of host memory, and what else there is is a few hundred. */
#define MAX_DESCRIPTORS 16384

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

/* Lists to be read by their groups. */
/* clang-format off */
static const char *const allowed[] = {
    /* memory: malloc, guest RAM, scanouts, llvmpipe's code */
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "membarrier", "memfd_create",
    "ftruncate", "fallocate",
    /* threads, time, signals */
    "futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address",
    "exit", "exit_group", "gettid", "getpid", "getppid", "sched_yield",
    "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_getscheduler",
    "sched_setscheduler", "sched_get_priority_min", "sched_get_priority_max", "setpriority", "getpriority", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "restart_syscall", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "getcpu",
    /* descriptors: sockets we were given, eventfds, sync files, the GPU */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "lseek", "close", "close_range",
    "dup", "dup2", "dup3", "fcntl", "poll", "ppoll", "select", "pselect6", "epoll_create1",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "timerfd_create",
    "timerfd_settime", "timerfd_gettime", "pipe2", "recvmsg", "sendmsg", "recvfrom", "sendto",
    "shutdown", "getsockopt", "kcmp",
    /* reading: libraries, Mesa's configuration, /sys of the GPU */
    "open", "openat", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs",
    "readlink", "readlinkat", "access", "faccessat", "faccessat2", "getdents64", "getcwd",
    "flock", "fadvise64",
    /* who and where am I */
    "uname", "sysinfo", "getuid", "geteuid", "getgid", "getegid", "getrandom", "prlimit64",
    "getrlimit", "getrusage", "times", "arch_prctl", "prctl",
    /* the second stage */
    "seccomp",
};

/* see isolate_starting; there are no files to be had or lost by them but in the box's own /tmp */
static const char *const links[] = { "symlink", "unlink" };

static const char *const deadly[] = {
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "process_madvise", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "kill", "tkill",
    "socketpair", "bind", "connect", "listen", "accept", "accept4", "setsockopt",
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsmount",
    "fsconfig", "fspick", "mount_setattr", "unshare", "setns", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setgroups", "capset", "bpf", "perf_event_open",
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key",
    "request_key", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot", "swapon", "swapoff", "open_by_handle_at", "name_to_handle_at",
    "iopl", "ioperm", "acct", "quotactl", "sethostname", "setdomainname", "settimeofday",
    "clock_settime", "adjtimex", "personality", "modify_ldt",
};
/* clang-format on */

/*
 * Made by nothing once GL runs: no more sandboxes, limits or sockets.  But where there
 * is libdbus, NVIDIA's driver wants to tell a power daemon of each program that uses it:
 * its socket fails, as it did before.
 */
static const char *const deadly_serving[] = { "seccomp", "socket" };

static bool isolation_add(scmp_filter_ctx ctx, uint32_t action, const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);
    int rc = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, action, nr, 0);

    if (rc < 0) {
        log_say("sandbox: cannot add a rule for %s: %s", name, g_strerror(-rc));
    }
    return rc >= 0;
}

static bool isolation_add_all(scmp_filter_ctx ctx, uint32_t action, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!isolation_add(ctx, action, names[i])) {
            return false;
        }
    }
    return true;
}

/* In this and in every other thread; consumes ctx. */
static bool isolation_load(scmp_filter_ctx ctx, GError **error)
{
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

    /* Refusals go to the audit log, where there is one. */
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
    /* A call by another table of numbers (int 0x80, x32): not of the one thread that made it. */
    if (rc == 0) {
        rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    }
    if (rc == 0) {
        rc = seccomp_load(ctx);
    }
    seccomp_release(ctx);
    if (rc < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(-rc),
                    "the kernel did not take the system call filter: %s (--no-sandbox runs without)",
                    g_strerror(-rc));
        return false;
    }
    return true;
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* All but stdio and ours, which do not survive an exec either. */
static bool isolation_close_fds(const int *keep, unsigned count)
{
    g_autofree int *fds = g_memdup2(keep, count * sizeof(*keep));
    unsigned first = 3;

    qsort(fds, count, sizeof(*fds), compare_ints);
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] < 3) {
            continue;
        }
        if ((unsigned)fds[i] > first && close_range(first, (unsigned)fds[i] - 1, 0) < 0) {
            return false;
        }
        first = (unsigned)fds[i] + 1;
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    }
    return close_range(first, ~0u, 0) == 0;
}

bool isolate_initial(const int *keep, unsigned count, GError **error)
{
    struct rlimit no_core = { 0, 0 }, files;

    if (!isolation_close_fds(keep, count) || getrlimit(RLIMIT_NOFILE, &files) < 0) {
        goto fail;
    }
    files.rlim_max = MIN(files.rlim_max, MAX_DESCRIPTORS);
    files.rlim_cur = files.rlim_max;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &no_core) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0) {
        goto fail;
    }
    return true;

fail:
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                "cannot give up privileges: %s (--no-sandbox runs without)", g_strerror(errno));
    return false;
}

bool isolate_starting(bool devices, GError **error)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool ok = ctx != NULL;

    ok = ok && isolation_add_all(ctx, SCMP_ACT_ALLOW, allowed, G_N_ELEMENTS(allowed));
    ok = ok && isolation_add_all(ctx, SCMP_ACT_ALLOW, links, devices ? G_N_ELEMENTS(links) : 0);
    ok = ok && isolation_add_all(ctx, SCMP_ACT_KILL_PROCESS, deadly, G_N_ELEMENTS(deadly));
    /* Threads, not processes.  clone3's flags are in memory: libc falls back to clone. */
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NEWUSER, CLONE_THREAD)) == 0;
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    /* abort() of ours, nobody else. */
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid())) == 0;
    /* A driver's, but not one that types into a terminal. */
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_NE, TIOCSTI)) == 0;
    if (!ok) {
        seccomp_release(ctx);
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "cannot make the system call filter (--no-sandbox runs without)");
        return false;
    }
    return isolation_load(ctx, error);
}

/* What starting may and serving may not; on top of the first filter. */
void isolate_serving(bool devices)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    g_autoptr(GError) error = NULL;
    bool ok = ctx != NULL;
    static const uint64_t writing[] = { O_WRONLY, O_CREAT, O_TRUNC, O_RDWR };
    unsigned count = G_N_ELEMENTS(writing) - (devices ? 1 : 0);

    ok = ok && isolation_add_all(ctx, SCMP_ACT_KILL_PROCESS, deadly_serving,
                                 G_N_ELEMENTS(deadly_serving) - (devices ? 1 : 0));
    for (unsigned i = 0; ok && i < count; i++) {
        ok = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, writing[i], writing[i])) == 0;
    }
    ok = ok && isolation_add(ctx, SCMP_ACT_ERRNO(EACCES), "open");
    ok = ok && refused_add(ctx);
    /* The profile's CPUs are a limit. */
    ok = ok && isolation_add(ctx, SCMP_ACT_ERRNO(EPERM), "sched_setaffinity");
    /* A thread's name is all that is set now. */
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1,
                                SCMP_A0(SCMP_CMP_NE, PR_SET_NAME)) == 0;
    ok = ok &&
         seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_NE, 0)) == 0;
    if (!ok || !isolation_load(ctx, &error)) {
        log_say("%s", error ? error->message : "cannot make the system call filter");
        _exit(1);
    }
}
