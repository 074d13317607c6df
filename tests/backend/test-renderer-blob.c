/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blobs of guest memory: every field of their commands wrong, what they show,
 * and the books after each.
 */
#include <string.h>

#include "gpu_blob.h"
#include "picture.h"

#define NONE 0xffffffffu
#define MIB  (1ull << 20)
#define PAGE 4096u
#define SOON 10000

static Frontend *start(const char *renderer)
{
    FrontendOptions o = { .renderer = renderer, .ram = 64 * MIB, .memory = 64 * MIB };

    return frontend_new(&o);
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
    g_assert_true(frontend_reset(f));
    OKAY(gpu_create_2d(f, 999, BGRX, 1, 1)); /* answered after the reset was done */
    OKAY(gpu_unref(f, 999));
}

/* ---- guest memory ---- */

static void test_create_fields(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t gpa = ram_alloc(f->ram, 4 * PAGE);
    struct virtio_gpu_mem_entry e[2] = { { .addr = gpa, .length = PAGE },
                                         { .addr = gpa + PAGE, .length = PAGE } };
    struct virtio_gpu_mem_entry hole[2] = { { .addr = gpa, .length = PAGE },
                                            { .addr = RAM_NOWHERE, .length = PAGE } };
    const BlobAsk good = { .id = 1, .mem = MEM_GUEST, .size = 2 * PAGE, .told = 2, .entries = e, .sent = 2 };
    const struct {
        const char *what;
        BlobAsk ask;
        uint32_t want;
    } bad[] = {
        { "id 0", { 0, 0, MEM_GUEST, 0, 0, 2 * PAGE, 2, e, 2 }, ERR_RESOURCE },
        { "memory 0", { 1, 0, 0, 0, 0, 2 * PAGE, 2, e, 2 }, ERR_PARAM },
        { "memory 4", { 1, 0, 4, 0, 0, 2 * PAGE, 2, e, 2 }, ERR_PARAM },
        { "memory -1", { 1, 0, NONE, 0, 0, 2 * PAGE, 2, e, 2 }, ERR_PARAM },
        { "flag 8", { 1, 0, MEM_GUEST, 8, 0, 2 * PAGE, 2, e, 2 }, ERR_PARAM },
        { "all flags", { 1, 0, MEM_GUEST, NONE, 0, 2 * PAGE, 2, e, 2 }, ERR_PARAM },
        { "no bytes", { 1, 0, MEM_GUEST, 0, 0, 0, 2, e, 2 }, ERR_PARAM },
        { "one byte more than its entries", { 1, 0, MEM_GUEST, 0, 0, 2 * PAGE + 1, 2, e, 2 }, ERR_PARAM },
        { "all bytes", { 1, 0, MEM_GUEST, 0, 0, UINT64_MAX, 2, e, 2 }, ERR_PARAM },
        { "no entries", { 1, 0, MEM_GUEST, 0, 0, PAGE, 0, e, 0 }, ERR_PARAM },
        { "entries not sent", { 1, 0, MEM_GUEST, 0, 0, PAGE, 1, e, 0 }, ERR_PARAM },
        { "entries not told", { 1, 0, MEM_GUEST, 0, 0, PAGE, 0, e, 1 }, ERR_PARAM },
        { "one entry more told", { 1, 0, MEM_GUEST, 0, 0, PAGE, 3, e, 2 }, ERR_PARAM },
        { "all entries told", { 1, 0, MEM_GUEST, 0, 0, PAGE, NONE, e, 2 }, ERR_PARAM },
        { "an entry in the hole", { 1, 0, MEM_GUEST, 0, 0, 2 * PAGE, 2, hole, 2 }, ERR_UNSPEC },
        { "no such context", { 1, 77, MEM_GUEST, 0, 0, 2 * PAGE, 2, e, 2 }, ERR_CONTEXT },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        check(f, bad[i].what, gpu_blob(f, &bad[i].ask), bad[i].want);
        CHECK(gpu_unref(f, 1), ERR_RESOURCE);
        USED(0);
    }
    OKAY(gpu_blob(f, &good));
    CHECK(gpu_blob(f, &good), ERR_RESOURCE);
    OKAY(gpu_unref(f, 1));
    OKAY(gpu_blob(f, &(BlobAsk){ 1, 0, MEM_GUEST, 7, 9, 1, 2, e, 2 }));
    OKAY(gpu_unref(f, 1));
    CHECK(gpu_unref(f, 1), ERR_RESOURCE);
    USED(0);
}

