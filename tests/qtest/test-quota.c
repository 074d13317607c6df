/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slice as the guest meets it: refused past the limit, given back in full,
 * and bounded memory in renderer and QEMU whatever the guest does.
 */
#include "qemu/osdep.h"
#include "vgpu-cases.h"
#include "vgpu-process.h"
#include "vgpu-qmp.h"
#include "vgpu-virgl.h"

#define MIB  (1024 * 1024ull)
#define XRGB VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define OOM  VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY

/* Creates 2048x2048 pictures of 16 MiB until one is refused; how many fitted. */
static unsigned fill_2d(Gpu *g, uint32_t first)
{
    unsigned n;

    for (n = 0; n < 4096; n++) {
        uint32_t type = gpu_create_2d(g, first + n, XRGB, 2048, 2048);

        if (type != VIRTIO_GPU_RESP_OK_NODATA) {
            gpu_expect(g, type, OOM);
            return n;
        }
    }
    g_assert_not_reached();
}

static void limit_2d(Gpu *g)
{
    uint64_t limit = qmp_memory(g, "memory-limit"), used;
    unsigned n = fill_2d(g, 1), again, i;

    used = qmp_memory(g, "memory-used");
    g_assert_cmpuint(n, ==, limit / (16 * MIB));
    g_assert_cmpuint(used, <=, limit);
    g_assert_cmpuint(used, >=, n * 16 * MIB);
    /* what was there before works on */
    gpu_expect_ok(g, gpu_unref(g, 1));
    gpu_expect_ok(g, gpu_create_2d(g, 1, XRGB, 2048, 2048));
    for (i = 0; i < n; i++) {
        gpu_expect_ok(g, gpu_unref(g, 1 + i));
    }
    g_assert_cmpuint(qmp_memory(g, "memory-used"), <, MIB);
    again = fill_2d(g, 1);
    g_assert_cmpuint(again, ==, n);
}

/* A full slice still takes a cursor: small allocations have a reserve. */
static void small_ones_fit_when_full(Gpu *g)
{
    fill_2d(g, 1);
    while (gpu_create_2d(g, g->fence + 100000, XRGB, 256, 256) == VIRTIO_GPU_RESP_OK_NODATA) {
        g->fence++;
    }
    gpu_expect_ok(g, gpu_create_2d(g, 99999, XRGB, 64, 64));
}

static void reset_gives_all_back(Gpu *g)
{
    unsigned n = fill_2d(g, 1);

    gpu_init(g, UINT64_MAX);
    gpu_assert_alive(g); /* objects go before the first answer after a reset */
    g_assert_cmpuint(qmp_memory(g, "memory-used"), <, MIB);
    g_assert_cmpuint(fill_2d(g, 1), ==, n);
}

static void limit_3d(Gpu *g)
{
    uint64_t limit = qmp_memory(g, "memory-limit");
    unsigned n;

    for (n = 0; n < 4096; n++) {
        uint32_t type = virgl_create_target(g, 1 + n, 2048, 2048);

        if (type != VIRTIO_GPU_RESP_OK_NODATA) {
            gpu_expect(g, type, OOM);
            break;
        }
    }
    g_assert_cmpuint(n, ==, limit / (16 * MIB));
    g_assert_cmpuint(qmp_memory(g, "memory-used"), <=, limit);
}

