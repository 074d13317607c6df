/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window: BAR 4, in which the guest sees memory of its renderer.
 *
 * Theory of operation
 *
 * To QEMU the window is one region of RAM that is there as long as the device.
 * Behind it is one range of QEMU's address space.  A blob is mapped over a piece
 * of that range, in place, and unmapped by mapping a hole over it.  Neither
 * costs a memory transaction, a KVM slot or a wait for RCU: KVM and the vCPUs
 * follow the page tables, and the answer can be given at once.
 *
 * The region has no fd.  So the VM's other vhost-user devices are not told of
 * it, and a blob is never theirs.  It is "protected", so that VFIO does not pin
 * what happens to be mapped, and a "RAM device", so that it is in no dump.
 *
 * Holes.  Whatever the guest does there must not end QEMU (no SIGBUS, no
 * SIGSEGV) and must not take memory without bound.  All holes show the same
 * small memfd over and over, one chunk of it after the other: what is written
 * there costs at most a chunk (and page tables, as all memory does), and is seen
 * again elsewhere in the holes, by nobody but the guest that wrote it.  When a hole
 * appears they are wiped, by writing zeros: that takes as long as a chunk is large,
 * while giving the pages back would take as long as the guest had touched holes.
 * For the same reason what is a hole is never mapped anew.
 * A chunk is 1/2048 of the window, so that the kernel has at most 2048
 * mappings to keep for the holes, and two more for each blob: max_map_count is
 * 65530, and a QEMU that had none left could not even allocate.
 * Anonymous memory would have no bound, and memory without access is the end of
 * the VM at a guest's first stray read.
 *
 * No gap.  mmap(MAP_FIXED) removes what is there before it asks the file (Linux
 * before 6.12); a file that says no would leave a gap in the range, and what
 * QEMU allocates next might lie in it, for the guest to see.  So the file is
 * asked at another place, and its mapping moved.  What can fail then is the
 * kernel's own memory: the range gets a hole again, or QEMU ends.
 *
 * What may be mapped is memory that cannot go away under its reader: a memfd
 * that is sealed against shrinking (a look at its size would be a race), or a
 * dmabuf, whose size is fixed.  What it is, is asked in ways that no file system
 * of somebody else's is asked for: the answer could be a long time coming.
 *
 * All that the renderer says is held against the contract in channel.h; what
 * breaks it ends the renderer.  Only "the host cannot map it" is an answer.
 *
 * Left out: a driver that revokes a dmabuf's pages (a GPU that falls off the
 * bus) is a SIGBUS, as for all of QEMU; code that a guest runs from the window
 * under TCG is not translated again when another blob takes its place.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/ramblock.h"
#include "qemu/error-report.h"
#include "qemu/madvise.h"
#include "qemu/memfd.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "vgpu.h"
#include "trace.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#define WINDOW_PAGE      4096u
#define WINDOW_MIN       (256 * MiB) /* where nobody said otherwise */
#define WINDOW_ALIGN     (2 * MiB)   /* so that huge pages can be mapped huge */
#define WINDOW_CHUNKS    2048
#define WINDOW_CHUNK_MIN (2 * MiB)

/* In all windows of this QEMU: a VM can have several devices. */
#define WINDOW_MAPS_ALL (2 * VGPU_CHANNEL_BLOB_MAPS)

QEMU_BUILD_BUG_ON(VGPU_HOSTMEM_MIN < WINDOW_PAGE);

/* Outlives the region: others may be in the middle of an access without a lock. */
struct VgpuWindowMemory {
    struct rcu_head rcu;
    uint8_t *range; /* as it was reserved: WINDOW_ALIGN more than its size */
    uint8_t *base;  /* aligned, in the range */
    uint64_t size;
    int scratch_fd; /* what holes show: a chunk */
    uint8_t *scratch;
    size_t chunk;
};

typedef struct WindowMap {
    IntervalTreeNode node;
} WindowMap;

static unsigned window_maps_all;

/* ---- memory ---------------------------------------------------------------- */

