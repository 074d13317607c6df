/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every field of the 3D commands wrong, on the null renderer and on virgl; and resets in the middle of it. */
#include <string.h>

#include "gl_stream.h"
#include "picture.h"

#define NONE      0xffffffffu
#define ANY_ERROR 1
#define SOON      10000
#define MIB       (1ull << 20)

static void check(Frontend *f, const char *what, uint32_t got, uint32_t want)
{
    bool fine = want == ANY_ERROR ? got >= ERR_UNSPEC && got <= ERR_PARAM : got == want;

    if (f->dead) {
        return;
    }
    if (!fine) {
        g_test_fail_printf("%s: response 0x%x, not 0x%x", what, got, want);
    }
    if (!gpu_still_works(f)) {
        g_test_fail_printf("%s: the next good command failed", what);
    }
}

#define CHECK(call, want) check(f, #call, call, want)

static Frontend *start(gconstpointer renderer)
{
    FrontendOptions o = { .renderer = renderer, .ram = 64 * MIB, .max_contexts = 8 };

    return frontend_new(&o);
}

static uint32_t create_context(Frontend *f, uint32_t ctx, uint32_t nlen, uint32_t init)
{
    struct virtio_gpu_ctx_create c = { .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = ctx },
                                       .nlen = nlen,
                                       .context_init = init };

    memset(c.debug_name, 'n', sizeof(c.debug_name));
    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

static void test_context_fields(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);

    f->features &= ~(1ull << VIRTIO_GPU_F_CONTEXT_INIT);
    g_assert_true(frontend_reset(f));
    CHECK(create_context(f, 0, 4, 0), ERR_CONTEXT);
    CHECK(create_context(f, 1, 65, 0), ERR_PARAM);
    CHECK(create_context(f, 1, NONE, 0), ERR_PARAM);
    /* without CONTEXT_INIT */
    CHECK(create_context(f, 1, 4, 4), ERR_PARAM);
    CHECK(create_context(f, 1, 4, NONE), ERR_PARAM);
    CHECK(create_context(f, 1, 64, 0), OK_NODATA);
    CHECK(create_context(f, 1, 0, 0), ERR_CONTEXT);
    CHECK(create_context(f, NONE, 0, 0), OK_NODATA);
    CHECK(gpu_context_destroy(f, NONE), OK_NODATA);
    for (unsigned i = 2; i <= 8; i++) {
        CHECK(create_context(f, i, 4, 0), OK_NODATA);
    }
    CHECK(create_context(f, 9, 4, 0), ANY_ERROR);
    CHECK(gpu_context_destroy(f, 8), OK_NODATA);
    CHECK(create_context(f, 9, 4, 0), OK_NODATA);
    CHECK(gpu_create_2d(f, 1, BGRX, 16, 16), OK_NODATA);
    CHECK(gpu_context_attach(f, 1, 0), ERR_RESOURCE);
    CHECK(gpu_context_attach(f, 1, 2), ERR_RESOURCE);
    CHECK(gpu_context_attach(f, 0, 1), ERR_CONTEXT);
    CHECK(gpu_context_attach(f, 77, 1), ERR_CONTEXT);
    CHECK(gpu_context_attach(f, 1, 1), OK_NODATA);
    CHECK(gpu_context_attach(f, 1, 1), OK_NODATA);
    CHECK(gpu_context_detach(f, 77, 1), ERR_CONTEXT);
    CHECK(gpu_context_detach(f, 1, 2), ERR_RESOURCE);
    CHECK(gpu_context_detach(f, 1, 1), OK_NODATA);
    /* a resource that goes while contexts have it, a context that goes while it has resources */
    CHECK(gpu_context_attach(f, 1, 1), OK_NODATA);
    CHECK(gpu_context_attach(f, 2, 1), OK_NODATA);
    CHECK(gpu_unref(f, 1), OK_NODATA);
    CHECK(gpu_create_2d(f, 1, BGRX, 16, 16), OK_NODATA);
    CHECK(gpu_context_attach(f, 1, 1), OK_NODATA);
    CHECK(gpu_context_destroy(f, 1), OK_NODATA);
    CHECK(gpu_unref(f, 1), OK_NODATA);
}

