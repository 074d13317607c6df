/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host memory in the window: every field of the commands wrong, answers that
 * wait for QEMU, maps that outlive what they were of, and the books after each.
 */
#include <string.h>

#include "bar.h"
#include "gpu_blob.h"
#include "picture.h"

#define MIB    (1ull << 20)
#define PAGE   4096u
#define WINDOW (64 * MIB)
#define SOON   10000

static Frontend *start(const char *renderer)
{
    FrontendOptions o = { .renderer = renderer, .ram = 64 * MIB, .memory = 64 * MIB };

    return frontend_new(&o);
}

static Frontend *start_with(Bar **bar)
{
    Frontend *f = start("null");

    *bar = bar_new(f, WINDOW);
    gpu_context_create(f, 1, 0);
    return f;
}

static void check(Frontend *f, const char *what, uint32_t got, uint32_t want)
{
    if (!f->dead && got != want) {
        g_test_fail_printf("%s: response 0x%x, not 0x%x", what, got, want);
    }
}

#define CHECK(call, want) check(f, #call, call, want)
#define OKAY(call)        CHECK(call, OK_NODATA)
#define USED(want)        g_assert_cmpuint(frontend_used(f), ==, want)

static void reset(Frontend *f)
{
    if (f->bar) {
        bar_revoke(f->bar);
    }
    g_assert_true(frontend_reset(f));
    OKAY(gpu_create_2d(f, 999, BGRX, 1, 1)); /* answered after the reset was done */
    OKAY(gpu_unref(f, 999));
}

static void test_host_fields(void)
{
    g_autoptr(Frontend) f = start("null");
    struct virtio_gpu_mem_entry e = { .addr = ram_alloc(f->ram, PAGE), .length = PAGE };
    const struct {
        const char *what;
        BlobAsk ask;
        uint32_t want;
    } bad[] = {
        { "no context", { 1, 0, MEM_HOST, MAPPABLE, 0, PAGE, 0, NULL, 0 }, ERR_CONTEXT },
        { "no such context", { 1, 2, MEM_HOST, MAPPABLE, 0, PAGE, 0, NULL, 0 }, ERR_CONTEXT },
        { "part of a page", { 1, 1, MEM_HOST, MAPPABLE, 0, PAGE + 1, 0, NULL, 0 }, ERR_PARAM },
        { "no bytes", { 1, 1, MEM_HOST, MAPPABLE, 0, 0, 0, NULL, 0 }, ERR_PARAM },
        { "with guest pages", { 1, 1, MEM_HOST, MAPPABLE, 0, PAGE, 1, &e, 1 }, ERR_PARAM },
        { "without guest pages", { 1, 1, MEM_BOTH, MAPPABLE, 0, PAGE, 0, NULL, 0 }, ERR_PARAM },
        { "more than there is", { 1, 1, MEM_HOST, MAPPABLE, 0, 65 * MIB, 0, NULL, 0 }, ERR_MEMORY },
        { "all there is", { 1, 1, MEM_HOST, MAPPABLE, 0, ~(uint64_t)PAGE + 1, 0, NULL, 0 }, ERR_MEMORY },
        { "all and its list", { 1, 1, MEM_BOTH, MAPPABLE, 0, ~(uint64_t)PAGE + 1, 1, &e, 1 }, ERR_PARAM },
        { "not to be had", { 1, 1, MEM_HOST, MAPPABLE, KIND_FAILS, PAGE, 0, NULL, 0 }, ERR_MEMORY },
    };

    OKAY(gpu_context_create(f, 1, 0));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        check(f, bad[i].what, gpu_blob(f, &bad[i].ask), bad[i].want);
        CHECK(gpu_unref(f, 1), ERR_RESOURCE);
        USED(0);
    }
    OKAY(gpu_blob_host(f, 1, 1, MIB));
    USED(MIB);
    OKAY(gpu_blob(f, &(BlobAsk){ 2, 1, MEM_BOTH, MAPPABLE, 0, PAGE, 1, &e, 1 }));
    USED(MIB + 2 * PAGE);
    /* without a window nothing can be mapped */
    CHECK(gpu_map(f, 1, 0), ERR_PARAM);
    USED(MIB + 2 * PAGE);
    OKAY(gpu_unref(f, 1));
    OKAY(gpu_unref(f, 2));
    USED(0);
}

