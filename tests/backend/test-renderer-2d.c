/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest without 3D needs: pictures, damage, cursor, EDID, UUID, capsets. */
#include <string.h>

#include "picture.h"
#include "vgpu/virtio.h"

/* Milliseconds: the deadline for a message that has to come. */
#define SOON 5000

/* Flushes a rectangle and waits for the damage it has to make on output 0. */
static void flush(Frontend *f, uint32_t id, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
    unsigned n = f->screen.out[0].updates;

    g_assert_cmphex(gpu_flush(f, id, x, y, w, h), ==, OK_NODATA);
    g_assert_true(screen_wait_update(&f->screen, 0, n + 1, SOON));
}

/* On output 0; a renderer may tell of a first picture before the flush. */
static void show(Frontend *f, uint32_t id, uint32_t w, uint32_t h)
{
    g_assert_cmphex(gpu_set_scanout(f, 0, id, 0, 0, w, h), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, id, 0, 0, w, h), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    g_assert_cmpuint(f->screen.out[0].updates, >, 0);
}

static void check_damage(Frontend *f, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
    struct vgpu_channel_shm_update *u = &f->screen.out[0].last;

    if (u->x != x || u->y != y || u->width != w || u->height != h) {
        g_test_fail_printf("damage is %ux%u at %u,%u, not %ux%u at %u,%u", u->width, u->height, u->x, u->y, w,
                           h, x, y);
    }
}

static void test_hello(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);

    g_assert_cmpuint(f->hello.version, ==, VGPU_CHANNEL_VERSION);
    g_assert_cmpuint(f->hello.kind, ==, VGPU_RENDERER_2D);
    g_assert_cmpuint(f->hello.pad, ==, 0);
    g_assert_cmpuint(f->hello.num_capsets, ==, 1);
    g_assert_true(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_EDID);
    g_assert_true(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_RESOURCE_UUID);
    g_assert_true(f->hello.virtio_features & 1ull << VGPU_F_EXTENSION);
    g_assert_false(f->hello.virtio_features & 1ull << VIRTIO_GPU_F_VIRGL);
    g_assert_nonnull(memchr(f->hello.description, 0, sizeof(f->hello.description)));
    g_assert_cmpstr(f->hello.warning, ==, "");
    /* what libvhost-user cannot do must not be offered: packed, queue reset, access platform */
    g_assert_false(f->vhost.features & (1ull << 34 | 1ull << 40 | 1ull << 33));
    g_assert_cmpuint(vgpu_stats_get(&f->stats->kind), ==, VGPU_RENDERER_2D);
}