/* size as told and bytes as sent, apart. */
static uint32_t submit_lie(Frontend *f, uint32_t ctx, uint32_t told, uint32_t sent)
{
    struct virtio_gpu_cmd_submit c = { .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = ctx },
                                       .size = told };
    uint32_t zeros[64] = { 0 };

    return gpu_run(f, &c, sizeof(c), sent ? zeros : NULL, sent, NULL, 0);
}

static void test_submit_fields(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    g_autofree uint32_t *big = g_malloc0((16 << 20) + 4);

    CHECK(create_context(f, 1, 4, 0), OK_NODATA);
    CHECK(submit_lie(f, 1, 16, 16), OK_NODATA);
    CHECK(submit_lie(f, 1, 0, 0), OK_NODATA);
    CHECK(submit_lie(f, 0, 16, 16), ERR_CONTEXT);
    CHECK(submit_lie(f, 2, 16, 16), ERR_CONTEXT);
    CHECK(submit_lie(f, NONE, 16, 16), ERR_CONTEXT);
    CHECK(submit_lie(f, 1, 20, 16), ERR_PARAM);
    CHECK(submit_lie(f, 1, 12, 16), ERR_PARAM);
    CHECK(submit_lie(f, 1, 0, 16), ERR_PARAM);
    CHECK(submit_lie(f, 1, 16, 0), ERR_PARAM);
    CHECK(submit_lie(f, 1, 15, 15), ERR_PARAM);
    CHECK(submit_lie(f, 1, 1, 1), ERR_PARAM);
    CHECK(submit_lie(f, 1, NONE, 16), ERR_PARAM);
    CHECK(submit_lie(f, 1, 0xfffffffcu, 16), ERR_PARAM);
    /* the cap of one submit is 16 MiB */
    CHECK(gpu_submit(f, 1, big, 4 << 20), OK_NODATA);
    CHECK(gpu_submit(f, 1, big, (4 << 20) + 1), ERR_PARAM);
}

static uint32_t transfer(Frontend *f, bool to_host, uint32_t ctx, uint32_t id, uint32_t level,
                         uint64_t offset, uint32_t stride, uint32_t layer_stride, uint32_t x, uint32_t y,
                         uint32_t z, uint32_t w, uint32_t h, uint32_t d)
{
    struct virtio_gpu_transfer_host_3d c = {
        .hdr = { .type = to_host ? VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D : VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
                 .ctx_id = ctx },
        .box = { x, y, z, w, h, d },
        .offset = offset,
        .resource_id = id,
        .level = level,
        .stride = stride,
        .layer_stride = layer_stride,
    };

    return gpu_run(f, &c, sizeof(c), NULL, 0, NULL, 0);
}

static void test_transfer_fields(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t gpa = ram_alloc(f->ram, 64 * 64 * 4);

    CHECK(create_context(f, 1, 4, 0), OK_NODATA);
    CHECK(gpu_create_texture(f, 1, BGRX, 64, 64), OK_NODATA);
    CHECK(gpu_context_attach(f, 1, 1), OK_NODATA);
    for (unsigned to = 0; to < 2; to++) {
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 0, 0, 64, 64, 1), ANY_ERROR); /* no backing */
        CHECK(gpu_attach_one(f, 1, gpa, 64 * 64 * 4), OK_NODATA);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 0, 0, 64, 64, 1), OK_NODATA);
        CHECK(transfer(f, to, 0, 1, 0, 0, 0, 0, 0, 0, 0, 64, 64, 1), OK_NODATA); /* stock Linux's fbdev */
        CHECK(transfer(f, to, 9, 1, 0, 0, 0, 0, 0, 0, 0, 64, 64, 1), ERR_CONTEXT);
        CHECK(transfer(f, to, 1, 9, 0, 0, 0, 0, 0, 0, 0, 64, 64, 1), ERR_RESOURCE);
        CHECK(transfer(f, to, 1, 0, 0, 0, 0, 0, 0, 0, 0, 64, 64, 1), ERR_RESOURCE);
        CHECK(transfer(f, to, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, NONE, 0, 0, 0, 0, 0, 0, 1, 1, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 64, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 0, 0, 64, 0, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 0, 0, 64, 64, 0), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 1, 0, 0, 64, 64, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 1, 0, 64, 64, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 0, 1, 64, 64, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 0, 0, 64, 64, 2), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, NONE, 0, 0, 2, 1, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, NONE, 0, 1, 2, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 0, 0, NONE, 1, 1, 2), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0, 0, 0, 32, 32, 0, 0xffffffe0u, 0xffffffe0u, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 64 * 64 * 4, 0, 0, 0, 0, 0, 1, 1, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, ~0ull, 0, 0, 0, 0, 0, 1, 1, 1), ERR_PARAM);
        CHECK(transfer(f, to, 1, 1, 0, 0x100000000ull, 0, 0, 0, 0, 0, 1, 1, 1), ERR_PARAM);
        /* what ends past the backing may be refused or cut, but harms nobody */
        transfer(f, to, 1, 1, 0, 64 * 64 * 4 - 4, 0, 0, 0, 0, 0, 64, 64, 1);
        transfer(f, to, 1, 1, 0, 0, NONE, 0, 0, 0, 0, 64, 64, 1);
        transfer(f, to, 1, 1, 0, 0, 0x80000000u, 0x80000000u, 0, 0, 0, 64, 64, 1);
        transfer(f, to, 1, 1, 0, 4, 1, NONE, 0, 0, 0, 64, 64, 1);
        g_assert_true(gpu_still_works(f));
        CHECK(gpu_detach(f, 1), OK_NODATA);
        /* virglrenderer may hold these against the context: a new one has none of it */
        CHECK(gpu_context_destroy(f, 1), OK_NODATA);
        CHECK(create_context(f, 1, 4, 0), OK_NODATA);
        CHECK(gpu_context_attach(f, 1, 1), OK_NODATA);
    }
}

