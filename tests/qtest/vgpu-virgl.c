/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "vgpu-virgl.h"

#define CMD(cmd, object, length) ((cmd) | (object) << 8 | (length) << 16)
enum { CREATE_OBJECT = 1, SET_FRAMEBUFFER_STATE = 5, CLEAR = 7, OBJECT_SURFACE = 8 };
#define CLEAR_COLOR0 4

uint32_t virgl_create(Gpu *g, uint32_t id, const VirglShape *s)
{
    struct virtio_gpu_resource_create_3d req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
        .resource_id = id,
        .target = s->target,
        .format = s->format,
        .bind = s->bind,
        .width = s->width,
        .height = s->height,
        .depth = s->depth,
        .array_size = s->array_size,
        .last_level = s->last_level,
        .nr_samples = s->nr_samples,
        .flags = s->flags,
    };

    return GPU_DO(g, req);
}

uint32_t virgl_create_target(Gpu *g, uint32_t id, uint32_t width, uint32_t height)
{
    VirglShape s = {
        PIPE_TEXTURE_2D,
        VIRGL_FORMAT_BGRA8,
        VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SAMPLER,
        width,
        height,
        1,
        1,
        0,
        0,
    };

    return virgl_create(g, id, &s);
}

uint32_t virgl_transfer(Gpu *g, uint32_t type, uint32_t ctx, uint32_t id, uint32_t x, uint32_t y,
                        uint32_t width, uint32_t height, uint64_t offset)
{
    struct virtio_gpu_transfer_host_3d req = {
        .hdr = { .type = type, .ctx_id = ctx },
        .resource_id = id,
        .box = { .x = x, .y = y, .w = width, .h = height, .d = 1 },
        .offset = offset,
    };

    return GPU_DO(g, req);
}

uint64_t virgl_clear(Gpu *g, uint32_t ctx, uint32_t id, uint32_t width, uint32_t height, float red,
                     float green, float blue)
{
    uint64_t addr = vm_alloc(g->vm, width * height * 4);
    float colour[4] = { red, green, blue, 1.0f };
    uint32_t dwords[19] = {
        CMD(CREATE_OBJECT, OBJECT_SURFACE, 5),
        1,
        id,
        VIRGL_FORMAT_BGRA8,
        0,
        0,
        CMD(SET_FRAMEBUFFER_STATE, 0, 3),
        1,
        0,
        1,
        CMD(CLEAR, 0, 8),
        CLEAR_COLOR0,
    };

    memcpy(&dwords[12], colour, sizeof(colour));
    gpu_expect_ok(g, gpu_ctx_create(g, ctx, "clear"));
    gpu_expect_ok(g, virgl_create_target(g, id, width, height));
    gpu_expect_ok(g, gpu_attach(g, id, addr, width * height * 4));
    gpu_expect_ok(g, gpu_ctx_attach(g, ctx, id));
    gpu_expect_ok(g, gpu_submit(g, ctx, dwords, G_N_ELEMENTS(dwords)));
    return addr;
}