static void test_display_info(void)
{
    FrontendOptions o = { .max_outputs = 3 };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_resp_display_info info;

    g_assert_cmphex(gpu_display_info(f, &info), ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    for (unsigned i = 0; i < VIRTIO_GPU_MAX_SCANOUTS; i++) {
        g_assert_cmpuint(info.pmodes[i].enabled, ==, i < 3);
        g_assert_cmpuint(info.pmodes[i].r.width, ==, i < 3 ? 1024 : 0);
        g_assert_cmpuint(info.pmodes[i].r.x, ==, i < 3 ? i * 1024 : 0);
    }
    /* a pushed change is what the guest reads from then on */
    frontend_push_display(f, 2, 800, 600);
    g_assert_true(channel_barrier(&f->channel, SOON));
    g_assert_cmphex(gpu_display_info(f, &info), ==, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    g_assert_cmpuint(info.pmodes[1].r.width, ==, 800);
    g_assert_cmpuint(info.pmodes[1].r.height, ==, 600);
    g_assert_cmpuint(info.pmodes[2].enabled, ==, 0);
}

static void test_edid(void)
{
    FrontendOptions o = { .max_outputs = 2 };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_resp_edid edid;

    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmphex(gpu_edid(f, i, &edid), ==, VIRTIO_GPU_RESP_OK_EDID);
        g_assert_cmpuint(edid.size, ==, 256);
        g_assert_cmpuint(edid.edid[0], ==, i);
        g_assert_cmpuint(edid.edid[200], ==, 200 + i);
        g_assert_cmpuint(edid.edid[300], ==, 0);
    }
    /* as QEMU's own device answers */
    g_assert_cmphex(gpu_edid(f, 2, &edid), ==, ERR_PARAM);
    g_assert_cmphex(gpu_edid(f, 0xffffffff, &edid), ==, ERR_PARAM);
}

/* The fence, context and ring of the request come back in the response. */
static void test_fence_echo(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    struct virtio_gpu_resource_create_2d c = {
        .hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
                 .flags = VIRTIO_GPU_FLAG_FENCE,
                 .fence_id = 0x1122334455667788ull,
                 .ctx_id = 7 },
        .resource_id = 1,
        .format = BGRX,
        .width = 16,
        .height = 16,
    };
    struct virtio_gpu_ctrl_hdr r;

    g_assert_cmphex(gpu_run(f, &c, sizeof(c), NULL, 0, &r, sizeof(r)), ==, OK_NODATA);
    g_assert_cmphex(r.flags & VIRTIO_GPU_FLAG_FENCE, ==, VIRTIO_GPU_FLAG_FENCE);
    g_assert_cmphex(r.fence_id, ==, c.hdr.fence_id);
    g_assert_cmphex(r.ctx_id, ==, 7);
    /* an error is fenced as well */
    g_assert_cmphex(gpu_run(f, &c, sizeof(c), NULL, 0, &r, sizeof(r)), ==, ERR_RESOURCE);
    g_assert_cmphex(r.flags & VIRTIO_GPU_FLAG_FENCE, ==, VIRTIO_GPU_FLAG_FENCE);
    g_assert_cmphex(r.fence_id, ==, c.hdr.fence_id);
}

static void test_format(gconstpointer data)
{
    uint32_t format = GPOINTER_TO_UINT(data);
    g_autoptr(Frontend) f = frontend_new(NULL);

    picture_resource(f, 1, format, format, 64, 48);
    show(f, 1, 64, 48);
    g_assert_cmpuint(f->screen.out[0].width, ==, 64);
    g_assert_cmpuint(f->screen.out[0].height, ==, 48);
    picture_check(f, 0, 0, 0, 64, 48, format, 0, 0);
}

static void test_odd_sizes(void)
{
    static const uint32_t size[][2] = { { 1, 1 }, { 37, 11 }, { 1, 300 }, { 1023, 1 }, { 1366, 768 } };
    g_autoptr(Frontend) f = frontend_new(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(size); i++) {
        picture_resource(f, i + 1, BGRX, i, size[i][0], size[i][1]);
        show(f, i + 1, size[i][0], size[i][1]);
        picture_check(f, 0, 0, 0, size[i][0], size[i][1], i, 0, 0);
    }
}

/* Rows of a transfer lie a whole resource row apart in the backing, from offset on. */
static void test_transfer_rectangle(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    uint64_t gpa = picture_resource(f, 1, BGRX, 1, 64, 64);

    show(f, 1, 64, 64);
    picture_fill(f, gpa, BGRX, 2, 64, 64, 64 * 4);
    g_assert_cmphex(gpu_transfer_2d(f, 1, 20 * 64 * 4 + 10 * 4, 10, 20, 30, 8), ==, OK_NODATA);
    flush(f, 1, 10, 20, 30, 8);
    check_damage(f, 10, 20, 30, 8);
    picture_check(f, 0, 10, 20, 30, 8, 2, 10, 20);
    picture_check(f, 0, 0, 0, 64, 20, 1, 0, 0);
    picture_check(f, 0, 0, 28, 64, 36, 1, 0, 28);
    picture_check(f, 0, 0, 20, 10, 8, 1, 0, 20);
    picture_check(f, 0, 40, 20, 24, 8, 1, 40, 20);
    /* an offset that has nothing to do with the rectangle: the start of the backing */
    g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 32, 40, 32, 24), ==, OK_NODATA);
    flush(f, 1, 32, 40, 32, 24);
    picture_check(f, 0, 32, 40, 32, 24, 2, 0, 0);
    /* full width, not from the top */
    g_assert_cmphex(gpu_transfer_2d(f, 1, 60 * 64 * 4, 0, 60, 64, 4), ==, OK_NODATA);
    flush(f, 1, 0, 60, 64, 4);
    picture_check(f, 0, 0, 60, 64, 4, 2, 0, 60);
}

