/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenGL through the real virglrenderer, on software where there is no GPU:
 * hand-encoded streams, fences, and what a stream can take from the quota.
 */
#include <string.h>

#include "gl_stream.h"
#include "picture.h"

#define MIB          (1ull << 20)
#define LIMIT        (256 * MIB)
#define MAX_CONTEXTS 16
#define SUB_CONTEXT  (10752ull * 1024) /* measured: facts in backend/quota/stream.h */
#define SOON         10000

static Frontend *start(void)
{
    FrontendOptions o = {
        .renderer = "virgl", .memory = LIMIT, .max_contexts = MAX_CONTEXTS, .ram = 64 * MIB
    };

    return frontend_new(&o);
}

static uint32_t submit(Frontend *f, uint32_t ctx, GlStream *s)
{
    return gpu_submit(f, ctx, gl_stream_data(s), gl_stream_count(s));
}

static void test_hello(void)
{
    g_autoptr(Frontend) f = start();
    struct virtio_gpu_resp_capset_info info;

    g_assert_cmpuint(f->hello.kind, ==, VGPU_RENDERER_VIRGL);
    g_assert_true(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_VIRGL);
    g_assert_cmpstr(f->hello.description, !=, "");
    g_assert_cmpstr(f->hello.warning, ==, "");
    g_assert_true(gpu_find_capset(f, 1, &info));
    g_assert_true(gpu_find_capset(f, 2, &info));
    g_assert_true(gpu_find_capset(f, 16, &info));
    g_test_message("the host's GL is %s", f->hello.description);
}

/* The guest's GL reads its slice, not the host's memory: caps v2, in MiB. */
static void test_capset_memory(void)
{
    g_autoptr(Frontend) f = start();
    struct virtio_gpu_resp_capset_info info;
    g_autofree uint8_t *caps = NULL;
    uint32_t word;

    if (!gpu_find_capset(f, 2, &info)) {
        g_test_fail_printf("no capset 2");
        return;
    }
    g_assert_cmpuint(info.capset_max_size, >=, 760);
    caps = g_malloc0(info.capset_max_size);
    g_assert_cmphex(gpu_capset(f, 2, info.capset_max_version, caps, info.capset_max_size), ==,
                    VIRTIO_GPU_RESP_OK_CAPSET);
    memcpy(&word, caps + 692, 4); /* max_video_memory */
    g_assert_cmpuint(word, ==, LIMIT / MIB);
    memcpy(&word, caps + 688, 4); /* capability_bits_v2: VIDEO_MEMORY and MEMINFO */
    g_assert_cmphex(word & 0xc, ==, 0xc);
}

static void test_contexts(void)
{
    g_autoptr(Frontend) f = start();
    uint64_t base = frontend_used(f);
    GlStream *none = gl_stream_new();

    gl_command(none, GL_NOP, 0, 0);
    g_assert_cmphex(gpu_context_create(f, 0, 0), ==, ERR_CONTEXT);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, ERR_CONTEXT);
    g_assert_cmpuint(frontend_used(f), ==, base + SUB_CONTEXT);
    g_assert_cmpuint(vgpu_stats_get(&f->stats->contexts), ==, 1);
    g_assert_cmphex(gpu_context_attach(f, 1, 99), ==, ERR_RESOURCE);
    g_assert_cmphex(gpu_context_attach(f, 9, 99), ==, ERR_CONTEXT);
    g_assert_cmphex(submit(f, 1, none), ==, OK_NODATA);
    g_assert_cmphex(submit(f, 2, none), ==, ERR_CONTEXT);
    g_assert_cmphex(submit(f, 0, none), ==, ERR_CONTEXT);
    g_assert_cmphex(gpu_context_destroy(f, 2), ==, ERR_CONTEXT);
    g_assert_cmphex(gpu_context_destroy(f, 0), ==, ERR_CONTEXT);
    g_assert_cmphex(gpu_context_destroy(f, 1), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_destroy(f, 1), ==, ERR_CONTEXT);
    g_assert_cmphex(submit(f, 1, none), ==, ERR_CONTEXT);
    g_assert_cmpuint(frontend_used(f), ==, base);
    gl_stream_free(none);
}

static void test_context_cap(void)
{
    g_autoptr(Frontend) f = start();

    for (unsigned i = 1; i <= MAX_CONTEXTS; i++) {
        g_assert_cmphex(gpu_context_create(f, i, 0), ==, OK_NODATA);
    }
    g_assert_cmphex(gpu_context_create(f, 100, 0), !=, OK_NODATA);
    g_assert_cmphex(gpu_context_destroy(f, 3), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_create(f, 100, 0), ==, OK_NODATA);
}

