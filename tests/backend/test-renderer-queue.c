/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Good rings under load: floods, big submits, stops, resets and changes of the
 * memory map with commands in flight.  Memory is bounded and nothing is lost.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "picture.h"

#define SOON 5000
/* Room for a mistake of the kernel's accounting, far below what a copy of everything takes. */
#define RSS_SLACK_KIB (192 * 1024)

/* What a sanitizer holds back of freed memory (meson.build sets 16 MiB), and its own. */
static uint64_t sanitizer_kib(void)
{
    return g_getenv("VGPU_TEST_RENDERER_ARGS") ? 64 * 1024 : 0;
}

/* A hundred resets cost no descriptors and no memory. */
static void test_reset_leaks_nothing(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    unsigned fds = 0;
    uint64_t rss = 0;

    for (unsigned round = 0; round < 100 && !f->dead; round++) {
        picture_resource(f, 1, BGRX, 1, 256, 256);
        g_assert_cmphex(gpu_set_scanout(f, 0, 1, 0, 0, 256, 256), ==, OK_NODATA);
        g_assert_true(frontend_reset(f));
        screen_pump(&f->screen, 0);
        g_assert_true(gpu_still_works(f));
        if (round == 10) {
            fds = proc_fd_count(frontend_worker(f));
            rss = proc_rss_kib(f->pid);
        }
    }
    g_assert_cmpuint(proc_rss_kib(f->pid), <, rss + 8 * 1024 + sanitizer_kib());
    if (fds == 0 && geteuid() != 0) {
        g_test_skip("only root can count a sandboxed renderer's descriptors; its memory was looked at");
        return;
    }
    g_assert_cmpuint(fds, >, 0);
    g_assert_cmpuint(proc_fd_count(frontend_worker(f)), <=, fds);
}

/* Chains are offered for ever and nobody reads the used ring. */
static void test_flood(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    int64_t end = g_get_monotonic_time() + 3 * G_USEC_PER_SEC;
    Vring *vr = f->ring[CONTROL];
    uint64_t rss = proc_rss_kib(f->pid), peak = 0;
    struct virtio_gpu_ctrl_hdr c = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    unsigned offered = 0;

    vr->desc[0] = (struct vring_desc){ ram_dup(f->ram, &c, sizeof(c)), sizeof(c), VRING_DESC_F_NEXT, 1 };
    vr->desc[1] = (struct vring_desc){ ram_alloc(f->ram, 4096), 4096, VRING_DESC_F_WRITE, 0 };
    while (g_get_monotonic_time() < end) {
        uint16_t used = __atomic_load_n(&vr->used->idx, __ATOMIC_ACQUIRE);

        /* never more than the ring holds: that would only break it */
        while ((uint16_t)(vr->avail_idx - used) < vr->num) {
            vring_offer(vr, 0);
            offered++;
        }
        vring_kick_now(vr);
        if (offered % 4096 < 256) {
            peak = MAX(peak, proc_rss_kib(f->pid));
        }
    }
    g_test_message("%u commands, %" G_GUINT64_FORMAT " KiB before, %" G_GUINT64_FORMAT " at most", offered,
                   rss, peak);
    g_assert_cmpuint(offered, >, 10000);
    g_assert_cmpuint(peak, <, rss + 32 * 1024 + sanitizer_kib());
    g_assert_true(frontend_alive(f));
    g_assert_true(frontend_reset(f));
    g_assert_true(gpu_still_works(f));
}

