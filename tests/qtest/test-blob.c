/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blob resources: what is answered where RESOURCE_BLOB was not negotiated, and
 * those of guest memory.  Blobs of host memory are in test-window.c.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-qmp.h"
#include "vgpu-window.h"

/* Whatever its fields say, a command of a feature that was not taken is an error. */
static void forgo(Gpu *g)
{
    gpu_init(g, ~(1ull << VIRTIO_GPU_F_RESOURCE_BLOB));
}

static void unnegotiated_create(Gpu *g)
{
    static const uint32_t mems[] = { 0, 1, 2, 3, 4, UINT32_MAX };
    struct virtio_gpu_mem_entry entry = { .addr = vm_alloc(g->vm, PAGE), .length = PAGE };
    struct virtio_gpu_resource_create_blob req = { .resource_id = 1, .size = PAGE };
    unsigned i;

    forgo(g);
    for (i = 0; i < G_N_ELEMENTS(mems); i++) {
        req.blob_mem = mems[i];
        gpu_expect(g, blob_create(g, &req, NULL, 0), GPU_ANY_ERROR);
    }
    req.blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST;
    req.nr_entries = 1;
    gpu_expect(g, blob_create(g, &req, &entry, 1), GPU_ANY_ERROR);
    req.nr_entries = UINT32_MAX;
    gpu_expect(g, blob_create(g, &req, &entry, 1), GPU_ANY_ERROR);
    req.size = UINT64_MAX;
    gpu_expect(g, blob_create(g, &req, &entry, 1), GPU_ANY_ERROR);
    gpu_expect(g, gpu_unref(g, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static void unnegotiated_scanout(Gpu *g)
{
    forgo(g);
    gpu_expect(g, blob_show(g, 1, 64, 64), GPU_ANY_ERROR);
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, blob_show(g, 1, 64, 64), GPU_ANY_ERROR);
    gpu_expect(g, blob_show(g, 1, UINT32_MAX, UINT32_MAX), GPU_ANY_ERROR);
}

static void unnegotiated_map(Gpu *g)
{
    forgo(g);
    gpu_expect(g, blob_map(g, 1, 0), GPU_ANY_ERROR);
    gpu_expect(g, blob_unmap(g, 1), GPU_ANY_ERROR);
    gpu_picture(g, 1, 64, 64);
    gpu_expect(g, blob_map(g, 1, 0), GPU_ANY_ERROR);
    gpu_expect(g, blob_map(g, 1, UINT64_MAX), GPU_ANY_ERROR);
    gpu_expect(g, blob_unmap(g, 1), GPU_ANY_ERROR);
}

static void offered_with_a_window(Gpu *g)
{
    g_assert_true(gpu_has(g, VIRTIO_GPU_F_RESOURCE_BLOB));
    g_assert_cmpuint(window_capability(g), >, 0);
}

static void guest_fields(Gpu *g)
{
    struct virtio_gpu_mem_entry entry = { .addr = vm_alloc(g->vm, PAGE), .length = PAGE };
    const struct virtio_gpu_resource_create_blob good = {
        .resource_id = 1, .blob_mem = 1, .size = PAGE, .nr_entries = 1
    };
    uint64_t before = qmp_memory(g, "memory-used");
    const struct {
        struct virtio_gpu_resource_create_blob req;
        uint32_t want;
    } bad[] = {
        { { .resource_id = 0, .blob_mem = 1, .size = PAGE, .nr_entries = 1 },
          VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID },
        { { .resource_id = 1, .blob_mem = 0, .size = PAGE, .nr_entries = 1 }, GPU_ANY_ERROR },
        { { .resource_id = 1, .blob_mem = 4, .size = PAGE, .nr_entries = 1 }, GPU_ANY_ERROR },
        { { .resource_id = 1, .blob_mem = 1, .size = 0, .nr_entries = 1 }, GPU_ANY_ERROR },
        { { .resource_id = 1, .blob_mem = 1, .size = PAGE + 1, .nr_entries = 1 }, GPU_ANY_ERROR },
        { { .resource_id = 1, .blob_mem = 1, .size = UINT64_MAX, .nr_entries = 1 }, GPU_ANY_ERROR },
        { { .resource_id = 1, .blob_mem = 1, .size = PAGE, .nr_entries = 2 }, GPU_ANY_ERROR },
        { { .resource_id = 1, .blob_mem = 1, .size = PAGE, .nr_entries = UINT32_MAX }, GPU_ANY_ERROR },
        { { .resource_id = 1, .blob_mem = 1, .blob_flags = 8, .size = PAGE, .nr_entries = 1 },
          GPU_ANY_ERROR },
        { { .hdr.ctx_id = 7, .resource_id = 1, .blob_mem = 1, .size = PAGE, .nr_entries = 1 },
          GPU_ANY_ERROR },
    };
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(bad); i++) {
        gpu_expect(g, blob_create(g, &bad[i].req, &entry, 1), bad[i].want);
        gpu_expect(g, gpu_unref(g, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    }
    /* a command that is too short for its entries, and a page that is none */
    gpu_expect(g, blob_create(g, &good, NULL, 0), GPU_ANY_ERROR);
    entry.addr = 1ull << 40;
    gpu_expect(g, blob_create(g, &good, &entry, 1), GPU_ANY_ERROR);
    g_assert_cmpuint(qmp_memory(g, "memory-used"), ==, before);
}

static void guest_is_not_mapped(Gpu *g)
{
    gpu_expect_ok(g, blob_guest(g, 1, vm_alloc(g->vm, PAGE), PAGE));
    gpu_expect(g, blob_map(g, 1, 0), GPU_ANY_ERROR);
    gpu_expect(g, blob_unmap(g, 1), GPU_ANY_ERROR);
    gpu_expect_ok(g, gpu_unref(g, 1));
}

/* What the guest drew into its own memory is what a display shows. */
static void scanout_of_guest_memory(Gpu *g)
{
    uint64_t addr = vm_alloc(g->vm, 64 * 64 * 4);
    g_autofree uint32_t *shown = NULL;
    unsigned width, height;

    qtest_memset(g->vm->qts, addr, 0x5a, 64 * 64 * 4);
    gpu_expect_ok(g, blob_guest(g, 1, addr, 64 * 64 * 4));
    gpu_expect_ok(g, blob_show(g, 1, 64, 64));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 64, 64));
    shown = qmp_screendump(g, 0, &width, &height);
    g_assert_cmpuint(width, ==, 64);
    g_assert_cmpuint(height, ==, 64);
    g_assert_cmphex(shown[0], ==, 0x5a5a5a);
    g_assert_cmphex(shown[64 * 64 - 1], ==, 0x5a5a5a);
    /* larger than the blob */
    gpu_expect(g, blob_show(g, 1, 64, 65), GPU_ANY_ERROR);
    gpu_expect(g, blob_show(g, 1, UINT32_MAX / 4, 64), GPU_ANY_ERROR);
    gpu_expect_ok(g, gpu_unref(g, 1));
}

const GpuCase cases_blob[] = {
    { "blob/unnegotiated-create", unnegotiated_create },
    { "blob/unnegotiated-scanout", unnegotiated_scanout },
    { "blob/unnegotiated-map", unnegotiated_map },
    { "blob/offered-with-a-window", offered_with_a_window, CASE_OURS },
    { "blob/guest-fields", guest_fields, CASE_OURS },
    { "blob/guest-is-not-mapped", guest_is_not_mapped, CASE_OURS },
    { "blob/scanout-of-guest-memory", scanout_of_guest_memory, CASE_OURS },
    { NULL },
};
