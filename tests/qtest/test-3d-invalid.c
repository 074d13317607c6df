/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 3D commands: every field out of range, ids unknown or twice. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-virgl.h"

#define ERR_ID    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define ERR_CTX   VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
#define ERR_PARAM VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define TO_HOST   VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D
#define FROM_HOST VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D
#define MAX32     UINT32_MAX

/* Against a device without 3D, QEMU's: every 3D command is ERR_UNSPEC. */
static void without_virgl(Gpu *g)
{
    uint32_t type;

    gpu_init(g, ~(1ull << VIRTIO_GPU_F_VIRGL));
    for (type = VIRTIO_GPU_CMD_CTX_CREATE; type <= VIRTIO_GPU_CMD_SUBMIT_3D; type++) {
        uint32_t req[64] = { type, 0, 0, 0, 1, 0, 1 };

        gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
    }
}

/* --- contexts --- */

static void context_id_0(Gpu *g)
{
    gpu_expect(g, gpu_ctx_create(g, 0, "x"), ERR_CTX);
}

static void context_id_twice(Gpu *g)
{
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "x"));
    gpu_expect(g, gpu_ctx_create(g, 1, "x"), ERR_CTX);
    gpu_expect_ok(g, gpu_ctx_destroy(g, 1));
}

static void context_id_huge(Gpu *g)
{
    gpu_expect_ok(g, gpu_ctx_create(g, MAX32, "x"));
    gpu_expect_ok(g, gpu_ctx_create(g, 0x80000000, "x"));
    gpu_expect_ok(g, gpu_ctx_destroy(g, MAX32));
    gpu_expect_ok(g, gpu_ctx_destroy(g, 0x80000000));
}

static void context_name_too_long(Gpu *g)
{
    struct virtio_gpu_ctx_create req = {
        .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = 1 },
        .nlen = 65,
    };

    memset(req.debug_name, 'x', sizeof(req.debug_name));
    gpu_expect(g, GPU_DO(g, req), ERR_PARAM);
    gpu_expect(g, gpu_ctx_destroy(g, 1), ERR_CTX);
    req.nlen = MAX32;
    gpu_expect(g, GPU_DO(g, req), ERR_PARAM);
    /* 64 bytes and no NUL is allowed */
    req.hdr.ctx_id = 3;
    req.nlen = 64;
    gpu_expect_ok(g, GPU_DO(g, req));
}

static void context_init_unknown_capset(Gpu *g)
{
    struct virtio_gpu_ctx_create req = {
        .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = 1 },
        .context_init = 63,
    };

    gpu_expect(g, GPU_DO(g, req), GPU_ANY_ERROR);
}

static void context_destroy_unknown(Gpu *g)
{
    gpu_expect(g, gpu_ctx_destroy(g, 0), ERR_CTX);
    gpu_expect(g, gpu_ctx_destroy(g, 1), ERR_CTX);
    gpu_expect(g, gpu_ctx_destroy(g, MAX32), ERR_CTX);
}

static void context_destroy_twice(Gpu *g)
{
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "x"));
    gpu_expect_ok(g, gpu_ctx_destroy(g, 1));
    gpu_expect(g, gpu_ctx_destroy(g, 1), ERR_CTX);
}

static void context_attach_unknown(Gpu *g)
{
    gpu_expect(g, gpu_ctx_attach(g, 1, 1), GPU_ANY_ERROR);
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "x"));
    gpu_expect(g, gpu_ctx_attach(g, 1, 7), ERR_ID);
    gpu_expect(g, gpu_ctx_detach(g, 1, 7), ERR_ID);
    gpu_expect_ok(g, virgl_create_target(g, 7, 8, 8));
    gpu_expect(g, gpu_ctx_attach(g, 2, 7), ERR_CTX);
    gpu_expect(g, gpu_ctx_detach(g, 2, 7), ERR_CTX);
}

static void context_attach_twice(Gpu *g)
{
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "x"));
    gpu_expect_ok(g, virgl_create_target(g, 7, 8, 8));
    gpu_expect_ok(g, gpu_ctx_attach(g, 1, 7));
    gpu_expect_ok(g, gpu_ctx_attach(g, 1, 7));
    gpu_expect_ok(g, gpu_ctx_detach(g, 1, 7));
    gpu_expect_ok(g, gpu_ctx_detach(g, 1, 7));
}

