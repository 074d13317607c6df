/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

GuestMemory *guest_memory_new(void)
{
    GuestMemory *m = g_malloc0(sizeof(*m));

    m->refs = 1;
    return m;
}

GuestMemory *guest_memory_ref(GuestMemory *m)
{
    g_atomic_int_inc(&m->refs);
    return m;
}

static void guest_region_unref(GuestRegion *r)
{
    if (g_atomic_int_dec_and_test(&r->refs)) {
        munmap(r->map, r->map_size);
        g_free(r);
    }
}

void guest_memory_unref(GuestMemory *m)
{
    if (!m || !g_atomic_int_dec_and_test(&m->refs)) {
        return;
    }
    for (unsigned i = 0; i < m->count; i++) {
        guest_region_unref(m->region[i]);
    }
    g_free(m);
}

/* Files of huge pages map at multiples of their page size only. */
static uint64_t page_size_of(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && (unsigned)fs.f_type == HUGETLBFS_MAGIC) {
        return fs.f_bsize;
    }
    return 4096;
}

static GuestRegion *guest_region_new(uint64_t gpa, uint64_t size, uint64_t qva, int fd, uint64_t fd_offset,
                                     GError **error)
{
    uint64_t page = page_size_of(fd);
    uint64_t skip = fd_offset % page;
    GuestRegion *r;
    void *map;

    map = mmap(NULL, size + skip, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, fd_offset - skip);
    if (map == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot map guest memory 0x%" PRIx64 " +0x%" PRIx64 ": %s", gpa, size, g_strerror(errno));
        return NULL;
    }
    /* A core file with the guest's RAM in it helps nobody. */
    madvise(map, size + skip, MADV_DONTDUMP);

    r = g_new0(GuestRegion, 1);
    r->gpa = gpa;
    r->size = size;
    r->qva = qva;
    r->map = map;
    r->map_size = size + skip;
    r->base = (uint8_t *)map + skip;
    return r;
}

/* old's regions, without the one at skip, with one more before index at. */
static GuestMemory *guest_memory_derive(const GuestMemory *old, unsigned skip, GuestRegion *more, unsigned at)
{
    unsigned max = old->count + 1;
    GuestMemory *m = g_malloc0(sizeof(*m) + max * sizeof(m->region[0]));

    m->refs = 1;
    for (unsigned i = 0; i <= old->count; i++) {
        if (more && i == at) {
            m->region[m->count++] = more;
        }
        if (i < old->count && i != skip) {
            m->region[m->count++] = old->region[i];
        }
    }
    for (unsigned i = 0; i < m->count; i++) {
        g_atomic_int_inc(&m->region[i]->refs);
    }
    return m;
}

GuestMemory *guest_memory_add(const GuestMemory *old, uint64_t gpa, uint64_t size, uint64_t qva, int fd,
                              uint64_t fd_offset, GError **error)
{
    GuestRegion *r;
    unsigned at;

    if (!size || gpa + size < gpa || qva + size < qva || fd_offset + size < fd_offset) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "guest memory region 0x%" PRIx64 " +0x%" PRIx64 " is not a range", gpa, size);
        return NULL;
    }
    if (old->count >= GUEST_MEMORY_MAX_REGIONS) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM, "more than %d guest memory regions",
                    GUEST_MEMORY_MAX_REGIONS);
        return NULL;
    }
    for (at = 0; at < old->count; at++) {
        r = old->region[at];
        if (gpa < r->gpa + r->size && r->gpa < gpa + size) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST,
                        "guest memory region 0x%" PRIx64 " +0x%" PRIx64 " overlaps another", gpa, size);
            return NULL;
        }
        if (gpa < r->gpa) {
            break;
        }
    }
    r = guest_region_new(gpa, size, qva, fd, fd_offset, error);
    if (!r) {
        return NULL;
    }
    return guest_memory_derive(old, G_MAXUINT, r, at);
}

GuestMemory *guest_memory_remove(const GuestMemory *old, uint64_t gpa, uint64_t size, uint64_t qva)
{
    for (unsigned i = 0; i < old->count; i++) {
        const GuestRegion *r = old->region[i];

        if (r->gpa == gpa && r->size == size && r->qva == qva) {
            return guest_memory_derive(old, i, NULL, 0);
        }
    }
    return NULL;
}

void *guest_memory_at(const GuestMemory *m, uint64_t gpa, uint64_t *len)
{
    unsigned low = 0, high = m->count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        const GuestRegion *r = m->region[mid];

        if (gpa < r->gpa) {
            high = mid;
        } else if (gpa - r->gpa >= r->size) {
            low = mid + 1;
        } else {
            *len = MIN(*len, r->size - (gpa - r->gpa));
            return r->base + (gpa - r->gpa);
        }
    }
    return NULL;
}

bool guest_memory_gpa(const GuestMemory *m, const void *p, uint64_t *gpa, uint64_t *len)
{
    for (unsigned i = 0; i < m->count; i++) {
        const GuestRegion *r = m->region[i];
        uint64_t offset = (uintptr_t)p - (uintptr_t)r->base; /* huge when p is before it */

        if (offset < r->size) {
            *gpa = r->gpa + offset;
            *len = MIN(*len, r->size - offset);
            return true;
        }
    }
    return false;
}

bool guest_memory_has_qva(const GuestMemory *m, uint64_t qva, uint64_t len)
{
    for (unsigned i = 0; i < m->count; i++) {
        const GuestRegion *r = m->region[i];

        if (qva >= r->qva && qva - r->qva < r->size) {
            return len <= r->size - (qva - r->qva);
        }
    }
    return false;
}
