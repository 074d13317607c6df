/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings a hostile guest might make.  Whatever lies in them, the process lives,
 * vhost-user is answered, and after the reset that a real guest would have to
 * do, with new rings, everything works.
 */
#include <errno.h>
#include <string.h>

#include "picture.h"

#define SOON 5000
/* Room for a mistake of the kernel's accounting, far below what a copy of everything takes. */
#define RSS_SLACK_KIB (192 * 1024)

static void desc(Frontend *f, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
    f->ring[CONTROL]->desc[i] = (struct vring_desc){ addr, len, flags, next };
}

static void offer(Frontend *f, uint16_t head)
{
    vring_offer(f->ring[CONTROL], head);
    vring_kick_now(f->ring[CONTROL]);
}

/* A readable command of 24 bytes and room for its answer, as descriptors 0 and 1. */
static void good_pair(Frontend *f)
{
    struct virtio_gpu_ctrl_hdr c = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };

    desc(f, 0, ram_dup(f->ram, &c, sizeof(c)), sizeof(c), VRING_DESC_F_NEXT, 1);
    desc(f, 1, ram_alloc(f->ram, 4096), 4096, VRING_DESC_F_WRITE, 0);
}

/* What the ring of one case looks like. */
typedef void (*Corrupt)(Frontend *f);

static void self_loop(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[0].next = 0;
    offer(f, 0);
}

static void loop_of_two(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[1].flags = VRING_DESC_F_NEXT;
    offer(f, 0);
}

static void loop_writable(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[1].flags |= VRING_DESC_F_NEXT;
    f->ring[CONTROL]->desc[1].next = 1;
    offer(f, 0);
}

static void next_out_of_range(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[0].next = f->ring[CONTROL]->num;
    offer(f, 0);
}

static void next_far_out_of_range(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[0].next = 0xffff;
    offer(f, 0);
}

static void head_out_of_range(Frontend *f)
{
    good_pair(f);
    offer(f, f->ring[CONTROL]->num);
}

static void head_far_out_of_range(Frontend *f)
{
    offer(f, 0xffff);
}

static void readable_in_hole(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[0].addr = RAM_NOWHERE;
    offer(f, 0);
}

static void writable_in_hole(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[1].addr = RAM_NOWHERE;
    offer(f, 0);
}

static void writable_over_the_end(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[1].addr = f->ram->low_size - 100;
    offer(f, 0);
}

static void address_wraps(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[0].addr = ~0ull - 7;
    offer(f, 0);
}

static void length_huge(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[0].len = 0xffffffff;
    offer(f, 0);
}

static void length_zero(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[0].len = 0;
    offer(f, 0);
}

static void write_before_read(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[1].flags |= VRING_DESC_F_NEXT;
    f->ring[CONTROL]->desc[0].flags = 0;
    offer(f, 1);
}

static void no_command(Frontend *f)
{
    good_pair(f);
    offer(f, 1);
}

static void no_answer_room(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->desc[0].flags = 0;
    offer(f, 0);
}

static void avail_jumps(Frontend *f)
{
    good_pair(f);
    f->ring[CONTROL]->avail_idx += f->ring[CONTROL]->num;
    offer(f, 0);
}

static void avail_jumps_far(Frontend *f)
{
    f->ring[CONTROL]->avail_idx += 0x7fff;
    offer(f, 0);
}

static void avail_goes_back(Frontend *f)
{
    f->ring[CONTROL]->avail_idx -= 3;
    offer(f, 0);
}

/* The same chain twice at once: answered twice or refused, never freed twice. */
static void head_twice(Frontend *f)
{
    good_pair(f);
    for (unsigned i = 0; i < 20; i++) {
        vring_offer(f->ring[CONTROL], 0);
    }
    vring_kick_now(f->ring[CONTROL]);
}

static void indirect(Frontend *f, uint64_t addr, uint32_t len)
{
    desc(f, 0, addr, len, VRING_DESC_F_INDIRECT, 0);
    offer(f, 0);
}

