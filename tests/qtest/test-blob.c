/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blob commands while RESOURCE_BLOB is not offered: each is answered with an
 * error, whatever its fields say, and leaves nothing behind.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"

static void create(Gpu *g)
{
    static const uint32_t mems[] = { 0, 1, 2, 3, 4, UINT32_MAX };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(mems); i++) {
        struct virtio_gpu_resource_create_blob req = {
            .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
            .resource_id = 1,
            .blob_mem = mems[i],
            .size = 4096,
        };

        gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
    }
    gpu_expect(g, gpu_unref(g, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static void create_with_entries(Gpu *g)
{
    struct virtio_gpu_resource_create_blob req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
        .resource_id = 1,
        .blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST,
        .size = 4096,
        .nr_entries = 1,
    };
    struct virtio_gpu_mem_entry entry = { .addr = vm_alloc(g->vm, 4096), .length = 4096 };
    GpuDesc extra = { .addr = vm_alloc(g->vm, 4096), .len = sizeof(entry) };

    qtest_bufwrite(g->vm->qts, extra.addr, &entry, sizeof(entry));
    gpu_expect(g, gpu_call(g, GPU_CTRL, &req, sizeof(req), &extra, 1, NULL, 24), GPU_ANY_ERROR);
    req.nr_entries = UINT32_MAX;
    gpu_expect(g, gpu_call(g, GPU_CTRL, &req, sizeof(req), &extra, 1, NULL, 24), GPU_ANY_ERROR);
    req.size = UINT64_MAX;
    gpu_expect(g, gpu_call(g, GPU_CTRL, &req, sizeof(req), &extra, 1, NULL, 24), GPU_ANY_ERROR);
}

static void scanout(Gpu *g)
{
    struct virtio_gpu_set_scanout_blob req = {
        .hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
        .r = { 0, 0, 64, 64 },
        .resource_id = 1,
        .width = 64,
        .height = 64,
        .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
        .strides = { 256 },
    };

    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
    req.offsets[0] = UINT32_MAX;
    req.strides[0] = UINT32_MAX;
    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
}

static void map(Gpu *g)
{
    struct virtio_gpu_resource_map_blob req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
        .resource_id = 1,
    };

    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
    req.offset = UINT64_MAX;
    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
}

static void unmap(Gpu *g)
{
    struct virtio_gpu_resource_unmap_blob req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB,
        .resource_id = 1,
    };

    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
}

const GpuCase cases_blob[] = {
    { "blob/create", create },   { "blob/create-with-entries", create_with_entries },
    { "blob/scanout", scanout }, { "blob/map", map },
    { "blob/unmap", unmap },     { NULL }
};