/* A backing in hundreds of pieces of odd sizes, in both regions of RAM. */
static void test_scattered_backing(void)
{
    enum { W = 128, H = 96, SIZE = W * H * 4 };
    g_autoptr(Frontend) f = frontend_new(NULL);
    g_autofree uint8_t *flat = g_malloc0(SIZE);
    struct virtio_gpu_mem_entry e[400] = { 0 };
    unsigned n = 0;

    for (unsigned y = 0; y < H; y++) {
        for (unsigned x = 0; x < W; x++) {
            picture_store(flat + (y * W + x) * 4, BGRX, picture_colour(9, x, y));
        }
    }
    for (uint32_t at = 0; at < SIZE; n++) {
        uint32_t len = MIN(SIZE - at, 100 + n * 37 % 191);
        uint64_t gpa = n % 2 ? ram_alloc_high(f->ram, len + 16) : ram_alloc(f->ram, len + 16);

        e[n].addr = gpa + n % 13;
        e[n].length = len;
        memcpy(ram_ptr(f->ram, e[n].addr), flat + at, len);
        at += len;
    }
    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, W, H), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach(f, 1, e, n), ==, OK_NODATA);
    g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, W, H), ==, OK_NODATA);
    show(f, 1, W, H);
    picture_check(f, 0, 0, 0, W, H, 9, 0, 0);
    /* a rectangle whose rows begin and end inside pieces */
    g_assert_cmphex(gpu_transfer_2d(f, 1, (31 * W + 17) * 4, 17, 31, 70, 40), ==, OK_NODATA);
    flush(f, 1, 0, 0, W, H);
    picture_check(f, 0, 0, 0, W, H, 9, 0, 0);
}

/* An output that shows a part of a resource: damage is told in its coordinates, clipped. */
static void test_scanout_rectangle(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    unsigned n;

    picture_resource(f, 1, BGRX, 4, 200, 100);
    g_assert_cmphex(gpu_set_scanout(f, 0, 1, 50, 20, 100, 60), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    flush(f, 1, 0, 0, 200, 100);
    g_assert_cmpuint(f->screen.out[0].width, ==, 100);
    g_assert_cmpuint(f->screen.out[0].height, ==, 60);
    check_damage(f, 0, 0, 100, 60);
    picture_check(f, 0, 0, 0, 100, 60, 4, 50, 20);
    flush(f, 1, 40, 70, 20, 30);
    check_damage(f, 0, 50, 10, 10);
    /* damage beside the shown part is no damage */
    n = f->screen.out[0].updates;
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, 50, 100), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    g_assert_cmpuint(f->screen.out[0].updates, ==, n);
}

