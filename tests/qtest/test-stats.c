/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BAR 0: the VM's statistics page, which its guest can read and nobody else's. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu/stats.h"
#include "vgpu/virtio.h"

#define LOST_MS 5000
#define BACK_MS 15000
#define CHANGED (0x5a5a5a5aull << 16)

/* The BAR is mapped once for each Gpu. */
static QPCIBar stats_bar(Gpu *g)
{
    uint64_t size;
    QPCIBar bar = qpci_iomap(g->pci->pdev, VGPU_PCI_BAR_STATS, &size);

    g_assert_cmpuint(size, ==, VGPU_STATS_SIZE);
    return bar;
}

static void stats_read(Gpu *g, QPCIBar bar, struct vgpu_stats *s)
{
    qpci_memread(g->pci->pdev, bar, 0, s, sizeof(*s));
}

static void page_is_the_profiles(Gpu *g)
{
    QPCIBar bar = stats_bar(g);
    struct vgpu_stats before, after;

    g_assert_true(g->offered & (1ull << VGPU_F_STATS));
    stats_read(g, bar, &before);
    g_assert_cmphex(before.magic, ==, VGPU_STATS_MAGIC);
    g_assert_cmpuint(before.version, ==, VGPU_STATS_VERSION);
    g_assert_cmpuint(before.memory_limit, ==, qmp_memory(g, "memory-limit"));
    gpu_expect_ok(g, gpu_create_2d(g, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 1024, 1024));
    stats_read(g, bar, &after);
    g_assert_cmpuint(after.memory_used, >=, before.memory_used + 4 * 1024 * 1024);
    g_assert_cmpuint(after.memory_used, ==, qmp_memory(g, "memory-used"));
    g_assert_cmpuint(after.resources, ==, before.resources + 1);
    gpu_expect_ok(g, gpu_unref(g, 1));
    stats_read(g, bar, &after);
    g_assert_cmpuint(after.memory_used, ==, before.memory_used);
}

/* Neither reset nor negotiation is needed: firmware could read it. */
static void readable_before_the_driver(Gpu *g)
{
    QPCIBar bar = stats_bar(g);
    struct vgpu_stats s;

    gpu_reset(g);
    stats_read(g, bar, &s);
    g_assert_cmphex(s.magic, ==, VGPU_STATS_MAGIC);
    gpu_init(g, UINT64_MAX);
}

/* What the guest writes reaches neither the page nor vgpud, and harms nobody. */
static void writes_are_ignored(Gpu *g)
{
    QPCIBar bar = stats_bar(g);
    struct vgpu_stats before, after;
    unsigned i;

    stats_read(g, bar, &before);
    for (i = 0; i < VGPU_STATS_SIZE; i += 8) {
        qpci_io_writeq(g->pci->pdev, bar, i, CHANGED);
    }
    qpci_io_writel(g->pci->pdev, bar, VGPU_STATS_SIZE - 4, 1);
    qpci_io_writeb(g->pci->pdev, bar, 1, 1);
    stats_read(g, bar, &after);
    g_assert_cmphex(after.magic, ==, VGPU_STATS_MAGIC);
    g_assert_cmpuint(after.memory_limit, ==, before.memory_limit);
    g_assert_cmpuint(after.memory_used, ==, before.memory_used);
    g_assert_cmpuint(qmp_memory(g, "memory-limit"), ==, before.memory_limit);
    /* it is not a copy that stays as it is */
    gpu_expect_ok(g, gpu_create_2d(g, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 64, 64));
    stats_read(g, bar, &after);
    g_assert_cmpuint(after.memory_used, >, before.memory_used);
}

/* Behind the struct there is nothing: neither of the host nor of other VMs. */
static void rest_is_zero(Gpu *g)
{
    QPCIBar bar = stats_bar(g);
    uint8_t page[VGPU_STATS_SIZE];
    unsigned i;

    qpci_memread(g->pci->pdev, bar, 0, page, sizeof(page));
    for (i = sizeof(struct vgpu_stats); i < sizeof(page); i++) {
        g_assert_cmpint(page[i], ==, 0);
    }
}

