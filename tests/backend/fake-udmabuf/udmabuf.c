/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fake /dev/udmabuf, for machines whose kernel has none: an exporter of dmabufs
 * that are none.  It stands between a program and libc, in the renderer, in what
 * is preloaded into its render server, or preloaded into QEMU; the drivers and
 * whatever looks at what they export are the real ones.
 *
 * Theory of operation.  A dmabuf of udmabuf's is the pages of a memfd under
 * another descriptor.  Here it is the memfd itself, marked, so that it can be
 * mapped, sent and measured like a dmabuf; what a dmabuf answers otherwise than a
 * memfd is answered here: fstatfs() says what it is, it has no seals, and it
 * takes DMA_BUF_IOCTL_SYNC.  The mark must be seen by whoever gets the
 * descriptor, in any process, through any filter of system calls: it is the
 * write-life hint of the file, which nobody else gives to a memfd.
 *
 * What it cannot show: caches that are not coherent, memory of a GPU's that the
 * CPU cannot map, a picture that is not linear, fences inside a dmabuf.
 *
 * With VGPU_FAKE_UDMABUF_LOG in the environment each DMA_BUF_IOCTL_SYNC is a line
 * on stderr.
 */
/* libc's functions each under its own name */
#undef _FILE_OFFSET_BITS

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEVICE "/dev/udmabuf"
#define EXPORT __attribute__((visibility("default")))

#define PAGE_BYTES  4096u
#define MARK_DEVICE RWH_WRITE_LIFE_SHORT
#define MARK_DMABUF RWH_WRITE_LIFE_EXTREME

/* libc's own, for files of any size and not: on 64 bits they are the same. */
EXPORT int open(const char *path, int flags, ...);
EXPORT int open64(const char *path, int flags, ...);
EXPORT int openat(int at, const char *path, int flags, ...);
EXPORT int openat64(int at, const char *path, int flags, ...);
EXPORT int ioctl(int fd, unsigned long request, ...);
EXPORT int fcntl(int fd, int command, ...);
EXPORT int fcntl64(int fd, int command, ...);
EXPORT int fstatfs(int fd, struct statfs *fs);
EXPORT int fstatfs64(int fd, struct statfs64 *fs);

static void mark(int fd, uint64_t hint)
{
    syscall(SYS_fcntl, fd, F_SET_RW_HINT, &hint);
}

static bool has_mark(int fd, uint64_t hint)
{
    int kept = errno;
    uint64_t got = 0;
    bool has = syscall(SYS_fcntl, fd, F_GET_RW_HINT, &got) == 0 && got == hint;

    errno = kept;
    return has;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- the device ---- */

static int device_open(void)
{
    int fd = (int)syscall(SYS_memfd_create, "fake-udmabuf", MFD_CLOEXEC);

    if (fd >= 0) {
        mark(fd, MARK_DEVICE);
    }
    return fd;
}

/* As the kernel checks it; beside that it must be all of the memfd. */
static int device_create(const struct udmabuf_create *c)
{
    int seals = (int)syscall(SYS_fcntl, c->memfd, F_GET_SEALS, 0), fd;
    struct stat st;

    if (seals < 0 || !(seals & F_SEAL_SHRINK) || seals & F_SEAL_WRITE || c->offset % PAGE_BYTES ||
        c->size % PAGE_BYTES || !c->size || fstat((int)c->memfd, &st) < 0 || c->offset ||
        c->size != (uint64_t)st.st_size) {
        return fail(EINVAL);
    }
    fd = (int)syscall(SYS_fcntl, c->memfd, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0) {
        mark(fd, MARK_DMABUF);
    }
    return fd;
}

/* ---- what it makes ---- */

static int dmabuf_sync(const struct dma_buf_sync *sync)
{
    if (sync->flags & ~(uint64_t)DMA_BUF_SYNC_VALID_FLAGS_MASK || !(sync->flags & DMA_BUF_SYNC_RW)) {
        return fail(EINVAL);
    }
    if (getenv("VGPU_FAKE_UDMABUF_LOG")) {
        dprintf(STDERR_FILENO, "fake dmabuf: %s %s\n", sync->flags & DMA_BUF_SYNC_END ? "end of" : "begin to",
                (sync->flags & DMA_BUF_SYNC_RW) == DMA_BUF_SYNC_READ ? "read" : "write");
    }
    return 0;
}

static int dmabuf_ioctl(unsigned request, void *argument)
{
    switch (request) {
    case DMA_BUF_IOCTL_SYNC:
        return dmabuf_sync(argument);
    case DMA_BUF_SET_NAME_A:
    case DMA_BUF_SET_NAME_B:
        return 0;
    default:
        return fail(ENOTTY);
    }
}

/* ---- libc's ---- */

static int open_any(int at, const char *path, int flags, va_list more)
{
    unsigned mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(more, unsigned) : 0;

    if (path && !strcmp(path, DEVICE)) {
        return device_open();
    }
    return (int)syscall(SYS_openat, at, path, flags, mode);
}

/* The same under each of its names. */
#define OPEN(name)                                                                                           \
    int name(const char *path, int flags, ...)                                                               \
    {                                                                                                        \
        va_list more;                                                                                        \
        int fd;                                                                                              \
                                                                                                             \
        va_start(more, flags);                                                                               \
        fd = open_any(AT_FDCWD, path, flags, more);                                                          \
        va_end(more);                                                                                        \
        return fd;                                                                                           \
    }
#define OPENAT(name)                                                                                         \
    int name(int at, const char *path, int flags, ...)                                                       \
    {                                                                                                        \
        va_list more;                                                                                        \
        int fd;                                                                                              \
                                                                                                             \
        va_start(more, flags);                                                                               \
        fd = open_any(at, path, flags, more);                                                                \
        va_end(more);                                                                                        \
        return fd;                                                                                           \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int ioctl(int fd, unsigned long request, ...)
{
    unsigned number = (unsigned)request;
    va_list more;
    void *argument;

    va_start(more, request);
    argument = va_arg(more, void *);
    va_end(more);
    if (_IOC_TYPE(number) == 'u' && has_mark(fd, MARK_DEVICE)) {
        return number == UDMABUF_CREATE ? device_create(argument) : fail(ENOTTY);
    }
    if (_IOC_TYPE(number) == DMA_BUF_BASE && has_mark(fd, MARK_DMABUF)) {
        return dmabuf_ioctl(number, argument);
    }
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

static int fcntl_any(int fd, int command, void *argument)
{
    if ((command == F_GET_SEALS || command == F_ADD_SEALS) && has_mark(fd, MARK_DMABUF)) {
        return fail(EINVAL);
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

#define FCNTL(name)                                                                                          \
    int name(int fd, int command, ...)                                                                       \
    {                                                                                                        \
        va_list more;                                                                                        \
        void *argument;                                                                                      \
                                                                                                             \
        va_start(more, command);                                                                             \
        argument = va_arg(more, void *);                                                                     \
        va_end(more);                                                                                        \
        return fcntl_any(fd, command, argument);                                                             \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* The two structures are the same one. */
static int statfs_any(int fd, void *fs)
{
    int result = (int)syscall(SYS_fstatfs, fd, fs);

    if (result == 0 && has_mark(fd, MARK_DMABUF)) {
        ((struct statfs *)fs)->f_type = DMA_BUF_MAGIC;
    }
    return result;
}

int fstatfs(int fd, struct statfs *fs)
{
    return statfs_any(fd, fs);
}

int fstatfs64(int fd, struct statfs64 *fs)
{
    return statfs_any(fd, fs);
}