static void test_two_outputs(void)
{
    FrontendOptions o = { .max_outputs = 2 };
    g_autoptr(Frontend) f = frontend_new(&o);

    picture_resource(f, 1, BGRX, 5, 128, 64);
    g_assert_cmphex(gpu_set_scanout(f, 0, 1, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_set_scanout(f, 1, 1, 64, 0, 64, 64), ==, OK_NODATA);
    flush(f, 1, 0, 0, 128, 64);
    g_assert_true(screen_wait_update(&f->screen, 1, 1, SOON));
    picture_check(f, 0, 0, 0, 64, 64, 5, 0, 0);
    picture_check(f, 1, 0, 0, 64, 64, 5, 64, 0);
    g_assert_cmphex(gpu_set_scanout(f, 2, 1, 0, 0, 64, 64), ==, ERR_SCANOUT);
}

static void test_damage_merges(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    unsigned n;

    picture_resource(f, 1, BGRX, 6, 256, 256);
    show(f, 1, 256, 256);
    f->screen.hold_done = true;
    flush(f, 1, 1, 1, 2, 2);
    n = f->screen.out[0].updates;
    for (unsigned i = 0; i < 50; i++) {
        g_assert_cmphex(gpu_flush(f, 1, 20 + i, 30, 4, 4), ==, OK_NODATA);
        g_assert_cmphex(gpu_flush(f, 1, 20, 30 + i * 2, 4, 4), ==, OK_NODATA);
    }
    screen_settle(&f->screen, SOON);
    g_assert_cmpuint(f->screen.out[0].updates, ==, n);
    screen_done(&f->screen, 0);
    g_assert_true(screen_wait_update(&f->screen, 0, n + 1, SOON));
    check_damage(f, 20, 30, 53, 102);
    /* nothing is due any more */
    screen_done(&f->screen, 0);
    screen_settle(&f->screen, SOON);
    g_assert_cmpuint(f->screen.out[0].updates, ==, n + 1);
}

/* While QEMU is not done with an update more is drawn: the next update shows it, or that all is gone. */
static void test_update_after_a_wait(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    uint64_t gpa = picture_resource(f, 1, BGRX, 1, 128, 128);
    unsigned n;

    show(f, 1, 128, 128);
    for (unsigned seed = 2; seed < 8; seed++) {
        f->screen.hold_done = true;
        flush(f, 1, 0, 0, 4, 4);
        n = f->screen.out[0].updates;
        picture_fill(f, gpa, BGRX, seed, 128, 128, 128 * 4);
        g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 128, 128), ==, OK_NODATA);
        g_assert_cmphex(gpu_flush(f, 1, 0, 0, 128, 128), ==, OK_NODATA);
        screen_settle(&f->screen, SOON);
        g_assert_cmpuint(f->screen.out[0].updates, ==, n);
        f->screen.hold_done = false;
        screen_done(&f->screen, 0);
        g_assert_true(screen_wait_update(&f->screen, 0, n + 1, SOON));
        picture_check(f, 0, 0, 0, 128, 128, seed, 0, 0);
    }
    /* the same, but the picture goes before QEMU is done */
    f->screen.hold_done = true;
    flush(f, 1, 0, 0, 4, 4);
    n = f->screen.out[0].updates;
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, 128, 128), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    screen_done(&f->screen, 0);
    screen_settle(&f->screen, SOON);
    g_assert_cmpuint(f->screen.out[0].updates, ==, n);
    g_assert_cmpuint(f->screen.out[0].width, ==, 0);
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

/* A serial that was never sent, an output that is not there: nothing happens. */
static void test_bad_update_done(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    struct vgpu_channel_update_done d = { .scanout_id = 0 };
    unsigned n;

    picture_resource(f, 1, BGRX, 6, 64, 64);
    show(f, 1, 64, 64);
    f->screen.hold_done = true;
    flush(f, 1, 0, 0, 64, 64);
    n = f->screen.out[0].updates;
    d.serial = f->screen.out[0].last.serial + 12345;
    g_assert_true(channel_send(&f->channel, VGPU_CHANNEL_UPDATE_DONE, &d, sizeof(d)));
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, 8, 8), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    g_assert_cmpuint(f->screen.out[0].updates, ==, n);
    screen_done(&f->screen, 0);
    g_assert_true(screen_wait_update(&f->screen, 0, n + 1, SOON));
    check_damage(f, 0, 0, 8, 8);
}

