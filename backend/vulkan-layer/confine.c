/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation.  As in the renderer (renderer/isolation.c) the filter is
 * a list of what is allowed; what is not on it fails with EPERM, because a
 * driver or libc may try a thing, fail and go on; what no driver ever wants and
 * every exploit does kills the process.
 *
 * The lists were made with strace from virglrenderer 1.1's server with lavapipe
 * (Mesa 25.0), drawing, computing and allocating, and from what Mesa's hardware
 * drivers add.  syslog() is among what fails: the server's messages come on
 * stderr as well.
 *
 * The leash: a socket whose data is signalled by SIGKILL (F_SETSIG).  So a
 * process that does not answer can be ended by one that may not kill, and it
 * ends when the renderer does.
 */
#include "confine.h"
#include "driver.h"
#include "refused.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Lists to be read by their groups. */
/* clang-format off */
static const char *const allowed[] = {
    /* memory: malloc, what is shared, a driver's code */
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "membarrier", "memfd_create",
    "ftruncate", "fallocate", "mincore", "msync",
    /* threads, time, signals */
    "futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address",
    "exit", "exit_group", "gettid", "getpid", "getppid", "sched_yield",
    "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_getscheduler",
    "sched_setscheduler", "sched_get_priority_min", "sched_get_priority_max", "setpriority", "getpriority", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "restart_syscall", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "getcpu",
    /* descriptors: sockets that were there, pairs, eventfds, sync files, the GPU */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "lseek", "close", "close_range",
    "dup", "dup2", "dup3", "fcntl", "poll", "ppoll", "select", "pselect6", "epoll_create1",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "timerfd_create",
    "timerfd_settime", "timerfd_gettime", "pipe2", "socketpair", "recvmsg", "sendmsg", "recvfrom",
    "sendto", "shutdown", "getsockopt", "kcmp", "signalfd4",
    /* reading: libraries, Mesa's configuration, /sys of the GPU */
    "open", "openat", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs",
    "readlink", "readlinkat", "access", "faccessat", "faccessat2", "getdents64", "getcwd",
    "flock", "fadvise64",
    /* who and where am I */
    "uname", "sysinfo", "getuid", "geteuid", "getgid", "getegid", "getrandom", "getrlimit",
    "getrusage", "times", "arch_prctl", "prctl",
    /* the server: its contexts, which it waits for; their filter */
    "fork", "waitid", "wait4", "seccomp",
};

/* What NVIDIA's driver tries each time it opens its device; there are no files for it but in the box's /tmp. */
static const char *const links[] = { "symlink", "unlink" };

static const char *const deadly[] = {
    "execve", "execveat", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
    "process_madvise", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "tkill",
    "bind", "listen", "accept", "accept4", "setsockopt",
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsmount",
    "fsconfig", "fspick", "mount_setattr", "unshare", "setns", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setgroups", "capset", "bpf", "perf_event_open",
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key",
    "request_key", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot", "swapon", "swapoff", "open_by_handle_at", "name_to_handle_at",
    "iopl", "ioperm", "acct", "quotactl", "sethostname", "setdomainname", "settimeofday",
    "clock_settime", "adjtimex", "personality", "modify_ldt",
};

/* Of a context process. */
static const char *const deadly_context[] = {
    "fork", "kill", "seccomp",
};
/* clang-format on */

#define NEW_NAMESPACES                                                                                       \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |               \
     CLONE_NEWCGROUP)

static scmp_filter_ctx context_filter; /* made once, loaded by each child; NULL: not confined */
static pid_t server;                   /* 0: this is none of ours */

static void die(const char *what)
{
    fprintf(stderr, "vgpu: cannot confine the render server: %s\n", what);
    _exit(1);
}

static bool add(scmp_filter_ctx ctx, uint32_t action, const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);

    return nr == __NR_SCMP_ERROR || seccomp_rule_add(ctx, action, nr, 0) == 0;
}

static bool add_all(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!add(ctx, action, names[i])) {
            return false;
        }
    }
    return true;
}

static void refuse_open(scmp_filter_ctx ctx, bool *ok, uint64_t mask, uint64_t flags)
{
    *ok = *ok &&
          seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, mask, flags)) == 0 &&
          seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(open), 1,
                           SCMP_A1(SCMP_CMP_MASKED_EQ, mask, flags)) == 0;
}

