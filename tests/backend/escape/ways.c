/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of ways out, and how one is tried. */
#include "escape.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fanotify.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALL(what, how, nr, ...)                                                                             \
    {                                                                                                        \
        .name = (what), .flags = (how), .number = SYS_##nr, .argument = { __VA_ARGS__ }                      \
    }
#define TRY(what, how, attempt_name) { .name = (what), .flags = (how), .attempt = attempt_##attempt_name }
#define P(pointer)                   ((intptr_t)(pointer))

#define READ(what, how, path) CALL(what, how, openat, AT_FDCWD, P(path), O_RDONLY | O_CLOEXEC)
#define LIST(what, how, path) CALL(what, how, openat, AT_FDCWD, P(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define WRITE(what, how, path, more)                                                                         \
    CALL(what, how, openat, AT_FDCWD, P(path), O_WRONLY | O_CLOEXEC | (more), 0600)
#define SOCKET(family, how, type) CALL("socket-" #family, DIES_RENDERER | (how), socket, AF_##family, type)
#define PRCTL(what, ...)          CALL("prctl-" what, 0, prctl, __VA_ARGS__)

#define PROGRAM "/vgpu-renderer"
#define LIBRARY "/usr/lib"

static const uint64_t nothing[16];
static const struct mount_attr writable = { .attr_clr = MOUNT_ATTR_RDONLY };