static void window_memory_free(VgpuWindowMemory *m)
{
    if (m->range) {
        munmap(m->range, m->size + WINDOW_ALIGN);
    }
    if (m->scratch) {
        munmap(m->scratch, m->chunk);
    }
    if (m->scratch_fd >= 0) {
        close(m->scratch_fd);
    }
    g_free(m);
}

/* Nobody's core dump and no child needs it, and a dump would hold every chunk. */
static void window_advise(void *p, size_t size)
{
    qemu_madvise(p, size, QEMU_MADV_DONTFORK);
    qemu_madvise(p, size, QEMU_MADV_DONTDUMP);
}

/*
 * [offset, offset + size) becomes a hole.  The scratch file always lets itself be
 * mapped; if the kernel has no memory for it, then the guest would still see
 * what it must not, or something of QEMU's next: there is no way to go on.
 */
static void window_make_hole(VgpuWindowMemory *m, uint64_t offset, uint64_t size)
{
    uint64_t at = offset, end = offset + size;

    while (at < end) {
        uint64_t from = at % m->chunk, n = MIN(m->chunk - from, end - at);

        if (mmap(m->base + at, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, m->scratch_fd, from) ==
            MAP_FAILED) {
            error_report("vgpu: the host has no memory left to unmap what the guest must not see: %s",
                         strerror(errno));
            abort();
        }
        at += n;
    }
    window_advise(m->base + offset, size);
}

/* A guest that means well has touched none: then the file has no data. */
static void window_wipe_holes(VgpuWindowMemory *m)
{
    off_t from = 0, to;

    while ((from = lseek(m->scratch_fd, from, SEEK_DATA)) >= 0) {
        to = lseek(m->scratch_fd, from, SEEK_HOLE);
        if (to <= from) {
            to = m->chunk;
        }
        memset(m->scratch + from, 0, to - from);
        from = to;
    }
}

/* False: the host could not, and [offset, offset + size) is a hole as before. */
static bool window_place(VgpuWindowMemory *m, uint64_t offset, uint64_t size, int fd, uint64_t fd_offset)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, fd_offset);

    if (p == MAP_FAILED) {
        return false;
    }
    window_advise(p, size);
    if (mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, m->base + offset) == MAP_FAILED) {
        munmap(p, size);
        window_make_hole(m, offset, size);
        return false;
    }
    return true;
}

