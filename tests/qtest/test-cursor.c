/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cursor queue.  Linux gives no room for a response there and QEMU's
 * device writes none, so an invalid cursor shows in two things only: the
 * buffer comes back, and the device goes on.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"

#define ARGB VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM

static struct virtio_gpu_update_cursor cursor(uint32_t type, uint32_t id, uint32_t scanout)
{
    return (struct virtio_gpu_update_cursor){
        .hdr.type = type,
        .resource_id = id,
        .pos.scanout_id = scanout,
        .pos.x = 10,
        .pos.y = 20,
        .hot_x = 3,
        .hot_y = 4,
    };
}

static void make_cursor(Gpu *g, uint32_t id, uint32_t width, uint32_t height)
{
    uint64_t addr = vm_alloc(g->vm, width * height * 4);

    gpu_expect_ok(g, gpu_create_2d(g, id, ARGB, width, height));
    gpu_expect_ok(g, gpu_attach(g, id, addr, width * height * 4));
    gpu_expect_ok(g, gpu_transfer_2d(g, id, 0, 0, width, height, 0));
}

static void update_and_move(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 1, 0);
    unsigned i;

    make_cursor(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_cursor(g, &c));
    c.hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR;
    for (i = 0; i < 100; i++) {
        c.pos.x = i * 10;
        gpu_expect_ok(g, gpu_cursor(g, &c));
    }
}

static void hide(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 1, 0);

    make_cursor(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_cursor(g, &c));
    c.resource_id = 0;
    gpu_expect_ok(g, gpu_cursor(g, &c));
    gpu_expect_ok(g, gpu_unref(g, 1));
}

static void unref_while_shown(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 1, 0);

    make_cursor(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_cursor(g, &c));
    gpu_expect_ok(g, gpu_unref(g, 1));
    c.hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR;
    gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_OK_NODATA);
}

static void resource_unknown(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 42, 0);

    gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static void resource_wrong_size(Gpu *g)
{
    static const uint32_t sizes[][2] = { { 1, 1 }, { 63, 64 }, { 64, 65 }, { 256, 256 }, { 1000, 2 } };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 1 + i, 0);

        make_cursor(g, 1 + i, sizes[i][0], sizes[i][1]);
        gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    }
}

static void scanout_out(Gpu *g)
{
    static const uint32_t scanouts[] = { 1, 15, 16, 0x7fffffff, UINT32_MAX };
    unsigned i;

    make_cursor(g, 1, 64, 64);
    for (i = 0; i < G_N_ELEMENTS(scanouts); i++) {
        struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 1, scanouts[i]);

        gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
        c.hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR;
        gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
    }
}

static void hot_spot_out(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 1, 0);

    make_cursor(g, 1, 64, 64);
    c.hot_x = 64;
    gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_OK_NODATA);
    c.hot_x = c.hot_y = UINT32_MAX;
    gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_OK_NODATA);
}

static void position_out(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_MOVE_CURSOR, 1, 0);

    make_cursor(g, 1, 64, 64);
    c.pos.x = c.pos.y = UINT32_MAX;
    gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_OK_NODATA);
    c.pos.x = c.pos.y = 0x80000000;
    gpu_expect_ours(g, gpu_cursor(g, &c), VIRTIO_GPU_RESP_OK_NODATA);
}

static void control_command_on_cursor_queue(Gpu *g)
{
    struct virtio_gpu_resource_create_2d c = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
        .resource_id = 5,
        .format = ARGB,
        .width = 64,
        .height = 64,
    };
    uint16_t head = gpu_send(g, GPU_CURSOR, &c, sizeof(c), NULL, 0, 24);
    uint32_t used;

    g_assert_true(gpu_wait(g, GPU_CURSOR, &used, NULL, GPU_TIMEOUT_MS));
    g_assert_cmpuint(used, ==, head);
    /* it must not have been executed */
    gpu_expect(g, gpu_unref(g, 5), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

/* Linux: one out-descriptor, no in-descriptor */
static void no_room_for_a_response(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 1, 0);
    GpuDesc desc = { .addr = vm_alloc(g->vm, 4096), .len = sizeof(c) };
    uint32_t used, len;
    unsigned i;

    make_cursor(g, 1, 64, 64);
    qtest_bufwrite(g->vm->qts, desc.addr, &c, sizeof(c));
    gpu_write_desc(g, GPU_CURSOR, 0, &desc);
    for (i = 0; i < 40; i++) {
        gpu_post_head(g, GPU_CURSOR, 0);
        g_assert_true(gpu_wait(g, GPU_CURSOR, &used, &len, GPU_TIMEOUT_MS));
        g_assert_cmpuint(used, ==, 0);
        g_assert_cmpuint(len, ==, 0);
    }
}

static void short_command(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_UPDATE_CURSOR, 1, 0);
    uint32_t used;
    size_t size;

    for (size = 1; size < sizeof(c); size += 5) {
        gpu_send(g, GPU_CURSOR, &c, size, NULL, 0, 24);
        g_assert_true(gpu_wait(g, GPU_CURSOR, &used, NULL, GPU_TIMEOUT_MS));
    }
}

/* The control queue goes on while the cursor queue is flooded. */
static void flood(Gpu *g)
{
    struct virtio_gpu_update_cursor c = cursor(VIRTIO_GPU_CMD_MOVE_CURSOR, 1, 0);
    unsigned round, i, slots = g->q[GPU_CURSOR].vq->size / 2;

    make_cursor(g, 1, 64, 64);
    for (round = 0; round < 50; round++) {
        for (i = 0; i < slots; i++) {
            c.pos.x = i + round;
            gpu_send(g, GPU_CURSOR, &c, sizeof(c), NULL, 0, 24);
        }
        gpu_assert_alive(g);
        for (i = 0; i < slots; i++) {
            g_assert_true(gpu_wait(g, GPU_CURSOR, NULL, NULL, GPU_TIMEOUT_MS));
        }
    }
}

const GpuCase cases_cursor[] = { { "cursor/update-and-move", update_and_move },
                                 { "cursor/hide", hide },
                                 { "cursor/unref-while-shown", unref_while_shown },
                                 { "cursor/resource-unknown", resource_unknown },
                                 { "cursor/resource-wrong-size", resource_wrong_size },
                                 { "cursor/scanout-out", scanout_out },
                                 { "cursor/hot-spot-out", hot_spot_out },
                                 { "cursor/position-out", position_out },
                                 { "cursor/control-command-on-cursor-queue",
                                   control_command_on_cursor_queue },
                                 { "cursor/no-room-for-a-response", no_room_for_a_response },
                                 { "cursor/short-command", short_command },
                                 { "cursor/flood", flood },
                                 { NULL } };