const EscapeWay escape_ways[] = {
    /* files of the host */
    READ("read-passwd", BOX | OPEN, "/etc/passwd"),
    READ("read-shadow", BOX | OPEN | ROOT, "/etc/shadow"),
    READ("read-climbing", BOX, "/../../../../etc/passwd"),
    READ("read-by-own-root", BOX, "/proc/self/root/../../etc/passwd"),
    READ("read-by-first-root", BOX, "/proc/1/root/etc/passwd"),
    READ("read-by-folder", BOX, "/proc/self/cwd/../../etc/passwd"),
    LIST("list-home", BOX, "/home"),
    LIST("list-root", BOX | OPEN | ROOT, "/root"),
    LIST("list-run", BOX | OPEN, "/run"),
    TRY("read-configuration", BOX | OPEN, configuration),
    WRITE("make-in-root", BOX, "/escaped", O_CREAT),
    WRITE("make-in-libraries", BOX, LIBRARY "/escaped", O_CREAT),
    WRITE("make-in-tmp", 0, "/tmp/escaped", O_CREAT),
    WRITE("make-nameless", 0, "/tmp", O_TMPFILE),
    WRITE("make-in-shm", BOX, "/dev/shm/escaped", O_CREAT),
    WRITE("write-program", BOX, PROGRAM, 0),
    WRITE("append-to-program", BOX, PROGRAM, O_APPEND),
    WRITE("write-sysctl", BOX, "/proc/sys/kernel/core_pattern", 0),
    WRITE("write-sysrq", BOX, "/proc/sysrq-trigger", 0),
    WRITE("write-sysfs", BOX, "/sys/devices/system/cpu/cpu0/online", 0),
    WRITE("write-oom-score", BOX, "/proc/self/oom_score_adj", 0),
    TRY("openat2", 0, openat2),
    CALL("mkdir", 0, mkdirat, AT_FDCWD, P("/tmp/escaped"), 0700),
    CALL("symlink", 0, symlinkat, P("/etc"), AT_FDCWD, P("/tmp/escaped")),
    CALL("link", 0, linkat, AT_FDCWD, P(PROGRAM), AT_FDCWD, P("/tmp/escaped"), 0),
    CALL("unlink", BOX, unlinkat, AT_FDCWD, P(PROGRAM), 0),
    CALL("rename", BOX, renameat2, AT_FDCWD, P(PROGRAM), AT_FDCWD, P("/escaped"), 0),
    CALL("chmod", BOX, fchmodat, AT_FDCWD, P(PROGRAM), 04777),
    CALL("chown", BOX, fchownat, AT_FDCWD, P(PROGRAM), 0, 0, 0),
    CALL("truncate", BOX, truncate, P(PROGRAM), 0),
    CALL("setxattr", BOX, setxattr, P(PROGRAM), P("security.capability"), P("x"), 1, 0),
    CALL("chdir", 0, chdir, P("/tmp")),
    CALL("name-to-handle", DIES, name_to_handle_at, AT_FDCWD, P("/"), P(nothing), P(nothing), 0),
    CALL("open-by-handle", DIES, open_by_handle_at, AT_FDCWD, P(nothing), O_RDONLY),
    CALL("inotify", OPEN, inotify_init1, O_CLOEXEC),
    CALL("fanotify", BOX, fanotify_init, FAN_CLASS_CONTENT, O_RDONLY),
    TRY("lock-library", OPEN, lock_library),
    TRY("lock-range", OPEN, lock_range),
    TRY("watch-library", OPEN, watch_library),

    /* devices */
    TRY("devices", BOX, devices),
    CALL("mknod", BOX, mknodat, AT_FDCWD, P("/tmp/escaped"), S_IFCHR | 0666, 1 << 8 | 1),
    CALL("tiocsti", 0, ioctl, 0, TIOCSTI, P("x")),
    TRY("tiocsti-wide", 0, tiocsti_wide),
    CALL("tioclinux", 0, ioctl, 0, TIOCLINUX, P(nothing)),

    /* mounts and roots */
    CALL("mount", DIES | BOX, mount, P("tmpfs"), P("/tmp"), P("tmpfs"), 0, 0),
    CALL("mount-bind", DIES | BOX, mount, P("/"), P("/tmp"), 0, MS_BIND | MS_REC, 0),
    CALL("remount", DIES | BOX, mount, 0, P("/"), 0, MS_REMOUNT | MS_BIND, 0),
    CALL("umount", DIES | BOX, umount2, P(LIBRARY), MNT_DETACH),
    CALL("mount-setattr", DIES | BOX, mount_setattr, AT_FDCWD, P("/"), AT_RECURSIVE, P(&writable),
         sizeof(writable)),
    CALL("fsopen", DIES | BOX, fsopen, P("tmpfs"), 0),
    CALL("open-tree", DIES | BOX, open_tree, AT_FDCWD, P("/"), OPEN_TREE_CLONE),
    CALL("move-mount", DIES | BOX, move_mount, AT_FDCWD, P(LIBRARY), AT_FDCWD, P("/tmp"), 0),
    TRY("pivot-root", DIES | BOX, pivot_root),
    CALL("chroot", DIES | BOX, chroot, P("/tmp")),
    CALL("swapon", DIES | BOX, swapon, P("/dev/null"), 0),
    CALL("swapoff", DIES | BOX, swapoff, P("/dev/null")),
    CALL("quotactl", DIES, quotactl, -1, 0, 0, 0),
    CALL("acct", DIES | BOX, acct, P("/tmp")),

    /* processes: vgpud, another VM's renderer, its own QEMU */
    TRY("list-processes", BOX | OPEN, list_processes),
    TRY("vgpud-memory", BOX, vgpud_memory),
    TRY("vgpud-descriptors", BOX | OPEN, vgpud_descriptors),
    TRY("qemu-memory", BOX, qemu_memory),
    TRY("other-environment", BOX, other_environment),
    TRY("other-root", BOX, other_root),
    TRY("ptrace", DIES | BOX, ptrace),
    TRY("read-vgpud", DIES | BOX, read_vgpud),
    TRY("write-vgpud", DIES | BOX, write_vgpud),
    TRY("kill-vgpud", DIES | BOX | OPEN, kill_vgpud),
    TRY("kill-qemu", DIES | BOX | OPEN, kill_qemu),
    TRY("kill-other", DIES | BOX | OPEN, kill_other),
    CALL("kill-all", DIES | OPEN, kill, -1, 0),
    TRY("tgkill-vgpud", BOX | OPEN, tgkill),
    TRY("tkill-vgpud", DIES | BOX | OPEN, tkill),
    TRY("sigqueue-vgpud", BOX, sigqueue),
    TRY("pidfd-vgpud", DIES | BOX | OPEN, pidfd),
    CALL("pidfd-getfd", DIES, pidfd_getfd, 0, 0, 0),
    CALL("pidfd-signal", DIES, pidfd_send_signal, 0, 0, 0, 0),
    CALL("process-madvise", DIES, process_madvise, -1, 0, 0, 0, 0),
    TRY("signal-by-socket", NOT_RENDERER, own_signal),
    TRY("signal-by-ioctl", NOT_RENDERER, own_signal_ioctl),
    TRY("affinity-of-vgpud", BOX | OPEN, vgpud_affinity),
    TRY("priority-of-vgpud", BOX, vgpud_priority),
    TRY("kcmp-vgpud", BOX, kcmp),
    CALL("move-pages", 0, move_pages, 0, 0, 0, 0, 0, 0),
    CALL("migrate-pages", 0, migrate_pages, 0, 1, P(nothing), P(nothing)),

    /* to be another one, or more of them */
    TRY("fork", DIES | OPEN, fork),
    CALL("vfork", DIES, vfork),
    TRY("clone", DIES_CONTEXT | OPEN, clone),
    TRY("clone-namespace", 0, clone_namespace),
    TRY("clone3", OPEN, clone3),
    TRY("execve", DIES, execve),
    TRY("memfd-exec", DIES, memfd_exec),
    TRY("setuid", DIES | BOX, setuid),
    CALL("setresuid", DIES | BOX, setresuid, 0, 0, 0),
    CALL("setgid", DIES | BOX, setgid, 0),
    TRY("setgroups", DIES | BOX, setgroups),
    TRY("capset", DIES | BOX, capset),
    PRCTL("dumpable", PR_SET_DUMPABLE, 1),
    PRCTL("ptracer", PR_SET_PTRACER, -1),
    PRCTL("ambient", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21),
    PRCTL("keep-caps", PR_SET_KEEPCAPS, 1),
    PRCTL("securebits", PR_SET_SECUREBITS, 0),
    PRCTL("mm", PR_SET_MM, PR_SET_MM_ARG_START, 0),
    PRCTL("subreaper", PR_SET_CHILD_SUBREAPER, 1),
    PRCTL("merge", 67 /* PR_SET_MEMORY_MERGE */, 1),
    PRCTL("wide", 1l << 32 | PR_SET_DUMPABLE, 1),
    TRY("seccomp-listener", DIES, listener),
    CALL("unshare-user", DIES, unshare, CLONE_NEWUSER),
    CALL("unshare-mount", DIES | BOX, unshare, CLONE_NEWNS),
    CALL("unshare-net", DIES | BOX, unshare, CLONE_NEWNET),
    TRY("setns", DIES | BOX, setns),
    TRY("parent-namespace", BOX, parent_namespace),
    TRY("personality", DIES | OPEN, personality),

    /* more than its share */
    TRY("limit-files", BOX, limit_files),
    TRY("limit-processes", BOX, limit_processes),
    TRY("limit-size", BOX, limit_size),
    TRY("limit-core", BOX, limit_core),
    TRY("all-cpus", OPEN, affinity),
    TRY("realtime", BOX, realtime),
    TRY("deadline", BOX, deadline),
    CALL("nice", BOX, setpriority, PRIO_PROCESS, 0, -20),
    CALL("io-priority", 0, ioprio_set, 1, 0, 1 << 13),
    CALL("mlockall", 0, mlockall, MCL_FUTURE),
    CALL("huge-pages", 0, mmap, 0, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0),
    CALL("huge-file", OPEN, memfd_create, P("escaped"), MFD_CLOEXEC | MFD_HUGETLB),
    TRY("share-pages", 0, merge),

    /* networks and other ways to talk */
    SOCKET(UNIX, OPEN, SOCK_STREAM),
    SOCKET(INET, OPEN, SOCK_STREAM),
    SOCKET(INET6, 0, SOCK_STREAM),
    SOCKET(NETLINK, OPEN, SOCK_RAW),
    SOCKET(PACKET, BOX, SOCK_RAW),
    SOCKET(VSOCK, 0, SOCK_STREAM),
    SOCKET(ALG, 0, SOCK_SEQPACKET),
    SOCKET(KEY, BOX, SOCK_RAW),
    TRY("connect-vgpud", DIES_RENDERER | BOX | OPEN, connect_vgpud),
    TRY("connect-api", DIES_RENDERER | BOX | OPEN, connect_api),
    TRY("connect-abstract", DIES_RENDERER | BOX | OPEN, connect_abstract),
    TRY("datagram-to-vgpud", DIES_RENDERER | BOX, datagram),
    TRY("loopback", DIES_RENDERER | BOX | OPEN, loopback),
    CALL("connect", DIES_RENDERER, connect, -1, P(nothing), 2),
    CALL("bind", DIES, bind, -1, P(nothing), 2),
    CALL("listen", DIES, listen, -1, 1),
    CALL("accept", DIES, accept4, -1, 0, 0, 0),
    CALL("setsockopt", DIES, setsockopt, -1, SOL_SOCKET, SO_DEBUG, P(nothing), 4),
    TRY("segment-of-host", BOX | OPEN, segment),
    CALL("shmget", 0, shmget, 0, 4096, 0600),
    CALL("semget", 0, semget, 0, 1, 0600),
    CALL("msgget", 0, msgget, 0, 0600),
    CALL("mq-open", 0, mq_open, P("escaped"), O_RDWR | O_CREAT, 0600, 0),
    CALL("keyring", DIES, keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0),
    CALL("add-key", DIES, add_key, P("user"), P("escaped"), P("x"), 1, KEY_SPEC_PROCESS_KEYRING),
    CALL("request-key", DIES, request_key, P("user"), P("escaped"), 0, KEY_SPEC_PROCESS_KEYRING),

    /* the kernel */
    CALL("bpf", DIES, bpf, 0, P(nothing), sizeof(nothing)),
    CALL("perf", DIES, perf_event_open, P(nothing), 0, -1, -1, 0),
    CALL("userfaultfd", DIES, userfaultfd, 0),
    CALL("io-uring", DIES, io_uring_setup, 1, P(nothing)),
    CALL("io-uring-enter", DIES, io_uring_enter, -1, 0, 0, 0, 0),
    CALL("aio", 0, io_setup, 1, P(nothing)),
    CALL("landlock", 0, landlock_create_ruleset, 0, 0, 1),
    CALL("init-module", DIES | BOX, init_module, 0, 0, P("")),
    CALL("finit-module", DIES | BOX, finit_module, 0, P(""), 0),
    CALL("delete-module", DIES | BOX, delete_module, P("escaped"), O_NONBLOCK),
    CALL("kexec", DIES | BOX, kexec_load, 0, 0, 0, 0),
    CALL("reboot", DIES | BOX, reboot, 0xfee1dead, 672274793, RB_DISABLE_CAD, 0),
    CALL("syslog", 0, syslog, 10, 0, 0),
    CALL("sethostname", DIES | BOX, sethostname, P("escaped"), 7),
    CALL("setdomainname", DIES | BOX, setdomainname, P("escaped"), 7),
    TRY("set-clock", DIES | BOX, set_clock),
    CALL("set-time", DIES | BOX, settimeofday, 0, P(nothing)),
    TRY("adjust-clock", DIES | BOX, adjust_clock),
    CALL("clock-adjtime", 0, clock_adjtime, 0, P(nothing)),
    TRY("wake-alarm", BOX, alarm),
    CALL("vhangup", BOX, vhangup),
#ifdef __x86_64__
    CALL("iopl", DIES | BOX, iopl, 3),
    CALL("ioperm", DIES | BOX, ioperm, 0x80, 1, 1),
    CALL("modify-ldt", DIES, modify_ldt, 0, 0, 0),
    TRY("call-of-i386", DIES, int80),
    TRY("call-of-x32", DIES, x32),
#endif

    /* what it has been given */
    TRY("descriptors", BOX, descriptors),
    TRY("shorten-pages", BOX, shorten_pages),
    TRY("seal-pages", BOX, seal_pages),
    TRY("peer-of-socket", BOX | OPEN | NOT_CONTEXT, peer),
    TRY("threads-without-end", BOX | LAST, threads),
};
const unsigned escape_way_count = sizeof(escape_ways) / sizeof(escape_ways[0]);

