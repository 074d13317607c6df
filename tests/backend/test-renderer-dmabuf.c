/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vulkan memory as blobs: as dmabufs, which a swapchain's pictures and what
 * programs hand each other must be, and as what lavapipe gives out where it can
 * make none.  Everything but the exporter is real: that one is the fake of
 * fake-udmabuf/, in a renderer and a Vulkan layer that are otherwise the real ones.
 */
#include <string.h>

#include "bar.h"
#include "picture.h"
#include "vulkan_stream.h"

#define SIDE   64u
#define STRIDE (SIDE * 4 + 32)
#define BYTES  (8 * PAGE) /* of a picture: more than STRIDE * SIDE */
#define FIRST  10         /* id of the memory */

/* From now on: the fake exporter, or what there is. */
static void choose(bool dmabuf)
{
    static char *real[2];
    static const char *const names[2] = { "VGPU_RENDERER", "VGPU_VULKAN_LAYER" };
    static const char *const fakes[2] = { "vgpu-renderer", "libVkLayer_vgpu.so" };

    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *fake = g_build_filename(g_getenv("VGPU_FAKE_UDMABUF"), fakes[i], NULL);

        if (!real[i]) {
            real[i] = g_strdup(g_getenv(names[i]));
        }
        g_setenv(names[i], dmabuf ? fake : real[i], TRUE);
    }
}

static Frontend *start(gconstpointer dmabuf)
{
    Frontend *f;

    choose(dmabuf != NULL);
    f = venus_start(NULL);
    OKAY(gpu_context_create(f, 1, VENUS));
    vulkan_device(f, 1);
    return f;
}

/* A blob of that memory; the process has done all that it was sent before it answers. */
static uint32_t blob_of(Frontend *f, uint32_t id, uint32_t ctx, uint64_t memory, uint64_t size)
{
    return gpu_blob(
        f, &(BlobAsk){
               .id = id, .ctx = ctx, .mem = MEM_HOST, .flags = MAPPABLE, .blob_id = memory, .size = size });
}

static void test_mapped(gconstpointer dmabuf)
{
    g_autoptr(Frontend) f = start(dmabuf);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);

    vulkan_memory(f, 1, FIRST, MIB);
    OKAY(blob_of(f, 1, 1, FIRST, MIB));
    USED(CONTEXT + MIB);
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    memset(bar->base, 0x5a, MIB);
    OKAY(gpu_unmap(f, 1));
    g_assert_cmphex(bar_word(bar, 0), ==, 0);
    CHECK(gpu_map(f, 1, 2 * MIB), OK_MAP_INFO);
    g_assert_cmphex(bar_word(bar, 2 * MIB), ==, 0x5a5a5a5a);
    g_assert_cmphex(bar_word(bar, 3 * MIB - 4), ==, 0x5a5a5a5a);
    /* the memory is freed, the blob is not: what can be read is paid for */
    vulkan_free(f, 1, FIRST);
    vulkan_memory(f, 1, FIRST + 1, PAGE);
    OKAY(blob_of(f, 2, 1, FIRST + 1, PAGE));
    USED(CONTEXT + MIB + PAGE);
    OKAY(gpu_unref(f, 1));
    g_assert_true(bar_wait(bar, 2, 2, SOON));
    venus_wait_used(f, CONTEXT + PAGE);
    g_assert_cmphex(bar_word(bar, 2 * MIB), ==, 0);
    /* and the other way round */
    OKAY(gpu_unref(f, 2));
    USED(CONTEXT + PAGE);
    OKAY(gpu_context_destroy(f, 1));
    venus_wait_used(f, 0);
}

static void test_once(gconstpointer dmabuf)
{
    g_autoptr(Frontend) f = start(dmabuf);

    for (unsigned i = 0; i < 100 && !f->dead; i++) {
        vulkan_memory(f, 1, FIRST + i, 8 * MIB);
        OKAY(blob_of(f, 1, 1, FIRST + i, 8 * MIB));
        USED(CONTEXT + 8 * MIB);
        CHECK(blob_of(f, 2, 1, FIRST + i, 8 * MIB), ERR_UNSPEC); /* of the same memory */
        vulkan_free(f, 1, FIRST + i);
        OKAY(gpu_unref(f, 1));
    }
    OKAY(gpu_blob_host(f, 3, 1, PAGE)); /* so the process has read all */
    venus_wait_used(f, CONTEXT + PAGE);
}

/* Past the limit there is no memory, so there is no blob of it. */
static void test_limit(gconstpointer dmabuf)
{
    g_autoptr(Frontend) f = start(dmabuf);

    vulkan_memory(f, 1, FIRST, 40 * MIB);
    OKAY(blob_of(f, 1, 1, FIRST, 40 * MIB));
    vulkan_memory(f, 1, FIRST + 1, 40 * MIB);
    CHECK(blob_of(f, 2, 1, FIRST + 1, 40 * MIB), ERR_UNSPEC);
    USED(CONTEXT + 40 * MIB);
    CHECK(blob_of(f, 2, 1, FIRST + 1, PAGE), ERR_UNSPEC);
}

/* More of it than there is. */
static void test_too_large(gconstpointer dmabuf)
{
    g_autoptr(Frontend) f = start(dmabuf);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);

    vulkan_memory(f, 1, FIRST, 2 * PAGE);
    if (blob_of(f, 1, 1, FIRST, 4 * PAGE) == OK_NODATA) {
        g_assert_cmphex(gpu_map(f, 1, 0), ==, ERR_UNSPEC);
    }
    g_assert_cmpuint(bar->mapped, ==, 0);
    g_assert_true(gpu_still_works(f));
}

/* ---- shown ---- */