/* A good table of two at the returned address. */
static uint64_t table(Frontend *f, struct vring_desc **t)
{
    uint64_t gpa = ram_alloc(f->ram, 4096);

    good_pair(f);
    *t = ram_ptr(f->ram, gpa);
    memcpy(*t, f->ring[CONTROL]->desc, 2 * sizeof(**t));
    return gpa;
}

static void indirect_empty(Frontend *f)
{
    struct vring_desc *t;

    indirect(f, table(f, &t), 0);
}

static void indirect_length_odd(Frontend *f)
{
    struct vring_desc *t;

    indirect(f, table(f, &t), 33);
}

static void indirect_length_half(Frontend *f)
{
    struct vring_desc *t;

    indirect(f, table(f, &t), 8);
}

static void indirect_length_huge(Frontend *f)
{
    struct vring_desc *t;

    indirect(f, table(f, &t), 0xfffffff0u);
}

static void indirect_in_hole(Frontend *f)
{
    indirect(f, RAM_NOWHERE, 32);
}

static void indirect_over_the_end(Frontend *f)
{
    indirect(f, f->ram->low_size - 16, 64);
}

static void indirect_next_out_of_table(Frontend *f)
{
    struct vring_desc *t;
    uint64_t gpa = table(f, &t);

    t[0].next = 2;
    indirect(f, gpa, 32);
}

static void indirect_loop(Frontend *f)
{
    struct vring_desc *t;
    uint64_t gpa = table(f, &t);

    t[1].flags |= VRING_DESC_F_NEXT;
    t[1].next = 1;
    indirect(f, gpa, 32);
}

static void indirect_in_indirect(Frontend *f)
{
    struct vring_desc *t;
    uint64_t gpa = table(f, &t);

    t[0] = (struct vring_desc){ gpa, 32, VRING_DESC_F_INDIRECT, 0 };
    indirect(f, gpa, 32);
}