/* A texture of a colour, by a stream in a context of its own. */
static void paint(Frontend *f, uint32_t ctx, uint32_t id, uint32_t surface, uint32_t rgb)
{
    g_autoptr(GlStream) s = gl_stream_new();

    gl_create_surface(s, surface, id, BGRX);
    gl_set_framebuffer(s, surface);
    gl_clear(s, rgb);
    g_assert_cmphex(submit(f, ctx, s), ==, OK_NODATA);
}

static void expect_colour(Frontend *f, unsigned update, uint32_t rgb)
{
    ScreenOutput *o = &f->screen.out[0];

    if (!screen_wait_update(&f->screen, 0, update, SOON)) {
        g_test_fail_printf("update %u never came", update);
        return;
    }
    for (uint32_t y = 0; y < o->height; y += 7) {
        for (uint32_t x = 0; x < o->width; x += 5) {
            uint32_t is = screen_pixel(&f->screen, 0, x, y) & 0xffffff;

            if (is != rgb) {
                g_test_fail_printf("pixel %u,%u is 0x%06x, not 0x%06x", x, y, is, rgb);
                return;
            }
        }
    }
}

static void test_clear_is_shown(void)
{
    g_autoptr(Frontend) f = start();

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_texture(f, 5, BGRX, 256, 128), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 5), ==, OK_NODATA);
    g_assert_cmphex(gpu_set_scanout(f, 0, 5, 0, 0, 256, 128), ==, OK_NODATA);
    for (unsigned i = 0; i < 6; i++) {
        uint32_t rgb = 0x336699 + i * 0x112200;

        paint(f, 1, 5, 10 + i, rgb);
        g_assert_cmphex(gpu_flush(f, 5, 0, 0, 256, 128), ==, OK_NODATA);
        expect_colour(f, i + 1, rgb);
    }
}

/* Pixels up by TRANSFER_TO_HOST_3D, on the screen, and down again. */
static void test_transfers(void)
{
    g_autoptr(Frontend) f = start();
    struct virtio_gpu_box box = { 0, 0, 0, 64, 48, 1 };
    uint64_t gpa = ram_alloc(f->ram, 64 * 48 * 4);
    g_autofree uint8_t *was = g_malloc(64 * 48 * 4);

    picture_fill(f, gpa, BGRX, 3, 64, 48, 64 * 4);
    memcpy(was, ram_ptr(f->ram, gpa), 64 * 48 * 4);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_texture(f, 5, BGRX, 64, 48), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, 5, gpa, 64 * 48 * 4), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 5), ==, OK_NODATA);
    g_assert_cmphex(gpu_transfer_3d(f, true, 1, 5, 0, &box, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_set_scanout(f, 0, 5, 0, 0, 64, 48), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, 5, 0, 0, 64, 48), ==, OK_NODATA);
    g_assert_true(screen_wait_update(&f->screen, 0, 1, SOON));
    picture_check(f, 0, 0, 0, 64, 48, 3, 0, 0);
    memset(ram_ptr(f->ram, gpa), 0, 64 * 48 * 4);
    g_assert_cmphex(gpu_transfer_3d(f, false, 1, 5, 0, &box, 0), ==, OK_NODATA);
    for (unsigned i = 0; i < 64 * 48 * 4; i++) {
        if (i % 4 != 3 && ((uint8_t *)ram_ptr(f->ram, gpa))[i] != was[i]) {
            g_test_fail_printf("byte %u came back changed", i);
            break;
        }
    }
    /* outside of the texture, of its memory, of 32 bits */
    box.w = 65;
    g_assert_cmphex(gpu_transfer_3d(f, true, 1, 5, 0, &box, 0), ==, ERR_PARAM);
    box = (struct virtio_gpu_box){ 0xffffffff, 0, 0, 2, 1, 1 };
    g_assert_cmphex(gpu_transfer_3d(f, true, 1, 5, 0, &box, 0), ==, ERR_PARAM);
    box = (struct virtio_gpu_box){ 0, 0, 0, 64, 48, 1 };
    g_assert_cmphex(gpu_transfer_3d(f, true, 1, 5, 4, &box, 0), !=, OK_NODATA);
    g_assert_cmphex(gpu_transfer_3d(f, false, 1, 5, ~0ull, &box, 0), !=, OK_NODATA);
    g_assert_cmphex(gpu_transfer_3d(f, true, 1, 5, 0, &box, 0x80000000u), !=, OK_NODATA);
    g_assert_cmphex(gpu_transfer_3d(f, false, 1, 5, 0, &box, 0xfffffffcu), !=, OK_NODATA);
    g_assert_true(gpu_still_works(f));
}

