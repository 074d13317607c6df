/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 2D commands that must work. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"

#define XRGB VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

static void create_and_unref(Gpu *g)
{
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 64, 64));
    gpu_expect_ok(g, gpu_unref(g, 1));
    /* the id is free again */
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
}

static void every_format(Gpu *g)
{
    static const uint32_t formats[] = {
        VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM,
        VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM,
        VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM,
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(formats); i++) {
        uint64_t addr = vm_alloc(g->vm, 16 * 16 * 4);

        gpu_expect_ok(g, gpu_create_2d(g, 100 + i, formats[i], 16, 16));
        gpu_expect_ok(g, gpu_attach(g, 100 + i, addr, 16 * 16 * 4));
        gpu_expect_ok(g, gpu_transfer_2d(g, 100 + i, 0, 0, 16, 16, 0));
        gpu_expect_ok(g, gpu_unref(g, 100 + i));
    }
}

static void resource_ids_may_be_any_number(Gpu *g)
{
    gpu_expect_ok(g, gpu_create_2d(g, UINT32_MAX, XRGB, 8, 8));
    gpu_expect_ok(g, gpu_create_2d(g, 0x80000000, XRGB, 8, 8));
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 8, 8));
    gpu_expect_ok(g, gpu_unref(g, 0x80000000));
    gpu_expect_ok(g, gpu_unref(g, UINT32_MAX));
}

/* virtio 1.2 gives paddings no meaning: whatever is in them. */
static void padding_is_ignored(Gpu *g)
{
#define HDR(cmd) { .type = VIRTIO_GPU_CMD_##cmd, .ring_idx = 255, .padding = { 255, 255, 255 } }
    struct virtio_gpu_transfer_to_host_2d transfer = {
        .hdr = HDR(TRANSFER_TO_HOST_2D), .r = { 0, 0, 64, 64 }, .resource_id = 1, .padding = UINT32_MAX
    };
    struct virtio_gpu_resource_flush flush = {
        .hdr = HDR(RESOURCE_FLUSH), .r = { 0, 0, 64, 64 }, .resource_id = 1, .padding = UINT32_MAX
    };
    struct virtio_gpu_resource_detach_backing detach = { .hdr = HDR(RESOURCE_DETACH_BACKING),
                                                         .resource_id = 1,
                                                         .padding = UINT32_MAX };
    struct virtio_gpu_resource_unref unref = { .hdr = HDR(RESOURCE_UNREF),
                                               .resource_id = 1,
                                               .padding = UINT32_MAX };
    struct virtio_gpu_cmd_get_edid get_edid = { .hdr = HDR(GET_EDID), .scanout = 0, .padding = UINT32_MAX };
    struct virtio_gpu_update_cursor move = { .hdr = HDR(MOVE_CURSOR),
                                             .pos = { .x = 1, .y = 1, .padding = UINT32_MAX },
                                             .padding = UINT32_MAX };
    struct virtio_gpu_resp_edid edid;
#undef HDR

    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64));
    gpu_expect_ok(g, GPU_DO(g, transfer));
    gpu_expect_ok(g, GPU_DO(g, flush));
    gpu_expect_ok(g, GPU_DO(g, detach));
    gpu_expect_ok(g, GPU_DO(g, unref));
    gpu_expect(g, GPU_ASK(g, get_edid, edid), VIRTIO_GPU_RESP_OK_EDID);
    gpu_expect_ok(g, gpu_cursor(g, &move));
}

static void odd_sizes(Gpu *g)
{
    static const uint32_t sizes[][2] = {
        { 1, 1 }, { 1, 777 }, { 777, 1 }, { 3, 5 }, { 63, 65 }, { 1366, 768 },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint32_t w = sizes[i][0], h = sizes[i][1];

        gpu_picture(g, 1, w, h);
        gpu_expect_ok(g, gpu_transfer_2d(g, 1, w - 1, h - 1, 1, 1, (w * h - 1) * 4));
        /* QEMU refuses screens below 16 pixels; a device may */
        gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 0, w, h),
                   !g->ours && (w < 16 || h < 16) ? GPU_ANY_ANSWER : VIRTIO_GPU_RESP_OK_NODATA);
        gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, w, h));
        gpu_expect_ok(g, gpu_set_scanout(g, 0, 0, 0, 0, 0, 0));
        gpu_expect_ok(g, gpu_unref(g, 1));
    }
}

static void backing_in_many_pieces(Gpu *g)
{
    struct virtio_gpu_mem_entry entries[200];
    uint64_t addr = vm_alloc(g->vm, 200 * 4096);
    unsigned i;

    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 200, 64));
    /* backwards and of uneven lengths: 200 * 64 * 4 = 51200 = 200 * 256 */
    for (i = 0; i < 200; i++) {
        entries[i] = (struct virtio_gpu_mem_entry){
            .addr = addr + (199 - i) * 4096 + i,
            .length = i % 2 ? 255 : 257,
        };
    }
    gpu_expect_ok(g, gpu_attach_entries(g, 1, 200, entries, 200));
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 0, 0, 200, 64, 0));
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 10, 10, 100, 50, (10 * 200 + 10) * 4));
    gpu_expect_ok(g, gpu_detach(g, 1));
    gpu_expect_ok(g, gpu_attach_entries(g, 1, 200, entries, 200));
}