static void test_scanout_disable(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    unsigned n;

    picture_resource(f, 1, BGRX, 7, 64, 64);
    show(f, 1, 64, 64);
    n = f->screen.out[0].scanouts;
    g_assert_cmphex(gpu_set_scanout(f, 0, 0, 0, 0, 0, 0), ==, OK_NODATA);
    g_assert_true(screen_wait_scanout(&f->screen, 0, n + 1, SOON));
    g_assert_cmpuint(f->screen.out[0].width, ==, 0);
    /* flushing what nobody shows is fine, and silent: take_update() fails otherwise */
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, 64, 64), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    show(f, 1, 64, 64);
    picture_check(f, 0, 0, 0, 64, 64, 7, 0, 0);
}

static void test_unref_while_shown(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    unsigned n;

    picture_resource(f, 1, BGRX, 8, 64, 64);
    show(f, 1, 64, 64);
    n = f->screen.out[0].scanouts;
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_true(screen_wait_scanout(&f->screen, 0, n + 1, SOON));
    g_assert_cmpuint(f->screen.out[0].width, ==, 0);
    /* the id is free again, and the new resource is not on screen */
    picture_resource(f, 1, BGRX, 9, 64, 64);
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, 64, 64), ==, OK_NODATA);
    screen_settle(&f->screen, SOON);
    show(f, 1, 64, 64);
    picture_check(f, 0, 0, 0, 64, 64, 9, 0, 0);
}

/* Its alpha counts, even in a format without: Xorg's are such. */
static void test_cursor(gconstpointer format)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    g_autoptr(ChannelMsg) update = NULL, moved = NULL, hidden = NULL;
    uint64_t gpa = ram_alloc(f->ram, 64 * 64 * 4);

    for (unsigned i = 0; i < 64 * 64; i++) {
        ((uint32_t *)ram_ptr(f->ram, gpa))[i] = 0x01000000u * (i % 200) + i * 3;
    }
    g_assert_cmphex(gpu_create_2d(f, 1, GPOINTER_TO_UINT(format), 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, 1, gpa, 64 * 64 * 4), ==, OK_NODATA);
    g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_true(gpu_update_cursor(f, 0, 1, 100, 200, 5, 6));
    update = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_UPDATE, SOON);
    g_assert_nonnull(update);
    if (update) {
        g_assert_cmpuint(update->cursor.pos.scanout_id, ==, 0);
        g_assert_cmpuint(update->cursor.pos.x, ==, 100);
        g_assert_cmpuint(update->cursor.pos.y, ==, 200);
        g_assert_cmpuint(update->cursor.hot_x, ==, 5);
        g_assert_cmpuint(update->cursor.hot_y, ==, 6);
        g_assert_cmpmem(update->cursor.data, 64 * 64 * 4, ram_ptr(f->ram, gpa), 64 * 64 * 4);
    }
    g_assert_true(gpu_move_cursor(f, 0, 1, 300, 400));
    moved = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_POS, SOON);
    g_assert_nonnull(moved);
    if (moved) {
        g_assert_cmpuint(moved->pos.x, ==, 300);
        g_assert_cmpuint(moved->pos.y, ==, 400);
    }
    g_assert_true(gpu_update_cursor(f, 0, 0, 300, 400, 0, 0));
    hidden = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_POS_HIDE, SOON);
    g_assert_nonnull(hidden);
}