/* Fences of one context signal in order, and none is lost. */
static void test_fences(void)
{
    g_autoptr(Frontend) f = start();
    g_autoptr(GlStream) heavy = gl_stream_new();
    uint32_t nop = 0;
    Pending *p[60];

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_texture(f, 5, BGRX, 1024, 1024), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 5), ==, OK_NODATA);
    gl_create_surface(heavy, 1, 5, BGRX);
    gl_set_framebuffer(heavy, 1);
    g_assert_cmphex(submit(f, 1, heavy), ==, OK_NODATA);
    g_array_set_size(heavy->dwords, 0);
    for (unsigned i = 0; i < 20; i++) {
        gl_clear(heavy, i);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
        p[i] = i % 3 ? gpu_submit_fenced(f, 1, &nop, 1, 1000 + i)
                     : gpu_submit_fenced(f, 1, gl_stream_data(heavy), gl_stream_count(heavy), 1000 + i);
    }
    for (unsigned i = 0, last = 0; i < G_N_ELEMENTS(p); i++) {
        struct virtio_gpu_ctrl_hdr r;

        if (!p[i] || !frontend_wait(f, p[i], FRONTEND_COMMAND_DEADLINE)) {
            frontend_fail(f, "fence %u never came", i);
            return;
        }
        gpu_response_copy(p[i], &r, sizeof(r));
        g_assert_cmphex(r.type, ==, OK_NODATA);
        g_assert_cmpuint(r.fence_id, ==, 1000 + i);
        g_assert_cmpuint(p[i]->order, >, last);
        last = p[i]->order;
        pending_free(p[i]);
    }
    g_assert_cmpuint(vgpu_stats_get(&f->stats->fences), >=, G_N_ELEMENTS(p));
}

/* A fence is not due before its work: commands without one overtake it. */
static void test_fence_is_asynchronous(void)
{
    g_autoptr(Frontend) f = start();
    g_autoptr(GlStream) s = gl_stream_new();
    g_autoptr(Pending) slow = NULL;
    int64_t t0;

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_texture(f, 5, BGRX, 4096, 4096), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 5), ==, OK_NODATA);
    gl_create_surface(s, 1, 5, BGRX);
    gl_set_framebuffer(s, 1);
    for (unsigned i = 0; i < 40; i++) {
        gl_clear(s, i * 0x010203);
    }
    slow = gpu_submit_fenced(f, 1, gl_stream_data(s), gl_stream_count(s), 7);
    t0 = g_get_monotonic_time();
    /* vhost-user is served by another thread, however long GL takes */
    g_assert_true(frontend_alive(f));
    g_assert_true(channel_barrier(&f->channel, SOON));
    g_assert_cmpint((g_get_monotonic_time() - t0) / 1000, <, 1000);
    g_assert_true(frontend_wait(f, slow, FRONTEND_COMMAND_DEADLINE));
}

/* 8 x 64 MiB by PIPE_RESOURCE_CREATE do not fit into 256 MiB. */
static void test_stream_resources_count(void)
{
    g_autoptr(Frontend) f = start();
    g_autoptr(GlStream) one = gl_stream_new(), many = gl_stream_new();
    uint64_t base, rss;

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    base = frontend_used(f);
    gl_pipe_resource(one, 1, 512);
    g_assert_cmphex(submit(f, 1, one), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, base + MIB);
    rss = proc_rss_kib(f->pid);
    for (unsigned i = 0; i < 8; i++) {
        gl_pipe_resource(many, 10 + i, 4096);
    }
    g_assert_cmphex(submit(f, 1, many), ==, ERR_MEMORY);
    g_assert_cmpuint(frontend_used(f), ==, base + MIB);
    g_assert_cmpuint(proc_rss_kib(f->pid), <, rss + 32 * 1024);
    g_assert_cmpuint(vgpu_stats_get(&f->stats->alloc_denied), ==, 1);
    g_assert_cmpuint(vgpu_stats_get(&f->stats->alloc_denied_size), ==, 512 * MIB);
    g_assert_cmphex(gpu_context_destroy(f, 1), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, base - SUB_CONTEXT);
}

