/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A memfd holds its pages as long as anybody has it open or mapped, whether
 * they are in somebody's page tables or not; so what counts is the file, by its
 * blocks, and not what a process has touched (RssShmem): a renderer could write
 * without end to files that it never maps.  All that have pages are looked for
 * in two places: /proc/PID/fd, and, for those that are mapped and closed,
 * /proc/PID/maps.  A shared mapping without a file is such a file as well.
 *
 * The guest's RAM is a memfd too, of QEMU's.  Where renderers have user ids of
 * their own, the owner of a file tells; else (a vgpud of one user, who harms
 * nobody but himself) what QEMU has open is the guest's: QEMU keeps none open
 * of what a renderer sends it.
 *
 * Nothing here may wait: a tenant can hand its renderer a file on a FUSE mount
 * that never answers.  AT_STATX_DONT_SYNC asks no file system but the kernel's
 * own knowledge, and no name is believed, only the number of the file system.
 *
 * Not seen: descriptors that are on their way in a socket that nobody reads.
 * The kernel lets a process have RLIMIT_NOFILE of those, and each file is no
 * longer than RLIMIT_FSIZE (sandbox.c).
 */
#include "process_shared.h"

#include <dirent.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FILES_MAX 65536 /* looked at in one process; more than it can have open or mapped */

typedef struct Look {
    const SharedOwner *owner;
    GHashTable *files;  /* inode -> nothing: counted, or not to be counted */
    GHashTable *others; /* the same: what QEMU has open; NULL: not asked for yet */
    uint64_t bytes;
} Look;

/* Of the file system that memfds are in: one, made by the kernel. */
static dev_t memfd_device(void)
{
    static dev_t device;
    struct stat st;
    int fd;

    if (!device) {
        fd = memfd_create("vgpud-which", MFD_CLOEXEC);
        if (fd >= 0) {
            device = fstat(fd, &st) == 0 ? st.st_dev : 0;
            close(fd);
        }
    }
    return device;
}

static gint64 *key_of(uint64_t inode)
{
    gint64 key = (gint64)inode;

    return g_memdup2(&key, sizeof(key));
}

/* False when it is new. */
static bool seen(GHashTable *files, uint64_t inode)
{
    return !g_hash_table_add(files, key_of(inode));
}

static bool is_memfd(const struct statx *st)
{
    return S_ISREG(st->stx_mode) && makedev(st->stx_dev_major, st->stx_dev_minor) == memfd_device();
}

static bool stat_quickly(int folder, const char *name, struct statx *st)
{
    return statx(folder, name, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, st) == 0;
}

static DIR *open_folder(pid_t pid, const char *name)
{
    char path[48];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return opendir(path);
}

static bool each_open(pid_t pid, void (*each)(Look *look, const struct statx *st), Look *look)
{
    DIR *fds = open_folder(pid, "fd");
    const struct dirent *e;
    struct statx st;

    for (unsigned n = 0; fds && n < FILES_MAX && (e = readdir(fds)); n++) {
        if (g_ascii_isdigit(*e->d_name) && stat_quickly(dirfd(fds), e->d_name, &st) && is_memfd(&st)) {
            each(look, &st);
        }
    }
    if (fds) {
        closedir(fds);
    }
    return fds != NULL;
}

static void note_other(Look *look, const struct statx *st)
{
    seen(look->others, st->stx_ino);
}

static bool is_of_qemu(Look *look, uint64_t inode)
{
    if (!look->others) {
        look->others = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
        each_open(look->owner->qemu, note_other, look);
    }
    return g_hash_table_contains(look->others, &inode);
}

static void count(Look *look, const struct statx *st)
{
    const SharedOwner *o = look->owner;

    if (!st->stx_blocks || seen(look->files, st->stx_ino)) {
        return;
    }
    if (o->uid != o->other ? st->stx_uid == o->uid : o->qemu && !is_of_qemu(look, st->stx_ino)) {
        look->bytes += st->stx_blocks * 512;
    }
}

/* One that is mapped and not open: its size is a matter of privilege, the length of the map is not. */
static void count_map(Look *look, int maps, const char *range, uint64_t inode, uint64_t length)
{
    const SharedOwner *o = look->owner;
    struct statx st;

    if (maps >= 0 && stat_quickly(maps, range, &st)) {
        if (is_memfd(&st)) {
            count(look, &st);
        }
    } else if (o->uid == o->other && o->qemu && !g_hash_table_contains(look->files, &inode) &&
               !is_of_qemu(look, inode)) {
        look->bytes += length; /* of this map: it may have others */
    }
}

static bool each_map(pid_t pid, Look *look)
{
    char path[48], *line = NULL, range[64];
    size_t size = 0;
    FILE *f;
    int maps;

    snprintf(path, sizeof(path), "/proc/%d/map_files", (int)pid);
    maps = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    f = fopen(path, "re");
    for (unsigned n = 0; f && n < FILES_MAX && getline(&line, &size, f) > 0; n++) {
        unsigned long from, to, inode;
        unsigned major, minor;

        if (sscanf(line, "%lx-%lx %*s %*x %x:%x %lu", &from, &to, &major, &minor, &inode) == 5 &&
            makedev(major, minor) == memfd_device()) {
            snprintf(range, sizeof(range), "%lx-%lx", from, to);
            count_map(look, maps, range, inode, to - from);
        }
    }
    if (f) {
        fclose(f);
    }
    if (maps >= 0) {
        close(maps);
    }
    free(line);
    return f != NULL;
}

bool process_shared_memory(const pid_t *pids, unsigned n, const SharedOwner *owner, uint64_t *bytes)
{
    Look look = { .owner = owner, .files = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL) };
    bool known = false;

    for (unsigned i = 0; memfd_device() && i < n; i++) {
        known |= each_open(pids[i], count, &look);
    }
    for (unsigned i = 0; memfd_device() && i < n; i++) { /* what is open is known by now */
        known |= each_map(pids[i], &look);
    }
    g_hash_table_unref(look.files);
    if (look.others) {
        g_hash_table_unref(look.others);
    }
    *bytes = look.bytes;
    return known;
}
