/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The eight formats of RESOURCE_CREATE_2D: a guest sees the same picture with
 * virgl (on this machine's EGL) as with the 2D renderer.
 */
#include <string.h>

#include <linux/virtio_gpu.h>

#include "quota/virgl.h"
#include "renderer/ops.h"

#define LIMIT (256ull * 1024 * 1024)

/* As RESOURCE_CREATE_2D has them. */
#define BIND_RENDER_TARGET (1u << 1)
#define Y_0_TOP            (1u << 0)
#define W                  64
#define H                  32

#define OK VIRTIO_GPU_RESP_OK_NODATA

/* Which of its four bytes a format keeps a colour in; rest: alpha, or nothing. */
typedef struct Layout {
    uint32_t name; /* of virtio or DRM */
    uint8_t red, green, blue, rest;
    bool alpha;
} Layout;

static const Layout formats[] = {
    { VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 2, 1, 0, 3, true },
    { VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 2, 1, 0, 3, false },
    { VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, 1, 2, 3, 0, true },
    { VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, 1, 2, 3, 0, false },
    { VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, 0, 1, 2, 3, true },
    { VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, 3, 2, 1, 0, false },
    { VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, 3, 2, 1, 0, true },
    { VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, 0, 1, 2, 3, false },
};

static const Layout fourccs[] = {
    { 0x34325241 /* AR24 */, 2, 1, 0, 3, true }, { 0x34325258 /* XR24 */, 2, 1, 0, 3, false },
    { 0x34324142 /* BA24 */, 1, 2, 3, 0, true }, { 0x34325842 /* BX24 */, 1, 2, 3, 0, false },
    { 0x34324241 /* AB24 */, 0, 1, 2, 3, true }, { 0x34324258 /* XB24 */, 0, 1, 2, 3, false },
    { 0x34324152 /* RA24 */, 3, 2, 1, 0, true }, { 0x34325852 /* RX24 */, 3, 2, 1, 0, false },
};

static const Layout *layout_of_fourcc(uint32_t fourcc)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fourccs); i++) {
        if (fourccs[i].name == fourcc) {
            return &fourccs[i];
        }
    }
    g_error("nobody knows the fourcc 0x%08x", fourcc);
}

static void assert_same_colour(const Layout *a, const uint8_t *p, const Layout *b, const uint8_t *q)
{
    g_assert_cmphex(p[a->red], ==, q[b->red]);
    g_assert_cmphex(p[a->green], ==, q[b->green]);
    g_assert_cmphex(p[a->blue], ==, q[b->blue]);
    g_assert_true(a->alpha == b->alpha);
    if (a->alpha) {
        g_assert_cmphex(p[a->rest], ==, q[b->rest]);
    }
}

/* A scanout's way with a resource as RESOURCE_CREATE_2D makes it, in one of the eight formats. */
static void check_format(const RendererOps *ops, Renderer *r, const Layout *format)
{
    enum { LEFT = 9, TOP = 5 };
    ResourceShape shape = {
        .target = PIPE_TEXTURE_2D,
        .format = format->name,
        .bind = BIND_RENDER_TARGET,
        .width = W,
        .height = H,
        .depth = 1,
        .array_size = 1,
        .flags = Y_0_TOP,
    };
    uint8_t up[H][W][4], down[H][W][4], back[H][W][4];
    struct iovec iov = { up, sizeof(up) };
    RendererTransfer all = { .resource_id = 7, .box = { 0, 0, 0, W, H, 1 } };
    RendererTransfer part = {
        .resource_id = 7,
        .offset = (TOP * W + LEFT) * 4,
        .box = { LEFT, TOP, 0, 3, 2, 1 },
    };
    const Layout *read;
    uint32_t fourcc = 0, again = 0;

    g_assert_cmphex(ops->resource_create(r, 7, &shape), ==, OK);
    g_assert_cmphex(ops->backing_attach(r, 7, &iov, 1), ==, OK);
    for (int i = 0; i < W * H * 4; i++) {
        (&up[0][0][0])[i] = (uint8_t)(i * 7 + i / 251); /* all values, and no two bytes of a pixel alike */
    }
    g_assert_cmphex(ops->transfer_to_host(r, &all), ==, OK);
    for (int y = TOP; y < TOP + 2; y++) {
        memset(up[y][LEFT], 0x40 + y, sizeof(up[y][LEFT]) * 3);
    }
    g_assert_cmphex(ops->transfer_to_host(r, &part), ==, OK);

    g_assert_cmphex(ops->read_pixels(r, 7, 0, 0, W, H, NULL, 0, &fourcc), ==, OK);
    g_assert_cmphex(ops->read_pixels(r, 7, 0, 0, W, H, down, sizeof(down[0]), &again), ==, OK);
    g_assert_cmphex(fourcc, ==, again);
    read = layout_of_fourcc(fourcc);
    memcpy(back, up, sizeof(back));
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            assert_same_colour(format, up[y][x], read, down[y][x]);
        }
    }
    if (ops == &renderer_virgl_ops) { /* a 2D device has no such command */
        memset(up, 0, sizeof(up));
        g_assert_cmphex(ops->transfer_from_host(r, &all), ==, OK);
        for (int y = 0; y < H; y++) {
            for (int x = 0; x < W; x++) {
                assert_same_colour(format, back[y][x], format, up[y][x]);
            }
        }
    }
    ops->backing_detach(r, 7);
    ops->resource_destroy(r, 7);
}

static void no_fence(void *opaque, uint64_t fence)
{
}

static void test_formats(gconstpointer data)
{
    const RendererOps *ops = data;
    Ledger ledger;
    RendererConfig config = { .vm_name = "test", .gl = true, .ledger = &ledger, .fence_done = no_fence };
    g_autoptr(GError) error = NULL;
    Renderer *r;

    ledger_init(&ledger, LIMIT, NULL);
    r = ops->create(&config, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_test_message("format %u", formats[i].name);
        check_format(ops, r, &formats[i]);
    }
    ops->destroy(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/formats/virgl", &renderer_virgl_ops, test_formats);
    g_test_add_data_func("/formats/2d", &renderer_2d_ops, test_formats);
    return g_test_run();
}
