/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virgl renderer on this machine's EGL (llvmpipe where there is no GPU):
 * real textures, real command streams, real fences.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_gpu.h>

#include "quota/virgl.h"
#include "renderer/ops.h"

#define MIB          (1024ull * 1024)
#define LIMIT        (256 * MIB)
#define MAX_CONTEXTS 6

#define BIND_RENDER_TARGET (1u << 1)
#define BIND_SAMPLER_VIEW  (1u << 3)
#define BIND_CUSTOM        (1u << 17)
#define Y_0_TOP            (1u << 0)
#define W                  64
#define H                  32

#define OK          VIRTIO_GPU_RESP_OK_NODATA
#define FOURCC_XR24 0x34325258u
#define FOURCC_AR24 0x34325241u

static const RendererOps *ops = &renderer_virgl_ops;

typedef struct Host {
    Renderer *r;
    Ledger ledger;
    GMutex lock;
    GCond cond;
    GArray *fences; /* of uint64_t, as they came */
    uint64_t used_at_start;
} Host;

static void on_fence(void *opaque, uint64_t fence)
{
    Host *host = opaque;

    g_mutex_lock(&host->lock);
    g_array_append_val(host->fences, fence);
    g_cond_broadcast(&host->cond);
    g_mutex_unlock(&host->lock);
}

static void host_open(Host *host)
{
    RendererConfig config = {
        .vm_name = "test",
        .gl = true,
        .max_contexts = MAX_CONTEXTS,
        .ledger = &host->ledger,
        .fence_done = on_fence,
        .opaque = host,
    };
    g_autoptr(GError) error = NULL;

    memset(host, 0, sizeof(*host));
    ledger_init(&host->ledger, LIMIT, NULL);
    g_mutex_init(&host->lock);
    g_cond_init(&host->cond);
    host->fences = g_array_new(false, false, sizeof(uint64_t));
    host->r = ops->create(&config, &error);
    g_assert_no_error(error);
    g_assert_nonnull(host->r);
    host->used_at_start = ledger_used(&host->ledger);
}

static void host_close(Host *host)
{
    ops->destroy(host->r);
    g_assert_cmpuint(ledger_used(&host->ledger), ==, 0);
    g_array_free(host->fences, true);
    g_mutex_clear(&host->lock);
    g_cond_clear(&host->cond);
}

/* As the render thread does: sleep until a fence comes, polling only when asked to. */
static void wait_fences(Host *host, guint count)
{
    gint64 deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;
    struct pollfd pfd = { .fd = ops->poll_fd(host->r), .events = POLLIN };
    guint have;

    do {
        if (pfd.fd >= 0 && poll(&pfd, 1, 1) > 0) {
            ops->poll(host->r);
        }
        g_mutex_lock(&host->lock);
        have = host->fences->len;
        g_mutex_unlock(&host->lock);
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
    } while (have < count);
}

static uint64_t charge(Host *host, const ResourceShape *shape)
{
    uint64_t bytes;

    g_assert_true(resource_size(shape, &bytes));
    g_assert_true(ledger_charge(&host->ledger, bytes));
    return bytes;
}

/* As dispatch does: charge, create. */
static uint64_t create(Host *host, uint32_t id, const ResourceShape *shape)
{
    uint64_t bytes = charge(host, shape);

    g_assert_cmphex(ops->resource_create(host->r, id, shape), ==, OK);
    return bytes;
}

static void destroy(Host *host, uint32_t id, uint64_t bytes)
{
    ops->resource_destroy(host->r, id);
    ledger_refund(&host->ledger, bytes);
}

static ResourceShape picture(uint32_t flags)
{
    return (ResourceShape){
        .target = PIPE_TEXTURE_2D,
        .format = VIRGL_FORMAT_B8G8R8X8_UNORM,
        .bind = BIND_RENDER_TARGET | BIND_SAMPLER_VIEW,
        .width = W,
        .height = H,
        .depth = 1,
        .array_size = 1,
        .flags = flags,
    };
}