/* Linux frees the pages after UNREF alone, without a DETACH before it. */
static void unref_with_backing(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_unref(g, 1));
}

static void unref_of_a_scanouts_resource(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
    gpu_expect_ok(g, gpu_unref(g, 1));
    gpu_expect(g, gpu_flush(g, 1, 0, 0, 64, 64), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    gpu_picture(g, 1, 32, 32);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 32, 32));
}

/* What was transferred stays when the pages are taken away. */
static void detach_of_a_scanouts_backing(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64));
    gpu_expect_ok(g, gpu_detach(g, 1));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
}

static void flush_without_scanout(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
}

static void scanout_of_a_part(Gpu *g)
{
    gpu_picture(g, 1, 128, 128);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 32, 48, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 128, 128));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 8, 8)); /* outside the scanout */
}

static void scanout_change_of_mode(Gpu *g)
{
    unsigned i;

    for (i = 1; i <= 12; i++) {
        gpu_picture(g, i, 64 * i, 48 * i);
        gpu_expect_ok(g, gpu_set_scanout(g, 0, i, 0, 0, 64 * i, 48 * i));
        gpu_expect_ok(g, gpu_flush(g, i, 0, 0, 64 * i, 48 * i));
        if (i > 1) {
            gpu_expect_ok(g, gpu_unref(g, i - 1));
        }
    }
}

static void sixteen_scanouts(Gpu *g)
{
    unsigned i;

    for (i = 0; i < 16; i++) {
        gpu_picture(g, 50 + i, 32 + i, 32);
        gpu_expect_ok(g, gpu_set_scanout(g, i, 50 + i, 0, 0, 32 + i, 32));
        gpu_expect_ok(g, gpu_flush(g, 50 + i, 0, 0, 32 + i, 32));
    }
    gpu_expect(g, gpu_set_scanout(g, 16, 50, 0, 0, 32, 32), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
}

static void one_resource_on_all_scanouts(Gpu *g)
{
    unsigned i;

    gpu_picture(g, 5, 256, 64);
    for (i = 0; i < 4; i++) {
        gpu_expect_ok(g, gpu_set_scanout(g, i, 5, 64 * i, 0, 64, 64));
    }
    gpu_expect_ok(g, gpu_flush(g, 5, 0, 0, 256, 64));
    gpu_expect_ok(g, gpu_unref(g, 5));
}

static void disable_an_idle_scanout(Gpu *g)
{
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 0, 0, 0, 0, 0));
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 0, 0, 0, 0, 0));
}

static void many_resources(Gpu *g)
{
    unsigned i;

    for (i = 1; i <= 500; i++) {
        gpu_expect_ok(g, gpu_create_2d(g, i, XRGB, 16, 16));
    }
    for (i = 1; i <= 500; i++) {
        gpu_expect_ok(g, gpu_unref(g, i));
    }
}

static void assign_uuid(Gpu *g)
{
    struct virtio_gpu_resource_assign_uuid req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
        .resource_id = 1,
    };
    struct virtio_gpu_resp_resource_uuid one, again, other;

    if (!gpu_has(g, VIRTIO_GPU_F_RESOURCE_UUID)) {
        gpu_expect(g, GPU_ASK(g, req, one), GPU_ANY_ERROR);
        return;
    }
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 8, 8));
    gpu_expect_ok(g, gpu_create_2d(g, 2, XRGB, 8, 8));
    gpu_expect(g, GPU_ASK(g, req, one), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    gpu_expect(g, GPU_ASK(g, req, again), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    req.resource_id = 2;
    gpu_expect(g, GPU_ASK(g, req, other), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    g_assert_cmpmem(one.uuid, 16, again.uuid, 16);
    g_assert_true(memcmp(one.uuid, other.uuid, 16));
    req.resource_id = 3;
    gpu_expect(g, GPU_ASK(g, req, other), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

const GpuCase cases_2d[] = { { "2d/create-and-unref", create_and_unref },
                             { "2d/every-format", every_format },
                             { "2d/resource-ids-may-be-any-number", resource_ids_may_be_any_number },
                             { "2d/padding-is-ignored", padding_is_ignored },
                             { "2d/odd-sizes", odd_sizes },
                             { "2d/backing-in-many-pieces", backing_in_many_pieces },
                             { "2d/unref-with-backing", unref_with_backing },
                             { "2d/unref-of-a-scanouts-resource", unref_of_a_scanouts_resource },
                             { "2d/detach-of-a-scanouts-backing", detach_of_a_scanouts_backing },
                             { "2d/flush-without-scanout", flush_without_scanout },
                             { "2d/scanout-of-a-part", scanout_of_a_part },
                             { "2d/scanout-change-of-mode", scanout_change_of_mode },
                             { "2d/sixteen-scanouts", sixteen_scanouts, 0, "max_outputs=16" },
                             { "2d/one-resource-on-all-scanouts", one_resource_on_all_scanouts, 0,
                               "max_outputs=4" },
                             { "2d/disable-an-idle-scanout", disable_an_idle_scanout },
                             { "2d/many-resources", many_resources },
                             { "2d/assign-uuid", assign_uuid },
                             { NULL } };