/* Shown before its pixels are there: they are shown when they come, where it is by then. */
static void test_cursor_written_later(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    g_autoptr(ChannelMsg) empty = NULL, update = NULL, moved = NULL, other = NULL;
    uint64_t gpa = ram_alloc(f->ram, 64 * 64 * 4);

    g_assert_cmphex(gpu_create_2d(f, 1, BGRA, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, 1, gpa, 64 * 64 * 4), ==, OK_NODATA);
    g_assert_true(gpu_update_cursor(f, 0, 1, 100, 200, 5, 6));
    empty = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_UPDATE, SOON);
    g_assert_nonnull(empty);
    g_assert_true(gpu_move_cursor(f, 0, 1, 300, 400));
    moved = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_POS, SOON);
    g_assert_nonnull(moved);
    memset(ram_ptr(f->ram, gpa), 0x7e, 64 * 64 * 4);
    g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 64, 64), ==, OK_NODATA);
    update = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_UPDATE, SOON);
    g_assert_nonnull(update);
    if (update) {
        g_assert_cmpuint(update->cursor.pos.x, ==, 300);
        g_assert_cmpuint(update->cursor.pos.y, ==, 400);
        g_assert_cmpuint(update->cursor.hot_x, ==, 5);
        g_assert_cmpuint(update->cursor.hot_y, ==, 6);
        g_assert_cmpmem(update->cursor.data, 64 * 64 * 4, ram_ptr(f->ram, gpa), 64 * 64 * 4);
    }
    /* its id may go to another resource, and the picture stays */
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_2d(f, 1, BGRA, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, 1, gpa, 64 * 64 * 4), ==, OK_NODATA);
    g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_true(gpu_move_cursor(f, 0, 1, 1, 2));
    other = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_POS, SOON);
    g_assert_nonnull(other);
    g_assert_null(channel_find(&f->channel, VGPU_CHANNEL_CURSOR_UPDATE, 0));
}

/* Outputs and resources that are not there, resources of another size: nothing is shown, nobody dies. */
static void test_bad_cursor(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    ChannelMsg *m;

    g_assert_cmphex(gpu_create_2d(f, 1, BGRA, 32, 32), ==, OK_NODATA);
    g_assert_true(gpu_update_cursor(f, 1, 0, 0, 0, 0, 0));
    g_assert_true(gpu_update_cursor(f, 0xffffffff, 1, 0, 0, 0, 0));
    g_assert_true(gpu_update_cursor(f, 0, 99, 0, 0, 0, 0));
    g_assert_true(gpu_update_cursor(f, 0, 1, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff));
    g_assert_true(gpu_move_cursor(f, 16, 1, 1, 1));
    g_assert_true(gpu_move_cursor(f, 0xffffffff, 1, 1, 1));
    g_assert_true(channel_barrier(&f->channel, SOON));
    while ((m = channel_next(&f->channel, 0))) {
        if (m->request == VGPU_CHANNEL_CURSOR_POS || m->request == VGPU_CHANNEL_CURSOR_UPDATE) {
            g_assert_cmpuint(m->pos.scanout_id, ==, 0);
        }
        channel_msg_free(m);
    }
    g_assert_true(gpu_still_works(f));
}

