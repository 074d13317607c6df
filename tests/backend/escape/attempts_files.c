/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ways out by files, what /proc shows, descriptors and namespaces. */
#include "escape.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIBRARY    "/usr/lib"
#define P(pointer) ((intptr_t)(pointer))

/* ---- files and what /proc shows ---- */

static long read_file(EscapePage *page, const char *path, int flags)
{
    char byte;
    long fd = escape_call(SYS_openat, AT_FDCWD, P(path), flags | O_CLOEXEC);
    ssize_t n;

    if (fd < 0) {
        return fd;
    }
    n = flags & O_DIRECTORY ? 1 : read((int)fd, &byte, 1);
    close((int)fd);
    escape_say(page, "%s was read", path);
    return n == 1 ? 0 : -EACCES;
}

static long read_proc(EscapePage *page, int pid, const char *file, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    return read_file(page, path, flags);
}

ATTEMPT(configuration)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/etc/vgpud.conf", page->folder);
    return read_file(page, path, O_RDONLY);
}

ATTEMPT(vgpud_memory)
{
    return read_proc(page, page->vgpud, "mem", O_RDWR);
}

ATTEMPT(vgpud_descriptors)
{
    return read_proc(page, page->vgpud, "fd", O_RDONLY | O_DIRECTORY);
}

ATTEMPT(qemu_memory)
{
    return read_proc(page, page->qemu, "mem", O_RDWR);
}

ATTEMPT(other_environment)
{
    return read_proc(page, page->other, "environ", O_RDONLY);
}

ATTEMPT(other_root)
{
    return read_proc(page, page->other, "root/tmp", O_RDONLY | O_DIRECTORY);
}

/* Every process that can be seen; out when one of them is vgpud. */
ATTEMPT(list_processes)
{
    DIR *proc = opendir("/proc");
    struct dirent *e;
    long rc = proc ? -ENOENT : -errno;

    while (proc && rc < 0 && (e = readdir(proc))) {
        char path[300], name[32] = "";
        int fd;

        snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            if (read(fd, name, sizeof(name) - 1) > 0 && !strncmp(name, "vgpud\n", 6)) {
                escape_say(page, "process %s is vgpud", e->d_name);
                rc = 0;
            }
            close(fd);
        }
    }
    if (proc) {
        closedir(proc);
    }
    return rc;
}

ATTEMPT(devices)
{
    static const char *const nodes[] = { "mem",       "kmem",         "kmsg",        "port",
                                         "kvm",       "tty",          "console",     "net/tun",
                                         "fuse",      "loop-control", "vda",         "sda",
                                         "vhost-net", "userfaultfd",  "vhost-vsock", "mapper/control",
                                         "ptmx",      "zero" };
    static const int how[] = { O_RDONLY, O_WRONLY, O_RDWR };

    for (unsigned i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        for (unsigned k = 0; k < 3; k++) {
            char path[64];
            int fd;

            snprintf(path, sizeof(path), "/dev/%s", nodes[i]);
            fd = open(path, how[k] | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
            if (fd >= 0) {
                escape_say(page, "%s was opened", path);
                return fd;
            }
        }
    }
    return -ENOENT;
}

ATTEMPT(openat2)
{
    struct open_how how = { .flags = O_RDWR | O_CREAT, .mode = 0600 };

    return escape_call(SYS_openat2, AT_FDCWD, P("/tmp/escaped"), P(&how), sizeof(how));
}

/* Of all on this host: another renderer could ask for the same lock. */
static long with_library(long (*act)(int fd))
{
    long fd = escape_call(SYS_openat, AT_FDCWD, P(LIBRARY), O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0) {
        return fd;
    }
    rc = act((int)fd);
    close((int)fd);
    return rc;
}

static long lock_whole(int fd)
{
    return escape_call(SYS_flock, fd, LOCK_EX | LOCK_NB);
}

static long lock_part(int fd)
{
    struct flock lock = { .l_type = F_RDLCK, .l_len = 1 };
    int file = openat(fd, "os-release", O_RDONLY | O_CLOEXEC);
    long rc = file < 0 ? -errno : escape_call(SYS_fcntl, file, F_SETLK, P(&lock));

    if (file >= 0) {
        close(file);
    }
    return rc;
}

static long watch(int fd)
{
    return escape_call(SYS_fcntl, fd, F_NOTIFY, 4 /* DN_CREATE */);
}

ATTEMPT(lock_library)
{
    return with_library(lock_whole);
}

ATTEMPT(lock_range)
{
    return with_library(lock_part);
}

ATTEMPT(watch_library)
{
    return with_library(watch);
}

/* ---- descriptors ---- */

/* As /proc has it; where that is another process's, as its kind has it. */
static bool name_of(int fd, char *name, size_t size)
{
    char path[32];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0) {
        return false;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, name, size - 1);
    name[n > 0 ? n : 0] = 0;
    if (n <= 0) {
        snprintf(name, size, "%s",
                 S_ISSOCK(st.st_mode)                         ? "socket:"
                 : S_ISFIFO(st.st_mode)                       ? "pipe:"
                 : S_ISCHR(st.st_mode) && st.st_rdev == 0x103 ? "/dev/null"
                 : fcntl(fd, F_GET_SEALS) >= 0                ? "/memfd:"
                 : !(st.st_mode & S_IFMT)                     ? "anon_inode:"
                                                              : "a file or a device");
    }
    return true;
}