static void test_no_host_memory(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);

    if (f->hello.kind != VGPU_RENDERER_2D) {
        OKAY(gpu_context_create(f, 1, 0));
    }
    CHECK(gpu_blob_host(f, 1, 1, PAGE), ERR_UNSPEC);
    CHECK(gpu_unref(f, 1), ERR_RESOURCE);
    g_assert_true(gpu_still_works(f));
}

static void test_map(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);

    OKAY(gpu_blob_host(f, 1, 1, 4 * PAGE));
    OKAY(gpu_blob_host(f, 2, 1, PAGE));
    CHECK(gpu_map(f, 1, 16 * PAGE), OK_MAP_INFO);
    CHECK(gpu_map(f, 2, 20 * PAGE), OK_MAP_INFO);
    for (unsigned page = 0; page < 4; page++) {
        g_assert_cmphex(bar_word(bar, (16 + page) * PAGE), ==, 1 << 8 | page);
    }
    g_assert_cmphex(bar_word(bar, 20 * PAGE), ==, 2 << 8);
    /* what the guest writes is kept, wherever it is mapped next */
    memset(bar->base + 19 * PAGE, 0x5a, 4);
    OKAY(gpu_unmap(f, 1));
    g_assert_cmphex(bar_word(bar, 19 * PAGE), ==, 0);
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    g_assert_cmphex(bar_word(bar, 3 * PAGE), ==, 0x5a5a5a5a);
    /* up to the last page */
    OKAY(gpu_unmap(f, 1));
    CHECK(gpu_map(f, 1, WINDOW - 4 * PAGE), OK_MAP_INFO);
    USED(5 * PAGE);
    OKAY(gpu_unref(f, 1));
    OKAY(gpu_unref(f, 2));
    USED(0);
    g_assert_cmpuint(g_hash_table_size(bar->maps), ==, 0);
    bar_free(bar);
}

static void test_map_fields(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);

    OKAY(gpu_blob_host(f, 1, 1, 4 * PAGE));
    OKAY(gpu_blob_host(f, 2, 1, 4 * PAGE));
    OKAY(gpu_blob(f, &(BlobAsk){ 3, 1, MEM_HOST, 0, 0, PAGE, 0, NULL, 0 }));
    OKAY(gpu_blob_guest(f, 4, ram_alloc(f->ram, PAGE), PAGE));
    OKAY(gpu_create_2d(f, 5, BGRX, 16, 16));
    CHECK(gpu_map(f, 0, 0), ERR_RESOURCE);
    CHECK(gpu_map(f, 99, 0), ERR_RESOURCE);
    CHECK(gpu_map(f, 3, 0), ERR_PARAM); /* not mappable */
    CHECK(gpu_map(f, 4, 0), ERR_PARAM); /* guest memory */
    CHECK(gpu_map(f, 5, 0), ERR_PARAM); /* no blob */
    CHECK(gpu_map(f, 1, 1), ERR_PARAM);
    CHECK(gpu_map(f, 1, PAGE / 2), ERR_PARAM);
    CHECK(gpu_map(f, 1, WINDOW), ERR_PARAM);
    CHECK(gpu_map(f, 1, WINDOW - 3 * PAGE), ERR_PARAM);
    CHECK(gpu_map(f, 1, ~(uint64_t)PAGE + 1), ERR_PARAM);
    CHECK(gpu_map(f, 1, UINT64_MAX), ERR_PARAM);
    g_assert_cmpuint(bar->mapped, ==, 0);
    CHECK(gpu_map(f, 1, 16 * PAGE), OK_MAP_INFO);
    CHECK(gpu_map(f, 1, 16 * PAGE), ERR_UNSPEC);
    CHECK(gpu_map(f, 1, 32 * PAGE), ERR_UNSPEC);
    /* overlaps: the same, from below, from above; neighbours do not */
    CHECK(gpu_map(f, 2, 16 * PAGE), ERR_PARAM);
    CHECK(gpu_map(f, 2, 13 * PAGE), ERR_PARAM);
    CHECK(gpu_map(f, 2, 19 * PAGE), ERR_PARAM);
    CHECK(gpu_map(f, 2, 12 * PAGE), OK_MAP_INFO);
    OKAY(gpu_unmap(f, 2));
    CHECK(gpu_map(f, 2, 20 * PAGE), OK_MAP_INFO);
    CHECK(gpu_unmap(f, 0), ERR_RESOURCE);
    CHECK(gpu_unmap(f, 99), ERR_RESOURCE);
    CHECK(gpu_unmap(f, 3), ERR_UNSPEC);
    CHECK(gpu_unmap(f, 5), ERR_PARAM);
    OKAY(gpu_unmap(f, 1));
    CHECK(gpu_unmap(f, 1), ERR_UNSPEC);
    g_assert_cmpuint(bar->mapped, ==, 3);
    g_assert_cmpuint(g_hash_table_size(bar->maps), ==, 1);
    bar_free(bar);
}

