/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ways out by processes, limits, networks and the kernel. */
#include "escape.h"

#include <arpa/inet.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define P(pointer) ((intptr_t)(pointer))

/* ---- other processes ---- */

ATTEMPT(ptrace)
{
    return escape_call(SYS_ptrace, PTRACE_SEIZE, page->vgpud, 0, 0);
}

static long copy(int pid, long number)
{
    char byte = 0;
    struct iovec here = { &byte, 1 }, there = { &byte, 1 };

    return escape_call(number, pid, P(&here), 1, P(&there), 1, 0);
}

ATTEMPT(read_vgpud)
{
    return copy(page->vgpud, SYS_process_vm_readv);
}

ATTEMPT(write_vgpud)
{
    return copy(page->vgpud, SYS_process_vm_writev);
}

ATTEMPT(kill_vgpud)
{
    return escape_call(SYS_kill, page->vgpud, 0);
}

ATTEMPT(kill_qemu)
{
    return escape_call(SYS_kill, page->qemu, 0);
}

ATTEMPT(kill_other)
{
    return escape_call(SYS_kill, page->other, 0);
}

ATTEMPT(tgkill)
{
    return escape_call(SYS_tgkill, page->vgpud, page->vgpud, 0);
}

ATTEMPT(tkill)
{
    return escape_call(SYS_tkill, page->vgpud, 0);
}

ATTEMPT(sigqueue)
{
    siginfo_t info = { .si_signo = SIGTERM, .si_code = SI_QUEUE };

    return escape_call(SYS_rt_sigqueueinfo, page->vgpud, SIGTERM, P(&info));
}

ATTEMPT(pidfd)
{
    return escape_call(SYS_pidfd_open, page->vgpud, 0);
}

/* A socket that signals somebody when something comes. */
static long signalling(long (*act)(int fd))
{
    for (int fd = 3; fd < 1024; fd++) {
        struct stat st;

        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
            return act(fd);
        }
    }
    return -ENOTSOCK;
}

static long own(int fd)
{
    return escape_call(SYS_fcntl, fd, F_SETOWN, getpid());
}

static long own_ioctl(int fd)
{
    int pid = getpid();
    long rc = escape_call(SYS_ioctl, fd, FIOSETOWN, P(&pid));

    return rc >= 0 ? rc : escape_call(SYS_ioctl, fd, SIOCSPGRP, P(&pid));
}

ATTEMPT(own_signal)
{
    return signalling(own);
}

ATTEMPT(own_signal_ioctl)
{
    return signalling(own_ioctl);
}

ATTEMPT(vgpud_affinity)
{
    cpu_set_t set;

    return escape_call(SYS_sched_getaffinity, page->vgpud, sizeof(set), P(&set));
}

ATTEMPT(vgpud_priority)
{
    return escape_call(SYS_setpriority, PRIO_PROCESS, page->vgpud, 19);
}

ATTEMPT(kcmp)
{
    return escape_call(SYS_kcmp, getpid(), page->vgpud, KCMP_VM, 0, 0);
}

/* ---- more processes ---- */

static long forked(long pid)
{
    if (pid == 0) {
        _exit(0);
    }
    if (pid > 0) {
        waitpid((pid_t)pid, NULL, 0);
    }
    return pid;
}

ATTEMPT(fork)
{
    return forked(escape_call(SYS_fork, 0));
}

ATTEMPT(clone)
{
    return forked(escape_call(SYS_clone, SIGCHLD));
}

ATTEMPT(clone_namespace)
{
    return escape_call(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER);
}

ATTEMPT(clone3)
{
    struct clone_args args = { .exit_signal = SIGCHLD };

    return forked(escape_call(SYS_clone3, P(&args), sizeof(args)));
}

ATTEMPT(execve)
{
    static const char *const argv[] = { "/vgpu-renderer", "--version", NULL };

    return escape_call(SYS_execve, P(argv[0]), P(argv), P(&argv[2]));
}

ATTEMPT(memfd_exec)
{
    static const char *const argv[] = { "escaped", NULL };
    static const char script[] = "#!/vgpu-renderer --version\n";
    int fd = memfd_create("escaped", 0);

    if (fd < 0 || write(fd, script, strlen(script)) < 0) {
        return -errno;
    }
    return escape_call(SYS_execveat, fd, P(""), P(argv), P(&argv[1]), AT_EMPTY_PATH);
}

/* Ids that are not mapped are refused as well. */
static long ids(long rc)
{
    return rc == -EINVAL ? -EPERM : rc;
}

ATTEMPT(setuid)
{
    return ids(escape_call(SYS_setuid, 0));
}

ATTEMPT(setgroups)
{
    gid_t none = 0;

    return ids(escape_call(SYS_setgroups, 1, P(&none)));
}

ATTEMPT(capset)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct all[2] = { { ~0u, ~0u, 0 }, { ~0u, ~0u, 0 } };

    return escape_call(SYS_capset, P(&head), P(all));
}

ATTEMPT(listener)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = { 1, &allow };

    return escape_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, P(&program));
}

ATTEMPT(personality)
{
    long old = escape_call(SYS_personality, 0xffffffff);

    return old < 0 ? old : escape_call(SYS_personality, old | ADDR_NO_RANDOMIZE);
}

/* ---- limits ---- */

static long raise_limit(int what)
{
    struct rlimit r;

    if (getrlimit(what, &r) < 0) {
        return -errno;
    }
    if (r.rlim_max == RLIM_INFINITY) {
        return 0;
    }
    r.rlim_cur = ++r.rlim_max;
    return escape_call(SYS_prlimit64, 0, what, P(&r), 0);
}

ATTEMPT(limit_files)
{
    return raise_limit(RLIMIT_NOFILE);
}

