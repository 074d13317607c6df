/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-gpu commands as functions: each sends one request on the control or
 * cursor queue and returns the type of the response.
 */
#include "qemu/osdep.h"
#include "vgpu-driver.h"

uint32_t gpu_do(Gpu *g, const void *req, size_t size)
{
    return gpu_call(g, GPU_CTRL, req, size, NULL, 0, NULL, sizeof(struct virtio_gpu_ctrl_hdr));
}

uint32_t gpu_display_info(Gpu *g, struct virtio_gpu_resp_display_info *info)
{
    struct virtio_gpu_ctrl_hdr req = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    struct virtio_gpu_resp_display_info dummy;

    return GPU_ASK(g, req, *(info ?: &dummy));
}

uint32_t gpu_edid(Gpu *g, uint32_t scanout, struct virtio_gpu_resp_edid *edid)
{
    struct virtio_gpu_cmd_get_edid req = {
        .hdr.type = VIRTIO_GPU_CMD_GET_EDID,
        .scanout = scanout,
    };

    return GPU_ASK(g, req, *edid);
}

uint32_t gpu_capset_info(Gpu *g, uint32_t index, struct virtio_gpu_resp_capset_info *info)
{
    struct virtio_gpu_get_capset_info req = {
        .hdr.type = VIRTIO_GPU_CMD_GET_CAPSET_INFO,
        .capset_index = index,
    };

    return GPU_ASK(g, req, *info);
}

/* data gets what follows the header, size bytes of it (at most 4072) */
uint32_t gpu_capset(Gpu *g, uint32_t id, uint32_t version, void *data, uint32_t size)
{
    struct virtio_gpu_get_capset req = {
        .hdr.type = VIRTIO_GPU_CMD_GET_CAPSET,
        .capset_id = id,
        .capset_version = version,
    };
    uint32_t total = sizeof(struct virtio_gpu_resp_capset) + size, type;
    g_autofree uint8_t *resp = g_malloc0(total);

    type = gpu_call(g, GPU_CTRL, &req, sizeof(req), NULL, 0, resp, total);
    if (data) {
        memcpy(data, resp + sizeof(struct virtio_gpu_resp_capset), size);
    }
    return type;
}

uint32_t gpu_create_2d(Gpu *g, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
    struct virtio_gpu_resource_create_2d req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
        .resource_id = id,
        .format = format,
        .width = width,
        .height = height,
    };

    return GPU_DO(g, req);
}

uint32_t gpu_unref(Gpu *g, uint32_t id)
{
    struct virtio_gpu_resource_unref req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF,
        .resource_id = id,
    };

    return GPU_DO(g, req);
}

/* nr_entries is what the command says, sent how many follow it */
uint32_t gpu_attach_entries(Gpu *g, uint32_t id, uint32_t nr_entries,
                            const struct virtio_gpu_mem_entry *entries, unsigned sent)
{
    struct virtio_gpu_resource_attach_backing req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
        .resource_id = id,
        .nr_entries = nr_entries,
    };
    size_t size = sent * sizeof(*entries);
    GpuDesc extra = { .len = size };
    uint32_t type;

    if (!sent) {
        return GPU_DO(g, req);
    }
    extra.addr = vm_alloc(g->vm, size);
    qtest_bufwrite(g->vm->qts, extra.addr, entries, size);
    type = gpu_call(g, GPU_CTRL, &req, sizeof(req), &extra, 1, NULL, sizeof(struct virtio_gpu_ctrl_hdr));
    guest_free(&g->vm->alloc, extra.addr);
    return type;
}

uint32_t gpu_attach(Gpu *g, uint32_t id, uint64_t addr, uint32_t size)
{
    struct virtio_gpu_mem_entry entry = { .addr = addr, .length = size };

    return gpu_attach_entries(g, id, 1, &entry, 1);
}

uint32_t gpu_detach(Gpu *g, uint32_t id)
{
    struct virtio_gpu_resource_detach_backing req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
        .resource_id = id,
    };

    return GPU_DO(g, req);
}

uint32_t gpu_transfer_2d(Gpu *g, uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height,
                         uint64_t offset)
{
    struct virtio_gpu_transfer_to_host_2d req = {
        .hdr.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
        .r = { x, y, width, height },
        .offset = offset,
        .resource_id = id,
    };

    return GPU_DO(g, req);
}