static void indirect_and_next(Frontend *f)
{
    struct vring_desc *t;
    uint64_t gpa = table(f, &t);

    desc(f, 0, gpa, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
    offer(f, 0);
}

/* 4 GiB in one chain, all of it the same memory. */
static void chain_of_gibibytes(Frontend *f)
{
    for (unsigned i = 0; i < 40; i++) {
        desc(f, i, 4096, 100u << 20, VRING_DESC_F_NEXT, i + 1);
    }
    desc(f, 40, ram_alloc(f->ram, 4096), 4096, VRING_DESC_F_WRITE, 0);
    offer(f, 0);
}

static const struct {
    const char *name;
    Corrupt corrupt;
} cases[] = {
    { "self-loop", self_loop }, { "loop-of-two", loop_of_two }, { "loop-writable", loop_writable },
    { "next-out-of-range", next_out_of_range }, { "next-far-out-of-range", next_far_out_of_range },
    { "head-out-of-range", head_out_of_range }, { "head-far-out-of-range", head_far_out_of_range },
    { "readable-in-hole", readable_in_hole }, { "writable-in-hole", writable_in_hole },
    { "writable-over-the-end", writable_over_the_end }, { "address-wraps", address_wraps },
    { "length-huge", length_huge }, { "length-zero", length_zero },
    { "write-before-read", write_before_read }, { "no-command", no_command },
    { "no-answer-room", no_answer_room }, { "avail-jumps", avail_jumps },
    { "avail-jumps-far", avail_jumps_far }, { "avail-goes-back", avail_goes_back },
    { "head-twice", head_twice }, { "indirect-empty", indirect_empty },
    { "indirect-length-odd", indirect_length_odd }, { "indirect-length-half", indirect_length_half },
    { "indirect-length-huge", indirect_length_huge }, { "indirect-in-hole", indirect_in_hole },
    { "indirect-over-the-end", indirect_over_the_end },
    { "indirect-next-out-of-table", indirect_next_out_of_table },
    { "indirect-loop", indirect_loop }, { "indirect-in-indirect", indirect_in_indirect },
    { "indirect-and-next", indirect_and_next }, { "chain-of-gibibytes", chain_of_gibibytes },
};

/* Everything again after the reset, twice in a row. */
static void test_corrupt(gconstpointer data)
{
    Corrupt corrupt = cases[GPOINTER_TO_UINT(data)].corrupt;
    g_autoptr(Frontend) f = frontend_new(NULL);
    uint64_t rss;

    picture_resource(f, 1, BGRX, 1, 64, 64);
    rss = f->pid ? proc_rss_kib(f->pid) : 0;
    for (unsigned round = 0; round < 2 && !f->dead; round++) {
        corrupt(f);
        g_assert_true(frontend_alive(f));
        g_assert_true(channel_barrier(&f->channel, SOON));
        g_usleep(50 * 1000);
        g_assert_true(frontend_alive(f));
        g_assert_cmpuint(proc_rss_kib(f->pid), <, rss + RSS_SLACK_KIB);
        g_assert_true(frontend_reset(f));
        g_assert_true(gpu_still_works(f));
        picture_resource(f, 1, BGRX, 2, 64, 64);
        g_assert_cmphex(gpu_set_scanout(f, 0, 1, 0, 0, 64, 64), ==, OK_NODATA);
        g_assert_cmphex(gpu_flush(f, 1, 0, 0, 64, 64), ==, OK_NODATA);
        g_assert_true(screen_wait_update(&f->screen, 0, round + 1, SOON));
        picture_check(f, 0, 0, 0, 64, 64, 2, 0, 0);
    }
}

/* Noise in the whole descriptor table, and in the tables it names. */
static void test_noise(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);

    for (unsigned round = 0; round < 150 && !f->dead; round++) {
        Vring *vr = f->ring[CONTROL];
        uint64_t page = ram_alloc(f->ram, 4096);

        for (unsigned i = 0; i < 256; i++) {
            ((uint32_t *)ram_ptr(f->ram, page))[i] = g_test_rand_int();
        }
        for (unsigned i = 0; i < vr->num; i++) {
            bool near = g_test_rand_int_range(0, 8);

            desc(f, i, near ? page + g_test_rand_int_range(0, 4096) : (uint64_t)g_test_rand_int() << 20,
                 near ? g_test_rand_int_range(0, 128) : (int)g_test_rand_int(),
                 g_test_rand_int_range(0, 8), near ? g_test_rand_int_range(0, vr->num) : g_test_rand_int() & 0xffff);
        }
        for (unsigned i = 0; i < 8; i++) {
            vring_offer(vr, g_test_rand_int_range(0, vr->num));
        }
        vring_kick_now(vr);
        g_assert_true(frontend_alive(f));
        g_assert_true(frontend_reset(f));
        ram_release(f->ram, page);
    }
    g_assert_true(gpu_still_works(f));
}

typedef struct Flipper {
    Frontend *f;
    int stop;
} Flipper;

static gpointer flip(gpointer data)
{
    Flipper *fl = data;
    struct vring_desc *d = fl->f->ring[CONTROL]->desc;
    unsigned num = fl->f->ring[CONTROL]->num;
    GRand *rand = g_rand_new_with_seed(1);

    while (!__atomic_load_n(&fl->stop, __ATOMIC_RELAXED)) {
        unsigned i = g_rand_int_range(rand, 0, num);
        struct vring_desc was = d[i];

        d[i].len = g_rand_int(rand);
        d[i].addr ^= (uint64_t)g_rand_int(rand) << 8;
        d[i].flags ^= 7;
        d[i].next ^= 0x8001;
        d[i] = was;
    }
    g_rand_free(rand);
    return NULL;
}