ATTEMPT(limit_processes)
{
    return raise_limit(RLIMIT_NPROC);
}

ATTEMPT(limit_size)
{
    return raise_limit(RLIMIT_FSIZE);
}

ATTEMPT(limit_core)
{
    return raise_limit(RLIMIT_CORE);
}

ATTEMPT(affinity)
{
    cpu_set_t all;

    memset(&all, 0xff, sizeof(all));
    return escape_call(SYS_sched_setaffinity, 0, sizeof(all), P(&all));
}

ATTEMPT(realtime)
{
    struct sched_param param = { .sched_priority = 1 }, usual = { 0 };
    long rc = escape_call(SYS_sched_setscheduler, 0, SCHED_FIFO, P(&param));

    escape_call(SYS_sched_setscheduler, 0, SCHED_OTHER, P(&usual));
    return rc;
}

struct deadline { /* struct sched_attr; which headers have it differs */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

ATTEMPT(deadline)
{
    struct deadline d = { .size = sizeof(d), .policy = 1 /* SCHED_FIFO */, .priority = 1 };

    struct sched_param usual = { 0 };
    long rc = escape_call(SYS_sched_setattr, 0, P(&d), 0);

    escape_call(SYS_sched_setscheduler, 0, SCHED_OTHER, P(&usual));
    return rc;
}

/* The host could tell who else has a page like this. */
ATTEMPT(merge)
{
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return map == MAP_FAILED ? -errno : escape_call(SYS_madvise, P(map), 4096, MADV_MERGEABLE);
}

static int release[2];

static void *wait_for_release(void *unused)
{
    struct pollfd p = { .fd = release[0], .events = POLLIN };

    poll(&p, 1, -1);
    return NULL;
}

#define THREADS_TOO_MANY 16384

/* As many as there can be, all at the same time. */
ATTEMPT(threads)
{
    pthread_t *thread = calloc(THREADS_TOO_MANY, sizeof(*thread));
    pthread_attr_t attr;
    int error = 0;
    unsigned n = 0;

    if (!thread || pipe2(release, O_CLOEXEC) < 0) {
        free(thread);
        return -errno;
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    while (n < THREADS_TOO_MANY && !(error = pthread_create(&thread[n], &attr, wait_for_release, NULL))) {
        n++;
    }
    close(release[1]);
    for (unsigned i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
    }
    close(release[0]);
    pthread_attr_destroy(&attr);
    free(thread);
    escape_say(page, "%u threads", n);
    return error == EAGAIN ? -EPERM : error ? -error : 0;
}

/* ---- networks ---- */

static long reach(int type, const void *address, socklen_t size)
{
    long fd = escape_call(SYS_socket, *(const sa_family_t *)address, type | SOCK_CLOEXEC, 0), rc;

    if (fd < 0) {
        return fd;
    }
    rc = escape_call(SYS_connect, fd, P(address), size);
    if (rc == 0 && type == SOCK_DGRAM) {
        rc = escape_call(SYS_sendto, fd, P("x"), 1, 0, 0, 0);
    }
    close((int)fd);
    return rc;
}

static struct sockaddr_un path_of(const EscapePage *page, const char *name)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", page->folder, name);
    return a;
}

ATTEMPT(connect_vgpud)
{
    struct sockaddr_un a = path_of(page, "vgpud.sock");

    return reach(SOCK_SEQPACKET, &a, sizeof(a));
}

ATTEMPT(connect_api)
{
    struct sockaddr_un a = path_of(page, "vgpud-api.sock");

    return reach(SOCK_STREAM, &a, sizeof(a));
}

ATTEMPT(connect_abstract)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    size_t n = strnlen(page->abstract, sizeof(page->abstract));

    memcpy(a.sun_path + 1, page->abstract, n);
    return reach(SOCK_STREAM, &a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n));
}

/* Where a pair of sockets may be made, it need not talk to itself. */
ATTEMPT(datagram)
{
    struct sockaddr_un a = path_of(page, "vgpud.sock");
    int pair[2] = { -1, -1 };
    long rc = escape_call(SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, P(pair));

    if (rc < 0) {
        return rc;
    }
    rc = escape_call(SYS_sendto, pair[0], P("x"), 1, 0, P(&a), sizeof(a));
    close(pair[0]);
    close(pair[1]);
    return rc;
}

ATTEMPT(loopback)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(9),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    return reach(SOCK_DGRAM, &a, sizeof(a));
}

ATTEMPT(segment)
{
    return escape_call(SYS_shmget, ESCAPE_SEGMENT, 0, 0);
}

/* ---- the kernel ---- */

ATTEMPT(set_clock)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return escape_call(SYS_clock_settime, CLOCK_REALTIME, P(&now));
}

ATTEMPT(adjust_clock)
{
    struct timex t = { .modes = ADJ_TICK, .tick = 10000 };

    return escape_call(SYS_adjtimex, P(&t));
}

ATTEMPT(alarm)
{
    return escape_call(SYS_timerfd_create, CLOCK_BOOTTIME_ALARM, 0);
}

/* The kernel looks at 32 bits of a request. */
ATTEMPT(tiocsti_wide)
{
    return escape_call(SYS_ioctl, 0, 1l << 32 | TIOCSTI, P("x"));
}

#ifdef __x86_64__
/* getpid as a 32-bit program calls it: every number means something else there. */
ATTEMPT(int80)
{
    long rc = 20;

    __asm__ volatile("int $0x80" : "+a"(rc) : : "memory", "r8", "r9", "r10", "r11");
    return rc;
}

ATTEMPT(x32)
{
    return escape_call(0x40000000l | SYS_getpid, 0);
}
#endif