/* 256 submits of 16 MiB each in flight: 4 GiB if each were copied when it is read. */
static void test_big_submits(void)
{
    enum { SIZE = 16 << 20, COUNT = 256 };
    FrontendOptions o = { .renderer = "null" };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_cmd_submit c = { .hdr.type = VIRTIO_GPU_CMD_SUBMIT_3D, .hdr.ctx_id = 1, .size = SIZE };
    uint64_t cmd, data, answers, rss, peak = 0;
    Pending *p[COUNT];
    unsigned good = 0, refused = 0;

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    cmd = ram_dup(f->ram, &c, sizeof(c));
    data = ram_alloc(f->ram, SIZE);
    answers = ram_alloc(f->ram, COUNT * 32);
    /* a stream that a walk accepts: no-operations of 0xffff dwords, and a last one to the end */
    for (uint32_t i = 0; i < SIZE / 4;) {
        uint32_t len = MIN(0xffffu, SIZE / 4 - i - 1);

        ((uint32_t *)ram_ptr(f->ram, data))[i] = len << 16;
        i += len + 1;
    }
    rss = proc_rss_kib(f->pid);
    for (unsigned i = 0; i < COUNT; i++) {
        VringBuf out[2] = { { cmd, sizeof(c) }, { data, SIZE } }, in = { answers + i * 32, 24 };

        p[i] = frontend_send_raw(f, CONTROL, out, 2, &in, 1);
        g_assert_nonnull(p[i]);
    }
    for (unsigned i = 0; i < COUNT && p[i]; i++) {
        while (!frontend_wait(f, p[i], 50) && !f->dead) {
            peak = MAX(peak, proc_rss_kib(f->pid));
        }
        peak = MAX(peak, proc_rss_kib(f->pid));
        if (*(uint32_t *)ram_ptr(f->ram, answers + i * 32) == OK_NODATA) {
            good++;
        } else {
            refused++;
        }
        pending_free(p[i]);
    }
    g_test_message("%u executed, %u refused, %" G_GUINT64_FORMAT " KiB before, %" G_GUINT64_FORMAT " at most",
                   good, refused, rss, peak);
    g_assert_cmpuint(peak, <, rss + RSS_SLACK_KIB);
    g_assert_true(gpu_still_works(f));
}

static void test_fences_in_order(void)
{
    FrontendOptions o = { .renderer = "null" };
    g_autoptr(Frontend) f = frontend_new(&o);
    uint32_t nop = 0;
    Pending *p[200];

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    for (unsigned round = 0; round < 10 && !f->dead; round++) {
        unsigned before = f->completed[CONTROL];

        for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
            p[i] = gpu_submit_fenced(f, 1, &nop, 1, round * 1000 + i);
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
            struct virtio_gpu_ctrl_hdr r;

            if (!p[i] || !frontend_wait(f, p[i], FRONTEND_COMMAND_DEADLINE)) {
                frontend_fail(f, "fence %u of round %u never came", i, round);
                break;
            }
            gpu_response_copy(p[i], &r, sizeof(r));
            g_assert_cmphex(r.type, ==, OK_NODATA);
            g_assert_cmpuint(r.fence_id, ==, round * 1000 + i);
            g_assert_cmpuint(p[i]->order, ==, before + i + 1);
            pending_free(p[i]);
        }
    }
}

/* QEMU's stop: answered at once though the renderer is busy; nothing is lost. */
static void test_stop_in_flight(void)
{
    enum { SIZE = 16 << 20, COUNT = 100 };
    FrontendOptions o = { .renderer = "null" };
    g_autoptr(Frontend) f = frontend_new(&o);
    g_autofree uint32_t *data = g_malloc0(SIZE);
    struct virtio_gpu_cmd_submit c = { .hdr.type = VIRTIO_GPU_CMD_SUBMIT_3D, .hdr.ctx_id = 1, .size = SIZE };
    uint64_t gpa;

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    gpa = ram_dup(f->ram, data, SIZE);
    for (unsigned round = 0; round < 3 && !f->dead; round++) {
        uint64_t answers = ram_alloc(f->ram, COUNT * 32), cmd = ram_dup(f->ram, &c, sizeof(c));
        unsigned before = f->completed[CONTROL], at_stop;
        Pending *p[COUNT];
        int64_t t0;

        for (unsigned i = 0; i < COUNT; i++) {
            VringBuf out[2] = { { cmd, sizeof(c) }, { gpa, SIZE } }, in = { answers + i * 32, 24 };

            p[i] = frontend_send_raw(f, CONTROL, out, 2, &in, 1);
        }
        g_usleep(20000 * (round + 1));
        t0 = g_get_monotonic_time();
        g_assert_true(frontend_stop(f));
        g_assert_cmpint((g_get_monotonic_time() - t0) / 1000, <, 1000);
        frontend_collect(f, NULL);
        at_stop = f->completed[CONTROL];
        /* taken and not answered: what this test is about */
        g_assert_cmpuint(f->base[CONTROL], >, at_stop);
        /* a stopped device writes no used ring */
        g_usleep(100 * 1000);
        frontend_collect(f, NULL);
        g_assert_cmpuint(f->completed[CONTROL], ==, at_stop);
        g_test_message("%u of %u answered before the stop", at_stop - before, COUNT);
        g_assert_true(frontend_resume(f));
        for (unsigned i = 0; i < COUNT && p[i]; i++) {
            if (!frontend_wait(f, p[i], FRONTEND_COMMAND_DEADLINE)) {
                frontend_fail(f, "command %u in flight at the stop was never answered", i);
            }
            pending_free(p[i]);
        }
        g_assert_cmpuint(f->completed[CONTROL], ==, before + COUNT);
        g_assert_true(gpu_still_works(f));
    }
}