static void test_sub_contexts_count(void)
{
    g_autoptr(Frontend) f = start();
    g_autoptr(GlStream) few = gl_stream_new(), many = gl_stream_new(), nop = gl_stream_new();
    uint64_t base;

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    base = frontend_used(f);
    for (unsigned i = 1; i <= 4; i++) {
        gl_sub_context(few, GL_CREATE_SUB_CTX, i);
    }
    g_assert_cmphex(submit(f, 1, few), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, base + 4 * SUB_CONTEXT);
    for (unsigned i = 10; i < 110; i++) {
        gl_sub_context(many, GL_CREATE_SUB_CTX, i);
    }
    /* refused, and the context is lost: stock drivers know no other error */
    g_assert_cmphex(submit(f, 1, many), ==, ERR_PARAM);
    g_assert_cmpuint(frontend_used(f), ==, base + 4 * SUB_CONTEXT);
    gl_command(nop, GL_NOP, 0, 0);
    g_assert_cmphex(submit(f, 1, nop), ==, ERR_PARAM);
    /* contexts and sub-contexts share one cap: 5 are taken */
    for (unsigned i = 2; i <= MAX_CONTEXTS - 4; i++) {
        g_assert_cmphex(gpu_context_create(f, i, 0), ==, OK_NODATA);
    }
    g_assert_cmphex(gpu_context_create(f, 90, 0), !=, OK_NODATA);
    g_assert_true(frontend_reset(f));
    g_assert_true(gpu_still_works(f));
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

/* What no guest driver sends is refused before virglrenderer sees it; that context is lost, no other. */
static void test_bad_streams(void)
{
    g_autoptr(Frontend) f = start();
    static const uint32_t bad[][4] = {
        { GL_LAST | 0 << 16 },
        { 200 },
        { 0xff },
        { GL_CLEAR | 100u << 16 },
        { 0xffff0000u | GL_CLEAR },
        { GL_CREATE_SUB_CTX | 2 << 16, 1, 2 },
        { GL_PIPE_RESOURCE_CREATE | 1 << 16, 1 },
        { GL_CREATE_OBJECT | 200 << 8 | 1 << 16, 1 },
        { GL_CREATE_OBJECT | GL_OBJECT_SURFACE << 8 },
    };
    g_autoptr(GlStream) huge = gl_stream_new();
    uint32_t nop = 0;

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_texture(f, 5, BGRX, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 5), ==, OK_NODATA);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint64_t used = frontend_used(f);
        g_autoptr(Pending) p = NULL;

        g_assert_cmphex(gpu_context_create(f, 2, 0), ==, OK_NODATA);
        /* with a fence: an error is due as well, and at once */
        p = gpu_submit_fenced(f, 2, bad[i], 3, 99);
        g_assert_true(p && frontend_wait(f, p, FRONTEND_COMMAND_DEADLINE));
        if (gpu_response(p) != ERR_PARAM) {
            g_test_fail_printf("bad stream %u: response 0x%x", i, gpu_response(p));
        }
        g_assert_cmphex(gpu_submit(f, 2, &nop, 1), ==, ERR_PARAM);
        g_assert_cmphex(gpu_submit(f, 1, &nop, 1), ==, OK_NODATA);
        g_assert_cmphex(gpu_context_destroy(f, 2), ==, OK_NODATA);
        g_assert_cmpuint(frontend_used(f), ==, used);
    }
    /* a texture that is none */
    g_assert_cmphex(gpu_context_create(f, 2, 0), ==, OK_NODATA);
    gl_pipe_resource(huge, 1, 0x40000000);
    g_assert_cmphex(submit(f, 2, huge), !=, OK_NODATA);
    g_assert_cmphex(gpu_set_scanout(f, 0, 5, 0, 0, 64, 64), ==, OK_NODATA);
    paint(f, 1, 5, 77, 0x102030);
    g_assert_cmphex(gpu_flush(f, 5, 0, 0, 64, 64), ==, OK_NODATA);
    expect_colour(f, 1, 0x102030);
}