/* What a host driver may hand out, and what cannot be shared with a guest. */
static void test_kinds(void)
{
    static const struct {
        uint64_t kind;
        uint32_t want;
    } kinds[] = {
        { KIND_SEALED, OK_MAP_INFO }, { KIND_BEHIND_HEADER, OK_MAP_INFO }, { KIND_UNSEALED, OK_MAP_INFO },
        { KIND_NO_FILE, ERR_UNSPEC }, { KIND_SHORT, ERR_UNSPEC },          { KIND_PRIVATE, ERR_UNSPEC },
    };
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        BlobAsk ask = { 1, 1, MEM_HOST, MAPPABLE, kinds[i].kind, 2 * PAGE, 0, NULL, 0 };
        struct virtio_gpu_set_scanout_blob s = { .r = { 0, 0, 16, 16 },
                                                 .resource_id = 1,
                                                 .width = 16,
                                                 .height = 16,
                                                 .format = BGRX,
                                                 .strides = { 64 } };

        OKAY(gpu_blob(f, &ask));
        CHECK(gpu_map(f, 1, 0), kinds[i].want);
        if (kinds[i].want == OK_MAP_INFO) {
            g_assert_cmphex(bar_word(bar, PAGE), ==, 1 << 8 | 1);
            OKAY(gpu_scanout_blob(f, &s)); /* and its pixels can be read */
            g_assert_true(screen_wait_scanout(&f->screen, 0, 2 * i + 1, SOON));
            g_assert_cmphex(screen_pixel(&f->screen, 0, 0, 0), ==, 0xff000000 | 1 << 8);
        } else {
            CHECK(gpu_scanout_blob(f, &s), ERR_UNSPEC);
        }
        OKAY(gpu_unref(f, 1));
        USED(0);
    }
    bar_free(bar);
}

/* The answer comes when QEMU has mapped it; other commands do not wait. */
static void test_answer_waits(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    g_autoptr(Pending) map = NULL, unmap = NULL;

    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    bar->hold = true;
    map = gpu_send_map(f, 1, 0, 0, 0);
    g_assert_true(bar_wait(bar, 1, 0, SOON));
    OKAY(gpu_create_2d(f, 5, BGRX, 16, 16));
    OKAY(gpu_unref(f, 5));
    g_assert_false(frontend_collect(f, map));
    bar_release(bar);
    g_assert_true(frontend_wait(f, map, SOON));
    g_assert_cmphex(gpu_response(map), ==, OK_MAP_INFO);
    bar->hold = true;
    unmap = gpu_send_unmap(f, 1);
    g_assert_true(bar_wait(bar, 1, 1, SOON));
    g_assert_true(gpu_still_works(f));
    g_assert_false(frontend_collect(f, unmap));
    bar_release(bar);
    g_assert_true(frontend_wait(f, unmap, SOON));
    g_assert_cmphex(gpu_response(unmap), ==, OK_NODATA);
    bar_free(bar);
}