/* --- RESOURCE_CREATE_3D --- */

static const VirglShape good = {
    PIPE_TEXTURE_2D, VIRGL_FORMAT_BGRA8, VIRGL_BIND_SAMPLER, 16, 16, 1, 1, 0, 0,
};

#define REFUSED(g, ...)                                                                                      \
    do {                                                                                                     \
        VirglShape s_ = good;                                                                                \
        __VA_ARGS__;                                                                                         \
        gpu_expect((g), virgl_create((g), 1, &s_), GPU_ANY_ERROR);                                           \
    } while (0)

static void create_id(Gpu *g)
{
    gpu_expect(g, virgl_create(g, 0, &good), ERR_ID);
    gpu_expect_ok(g, virgl_create(g, 1, &good));
    gpu_expect(g, virgl_create(g, 1, &good), ERR_ID);
    gpu_expect(g, gpu_create_2d(g, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 8, 8), ERR_ID);
}

static void create_target(Gpu *g)
{
    REFUSED(g, s_.target = 9);
    REFUSED(g, s_.target = 1000);
    REFUSED(g, s_.target = MAX32);
}

static void create_format(Gpu *g)
{
    REFUSED(g, s_.format = 0);
    REFUSED(g, s_.format = 700);
    REFUSED(g, s_.format = MAX32);
}

static void create_width(Gpu *g)
{
    REFUSED(g, s_.width = 0);
    REFUSED(g, s_.width = 1u << 20);
    REFUSED(g, s_.width = 0x80000000);
    REFUSED(g, s_.width = MAX32);
}

static void create_height(Gpu *g)
{
    REFUSED(g, s_.height = 0);
    REFUSED(g, s_.height = 1u << 20);
    REFUSED(g, s_.height = MAX32);
}

static void create_depth(Gpu *g)
{
    REFUSED(g, s_.depth = MAX32);
    REFUSED(g, s_.target = PIPE_TEXTURE_3D, s_.depth = 0);
    REFUSED(g, s_.target = PIPE_TEXTURE_3D, s_.depth = MAX32);
    REFUSED(g, s_.target = PIPE_TEXTURE_3D, s_.depth = 1u << 20);
}

static void create_array_size(Gpu *g)
{
    REFUSED(g, s_.target = PIPE_TEXTURE_2D_ARRAY, s_.array_size = MAX32);
    REFUSED(g, s_.target = PIPE_TEXTURE_2D_ARRAY, s_.array_size = 1u << 24);
    REFUSED(g, s_.target = PIPE_TEXTURE_CUBE, s_.array_size = 5);
    REFUSED(g, s_.target = PIPE_TEXTURE_CUBE_ARRAY, s_.array_size = 7);
}

static void create_last_level(Gpu *g)
{
    REFUSED(g, s_.last_level = 5); /* 16x16 has levels 0 to 4 */
    REFUSED(g, s_.last_level = 32);
    REFUSED(g, s_.last_level = MAX32);
}

static void create_samples(Gpu *g)
{
    REFUSED(g, s_.nr_samples = 1000);
    REFUSED(g, s_.nr_samples = MAX32);
    REFUSED(g, s_.nr_samples = 4, s_.last_level = 2);
}

static void create_buffer_shape(Gpu *g)
{
    REFUSED(g, s_.target = PIPE_BUFFER, s_.format = VIRGL_FORMAT_R8, s_.width = 64, s_.height = 2);
    REFUSED(g, s_.target = PIPE_BUFFER, s_.format = VIRGL_FORMAT_R8, s_.width = MAX32, s_.height = 1);
}

