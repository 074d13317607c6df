/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Contexts, 3D resources and submits: the virgl path that must work. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-virgl.h"

static void context_create_destroy(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 5; i++) {
        gpu_expect_ok(g, gpu_ctx_create(g, 1, "glxgears"));
        gpu_expect_ok(g, gpu_ctx_destroy(g, 1));
    }
}

static void context_ids(Gpu *g)
{
    static const uint32_t ids[] = { 1, 2, 63, 64, 255 };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(ids); i++) {
        gpu_expect_ok(g, gpu_ctx_create(g, ids[i], ""));
    }
    for (i = 0; i < G_N_ELEMENTS(ids); i++) {
        gpu_expect_ok(g, gpu_ctx_destroy(g, ids[i]));
    }
}

static void context_init_with_capset(Gpu *g)
{
    struct virtio_gpu_ctx_create req = {
        .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = 1 },
        .nlen = 1,
        .context_init = VIRTIO_GPU_CAPSET_VIRGL2,
        .debug_name = "x",
    };

    gpu_expect(g, GPU_DO(g, req),
               gpu_has(g, VIRTIO_GPU_F_CONTEXT_INIT) ? VIRTIO_GPU_RESP_OK_NODATA
                                                     : VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
}

/* virtio 1.2 gives paddings no meaning: whatever is in them. */
static void padding_is_ignored(Gpu *g)
{
#define HDR(cmd) { .type = VIRTIO_GPU_CMD_##cmd, .ctx_id = 1, .ring_idx = 255, .padding = { 255, 255, 255 } }
    struct virtio_gpu_get_capset_info info = { .hdr = HDR(GET_CAPSET_INFO), .padding = UINT32_MAX };
    struct virtio_gpu_resource_create_3d create = { .hdr = HDR(RESOURCE_CREATE_3D),
                                                    .resource_id = 1,
                                                    .target = PIPE_TEXTURE_2D,
                                                    .format = VIRGL_FORMAT_BGRA8,
                                                    .bind = VIRGL_BIND_RENDER_TARGET,
                                                    .width = 8,
                                                    .height = 8,
                                                    .depth = 1,
                                                    .array_size = 1,
                                                    .padding = UINT32_MAX };
    struct virtio_gpu_ctx_resource attach = { .hdr = HDR(CTX_ATTACH_RESOURCE),
                                              .resource_id = 1,
                                              .padding = UINT32_MAX };
    struct virtio_gpu_ctx_resource detach = { .hdr = HDR(CTX_DETACH_RESOURCE),
                                              .resource_id = 1,
                                              .padding = UINT32_MAX };
    struct virtio_gpu_resource_assign_uuid assign = { .hdr = HDR(RESOURCE_ASSIGN_UUID),
                                                      .resource_id = 1,
                                                      .padding = UINT32_MAX };
    struct {
        struct virtio_gpu_cmd_submit submit;
        uint32_t nop;
    } submit = { .submit = { .hdr = HDR(SUBMIT_3D), .size = 4, .padding = UINT32_MAX } };
    struct virtio_gpu_resp_capset_info capset;
    struct virtio_gpu_resp_resource_uuid uuid;
#undef HDR

    gpu_expect_ok(g, gpu_ctx_create(g, 1, "p"));
    gpu_expect(g, GPU_ASK(g, info, capset), VIRTIO_GPU_RESP_OK_CAPSET_INFO);
    gpu_expect_ok(g, GPU_DO(g, create));
    gpu_expect_ok(g, GPU_DO(g, attach));
    gpu_expect_ok(g, GPU_DO(g, detach));
    gpu_expect(g, GPU_ASK(g, assign, uuid), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    gpu_expect_ok(g, gpu_do(g, &submit, offsetof(typeof(submit), nop) + sizeof(submit.nop)));
}

static void resource_shapes(Gpu *g)
{
    static const VirglShape shapes[] = {
        { PIPE_BUFFER, VIRGL_FORMAT_R8, VIRGL_BIND_VERTEX, 65536, 1, 1, 1, 0, 0 },
        { PIPE_TEXTURE_2D, VIRGL_FORMAT_BGRA8, VIRGL_BIND_SAMPLER, 64, 64, 1, 1, 6, 0 },
        { PIPE_TEXTURE_3D, VIRGL_FORMAT_BGRA8, VIRGL_BIND_SAMPLER, 16, 16, 16, 1, 0, 0 },
        { PIPE_TEXTURE_CUBE, VIRGL_FORMAT_BGRA8, VIRGL_BIND_SAMPLER, 32, 32, 1, 6, 0, 0 },
        { PIPE_TEXTURE_2D_ARRAY, VIRGL_FORMAT_BGRA8, VIRGL_BIND_SAMPLER, 32, 32, 1, 9, 0, 0 },
        { PIPE_TEXTURE_2D, VIRGL_FORMAT_BGRA8, VIRGL_BIND_RENDER_TARGET, 32, 32, 1, 1, 0, 4 },
        { PIPE_TEXTURE_1D, VIRGL_FORMAT_BGRA8, VIRGL_BIND_SAMPLER, 128, 1, 1, 1, 0, 0 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_test_message("shape %u", i);
        gpu_expect_ok(g, virgl_create(g, 1 + i, &shapes[i]));
    }
    for (i = 0; i < G_N_ELEMENTS(shapes); i++) {
        gpu_expect_ok(g, gpu_unref(g, 1 + i));
    }
}

static void attach_detach(Gpu *g)
{
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "a"));
    gpu_expect_ok(g, gpu_ctx_create(g, 2, "b"));
    gpu_expect_ok(g, virgl_create_target(g, 9, 64, 64));
    gpu_expect_ok(g, gpu_ctx_attach(g, 1, 9));
    gpu_expect_ok(g, gpu_ctx_attach(g, 2, 9));
    gpu_expect_ok(g, gpu_ctx_detach(g, 1, 9));
    gpu_expect_ok(g, gpu_ctx_destroy(g, 2)); /* with a resource attached */
    gpu_expect_ok(g, gpu_unref(g, 9));
}