/* A stream that virglrenderer itself refuses costs its context at most, not the neighbour's. */
static void test_lost_context(void)
{
    g_autoptr(Frontend) f = start();
    g_autoptr(GlStream) s = gl_stream_new();

    for (uint32_t c = 1; c <= 2; c++) {
        g_assert_cmphex(gpu_context_create(f, c, 0), ==, OK_NODATA);
        g_assert_cmphex(gpu_create_texture(f, 4 + c, BGRX, 64, 64), ==, OK_NODATA);
        g_assert_cmphex(gpu_context_attach(f, c, 4 + c), ==, OK_NODATA);
    }
    /* well formed, but of a resource that context 1 does not have */
    gl_create_surface(s, 9, 6, BGRX);
    submit(f, 1, s);
    g_assert_cmphex(gpu_set_scanout(f, 0, 6, 0, 0, 64, 64), ==, OK_NODATA);
    paint(f, 2, 6, 77, 0xa0b0c0);
    g_assert_cmphex(gpu_flush(f, 6, 0, 0, 64, 64), ==, OK_NODATA);
    expect_colour(f, 1, 0xa0b0c0);
    g_assert_cmphex(gpu_context_destroy(f, 1), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 5), ==, OK_NODATA);
    paint(f, 1, 5, 77, 0x111111);
}

/* The answer is ours, in KiB, in the resource's backing. */
static void test_memory_info(void)
{
    g_autoptr(Frontend) f = start();
    g_autoptr(GlStream) s = gl_stream_new();
    struct virtio_gpu_resource_create_3d buffer = {
        .resource_id = 3,
        .target = 0,
        .format = 64 /* R8 */,
        .bind = 1 << 19 /* STAGING */,
        .width = 4096,
        .height = 1,
        .depth = 1,
        .array_size = 1,
    };
    uint64_t gpa = ram_alloc(f->ram, 4096);
    uint32_t *info = ram_ptr(f->ram, gpa);

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_3d(f, 1, &buffer), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, 3, gpa, 4096), ==, OK_NODATA);
    g_assert_cmphex(gpu_context_attach(f, 1, 3), ==, OK_NODATA);
    gl_memory_info(s, 3);
    for (unsigned i = 0; i < 3; i++) {
        memset(info, 0xee, 4096);
        g_assert_cmphex(submit(f, 1, s), ==, OK_NODATA);
        g_assert_cmpuint(info[0], ==, LIMIT / 1024);
        g_assert_cmpuint(info[1], ==, (LIMIT - frontend_used(f)) / 1024);
        g_assert_cmpuint(info[2], <=, LIMIT / 1024);
        g_assert_cmpuint(info[3], <=, LIMIT / 1024);
        g_assert_cmphex(info[7], ==, 0xeeeeeeee);
        g_assert_cmphex(gpu_create_texture(f, 20 + i, BGRX, 1024, 1024), ==, OK_NODATA);
    }
}

/* The same resource by commands of the queue: exact, refused, refunded. */
static void test_resources_count(void)
{
    g_autoptr(Frontend) f = start();
    unsigned made = 0;

    g_assert_cmphex(gpu_create_texture(f, 1, BGRX, 1024, 1024), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, 4 * MIB);
    while (made < 100 && gpu_create_texture(f, 10 + made, BGRX, 1024, 1024) == OK_NODATA) {
        made++;
    }
    g_assert_cmpuint(made, ==, LIMIT / MIB / 4 - 1);
    g_assert_cmphex(gpu_create_texture(f, 900, BGRX, 1024, 1024), ==, ERR_MEMORY);
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, LIMIT - 4 * MIB);
    g_assert_true(frontend_reset(f));
    g_assert_true(gpu_still_works(f));
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

static void test_bad_shapes(void)
{
    g_autoptr(Frontend) f = start();
    const struct virtio_gpu_resource_create_3d good = {
        .resource_id = 7,
        .target = 2,
        .format = BGRX,
        .bind = 2,
        .width = 16,
        .height = 16,
        .depth = 1,
        .array_size = 1,
    };
    struct virtio_gpu_resource_create_3d bad[12];

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        bad[i] = good;
    }
    bad[0].target = 9;
    bad[1].target = 0xffffffff;
    bad[2].format = 0;
    bad[3].format = 0xffffffff;
    bad[4].width = 0;
    bad[5].height = 0;
    bad[6].width = bad[6].height = 0xffffffff;
    bad[7].last_level = 40;
    bad[8].array_size = 0xffffffff;
    bad[9].depth = 0xffffffff;
    bad[10].nr_samples = 0xffffffff;
    bad[11].resource_id = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint32_t r = gpu_create_3d(f, 0, &bad[i]);

        if (r < ERR_UNSPEC || r > ERR_PARAM) {
            g_test_fail_printf("bad shape %u: response 0x%x", i, r);
        }
        g_assert_cmpuint(frontend_used(f), ==, 0);
    }
    g_assert_cmphex(gpu_create_3d(f, 0, &good), ==, OK_NODATA);
}