/* Another CPU of the guest changes descriptors while they are read. */
static void test_changing_descriptors(void)
{
    FrontendOptions o = { .plain_rings = true };
    g_autoptr(Frontend) f = frontend_new(&o);
    int64_t end = g_get_monotonic_time() + 3 * G_USEC_PER_SEC;
    struct virtio_gpu_ctrl_hdr c = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
    uint64_t out = ram_dup(f->ram, &c, sizeof(c)), in = ram_alloc(f->ram, 4096);

    while (g_get_monotonic_time() < end && !f->dead) {
        Flipper fl = { .f = f };
        Vring *vr = f->ring[CONTROL];
        GThread *t;

        for (unsigned i = 0; i < vr->num; i += 2) {
            desc(f, i, out, sizeof(c), VRING_DESC_F_NEXT, i + 1);
            desc(f, i + 1, in, 1024, VRING_DESC_F_WRITE, 0);
        }
        t = g_thread_new("flip", flip, &fl);
        for (unsigned i = 0; i < vr->num; i += 2) {
            vring_offer(vr, i);
            vring_kick_now(vr);
        }
        g_usleep(20 * 1000);
        __atomic_store_n(&fl.stop, 1, __ATOMIC_RELAXED);
        g_thread_join(t);
        g_assert_true(frontend_alive(f));
        g_assert_true(frontend_reset(f));
    }
    g_assert_true(gpu_still_works(f));
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
    g_assert_cmpuint(fds, >, 0);
    g_assert_cmpuint(proc_fd_count(frontend_worker(f)), <=, fds);
    g_assert_cmpuint(proc_rss_kib(f->pid), <, rss + 8 * 1024);
}

/* Chains are offered for ever and nobody reads the used ring. */
static void test_flood(void)
{
    g_autoptr(Frontend) f = frontend_new(NULL);
    int64_t end = g_get_monotonic_time() + 3 * G_USEC_PER_SEC;
    Vring *vr = f->ring[CONTROL];
    uint64_t rss = proc_rss_kib(f->pid), peak = 0;
    unsigned offered = 0;

    good_pair(f);
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
    g_test_message("%u commands, %" G_GUINT64_FORMAT " KiB before, %" G_GUINT64_FORMAT " at most",
                   offered, rss, peak);
    g_assert_cmpuint(offered, >, 10000);
    g_assert_cmpuint(peak, <, rss + 32 * 1024);
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
        t0 = g_get_monotonic_time();
        g_assert_true(frontend_stop(f));
        g_assert_cmpint((g_get_monotonic_time() - t0) / 1000, <, 1000);
        frontend_collect(f, NULL);
        at_stop = f->completed[CONTROL];
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

/* A reset with commands in flight: none of them is ever answered into the new rings. */
static void test_reset_in_flight(void)
{
    FrontendOptions o = { .renderer = "null" };
    g_autoptr(Frontend) f = frontend_new(&o);
    uint32_t nop = 0;

    for (unsigned round = 0; round < 20 && !f->dead; round++) {
        g_assert_cmphex(gpu_context_create(f, 1, 0), ==, OK_NODATA);
        for (unsigned i = 0; i < 100; i++) {
            Pending *p = gpu_submit_fenced(f, 1, &nop, 1, i);

            g_assert_nonnull(p);
            pending_free(p);
        }
        g_assert_true(frontend_reset(f));
        f->completed[CONTROL] = 0;
        g_usleep(5000);
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
            /* resource 2 has lost its memory: an error or old data, but no crash */
            gpu_transfer_2d(f, 2, 0, 0, 0, 64, 64);
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
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/queue/corrupt/%s", cases[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_corrupt);
    }
    g_test_add_func("/queue/noise", test_noise);
    g_test_add_func("/queue/changing-descriptors", test_changing_descriptors);
    g_test_add_func("/queue/reset-leaks-nothing", test_reset_leaks_nothing);
    g_test_add_func("/queue/flood", test_flood);
    g_test_add_func("/queue/big-submits", test_big_submits);
    g_test_add_func("/queue/fences-in-order", test_fences_in_order);
    g_test_add_func("/queue/stop-in-flight", test_stop_in_flight);
    g_test_add_func("/queue/reset-in-flight", test_reset_in_flight);
    g_test_add_data_func("/queue/memory-table-again", GINT_TO_POINTER(0), test_memory_table_again);
    g_test_add_data_func("/queue/memory-slot-again", GINT_TO_POINTER(1), test_memory_table_again);
    g_test_add_func("/queue/close-under-load", test_close_under_load);
    return g_test_run();
}
