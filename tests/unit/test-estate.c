/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object table as it is written (table.c) and as the next renderer reads it
 * (estate.c): what was written comes back, and rubbish costs the entries it hits.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "estate-checks.h"

#define COUNT 40

typedef struct Made {
    int fd;
    Table *table;
    uint32_t slot[COUNT];
} Made;

static ResourceShape picture(uint32_t side)
{
    return (ResourceShape){ .target = 2,
                            .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
                            .bind = 2,
                            .width = side,
                            .height = side,
                            .depth = 1,
                            .array_size = 1,
                            .flags = VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP };
}

static void make(Made *m)
{
    struct TablePages pages[COUNT];

    m->fd = memfd_create("table", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(m->fd, TABLE_SIZE), ==, 0);
    m->table = table_new(m->fd, NULL);
    g_assert_nonnull(m->table);
    for (uint32_t i = 0; i < COUNT; i++) {
        ResourceShape shape = picture(i + 1);

        m->slot[i] = table_resource_new(m->table, i + 1, &shape, 4096, true);
        pages[i] = (struct TablePages){ 4096ull * i, 4096, 0 };
        table_resource_backing(m->table, m->slot[i], pages, i + 1);
    }
    table_scanout(m->table, 0, 3, &(Rect){ 0, 0, 3, 3 }, NULL);
    table_cursor(m->table, 0, &(struct TableCursor){ 5, 10, 20, 1, 2, true });
    table_ring(m->table, 0, 65530);
    for (unsigned i = 0; i < 20; i++) {
        table_popped(m->table, 0, (i * 7) % 64, i == 3);
    }
    table_push_begin(m->table, 0, 7);
    table_push_end(m->table, 0, 7, 65531);
    table_push_begin(m->table, 0, 14); /* and killed before the rest */
}

static void drop(Made *m)
{
    close(m->fd);
}