/* A fenced map keeps its place: what is fenced after it is answered after it. */
static void test_fenced(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    g_autoptr(Pending) map = NULL, after = NULL;
    struct virtio_gpu_resource_create_2d c = {
        .hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, .flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = 8 },
        .resource_id = 5,
        .format = BGRX,
        .width = 1,
        .height = 1,
    };
    uint64_t fences;

    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    fences = vgpu_stats_get(&f->stats->fences);
    bar->hold = true;
    map = gpu_send_map(f, 1, 0, VIRTIO_GPU_FLAG_FENCE, 7);
    after = frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    g_assert_true(bar_wait(bar, 1, 0, SOON));
    g_assert_true(gpu_still_works(f));
    g_assert_false(frontend_wait(f, after, 200));
    bar_release(bar);
    g_assert_true(frontend_wait(f, after, SOON));
    g_assert_true(frontend_collect(f, map));
    g_assert_cmpuint(map->order, <, after->order);
    g_assert_cmpuint(vgpu_stats_get(&f->stats->fences), ==, fences + 2);
    bar_free(bar);
}

static void test_no_memory(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    g_autoptr(Pending) map = NULL, unmap = NULL, unref = NULL;
    struct virtio_gpu_resource_unref c = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF, .resource_id = 1 };

    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    bar->refuse = 1;
    CHECK(gpu_map(f, 1, 0), ERR_MEMORY);
    CHECK(gpu_unmap(f, 1), ERR_UNSPEC);
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    OKAY(gpu_unmap(f, 1));
    /* the guest was ahead of QEMU's refusal */
    bar->refuse = 1;
    bar->hold = true;
    map = gpu_send_map(f, 1, 0, 0, 0);
    unmap = gpu_send_unmap(f, 1);
    unref = frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    g_assert_true(bar_wait(bar, 3, 2, SOON));
    bar_release(bar);
    g_assert_true(frontend_wait(f, map, SOON) && frontend_wait(f, unmap, SOON) &&
                  frontend_wait(f, unref, SOON));
    g_assert_cmphex(gpu_response(map), ==, ERR_MEMORY);
    g_assert_cmphex(gpu_response(unmap), ==, OK_NODATA);
    g_assert_cmphex(gpu_response(unref), ==, OK_NODATA);
    USED(0);
    bar_free(bar);
}

/* A blob that goes while it is mapped is unmapped, and paid for until that is done. */
static void test_unref_mapped(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    struct virtio_gpu_resource_unref c = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF, .resource_id = 1 };
    g_autoptr(Pending) unref = NULL;

    OKAY(gpu_blob_host(f, 1, 1, MIB));
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    bar->hold = true;
    unref = frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
    g_assert_true(bar_wait(bar, 1, 1, SOON));
    /* the id and the place in the window are free, the bytes are not */
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    USED(MIB + PAGE);
    g_assert_false(frontend_collect(f, unref));
    bar_release(bar);
    g_assert_true(frontend_wait(f, unref, SOON));
    USED(PAGE);
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    g_assert_cmphex(bar_word(bar, 0), ==, 1 << 8);
    bar_free(bar);
}

