/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 2D commands: every field out of range, ids unknown or twice. */
#include "qemu/osdep.h"
#include "vgpu-cases.h"

#define XRGB      VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define ERR_ID    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define ERR_PARAM VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define ERR_SCAN  VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID
#define MAX32     UINT32_MAX

/* --- RESOURCE_CREATE_2D --- */

static void create_id_0(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 0, XRGB, 8, 8), ERR_ID);
}

static void create_id_twice(Gpu *g)
{
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 8, 8));
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 8, 8), ERR_ID);
    gpu_expect_ok(g, gpu_unref(g, 1));
}

static void create_format_0(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 1, 0, 8, 8), ERR_PARAM);
}

static void create_format_unknown(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 1, 5000, 8, 8), ERR_PARAM);
    gpu_expect(g, gpu_create_2d(g, 1, MAX32, 8, 8), ERR_PARAM);
}

static void create_width_0(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 0, 8), ERR_PARAM);
}

static void create_height_0(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 8, 0), ERR_PARAM);
}

static void create_width_huge(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, MAX32, 1), GPU_ANY_ERROR);
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 0x80000000, 1), GPU_ANY_ERROR);
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 0x40000001, 4), GPU_ANY_ERROR);
}

static void create_height_huge(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 1, MAX32), GPU_ANY_ERROR);
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 1, 0x80000000), GPU_ANY_ERROR);
}

static void create_both_huge(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, MAX32, MAX32), GPU_ANY_ERROR);
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 65536, 65536), GPU_ANY_ERROR);
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, 32768, 32769), GPU_ANY_ERROR);
}

static void a_refused_create_leaves_no_id(Gpu *g)
{
    gpu_expect(g, gpu_create_2d(g, 1, XRGB, MAX32, MAX32), GPU_ANY_ERROR);
    gpu_expect(g, gpu_unref(g, 1), ERR_ID);
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 8, 8));
}

/* --- RESOURCE_UNREF --- */

static void unref_unknown(Gpu *g)
{
    gpu_expect(g, gpu_unref(g, 0), ERR_ID);
    gpu_expect(g, gpu_unref(g, 1), ERR_ID);
    gpu_expect(g, gpu_unref(g, MAX32), ERR_ID);
}

static void unref_twice(Gpu *g)
{
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 8, 8));
    gpu_expect_ok(g, gpu_unref(g, 1));
    gpu_expect(g, gpu_unref(g, 1), ERR_ID);
}

/* --- RESOURCE_ATTACH_BACKING --- */

static void attach_id_unknown(Gpu *g)
{
    uint64_t addr = vm_alloc(g->vm, 4096);

    gpu_expect(g, gpu_attach(g, 0, addr, 4096), ERR_ID);
    gpu_expect(g, gpu_attach(g, 9, addr, 4096), ERR_ID);
}

static void attach_twice(Gpu *g)
{
    uint64_t addr = gpu_picture(g, 1, 32, 32);

    gpu_expect(g, gpu_attach(g, 1, addr, 4096), GPU_ANY_ERROR);
    /* the first backing is the one that counts */
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 0, 0, 32, 32, 0));
    gpu_expect_ok(g, gpu_detach(g, 1));
}

static void attach_no_entries(Gpu *g)
{
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
    gpu_expect_ours(g, gpu_attach_entries(g, 1, 0, NULL, 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 32, 32, 0), GPU_ANY_ERROR);
}

static void attach_more_entries_than_sent(Gpu *g)
{
    struct virtio_gpu_mem_entry entry = { .addr = vm_alloc(g->vm, 4096), .length = 4096 };

    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
    gpu_expect(g, gpu_attach_entries(g, 1, 2, &entry, 1), GPU_ANY_ERROR);
    gpu_expect(g, gpu_attach_entries(g, 1, 1, NULL, 0), GPU_ANY_ERROR);
    gpu_expect(g, gpu_attach_entries(g, 1, 16384, &entry, 1), GPU_ANY_ERROR);
    gpu_expect(g, gpu_attach_entries(g, 1, 16385, &entry, 1), GPU_ANY_ERROR);
    gpu_expect(g, gpu_attach_entries(g, 1, 0x10000001, &entry, 1), GPU_ANY_ERROR);
    gpu_expect(g, gpu_attach_entries(g, 1, MAX32, &entry, 1), GPU_ANY_ERROR);
    /* none of them stuck */
    gpu_expect_ok(g, gpu_attach_entries(g, 1, 1, &entry, 1));
}