static bool window_memory_reserve(VgpuWindowMemory *m, Error **errp)
{
    void *p;

    m->scratch_fd =
        qemu_memfd_create("vgpu-window", m->chunk, false, 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, errp);
    if (m->scratch_fd < 0) {
        return false;
    }
    p = mmap(NULL, m->chunk, PROT_READ | PROT_WRITE, MAP_SHARED, m->scratch_fd, 0);
    if (p != MAP_FAILED) {
        window_advise(p, m->chunk);
        m->scratch = p;
        p = mmap(NULL, m->size + WINDOW_ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (p == MAP_FAILED) {
        error_setg_errno(errp, errno,
                         "vgpu: cannot reserve %" PRIu64 " MiB of address space for the window of"
                         " host-visible memory; ask for less with hostmem=SIZE",
                         m->size / MiB);
        return false;
    }
    m->range = p;
    m->base = (uint8_t *)ROUND_UP((uintptr_t)p, WINDOW_ALIGN);
    return true;
}

static VgpuWindowMemory *window_memory_new(uint64_t size, Error **errp)
{
    VgpuWindowMemory *m = g_new0(VgpuWindowMemory, 1);

    m->size = size;
    m->chunk = MIN(size, MAX(size / WINDOW_CHUNKS, WINDOW_CHUNK_MIN));
    if (!window_memory_reserve(m, errp)) {
        window_memory_free(m);
        return NULL;
    }
    return m;
}

/* ---- the device's ------------------------------------------------------------- */

/* vgpud says how large, the user may say otherwise; fixed from then on. */
bool vgpu_window_choose(VgpuDevice *d, Error **errp)
{
    uint64_t size = d->hostmem ?: d->attach.grant.hostmem;
    bool served = d->channel.hello.virtio_features & (1ull << VIRTIO_GPU_F_RESOURCE_BLOB);

    d->window.size = 0;
    if (size && (!is_power_of_2(size) || size < VGPU_HOSTMEM_MIN || size > VGPU_HOSTMEM_MAX)) {
        error_setg(errp,
                   "vgpu: a window of %" PRIu64 " bytes for host-visible memory is not possible: hostmem="
                   " takes a power of two from 1M to 256G",
                   size);
        return false;
    }
    if (d->hostmem && !served) {
        warn_report("vgpu: hostmem= is of no use: this renderer has no memory to show");
    }
    /* What is mapped lies on pages of 4096 bytes. */
    if (size && served && qemu_real_host_page_size() <= WINDOW_PAGE) {
        d->window.size = d->hostmem ?: MAX(size, WINDOW_MIN);
    }
    return true;
}

bool vgpu_window_init(VgpuDevice *d, Error **errp)
{
    VirtIOGPUBase *b = &d->parent_obj;
    VgpuWindow *w = &d->window;
    Object *function;

    if (!virtio_gpu_hostmem_enabled(b->conf)) {
        w->size = 0; /* no PCI, no BAR */
        return true;
    }
    w->memory = window_memory_new(w->size, errp);
    if (!w->memory) {
        return false;
    }
    /*
     * Who looks at the region holds its owner, and we lie in the PCI function's memory: that it
     * must be.  It would go before us, and the region with it, under a view of memory that is old.
     */
    function = OBJECT(qdev_get_parent_bus(DEVICE(d))->parent);
    memory_region_init_ram_device_ptr(&w->region, function, "vgpu-window", w->size, w->memory->base);
    w->region.ram_block->flags |= RAM_PROTECTED;
    /* Only now: what RAM is advised would keep neighbouring holes from being one mapping. */
    window_make_hole(w->memory, 0, w->size);
    memory_region_add_subregion(&b->hostmem, 0, &w->region);
    trace_vgpu_window(d, w->size, w->memory->chunk);
    return true;
}

static void window_forget(VgpuWindow *w, WindowMap *map)
{
    interval_tree_remove(&map->node, &w->maps);
    g_free(map);
    w->count--;
    window_maps_all--;
}

void vgpu_window_revoke(VgpuDevice *d)
{
    VgpuWindow *w = &d->window;
    IntervalTreeNode *n;

    if (!w->memory) {
        return;
    }
    trace_vgpu_window_revoke(d, w->count);
    while ((n = interval_tree_iter_first(&w->maps, 0, UINT64_MAX))) {
        window_make_hole(w->memory, n->start, n->last - n->start + 1);
        window_forget(w, container_of(n, WindowMap, node));
    }
    window_wipe_holes(w->memory);
}

void vgpu_window_announce(VgpuDevice *d)
{
    struct vgpu_channel_window window = { .size = d->window.size };

    d->window.generation = 0; /* it has not heard of a reset */
    if (window.size) {
        vgpu_channel_send(d, VGPU_CHANNEL_WINDOW, &window, sizeof(window));
    }
}

void vgpu_window_fini(VgpuDevice *d)
{
    VgpuWindow *w = &d->window;

    vgpu_window_revoke(d);
    if (w->memory && w->region.container) {
        memory_region_del_subregion(&d->parent_obj.hostmem, &w->region);
    }
}

/* The region is gone; whoever had found it before may still use the memory. */
void vgpu_window_free(VgpuDevice *d)
{
    VgpuWindowMemory *m = g_steal_pointer(&d->window.memory);

    if (m) {
        call_rcu(m, window_memory_free, rcu);
    }
}

/* ---- what the renderer asks for ----------------------------------------------- */

/* Bytes of the dmabuf that fd is, 0: it is none. */
static uint64_t window_dmabuf_size(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", fd);
    g_autofree char *text = NULL;
    const char *size;

    /* Written by the kernel, and these two lines for dmabufs alone. */
    if (!g_file_get_contents(path, &text, NULL, NULL) || !strstr(text, "\nexp_name:")) {
        return 0;
    }
    size = strstr(text, "\nsize:");
    return size ? g_ascii_strtoull(size + strlen("\nsize:"), NULL, 10) : 0;
}

static bool window_may_show(int fd, uint64_t offset, uint64_t size)
{
    int seals = fcntl(fd, F_GET_SEALS); /* only memory has them */
    struct statfs fs;
    struct stat st;
    uint64_t end;

    if (seals < 0) {
        end = window_dmabuf_size(fd);
    } else {
        /* Huge pages: neither offset nor size need fit, and their pool can run dry under us. */
        if (!(seals & F_SEAL_SHRINK) || fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC ||
            fstat(fd, &st) < 0) {
            return false;
        }
        /* Its last page is there in whole: venus asks for pages, lavapipe's files end in one. */
        end = ROUND_UP((uint64_t)st.st_size, WINDOW_PAGE);
    }
    return offset % WINDOW_PAGE == 0 && offset <= end && size <= end - offset;
}

static bool window_has_place(const VgpuWindow *w, uint64_t offset, uint64_t size)
{
    return offset % WINDOW_PAGE == 0 && size && size % WINDOW_PAGE == 0 && offset <= w->size &&
           size <= w->size - offset;
}

static void window_done(VgpuDevice *d, uint64_t serial, enum vgpu_blob_status status)
{
    struct vgpu_channel_blob_done done = { .serial = serial, .status = status };

    vgpu_channel_send(d, VGPU_CHANNEL_BLOB_DONE, &done, sizeof(done));
}

bool vgpu_window_map(VgpuDevice *d, const void *payload, int *fd)
{
    VgpuWindow *w = &d->window;
    struct vgpu_channel_blob_map m;
    enum vgpu_blob_status status = VGPU_BLOB_NO_MEMORY;
    WindowMap *map;

    memcpy(&m, payload, sizeof(m));
    if (m.generation != w->generation) {
        trace_vgpu_blob_stale(d, m.serial, m.generation);
        return true;
    }
    if (m.flags != VGPU_BLOB_MAP_RW || !window_has_place(w, m.offset, m.size) ||
        interval_tree_iter_first(&w->maps, m.offset, m.offset + m.size - 1) ||
        w->count >= VGPU_CHANNEL_BLOB_MAPS || !window_may_show(*fd, m.fd_offset, m.size)) {
        return false;
    }
    if (window_maps_all < WINDOW_MAPS_ALL && window_place(w->memory, m.offset, m.size, *fd, m.fd_offset)) {
        map = g_new0(WindowMap, 1);
        map->node.start = m.offset;
        map->node.last = m.offset + m.size - 1;
        interval_tree_insert(&map->node, &w->maps);
        w->count++;
        window_maps_all++;
        status = VGPU_BLOB_OK;
    }
    trace_vgpu_blob_map(d, m.serial, m.offset, m.size, m.fd_offset, status);
    window_done(d, m.serial, status);
    return true;
}

bool vgpu_window_unmap(VgpuDevice *d, const void *payload, int *fd)
{
    VgpuWindow *w = &d->window;
    struct vgpu_channel_blob_unmap m;
    enum vgpu_blob_status status = VGPU_BLOB_NOT_MAPPED;
    IntervalTreeNode *n;

    memcpy(&m, payload, sizeof(m));
    if (m.generation != w->generation) {
        trace_vgpu_blob_stale(d, m.serial, m.generation);
        return true;
    }
    if (m.pad || !window_has_place(w, m.offset, m.size)) {
        return false;
    }
    n = interval_tree_iter_first(&w->maps, m.offset, m.offset + m.size - 1);
    if (n) {
        if (n->start != m.offset || n->last != m.offset + m.size - 1) {
            return false; /* not of one BLOB_MAP as a whole */
        }
        window_make_hole(w->memory, m.offset, m.size);
        window_wipe_holes(w->memory);
        window_forget(w, container_of(n, WindowMap, node));
        status = VGPU_BLOB_OK;
    }
    trace_vgpu_blob_unmap(d, m.serial, m.offset, m.size, status);
    window_done(d, m.serial, status);
    return true;
}