static void test_uuid(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    static const uint8_t zero[16];
    struct virtio_gpu_resp_resource_uuid a, b;

    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, 8, 8), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_2d(f, 2, BGRX, 8, 8), ==, OK_NODATA);
    g_assert_cmphex(gpu_uuid(f, 1, &a), ==, VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    g_assert_cmphex(gpu_uuid(f, 2, &b), ==, VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    g_assert_true(memcmp(a.uuid, zero, 16) && memcmp(b.uuid, zero, 16));
    g_assert_true(memcmp(a.uuid, b.uuid, 16));
    /* a resource keeps its name */
    g_assert_cmphex(gpu_uuid(f, 1, &b), ==, VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
    g_assert_cmpmem(a.uuid, 16, b.uuid, 16);
    g_assert_cmphex(gpu_uuid(f, 3, &b), ==, ERR_RESOURCE);
}

static void test_capset(void)
{
    FrontendOptions o = { .memory = 123ull << 20, .max_outputs = 2, .max_contexts = 5 };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_resp_capset_info info;
    struct vgpu_capset c, zero = { 0 };

    g_assert_true(gpu_find_capset(f, VGPU_CAPSET_ID, &info));
    g_assert_cmpuint(info.capset_max_version, ==, VGPU_CAPSET_VERSION);
    g_assert_cmpuint(info.capset_max_size, ==, sizeof(c));
    g_assert_cmphex(gpu_capset(f, VGPU_CAPSET_ID, 1, &c, sizeof(c)), ==, VIRTIO_GPU_RESP_OK_CAPSET);
    g_assert_cmpuint(c.version, ==, VGPU_CAPSET_VERSION);
    g_assert_cmpuint(c.size, ==, sizeof(c));
    g_assert_cmpuint(c.memory_limit, ==, 123ull << 20);
    g_assert_cmpuint(c.max_contexts, ==, 5);
    g_assert_cmpuint(c.max_outputs, ==, 2);
    g_assert_cmpstr(c.profile, ==, "quarter");
    g_assert_cmpstr(c.gpu, ==, "gpu0");
    g_assert_cmpstr(c.host_version, !=, "");
    /* an index or id that is not there */
    g_assert_cmphex(gpu_capset_info(f, f->hello.num_capsets, &info), !=, VIRTIO_GPU_RESP_OK_CAPSET_INFO);
    g_assert_cmphex(gpu_capset_info(f, 0xffffffff, &info), !=, VIRTIO_GPU_RESP_OK_CAPSET_INFO);
    g_assert_cmphex(gpu_capset(f, 1, 0, &c, sizeof(c)), ==, ERR_PARAM);
    g_assert_cmpmem(&c, sizeof(c), &zero, sizeof(zero));
    g_assert_cmphex(gpu_capset(f, 0xffffffff, 0, &c, sizeof(c)), ==, ERR_PARAM);
    /* too little room for the answer: an error, not half a capset */
    g_assert_cmphex(gpu_capset(f, VGPU_CAPSET_ID, 1, &c, 16), !=, VIRTIO_GPU_RESP_OK_CAPSET);
}

static void test_reset(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);

    for (unsigned round = 0; round < 3; round++) {
        picture_resource(f, 1, BGRX, round, 64, 64);
        picture_resource(f, 2, BGRX, round, 32, 32);
        show(f, 1, 64, 64);
        picture_check(f, 0, 0, 0, 64, 64, round, 0, 0);
        g_assert_cmpuint(frontend_used(f), >, 0);
        g_assert_true(frontend_reset(f));
        g_assert_cmphex(gpu_unref(f, 1), ==, ERR_RESOURCE);
        g_assert_cmpuint(frontend_used(f), ==, 0);
        g_assert_cmpuint(vgpu_stats_get(&f->stats->resources), ==, 0);
        screen_pump(&f->screen, 0);
    }
}

/*
 * A reset in the middle of flushes: no damage is told of a picture that QEMU
 * was not done with, or that it was told is gone (screen.c looks).
 */
static void test_reset_while_flushing(void)
{
    for (unsigned round = 0; round < 8; round++) {
        g_autoptr(Frontend) f = frontend_new(NULL);

        picture_resource(f, 1, BGRX, round, 2048, 2048);
        show(f, 1, 2048, 2048);
        f->screen.hold_done = true;
        flush(f, 1, 0, 0, 8, 8);
        for (unsigned i = 0; i < 50; i++) {
            struct virtio_gpu_resource_flush c = {
                .hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
                .r = { 0, 0, 2048, 2048 },
                .resource_id = 1,
            };

            pending_free(frontend_send(f, CONTROL, &c, sizeof(c), NULL, 0, 24));
        }
        g_usleep(round * 1000);
        g_assert_true(frontend_reset(f));
        g_assert_true(gpu_still_works(f));
        screen_settle(&f->screen, SOON);
        g_assert_cmpuint(f->screen.out[0].width, ==, 0);
        f->screen.hold_done = false;
        picture_resource(f, 1, BGRX, 3, 64, 64);
        show(f, 1, 64, 64);
        picture_check(f, 0, 0, 0, 64, 64, 3, 0, 0);
    }
}

/* What QEMU does at stop and cont: objects stay, the rings go on where they were. */
static void test_stop_and_continue(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);

    picture_resource(f, 1, BGRX, 3, 64, 64);
    for (unsigned i = 0; i < 5; i++) {
        show(f, 1, 64, 64);
        g_assert_true(frontend_stop(f));
        g_assert_cmpuint(f->base[CONTROL], ==, f->ring[CONTROL]->avail_idx);
        g_assert_true(frontend_resume(f));
    }
    picture_check(f, 0, 0, 0, 64, 64, 3, 0, 0);
}