/* VIRGL_CCMD_PIPE_RESOURCE_CREATE: the other door; 16 MiB each */
static void limit_holds_inside_a_stream(Gpu *g)
{
    uint32_t dwords[12] = {
        49 | 11 << 16, VIRGL_FORMAT_BGRA8, VIRGL_BIND_SAMPLER, PIPE_TEXTURE_2D, 2048, 2048, 1, 1, 0, 0, 0, 0,
    };
    uint64_t limit = qmp_memory(g, "memory-limit");
    unsigned n;
    uint32_t type = VIRTIO_GPU_RESP_OK_NODATA;

    gpu_expect_ok(g, gpu_ctx_create(g, 1, "door"));
    for (n = 0; n < 4096 && type == VIRTIO_GPU_RESP_OK_NODATA; n++) {
        dwords[11] = 1 + n; /* blob id */
        type = gpu_submit(g, 1, dwords, G_N_ELEMENTS(dwords));
    }
    gpu_expect(g, type, GPU_ANY_ERROR);
    g_assert_cmpuint(n - 1, <=, limit / (16 * MIB));
    g_assert_cmpuint(qmp_memory(g, "memory-used"), <=, limit + 4 * MIB);
    gpu_expect_ok(g, gpu_ctx_destroy(g, 1));
    g_assert_cmpuint(qmp_memory(g, "memory-used"), <, MIB);
}

/* One VM at its limit changes nothing for its neighbour. */
static void neighbours(Gpu *none)
{
    GpuVm *a = vm_start("vgpu-pci,id=gpu0,profile=sixteenth", NULL);
    GpuVm *b = vm_start("vgpu-pci,id=gpu0,profile=sixteenth", NULL);
    Gpu *ga = gpu_find(a, "gpu0", 0), *gb = gpu_find(b, "gpu0", 0);

    gpu_init(ga, UINT64_MAX);
    gpu_init(gb, UINT64_MAX);
    fill_2d(ga, 1);
    gpu_picture(gb, 1, 640, 480);
    g_assert_cmpuint(qmp_memory(gb, "memory-used"), <, 8 * MIB);
    g_assert_cmpuint(fill_2d(gb, 2), >, 0);
    gpu_free(ga);
    gpu_free(gb);
    vm_stop(a);
    vm_stop(b);
}

/* --- bounded memory --- */

static uint64_t qemu_rss(Gpu *g)
{
    g_autoptr(GArray) pids = g_array_new(false, false, sizeof(pid_t));
    pid_t pid = qtest_pid(g->vm->qts);

    g_array_append_val(pids, pid);
    return process_rss_kib(pids);
}

typedef struct Rss {
    GArray *renderers;
    uint64_t renderer, qemu;
} Rss;

static Rss rss_begin(Gpu *g)
{
    Rss r = { .renderers = process_renderers(g->vm->name) };

    r.renderer = process_rss_kib(r.renderers);
    r.qemu = qemu_rss(g);
    return r;
}

static void rss_end(Gpu *g, Rss *r, unsigned max_mib)
{
    uint64_t renderer = process_rss_kib(r->renderers), qemu = qemu_rss(g);

    g_test_message("resident: renderer %" PRIu64 " -> %" PRIu64 " KiB, QEMU %" PRIu64 " -> %" PRIu64 " KiB",
                   r->renderer, renderer, r->qemu, qemu);
    g_assert_cmpuint(renderer, <=, r->renderer + max_mib * 1024);
    g_assert_cmpuint(qemu, <=, r->qemu + max_mib * 1024);
    g_array_unref(r->renderers);
}

/* The whole ring posted again and again, the used ring never read. */
static void used_ring_never_read(Gpu *g)
{
    struct virtio_gpu_ctrl_hdr req = {
        .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
        .flags = VIRTIO_GPU_FLAG_FENCE,
    };
    GpuQueue *q = &g->q[GPU_CTRL];
    unsigned slots = q->vq->size / 2, round, i;
    Rss r;

    gpu_assert_alive(g);
    r = rss_begin(g);
    for (i = 0; i < slots; i++) {
        gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 512);
    }
    for (round = 0; round < 200; round++) {
        for (i = 0; i < slots; i++) {
            gpu_push_head(g, GPU_CTRL, 2 * i);
        }
        gpu_kick(g, GPU_CTRL);
    }
    rss_end(g, &r, 32);
    gpu_init(g, UINT64_MAX);
}