static void attach_fewer_entries_than_sent(Gpu *g)
{
    uint64_t addr = vm_alloc(g->vm, 8192);
    struct virtio_gpu_mem_entry entries[2] = {
        { .addr = addr, .length = 4096 },
        { .addr = addr + 4096, .length = 4096 },
    };

    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
    gpu_expect_ours(g, gpu_attach_entries(g, 1, 1, entries, 2), ERR_PARAM);
}

static void attach_outside_ram(Gpu *g)
{
    static const struct virtio_gpu_mem_entry bad[] = {
        { .addr = GPU_RAM, .length = 4096 },        /* right behind RAM */
        { .addr = GPU_RAM - 2048, .length = 4096 }, /* across its end */
        { .addr = 1ull << 40, .length = 4096 },       { .addr = UINT64_MAX - 4095, .length = 4096 },
        { .addr = UINT64_MAX - 100, .length = 4096 }, /* wraps */
        { .addr = 1 << 20, .length = UINT32_MAX },    /* longer than RAM */
        { .addr = 0xe0000000, .length = 4096 },       /* device memory */
    };
    unsigned i;

    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("entry %u", i);
        gpu_expect(g, gpu_attach_entries(g, 1, 1, &bad[i], 1), GPU_ANY_ERROR);
    }
    gpu_picture(g, 2, 32, 32);
}

static void attach_second_entry_outside_ram(Gpu *g)
{
    struct virtio_gpu_mem_entry entries[2] = {
        { .addr = vm_alloc(g->vm, 4096), .length = 2048 },
        { .addr = 1ull << 40, .length = 2048 },
    };

    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
    gpu_expect(g, gpu_attach_entries(g, 1, 2, entries, 2), GPU_ANY_ERROR);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 32, 32, 0), GPU_ANY_ERROR);
}

static void attach_zero_length_entry(Gpu *g)
{
    uint64_t addr = vm_alloc(g->vm, 4096);
    struct virtio_gpu_mem_entry entries[3] = {
        { .addr = addr, .length = 2048 },
        { .addr = addr, .length = 0 },
        { .addr = addr + 2048, .length = 2048 },
    };

    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
    gpu_expect_ours(g, gpu_attach_entries(g, 1, 3, entries, 3), VIRTIO_GPU_RESP_OK_NODATA);
}

/* More pages than RAM has by naming one again and again: bounded, not fatal. */
static void attach_the_same_page_often(Gpu *g)
{
    g_autofree struct virtio_gpu_mem_entry *entries = g_new0(struct virtio_gpu_mem_entry, 16384);
    uint64_t addr = vm_alloc(g->vm, 4096);
    unsigned i;

    for (i = 0; i < 16384; i++) {
        entries[i] = (struct virtio_gpu_mem_entry){ .addr = addr, .length = 4096 };
    }
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
    gpu_expect_ours(g, gpu_attach_entries(g, 1, 16384, entries, 16384), VIRTIO_GPU_RESP_OK_NODATA);
    gpu_expect_ok(g, gpu_unref(g, 1));
}

/* --- RESOURCE_DETACH_BACKING --- */

static void detach_id_unknown(Gpu *g)
{
    gpu_expect(g, gpu_detach(g, 0), ERR_ID);
    gpu_expect(g, gpu_detach(g, 77), ERR_ID);
}

static void detach_without_backing(Gpu *g)
{
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 8, 8));
    gpu_expect(g, gpu_detach(g, 1), GPU_ANY_ERROR);
}

static void detach_twice(Gpu *g)
{
    gpu_picture(g, 1, 8, 8);
    gpu_expect_ok(g, gpu_detach(g, 1));
    gpu_expect(g, gpu_detach(g, 1), GPU_ANY_ERROR);
}

/* --- TRANSFER_TO_HOST_2D --- */

static void transfer_id_unknown(Gpu *g)
{
    gpu_expect(g, gpu_transfer_2d(g, 0, 0, 0, 8, 8, 0), ERR_ID);
    gpu_expect(g, gpu_transfer_2d(g, 5, 0, 0, 8, 8, 0), ERR_ID);
}

static void transfer_without_backing(Gpu *g)
{
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 32, 32));
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 32, 32, 0), GPU_ANY_ERROR);
}

static void transfer_x_out(Gpu *g)
{
    gpu_picture(g, 1, 32, 32);
    gpu_expect(g, gpu_transfer_2d(g, 1, 33, 0, 1, 1, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 32, 0, 1, 1, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, MAX32, 0, 1, 1, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 1, 0, 32, 1, 0), ERR_PARAM);
}