/*
 * A reset with commands in flight: none of them is ever answered into the new
 * rings.  Big submits, so that one is at work while the rings start again.
 */
static void test_reset_in_flight(void)
{
    enum { SIZE = 16 << 20 };
    FrontendOptions o = { .renderer = "null" };
    g_autoptr(Frontend) f = frontend_new(&o);
    struct virtio_gpu_cmd_submit c = { .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1 },
                                       .size = SIZE };
    uint64_t cmd, answer, data = ram_alloc(f->ram, SIZE);

    answer = ram_alloc(f->ram, 64);
    for (unsigned round = 0; round < 20 && !f->dead; round++) {
        c.hdr.flags = round % 2 ? VIRTIO_GPU_FLAG_FENCE : 0;
        cmd = ram_dup(f->ram, &c, sizeof(c));
        g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
        for (unsigned i = 0; i < 50; i++) {
            VringBuf out[2] = { { cmd, sizeof(c) }, { data, SIZE } }, in = { answer, 24 };

            pending_free(frontend_send_raw(f, CONTROL, out, 2, &in, 1));
        }
        g_usleep(round * 500);
        g_assert_true(frontend_reset(f));
        f->completed[CONTROL] = 0;
        g_usleep(40 * 1000);
        frontend_collect(f, NULL);
        g_assert_cmpuint(f->completed[CONTROL], ==, 0);
        g_assert_true(gpu_still_works(f));
        g_assert_cmpuint(f->completed[CONTROL], ==, 1);
    }
}

/* The table of memory is sent again (the back-end maps it elsewhere): backings follow. */
static void test_memory_table_again(gconstpointer slots)
{
    FrontendOptions o = { .mem_table = !GPOINTER_TO_INT(slots) };
    g_autoptr(Frontend) f = frontend_new(&o);
    uint64_t gpa = picture_resource(f, 1, BGRX, 1, 64, 64);
    g_autofree struct virtio_gpu_mem_entry *e = g_new0(struct virtio_gpu_mem_entry, 1);
    VhostRegion r[2];

    g_assert_cmphex(gpu_set_scanout(f, 0, 1, 0, 0, 64, 64), ==, OK_NODATA);
    e->addr = ram_alloc_high(f->ram, 64 * 64 * 4);
    e->length = 64 * 64 * 4;
    g_assert_cmphex(gpu_create_2d(f, 2, BGRX, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach(f, 2, e, 1), ==, OK_NODATA);
    vhost_ram_regions(f->ram, r);
    for (unsigned round = 2; round < 6 && !f->dead; round++) {
        if (o.mem_table) {
            g_assert_true(vhost_set_memory(&f->vhost, f->ram));
        } else {
            g_assert_true(vhost_remove_region(&f->vhost, f->ram, &r[1]));
            /* resource 2 has lost its memory for good: it is not read any more, were it mapped or not */
            g_assert_cmphex(gpu_transfer_2d(f, 2, 0, 0, 0, 64, 64), !=, OK_NODATA);
            g_assert_true(gpu_still_works(f));
            g_assert_true(vhost_add_region(&f->vhost, f->ram, &r[1]));
        }
        picture_fill(f, gpa, BGRX, round, 64, 64, 64 * 4);
        g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 64, 64), ==, OK_NODATA);
        g_assert_cmphex(gpu_flush(f, 1, 0, 0, 64, 64), ==, OK_NODATA);
        g_assert_true(screen_wait_update(&f->screen, 0, round - 1, SOON));
        picture_check(f, 0, 0, 0, 64, 64, round, 0, 0);
        picture_fill(f, e->addr, BGRX, round + 50, 64, 64, 64 * 4);
        if (o.mem_table) {
            g_assert_cmphex(gpu_transfer_2d(f, 2, 0, 0, 0, 64, 64), ==, OK_NODATA);
        }
    }
    g_assert_true(gpu_still_works(f));
}

