/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The renderer has the same page and descriptors of the same objects, so it may
 * change anything at any time, flags of its descriptors included: O_NONBLOCK
 * belongs to the description that both would share.  So vgpud never reads or
 * writes what it was given:
 *
 *   call  is an eventfd that vgpud only watches, edge-triggered: each write of
 *         the renderer is an edge, and nothing has to be read off it.
 *   wake  is a pipe.  vgpud opens it once more for itself; who else writes
 *         there can fill it, which is then read off, but cannot make it block.
 *
 * The state word is changed by compare-and-swap so that no user that a renderer
 * adds in that moment is lost.  A renderer that changes it faster than vgpud
 * can read it gets it overwritten in the end.
 */
#include "lease_page.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ini.h"

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif

#define GRANTED VGPU_LEASE_GRANTED
#define WANTED  VGPU_LEASE_WANTED
#define YIELD   VGPU_LEASE_YIELD
#define EPOCH   VGPU_LEASE_EPOCH_MASK
#define USERS   VGPU_LEASE_USERS_MASK

#define TRIES     64  /* an honest renderer's threads do not come in between that often */
#define WAKEN_MAX 128 /* threads at a time: how long we are at it is not a renderer's to say */

/* ---- making and opening ---- */

static bool fail(GError **error, const char *what)
{
    g_set_error(error, VGPUD_ERROR, 0, "cannot make a lease: %s: %s", what, g_strerror(errno));
    return false;
}

/* A new description of a pipe's, for reading and writing. */
static int reopen_pipe(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static int make_wake(void)
{
    int ends[2], fd;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -1;
    }
    fd = reopen_pipe(ends[0]);
    close(ends[0]);
    close(ends[1]);
    return fd;
}