static void transfer_y_out(Gpu *g)
{
    gpu_picture(g, 1, 32, 32);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 33, 1, 1, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 32, 1, 1, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, MAX32, 1, 1, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 1, 1, 32, 0), ERR_PARAM);
}

static void transfer_width_out(Gpu *g)
{
    gpu_picture(g, 1, 32, 32);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 33, 1, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 1, 0, MAX32, 1, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 16, 0, 0xfffffff8, 1, 0), ERR_PARAM);
}

static void transfer_height_out(Gpu *g)
{
    gpu_picture(g, 1, 32, 32);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 1, 33, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 1, 1, MAX32, 0), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 16, 1, 0xfffffff8, 0), ERR_PARAM);
}

static void transfer_size_0(Gpu *g)
{
    gpu_picture(g, 1, 32, 32);
    gpu_expect_ours(g, gpu_transfer_2d(g, 1, 0, 0, 0, 0, 0), ERR_PARAM);
    gpu_expect_ours(g, gpu_transfer_2d(g, 1, 32, 32, 0, 0, 0), ERR_PARAM);
}

/* An offset past the backing has no bytes to give. */
static void transfer_offset_out(Gpu *g)
{
    gpu_picture(g, 1, 32, 32);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 32, 32, 4096), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 32, 32, 4), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 1, 1, UINT64_MAX), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 1, 1, UINT64_MAX - 3), ERR_PARAM);
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 32, 2, UINT64_MAX - 127), ERR_PARAM);
}

static void transfer_backing_too_small(Gpu *g)
{
    uint64_t addr = vm_alloc(g->vm, 4096);

    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 64, 64));
    gpu_expect_ok(g, gpu_attach(g, 1, addr, 4096));
    gpu_expect(g, gpu_transfer_2d(g, 1, 0, 0, 64, 64, 0), ERR_PARAM);
    gpu_expect_ok(g, gpu_transfer_2d(g, 1, 0, 0, 64, 16, 0));
}

/* --- SET_SCANOUT --- */

static void scanout_id_out(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, gpu_set_scanout(g, 1, 1, 0, 0, 64, 64), ERR_SCAN);
    gpu_expect(g, gpu_set_scanout(g, 16, 1, 0, 0, 64, 64), ERR_SCAN);
    gpu_expect(g, gpu_set_scanout(g, MAX32, 1, 0, 0, 64, 64), ERR_SCAN);
    gpu_expect(g, gpu_set_scanout(g, MAX32, 0, 0, 0, 0, 0), ERR_SCAN);
}

static void scanout_resource_unknown(Gpu *g)
{
    gpu_expect(g, gpu_set_scanout(g, 0, 99, 0, 0, 64, 64), ERR_ID);
}

static void scanout_x_out(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 1, 0, 64, 64), ERR_PARAM);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 65, 0, 16, 16), ERR_PARAM);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, MAX32, 0, 16, 16), ERR_PARAM);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, MAX32 - 15, 0, 32, 32), ERR_PARAM);
}

static void scanout_y_out(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 1, 64, 64), ERR_PARAM);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 65, 16, 16), ERR_PARAM);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, MAX32, 16, 16), ERR_PARAM);
}

static void scanout_width_out(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 0, 65, 64), ERR_PARAM);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 0, MAX32, 64), ERR_PARAM);
}

static void scanout_height_out(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 65), ERR_PARAM);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, MAX32), ERR_PARAM);
}

static void scanout_size_0(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 0, 0, 64), ERR_PARAM);
    gpu_expect(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 0), ERR_PARAM);
}

static void scanout_never_transferred(Gpu *g)
{
    /* no backing, no pixels: black */
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 64, 64));
    gpu_expect_ours(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64), VIRTIO_GPU_RESP_OK_NODATA);
    gpu_expect_ours(g, gpu_flush(g, 1, 0, 0, 64, 64), VIRTIO_GPU_RESP_OK_NODATA);
}

/* --- RESOURCE_FLUSH --- */

static void flush_id_unknown(Gpu *g)
{
    gpu_expect(g, gpu_flush(g, 0, 0, 0, 8, 8), ERR_ID);
    gpu_expect(g, gpu_flush(g, 3, 0, 0, 8, 8), ERR_ID);
}