/* What a texture or a buffer may be bound to; bits nobody knows beside them are hints of newer guests. */
static void create_bind(Gpu *g)
{
    static const uint32_t no_texture[] = { 0,        1u << 2,           VIRGL_BIND_VERTEX,
                                           1u << 7,  VIRGL_BIND_CUSTOM, VIRGL_BIND_STAGING,
                                           1u << 23, 1u << 31 };
    static const uint32_t no_buffer[] = { 1u << 0, VIRGL_BIND_RENDER_TARGET, 1u << 9, 1u << 18, 1u << 31 };
    VirglShape buffer = { PIPE_BUFFER, VIRGL_FORMAT_R8, VIRGL_BIND_VERTEX, 64, 1, 1, 1, 0, 0 },
               texture = good;
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(no_texture); i++) {
        REFUSED(g, s_.bind = no_texture[i]);
    }
    for (i = 0; i < G_N_ELEMENTS(no_buffer); i++) {
        REFUSED(g, s_ = buffer, s_.bind = no_buffer[i]);
    }
    texture.bind = VIRGL_BIND_SAMPLER | 1u << 31;
    gpu_expect_ok(g, virgl_create(g, 1, &texture));
    texture.bind = MAX32;
    gpu_expect_ok(g, virgl_create(g, 2, &texture));
    /* in the host's plain memory: a little is enough */
    buffer.bind = VIRGL_BIND_CUSTOM;
    gpu_expect_ok(g, virgl_create(g, 3, &buffer));
    REFUSED(g, s_ = buffer, s_.width = 64 * 1024 + 4096);
    buffer.bind = MAX32;
    REFUSED(g, s_ = buffer, s_.width = 64 * 1024 + 4096);
    gpu_expect_ok(g, gpu_unref(g, 1));
    gpu_expect_ok(g, gpu_unref(g, 2));
    gpu_expect_ok(g, gpu_unref(g, 3));
}

static void create_flags(Gpu *g)
{
    VirglShape buffer = { PIPE_BUFFER, VIRGL_FORMAT_R8, VIRGL_BIND_VERTEX, 64, 1, 1, 1, 0, 0 };
    unsigned i;

    for (i = 3; i < 32; i++) {
        REFUSED(g, s_.flags = 1u << i);
    }
    REFUSED(g, s_.flags = MAX32);
    REFUSED(g, s_ = buffer, s_.flags = 1u << 0); /* which side of a buffer is up? */
    REFUSED(g, s_ = buffer, s_.flags = 1u << 31);
}