static void test_capsets(void)
{
    Host host;
    uint32_t id, version, size, word;
    g_autofree uint8_t *caps = NULL;

    host_open(&host);
    g_assert_cmpstr(ops->description(host.r), !=, "");
    g_test_message("GL_RENDERER is %s", ops->description(host.r));
    g_assert_true(ops->capset_info(host.r, 0, &id, &version, &size));
    g_assert_cmpuint(id, ==, 1);
    g_assert_true(ops->capset_info(host.r, 1, &id, &version, &size));
    g_assert_cmpuint(id, ==, 2);
    g_assert_cmpuint(version, >=, 1);
    g_assert_cmpuint(size, >=, 760);
    caps = g_malloc(size + 4);
    memset(caps + size, 0xaa, 4);
    g_assert_true(ops->capset(host.r, 2, version, caps, size));
    memcpy(&word, caps + 692, 4); /* max_video_memory, MiB */
    g_assert_cmpuint(word, ==, LIMIT / MIB);
    memcpy(&word, caps + 688, 4); /* capability_bits_v2: VIDEO_MEMORY, MEMINFO */
    g_assert_cmphex(word & 0xc, ==, 0xc);
    g_assert_cmphex(caps[size], ==, 0xaa);

    /* a guest that asks for less gets less and no byte more */
    memset(caps, 0x55, size);
    g_assert_true(ops->capset(host.r, 2, version, caps, 16));
    g_assert_cmphex(caps[16], ==, 0x55);

    g_assert_false(ops->capset_info(host.r, 2, &id, &version, &size));
    g_assert_false(ops->capset(host.r, 3, 0, caps, 16));
    host_close(&host);
}