static void draw(const Bar *bar, uint64_t at, unsigned seed)
{
    for (uint32_t y = 0; y < SIDE; y++) {
        for (uint32_t x = 0; x < SIDE; x++) {
            picture_store(bar->base + at + (size_t)y * STRIDE + (size_t)x * 4, BGRX,
                          picture_colour(seed, x, y));
        }
    }
}

static unsigned count_in_log(Frontend *f, const char *text)
{
    g_autofree char *log = frontend_log(f);
    unsigned n = 0;

    for (const char *p = log; (p = strstr(p, text)); p++) {
        n++;
    }
    return n;
}

/* What a swapchain does: two pictures in turn, each drawn while the other is shown. */
static void test_scanout(gconstpointer dmabuf)
{
    g_autoptr(Frontend) f = start(dmabuf);
    g_autoptr(Bar) bar = bar_new(f, WINDOW);
    struct virtio_gpu_set_scanout_blob s = {
        .r = { 0, 0, SIDE, SIDE },
        .width = SIDE,
        .height = SIDE,
        .format = BGRX,
        .strides = { STRIDE },
    };
    unsigned begun, ended;

    for (uint32_t id = 1; id <= 2; id++) {
        vulkan_memory(f, 1, FIRST + id, BYTES);
        OKAY(blob_of(f, id, 1, FIRST + id, BYTES));
        CHECK(gpu_map(f, id, id * MIB), OK_MAP_INFO);
    }
    for (unsigned n = 0; n < 4 && !f->dead; n++) {
        s.resource_id = 1 + n % 2;
        draw(bar, s.resource_id * MIB, n);
        OKAY(gpu_scanout_blob(f, &s));
        OKAY(gpu_flush(f, s.resource_id, 0, 0, SIDE, SIDE));
        g_assert_true(screen_wait_update(&f->screen, 0, n + 1, SOON));
        picture_check(f, 0, 0, 0, SIDE, SIDE, n, 0, 0);
    }
    g_assert_cmpuint(f->screen.out[0].scanouts, ==, 1);
    /* the CPU may only look between these two */
    begun = count_in_log(f, "fake dmabuf: begin to read");
    ended = count_in_log(f, "fake dmabuf: end of read");
    g_assert_cmpuint(begun, ==, ended);
    if (dmabuf) {
        g_assert_cmpuint(begun, >=, 4);
    } else {
        g_assert_cmpuint(begun, ==, 0);
    }
    /* who made them goes: what is shown was seen, but cannot be shown anew */
    OKAY(gpu_context_destroy(f, 1));
    OKAY(gpu_flush(f, s.resource_id, 0, 0, SIDE, SIDE));
    OKAY(gpu_unref(f, 1));
    OKAY(gpu_unref(f, 2));
    venus_wait_used(f, 0);
    g_assert_cmpuint(f->screen.out[0].width, ==, 0);
    g_assert_true(gpu_still_works(f));
}

/* ---- given to another program ---- */

static void test_shared(void)
{
    g_autoptr(Frontend) f = start("dmabuf");
    g_autoptr(Bar) bar = bar_new(f, WINDOW);

    vulkan_memory(f, 1, FIRST, 8 * MIB);
    OKAY(blob_of(f, 1, 1, FIRST, 8 * MIB));
    CHECK(gpu_map(f, 1, 0), OK_MAP_INFO);
    memset(bar->base, 0x33, 8 * MIB);
    OKAY(gpu_context_create(f, 2, VENUS));
    vulkan_device(f, 2);
    OKAY(gpu_context_attach(f, 2, 1));
    vulkan_import(f, 2, FIRST, 1, 8 * MIB);
    OKAY(gpu_blob_host(f, 2, 2, PAGE)); /* it has read all */
    USED(2 * CONTEXT + 8 * MIB + PAGE);
    /* the compositor holds what the client has given back */
    vulkan_free(f, 1, FIRST);
    OKAY(gpu_unref(f, 1));
    OKAY(gpu_context_destroy(f, 1));
    venus_wait_contexts(f, venus_server(f), 1);
    venus_wait_used(f, CONTEXT + 8 * MIB + PAGE);
    g_assert_cmphex(bar_word(bar, 0), ==, 0);
    vulkan_free(f, 2, FIRST);
    venus_wait_used(f, CONTEXT + PAGE);
    OKAY(gpu_context_destroy(f, 2));
    OKAY(gpu_unref(f, 2));
    venus_wait_used(f, 0);
}

/* Without dmabufs it cannot be, and the guest hears of it. */
static void test_not_shared(void)
{
    g_autoptr(Frontend) f = start(NULL);

    vulkan_memory(f, 1, FIRST, MIB);
    OKAY(blob_of(f, 1, 1, FIRST, MIB));
    OKAY(gpu_context_create(f, 2, VENUS));
    CHECK(gpu_context_attach(f, 2, 1), ERR_UNSPEC);
    venus_expect_log(f, "this host shares only what is a dmabuf");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        GTestDataFunc func;
    } tests[] = {
        { "mapped", test_mapped },       { "once", test_once },       { "limit", test_limit },
        { "too-large", test_too_large }, { "scanout", test_scanout },
    };

    g_test_init(&argc, &argv, NULL);
    if (venus_skipped()) {
        return 0;
    }
    g_setenv("VGPU_FAKE_UDMABUF_LOG", "1", TRUE);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *opaque = g_strdup_printf("/opaque/%s", tests[i].path);
        g_autofree char *dmabuf = g_strdup_printf("/dmabuf/%s", tests[i].path);

        g_test_add_data_func(opaque, NULL, tests[i].func);
        g_test_add_data_func(dmabuf, "dmabuf", tests[i].func);
    }
    g_test_add_func("/dmabuf/shared", test_shared);
    g_test_add_func("/opaque/not-shared", test_not_shared);
    return g_test_run();
}