/* A blob of guest memory costs us the list of its pages. */
static void test_guest_charge(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    struct virtio_gpu_mem_entry e[200];
    uint64_t gpa = ram_alloc(f->ram, PAGE);

    for (unsigned i = 0; i < 200; i++) {
        e[i] = (struct virtio_gpu_mem_entry){ .addr = gpa, .length = PAGE };
    }
    OKAY(gpu_blob(f, &(BlobAsk){ 1, 0, MEM_GUEST, 0, 0, 128 * PAGE, 128, e, 128 }));
    USED(PAGE);
    OKAY(gpu_blob(f, &(BlobAsk){ 2, 0, MEM_GUEST, 0, 0, 129 * PAGE, 129, e, 129 }));
    USED(3 * PAGE);
    g_assert_cmpuint(vgpu_stats_get(&f->stats->resources), ==, 2);
    OKAY(gpu_unref(f, 1));
    USED(2 * PAGE);
    reset(f);
    USED(0);
}

/* What is done to other resources and cannot be done to these, or means nothing. */
static void test_other_commands(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t gpa = ram_alloc(f->ram, 4 * PAGE);
    struct virtio_gpu_box box = { 0, 0, 0, 1, 1, 1 };

    OKAY(gpu_blob_guest(f, 1, gpa, 4 * PAGE));
    CHECK(gpu_attach_one(f, 1, gpa, PAGE), ERR_UNSPEC);
    CHECK(gpu_set_scanout(f, 0, 1, 0, 0, 1, 1), ERR_PARAM);
    CHECK(gpu_flush(f, 1, 0, 0, 0, 0), ERR_PARAM);
    OKAY(gpu_flush(f, 1, 0, 0, 1, 1));
    OKAY(gpu_transfer_2d(f, 1, 0, 0, 0, 1, 1));
    CHECK(gpu_map(f, 1, 0), ERR_PARAM);
    CHECK(gpu_unmap(f, 1), ERR_UNSPEC);
    if (f->hello.kind != VGPU_RENDERER_2D) {
        OKAY(gpu_context_create(f, 1, 0));
        OKAY(gpu_context_attach(f, 1, 1));
        CHECK(gpu_transfer_3d(f, true, 1, 1, 0, &box, 4), ERR_PARAM);
        CHECK(gpu_transfer_3d(f, false, 1, 1, 0, &box, 4), ERR_PARAM);
        OKAY(gpu_context_detach(f, 1, 1));
        OKAY(gpu_context_attach(f, 1, 1));
        OKAY(gpu_context_destroy(f, 1));
    }
    OKAY(gpu_detach(f, 1));
    CHECK(gpu_detach(f, 1), ERR_UNSPEC);
    CHECK(gpu_attach_one(f, 1, gpa, PAGE), ERR_UNSPEC);
    OKAY(gpu_unref(f, 1));
    g_assert_true(gpu_still_works(f));
    USED(0);
}

/* ---- scanouts ---- */

#define SIDE   64
#define STRIDE (SIDE * 4 + 32)
#define START  128
#define BYTES  (START + STRIDE * SIDE)

static struct virtio_gpu_set_scanout_blob frame(uint32_t id)
{
    return (struct virtio_gpu_set_scanout_blob){
        .r = { 0, 0, SIDE, SIDE },
        .resource_id = id,
        .width = SIDE,
        .height = SIDE,
        .format = BGRX,
        .strides = { STRIDE },
        .offsets = { START },
    };
}