long escape_call_of(long number, const long a[6])
{
    long rc = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    return rc < 0 ? -errno : rc;
}

void escape_say(EscapePage *page, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(page->said, sizeof(page->said), format, ap);
    va_end(ap);
}

static EscapePage *trying;

/* Not the filter, whose signal is another one: the attempt itself is wrong. */
static void on_fault(int sig)
{
    __atomic_store_n(&trying->state, ESCAPE_CRASHED, __ATOMIC_SEQ_CST);
    _exit(1);
}

void escape_run(EscapePage *page)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
    struct sigaction action = { .sa_handler = on_fault }, old[5];
    const EscapeWay *w = &escape_ways[page->way < escape_way_count ? page->way : 0];
    long rc;

    trying = page;
    for (unsigned i = 0; i < 5; i++) {
        sigaction(faults[i], &action, &old[i]);
    }
    __atomic_store_n(&page->state, ESCAPE_TRYING, __ATOMIC_SEQ_CST);
    rc = w->attempt ? w->attempt(page) : escape_call_of(w->number, w->argument);
    page->result = rc > INT32_MAX ? INT32_MAX : (int32_t)rc;
    __atomic_store_n(&page->state, ESCAPE_DONE, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < 5; i++) {
        sigaction(faults[i], &old[i], NULL);
    }
}