bool lease_page_make(int *page, int *call, int *wake, GError **error)
{
    const struct vgpu_lease first = { .magic = VGPU_LEASE_MAGIC, .version = VGPU_LEASE_VERSION };

    *page = memfd_create("vgpu-lease", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    *call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *wake = make_wake();
    if (*page >= 0 && *call >= 0 && *wake >= 0 && ftruncate(*page, VGPU_LEASE_SIZE) == 0 &&
        pwrite(*page, &first, sizeof(first), 0) == sizeof(first) &&
        fcntl(*page, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        return true;
    }
    fail(error, "its page, eventfd and pipe");
    for (unsigned i = 0; i < 3; i++) {
        int *fd = (int *[]){ page, call, wake }[i];

        if (*fd >= 0) {
            close(*fd);
        }
        *fd = -1;
    }
    return false;
}

static bool is_page(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 && st.st_size == VGPU_LEASE_SIZE;
}

/* The kernel's own name for it: no file can have it. */
static bool is_eventfd(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *name = g_file_read_link(path, NULL);

    return !g_strcmp0(name, "anon_inode:[eventfd]");
}

/* One without a name: to open anything else again may do who knows what. */
static bool is_pipe(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

bool lease_page_open(LeasePage *p, int page, int call, int wake, GError **error)
{
    void *map;

    *p = (LeasePage){ .wake = -1 };
    if (!is_page(page) || !is_eventfd(call) || !is_pipe(wake)) {
        g_set_error(error, VGPUD_ERROR, 0, "its descriptors are not a lease's");
        return false;
    }
    map = mmap(NULL, VGPU_LEASE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    if (map == MAP_FAILED) {
        return fail(error, "mapping its page");
    }
    p->shared = map;
    if (p->shared->magic != VGPU_LEASE_MAGIC || p->shared->version != VGPU_LEASE_VERSION) {
        g_set_error(error, VGPUD_ERROR, 0, "its page is not a lease of version %d", VGPU_LEASE_VERSION);
        lease_page_close(p);
        return false;
    }
    p->wake = reopen_pipe(wake);
    if (p->wake < 0) {
        fail(error, "opening its pipe");
        lease_page_close(p);
        return false;
    }
    return true;
}

void lease_page_close(LeasePage *p)
{
    if (p->shared) {
        munmap(p->shared, VGPU_LEASE_SIZE);
        p->shared = NULL;
    }
    if (p->wake >= 0) {
        close(p->wake);
        p->wake = -1;
    }
}

/* ---- changing ---- */

static bool swap(LeasePage *p, uint32_t *old, uint32_t new)
{
    return __atomic_compare_exchange_n(&p->shared->state, old, new, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static void set_end(LeasePage *p, uint64_t end_ns)
{
    __atomic_store_n(&p->shared->end_ns, end_ns, __ATOMIC_RELAXED);
}

void lease_page_wake(LeasePage *p)
{
    static char full[65536];

    if (write(p->wake, "w", 1) < 0 && errno == EAGAIN) {
        /* nobody else reads it: it is full now and then, or a renderer filled it */
        if (read(p->wake, full, sizeof(full)) > 0 && write(p->wake, "w", 1) < 0) {
            return;
        }
    }
    syscall(SYS_futex, &p->shared->state, FUTEX_WAKE, WAKEN_MAX, NULL, NULL, 0);
}

bool lease_page_grant(LeasePage *p, uint64_t end_ns)
{
    uint32_t old = lease_page_state(p);
    uint32_t flags = end_ns == LEASE_PAGE_NEVER ? GRANTED : GRANTED | YIELD;

    set_end(p, end_ns == LEASE_PAGE_NEVER ? 0 : end_ns);
    for (unsigned i = 0; i < TRIES && (old & WANTED); i++) {
        if (swap(p, &old, (old & EPOCH) | flags)) {
            lease_page_wake(p);
            return true;
        }
    }
    return false;
}

LeaseAsked lease_page_ask(LeasePage *p, uint64_t end_ns, bool take)
{
    uint32_t old = lease_page_state(p);

    set_end(p, end_ns);
    for (unsigned i = 0; i < TRIES && (old & GRANTED); i++) {
        bool idle = take && !(old & USERS);

        if (swap(p, &old, idle ? old & (EPOCH | WANTED) : old | YIELD)) {
            return idle ? LEASE_TAKEN : LEASE_ASKED;
        }
    }
    if (old & GRANTED) {
        lease_page_revoke(p);
    }
    return LEASE_GONE;
}

LeaseAsked lease_page_take_idle(LeasePage *p)
{
    uint32_t old = lease_page_state(p);

    for (unsigned i = 0; i < TRIES && (old & GRANTED); i++) {
        if (old & USERS) {
            return LEASE_ASKED;
        }
        if (swap(p, &old, old & (EPOCH | WANTED))) {
            return LEASE_TAKEN;
        }
    }
    return old & GRANTED ? LEASE_ASKED : LEASE_GONE;
}

void lease_page_keep(LeasePage *p)
{
    uint32_t old = lease_page_state(p);

    for (unsigned i = 0; i < TRIES && (old & GRANTED) && (old & YIELD); i++) {
        if (swap(p, &old, old & ~YIELD)) {
            if (old & WANTED) { /* for the next one: this one goes on */
                lease_page_wake(p);
            }
            return;
        }
    }
}

void lease_page_revoke(LeasePage *p)
{
    const uint32_t one = 1u << VGPU_LEASE_EPOCH_SHIFT;
    uint32_t old = lease_page_state(p), new = 0;

    for (unsigned i = 0; i < TRIES; i++) {
        new = ((old + one) & EPOCH) | (old & WANTED);
        if (swap(p, &old, new)) {
            return;
        }
    }
    __atomic_store_n(&p->shared->state, new, __ATOMIC_RELEASE);
}

void lease_page_acknowledge(LeasePage *p)
{
    __atomic_add_fetch(&p->shared->ack, 1, __ATOMIC_RELAXED);
}