/* The proof that the host's GL runs: clear to a colour and read it back. */
static void clear_and_read_back(Gpu *g)
{
    uint64_t addr = virgl_clear(g, 1, 9, 64, 64, 1.0f, 0.0f, 0.5019608f);
    uint32_t pixels[64 * 64];
    unsigned i;

    gpu_expect_ok(g, virgl_transfer(g, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 1, 9, 0, 0, 64, 64, 0));
    qtest_bufread(g->vm->qts, addr, pixels, sizeof(pixels));
    for (i = 0; i < G_N_ELEMENTS(pixels); i++) {
        g_assert_cmphex(pixels[i], ==, 0xffff0080);
    }
}

static void upload_and_read_back(Gpu *g)
{
    uint64_t addr = vm_alloc(g->vm, 64 * 64 * 4);
    uint32_t pixels[64 * 64], back[64 * 64];
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(pixels); i++) {
        pixels[i] = 0xff000000 | i * 2654435761u >> 8;
    }
    qtest_bufwrite(g->vm->qts, addr, pixels, sizeof(pixels));
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "up"));
    gpu_expect_ok(g, virgl_create_target(g, 9, 64, 64));
    gpu_expect_ok(g, gpu_attach(g, 9, addr, sizeof(pixels)));
    gpu_expect_ok(g, gpu_ctx_attach(g, 1, 9));
    gpu_expect_ok(g, virgl_transfer(g, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 1, 9, 0, 0, 64, 64, 0));
    qtest_memset(g->vm->qts, addr, 0, sizeof(pixels));
    gpu_expect_ok(g, virgl_transfer(g, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 1, 9, 0, 0, 64, 64, 0));
    qtest_bufread(g->vm->qts, addr, back, sizeof(back));
    g_assert_cmpmem(pixels, sizeof(pixels), back, sizeof(back));
}

