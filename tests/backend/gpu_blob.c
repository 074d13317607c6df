/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gpu_blob.h"

uint32_t gpu_blob(Frontend *f, const BlobAsk *a)
{
    struct virtio_gpu_resource_create_blob c = {
        .hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, .ctx_id = a->ctx },
        .resource_id = a->id,
        .blob_mem = a->mem,
        .blob_flags = a->flags,
        .nr_entries = a->told,
        .blob_id = a->blob_id,
        .size = a->size,
    };

    return gpu_run(f, &c, sizeof(c), a->sent ? a->entries : NULL, a->sent * sizeof(*a->entries), NULL, 0);
}

uint32_t gpu_blob_guest(Frontend *f, uint32_t id, uint64_t gpa, uint32_t size)
{
    struct virtio_gpu_mem_entry e = { .addr = gpa, .length = size };

    return gpu_blob(
        f, &(BlobAsk){ .id = id, .mem = MEM_GUEST, .size = size, .told = 1, .entries = &e, .sent = 1 });
}

uint32_t gpu_blob_host(Frontend *f, uint32_t id, uint32_t ctx, uint64_t size)
{
    return gpu_blob(f, &(BlobAsk){ .id = id, .ctx = ctx, .mem = MEM_HOST, .flags = MAPPABLE, .size = size });
}

Pending *gpu_send_map(Frontend *f, uint32_t id, uint64_t offset, uint32_t flags, uint64_t fence)
{
    struct virtio_gpu_resource_map_blob c = {
        .hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, .flags = flags, .fence_id = fence },
        .resource_id = id,
        .offset = offset,
    };

    return frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_resp_map_info));
}

Pending *gpu_send_unmap(Frontend *f, uint32_t id)
{
    struct virtio_gpu_resource_unmap_blob c = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
        .resource_id = id,
    };

    return frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

uint32_t gpu_map(Frontend *f, uint32_t id, uint64_t offset)
{
    struct virtio_gpu_resource_map_blob c = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
        .resource_id = id,
        .offset = offset,
    };
    struct virtio_gpu_resp_map_info info;
    uint32_t type = gpu_run(f, &c, sizeof(c), NULL, 0, &info, sizeof(info));

    if (type == OK_MAP_INFO && info.map_info != VIRTIO_GPU_MAP_CACHE_CACHED) {
        g_test_fail_printf("blob %u: map info %u", id, info.map_info);
    }
    return type;
}

uint32_t gpu_unmap(Frontend *f, uint32_t id)
{
    struct virtio_gpu_resource_unmap_blob c = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
        .resource_id = id,
    };

    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

uint32_t gpu_scanout_blob(Frontend *f, const struct virtio_gpu_set_scanout_blob *s)
{
    struct virtio_gpu_set_scanout_blob c = *s;

    c.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB;
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}