static void flood_of_flushes(Gpu *g)
{
    struct virtio_gpu_resource_flush req = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
        .r = { 0, 0, 1920, 1080 },
        .resource_id = 1,
    };
    unsigned slots = g->q[GPU_CTRL].vq->size / 2, round, i;
    Rss r;

    gpu_picture(g, 1, 1920, 1080);
    gpu_expect_ok(g, gpu_set_scanout(g, 0, 1, 0, 0, 1920, 1080));
    gpu_expect_ok(g, gpu_flush(g, 1, 0, 0, 1920, 1080));
    g_usleep(200 * 1000);
    r = rss_begin(g);
    for (round = 0; round < 10; round++) {
        for (i = 0; i < slots; i++) {
            gpu_send(g, GPU_CTRL, &req, sizeof(req), NULL, 0, 24);
        }
        for (i = 0; i < slots; i++) {
            g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
        }
    }
    rss_end(g, &r, 32);
}

static void submit_of_16_mib(Gpu *g)
{
    struct virtio_gpu_cmd_submit req = {
        .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1 },
        .size = 16 * MIB,
    };
    GpuDesc extra = { .addr = vm_alloc(g->vm, 16 * MIB), .len = 16 * MIB };
    unsigned i;
    Rss r;

    gpu_expect_ok(g, gpu_ctx_create(g, 1, "big"));
    r = rss_begin(g);
    for (i = 0; i < 8; i++) {
        gpu_expect(g, gpu_call(g, GPU_CTRL, &req, sizeof(req), &extra, 1, NULL, 24),
                   VIRTIO_GPU_RESP_OK_NODATA);
    }
    rss_end(g, &r, 64);
    gpu_expect_ok(g, gpu_ctx_destroy(g, 1));
}

/* As many of them in flight as the ring holds. */
static void submits_of_16_mib_at_once(Gpu *g)
{
    struct virtio_gpu_cmd_submit req = {
        .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1 },
        .size = 16 * MIB,
    };
    GpuDesc extra = { .addr = vm_alloc(g->vm, 16 * MIB), .len = 16 * MIB };
    unsigned n = g->q[GPU_CTRL].vq->size / 4, i;
    Rss r;

    gpu_expect_ok(g, gpu_ctx_create(g, 1, "big"));
    r = rss_begin(g);
    for (i = 0; i < n; i++) {
        gpu_send(g, GPU_CTRL, &req, sizeof(req), &extra, 1, 24);
    }
    g_usleep(100 * 1000);
    for (i = 0; i < n; i++) {
        g_assert_true(gpu_wait(g, GPU_CTRL, NULL, NULL, GPU_TIMEOUT_MS));
    }
    rss_end(g, &r, 128);
}

const GpuCase cases_quota[] = {
    { "quota/limit-2d", limit_2d, CASE_OURS, "profile=sixteenth" },
    { "quota/small-ones-fit-when-full", small_ones_fit_when_full, CASE_OURS, "profile=sixteenth" },
    { "quota/reset-gives-all-back", reset_gives_all_back, CASE_OURS, "profile=sixteenth" },
    { "quota/limit-3d", limit_3d, CASE_VIRGL, "profile=sixteenth" },
    { "quota/limit-holds-inside-a-stream", limit_holds_inside_a_stream, CASE_VIRGL, "profile=sixteenth" },
    { "quota/neighbours", neighbours, CASE_OURS | CASE_RAW },
    { "quota/used-ring-never-read", used_ring_never_read, CASE_OURS, "profile=quarter" },
    { "quota/flood-of-flushes", flood_of_flushes, CASE_OURS, "profile=quarter" },
    { "quota/submit-of-16-mib", submit_of_16_mib, CASE_VIRGL, "profile=quarter" },
    { "quota/submits-of-16-mib-at-once", submits_of_16_mib_at_once, CASE_VIRGL, "profile=quarter" },
    { NULL }
};