static void test_scanout_fields(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t gpa = ram_alloc(f->ram, BYTES);
    struct virtio_gpu_set_scanout_blob s = frame(1);

#define BAD(field, value, want)                                                                              \
    do {                                                                                                     \
        s = frame(1);                                                                                        \
        s.field = value;                                                                                     \
        check(f, #field " = " #value, gpu_scanout_blob(f, &s), want);                                        \
    } while (0)

    CHECK(gpu_scanout_blob(f, &s), ERR_RESOURCE);
    OKAY(gpu_create_2d(f, 2, BGRX, SIDE, SIDE));
    s = frame(2);
    CHECK(gpu_scanout_blob(f, &s), ERR_PARAM);
    OKAY(gpu_unref(f, 2));
    OKAY(gpu_blob_guest(f, 1, gpa, BYTES));
    BAD(scanout_id, 1, ERR_SCANOUT);
    BAD(scanout_id, NONE, ERR_SCANOUT);
    BAD(width, 0, ERR_PARAM);
    BAD(width, SIDE - 1, ERR_PARAM); /* r is wider */
    BAD(width, 16385, ERR_PARAM);
    BAD(width, NONE, ERR_PARAM);
    BAD(height, 0, ERR_PARAM);
    BAD(height, SIDE - 1, ERR_PARAM);
    BAD(height, SIDE + 1, ERR_PARAM); /* past the end of the blob */
    BAD(height, NONE, ERR_PARAM);
    BAD(format, 0, ERR_PARAM);
    BAD(format, 64, ERR_PARAM);
    BAD(format, NONE, ERR_PARAM);
    BAD(strides[0], 0, ERR_PARAM);
    BAD(strides[0], SIDE * 4 - 4, ERR_PARAM);
    BAD(strides[0], STRIDE + 1, ERR_PARAM);
    BAD(strides[0], STRIDE + 4, ERR_PARAM);
    BAD(strides[0], 0x80000000u, ERR_PARAM);
    BAD(strides[0], 0xfffffffcu, ERR_PARAM);
    BAD(offsets[0], START + 36, ERR_PARAM); /* the last row may end before its stride does */
    BAD(offsets[0], START + 2, ERR_PARAM);
    BAD(offsets[0], 0xfffffffcu, ERR_PARAM);
    BAD(r.x, 1, ERR_PARAM);
    BAD(r.y, NONE, ERR_PARAM);
    BAD(r.width, 0, ERR_PARAM);
    BAD(r.width, SIDE + 1, ERR_PARAM);
    BAD(r.height, NONE, ERR_PARAM);
#undef BAD
    USED(PAGE);
    s = frame(1);
    s.offsets[0] = START + 32;
    OKAY(gpu_scanout_blob(f, &s));
    s = frame(0);
    OKAY(gpu_scanout_blob(f, &s));
    USED(PAGE);
}

static void test_scanout_profile(void)
{
    FrontendOptions o = { .max_width = 48, .max_height = 48 };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_set_scanout_blob s = frame(1);

    OKAY(gpu_blob_guest(f, 1, ram_alloc(f->ram, BYTES), BYTES));
    CHECK(gpu_scanout_blob(f, &s), ERR_PARAM);
    s.r = (struct virtio_gpu_rect){ 8, 8, 48, 48 };
    OKAY(gpu_scanout_blob(f, &s));
}

/* A picture in pages that lie apart, of every format, and changes to part of it. */
static void test_scanout_pixels(gconstpointer renderer)
{
    static const uint32_t formats[] = {
        VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM,
        VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM,
        VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM,
    };
    g_autoptr(Frontend) f = start(renderer);
    unsigned scanouts = 0, updates = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(formats) && !f->dead; i++) {
        /* one run for the test, told as two entries of odd lengths */
        uint64_t gpa = ram_alloc(f->ram, BYTES);
        struct virtio_gpu_mem_entry e[2] = { { .addr = gpa, .length = 5001 },
                                             { .addr = gpa + 5001, .length = BYTES - 5001 } };
        struct virtio_gpu_set_scanout_blob s = frame(1);

        picture_fill(f, gpa + START, formats[i], i, SIDE, SIDE, STRIDE);
        OKAY(gpu_blob(f, &(BlobAsk){ 1, 0, MEM_GUEST, 0, 0, BYTES, 2, e, 2 }));
        s.format = formats[i];
        s.r = (struct virtio_gpu_rect){ 3, 5, 40, 50 };
        OKAY(gpu_scanout_blob(f, &s));
        OKAY(gpu_flush(f, 1, 0, 0, SIDE, SIDE));
        g_assert_true(screen_wait_scanout(&f->screen, 0, ++scanouts, SOON));
        g_assert_true(screen_wait_update(&f->screen, 0, ++updates, SOON));
        picture_check(f, 0, 0, 0, 40, 50, i, 3, 5);
        /* the guest draws; what it flushes is shown */
        picture_fill(f, gpa + START, formats[i], i + 50, SIDE, SIDE, STRIDE);
        OKAY(gpu_flush(f, 1, 10, 10, 8, 8));
        g_assert_true(screen_wait_update(&f->screen, 0, ++updates, SOON));
        picture_check(f, 0, 7, 5, 8, 8, i + 50, 10, 10);
        picture_check(f, 0, 0, 0, 7, 5, i, 3, 5);
        CHECK(gpu_flush(f, 1, SIDE, 0, 1, 1), ERR_PARAM);
        CHECK(gpu_flush(f, 1, 0, 0, SIDE + 1, 1), ERR_PARAM);
        CHECK(gpu_flush(f, 1, NONE, NONE, NONE, NONE), ERR_PARAM);
        OKAY(gpu_unref(f, 1));
        g_assert_true(screen_wait_scanout(&f->screen, 0, ++scanouts, SOON)); /* off */
        ram_release(f->ram, gpa);
    }
    USED(0);
}