/* What goes up by transfer comes back by read_pixels and by transfer, the right way up. */
static void check_pixels(uint32_t flags)
{
    Host host;
    ResourceShape shape = picture(flags);
    uint32_t up[H][W], down[H][W + 5], part[3][4], fourcc = 0;
    struct iovec iov[2] = { { up, sizeof(up) / 2 }, { &up[H / 2], sizeof(up) / 2 } };
    RendererTransfer t = { .resource_id = 7, .box = { 0, 0, 0, W, H, 1 } };
    uint64_t bytes;

    host_open(&host);
    bytes = create(&host, 7, &shape);
    g_assert_cmphex(ops->resource_create(host.r, 7, &shape), ==, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ops->transfer_to_host(host.r, &t), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ops->backing_attach(host.r, 7, iov, 2), ==, OK);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            up[y][x] = 0xff000000u | (uint32_t)(y << 16 | x << 8 | (x ^ y));
        }
    }
    g_assert_cmphex(ops->transfer_to_host(host.r, &t), ==, OK);
    g_assert_cmphex(ops->read_pixels(host.r, 7, 0, 0, W, H, NULL, 0, &fourcc), ==, OK);
    g_assert_cmphex(fourcc, ==, FOURCC_XR24);
    memset(down, 0x11, sizeof(down));
    g_assert_cmphex(ops->read_pixels(host.r, 7, 0, 0, W, H, down, sizeof(down[0]), &fourcc), ==, OK);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            g_assert_cmphex(down[y][x] & 0xffffff, ==, up[y][x] & 0xffffff);
        }
        g_assert_cmphex(down[y][W], ==, 0x11111111);
    }
    g_assert_cmphex(ops->read_pixels(host.r, 7, 9, 5, 4, 3, part, sizeof(part[0]), &fourcc), ==, OK);
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 4; x++) {
            g_assert_cmphex(part[y][x] & 0xffffff, ==, up[y + 5][x + 9] & 0xffffff);
        }
    }
    memset(up, 0, sizeof(up));
    g_assert_cmphex(ops->transfer_from_host(host.r, &t), ==, OK);
    g_assert_cmphex(up[H - 1][3] & 0xffffff, ==, down[H - 1][3] & 0xffffff);
    g_assert_cmphex(up[2][W - 1] & 0xffffff, ==, down[2][W - 1] & 0xffffff);

    /* outside */
    g_assert_cmphex(ops->read_pixels(host.r, 7, W - 1, 0, 2, 1, part, 16, &fourcc), !=, OK);
    g_assert_cmphex(ops->read_pixels(host.r, 7, UINT32_MAX, 0, 2, 1, part, 16, &fourcc), !=, OK);
    g_assert_cmphex(ops->read_pixels(host.r, 8, 0, 0, 1, 1, part, 16, &fourcc), ==,
                    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    ops->backing_detach(host.r, 7);
    g_assert_cmphex(ops->transfer_to_host(host.r, &t), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    destroy(&host, 7, bytes);
    host_close(&host);
}

static void test_pixels(void)
{
    check_pixels(0);
}

static void test_pixels_y_0_top(void)
{
    check_pixels(Y_0_TOP);
}

/* Strides whose product wraps in 32 bits would let virglrenderer 1.1 read far outside. */
static void test_wrapping_strides(void)
{
    Host host;
    ResourceShape shape = picture(0);
    uint32_t up[H][W] = { 0 };
    struct iovec iov = { up, sizeof(up) };
    RendererTransfer t = { .resource_id = 7, .box = { 0, 0, 0, W, H, 1 } };
    uint64_t bytes;

    shape.target = PIPE_TEXTURE_3D;
    shape.depth = 17;
    host_open(&host);
    bytes = create(&host, 7, &shape);
    g_assert_cmphex(ops->backing_attach(host.r, 7, &iov, 1), ==, OK);
    t.box.d = 17;
    t.layer_stride = 0x10000000;
    g_assert_cmphex(ops->transfer_to_host(host.r, &t), !=, OK);
    t.layer_stride = 0;
    t.box.d = 1;
    t.stride = 0x80000000u;
    g_assert_cmphex(ops->transfer_to_host(host.r, &t), !=, OK);
    t.stride = 0;
    t.offset = UINT64_MAX - 16;
    g_assert_cmphex(ops->transfer_to_host(host.r, &t), !=, OK);
    t.offset = 0;
    g_assert_cmphex(ops->transfer_to_host(host.r, &t), ==, OK);
    destroy(&host, 7, bytes);
    host_close(&host);
}

static void test_fences(void)
{
    Host host;
    uint64_t base = 0xffffffff00000000ull; /* 64 bits come back whole */

    host_open(&host);
    g_assert_cmphex(ops->context_create(host.r, 1, 2, "fences", 6), ==, OK);
    for (uint64_t i = 0; i < 100; i++) {
        g_assert_cmphex(ops->create_fence(host.r, i % 2, 0, base + i), ==, OK);
    }
    wait_fences(&host, 100);
    for (guint i = 0; i < 100; i++) {
        g_assert_cmphex(g_array_index(host.fences, uint64_t, i), ==, base + i);
    }
    g_assert_cmphex(ops->create_fence(host.r, 9, 0, 1), ==, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
    g_assert_cmphex(ops->create_fence(host.r, 1, 1, 1), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);

    /* those of a context that goes still come */
    for (uint64_t i = 0; i < 50; i++) {
        g_assert_cmphex(ops->create_fence(host.r, 1, 0, i), ==, OK);
    }
    ops->context_destroy(host.r, 1);
    wait_fences(&host, 150);
    /* and those that are outstanding when the device is reset */
    g_assert_cmphex(ops->create_fence(host.r, 0, 0, 5), ==, OK);
    ops->reset(host.r);
    g_assert_cmpuint(host.fences->len, ==, 151);
    g_assert_cmphex(ops->create_fence(host.r, 0, 0, 6), ==, OK);
    wait_fences(&host, 152);
    host_close(&host);
}

static void test_max_contexts(void)
{
    Host host;
    unsigned made = 0;

    host_open(&host);
    for (uint32_t id = 1; id <= 100; id++) {
        uint32_t response = ops->context_create(host.r, id, 2, "many", 4);

        if (response == OK) {
            made++;
        } else {
            g_assert_cmphex(response, ==, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
        }
    }
    g_assert_cmpuint(made, ==, MAX_CONTEXTS);
    g_assert_cmpuint(ledger_used(&host.ledger), >=, made * 10 * MIB);
    g_assert_cmphex(ops->context_create(host.r, 1, 2, "twice", 5), ==,
                    VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
    ops->context_destroy(host.r, 3);
    g_assert_cmphex(ops->context_create(host.r, 200, 0, "old guest", 9), ==, OK);
    ops->context_destroy(host.r, 3);
    ops->reset(host.r);
    g_assert_cmpuint(ledger_used(&host.ledger), ==, 0);
    g_assert_cmphex(ops->context_create(host.r, 1, 4, "venus", 5), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    g_assert_cmphex(ops->context_create(host.r, 1, 1, "again", 5), ==, OK);
    host_close(&host);
}

/* Command streams.  Numbers: virgl_protocol.h. */

#define HEADER(cmd, object, length) ((cmd) | (uint32_t)(object) << 8 | (uint32_t)(length) << 16)
#define CREATE_OBJECT               1
#define DESTROY_OBJECT              3
#define SET_FRAMEBUFFER             5
#define CLEAR                       7
#define GET_MEMORY_INFO             50
#define OBJECT_SURFACE              8

static uint32_t float_bits(float f)
{
    uint32_t u;

    memcpy(&u, &f, 4);
    return u;
}

/* Surface 1 on resource id, framebuffer of it, cleared to green. */
static uint32_t submit_clear(Host *host, uint32_t ctx, uint32_t id)
{
    uint32_t stream[] = {
        HEADER(CREATE_OBJECT, OBJECT_SURFACE, 5),
        1,
        id,
        VIRGL_FORMAT_B8G8R8X8_UNORM,
        0,
        0,
        HEADER(SET_FRAMEBUFFER, 0, 3),
        1,
        0,
        1,
        HEADER(CLEAR, 0, 8),
        1 << 2,
        float_bits(0),
        float_bits(1),
        float_bits(0),
        float_bits(1),
        0,
        0,
        0,
    };

    return ops->submit(host->r, ctx, stream, sizeof(stream));
}

static void test_clear(void)
{
    Host host;
    ResourceShape shape = picture(0);
    uint32_t down[H][W], fourcc;
    uint64_t bytes;

    host_open(&host);
    bytes = create(&host, 3, &shape);
    g_assert_cmphex(submit_clear(&host, 1, 3), ==, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
    g_assert_cmphex(ops->context_create(host.r, 1, 2, "clear", 5), ==, OK);
    g_assert_cmphex(ops->context_attach(host.r, 1, 4), ==, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    g_assert_cmphex(ops->context_attach(host.r, 1, 3), ==, OK);
    g_assert_cmphex(submit_clear(&host, 1, 3), ==, OK);
    g_assert_cmphex(ops->create_fence(host.r, 1, 0, 77), ==, OK);
    wait_fences(&host, 1);
    g_assert_cmphex(ops->read_pixels(host.r, 3, 0, 0, W, H, down, W * 4, &fourcc), ==, OK);
    for (int i = 0; i < W * H; i++) {
        g_assert_cmphex((&down[0][0])[i] & 0xffffff, ==, 0x00ff00);
    }
    ops->context_destroy(host.r, 1);
    destroy(&host, 3, bytes);
    host_close(&host);
}

/* A context whose stream fails is lost; its neighbour is not. */
static void test_lost_context(void)
{
    Host host;
    ResourceShape shape = picture(0);
    uint64_t bytes;

    host_open(&host);
    bytes = create(&host, 3, &shape);
    for (uint32_t ctx = 1; ctx <= 2; ctx++) {
        g_assert_cmphex(ops->context_create(host.r, ctx, 2, "lost", 4), ==, OK);
        g_assert_cmphex(ops->context_attach(host.r, ctx, 3), ==, OK);
    }
    g_assert_cmphex(submit_clear(&host, 1, 99), !=, OK);
    g_assert_cmphex(submit_clear(&host, 1, 3), !=, OK);
    g_assert_cmphex(submit_clear(&host, 2, 3), ==, OK);
    /* its fences come all the same */
    g_assert_cmphex(ops->create_fence(host.r, 1, 0, 1), ==, OK);
    wait_fences(&host, 1);
    destroy(&host, 3, bytes);
    host_close(&host);
}

/* virglrenderer 1.1 reads 4 GiB past this stream: 16 layers of 256 MiB are 0 in 32 bits. */
static void test_wrapping_inline_write(void)
{
    enum { DEEP = 17, LENGTH = 11 + W * H * DEEP };
    Host host;
    ResourceShape shape = picture(0);
    g_autofree uint32_t *stream = g_new0(uint32_t, LENGTH + 1);
    uint64_t bytes;

    shape.target = PIPE_TEXTURE_3D;
    shape.depth = DEEP;
    stream[0] = HEADER(VIRGL_CCMD_RESOURCE_INLINE_WRITE, 0, LENGTH);
    stream[1] = 7;
    stream[9] = W;
    stream[10] = H;
    stream[11] = DEEP;
    host_open(&host);
    bytes = create(&host, 7, &shape);
    for (uint32_t ctx = 1; ctx <= 2; ctx++) {
        g_assert_cmphex(ops->context_create(host.r, ctx, 2, "wrap", 4), ==, OK);
        g_assert_cmphex(ops->context_attach(host.r, ctx, 7), ==, OK);
    }
    g_assert_cmphex(ops->submit(host.r, 1, stream, (LENGTH + 1) * 4), ==, OK);
    stream[5] = 0x10000000; /* layer_stride */
    g_assert_cmphex(ops->submit(host.r, 2, stream, (LENGTH + 1) * 4), !=, OK);
    destroy(&host, 7, bytes);
    host_close(&host);
}

static void test_memory_info(void)
{
    Host host;
    ResourceShape shape = {
        .target = PIPE_BUFFER,
        .format = VIRGL_FORMAT_R8_UNORM,
        .bind = BIND_CUSTOM,
        .width = 64,
        .height = 1,
        .depth = 1,
        .array_size = 1,
    };
    uint32_t stream[] = { HEADER(GET_MEMORY_INFO, 0, 1), 5 };
    uint32_t answer[16] = { 0 };
    struct iovec iov[2] = { { answer, 6 }, { (char *)answer + 6, sizeof(answer) - 6 } };

    host_open(&host);
    create(&host, 5, &shape);
    g_assert_cmphex(ops->backing_attach(host.r, 5, iov, 2), ==, OK);
    g_assert_cmphex(ops->context_create(host.r, 1, 2, "info", 4), ==, OK);
    g_assert_cmphex(ops->submit(host.r, 1, stream, sizeof(stream)), ==, OK);
    g_assert_cmpuint(answer[0], ==, 0); /* not attached: not its */
    g_assert_cmphex(ops->context_attach(host.r, 1, 5), ==, OK);
    stream[0] = HEADER(GET_MEMORY_INFO, 0, 1); /* the walk took it out */
    stream[1] = 5;
    g_assert_cmphex(ops->submit(host.r, 1, stream, sizeof(stream)), ==, OK);
    g_assert_cmpuint(answer[0], ==, LIMIT / 1024);
    g_assert_cmpuint(answer[1], ==, ledger_free(&host.ledger) / 1024);
    g_assert_cmpuint(answer[1], <, answer[0]);
    g_assert_cmpuint(answer[2], ==, 0);
    ops->reset(host.r);
    ledger_refund(&host.ledger, ledger_used(&host.ledger));

    /* buffers that have no GL name, so that nobody could tell when they go, are small */
    shape.width = 1 << 20;
    g_assert_cmphex(ops->resource_create(host.r, 6, &shape), ==, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    host_close(&host);
}

/* A resource given back while a surface still holds it stays in the books until that goes. */
static void test_lingering(void)
{
    uint32_t drop[] = {
        HEADER(SET_FRAMEBUFFER, 0, 2), 0, 0, HEADER(DESTROY_OBJECT, OBJECT_SURFACE, 1), 1,
    };
    Host host;
    ResourceShape shape = picture(0);
    uint64_t bytes, before;

    shape.width = shape.height = 1024;
    host_open(&host);
    g_assert_cmphex(ops->context_create(host.r, 1, 2, "linger", 6), ==, OK);
    before = ledger_used(&host.ledger);
    bytes = create(&host, 3, &shape);
    g_assert_cmpuint(bytes, ==, 4 * MIB);
    g_assert_cmphex(ops->context_attach(host.r, 1, 3), ==, OK);
    g_assert_cmphex(submit_clear(&host, 1, 3), ==, OK);
    destroy(&host, 3, bytes);
    g_assert_cmpuint(ledger_used(&host.ledger), >=, before + bytes);
    g_assert_cmphex(ops->submit(host.r, 1, drop, sizeof(drop)), ==, OK);
    g_assert_cmpuint(ledger_used(&host.ledger), <, before + bytes);

    /* or its context */
    bytes = create(&host, 3, &shape);
    g_assert_cmphex(ops->context_attach(host.r, 1, 3), ==, OK);
    g_assert_cmphex(submit_clear(&host, 1, 3), ==, OK);
    destroy(&host, 3, bytes);
    g_assert_cmpuint(ledger_used(&host.ledger), >=, before + bytes);
    ops->context_destroy(host.r, 1);
    g_assert_cmpuint(ledger_used(&host.ledger), ==, 0);
    host_close(&host);
}

static long resident_mib(void)
{
    g_autofree char *text = NULL;
    long pages = 0;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%*d %ld", &pages), ==, 1);
    return pages / 256;
}

/* Resources made inside a stream and never named: gone with their context, in truth too. */
static void test_untaken_blobs(void)
{
    uint32_t stream[] = {
        HEADER(VIRGL_CCMD_PIPE_RESOURCE_CREATE, 0, 11),
        PIPE_TEXTURE_2D,
        VIRGL_FORMAT_B8G8R8A8_UNORM,
        BIND_RENDER_TARGET,
        4096,
        4096,
        1,
        1,
        0,
        0,
        0,
        0,
    };
    Host host;
    long before;

    host_open(&host);
    before = resident_mib();
    for (int round = 0; round < 8; round++) {
        g_assert_cmphex(ops->context_create(host.r, 1, 2, "blobs", 5), ==, OK);
        for (uint32_t blob = 1; blob <= 3; blob++) {
            stream[11] = blob;
            g_assert_cmphex(ops->submit(host.r, 1, stream, sizeof(stream)), ==, OK);
        }
        g_assert_cmpuint(ledger_used(&host.ledger), >=, 3 * 64 * MIB);
        g_assert_cmpuint(ledger_used(&host.ledger), <=, LIMIT);
        /* the fourth does not fit, and the context is lost */
        stream[11] = 4;
        g_assert_cmphex(ops->submit(host.r, 1, stream, sizeof(stream)), ==,
                        VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
        g_assert_cmphex(ops->submit(host.r, 1, stream, 0), !=, OK);
        ops->context_destroy(host.r, 1);
        g_assert_cmpuint(ledger_used(&host.ledger), ==, 0);
    }
    g_test_message("%ld MiB resident, %ld before", resident_mib(), before);
    g_assert_cmpint(resident_mib(), <, before + 256);
    host_close(&host);
}

static void test_reset(void)
{
    Host host;
    ResourceShape shape = picture(0);
    uint32_t word[W * H];
    struct iovec iov = { word, sizeof(word) };
    uint64_t bytes;

    host_open(&host);
    for (int round = 0; round < 3; round++) {
        bytes = create(&host, 3, &shape);
        g_assert_cmphex(ops->backing_attach(host.r, 3, &iov, 1), ==, OK);
        g_assert_cmphex(ops->context_create(host.r, 1, 2, "reset", 5), ==, OK);
        g_assert_cmphex(ops->context_attach(host.r, 1, 3), ==, OK);
        g_assert_cmphex(submit_clear(&host, 1, 3), ==, OK);
        ops->reset(host.r);
        ledger_refund(&host.ledger, bytes);
        g_assert_cmpuint(ledger_used(&host.ledger), ==, 0);
    }
    host_close(&host);
}

/* A host without what is asked for says so and leaves nothing behind. */
static void test_no_render_node(void)
{
    Ledger ledger;
    RendererConfig config = {
        .vm_name = "test",
        .render_node = "/dev/dri/there-is-none",
        .gl = true,
        .ledger = &ledger,
    };
    g_autoptr(GError) error = NULL;

    ledger_init(&ledger, LIMIT, NULL);
    g_assert_null(ops->create(&config, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "/dev/dri/there-is-none"));
    g_clear_error(&error);

    config.render_node = "/dev/nvidia4095";
    g_assert_null(ops->create(&config, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "'/dev/nvidia4095'"));
    g_assert_nonnull(strstr(error->message, "'nvidia-modprobe -c 4095'"));
}

static double seconds(gint64 since)
{
    return (double)(g_get_monotonic_time() - since) / G_USEC_PER_SEC;
}

/* No limit is asserted: says what a full-screen flush costs here. */
static void test_read_speed(void)
{
    enum { WIDE = 1920, HIGH = 1080, ROUNDS = 20 };
    Host host;
    ResourceShape shape = picture(Y_0_TOP);
    g_autofree uint32_t *dst = g_malloc(WIDE * HIGH * 4);
    uint64_t bytes;
    uint32_t fourcc;

    shape.width = WIDE;
    shape.height = HIGH;
    host_open(&host);
    for (int top = 0; top < 2; top++) {
        gint64 start;

        shape.flags = top ? Y_0_TOP : 0;
        bytes = create(&host, 3, &shape);
        start = g_get_monotonic_time();
        for (int i = 0; i < ROUNDS; i++) {
            g_assert_cmphex(ops->read_pixels(host.r, 3, 0, 0, WIDE, HIGH, dst, WIDE * 4, &fourcc), ==, OK);
        }
        g_test_message("read_pixels 1920x1080 %s: %.2f ms", top ? "Y_0_TOP" : "",
                       seconds(start) / ROUNDS * 1e3);
        destroy(&host, 3, bytes);
    }
    host_close(&host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virgl/no-render-node", test_no_render_node);
    g_test_add_func("/virgl/capsets", test_capsets);
    g_test_add_func("/virgl/pixels", test_pixels);
    g_test_add_func("/virgl/pixels-y-0-top", test_pixels_y_0_top);
    g_test_add_func("/virgl/wrapping-strides", test_wrapping_strides);
    g_test_add_func("/virgl/fences", test_fences);
    g_test_add_func("/virgl/max-contexts", test_max_contexts);
    g_test_add_func("/virgl/clear", test_clear);
    g_test_add_func("/virgl/lost-context", test_lost_context);
    g_test_add_func("/virgl/wrapping-inline-write", test_wrapping_inline_write);
    g_test_add_func("/virgl/memory-info", test_memory_info);
    g_test_add_func("/virgl/lingering", test_lingering);
    g_test_add_func("/virgl/untaken-blobs", test_untaken_blobs);
    g_test_add_func("/virgl/reset", test_reset);
    g_test_add_func("/virgl/read-speed", test_read_speed);
    return g_test_run();
}