/* One place, many blobs, nobody waits for an answer. */
static void test_hurry(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    Pending *p[200];
    unsigned n = 0;

    for (uint32_t id = 1; id <= 100; id++) {
        OKAY(gpu_blob_host(f, id, 1, PAGE));
    }
    bar->hold = true;
    for (uint32_t id = 1; id <= 100; id++) {
        p[n++] = gpu_send_map(f, id, 8 * PAGE, 0, 0);
        p[n++] = gpu_send_unmap(f, id);
    }
    g_assert_true(bar_wait(bar, 100, 100, SOON));
    bar_release(bar);
    for (unsigned i = 0; i < n; i++) {
        g_assert_true(frontend_wait(f, p[i], SOON));
        g_assert_cmphex(gpu_response(p[i]), ==, i % 2 ? OK_NODATA : OK_MAP_INFO);
        pending_free(p[i]);
    }
    g_assert_cmpuint(g_hash_table_size(bar->maps), ==, 0);
    USED(100 * PAGE);
    bar_free(bar);
}

/* More than the window may hold: refused, and each that goes makes room for one. */
static void test_exhausted(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    uint32_t id;

    for (id = 1; id <= VGPU_CHANNEL_BLOB_MAPS && !f->dead; id++) {
        OKAY(gpu_blob_host(f, id, 1, PAGE));
        CHECK(gpu_map(f, id, (uint64_t)(id - 1) * PAGE), OK_MAP_INFO);
    }
    OKAY(gpu_blob_host(f, id, 1, PAGE));
    CHECK(gpu_map(f, id, (uint64_t)id * PAGE), ERR_MEMORY);
    OKAY(gpu_unmap(f, 7));
    CHECK(gpu_map(f, id, (uint64_t)id * PAGE), OK_MAP_INFO);
    reset(f);
    USED(0);
    bar_free(bar);
}

static void test_reset(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);

    for (unsigned round = 0; round < 20 && !f->dead; round++) {
        g_autoptr(Pending) map = NULL, unmap = NULL;

        OKAY(gpu_blob_host(f, 1, 1, PAGE));
        OKAY(gpu_blob_host(f, 2, 1, PAGE));
        CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
        /* orders that QEMU has not answered, or not even read */
        bar->hold = true;
        map = gpu_send_map(f, 2, PAGE, 0, 0);
        unmap = gpu_send_unmap(f, 1);
        if (round % 2) {
            g_assert_true(bar_wait(bar, 2 * (round + 1) + round / 2, 0, SOON));
        }
        bar->hold = false;
        reset(f);
        bar_pump(bar);
        g_assert_cmpuint(g_hash_table_size(bar->maps), ==, 0);
        USED(0);
        CHECK(gpu_unmap(f, 1), ERR_RESOURCE);
        OKAY(gpu_context_create(f, 1, 0));
        bar->mapped = 2 * (round + 1) + (round + 1) / 2; /* some were never read */
    }
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    g_assert_cmphex(bar_word(bar, 0), ==, 1 << 8);
    bar_free(bar);
}

/* Another process of the guest may have the blob; when its context is lost nobody may spin on it. */
static void test_context_goes(void)
{
    static const uint32_t lose = 0x45534f4cu;
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);

    OKAY(gpu_context_create(f, 2, 0));
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    OKAY(gpu_blob_host(f, 2, 2, PAGE));
    OKAY(gpu_blob_host(f, 3, 2, PAGE));
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    CHECK(gpu_map(f, 2, PAGE), OK_MAP_INFO);
    CHECK(gpu_map(f, 3, 2 * PAGE), OK_MAP_INFO);
    OKAY(gpu_context_destroy(f, 1));
    g_assert_cmphex(bar_word(bar, 0), ==, 1 << 8);
    USED(3 * PAGE);
    CHECK(gpu_submit(f, 2, &lose, 1), ERR_UNSPEC);
    g_assert_true(bar_wait(bar, 3, 2, SOON));
    g_assert_cmphex(bar_word(bar, 0), ==, 1 << 8);
    g_assert_cmphex(bar_word(bar, PAGE), ==, 0);
    g_assert_cmphex(bar_word(bar, 2 * PAGE), ==, 0);
    OKAY(gpu_unmap(f, 2)); /* the guest does not know */
    CHECK(gpu_unmap(f, 2), ERR_UNSPEC);
    OKAY(gpu_context_destroy(f, 2));
    OKAY(gpu_unref(f, 1));
    OKAY(gpu_unref(f, 2));
    OKAY(gpu_unref(f, 3));
    g_assert_cmpuint(g_hash_table_size(bar->maps), ==, 0);
    USED(0);
    bar_free(bar);
}