/* Context 0 is the console's: nothing that is held against it may stop it. */
static void test_context_zero_lives(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t gpa = ram_alloc(f->ram, 64 * 64 * 4);

    picture_fill(f, gpa, BGRX, 5, 64, 64, 64 * 4);
    CHECK(gpu_create_texture(f, 1, BGRX, 64, 64), OK_NODATA);
    CHECK(gpu_attach_one(f, 1, gpa, 64 * 64 * 4), OK_NODATA);
    CHECK(gpu_set_scanout(f, 0, 1, 0, 0, 64, 64), OK_NODATA);
    for (unsigned to = 0; to < 2; to++) {
        transfer(f, to, 0, 1, 0, 64 * 64 * 4 - 4, 0, 0, 0, 0, 0, 64, 64, 1);
        transfer(f, to, 0, 1, 0, 0, NONE, 0, 0, 0, 0, 64, 64, 1);
        transfer(f, to, 0, 1, 0, 0, 0x80000000u, 0x80000000u, 0, 0, 0, 64, 64, 1);
    }
    CHECK(transfer(f, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 64, 64, 1), OK_NODATA);
    CHECK(gpu_flush(f, 1, 0, 0, 64, 64), OK_NODATA);
    screen_settle(&f->screen, SOON);
    if (f->hello.kind == VGPU_RENDERER_VIRGL) {
        picture_check(f, 0, 0, 0, 64, 64, 5, 0, 0);
    }
}