static void create_past_any_memory(Gpu *g)
{
    /* 16384 x 16384 x 4 x 2048 layers */
    VirglShape s = {
        PIPE_TEXTURE_2D_ARRAY, VIRGL_FORMAT_BGRA8, VIRGL_BIND_SAMPLER, 16384, 16384, 1, 2048, 0, 0
    };

    gpu_expect(g, virgl_create(g, 1, &s), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
    gpu_expect(g, gpu_unref(g, 1), ERR_ID);
}

/* --- TRANSFER_*_3D --- */

static void picture(Gpu *g)
{
    uint64_t addr = vm_alloc(g->vm, 64 * 64 * 4);

    gpu_expect_ok(g, gpu_ctx_create(g, 1, "t"));
    gpu_expect_ok(g, virgl_create_target(g, 1, 64, 64));
    gpu_expect_ok(g, gpu_attach(g, 1, addr, 64 * 64 * 4));
    gpu_expect_ok(g, gpu_ctx_attach(g, 1, 1));
}

static void both_ways(Gpu *g, struct virtio_gpu_transfer_host_3d req, uint32_t want)
{
    req.hdr.type = TO_HOST;
    gpu_expect(g, GPU_DO(g, req), want);
    req.hdr.type = FROM_HOST;
    gpu_expect(g, GPU_DO(g, req), want);
}

static const struct virtio_gpu_transfer_host_3d whole = {
    .hdr.ctx_id = 1,
    .resource_id = 1,
    .box = { .w = 64, .h = 64, .d = 1 },
};

#define TRANSFER_BAD(g, ...)                                                                                 \
    do {                                                                                                     \
        struct virtio_gpu_transfer_host_3d t_ = whole;                                                       \
        __VA_ARGS__;                                                                                         \
        both_ways((g), t_, GPU_ANY_ERROR);                                                                   \
    } while (0)

static void transfer_ids(Gpu *g)
{
    struct virtio_gpu_transfer_host_3d t = whole;

    picture(g);
    both_ways(g, whole, VIRTIO_GPU_RESP_OK_NODATA);
    t.resource_id = 2;
    both_ways(g, t, ERR_ID);
    t = whole;
    t.hdr.ctx_id = 9;
    both_ways(g, t, ERR_CTX);
}

static void transfer_box(Gpu *g)
{
    picture(g);
    TRANSFER_BAD(g, t_.box.x = 1);
    TRANSFER_BAD(g, t_.box.x = 64, t_.box.w = 1);
    TRANSFER_BAD(g, t_.box.x = MAX32);
    TRANSFER_BAD(g, t_.box.x = MAX32 - 62, t_.box.w = 64);
    TRANSFER_BAD(g, t_.box.y = 1);
    TRANSFER_BAD(g, t_.box.y = MAX32);
    TRANSFER_BAD(g, t_.box.z = 1);
    TRANSFER_BAD(g, t_.box.z = MAX32);
    TRANSFER_BAD(g, t_.box.w = 65);
    TRANSFER_BAD(g, t_.box.w = MAX32);
    TRANSFER_BAD(g, t_.box.h = 65);
    TRANSFER_BAD(g, t_.box.h = MAX32);
    TRANSFER_BAD(g, t_.box.d = 2);
    TRANSFER_BAD(g, t_.box.d = MAX32);
}

static void transfer_box_empty(Gpu *g)
{
    struct virtio_gpu_transfer_host_3d t = whole;

    picture(g);
    t.box.w = t.box.h = t.box.d = 0;
    both_ways(g, t, ERR_PARAM);
}

static void transfer_level(Gpu *g)
{
    picture(g);
    TRANSFER_BAD(g, t_.level = 1);
    TRANSFER_BAD(g, t_.level = 31);
    TRANSFER_BAD(g, t_.level = MAX32);
}

static void transfer_offset(Gpu *g)
{
    picture(g);
    TRANSFER_BAD(g, t_.offset = 4);
    TRANSFER_BAD(g, t_.offset = 64 * 64 * 4);
    TRANSFER_BAD(g, t_.offset = UINT64_MAX);
    TRANSFER_BAD(g, t_.offset = UINT64_MAX - 64 * 64 * 4 + 1);
}

static void transfer_strides(Gpu *g)
{
    picture(g);
    TRANSFER_BAD(g, t_.stride = 64 * 4 + 4);
    TRANSFER_BAD(g, t_.stride = MAX32);
    TRANSFER_BAD(g, t_.stride = 0x80000000);
    TRANSFER_BAD(g, t_.stride = 1); /* rows would overlap */
}

static void transfer_layer_stride(Gpu *g)
{
    struct virtio_gpu_transfer_host_3d t = whole;

    picture(g);
    t.layer_stride = MAX32;
    both_ways(g, t, ERR_PARAM);
}

static void transfer_without_backing(Gpu *g)
{
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "t"));
    gpu_expect_ok(g, virgl_create_target(g, 1, 64, 64));
    gpu_expect_ok(g, gpu_ctx_attach(g, 1, 1));
    both_ways(g, whole, GPU_ANY_ERROR);
}

/* --- SUBMIT_3D --- */

static void submit_context(Gpu *g)
{
    uint32_t nop = 0;

    gpu_expect(g, gpu_submit(g, 0, &nop, 1), ERR_CTX);
    gpu_expect(g, gpu_submit(g, 5, &nop, 1), ERR_CTX);
    gpu_expect(g, gpu_submit(g, MAX32, &nop, 1), ERR_CTX);
}

static void submit_sized(Gpu *g, uint32_t says, uint32_t sends, uint32_t want)
{
    struct virtio_gpu_cmd_submit req = {
        .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1 },
        .size = says,
    };
    GpuDesc extra = { .addr = vm_alloc(g->vm, 65536), .len = sends };

    gpu_expect(g, gpu_call(g, GPU_CTRL, &req, sizeof(req), &extra, sends ? 1 : 0, NULL, 24), want);
}