/* act on every page that is shared with vgpud or QEMU; the first that is not refused. */
static long each_page(EscapePage *page, long (*act)(int fd))
{
    unsigned seen = 0;

    for (int fd = 3; fd < 1024; fd++) {
        int seals = fcntl(fd, F_GET_SEALS);

        if (seals >= 0 && (seals & F_SEAL_SHRINK) && (seals & F_SEAL_SEAL)) {
            seen++;
            if (act(fd) >= 0) {
                escape_say(page, "descriptor %d", fd);
                return fd;
            }
        }
    }
    escape_say(page, "%u pages", seen);
    return seen >= 3 ? -EPERM : -EINVAL; /* figures, lease and objects or Vulkan's */
}

static long shorten(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? -errno : escape_call(SYS_ftruncate, fd, st.st_size - 1);
}

static long seal(int fd)
{
    return escape_call(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
}

ATTEMPT(shorten_pages)
{
    return each_page(page, shorten);
}

ATTEMPT(seal_pages)
{
    return each_page(page, seal);
}

typedef struct Count {
    unsigned sockets, pipes, others;
} Count;

static bool is_own(const char *name, Count *n)
{
    static const char *const kinds[] = { "/dev/null", "anon_inode:", "/memfd:", "/dev/udmabuf" };

    n->sockets += !strncmp(name, "socket:", 7);
    n->pipes += !strncmp(name, "pipe:", 5);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!strncmp(name, kinds[i], strlen(kinds[i]))) {
            n->others++;
            return true;
        }
    }
    return !strncmp(name, "socket:", 7) || !strncmp(name, "pipe:", 5);
}

/*
 * Everything that is open is of a kind that is its own, and there are no more of
 * what leads to others than these.  The renderer: vhost-user's and the channel's,
 * those of its render server, its log, the server's and the lease's wake.  A
 * context: its server's and its own, hello, its leash; its log and the wake.
 */
ATTEMPT(descriptors)
{
    const unsigned sockets = 5, pipes = page->place == ESCAPE_CONTEXT ? 3 : 5;
    Count n = { 0 };

    for (int fd = 0; fd < 1024; fd++) {
        char name[128];

        if (name_of(fd, name, sizeof(name)) &&
            (!is_own(name, &n) || n.sockets > sockets || n.pipes > pipes)) {
            escape_say(page, "descriptor %d is %s", fd, name);
            return fd;
        }
    }
    escape_say(page, "%u sockets, %u pipes, %u others", n.sockets, n.pipes, n.others);
    return n.others ? -ENOENT : -EINVAL;
}

/* Who made the sockets: nobody that can be named in here. */
ATTEMPT(peer)
{
    struct ucred who = { .pid = -1 };
    socklen_t size = sizeof(who);

    if (getsockopt(3, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0) {
        return -errno;
    }
    escape_say(page, "it is process %d of user %u", (int)who.pid, who.uid);
    return who.pid > 0 ? who.pid : -ESRCH;
}

/* ---- namespaces and roots ---- */

static long with_namespace(const char *name, long (*act)(int fd))
{
    char path[64];
    long fd, rc;

    snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    fd = escape_call(SYS_openat, AT_FDCWD, P(path), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fd;
    }
    rc = act((int)fd);
    close((int)fd);
    return rc;
}

static long parent_of(int fd)
{
    return escape_call(SYS_ioctl, fd, NS_GET_PARENT);
}

ATTEMPT(parent_namespace)
{
    long rc = with_namespace("pid", parent_of);

    return rc >= 0 ? rc : with_namespace("user", parent_of);
}

ATTEMPT(setns)
{
    long fd = escape_call(SYS_openat, AT_FDCWD, P("/proc/self/ns/mnt"), O_RDONLY | O_CLOEXEC);
    long rc = escape_call(SYS_setns, fd < 0 ? 0 : fd, 0);

    if (fd >= 0) {
        close((int)fd);
    }
    return rc;
}

ATTEMPT(pivot_root)
{
    return escape_call(SYS_pivot_root, P("/tmp"), P("/tmp"));
}