/* Of the server, and of what it forks. */
static scmp_filter_ctx server_filter(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool ok = ctx != NULL;

    ok = ok && add_all(ctx, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
    ok = ok && add_all(ctx, SCMP_ACT_ALLOW, links, driver_is_nvidia() ? COUNT(links) : 0);
    ok = ok && add_all(ctx, SCMP_ACT_KILL_PROCESS, deadly, COUNT(deadly));
    /* Threads and processes, all in these namespaces.  clone3's flags are in memory: libc falls back to
     * clone. */
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                SCMP_A0(SCMP_CMP_MASKED_EQ, NEW_NAMESPACES | CLONE_PTRACE, 0)) == 0;
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    /* One process, for good. */
    ok = ok &&
         seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(kill), 2, SCMP_A0(SCMP_CMP_MASKED_EQ, 0x80000000u, 0),
                          SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, SIGKILL)) == 0;
    /* A driver's, but not one that types into a terminal: the kernel looks at 32 bits of the request. */
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_LT, TIOCSTI)) == 0;
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_GT, TIOCSTI)) == 0;
    /* Limits are read. */
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)) == 0;
    if (!ok) {
        seccomp_release(ctx);
        return NULL;
    }
    return ctx;
}

/* On top of it, and without rules for what may be done: the kernel obeys the strictest. */
static scmp_filter_ctx more_filter(const char *const *names, size_t count)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

    if (ctx && !add_all(ctx, SCMP_ACT_KILL_PROCESS, names, count)) {
        seccomp_release(ctx);
        return NULL;
    }
    return ctx;
}

/* No file is made or changed.  device: one that is there may be opened, as a GPU is. */
static bool add_read_only(scmp_filter_ctx ctx, bool device)
{
    static const uint64_t making[] = { O_CREAT, O_TRUNC, O_APPEND };
    bool ok = true;

    for (size_t i = 0; i < COUNT(making); i++) {
        refuse_open(ctx, &ok, making[i], making[i]);
    }
    refuse_open(ctx, &ok, O_ACCMODE, O_WRONLY);
    if (!device) {
        refuse_open(ctx, &ok, O_ACCMODE, O_RDWR);
    }
    return ok && refused_add(ctx) &&
           /* The profile's CPUs are a limit. */
           add(ctx, SCMP_ACT_ERRNO(EPERM), "sched_setaffinity");
}

static bool add_context(scmp_filter_ctx ctx)
{
    static const uint64_t signalling[] = { F_SETOWN, F_SETSIG, F_SETOWN_EX };
    bool ok = true;

    /* Its last turn in the server's loop may look for children, of which it has none. */
    ok = ok && add(ctx, SCMP_ACT_ERRNO(ECHILD), "waitid") && add(ctx, SCMP_ACT_ERRNO(ECHILD), "wait4");
    /* Threads, not processes. */
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                                SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)) == 0;
    /* Nobody else's leash. */
    for (size_t i = 0; ok && i < COUNT(signalling); i++) {
        ok = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fcntl), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, signalling[i])) == 0;
    }
    /* A thread's name is all that is set now. */
    return ok && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_NE, PR_SET_NAME)) == 0;
}

static bool load(scmp_filter_ctx ctx)
{
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
    /* A call by another table of numbers (int 0x80, x32): not of the one thread that made it. */
    return seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 &&
           seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1) == 0 && seccomp_load(ctx) == 0;
}

void confine(void)
{
    const char *how = getenv(CONFINE_ENV);
    scmp_filter_ctx first, more;

    if (!how) {
        return;
    }
    server = getpid();
    if (!strcmp(how, "none")) {
        return;
    }
    /* Neither its memory nor its descriptors are for others of the same user. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        die(strerror(errno));
    }
    first = server_filter();
    more = more_filter(NULL, 0);
    context_filter = more_filter(deadly_context, COUNT(deadly_context));
    if (!first || !more || !context_filter || !add_read_only(more, !strcmp(how, "device")) ||
        !add_context(context_filter)) {
        die("there is no memory for the system call filter");
    }
    if (!load(first) || !load(more)) {
        die("the kernel did not take the system call filter");
    }
    seccomp_release(first);
    seccomp_release(more);
}

int confine_leash(void)
{
    int end[2];

    if (server && (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != server)) {
        _exit(1); /* there is nobody to serve any more */
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, end) < 0) {
        die("no socket for its leash");
    }
    if (server && (fcntl(end[0], F_SETOWN, getpid()) < 0 || fcntl(end[0], F_SETSIG, SIGKILL) < 0 ||
                   fcntl(end[0], F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC) < 0)) {
        die("no leash");
    }
    return end[1]; /* end[0] stays open until the end */
}

void confine_context(void)
{
    if (context_filter && !load(context_filter)) {
        die("the kernel did not take a context's system call filter");
    }
}