/* Streams of noise under a good header: refused or executed, the renderer goes on. */
static void test_noise(void)
{
    g_autoptr(Frontend) f = start();

    for (unsigned round = 0; round < 400 && !f->dead; round++) {
        uint32_t dwords[64];
        unsigned n = 0;

        if (round % 20 == 0) {
            g_assert_true(frontend_reset(f));
            g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
            g_assert_cmphex(gpu_create_texture(f, 5, BGRX, 64, 64), ==, OK_NODATA);
            g_assert_cmphex(gpu_context_attach(f, 1, 5), ==, OK_NODATA);
        }
        while (n < 40) {
            unsigned len = g_test_rand_int_range(0, 14);

            dwords[n++] =
                g_test_rand_int_range(0, GL_LAST + 2) | g_test_rand_int_range(0, 12) << 8 | len << 16;
            for (unsigned i = 0; i < len; i++) {
                dwords[n++] = g_test_rand_int_range(0, 4) ? (guint32)g_test_rand_int_range(0, 10)
                                                          : (guint32)g_test_rand_int();
            }
        }
        gpu_submit(f, 1, dwords, n);
    }
    g_assert_true(frontend_reset(f));
    g_assert_true(gpu_still_works(f));
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

/* A profile without OpenGL, and no layer that Vulkan would need: the guest has 2D, and is told why. */
static void test_no_gl(void)
{
    FrontendOptions o = { .renderer = "auto", .ram = 64 * MIB, .extra = "--apis=vulkan" };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_resp_capset_info info;

    g_assert_cmpuint(f->hello.kind, ==, VGPU_RENDERER_2D);
    g_assert_false(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_VIRGL);
    g_assert_nonnull(strstr(f->hello.warning, "apis="));
    g_assert_false(gpu_find_capset(f, 1, &info));
    g_assert_false(gpu_find_capset(f, 2, &info));
    g_assert_true(gpu_find_capset(f, 16, &info));
    g_assert_cmphex(gpu_context_create(f, 1, 0), !=, OK_NODATA);
}

/* The same where the renderer has 3D and no say in it. */
static void test_no_gl_context(void)
{
    FrontendOptions o = { .renderer = "null", .ram = 64 * MIB, .extra = "--apis=vulkan" };
    g_autoptr(Frontend) f = frontend_new(&o);

    g_assert_false(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_VIRGL);
    g_assert_cmphex(gpu_context_create(f, 1, 0), !=, OK_NODATA);
    g_assert_cmphex(gpu_context_create(f, 1, 2), !=, OK_NODATA);
}

/* A host without EGL gets the 2D renderer and a warning; then there is nothing to test here. */
static char *virgl_missing(void)
{
    FrontendOptions o = { .renderer = "auto" };
    g_autoptr(Frontend) f = frontend_new(&o);

    return f->hello.kind == VGPU_RENDERER_VIRGL ? NULL
                                                : g_strndup(f->hello.warning, sizeof(f->hello.warning));
}

static void skipped(gconstpointer why)
{
    g_test_skip(why);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        GTestFunc func;
    } tests[] = {
        { "/virgl/hello", test_hello },
        { "/virgl/capset-memory", test_capset_memory },
        { "/virgl/contexts", test_contexts },
        { "/virgl/context-cap", test_context_cap },
        { "/virgl/clear-is-shown", test_clear_is_shown },
        { "/virgl/transfers", test_transfers },
        { "/virgl/fences", test_fences },
        { "/virgl/fence-is-asynchronous", test_fence_is_asynchronous },
        { "/virgl/stream-resources-count", test_stream_resources_count },
        { "/virgl/sub-contexts-count", test_sub_contexts_count },
        { "/virgl/bad-streams", test_bad_streams },
        { "/virgl/lost-context", test_lost_context },
        { "/virgl/memory-info", test_memory_info },
        { "/virgl/resources-count", test_resources_count },
        { "/virgl/bad-shapes", test_bad_shapes },
        { "/virgl/noise", test_noise },
        { "/virgl/no-gl", test_no_gl },
        { "/virgl/no-gl-context", test_no_gl_context },
    };
    char *missing;

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    missing = virgl_missing();
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        if (missing) {
            g_test_add_data_func(tests[i].path, missing, skipped);
        } else {
            g_test_add_func(tests[i].path, tests[i].func);
        }
    }
    return g_test_run();
}