/* Other memory at the same guest address: that is what a backing means from then on. */
static void test_memory_replaced(void)
{
    FrontendOptions o = { .mem_table = true };
    g_autoptr(Frontend) f = frontend_new(&o);
    uint64_t gpa = ram_alloc_high(f->ram, 64 * 64 * 4), at = gpa - RAM_HIGH_GPA;
    g_autofree uint8_t *picture = g_malloc(64 * 64 * 4);
    int other = memfd_create("other-ram", MFD_CLOEXEC);

    picture_fill(f, gpa, BGRX, 2, 64, 64, 64 * 4);
    memcpy(picture, ram_ptr(f->ram, gpa), 64 * 64 * 4);
    picture_fill(f, gpa, BGRX, 1, 64, 64, 64 * 4);
    g_assert_cmpint(ftruncate(other, f->ram->high_size), ==, 0);
    g_assert_cmpint(pwrite(other, picture, 64 * 64 * 4, at), ==, 64 * 64 * 4);
    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_attach_one(f, 1, gpa, 64 * 64 * 4), ==, OK_NODATA);
    g_assert_cmphex(gpu_set_scanout(f, 0, 1, 0, 0, 64, 64), ==, OK_NODATA);
    for (unsigned round = 0; round < 4; round++) {
        bool is_other = round % 2;

        g_assert_true(vhost_set_mem_table(&f->vhost, f->ram, is_other ? other : f->ram->fd,
                                          is_other ? 0 : f->ram->low_size));
        g_assert_cmphex(gpu_transfer_2d(f, 1, 0, 0, 0, 64, 64), ==, OK_NODATA);
        g_assert_cmphex(gpu_flush(f, 1, 0, 0, 64, 64), ==, OK_NODATA);
        screen_settle(&f->screen, SOON);
        picture_check(f, 0, 0, 0, 64, 64, is_other ? 2 : 1, 0, 0);
    }
    close(other);
}

/* The sockets close while the renderer works: it ends, with status 0 (frontend_free looks). */
static void test_close_under_load(void)
{
    FrontendOptions o = { .renderer = "null" };
    g_autoptr(Frontend) f = frontend_new(&o);
    g_autofree uint32_t *data = g_malloc0(4 << 20);

    g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
    for (unsigned i = 0; i < 15; i++) {
        Pending *p = gpu_submit_fenced(f, 1, data, 1 << 20, i);

        g_assert_nonnull(p);
        pending_free(p);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/queue/reset-leaks-nothing", test_reset_leaks_nothing);
    g_test_add_func("/queue/flood", test_flood);
    g_test_add_func("/queue/big-submits", test_big_submits);
    g_test_add_func("/queue/fences-in-order", test_fences_in_order);
    g_test_add_func("/queue/stop-in-flight", test_stop_in_flight);
    g_test_add_func("/queue/reset-in-flight", test_reset_in_flight);
    g_test_add_data_func("/queue/memory-table-again", GINT_TO_POINTER(0), test_memory_table_again);
    g_test_add_data_func("/queue/memory-slot-again", GINT_TO_POINTER(1), test_memory_table_again);
    g_test_add_func("/queue/memory-replaced", test_memory_replaced);
    g_test_add_func("/queue/close-under-load", test_close_under_load);
    return g_test_run();
}