/* A map whose answer has no room is none. */
static void test_short_answer(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    struct virtio_gpu_resource_map_blob c = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
                                              .resource_id = 1 };
    g_autoptr(Pending) p = NULL;

    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    p = frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_resp_map_info) - 1);
    g_assert_true(frontend_wait(f, p, SOON));
    g_assert_cmphex(gpu_response(p), ==, ERR_PARAM);
    bar_pump(bar);
    g_assert_cmpuint(bar->mapped, ==, 0);
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    bar_free(bar);
}

/* The rings stop (vm_stop) while QEMU is at it: the answer is there when they go on. */
static void test_rings_stop(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    g_autoptr(Pending) map = NULL;

    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    bar->hold = true;
    map = gpu_send_map(f, 1, 0, 0, 0);
    g_assert_true(bar_wait(bar, 1, 0, SOON));
    g_assert_true(frontend_stop(f));
    bar_release(bar);
    g_assert_true(channel_barrier(&f->channel, SOON));
    g_assert_false(frontend_collect(f, map));
    g_assert_true(frontend_resume(f));
    g_assert_true(frontend_wait(f, map, SOON));
    g_assert_cmphex(gpu_response(map), ==, OK_MAP_INFO);
    bar_free(bar);
}

/* BLOB_DONE that nobody waits for, and of a status nobody knows. */
static void test_strange_done(void)
{
    Bar *bar;
    g_autoptr(Frontend) f = start_with(&bar);
    struct vgpu_channel_blob_done done = { .serial = 12345 };
    g_autoptr(Pending) map = NULL;
    struct vgpu_channel_blob_done *held;

    channel_send(&f->channel, VGPU_CHANNEL_BLOB_DONE, &done, sizeof(done));
    done.serial = 0;
    channel_send(&f->channel, VGPU_CHANNEL_BLOB_DONE, &done, sizeof(done));
    OKAY(gpu_blob_host(f, 1, 1, PAGE));
    bar->hold = true;
    map = gpu_send_map(f, 1, 0, 0, 0);
    g_assert_true(bar_wait(bar, 1, 0, SOON));
    held = g_queue_peek_head(&bar->held);
    held->status = 77;
    bar_release(bar);
    g_assert_true(frontend_wait(f, map, SOON));
    g_assert_cmphex(gpu_response(map), ==, ERR_MEMORY);
    bar_free(bar);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/window/2d/no-host-memory", "2d", test_no_host_memory);
    g_test_add_data_func("/window/virgl/no-host-memory", "virgl", test_no_host_memory);
    g_test_add_func("/window/host-fields", test_host_fields);
    g_test_add_func("/window/map", test_map);
    g_test_add_func("/window/map-fields", test_map_fields);
    g_test_add_func("/window/kinds", test_kinds);
    g_test_add_func("/window/answer-waits", test_answer_waits);
    g_test_add_func("/window/fenced", test_fenced);
    g_test_add_func("/window/no-memory", test_no_memory);
    g_test_add_func("/window/unref-mapped", test_unref_mapped);
    g_test_add_func("/window/hurry", test_hurry);
    g_test_add_func("/window/exhausted", test_exhausted);
    g_test_add_func("/window/reset", test_reset);
    g_test_add_func("/window/context-goes", test_context_goes);
    g_test_add_func("/window/short-answer", test_short_answer);
    g_test_add_func("/window/rings-stop", test_rings_stop);
    g_test_add_func("/window/strange-done", test_strange_done);
    return g_test_run();
}
