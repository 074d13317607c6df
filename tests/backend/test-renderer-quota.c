/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory quota from outside: by the statistics page and by refusals. */
#include <string.h>

#include "picture.h"

#define MIB     (1ull << 20)
#define LIMIT   (64 * MIB)
#define SIDE_1M 512 /* a BGRX square of this side is 1 MiB */

static Frontend *start(const char *renderer)
{
    FrontendOptions o = { .renderer = renderer, .memory = LIMIT };

    return frontend_new(&o);
}

static uint64_t stat_get(const uint64_t *counter)
{
    return vgpu_stats_get(counter);
}

static void test_exact(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t sum;

    g_assert_cmpuint(f->stats->memory_limit, ==, LIMIT);
    g_assert_cmpuint(frontend_used(f), ==, 0);
    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, SIDE_1M, SIDE_1M), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, MIB);
    /* rounded up to whole pages: 1x1 is one; rows of 512 bytes are not padded: 128x96 is twelve */
    g_assert_cmphex(gpu_create_2d(f, 2, BGRX, 1, 1), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, MIB + 4096);
    g_assert_cmphex(gpu_create_2d(f, 3, BGRX, 128, 96), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, MIB + 13 * 4096);
    g_assert_cmpuint(stat_get(&f->stats->resources), ==, 3);
    /* what is refused is not charged */
    sum = frontend_used(f);
    g_assert_cmphex(gpu_create_2d(f, 3, BGRX, 128, 96), ==, ERR_RESOURCE);
    g_assert_cmphex(gpu_create_2d(f, 4, 999, 100, 100), ==, ERR_PARAM);
    g_assert_cmpuint(frontend_used(f), ==, sum);
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, 13 * 4096);
    g_assert_cmphex(gpu_unref(f, 3), ==, OK_NODATA);
    g_assert_cmphex(gpu_unref(f, 2), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, 0);
    g_assert_cmpuint(stat_get(&f->stats->resources), ==, 0);
    g_assert_cmpuint(stat_get(&f->stats->memory_peak), ==, MIB + 13 * 4096);
}

static void test_refusal(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t denied;
    g_autofree char *log = NULL;

    for (unsigned i = 1; i <= 64; i++) {
        g_assert_cmphex(gpu_create_2d(f, i, BGRX, SIDE_1M, SIDE_1M), ==, OK_NODATA);
    }
    g_assert_cmpuint(frontend_used(f), ==, LIMIT);
    denied = stat_get(&f->stats->alloc_denied);
    g_assert_cmpuint(denied, ==, 0);
    g_assert_cmphex(gpu_create_2d(f, 100, BGRX, SIDE_1M, SIDE_1M), ==, ERR_MEMORY);
    g_assert_cmpuint(stat_get(&f->stats->alloc_denied), ==, 1);
    g_assert_cmpuint(stat_get(&f->stats->alloc_denied_size), ==, MIB);
    g_assert_cmpuint(frontend_used(f), ==, LIMIT);
    g_assert_cmphex(gpu_unref(f, 100), ==, ERR_RESOURCE);
    /* the host's log names the VM */
    log = frontend_log(f);
    g_assert_nonnull(strstr(log, "test"));
    /* one goes, one fits */
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_2d(f, 100, BGRX, SIDE_1M, SIDE_1M), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_2d(f, 101, BGRX, SIDE_1M, SIDE_1M), ==, ERR_MEMORY);
    /* what it has keeps working */
    g_assert_cmphex(gpu_set_scanout(f, 0, 100, 0, 0, 100, 100), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, 100, 0, 0, 100, 100), ==, OK_NODATA);
    g_assert_true(frontend_reset(f));
    g_assert_true(gpu_still_works(f));
    g_assert_cmpuint(frontend_used(f), ==, 0);
    g_assert_cmpuint(stat_get(&f->stats->resources), ==, 0);
    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, 4096, 4096), ==, OK_NODATA); /* 64 MiB at once */
    g_assert_cmpuint(frontend_used(f), ==, LIMIT);
}

/* Small allocations go into the reserve, and no further. */
static void test_reserve(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    unsigned small = 0;

    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, 4096, 4096), ==, OK_NODATA);
    while (small < 2000 && gpu_create_2d(f, 10 + small, BGRX, 128, 128) == OK_NODATA) { /* 64 KiB */
        small++;
    }
    g_assert_cmpuint(small, ==, 4 * MIB / (64 * 1024));
    g_assert_cmpuint(frontend_used(f), ==, LIMIT + 4 * MIB);
    g_assert_cmphex(gpu_create_2d(f, 5, BGRX, 1, 1), ==, ERR_MEMORY);
    g_assert_cmphex(gpu_create_2d(f, 5, BGRX, 129, 128), ==, ERR_MEMORY);
    for (unsigned i = 0; i < small; i++) {
        gpu_unref(f, 10 + i);
    }
    g_assert_cmpuint(frontend_used(f), ==, LIMIT);
}

