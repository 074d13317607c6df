/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The statistics page: QEMU reads it, and the guest does, in a BAR of its own
 * (VGPU_PCI_BAR_STATS).
 *
 * One page of QEMU's address space is there as long as the device.  What is
 * mapped in it changes under whoever reads: the page of the renderer that there
 * is, or zeroes while there is none.  As for the window (window.c) KVM and the
 * vCPUs follow the page tables; the region stays the same.
 *
 * The page is a sealed memfd, so that it cannot go away under its reader.  To
 * the guest it is read-only memory: what it writes reaches nothing.  QEMU's own
 * mapping is private and could be written, so that a debugger, which writes to
 * read-only memory as well, gets a copy and no SIGSEGV.  The region has no fd, so
 * that no other vhost-user device of the VM is told of it, and is "protected",
 * so that VFIO does not pin what happens to be mapped.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "exec/ramblock.h"
#include "hw/pci/pci_device.h"
#include "qemu/error-report.h"
#include "qemu/madvise.h"
#include "qemu/rcu.h"
#include "vgpu.h"
#include "trace.h"

#include <sys/mman.h>

/* Outlives the region: others may be in the middle of an access without a lock. */
struct VgpuStatsPage {
    struct rcu_head rcu;
    void *base;
};

static void stats_advise(void *p)
{
    qemu_madvise(p, VGPU_STATS_SIZE, QEMU_MADV_DONTFORK);
}

bool vgpu_stats_init(VgpuDevice *d, Error **errp)
{
    void *p;

    if (d->stats_page) {
        return true; /* of an attempt that failed */
    }
    p = mmap(NULL, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        error_setg_errno(errp, errno, "vgpu: cannot reserve a page for the statistics");
        return false;
    }
    stats_advise(p);
    d->stats_page = g_new0(VgpuStatsPage, 1);
    d->stats_page->base = p;
    d->stats = p;
    return true;
}

void vgpu_stats_register(VgpuDevice *d, PCIDevice *pci)
{
    /* The guest maps it whole: nothing of QEMU's may lie beside it in that page. */
    if (qemu_real_host_page_size() != VGPU_STATS_SIZE) {
        return;
    }
    memory_region_init_ram_ptr(&d->stats_region, OBJECT(pci), "vgpu-stats", VGPU_STATS_SIZE,
                               d->stats_page->base);
    memory_region_set_readonly(&d->stats_region, true);
    d->stats_region.ram_block->flags |= RAM_PROTECTED;
    pci_register_bar(pci, VGPU_PCI_BAR_STATS, PCI_BASE_ADDRESS_SPACE_MEMORY, &d->stats_region);
    d->stats_shown = true;
}

bool vgpu_stats_map(VgpuDevice *d, int fd, Error **errp)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;
    void *p;

    /* A page that its writer can cut off would be a SIGBUS for QEMU and for the guest. */
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || st.st_size < VGPU_STATS_SIZE) {
        error_setg(errp,
                   "vgpu: vgpud sent a statistics page that is not a sealed memfd of %d"
                   " bytes: install a vgpud and a QEMU of the same vgpu release",
                   VGPU_STATS_SIZE);
        return false;
    }
    p = mmap(NULL, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
        error_setg_errno(errp, errno, "vgpu: cannot map the statistics page");
        return false;
    }
    stats_advise(p);
    /* Moved into place, not mapped there: that could fail half-way and leave nothing. */
    if (mremap(p, VGPU_STATS_SIZE, VGPU_STATS_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, d->stats_page->base) ==
        MAP_FAILED) {
        error_setg_errno(errp, errno, "vgpu: cannot map the statistics page");
        munmap(p, VGPU_STATS_SIZE);
        vgpu_stats_unmap(d);
        return false;
    }
    trace_vgpu_stats(d, true);
    return true;
}

void vgpu_stats_unmap(VgpuDevice *d)
{
    void *base;

    if (!d->stats_page) {
        return;
    }
    base = d->stats_page->base;
    if (mmap(base, VGPU_STATS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED) {
        error_report("vgpu: the host has no memory left for a page of zeroes: %s", strerror(errno));
        abort();
    }
    stats_advise(base);
    trace_vgpu_stats(d, false);
}

static void stats_page_free(VgpuStatsPage *page)
{
    munmap(page->base, VGPU_STATS_SIZE);
    g_free(page);
}

/* The region is gone; whoever had found it before may still read the page. */
void vgpu_stats_free(VgpuDevice *d)
{
    VgpuStatsPage *page = g_steal_pointer(&d->stats_page);

    if (page) {
        d->stats = NULL;
        call_rcu(page, stats_page_free, rcu);
    }
}
