/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame-rate limit: a guest that shows frames faster than it may is slowed
 * down by its answers, and nothing else of it is.  Bounds on time are lower
 * ones, or of what was counted in it: a slow machine breaks none.
 */
#include <string.h>

#include "leased.h"
#include "picture.h"

#define SIDE 64

static Leased *start(FrontendOptions *o, uint64_t interval_ns)
{
    Leased *v = leased_new(o, true);

    g_atomic_int_set(&v->generous, 1);
    __atomic_store_n(&v->h.page->frame_interval_ns, interval_ns, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < v->f->o.max_outputs; i++) {
        picture_resource(v->f, i + 1, BGRX, 1, SIDE, SIDE);
        g_assert_cmphex(gpu_set_scanout(v->f, i, i + 1, 0, 0, SIDE, SIDE), ==, OK_NODATA);
    }
    return v;
}

static Pending *flush(Leased *v, uint32_t id, uint64_t fence)
{
    struct virtio_gpu_resource_flush c = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
                                           .hdr.flags = fence ? VIRTIO_GPU_FLAG_FENCE : 0,
                                           .hdr.fence_id = fence,
                                           .resource_id = id,
                                           .r = { 0, 0, SIDE, SIDE } };

    return frontend_send(v->f, CONTROL, &c, sizeof(c), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

static bool answered(Leased *v, Pending *p)
{
    return p && frontend_wait(v->f, p, FRONTEND_COMMAND_DEADLINE) && gpu_response(p) == OK_NODATA;
}

/* One frame after the other, each waited for. */
static void test_paced(gconstpointer fenced)
{
    enum { COUNT = 10 };
    FrontendOptions o = { 0 };
    g_autoptr(Leased) v = start(&o, 40 * MS);
    uint64_t begin, took;
    unsigned last = 0;

    /* The mode set showed a frame: the limit counts from there. */
    begin = now_ns();
    for (unsigned i = 0; i < COUNT; i++) {
        g_autoptr(Pending) p = flush(v, 1, fenced ? i + 1 : 0);

        g_assert_true(answered(v, p));
        g_assert_cmpuint(p->order, >, last);
        last = p->order;
    }
    took = now_ns() - begin;
    g_test_message("%u frames in %.0f ms", COUNT, (double)took / 1e6);
    g_assert_cmpuint(took, >=, (COUNT - 1) * 40 * MS);
    g_assert_cmpuint(v->f->stats->frames, ==, COUNT);

    /* Without the limit they are not held, from the next one on. */
    __atomic_store_n(&v->h.page->frame_interval_ns, 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 200; i++) {
        g_autoptr(Pending) p = flush(v, 1, fenced ? i + 100 : 0);

        g_assert_true(answered(v, p));
    }
    g_assert_cmpuint(v->f->stats->frames, ==, COUNT + 200);
}

/* A guest that flushes many parts without waiting gets them all with one frame. */
static void test_flood(void)
{
    enum { COUNT = 200, INTERVAL_MS = 100 };
    FrontendOptions o = { .ring_size = 512 };
    g_autoptr(Leased) v = start(&o, INTERVAL_MS * MS);
    Pending *p[COUNT];
    uint64_t begin, took;

    begin = now_ns();
    for (unsigned i = 0; i < COUNT; i++) {
        p[i] = flush(v, 1, 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_true(answered(v, p[i]));
        pending_free(p[i]);
    }
    took = now_ns() - begin;
    g_test_message("%u flushes in %.0f ms are %u frames", COUNT, (double)took / 1e6,
                   (unsigned)v->f->stats->frames);
    g_assert_cmpuint(v->f->stats->frames, <=, 2 + took / (INTERVAL_MS * MS));
}

/* A frame that waits holds up neither commands nor other outputs, and shows what is there by then. */
static void test_only_what_shows(void)
{
    FrontendOptions o = { .max_outputs = 2 };
    g_autoptr(Leased) v = start(&o, 0);
    g_autoptr(Pending) first = NULL;
    g_autoptr(Pending) waits = NULL;
    g_autoptr(Pending) other = NULL;
    uint64_t gpa, begin, took;

    gpa = picture_resource(v->f, 9, BGRX, 2, SIDE, SIDE);
    g_assert_cmphex(gpu_set_scanout(v->f, 0, 9, 0, 0, SIDE, SIDE), ==, OK_NODATA);
    __atomic_store_n(&v->h.page->frame_interval_ns, 900 * MS, __ATOMIC_RELAXED);
    begin = now_ns();
    first = flush(v, 9, 0);
    g_assert_true(answered(v, first));
    waits = flush(v, 9, 0);
    other = flush(v, 2, 0);
    g_assert_true(answered(v, other));
    picture_fill(v->f, gpa, BGRX, 3, SIDE, SIDE, SIDE * 4);
    g_assert_cmphex(gpu_transfer_2d(v->f, 9, 0, 0, 0, SIDE, SIDE), ==, OK_NODATA);
    g_assert_true(gpu_still_works(v->f));
    if (!frontend_collect(v->f, waits)) {
        screen_settle(&v->f->screen, 1000);
        took = now_ns() - begin;
        if (took < 900 * MS) {
            picture_check(v->f, 0, 0, 0, SIDE, SIDE, 2, 0, 0);
        }
    }
    g_assert_true(answered(v, waits));
    g_assert_cmpuint(now_ns() - begin, >=, 900 * MS);
    screen_settle(&v->f->screen, 1000);
    picture_check(v->f, 0, 0, 0, SIDE, SIDE, 3, 0, 0);
}

/* A later fence of the timeline is no way around the limit. */
static void test_fences_wait_for_the_frame(void)
{
    FrontendOptions o = { .renderer = "null" };
    g_autoptr(Leased) v = start(&o, 0);
    g_autoptr(Pending) first = NULL;
    g_autoptr(Pending) second = NULL;
    g_autoptr(Pending) third = NULL;
    uint32_t nop = 0;
    uint64_t begin;

    g_assert_cmphex(gpu_context_create(v->f, 1, 0), ==, OK_NODATA);
    __atomic_store_n(&v->h.page->frame_interval_ns, 200 * MS, __ATOMIC_RELAXED);
    begin = now_ns();
    first = flush(v, 1, 1);
    second = flush(v, 1, 2);
    third = gpu_submit_fenced(v->f, 1, &nop, 1, 3);
    g_assert_true(answered(v, third));
    g_assert_cmpuint(now_ns() - begin, >=, 200 * MS);
    g_assert_true(first->done && second->done);
    g_assert_cmpuint(first->order, <, second->order);
    g_assert_cmpuint(second->order, <, third->order);
}

/* Pictures of ever new sizes are frames too. */
static void test_mode_sets(void)
{
    enum { COUNT = 6 };
    FrontendOptions o = { 0 };
    g_autoptr(Leased) v = start(&o, 60 * MS);
    uint64_t begin;

    begin = now_ns();
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_cmphex(gpu_set_scanout(v->f, 0, 1, 0, 0, SIDE - 1 - i % 2, SIDE), ==, OK_NODATA);
    }
    g_assert_cmpuint(now_ns() - begin, >=, (COUNT - 1) * 60 * MS);
}

/* Waiting frames at a reset, and at a stop: dropped, and kept. */
static void test_reset_and_stop(gconstpointer fenced)
{
    FrontendOptions o = { 0 };
    g_autoptr(Leased) v = start(&o, 300 * MS);
    Pending *p;

    for (unsigned i = 0; i < 4; i++) {
        pending_free(flush(v, 1, fenced ? i + 1 : 0));
    }
    leased_barrier(v);
    g_assert_true(frontend_reset(v->f));
    v->f->completed[CONTROL] = 0;
    g_usleep(400 * 1000);
    g_assert_true(gpu_still_works(v->f));
    g_assert_cmpuint(v->f->completed[CONTROL], ==, 1);

    picture_resource(v->f, 1, BGRX, 1, SIDE, SIDE);
    g_assert_cmphex(gpu_set_scanout(v->f, 0, 1, 0, 0, SIDE, SIDE), ==, OK_NODATA);
    p = flush(v, 1, fenced ? 1 : 0);
    leased_barrier(v);
    g_assert_true(frontend_stop(v->f));
    g_usleep(400 * 1000);
    g_assert_true(frontend_resume(v->f));
    g_assert_true(answered(v, p));
    pending_free(p);
    /* the resource goes while its frame waits */
    p = flush(v, 1, fenced ? 2 : 0);
    g_assert_cmphex(gpu_unref(v->f, 1), ==, OK_NODATA);
    g_assert_true(answered(v, p));
    pending_free(p);
}

/* A frame that is due waits for the lease as a command does. */
static void test_frame_needs_the_lease(void)
{
    FrontendOptions o = { 0 };
    g_autoptr(Leased) v = start(&o, 150 * MS);
    g_autoptr(Pending) p = NULL;

    p = flush(v, 1, 0);
    leased_wait(v, UINT32_MAX, GRANTED);
    g_atomic_int_set(&v->generous, 0);
    leased_barrier(v);
    if (swap(&v->h, GRANTED, 0) && !frontend_collect(v->f, p)) {
        leased_wait(v, UINT32_MAX, WANTED);
        leased_barrier(v);
        g_assert_false(frontend_collect(v->f, p));
        grant(&v->h);
    }
    g_assert_true(answered(v, p));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_data_func("/frames/paced/unfenced", GINT_TO_POINTER(0), test_paced);
    g_test_add_data_func("/frames/paced/fenced", GINT_TO_POINTER(1), test_paced);
    g_test_add_func("/frames/flood", test_flood);
    g_test_add_func("/frames/only-what-shows", test_only_what_shows);
    g_test_add_func("/frames/fences-wait", test_fences_wait_for_the_frame);
    g_test_add_func("/frames/mode-sets", test_mode_sets);
    g_test_add_data_func("/frames/reset-and-stop/unfenced", GINT_TO_POINTER(0), test_reset_and_stop);
    g_test_add_data_func("/frames/reset-and-stop/fenced", GINT_TO_POINTER(1), test_reset_and_stop);
    g_test_add_func("/frames/needs-the-lease", test_frame_needs_the_lease);
    return g_test_run();
}