uint32_t gpu_set_scanout(Gpu *g, uint32_t scanout, uint32_t id, uint32_t x, uint32_t y, uint32_t width,
                         uint32_t height)
{
    struct virtio_gpu_set_scanout req = {
        .hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT,
        .r = { x, y, width, height },
        .scanout_id = scanout,
        .resource_id = id,
    };

    return GPU_DO(g, req);
}

uint32_t gpu_flush(Gpu *g, uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
    struct virtio_gpu_resource_flush req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
        .r = { x, y, width, height },
        .resource_id = id,
    };

    return GPU_DO(g, req);
}

uint32_t gpu_ctx_create(Gpu *g, uint32_t ctx, const char *name)
{
    struct virtio_gpu_ctx_create req = {
        .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = ctx },
        .nlen = strlen(name),
    };

    memcpy(req.debug_name, name, MIN(strlen(name), sizeof(req.debug_name)));
    return GPU_DO(g, req);
}

uint32_t gpu_ctx_destroy(Gpu *g, uint32_t ctx)
{
    struct virtio_gpu_ctx_destroy req = {
        .hdr = { .type = VIRTIO_GPU_CMD_CTX_DESTROY, .ctx_id = ctx },
    };

    return GPU_DO(g, req);
}

static uint32_t ctx_resource(Gpu *g, uint32_t type, uint32_t ctx, uint32_t id)
{
    struct virtio_gpu_ctx_resource req = {
        .hdr = { .type = type, .ctx_id = ctx },
        .resource_id = id,
    };

    return GPU_DO(g, req);
}

uint32_t gpu_ctx_attach(Gpu *g, uint32_t ctx, uint32_t id)
{
    return ctx_resource(g, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, ctx, id);
}

uint32_t gpu_ctx_detach(Gpu *g, uint32_t ctx, uint32_t id)
{
    return ctx_resource(g, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, ctx, id);
}

uint32_t gpu_submit(Gpu *g, uint32_t ctx, const uint32_t *dwords, size_t count)
{
    struct virtio_gpu_cmd_submit req = {
        .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = ctx },
        .size = count * 4,
    };
    GpuDesc extra = { .len = count * 4 };
    uint32_t type;

    if (!count) {
        return GPU_DO(g, req);
    }
    extra.addr = vm_alloc(g->vm, count * 4);
    qtest_bufwrite(g->vm->qts, extra.addr, dwords, count * 4);
    type = gpu_call(g, GPU_CTRL, &req, sizeof(req), &extra, 1, NULL, sizeof(struct virtio_gpu_ctrl_hdr));
    guest_free(&g->vm->alloc, extra.addr);
    return type;
}

uint32_t gpu_cursor(Gpu *g, const struct virtio_gpu_update_cursor *cursor)
{
    uint16_t head =
        gpu_send(g, GPU_CURSOR, cursor, sizeof(*cursor), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    uint32_t used, len, type = VIRTIO_GPU_RESP_OK_NODATA;

    if (!gpu_wait(g, GPU_CURSOR, &used, &len, GPU_TIMEOUT_MS)) {
        return GPU_NO_ANSWER;
    }
    g_assert_cmpuint(used, ==, head);
    /* a response on the cursor queue is optional: Linux offers no room for one */
    if (len >= sizeof(struct virtio_gpu_ctrl_hdr)) {
        type = qtest_readl(g->vm->qts, gpu_response(g, GPU_CURSOR, head));
    }
    return type;
}

/* Pixel (x, y) is B = x, G = y, R = x ^ y, A = 255. */
uint64_t gpu_picture(Gpu *g, uint32_t id, uint32_t width, uint32_t height)
{
    g_autofree uint32_t *pixels = g_new(uint32_t, width *height);
    uint64_t addr = vm_alloc(g->vm, width * height * 4);
    uint32_t x, y;

    for (y = 0; y < height; y++) {
        for (x = 0; x < width; x++) {
            pixels[y * width + x] = 0xff000000u | ((x ^ y) & 0xff) << 16 | (y & 0xff) << 8 | (x & 0xff);
        }
    }
    qtest_bufwrite(g->vm->qts, addr, pixels, width * height * 4);
    gpu_expect_ok(g, gpu_create_2d(g, id, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, width, height));
    gpu_expect_ok(g, gpu_attach(g, id, addr, width * height * 4));
    gpu_expect_ok(g, gpu_transfer_2d(g, id, 0, 0, width, height, 0));
    return addr;
}

void gpu_assert_alive(Gpu *g)
{
    gpu_expect(g, gpu_display_info(g, NULL), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}