static void detach_lets_pages_go(Gpu *g)
{
    virgl_clear(g, 1, 9, 64, 64, 0, 1, 0);
    gpu_expect_ok(g, gpu_detach(g, 9));
    gpu_expect(g, virgl_transfer(g, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 1, 9, 0, 0, 64, 64, 0),
               GPU_ANY_ERROR);
}

static void scanout_of_a_3d_resource(Gpu *g)
{
    virgl_clear(g, 1, 9, 320, 200, 0, 1, 0);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 9, 0, 0, 320, 200));
    gpu_expect_ok(g, gpu_flush(g, 9, 0, 0, 320, 200));
    gpu_expect_ok(g, gpu_unref(g, 9));
}

static void empty_submit(Gpu *g)
{
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "e"));
    gpu_expect(g, gpu_submit(g, 1, NULL, 0), VIRTIO_GPU_RESP_OK_NODATA);
}

static void submit_in_many_descriptors(Gpu *g)
{
    uint32_t dwords[16] = { 0 };
    GpuDesc extra[16];
    uint64_t addr = vm_alloc(g->vm, 4096 * 16);
    struct virtio_gpu_cmd_submit req = {
        .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1 },
        .size = sizeof(dwords),
    };
    unsigned i;

    gpu_expect_ok(g, gpu_ctx_create(g, 1, "m"));
    for (i = 0; i < 16; i++) {
        extra[i] = (GpuDesc){ .addr = addr + 4096 * i + 4, .len = 4 };
    }
    gpu_expect_ok(g, gpu_call(g, GPU_CTRL, &req, sizeof(req), extra, 16, NULL, 24));
}

/* A context that went wrong is that context's affair. */
static void bad_stream_spares_the_others(Gpu *g)
{
    uint32_t garbage[8] = { 0x000700ff, 1, 2, 3, 4, 5, 6, 7 };

    gpu_expect_ok(g, gpu_ctx_create(g, 2, "bad"));
    gpu_expect(g, gpu_submit(g, 2, garbage, 8), GPU_ANY_ERROR);
    virgl_clear(g, 1, 9, 64, 64, 1, 1, 1);
}

static void many_contexts_and_resources(Gpu *g)
{
    unsigned i;

    for (i = 1; i <= 8; i++) {
        gpu_expect_ok(g, gpu_ctx_create(g, i, "many"));
        gpu_expect_ok(g, virgl_create_target(g, 100 + i, 32, 32));
        gpu_expect_ok(g, gpu_ctx_attach(g, i, 100 + i));
    }
    gpu_init(g, UINT64_MAX);
    for (i = 1; i <= 8; i++) {
        gpu_expect_ok(g, gpu_ctx_create(g, i, "again"));
    }
}

const GpuCase cases_3d[] = { { "3d/context-create-destroy", context_create_destroy, CASE_VIRGL },
                             { "3d/context-ids", context_ids, CASE_VIRGL },
                             { "3d/context-init-with-capset", context_init_with_capset, CASE_VIRGL },
                             { "3d/padding-is-ignored", padding_is_ignored, CASE_VIRGL },
                             { "3d/resource-shapes", resource_shapes, CASE_VIRGL },
                             { "3d/attach-detach", attach_detach, CASE_VIRGL },
                             { "3d/clear-and-read-back", clear_and_read_back, CASE_VIRGL },
                             { "3d/upload-and-read-back", upload_and_read_back, CASE_VIRGL },
                             { "3d/detach-lets-pages-go", detach_lets_pages_go, CASE_VIRGL },
                             { "3d/scanout-of-a-3d-resource", scanout_of_a_3d_resource, CASE_VIRGL },
                             { "3d/empty-submit", empty_submit, CASE_VIRGL },
                             { "3d/submit-in-many-descriptors", submit_in_many_descriptors, CASE_VIRGL },
                             { "3d/bad-stream-spares-the-others", bad_stream_spares_the_others, CASE_VIRGL },
                             { "3d/many-contexts-and-resources", many_contexts_and_resources, CASE_VIRGL },
                             { NULL } };