/* One field of a good shape at a time. */
static void test_shape_fields(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
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
    struct virtio_gpu_resource_create_3d c;

#define BAD(field, value, want)                                                                              \
    do {                                                                                                     \
        c = good;                                                                                            \
        c.field = value;                                                                                     \
        check(f, #field " = " #value, gpu_create_3d(f, 0, &c), want);                                        \
        g_assert_cmpuint(frontend_used(f), ==, 0);                                                           \
    } while (0)

    BAD(resource_id, 0, ERR_RESOURCE);
    BAD(target, 9, ERR_PARAM);
    BAD(target, NONE, ERR_PARAM);
    BAD(format, 0, ERR_PARAM);
    BAD(format, 443, ERR_PARAM);
    BAD(format, NONE, ERR_PARAM);
    BAD(width, 0, ERR_PARAM);
    BAD(height, 0, ERR_PARAM);
    BAD(depth, 0, ERR_PARAM);
    BAD(width, NONE, ANY_ERROR);
    BAD(height, NONE, ANY_ERROR);
    BAD(depth, NONE, ANY_ERROR);
    BAD(depth, 2, ERR_PARAM); /* of a 2D texture */
    BAD(array_size, NONE, ANY_ERROR);
    BAD(last_level, 5, ERR_PARAM); /* 16x16 has 5 levels, 0 to 4 */
    BAD(last_level, NONE, ERR_PARAM);
    BAD(nr_samples, NONE, ANY_ERROR);
    CHECK(gpu_create_3d(f, 0, &good), OK_NODATA);
    CHECK(gpu_create_3d(f, 0, &good), ERR_RESOURCE);
    CHECK(gpu_unref(f, 7), OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

/* Resets with work and fences under way: the next life starts clean, and its fences come. */
static void test_reset_under_load(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    g_autoptr(GlStream) s = gl_stream_new();

    for (unsigned i = 0; i < 200; i++) {
        gl_clear(s, i);
    }
    for (unsigned round = 0; round < 12 && !f->dead; round++) {
        g_autoptr(GlStream) set_up = gl_stream_new();
        g_autoptr(Pending) last = NULL;

        g_assert_cmpuint(frontend_used(f), ==, 0);
        CHECK(create_context(f, 1, 4, 0), OK_NODATA);
        CHECK(gpu_create_texture(f, 5, BGRX, 1024, 1024), OK_NODATA);
        CHECK(gpu_context_attach(f, 1, 5), OK_NODATA);
        gl_create_surface(set_up, 1, 5, BGRX);
        gl_set_framebuffer(set_up, 1);
        CHECK(gpu_submit(f, 1, gl_stream_data(set_up), gl_stream_count(set_up)), OK_NODATA);
        last = gpu_submit_fenced(f, 1, gl_stream_data(set_up), gl_stream_count(set_up), 1);
        if (!last || !frontend_wait(f, last, FRONTEND_COMMAND_DEADLINE)) {
            frontend_fail(f, "round %u: a fence of the new life never came", round);
            break;
        }
        for (unsigned i = 0; i < 20; i++) {
            Pending *p = gpu_submit_fenced(f, 1, gl_stream_data(s), gl_stream_count(s), 100 + i);

            pending_free(p);
        }
        g_usleep(round * 3000);
        g_assert_true(frontend_reset(f));
        g_assert_true(gpu_still_works(f));
    }
}

/* The process ends soon although GL works: frontend_free() looks at the clock and the status. */
static void test_close_under_load(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    g_autoptr(GlStream) s = gl_stream_new();

    CHECK(create_context(f, 1, 4, 0), OK_NODATA);
    CHECK(gpu_create_texture(f, 5, BGRX, 4096, 4096), OK_NODATA);
    CHECK(gpu_context_attach(f, 1, 5), OK_NODATA);
    gl_create_surface(s, 1, 5, BGRX);
    gl_set_framebuffer(s, 1);
    for (unsigned i = 0; i < 500; i++) {
        gl_clear(s, i);
    }
    for (unsigned i = 0; i < 20; i++) {
        pending_free(gpu_submit_fenced(f, 1, gl_stream_data(s), gl_stream_count(s), i));
    }
    g_usleep(20000);
}

static void skipped(gconstpointer why)
{
    g_test_skip(why);
}

/* Why this host has no virgl; NULL: it has. */
static char *virgl_missing(void)
{
    FrontendOptions o = { .renderer = "auto" };
    g_autoptr(Frontend) f = frontend_new(&o);

    return f->hello.kind == VGPU_RENDERER_VIRGL ? NULL
                                                : g_strndup(f->hello.warning, sizeof(f->hello.warning));
}

int main(int argc, char **argv)
{
    static const char *const renderers[] = { "null", "virgl" };
    static const struct {
        const char *name;
        GTestDataFunc func;
    } tests[] = {
        { "context-fields", test_context_fields },         { "submit-fields", test_submit_fields },
        { "transfer-fields", test_transfer_fields },       { "shape-fields", test_shape_fields },
        { "context-zero-lives", test_context_zero_lives }, { "reset-under-load", test_reset_under_load },
        { "close-under-load", test_close_under_load },
    };
    char *missing;

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    missing = virgl_missing();
    for (unsigned i = 0; i < G_N_ELEMENTS(renderers); i++) {
        for (unsigned t = 0; t < G_N_ELEMENTS(tests); t++) {
            g_autofree char *path = g_strdup_printf("/3d/%s/%s", renderers[i], tests[t].name);

            if (i == 1 && missing) {
                g_test_add_data_func(path, missing, skipped);
            } else {
                g_test_add_data_func(path, renderers[i], tests[t].func);
            }
        }
    }
    return g_test_run();
}