static void test_comes_back(void)
{
    g_autoptr(GError) error = NULL;
    Estate *e;
    Made m;

    make(&m);
    table_resource_free(m.table, m.slot[9]);
    e = estate_read(m.fd, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(e->resources->len, ==, COUNT - 1);
    g_assert_cmpuint(e->refused, ==, 0);
    for (guint i = 0; i < e->resources->len; i++) {
        const EstateResource *r = &g_array_index(e->resources, EstateResource, i);

        g_assert_cmpuint(r->id, !=, 10);
        g_assert_cmpuint(r->shape.width, ==, r->id);
        g_assert_true(r->is_2d);
        g_assert_cmpuint(r->pages_count, ==, r->id);
        g_assert_cmpuint(r->pages[r->id - 1].gpa, ==, 4096ull * (r->id - 1));
    }
    g_assert_cmpuint(e->scanout[0].resource_id, ==, 3);
    g_assert_cmpuint(e->scanout[0].cursor.x, ==, 10);
    g_assert_cmpuint(e->queue[0].count, ==, 19);
    g_assert_cmpuint(e->queue[0].chain[0].head, ==, 0);
    g_assert_cmpuint(e->queue[0].chain[1].head, ==, 14);
    g_assert_cmpuint(e->queue[0].chain[2].tries, ==, 1);
    g_assert_cmpuint(e->queue[0].ring.used_idx, ==, 65531);
    g_assert_cmpuint(e->queue[0].ring.last_head, ==, 14);
    g_assert_cmpuint(e->queue[1].count, ==, 0);
    estate_free(e);
    drop(&m);
}

/* Let go of, it stays as it is. */
static void test_let_go(void)
{
    ResourceShape shape = picture(9);
    Estate *e;
    Made m;

    make(&m);
    table_let_go(m.table);
    table_resource_free(m.table, m.slot[0]);
    table_resource_new(m.table, 1000, &shape, 4096, true);
    table_rings_clear(m.table);
    table_reset(m.table, 5);
    e = estate_read(m.fd, 0, NULL);
    g_assert_nonnull(e);
    g_assert_cmpuint(e->resources->len, ==, COUNT);
    g_assert_cmpuint(e->queue[0].count, ==, 19);
    estate_free(e);
    drop(&m);
}

static void test_of_another_generation(void)
{
    g_autoptr(GError) error = NULL;
    Estate *e;
    Made m;

    make(&m);
    g_assert_null(estate_read(m.fd, 1, &error));
    g_assert_nonnull(strstr(error->message, "before its last reset"));
    table_reset(m.table, 1);
    e = estate_read(m.fd, 1, NULL);
    g_assert_nonnull(e);
    g_assert_cmpuint(e->resources->len, ==, 0);
    estate_free(e);
    drop(&m);
}

/* A reset empties it, and makes the file no larger: its resources alone are 6.5 MiB. */
static void test_reset(void)
{
    Made m;
    struct stat st;
    g_autoptr(GError) error = NULL;
    Estate *e;

    make(&m);
    table_reset(m.table, 8);
    g_assert_cmpint(fstat(m.fd, &st), ==, 0);
    g_assert_cmpint(st.st_blocks, <, 1024 * 1024 / 512);
    e = estate_read(m.fd, 8, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(e->resources->len, ==, 0);
    g_assert_cmpuint(e->scanout[0].resource_id, ==, 0);
    estate_free(e);
    drop(&m);
}

/* A file that is no table, and one that is shorter. */
static void test_no_table(void)
{
    int fd = memfd_create("none", MFD_CLOEXEC);
    g_autoptr(GError) error = NULL, again = NULL;

    g_assert_null(estate_read(fd, 0, &error));
    g_assert_nonnull(error);
    g_assert_cmpint(write(fd, "rubbish", 7), ==, 7);
    g_assert_null(estate_read(fd, 0, &again));
    g_assert_nonnull(again);
    close(fd);
}

/* Words anywhere in what is used, of values that matter or not: what comes out holds. */
static void test_random_rubbish(void)
{
    g_autofree uint8_t *good = g_malloc(TABLE_SIZE), *bad = g_malloc(TABLE_SIZE);
    const size_t filled = TABLE_RESOURCES_AT + COUNT * sizeof(struct TableResource);
    unsigned untouched = 0, rounds = g_test_slow() ? 100000 : 3000;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), err = dup(2);
    Made m;

    make(&m);
    g_assert_cmpint(pread(m.fd, good, TABLE_SIZE, 0), ==, TABLE_SIZE);
    memcpy(bad, good, TABLE_SIZE);
    dup2(null, 2); /* a sentence for each */
    for (unsigned round = 0; round < rounds; round++) {
        unsigned hits = (unsigned)g_test_rand_int_range(1, 30);
        const char *fault;
        Estate *e;

        memcpy(bad, good, filled);
        while (hits--) {
            bool entry = g_test_rand_int_range(0, 4);
            uint32_t at =
                entry ? TABLE_RESOURCES_AT +
                            (uint32_t)g_test_rand_int_range(0, COUNT * sizeof(struct TableResource))
                      : (uint32_t)g_test_rand_int_range(sizeof(struct TableHeader), TABLE_RESOURCES_AT);
            uint32_t word =
                g_test_rand_bit() ? (uint32_t)g_test_rand_int() : (uint32_t)g_test_rand_int_range(0, 64);

            memcpy(bad + (at & ~3u), &word, sizeof(word));
        }
        e = estate_parse(bad, filled, 0, NULL);
        if (!e) {
            continue; /* the header was hit */
        }
        fault = estate_fault(e, bad);
        untouched += e->resources->len;
        estate_free(e);
        if (fault) {
            dup2(err, 2);
            g_error("round %u: %s", round, fault);
        }
    }
    dup2(err, 2);
    close(null);
    close(err);
    /* most entries were not hit */
    g_assert_cmpuint(untouched, >, rounds * (COUNT / 4));
    drop(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/estate/comes-back", test_comes_back);
    g_test_add_func("/estate/let-go", test_let_go);
    g_test_add_func("/estate/of-another-generation", test_of_another_generation);
    g_test_add_func("/estate/reset", test_reset);
    g_test_add_func("/estate/no-table", test_no_table);
    g_test_add_func("/estate/random-rubbish", test_random_rubbish);
    return g_test_run();
}
