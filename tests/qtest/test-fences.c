/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fences: the response repeats fence id, context and ring, and they come in order. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"

static struct virtio_gpu_ctrl_hdr response(Gpu *g, uint16_t head)
{
    struct virtio_gpu_ctrl_hdr hdr;

    qtest_bufread(g->vm->qts, gpu_response(g, GPU_CTRL, head), &hdr, sizeof(hdr));
    return hdr;
}

static void assert_fenced(Gpu *g, struct virtio_gpu_ctrl_hdr req)
{
    uint16_t head;
    struct virtio_gpu_ctrl_hdr resp;

    req.flags |= VIRTIO_GPU_FLAG_FENCE;
    req.fence_id = 0x123456789abcdef0 + req.type;
    head = gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 512);
    g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
    resp = response(g, head);
    g_assert_cmphex(resp.flags & VIRTIO_GPU_FLAG_FENCE, ==, VIRTIO_GPU_FLAG_FENCE);
    g_assert_cmphex(resp.fence_id, ==, req.fence_id);
    g_assert_cmpuint(resp.ctx_id, ==, req.ctx_id);
}

static void response_repeats_fence(Gpu *g)
{
    assert_fenced(g, (struct virtio_gpu_ctrl_hdr){ .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO });
}

/* A refused command signals its fence as well, or the guest waits for ever. */
static void error_repeats_fence(Gpu *g)
{
    assert_fenced(g, (struct virtio_gpu_ctrl_hdr){ .type = 0x4321 });
    assert_fenced(g, (struct virtio_gpu_ctrl_hdr){ .type = VIRTIO_GPU_CMD_RESOURCE_UNREF });
    assert_fenced(g, (struct virtio_gpu_ctrl_hdr){
                         .type = VIRTIO_GPU_CMD_SUBMIT_3D,
                         .ctx_id = 77,
                     });
}

static void no_fence_no_flag(Gpu *g)
{
    struct virtio_gpu_ctrl_hdr req = {
        .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
        .fence_id = 99,
    };
    uint16_t head = gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 512);

    g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
    g_assert_cmphex(response(g, head).flags & VIRTIO_GPU_FLAG_FENCE, ==, 0);
}

static void zero_and_largest_id(Gpu *g)
{
    static const uint64_t ids[] = { 0, 1, UINT64_MAX, 1ull << 63 };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(ids); i++) {
        struct virtio_gpu_ctrl_hdr req = {
            .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
            .flags = VIRTIO_GPU_FLAG_FENCE,
            .fence_id = ids[i],
        };
        uint16_t head = gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 512);

        g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
        g_assert_cmphex(response(g, head).fence_id, ==, ids[i]);
    }
}

/* Fenced commands of one timeline, posted at once, come back in that order. */
static void in_order(Gpu *g, uint32_t ctx)
{
    unsigned slots = g->q[GPU_CTRL].vq->size / 2, round, i;
    struct virtio_gpu_resource_flush req = {
        .hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_FLUSH, .flags = VIRTIO_GPU_FLAG_FENCE, .ctx_id = ctx },
        .r = { 0, 0, 64, 64 },
        .resource_id = 1,
    };

    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64));
    g->q[GPU_CTRL].next_slot = 0;
    for (round = 0; round < 5; round++) {
        uint64_t first = g->fence + 1;

        for (i = 0; i < slots; i++) {
            req.hdr.fence_id = ++g->fence;
            gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 24);
        }
        for (i = 0; i < slots; i++) {
            uint32_t head;

            g_assert_true(gpu_wait(g, GPU_CTRL, &head, NULL, GPU_TIMEOUT_MS));
            g_assert_cmphex(response(g, head).type, ==, VIRTIO_GPU_RESP_OK_NODATA);
            g_assert_cmpuint(response(g, head).fence_id, ==, first + i);
        }
    }
}

static void in_order_2d(Gpu *g)
{
    in_order(g, 0);
}

/* Fences of the global timeline and of a context do not block one another. */
static void submits_in_order(Gpu *g)
{
    uint32_t nop[4] = { 0, 0, 0, 0 }; /* VIRGL_CCMD_NOP, no payload */
    unsigned i, n = 20;
    GpuDesc extra = { .addr = vm_alloc(g->vm, 4096), .len = sizeof(nop) };

    qtest_bufwrite(g->vm->qts, extra.addr, nop, sizeof(nop));
    gpu_expect_ok(g, gpu_ctx_create(g, 1, "one"));
    gpu_expect_ok(g, gpu_ctx_create(g, 2, "two"));
    g->q[GPU_CTRL].next_slot = 0;
    for (i = 0; i < n; i++) {
        struct virtio_gpu_cmd_submit req = {
            .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D,
                     .flags = VIRTIO_GPU_FLAG_FENCE,
                     .fence_id = 1000 + i,
                     .ctx_id = 1 + i % 2 },
            .size = sizeof(nop),
        };

        gpu_send(g, GPU_CTRL, &req, sizeof(req), &extra, 1, 24);
    }
    /* stock Linux has one fence context: ids must complete in order over all */
    for (i = 0; i < n; i++) {
        uint32_t head;
        struct virtio_gpu_ctrl_hdr resp;

        g_assert_true(gpu_wait(g, GPU_CTRL, &head, NULL, GPU_TIMEOUT_MS));
        resp = response(g, head);
        g_assert_cmphex(resp.type, ==, VIRTIO_GPU_RESP_OK_NODATA);
        g_assert_cmpuint(resp.fence_id, ==, 1000 + i);
        g_assert_cmpuint(resp.ctx_id, ==, 1 + i % 2);
    }
}

/* A ring index of a context: repeated, and unknown ones refused or signalled. */
static void ring_index(Gpu *g)
{
    unsigned ring;

    if (!gpu_has(g, VIRTIO_GPU_F_CONTEXT_INIT)) {
        g_test_message("CONTEXT_INIT is not offered: a ring index means nothing");
    }
    for (ring = 0; ring < 256; ring += 51) {
        struct virtio_gpu_ctrl_hdr req = {
            .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
            .fence_id = 5 + ring,
            .flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX,
            .ring_idx = ring,
        };
        uint16_t head = gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 512);

        g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
        g_assert_cmpuint(response(g, head).fence_id, ==, 5 + ring);
    }
}

/* Fences that are pending when the guest resets must not be answered later. */
static void reset_with_fences_pending(Gpu *g)
{
    struct virtio_gpu_ctrl_hdr req = {
        .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
        .flags = VIRTIO_GPU_FLAG_FENCE,
    };
    unsigned round, i;

    for (round = 0; round < 10; round++) {
        for (i = 0; i < 20; i++) {
            req.fence_id = ++g->fence;
            gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 512);
        }
        gpu_init(g, UINT64_MAX);
        /* nothing in the new rings but what is asked for now */
        g_usleep(5000);
        g_assert_false(gpu_pop(g, GPU_CTRL, NULL, NULL));
        gpu_assert_alive(g);
    }
}

const GpuCase cases_fences[] = { { "fences/response-repeats-fence", response_repeats_fence },
                                 { "fences/error-repeats-fence", error_repeats_fence },
                                 { "fences/no-fence-no-flag", no_fence_no_flag },
                                 { "fences/zero-and-largest-id", zero_and_largest_id },
                                 { "fences/in-order", in_order_2d },
                                 { "fences/submits-in-order", submits_in_order, CASE_VIRGL },
                                 { "fences/ring-index", ring_index },
                                 { "fences/reset-with-fences-pending", reset_with_fences_pending },
                                 { NULL } };