/* Without a renderer it is a page of zeroes; with the next one that one's. */
static void zeroes_while_lost(Gpu *g)
{
    static const uint8_t zero[VGPU_STATS_SIZE];
    g_autoptr(GArray) renderers = process_renderers(g->vm->name);
    QPCIBar bar = stats_bar(g);
    uint8_t page[VGPU_STATS_SIZE];
    struct vgpu_stats before, after;

    gpu_expect_ok(g, gpu_create_2d(g, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 1024, 1024));
    stats_read(g, bar, &before);
    /* else a device that brings it back by itself would be too quick for us */
    g->extension = (1ull << VGPU_F_LOSS);
    gpu_init(g, UINT64_MAX);
    process_signal(renderers, SIGKILL);
    qmp_wait_state(g, "lost", LOST_MS);
    qpci_memread(g->pci->pdev, bar, 0, page, sizeof(page));
    g_assert_cmpmem(page, sizeof(page), zero, sizeof(zero));
    qpci_io_writeq(g->pci->pdev, bar, 0, CHANGED);
    qpci_memread(g->pci->pdev, bar, 0, page, sizeof(page));
    g_assert_cmpmem(page, sizeof(page), zero, sizeof(zero));
    gpu_reset(g);
    qmp_wait_state(g, "running", BACK_MS);
    stats_read(g, bar, &after);
    g_assert_cmphex(after.magic, ==, VGPU_STATS_MAGIC);
    g_assert_cmpuint(after.memory_limit, ==, before.memory_limit);
    g_assert_cmpuint(after.memory_used, <, before.memory_used);
    gpu_init(g, UINT64_MAX);
}

/* Two VMs' devices: each has its own. */
static void own_page_only(Gpu *none)
{
    GpuVm *vm[2];
    Gpu *g[2];
    struct vgpu_stats s[2][2];
    unsigned i, j;

    for (i = 0; i < 2; i++) {
        vm[i] = vm_start(i ? "vgpu-pci,id=gpu0,profile=eighth" : "vgpu-pci,id=gpu0,profile=quarter", NULL);
        g[i] = gpu_find(vm[i], "gpu0", 0);
        gpu_init(g[i], UINT64_MAX);
    }
    for (i = 0; i < 2; i++) {
        QPCIBar bar[2] = { stats_bar(g[0]), stats_bar(g[1]) };

        for (j = 0; j < 2; j++) {
            stats_read(g[j], bar[j], &s[0][j]);
        }
        gpu_expect_ok(g[i], gpu_create_2d(g[i], 1 + i, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 512, 512));
        for (j = 0; j < 2; j++) {
            stats_read(g[j], bar[j], &s[1][j]);
        }
        g_assert_cmpuint(s[1][i].memory_used, >, s[0][i].memory_used);
        g_assert_cmpmem(&s[0][!i], sizeof(s[0][!i]), &s[1][!i], sizeof(s[1][!i]));
    }
    g_assert_cmpuint(s[0][0].memory_limit, ==, 2 * s[0][1].memory_limit);
    for (i = 0; i < 2; i++) {
        gpu_free(g[i]);
        vm_stop(vm[i]);
    }
}

/* The BAR is there behind a PCIe port too, where no capability has room, and goes with its device. */
static void plugged_and_unplugged(Gpu *none)
{
    GpuVm *vm = vm_start(NULL, VM_ROOT_PORTS);
    struct vgpu_stats s;
    unsigned i;

    vm_open_root_ports(vm);
    for (i = 0; i < 2; i++) {
        Gpu *g;
        QPCIBar bar;

        qmp_timed(vm, 10000,
                  "{ 'execute': 'device_add', 'arguments': { 'driver': 'vgpu-pci', 'id': 'gpu0',"
                  " 'bus': 'rp0', 'profile': 'eighth' } }");
        g = gpu_behind(vm, "gpu0", 1);
        gpu_init(g, UINT64_MAX);
        bar = stats_bar(g);
        stats_read(g, bar, &s);
        g_assert_cmphex(s.magic, ==, VGPU_STATS_MAGIC);
        g_assert_cmpuint(s.memory_limit, ==, qmp_memory(g, "memory-limit"));
        vm_unplug(vm, "gpu0");
        stats_read(g, bar, &s);
        g_assert_cmphex(s.magic, !=, VGPU_STATS_MAGIC);
        gpu_free(g);
    }
    qmp_timed(vm, QMP_DEADLINE_MS, "{ 'execute': 'query-status' }");
    vm_stop(vm);
}

const GpuCase cases_stats[] = {
    { "stats/page-is-the-profiles", page_is_the_profiles, CASE_OURS },
    { "stats/readable-before-the-driver", readable_before_the_driver, CASE_OURS },
    { "stats/writes-are-ignored", writes_are_ignored, CASE_OURS },
    { "stats/rest-is-zero", rest_is_zero, CASE_OURS },
    { "stats/zeroes-while-lost", zeroes_while_lost, CASE_OURS | CASE_NO_EPILOGUE },
    { "stats/own-page-only", own_page_only, CASE_OURS | CASE_RAW },
    { "stats/plugged-and-unplugged", plugged_and_unplugged, CASE_OURS | CASE_RAW },
    { NULL },
};
