/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings a hostile guest might make.  Whatever lies in them, the process lives,
 * vhost-user is answered, and after the reset that a real guest would have to
 * do, with new rings, everything works.
 */
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
    { "self-loop", self_loop },
    { "loop-of-two", loop_of_two },
    { "loop-writable", loop_writable },
    { "next-out-of-range", next_out_of_range },
    { "next-far-out-of-range", next_far_out_of_range },
    { "head-out-of-range", head_out_of_range },
    { "head-far-out-of-range", head_far_out_of_range },
    { "readable-in-hole", readable_in_hole },
    { "writable-in-hole", writable_in_hole },
    { "writable-over-the-end", writable_over_the_end },
    { "address-wraps", address_wraps },
    { "length-huge", length_huge },
    { "length-zero", length_zero },
    { "write-before-read", write_before_read },
    { "no-command", no_command },
    { "no-answer-room", no_answer_room },
    { "avail-jumps", avail_jumps },
    { "avail-jumps-far", avail_jumps_far },
    { "avail-goes-back", avail_goes_back },
    { "head-twice", head_twice },
    { "indirect-empty", indirect_empty },
    { "indirect-length-odd", indirect_length_odd },
    { "indirect-length-half", indirect_length_half },
    { "indirect-length-huge", indirect_length_huge },
    { "indirect-in-hole", indirect_in_hole },
    { "indirect-over-the-end", indirect_over_the_end },
    { "indirect-next-out-of-table", indirect_next_out_of_table },
    { "indirect-loop", indirect_loop },
    { "indirect-in-indirect", indirect_in_indirect },
    { "indirect-and-next", indirect_and_next },
    { "chain-of-gibibytes", chain_of_gibibytes },
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
                 near ? g_test_rand_int_range(0, 128) : (int)g_test_rand_int(), g_test_rand_int_range(0, 8),
                 near ? g_test_rand_int_range(0, vr->num) : g_test_rand_int() & 0xffff);
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/ring/corrupt/%s", cases[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_corrupt);
    }
    g_test_add_func("/ring/noise", test_noise);
    g_test_add_func("/ring/changing-descriptors", test_changing_descriptors);
    return g_test_run();
}