static void submit_size(Gpu *g)
{
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "s"));
    submit_sized(g, 8, 4, GPU_ANY_ERROR);
    submit_sized(g, 4, 0, GPU_ANY_ERROR);
    submit_sized(g, MAX32, 4096, GPU_ANY_ERROR);
    submit_sized(g, 0xfffffffc, 4096, GPU_ANY_ERROR);
    submit_sized(g, 0x80000000, 4096, GPU_ANY_ERROR);
    submit_sized(g, 3, 3, ERR_PARAM);
    submit_sized(g, 4, 4096, ERR_PARAM);
}

static void submit_stream(Gpu *g)
{
    static const uint32_t bad[][4] = {
        { 0x000000ff }, /* unknown command */
        { 0x00ff0000 }, /* longer than the stream */
        { 0xffff0001, 1, 2, 3 },
        { 0x00000001 },                     /* an object without a handle */
        { 0x00020001 | 200 << 8, 1, 2, 0 }, /* an unknown object type */
        { 0x00030005, 200, 0, 1 },          /* more colour buffers than there can be */
        { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("stream %u", i);
        gpu_expect_ok(g, gpu_ctx_create(g, 1 + i, "s"));
        gpu_expect(g, gpu_submit(g, 1 + i, bad[i], 4), GPU_ANY_ERROR);
        gpu_expect_ok(g, gpu_ctx_destroy(g, 1 + i));
    }
}

const GpuCase cases_3d_invalid[] = {
    { "3d-invalid/without-virgl", without_virgl },
    { "3d-invalid/context-id-0", context_id_0, CASE_VIRGL },
    { "3d-invalid/context-id-twice", context_id_twice, CASE_VIRGL },
    { "3d-invalid/context-id-huge", context_id_huge, CASE_VIRGL },
    { "3d-invalid/context-name-too-long", context_name_too_long, CASE_VIRGL },
    { "3d-invalid/context-init-unknown-capset", context_init_unknown_capset, CASE_VIRGL },
    { "3d-invalid/context-destroy-unknown", context_destroy_unknown, CASE_VIRGL },
    { "3d-invalid/context-destroy-twice", context_destroy_twice, CASE_VIRGL },
    { "3d-invalid/context-attach-unknown", context_attach_unknown, CASE_VIRGL },
    { "3d-invalid/context-attach-twice", context_attach_twice, CASE_VIRGL },
    { "3d-invalid/create-id", create_id, CASE_VIRGL },
    { "3d-invalid/create-target", create_target, CASE_VIRGL },
    { "3d-invalid/create-format", create_format, CASE_VIRGL },
    { "3d-invalid/create-width", create_width, CASE_VIRGL },
    { "3d-invalid/create-height", create_height, CASE_VIRGL },
    { "3d-invalid/create-depth", create_depth, CASE_VIRGL },
    { "3d-invalid/create-array-size", create_array_size, CASE_VIRGL },
    { "3d-invalid/create-last-level", create_last_level, CASE_VIRGL },
    { "3d-invalid/create-samples", create_samples, CASE_VIRGL },
    { "3d-invalid/create-buffer-shape", create_buffer_shape, CASE_VIRGL },
    { "3d-invalid/create-bind", create_bind, CASE_VIRGL },
    { "3d-invalid/create-flags", create_flags, CASE_VIRGL },
    { "3d-invalid/create-past-any-memory", create_past_any_memory, CASE_VIRGL },
    { "3d-invalid/transfer-ids", transfer_ids, CASE_VIRGL },
    { "3d-invalid/transfer-box", transfer_box, CASE_VIRGL },
    { "3d-invalid/transfer-box-empty", transfer_box_empty, CASE_VIRGL },
    { "3d-invalid/transfer-level", transfer_level, CASE_VIRGL },
    { "3d-invalid/transfer-offset", transfer_offset, CASE_VIRGL },
    { "3d-invalid/transfer-strides", transfer_strides, CASE_VIRGL },
    { "3d-invalid/transfer-layer-stride", transfer_layer_stride, CASE_VIRGL },
    { "3d-invalid/transfer-without-backing", transfer_without_backing, CASE_VIRGL },
    { "3d-invalid/submit-context", submit_context, CASE_VIRGL },
    { "3d-invalid/submit-size", submit_size, CASE_VIRGL },
    { "3d-invalid/submit-stream", submit_stream, CASE_VIRGL },
    { NULL }
};