/* Two blobs in turn: QEMU keeps its picture. */
static void test_scanout_flip(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    struct virtio_gpu_set_scanout_blob s;

    for (uint32_t id = 1; id <= 2; id++) {
        uint64_t gpa = ram_alloc(f->ram, BYTES);

        picture_fill(f, gpa + START, BGRX, id, SIDE, SIDE, STRIDE);
        OKAY(gpu_blob_guest(f, id, gpa, BYTES));
    }
    for (unsigned n = 0; n < 4; n++) {
        s = frame(1 + n % 2);
        OKAY(gpu_scanout_blob(f, &s));
        OKAY(gpu_flush(f, s.resource_id, 0, 0, SIDE, SIDE));
        g_assert_true(screen_wait_update(&f->screen, 0, n + 1, SOON));
        picture_check(f, 0, 0, 0, SIDE, SIDE, s.resource_id, 0, 0);
    }
    g_assert_cmpuint(f->screen.out[0].scanouts, ==, 1);
}

/* Its pages are taken away while it is shown: nothing is read any more, nobody falls. */
static void test_scanout_without_pages(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    struct virtio_gpu_set_scanout_blob s = frame(1);

    OKAY(gpu_blob_guest(f, 1, ram_alloc(f->ram, BYTES), BYTES));
    OKAY(gpu_scanout_blob(f, &s));
    OKAY(gpu_flush(f, 1, 0, 0, SIDE, SIDE));
    g_assert_true(screen_wait_update(&f->screen, 0, 1, SOON));
    screen_settle(&f->screen, SOON);
    OKAY(gpu_detach(f, 1));
    CHECK(gpu_flush(f, 1, 0, 0, SIDE, SIDE), ERR_UNSPEC);
    CHECK(gpu_scanout_blob(f, &s), ERR_UNSPEC);
    OKAY(gpu_unref(f, 1));
    g_assert_true(gpu_still_works(f));
}

static void test_cursor(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t gpa = ram_alloc(f->ram, SIDE * SIDE * 4);
    g_autoptr(ChannelMsg) m = NULL;

    picture_fill(f, gpa, BGRA, 3, SIDE, SIDE, SIDE * 4);
    OKAY(gpu_blob_guest(f, 1, gpa, SIDE * SIDE * 4));
    OKAY(gpu_blob_guest(f, 2, gpa, SIDE * SIDE * 4 - 4));
    g_assert_true(gpu_update_cursor(f, 0, 2, 5, 6, 0, 0)); /* too small: refused */
    g_assert_true(gpu_update_cursor(f, 0, 1, 7, 8, 1, 2));
    m = channel_find(&f->channel, VGPU_CHANNEL_CURSOR_UPDATE, SOON);
    g_assert_nonnull(m);
    g_assert_cmpuint(m->cursor.pos.x, ==, 7);
    g_assert_cmphex(m->cursor.data[65] & 0xffffff, ==, picture_colour(3, 1, 1));
}

int main(int argc, char **argv)
{
    static const char *const renderers[] = { "2d", "null", "virgl" };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(renderers); i++) {
        static const struct {
            const char *name;
            GTestDataFunc run;
        } all[] = {
            { "create-fields", test_create_fields },
            { "guest-charge", test_guest_charge },
            { "other-commands", test_other_commands },
            { "scanout-fields", test_scanout_fields },
            { "scanout-pixels", test_scanout_pixels },
            { "scanout-flip", test_scanout_flip },
            { "scanout-without-pages", test_scanout_without_pages },
            { "cursor", test_cursor },
        };

        for (unsigned t = 0; t < G_N_ELEMENTS(all); t++) {
            g_autofree char *name = g_strdup_printf("/blob/%s/%s", renderers[i], all[t].name);

            g_test_add_data_func(name, renderers[i], all[t].run);
        }
    }
    g_test_add_func("/blob/scanout-profile", test_scanout_profile);
    return g_test_run();
}