/* Sizes whose product would wrap in 32 or 64 bits. */
static void test_overflow(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    static const uint32_t bad[][2] = {
        { 0x10000, 0x4000 },  { 0x8000, 0x8000 },         { 0x40000000, 1 },
        { 0x40000001, 4 },    { 0xffffffff, 0xffffffff }, { 0x80000000, 0x80000000 },
        { 0x10000, 0x10000 }, { 1, 0x40000000 },          { 5000, 5000 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint32_t r = gpu_create_2d(f, 1, BGRX, bad[i][0], bad[i][1]);

        if (r != ERR_MEMORY && r != ERR_PARAM) {
            g_test_fail_printf("%u x %u: response 0x%x", bad[i][0], bad[i][1], r);
        }
        g_assert_cmpuint(frontend_used(f), ==, 0);
    }
}

/* Backings and scanouts are no GPU memory of the guest; they cannot be used to grow either. */
static void test_backing_is_free(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);

    picture_resource(f, 1, BGRX, 1, SIDE_1M, SIDE_1M);
    g_assert_cmphex(gpu_set_scanout(f, 0, 1, 0, 0, SIDE_1M, SIDE_1M), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, SIDE_1M, SIDE_1M), ==, OK_NODATA);
    g_assert_true(screen_wait_update(&f->screen, 0, 1, 5000));
    g_assert_cmpuint(frontend_used(f), >=, MIB);
    g_assert_cmpuint(frontend_used(f), <=, 2 * MIB);
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_cmphex(gpu_set_scanout(f, 0, 0, 0, 0, 0, 0), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

static void test_neighbour(gconstpointer renderer)
{
    FrontendOptions o = { .renderer = renderer, .memory = LIMIT, .vm_name = "neighbour" };
    g_autoptr(Frontend) f = start(renderer);
    g_autoptr(Frontend) n = frontend_new(&o);

    g_assert_cmphex(gpu_create_2d(f, 1, BGRX, 4096, 4096), ==, OK_NODATA);
    g_assert_cmphex(gpu_create_2d(f, 2, BGRX, 4096, 4096), ==, ERR_MEMORY);
    g_assert_cmpuint(frontend_used(n), ==, 0);
    g_assert_cmpuint(stat_get(&n->stats->alloc_denied), ==, 0);
    g_assert_cmphex(gpu_create_2d(n, 1, BGRX, 4096, 4096), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(n), ==, LIMIT);
    g_assert_cmphex(gpu_unref(f, 1), ==, OK_NODATA);
    g_assert_cmpuint(frontend_used(n), ==, LIMIT);
}

/* The other figures of the page move with what happens. */
static void test_counters(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    uint64_t commands = stat_get(&f->stats->commands), errors = stat_get(&f->stats->errors);

    picture_resource(f, 1, BGRX, 1, 64, 64);
    gpu_unref(f, 77);
    gpu_unref(f, 78);
    g_assert_cmpuint(stat_get(&f->stats->commands), ==, commands + 5);
    g_assert_cmpuint(stat_get(&f->stats->errors), ==, errors + 2);
    g_assert_cmphex(gpu_set_scanout(f, 0, 1, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_cmphex(gpu_flush(f, 1, 0, 0, 64, 64), ==, OK_NODATA);
    g_assert_cmpuint(stat_get(&f->stats->frames), ==, 2);
    g_assert_cmpuint(f->stats->magic, ==, VGPU_STATS_MAGIC);
    g_assert_cmpuint(f->stats->memory_limit, ==, LIMIT);
}

/* Thousands of resources, made and gone: the books are at 0, and ids are no index. */
static void test_many(gconstpointer renderer)
{
    g_autoptr(Frontend) f = start(renderer);
    unsigned made = 0;

    for (unsigned i = 0; i < 6000; i++) {
        made += gpu_create_2d(f, i * 0x10001 + 1, BGRX, 8, 8) == OK_NODATA;
    }
    g_assert_cmpuint(made, ==, 6000);
    g_assert_cmpuint(frontend_used(f), ==, 6000 * 4096ull);
    for (unsigned i = 0; i < 6000; i++) {
        gpu_unref(f, i * 0x10001 + 1);
    }
    g_assert_cmpuint(frontend_used(f), ==, 0);
}

int main(int argc, char **argv)
{
    static const char *const renderers[] = { "2d", "null" };
    static const struct {
        const char *name;
        GTestDataFunc func;
    } tests[] = {
        { "exact", test_exact },
        { "refusal", test_refusal },
        { "reserve", test_reserve },
        { "overflow", test_overflow },
        { "backing-is-free", test_backing_is_free },
        { "neighbour", test_neighbour },
        { "counters", test_counters },
        { "many", test_many },
    };

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    for (unsigned i = 0; i < G_N_ELEMENTS(renderers); i++) {
        for (unsigned t = 0; t < G_N_ELEMENTS(tests); t++) {
            g_autofree char *path = g_strdup_printf("/quota/%s/%s", renderers[i], tests[t].name);

            g_test_add_data_func(path, renderers[i], tests[t].func);
        }
    }
    return g_test_run();
}
