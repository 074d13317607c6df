/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "vgpu-window.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/linux/virtio_pci.h"

#define WINDOW_BAR  4
#define WINDOW_BASE (1ull << 38) /* the nth device's is n times as high */

uint64_t window_open(Gpu *g, uint64_t *base)
{
    static unsigned opened;
    QPCIDevice *p = g->pci->pdev;
    const uint8_t low = PCI_BASE_ADDRESS_0 + 4 * WINDOW_BAR, high = low + 4;
    uint64_t mask;

    if (!window_capability(g)) {
        return 0;
    }
    qpci_config_writel(p, low, UINT32_MAX);
    qpci_config_writel(p, high, UINT32_MAX);
    g_assert_cmphex(qpci_config_readl(p, low) & ~PCI_BASE_ADDRESS_MEM_MASK, ==,
                    PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
    mask = (uint64_t)qpci_config_readl(p, high) << 32 |
           (qpci_config_readl(p, low) & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK);
    *base = WINDOW_BASE * ++opened;
    qpci_config_writel(p, low, (uint32_t)*base);
    qpci_config_writel(p, high, *base >> 32);
    return ~mask + 1;
}

uint64_t window_capability(Gpu *g)
{
    QPCIDevice *p = g->pci->pdev;
    uint8_t at = 0;

    while ((at = qpci_find_capability(p, PCI_CAP_ID_VNDR, at))) {
        if (qpci_config_readb(p, at + offsetof(struct virtio_pci_cap, cfg_type)) ==
            VIRTIO_PCI_CAP_SHARED_MEMORY_CFG) {
            struct virtio_pci_cap64 cap;

            for (unsigned i = 0; i < sizeof(cap); i += 4) {
                ((uint32_t *)&cap)[i / 4] = qpci_config_readl(p, at + i);
            }
            g_assert_cmpuint(cap.cap.id, ==, VIRTIO_GPU_SHM_ID_HOST_VISIBLE);
            g_assert_cmpuint(cap.cap.bar, ==, WINDOW_BAR);
            g_assert_cmphex(cap.cap.offset | cap.offset_hi, ==, 0);
            return (uint64_t)cap.length_hi << 32 | cap.cap.length;
        }
    }
    return 0;
}

uint32_t blob_create(Gpu *g, const struct virtio_gpu_resource_create_blob *asked,
                     const struct virtio_gpu_mem_entry *entries, unsigned sent)
{
    struct virtio_gpu_resource_create_blob req = *asked;
    size_t size = sent * sizeof(*entries);
    GpuDesc extra = { .len = size };
    uint32_t type;

    req.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB;
    if (!sent) {
        return GPU_DO(g, req);
    }
    extra.addr = vm_alloc(g->vm, size);
    qtest_bufwrite(g->vm->qts, extra.addr, entries, size);
    type = gpu_call(g, GPU_CTRL, &req, sizeof(req), &extra, 1, NULL, sizeof(struct virtio_gpu_ctrl_hdr));
    guest_free(&g->vm->alloc, extra.addr);
    return type;
}

uint32_t blob_host(Gpu *g, uint32_t id, uint64_t kind, uint64_t size)
{
    struct virtio_gpu_resource_create_blob req = {
        .hdr.ctx_id = 1,
        .resource_id = id,
        .blob_mem = VIRTIO_GPU_BLOB_MEM_HOST3D,
        .blob_flags = VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE,
        .blob_id = kind,
        .size = size,
    };

    return blob_create(g, &req, NULL, 0);
}

uint32_t blob_guest(Gpu *g, uint32_t id, uint64_t addr, uint32_t size)
{
    struct virtio_gpu_resource_create_blob req = {
        .resource_id = id,
        .blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST,
        .nr_entries = 1,
        .size = size,
    };
    struct virtio_gpu_mem_entry entry = { .addr = addr, .length = size };

    return blob_create(g, &req, &entry, 1);
}

uint32_t blob_map(Gpu *g, uint32_t id, uint64_t offset)
{
    struct virtio_gpu_resource_map_blob req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
        .resource_id = id,
        .offset = offset,
    };
    struct virtio_gpu_resp_map_info info;
    uint32_t type = GPU_ASK(g, req, info);

    if (type == VIRTIO_GPU_RESP_OK_MAP_INFO) {
        g_assert_cmpuint(info.map_info, ==, VIRTIO_GPU_MAP_CACHE_CACHED);
    }
    return type;
}

uint32_t blob_unmap(Gpu *g, uint32_t id)
{
    struct virtio_gpu_resource_unmap_blob req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
        .resource_id = id,
    };

    return GPU_DO(g, req);
}

uint32_t blob_show(Gpu *g, uint32_t id, uint32_t width, uint32_t height)
{
    struct virtio_gpu_set_scanout_blob req = {
        .hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
        .r = { 0, 0, width, height },
        .resource_id = id,
        .width = width,
        .height = height,
        .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
        .strides = { width * 4 },
    };

    return GPU_DO(g, req);
}