/* Other ways QEMU and guests speak: they make no difference. */
static void test_variant(gconstpointer data)
{
    g_autoptr(Frontend) f = frontend_new(data);

    picture_resource(f, 1, BGRX, 2, 300, 200);
    show(f, 1, 300, 200);
    picture_check(f, 0, 0, 0, 300, 200, 2, 0, 0);
    for (unsigned i = 0; i < 200; i++) {
        g_assert_cmphex(gpu_flush(f, 1, 0, 0, 300, 200), ==, OK_NODATA);
    }
}

int main(int argc, char **argv)
{
    static const uint32_t formats[] = { 1, 2, 3, 4, 67, 68, 121, 134 };
    static const FrontendOptions table = { .mem_table = true }, plain = { .plain_rings = true },
                                 small = { .ring_size = 4 }, pieces = { .channel_in_pieces = true },
                                 big = { .ring_size = 1024 };

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/2d/hello", test_hello);
    g_test_add_func("/2d/display-info", test_display_info);
    g_test_add_func("/2d/edid", test_edid);
    g_test_add_func("/2d/fence-echo", test_fence_echo);
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *path = g_strdup_printf("/2d/format/%u", formats[i]);

        g_test_add_data_func(path, GUINT_TO_POINTER(formats[i]), test_format);
    }
    g_test_add_func("/2d/odd-sizes", test_odd_sizes);
    g_test_add_func("/2d/transfer-rectangle", test_transfer_rectangle);
    g_test_add_func("/2d/scattered-backing", test_scattered_backing);
    g_test_add_func("/2d/scanout-rectangle", test_scanout_rectangle);
    g_test_add_func("/2d/two-outputs", test_two_outputs);
    g_test_add_func("/2d/damage-merges", test_damage_merges);
    g_test_add_func("/2d/update-after-a-wait", test_update_after_a_wait);
    g_test_add_func("/2d/bad-update-done", test_bad_update_done);
    g_test_add_func("/2d/scanout-disable", test_scanout_disable);
    g_test_add_func("/2d/unref-while-shown", test_unref_while_shown);
    g_test_add_data_func("/2d/cursor", GUINT_TO_POINTER(BGRA), test_cursor);
    g_test_add_func("/2d/cursor-written-later", test_cursor_written_later);
    g_test_add_data_func("/2d/cursor-without-alpha", GUINT_TO_POINTER(BGRX), test_cursor);
    g_test_add_func("/2d/bad-cursor", test_bad_cursor);
    g_test_add_func("/2d/uuid", test_uuid);
    g_test_add_func("/2d/capset", test_capset);
    g_test_add_func("/2d/reset", test_reset);
    g_test_add_func("/2d/reset-while-flushing", test_reset_while_flushing);
    g_test_add_func("/2d/stop-and-continue", test_stop_and_continue);
    g_test_add_data_func("/2d/variant/mem-table", &table, test_variant);
    g_test_add_data_func("/2d/variant/plain-rings", &plain, test_variant);
    g_test_add_data_func("/2d/variant/ring-of-4", &small, test_variant);
    g_test_add_data_func("/2d/variant/ring-of-1024", &big, test_variant);
    g_test_add_data_func("/2d/variant/channel-in-pieces", &pieces, test_variant);
    return g_test_run();
}