static void flush_rect_out(Gpu *g)
{
    gpu_picture(g, 1, 64, 64);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 64, 64));
    gpu_expect(g, gpu_flush(g, 1, 65, 0, 1, 1), ERR_PARAM);
    gpu_expect(g, gpu_flush(g, 1, 0, 65, 1, 1), ERR_PARAM);
    gpu_expect(g, gpu_flush(g, 1, 0, 0, 65, 1), ERR_PARAM);
    gpu_expect(g, gpu_flush(g, 1, 0, 0, 1, 65), ERR_PARAM);
    gpu_expect(g, gpu_flush(g, 1, MAX32, MAX32, MAX32, MAX32), ERR_PARAM);
    gpu_expect(g, gpu_flush(g, 1, 1, 1, MAX32, MAX32), ERR_PARAM);
    gpu_expect(g, gpu_flush(g, 1, 32, 0, 0xffffffe0, 1), ERR_PARAM);
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
}

static void uuid_of_unknown(Gpu *g)
{
    struct virtio_gpu_resource_assign_uuid req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
        .resource_id = 12,
    };
    struct virtio_gpu_resp_resource_uuid resp;

    gpu_expect(g, GPU_ASK(g, req, resp), GPU_ANY_ERROR);
    req.resource_id = 0;
    gpu_expect(g, GPU_ASK(g, req, resp), GPU_ANY_ERROR);
}

const GpuCase cases_2d_invalid[] = {
    { "2d-invalid/create-id-0", create_id_0 },
    { "2d-invalid/create-id-twice", create_id_twice },
    { "2d-invalid/create-format-0", create_format_0 },
    { "2d-invalid/create-format-unknown", create_format_unknown },
    { "2d-invalid/create-width-0", create_width_0 },
    { "2d-invalid/create-height-0", create_height_0 },
    { "2d-invalid/create-width-huge", create_width_huge },
    { "2d-invalid/create-height-huge", create_height_huge },
    { "2d-invalid/create-both-huge", create_both_huge },
    { "2d-invalid/a-refused-create-leaves-no-id", a_refused_create_leaves_no_id },
    { "2d-invalid/unref-unknown", unref_unknown },
    { "2d-invalid/unref-twice", unref_twice },
    { "2d-invalid/attach-id-unknown", attach_id_unknown },
    { "2d-invalid/attach-twice", attach_twice },
    { "2d-invalid/attach-no-entries", attach_no_entries },
    { "2d-invalid/attach-more-entries-than-sent", attach_more_entries_than_sent },
    { "2d-invalid/attach-fewer-entries-than-sent", attach_fewer_entries_than_sent },
    { "2d-invalid/attach-outside-ram", attach_outside_ram },
    { "2d-invalid/attach-second-entry-outside-ram", attach_second_entry_outside_ram },
    { "2d-invalid/attach-zero-length-entry", attach_zero_length_entry },
    { "2d-invalid/attach-the-same-page-often", attach_the_same_page_often },
    { "2d-invalid/detach-id-unknown", detach_id_unknown },
    { "2d-invalid/detach-without-backing", detach_without_backing },
    { "2d-invalid/detach-twice", detach_twice },
    { "2d-invalid/transfer-id-unknown", transfer_id_unknown },
    { "2d-invalid/transfer-without-backing", transfer_without_backing },
    { "2d-invalid/transfer-x-out", transfer_x_out },
    { "2d-invalid/transfer-y-out", transfer_y_out },
    { "2d-invalid/transfer-width-out", transfer_width_out },
    { "2d-invalid/transfer-height-out", transfer_height_out },
    { "2d-invalid/transfer-size-0", transfer_size_0 },
    { "2d-invalid/transfer-offset-out", transfer_offset_out },
    { "2d-invalid/transfer-backing-too-small", transfer_backing_too_small },
    { "2d-invalid/scanout-id-out", scanout_id_out },
    { "2d-invalid/scanout-resource-unknown", scanout_resource_unknown },
    { "2d-invalid/scanout-x-out", scanout_x_out },
    { "2d-invalid/scanout-y-out", scanout_y_out },
    { "2d-invalid/scanout-width-out", scanout_width_out },
    { "2d-invalid/scanout-height-out", scanout_height_out },
    { "2d-invalid/scanout-size-0", scanout_size_0 },
    { "2d-invalid/scanout-never-transferred", scanout_never_transferred },
    { "2d-invalid/flush-id-unknown", flush_id_unknown },
    { "2d-invalid/flush-rect-out", flush_rect_out },
    { "2d-invalid/uuid-of-unknown", uuid_of_unknown },
    { NULL }
};
